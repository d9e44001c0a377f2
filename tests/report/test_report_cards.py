"""Unit cards: the files beside the page hold the tables, and a browser shows them from the disk."""

import json
import math
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from synthetic import SERIES, write_study
from synthetic_units import write_unit_study

from prunescope.report import page
from prunescope.report.cards import cards
from prunescope.report.page import write_report
from prunescope.report.units import units

SHAPE = {"widths": (4, 6), "rates": (0.2, 0.6), "series": SERIES[:2], "classes": ["a", "b", "c"], "layers": 2}
OF_UNITS = (units, cards)
LAYERS = ["inception0a.branch0.conv", "inception1a.branch1.conv", "fc"]


def report_on(folder, sections=(cards,)):
    """Write the report with few sections in one format, which takes a part of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        patch.setattr(page, "SECTIONS", sections)
        write_report(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return report_on(write_unit_study(tmp_path_factory.mktemp("cards") / "s", **SHAPE), OF_UNITS)


def layer_file(folder, place):
    """Return what the script of a layer hands over."""
    script = (folder / "report" / "units" / f"{place}.js").read_text("utf-8")
    assert script.startswith("prunescope.layer(")
    assert script.endswith(");\n")
    return json.loads(script[len("prunescope.layer(") : -3])


def index_of(folder):
    html = (folder / "report" / "index.html").read_text("utf-8")
    start = html.index('id="cards-index">') + len('id="cards-index">')
    return json.loads(html[start : html.index("</script>", start)])


def test_there_is_one_script_per_layer_that_holds_the_table_of_units(folder):
    table = pd.read_parquet(folder / "tables" / "units.parquet")
    networks = list(pd.read_parquet(folder / "tables" / "networks.parquet")["network"])
    assert sorted(path.name for path in (folder / "report" / "units").iterdir()) == ["0.js", "1.js", "2.js"]
    seen = 0
    for place, name in enumerate(LAYERS):
        layer = layer_file(folder, place)
        assert layer["layer"] == name
        for row in table[table["layer"] == name].to_dict("records"):
            at, unit = networks.index(row["network"]), row["unit"]
            assert layer["alive"][at][unit] == int(row["alive"])
            for column, digits in (("mis", 3), ("hit_rate", 3), ("iou", 4)):
                expected = round(row[column], digits)
                assert layer[column][at][unit] == expected or math.isnan(expected)
                assert math.isnan(layer[column][at][unit]) == math.isnan(expected)
            if row["kind"] == "conv":
                assert layer["concepts"][layer["concept"][at][unit]] == [row["concept"], row["category"]]
                assert layer["detector"][at][unit] == int(row["detector"])
            else:
                assert layer["concept"][at][unit] == layer["detector"][at][unit] == -1
                assert layer["classes"][str(unit)] == row["class"]
            seen += 1
    assert seen == len(table)


def test_the_examples_of_a_unit_are_those_of_the_table_by_rank(folder):
    examples = pd.read_parquet(folder / "tables" / "examples.parquet")
    networks = list(pd.read_parquet(folder / "tables" / "networks.parquet")["network"])
    layers = [layer_file(folder, place) for place in range(3)]
    for row in examples.to_dict("records"):
        layer = layers[LAYERS.index(row["layer"])]
        of_measure, at = layer["examples"][row["measure"]], networks.index(row["network"])
        place = row["unit"] * of_measure["keep"] + row["rank"]
        _, name, there = layer["images"][of_measure[row["side"]][at][place]]
        assert (name, there) == (row["image"], 1)
        if row["side"] == "highest":
            assert of_measure["outlines"][at][place] == row["outline"]
    assert all(layer["examples"]["mis"]["keep"] == 4 for layer in layers)


def test_each_image_is_kept_once(folder):
    examples = pd.read_parquet(folder / "tables" / "examples.parquet")
    pictures = pd.read_parquet(folder / "pictures" / "thumbnails.parquet").set_index(["measure", "image"])[
        "jpeg"
    ]
    used = examples[["measure", "image"]].drop_duplicates()
    files = {path.name for path in (folder / "report" / "thumbnails").iterdir()}
    assert len(files) == len(used) < len(examples) / 4
    layer = layer_file(folder, 0)
    for measure, of_measure in layer["examples"].items():
        number, name, _ = layer["images"][of_measure["highest"][0][0]]
        assert (folder / "report" / "thumbnails" / f"{number}.jpg").read_bytes() == pictures[measure, name]


def test_a_chain_leads_from_the_dense_network_to_the_highest_rate(folder):
    networks = list(pd.read_parquet(folder / "tables" / "networks.parquet")["network"])
    index = index_of(folder)
    assert index["layers"] == [[LAYERS[0], "conv", 4], [LAYERS[1], "conv", 6], ["fc", "linear", 3]]
    chains = {
        chain["name"]: [(networks[place], name) for place, name in chain["networks"]]
        for chain in index["series"]
    }
    assert list(chains) == ["filters", "weights", "filters, before retraining", "weights, before retraining"]
    assert chains["weights"] == [
        ("dense-seed0", "dense"),
        ("weights-0.2-retrained-seed0", "20\u00a0%"),
        ("weights-0.6-retrained-seed0", "60\u00a0%"),
    ]
    assert chains["filters, before retraining"][2][0] == "filters-0.6-pruned-seed0"


def test_the_order_of_the_rows_of_examples_does_not_matter(folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report"))
    path = copy / "tables" / "examples.parquet"
    pd.read_parquet(path).sample(frac=1, random_state=0).to_parquet(path)
    report_on(copy)
    for place in range(3):
        mixed, plain = layer_file(copy, place), layer_file(folder, place)
        for measure in plain["examples"]:
            for side in ("highest", "lowest"):
                names = [
                    [layer["images"][i][1] for network in layer["examples"][measure][side] for i in network]
                    for layer in (mixed, plain)
                ]
                assert names[0] == names[1]


def test_without_pictures_the_cards_name_the_images(folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report", "pictures"))
    report_on(copy)
    assert list((copy / "report" / "thumbnails").iterdir()) == []
    assert {there for _, _, there in layer_file(copy, 0)["images"]} == {0}


def test_units_that_have_fewer_examples_and_networks_that_lack_a_layer_leave_gaps(folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("report"))
    gone = "weights-0.6-retrained-seed0"
    for name in ("units", "examples"):
        path = copy / "tables" / f"{name}.parquet"
        table = pd.read_parquet(path)
        table = table[~((table["network"] == gone) & (table["layer"] == "fc"))]
        if name == "examples":
            table = table[(table["unit"] != 1) | (table["rank"] != 3)]
        table.to_parquet(path)
    report_on(copy)
    networks = list(pd.read_parquet(folder / "tables" / "networks.parquet")["network"])
    fc = layer_file(copy, 2)
    assert fc["mis"][networks.index(gone)] is None
    assert fc["examples"]["mis"]["highest"][networks.index(gone)] is None
    assert np.array(fc["examples"]["mis"]["highest"][0]).reshape(3, 4)[:, 3].tolist().count(-1) == 1


def test_a_page_without_units_has_no_cards_nor_files_for_them(tmp_path):
    folder = report_on(
        write_study(tmp_path / "s", layers=2, rates=(0.2,), series=SERIES[:1], classes=["a", "b"])
    )
    html = (folder / "report" / "index.html").read_text("utf-8")
    assert "cards" not in html
    assert sorted(path.name for path in (folder / "report").iterdir()) == ["figures", "index.html"]


def test_the_same_tables_give_the_same_bytes(folder, tmp_path):
    copy = tmp_path / "s"
    shutil.copytree(folder, copy)
    report_on(copy, OF_UNITS)

    def contents(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(copy) == contents(folder)


def test_names_stay_names(tmp_path):
    name = "</script><script>alert(1)</script>"
    folder = report_on(write_unit_study(tmp_path / "s", **SHAPE | {"series": [(name, *SERIES[0][1:])]}))
    assert (folder / "report" / "index.html").read_text("utf-8").count("<script") == 3
    assert index_of(folder)["series"][0]["name"] == name


class Elements(HTMLParser):
    """The elements of a page, each with its attributes and the text inside."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append({"tag": tag, "text": "", **dict(attrs)})
        self.found.append(self.open[-1])

    def handle_endtag(self, tag):
        if tag in {element["tag"] for element in self.open}:
            while self.open.pop()["tag"] != tag:
                pass

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        return [
            element
            for element in self.found
            if element["tag"] == tag and all(element.get(name) == value for name, value in attributes.items())
        ]


def browse(folder, tmp_path, address, actions=""):
    """Open the page in a browser, do something once its layer is there, and return what it then shows."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium to open the page with")
    report = tmp_path / "report"
    shutil.copytree(folder / "report", report, ignore=shutil.ignore_patterns("figures"))
    html = (report / "index.html").read_text("utf-8")
    script = f"<script>window.addEventListener('load', () => {{ {actions} }});</script></body>"
    (report / "index.html").write_text(html.replace("</body>", script), "utf-8")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=4000",
        "--dump-dom", (report / "index.html").as_uri() + address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "Uncaught" not in done.stderr
    return Elements(done.stdout)


def test_an_address_opens_the_card_of_a_unit(folder, tmp_path):
    shown = browse(folder, tmp_path, f"#unit={LAYERS[1]}:2")
    table = pd.read_parquet(folder / "tables" / "units.parquet").set_index(["network", "layer", "unit"])
    [card] = shown.all("div", id="card")
    assert card["data-unit"] == f"{LAYERS[1]}:2"
    names = ["dense-seed0", "filters-0.2-retrained-seed0", "filters-0.6-retrained-seed0"]
    scores, found = shown.all("td", **{"class": "score"}), table.loc[[(name, LAYERS[1], 2) for name in names]]
    expected = ["dead" if math.isnan(mis) else f"{mis:.2f}" for mis in found["mis"]]
    assert [cell["text"].startswith(start) for cell, start in zip(scores, expected, strict=True)] == [
        True
    ] * 3
    assert expected[2] == "dead"
    assert expected[0] != "dead"
    examples = pd.read_parquet(folder / "tables" / "examples.parquet")
    own = examples[
        (examples["measure"] == "mis") & (examples["layer"] == LAYERS[1]) & (examples["unit"] == 2)
    ]
    highest = own[(own["network"] == names[0]) & (own["side"] == "highest")].sort_values("rank")
    pictures = shown.all("svg", role="img")
    assert len(pictures) == 3 * 8
    assert [picture["aria-label"] for picture in pictures[4:8]] == list(highest["image"])
    paths = [element["d"] for element in shown.all("path") if element.get("d", "").startswith("M-9-9")]
    assert [path.removeprefix("M-9-9H105V105H-9Z") for path in paths[:4]] == list(highest["outline"])
    images = [
        element["href"] for element in shown.all("image") if element.get("href", "").startswith("thumbnails/")
    ]
    assert len(images) == 24
    assert all((folder / "report" / image).is_file() for image in images)
    told = [cell["text"] for cell in shown.all("td") if cell.get("class", "").startswith("concept")]
    assert told[0].startswith(found["concept"].iloc[0])
    assert f"IoU {found['iou'].iloc[0]:.3f}" in told[0]


CHOOSE = """
  const form = document.getElementById("cards-choice").elements;
  const choose = (name, value) => {
    form[name].value = value;
    for (const kind of ["input", "change"]) form[name].dispatchEvent(new Event(kind, { bubbles: true }));
  };
  const list = document.getElementById("cards-list");
  const tell = (name) => {
    document.body.dataset[name] = [...list.children].map((item) => item.dataset.unit).join();
  };
"""


def test_the_list_is_sorted_filtered_and_reached_by_keyboard(folder, tmp_path):
    actions = f"""{CHOOSE}
      choose("network", form.network.options[2].value);
      choose("series", "1");
      document.body.dataset.found = document.getElementById("cards-found").textContent;
      choose("series", "0");
      document.body.dataset.other = document.getElementById("cards-found").textContent;
      choose("series", "1");
      choose("order", "mis");
      tell("sorted");
      list.firstElementChild.focus();
      list.dispatchEvent(new KeyboardEvent("keydown", {{ key: "ArrowRight" }}));
      document.body.dataset.focused = document.activeElement.dataset.unit;
      document.activeElement.click();
      choose("concept", "OBJ");
      tell("filtered");
    """
    shown = browse(folder, tmp_path, f"#unit={LAYERS[1]}:0", f"setTimeout(() => {{ {actions} }}, 500)")
    [body] = shown.all("body")
    table = pd.read_parquet(folder / "tables" / "units.parquet")
    own = table[(table["network"] == "weights-0.6-retrained-seed0") & (table["layer"] == LAYERS[1])]
    assert body["data-found"] == "6 of 6 units, 0 of them dead at 60\u00a0%"
    filters = table[(table["network"] == "filters-0.6-retrained-seed0") & (table["layer"] == LAYERS[1])]
    dead = int((~filters["alive"]).sum())
    assert body["data-other"] == f"6 of 6 units, {dead} of them dead at 60\u00a0%"
    assert dead > 0
    order = list(own.sort_values("mis", ascending=False)["unit"].astype(str))
    assert body["data-sorted"].split(",") == order
    assert body["data-focused"] == order[1]
    objects = own[own["detector"].astype(bool) & (own["category"] == "object")]
    assert set(body["data-filtered"].split(",")) - {""} == set(objects["unit"].astype(str))
    [card] = shown.all("div", id="card")
    assert card["data-unit"] == f"{LAYERS[1]}:{order[1]}"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("#unit=nowhere:1", "There is no layer nowhere here."),
        ("#unit=fc:77", "there is no unit 77"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(folder, tmp_path, address, said):
    shown = browse(folder, tmp_path, address)
    [found] = shown.all("p", id="cards-found")
    assert said in found["text"]


def test_a_page_without_its_folder_says_so(folder, tmp_path):
    lost = tmp_path / "lost"
    (lost / "report").mkdir(parents=True)
    shutil.copy(folder / "report" / "index.html", lost / "report")
    [found] = browse(lost, tmp_path, "#unit=fc:0").all("p", id="cards-found")
    assert found["text"] == "units/2.js could not be read: keep the page together with its folder."
