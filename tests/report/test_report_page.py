import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from xml.etree import ElementTree

import pandas as pd
import pytest
from synthetic import SERIES, write_study

from prunescope.report import page
from prunescope.report.page import write_report

SMALL = {"layers": 4, "rates": (0.2, 0.6), "classes": ["a", "b", "c"]}
NAMES = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "_$x_{1$ \\ 日本 & co")


@dataclass
class Page(HTMLParser):
    """What a page is made of: its tags, its words, and the cells of its tables by section."""

    text: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    section: str = ""
    in_cell: bool = False

    def __post_init__(self):
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "section":
            self.section = dict(attrs)["id"]
        elif tag == "tr":
            self.tables.setdefault(self.section, []).append([])
        elif tag in {"td", "th"}:
            self.tables[self.section][-1].append("")
            self.in_cell = True
        elif tag == "small" and self.in_cell:
            self.tables[self.section][-1][-1] += "|"

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in {"td", "th"}

    def handle_data(self, data):
        self.words.append(data)
        if self.in_cell:
            self.tables[self.section][-1][-1] += data.strip()

    def values(self, attribute):
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("page") / "study", **SMALL)
    assert write_report(folder) == folder / "report" / "index.html"
    return folder


@pytest.fixture(scope="module")
def parsed(folder):
    return Page((folder / "report" / "index.html").read_text("utf-8"))


def test_the_table_of_networks_holds_the_numbers_of_the_tables(folder, parsed):
    header, *rows = parsed.tables["networks"]
    networks = pd.read_parquet(folder / "tables" / "networks.parquet").set_index("network")
    scores = pd.read_parquet(folder / "tables" / "scores.parquet").set_index(["network", "metric"])

    def share(value):
        return f"{100 * value:.1f}\u00a0%"

    def top1(name):
        score = scores.loc[(name, "top1")]
        return f"{share(score['value'])}|{100 * score['low']:.1f}–{share(score['high'])}"

    expected = []
    for name, network in networks.iterrows():
        if network["stage"] == "pruned":
            continue
        dense = network["stage"] == "dense"
        score = scores.loc[name]["value"]
        expected.append(
            [
                network["series"],
                share(network["rate"]),
                "–" if dense else share(network["zeros_after_pruning"]),
                "–" if dense else share(network["zeros_after_retraining"]),
                "–" if dense else share(network["unreachable_after_retraining"]),
                f"{score['compression_prunable']:.1f}×",
                "–" if dense else top1(network["parent"]),
                top1(name),
                share(score["top5"]),
                f"{score['cross_entropy']:.3f}",
                f"{score['calibration_error']:.3f}",
            ]
        )
    assert header == [
        "Series", "Rate asked", "Zeros, pruned", "Zeros", "Unreachable", "Compression",
        "Top-1, pruned", "Top-1", "Top-5", "Cross-entropy", "ECE",
    ]  # fmt: skip
    assert rows == expected


def test_the_page_needs_no_network(parsed):
    addresses = [*parsed.values("href"), *parsed.values("src"), *parsed.values("xlink:href")]
    assert addresses
    assert not [address for address in addresses if ":" in address or address.startswith("//")]
    assert not {tag for tag, _ in parsed.tags} & {"link", "iframe", "object", "embed"}
    styles = parsed.text[parsed.text.index("<style>") : parsed.text.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles


def test_links_lead_somewhere_and_names_are_unique(folder, parsed):
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    for address in [*parsed.values("href"), *parsed.values("xlink:href")]:
        if address.startswith("#"):
            assert address[1:] in ids
        elif not address.startswith("data:"):
            assert (folder / "report" / address).is_file()


def test_figures_are_told_to_those_who_do_not_see_them(parsed):
    pictures = [attributes for tag, attributes in parsed.tags if tag == "img"]
    assert len(pictures) == len(parsed.values("data-figure")) > 5
    assert all(len(picture["alt"]) > 30 for picture in pictures)


def test_figures_are_whole_files_without_dates(folder):
    files = sorted((folder / "report" / "figures").iterdir())
    names = {file.stem for file in files}
    assert {file.name for file in files} >= {
        f"{name}.{ending}" for name in names for ending in ("svg", "png", "js")
    }
    assert {file.suffix for file in files} == {".svg", ".png", ".js", ".csv"}
    for file in (file for file in files if file.suffix not in {".js", ".csv"}):
        content = file.read_bytes()
        if file.suffix == ".svg":
            assert ElementTree.fromstring(content).tag.endswith("svg")
        assert content.startswith({".svg": b"<?xml", ".png": b"\x89PNG"}[file.suffix])
        assert b"CreationDate" not in content
        assert b"<dc:date>" not in content


def test_the_same_tables_give_the_same_bytes_and_the_report_is_replaced_whole(folder, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(folder, copy)
    (copy / "report" / "figures" / "of-an-earlier-run.svg").touch()
    write_report(copy)

    def contents(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(copy) == contents(folder)
    assert sorted(path.name for path in copy.iterdir()) == ["report", "study.json", "tables"]


def test_a_report_that_cannot_be_written_leaves_the_old_one(folder, tmp_path, monkeypatch):
    copy = tmp_path / "study"
    shutil.copytree(folder, copy)

    def break_down(results):
        raise RuntimeError("on purpose")

    monkeypatch.setattr("prunescope.report.sections.SECTIONS", (break_down,))
    with pytest.raises(RuntimeError, match="on purpose"):
        write_report(copy)
    assert sorted(path.name for path in copy.iterdir()) == ["report", "study.json", "tables"]
    assert (copy / "report" / "index.html").read_bytes() == (folder / "report" / "index.html").read_bytes()


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    series = [(name, *entry[1:]) for name, entry in zip(NAMES, SERIES, strict=True)]
    shape = SMALL | {"series": series, "classes": list(NAMES), "measures": ("accuracy",)}
    folder = tmp_path_factory.mktemp("nasty") / "study"
    failed = (f"{NAMES[0]}-0.6-retrained-seed0",)
    about = {
        "title": NAMES[0],
        "description": NAMES[1],
        "settings": {NAMES[0]: [NAMES[1]]},
        "command": NAMES[2],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        return write_report(write_study(folder, **shape, failed=failed, **about))


def test_names_cannot_put_anything_into_the_page(nasty, parsed):
    shown = Page(nasty.read_text("utf-8"))
    assert {tag for tag, _ in shown.tags} <= {tag for tag, _ in parsed.tags}
    assert sum(tag == "script" for tag, _ in shown.tags) == 1
    assert not [name for _, attributes in shown.tags for name in attributes if name.startswith("on")]
    text = "".join(shown.words)
    assert all(text.count(name) > 5 for name in NAMES)


def test_figures_show_names_as_they_are(nasty):
    svg = ElementTree.parse(nasty.parent / "figures" / "top1-by-rate.svg")
    texts = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {NAMES[0], NAMES[1], NAMES[2]} <= texts


def test_the_report_imports_neither_torch_nor_pyplot():
    code = "import sys, prunescope.report.page as p; print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


COLUMN = """(table, name) => {
  const heading = [...table.tHead.rows[0].cells].find((cell) => cell.textContent === name);
  return [...table.tBodies[0].rows].map((row) => row.cells[heading.cellIndex].dataset.value);
}"""


def test_a_browser_opens_the_page_from_disk_and_sorts_its_tables(folder, open_page):
    page = open_page(folder / "report" / "index.html").page
    table = page.locator("#networks table.sortable").element_handle()
    heading = page.locator("#networks th button", has_text="Top-1, pruned")
    columns = []
    for _ in range(2):
        heading.click()
        columns.append(page.evaluate(f"table => ({COLUMN})(table, 'Top-1, pruned')", table))
    rising, falling = columns
    values = [float(value) for value in rising[:-1]]
    assert len(values) == 6
    assert values == sorted(values)
    assert falling[:-1] == rising[-2::-1]
    assert rising[-1] == falling[-1] == ""  # the dense network, which was never pruned, stays last
    heading.press("Enter")
    assert page.locator("#networks th[aria-sort='ascending']").inner_text().startswith("Top-1, pruned")
