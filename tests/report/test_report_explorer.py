"""The unit explorer: the files beside the page hold the table of units, and a browser searches it from the disk."""

import csv
import io
import math
import shutil

import pytest
from synthetic import SERIES, write_study
from synthetic_units import write_unit_study
from unit_pages import LAYERS, SHAPE, handed_over, index_of, report_on, table_of

HOSTILE = '</script><script>alert("1")</script>'
FIRST = "filters-0.6-retrained-seed0"  # the network that conditions are on at first
NAMES = ("dense-seed0", "filters-0.2-retrained-seed0", FIRST)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return report_on(write_unit_study(tmp_path_factory.mktemp("explorer") / "s", **SHAPE))


@pytest.fixture(scope="module")
def units(folder):
    return table_of(folder, "units")


def of_network(units, name):
    """Return the units of a network in the order of the page, by `name`: layer and number."""
    own = units[units["network"] == name]
    return own.assign(name=own["layer"] + ":" + own["unit"].astype(str)).set_index("name")


def start(open_page, folder, fragment="#explorer", **options):
    opened = open_page(folder / "report" / "index.html", fragment, **options)
    opened.page.wait_for_selector("#explorer-list tbody tr[data-unit]")
    return opened.page


def listed(page):
    """Return the names of the units that the rows in sight are of."""
    return page.eval_on_selector_all(
        "#explorer-list tbody a", "links => links.map((link) => link.textContent)"
    )


def said(page):
    return page.inner_text("#explorer-found")


def choose(page, name, text):
    page.locator(f"#explorer-choice [name={name}]").select_option(text)


# ---- files


def test_there_is_one_script_per_network_that_holds_the_table_of_units(folder, units):
    networks = list(table_of(folder, "networks")["network"])
    index = index_of(folder)
    assert index["layers"] == [[LAYERS[0], "conv", 4], [LAYERS[1], "conv", 40], ["fc", "linear", 3]]
    assert index["networks"] == networks
    assert index["classes"] == {"44": "a", "45": "b", "46": "c"}
    starts = {LAYERS[0]: 0, LAYERS[1]: 4, "fc": 44}
    files = {path.name for path in (folder / "report" / "units").iterdir()}
    assert files == {f"{place}.js" for place in range(len(networks))}
    seen = 0
    for place, name in enumerate(networks):
        told, columns = handed_over(folder / "report" / "units" / f"{place}.js", "network")
        assert told == place
        for row in units[units["network"] == name].to_dict("records"):
            at = starts[row["layer"]] + row["unit"]
            assert columns["alive"][at] == int(row["alive"])
            for column, scale in (("mis", 1000), ("hit_rate", 1000), ("iou", 10_000)):
                value = row[column]
                assert columns[column][at] == (-1 if math.isnan(value) else round(value * scale))
            if row["kind"] == "conv":
                assert index["concepts"][columns["concept"][at]] == [row["concept"], row["category"]]
                assert columns["detector"][at] == int(row["detector"])
            else:
                assert columns["concept"][at] == columns["detector"][at] == -1
            seen += 1
    assert seen == len(units)


def test_a_chain_leads_from_the_dense_network_to_the_highest_rate(folder):
    index = index_of(folder)
    chains = {
        chain["name"]: [(index["networks"][place], name) for place, name in chain["networks"]]
        for chain in index["series"]
    }
    assert list(chains) == ["filters", "weights", "filters, before retraining", "weights, before retraining"]
    assert chains["weights"] == [
        ("dense-seed0", "dense"),
        ("weights-0.2-retrained-seed0", "20\u00a0%"),
        ("weights-0.6-retrained-seed0", "60\u00a0%"),
    ]
    assert chains["filters, before retraining"][2][0] == "filters-0.6-pruned-seed0"


def test_each_seed_has_chains_of_its_own(tmp_path):
    shape = SHAPE | {"widths": (2,), "rates": (0.5,), "series": SERIES[:1], "seeds": (0, 1)}
    index = index_of(report_on(write_unit_study(tmp_path / "s", measures=("mis",), **shape)))
    chains = {
        chain["name"]: [index["networks"][place] for place, _ in chain["networks"]]
        for chain in index["series"]
    }
    assert chains["filters, seed 1"] == ["dense-seed1", "filters-0.5-retrained-seed1"]
    assert index["values"] == ["mis", "hit_rate"]
    [_, columns] = handed_over(tmp_path / "s" / "report" / "units" / "0.js", "network")
    assert list(columns) == ["alive", "mis", "hit_rate"]


def test_a_page_without_units_has_no_explorer_nor_files_for_it(tmp_path):
    folder = report_on(
        write_study(tmp_path / "s", layers=2, rates=(0.2,), series=SERIES[:1], classes=["a", "b"])
    )
    html = (folder / "report" / "index.html").read_text("utf-8")
    assert "explorer" not in html
    assert {path.name for path in (folder / "report").iterdir() if path.is_dir()} == {"figures"}


# ---- a browser


def test_all_units_are_listed_though_few_are_drawn(open_page, folder, units):
    page = start(open_page, folder)
    dead = int((~of_network(units, FIRST)["alive"]).sum())
    assert dead > 0
    assert said(page) == f"47 of 47 units fit, {dead} of them dead at 60\u00a0%."
    table = page.locator("#explorer-list table")
    assert table.get_attribute("aria-rowcount") == "48"
    assert listed(page)[:5] == [f"{LAYERS[0]}:{unit}" for unit in range(4)] + [f"{LAYERS[1]}:0"]
    assert len(listed(page)) < 30
    page.eval_on_selector("#explorer-list", "list => { list.scrollTop = list.scrollHeight }")
    page.wait_for_function("document.querySelector('#explorer-list').textContent.includes('fc:2')")
    assert listed(page)[-1] == "fc:2"
    assert page.locator("#explorer-list tbody tr[data-unit]").last.get_attribute("aria-rowindex") == "48"


def test_a_row_shows_a_unit_beside_itself_in_every_network(open_page, folder, units):
    page = start(open_page, folder, "#explorer&q=conv:2")
    name = f"{LAYERS[0]}:2"
    cells = page.locator("#explorer-list tbody tr[data-unit='2'] td").all_inner_texts()
    rows = [of_network(units, network).loc[name] for network in NAMES]
    for cell, row in zip(cells, rows, strict=False):
        score = "dead" if not row["alive"] else f"{row['mis']:.2f}"
        assert cell.split("\n") == [score, row["concept"]]
    change = rows[-1]["mis"].round(3) - rows[0]["mis"].round(3)
    assert cells[3].split("\n")[0] == f"{change:+.2f}".replace("-", "\u2212")
    heads = page.locator("#explorer-list thead th").all_inner_texts()
    assert heads == ["Unit", "dense", "20\u00a0%", "60\u00a0%", "Change"]


@pytest.mark.parametrize("value", ["mis", "hit_rate", "iou"])
def test_any_column_sorts_both_ways_with_units_without_a_value_last(open_page, folder, units, value):
    page = start(open_page, folder, f"#explorer&value={value}&layer={LAYERS[1]}")
    scale = 10_000 if value == "iou" else 1000
    scores = {
        name: (of_network(units, network).query("layer == @LAYERS[1]")[value] * scale).round()
        for name, network in zip(("dense", "20\u00a0%", "60\u00a0%"), NAMES, strict=True)
    }
    scores["Change"] = scores["60\u00a0%"] - scores["dense"]
    for name, column in scores.items():
        for rising in (False, True):
            heading = page.locator("#explorer-list thead th", has_text=name)
            heading.locator("button").click()
            assert heading.get_attribute("aria-sort") == ("ascending" if rising else "descending")
            expected = column.sort_values(ascending=rising, kind="stable", na_position="last")
            assert listed(page) == list(expected.index)[: len(listed(page))]
            assert len(listed(page)) > 10


def test_conditions_hold_together(open_page, folder, units):
    page = start(open_page, folder)
    dense, pruned = (of_network(units, network) for network in NAMES[::2])
    found = pruned.assign(change=pruned["mis"].round(3) - dense["mis"].round(3))

    def fits(expected):
        count = f"{int(expected.sum())} of 47 units fit"
        page.wait_for_function(
            "text => document.querySelector('#explorer-found').textContent.startsWith(text)", arg=count
        )
        assert listed(page) == list(found.index[expected])[: len(listed(page))]
        assert 0 < expected.sum() < 47

    choose(page, "state", "dead")
    fits(~found["alive"])
    choose(page, "state", "alive")
    fits(found["alive"])
    page.fill("[name=least]", "0.7")
    fits(found["alive"] & (found["mis"].round(3) >= 0.7))
    page.fill("[name=most]", "0.8")
    between = found["mis"].round(3).between(0.7, 0.8)
    fits(between)
    page.fill("[name=rise]", "-0.03")
    fits(between & (found["change"].round(3) <= -0.03))
    page.click("#explorer-choice [type=reset]")
    choose(page, "kind", "linear")
    fits(found["kind"] == "linear")
    page.click("#explorer-choice [type=reset]")
    was, now = dense["detector"].fillna(False).astype(bool), found["detector"].fillna(False).astype(bool)
    same = dense["concept"] == found["concept"]
    for concept, expected in {
        "detector": now, "none": ~now, "kept": was & now & same, "changed": was & now & ~same, "lost": was & ~now,
    }.items():  # fmt: skip
        choose(page, "concept", concept)
        fits(expected)
    choose(page, "network", "dense-seed0")
    choose(page, "concept", "detector")
    fits(was)


def test_a_search_looks_at_layers_classes_and_concepts(open_page, folder, units):
    page = start(open_page, folder)
    shown = units[units["network"].isin(NAMES) & units["detector"].fillna(False).astype(bool)]
    for words, wanted in {"dog": "dog", "OBJECT": "object", "dotted branch1": "dotted"}.items():
        page.fill("[name=q]", words)
        own = shown[(shown["concept"] == wanted) | (shown["category"] == wanted)]
        own = own[own["layer"] == LAYERS[1]] if "branch1" in words else own
        expected = set(own["layer"] + ":" + own["unit"].astype(str))
        assert said(page).startswith(f"{len(expected)} of 47 units fit")
        assert set(listed(page)) == expected != set()
    page.fill("[name=q]", "fc:1")
    assert listed(page) == ["fc:1"]
    page.fill("[name=q]", "no such thing")
    assert said(page).startswith("0 of 47 units fit")
    assert page.is_disabled("[name=csv]")


def test_the_address_keeps_what_is_shown(open_page, folder):
    page = start(open_page, folder)
    choose(page, "series", "weights")
    choose(page, "value", "iou")
    page.fill("[name=q]", "dog & cat = 100 %")
    page.fill("[name=q]", "conv")
    page.get_by_role("button", name="Change", exact=True).click()
    page.locator("#explorer-list tbody a").nth(2).click()
    page.wait_for_selector("#card h3")
    address, before, opened = page.evaluate("location.hash"), listed(page), page.inner_text("#card h3")
    again = start(open_page, folder, address)
    again.wait_for_selector("#card h3")
    assert listed(again)[:5] == before[:5]
    assert again.inner_text("#card h3") == opened
    assert again.input_value("[name=q]") == "conv"
    assert again.input_value("[name=series]") == "weights"
    assert again.evaluate("location.hash") == address
    page.go_back()
    page.wait_for_selector("#card h3", state="detached")
    assert listed(page) == before


def test_an_address_opens_the_card_of_a_unit(open_page, folder, units):
    page = start(open_page, folder, f"#unit={LAYERS[1]}:2")
    page.wait_for_selector("#card h3")
    assert page.get_attribute("#card", "data-unit") == f"{LAYERS[1]}:2"
    found = [of_network(units, network).loc[f"{LAYERS[1]}:2"] for network in NAMES]
    scores = page.locator("#card .score").all_inner_texts()
    expected = ["dead" if not row["alive"] else f"{row['mis']:.2f}" for row in found]
    assert [text.split("\n")[0] for text in scores] == expected
    assert "dead" in expected
    assert f"IoU {found[0]['iou']:.3f}" in page.locator("#card .concept").first.inner_text()
    examples = table_of(folder, "examples")
    own = examples.query("measure == 'mis' and layer == @LAYERS[1] and unit == 2 and network == @NAMES[0]")
    highest = own[own["side"] == "highest"].sort_values("rank")
    pictures = page.locator("#card svg")
    assert pictures.count() == 3 * 8
    labels = pictures.evaluate_all("all => all.map((svg) => svg.getAttribute('aria-label'))")
    assert labels[4:8] == list(highest["image"])
    paths = page.locator("#card svg path").evaluate_all("all => all.map((path) => path.getAttribute('d'))")
    assert [path.removeprefix("M-9-9H105V105H-9Z") for path in paths[:4]] == list(highest["outline"])
    images = page.locator("#card svg image").evaluate_all(
        "all => all.map((image) => image.getAttribute('href'))"
    )
    assert all((folder / "report" / image).is_file() for image in images)
    page.locator("#card-choice select").select_option("dissection")
    page.wait_for_function(
        "document.querySelector('#card svg').getAttribute('aria-label').startsWith('dissection')"
    )


def test_the_list_and_the_card_are_used_by_keyboard(open_page, folder):
    page = start(open_page, folder)
    page.locator("[name=csv]").focus()
    focused = "document.activeElement.closest('tr')?.querySelector('a').textContent"
    for _ in range(6):  # the headings, which sort
        page.keyboard.press("Tab")
    assert page.evaluate(focused) == f"{LAYERS[0]}:0"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == f"{LAYERS[0]}:1"
    page.keyboard.press("End")
    assert page.evaluate(focused) == "fc:2"
    page.keyboard.press("PageUp")
    far = page.evaluate(focused)
    assert far.startswith(LAYERS[1])
    page.keyboard.press("Enter")
    page.wait_for_selector("#card h3")
    layer, _, number = far.rpartition(":")
    assert page.inner_text("#card h3") == f"{layer}, unit {number}"
    assert page.locator("#explorer-list [aria-current] a").inner_text().replace("\n", "") == far
    page.get_by_role("link", name="next →").focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "name => document.querySelector('#card').dataset.unit === name", arg=f"{layer}:{int(number) + 1}"
    )
    assert page.evaluate("document.activeElement.rel") == "next"


def test_what_is_listed_is_downloaded_as_a_table(open_page, tmp_path):
    shape = SHAPE | {"classes": ["=1+1", 'a, "b"', HOSTILE]}
    folder = report_on(write_unit_study(tmp_path / "s", **shape))
    page = start(open_page, folder, "#explorer&q=fc&sort=-dense-seed0")
    with page.expect_download() as download:
        page.click("[name=csv]")
    text = download.value.path().read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 9
    assert {row["class"] for row in rows} == {"'=1+1", 'a, "b"', HOSTILE}
    units = table_of(folder, "units")
    dense = of_network(units, NAMES[0]).query("layer == 'fc'").sort_values("mis", ascending=False)
    assert [row["unit"] for row in rows[::3]] == [str(unit) for unit in dense["unit"]]
    for row in rows:
        own = of_network(units, row["network"]).loc[f"fc:{row['unit']}"]
        assert float(row["mis"]) == pytest.approx(own["mis"], abs=0.00051)
        assert row["alive"] == str(own["alive"]).lower()


def test_names_are_never_run(open_page, tmp_path):
    shape = SHAPE | {
        "series": [(HOSTILE, *SERIES[0][1:])],
        "classes": [HOSTILE, "<img src=x onerror=alert(1)>", "c" * 200],
    }
    folder = report_on(write_unit_study(tmp_path / "s", **shape))
    for name in ("units", "examples"):
        table = table_of(folder, name)
        table["layer"] = table["layer"].where(
            table["layer"] == "fc", HOSTILE + " & 100%:" + table["layer"].str[9]
        )
        table.to_parquet(folder / "tables" / f"{name}.parquet")
    report_on(folder)
    assert index_of(folder)["series"][0]["name"] == HOSTILE
    page = start(open_page, folder, width=360)
    page.locator("#explorer-list tbody a").nth(6).click()
    page.wait_for_selector("#card h3")
    assert page.inner_text("#card h3") == f"{HOSTILE} & 100%:1, unit 2"
    page.reload()
    page.wait_for_selector("#card h3")
    assert page.inner_text("#card h3") == f"{HOSTILE} & 100%:1, unit 2"
    page.fill("[name=q]", "onerror")
    page.locator("#explorer-list tbody a").first.click()
    page.wait_for_selector("#card h3 small")
    assert page.inner_text("#card h3 small").strip() == "logit of “<img src=x onerror=alert(1)>”"
    assert page.locator("script[src=x], img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("fragment", "problem"),
    [
        ("#unit=nowhere:1", "There is no unit nowhere:1 here."),
        ("#unit=fc:77", "There is no unit fc:77 here."),
        ("#explorer&layer=nowhere&sort=nothing", "There is no layer nowhere here."),
        ("#explorer&series=other", "There is no series other here."),
        ("#unit=100%:x", "There is no unit 100%:x here."),
    ],
)
def test_an_address_that_leads_nowhere_says_so(open_page, folder, fragment, problem):
    page = start(open_page, folder, fragment)
    assert said(page).startswith("47 of 47 units fit")
    assert problem in said(page)


def test_a_page_without_its_folder_says_so(chromium, folder, tmp_path):
    shutil.copy(folder / "report" / "index.html", tmp_path)
    page = chromium.new_page()
    page.goto((tmp_path / "index.html").as_uri() + "#unit=fc:0")
    page.wait_for_function("document.querySelector('#explorer-found').textContent.includes('could not')")
    assert said(page).endswith("could not be read: keep the page together with its folder.")
    shutil.copytree(folder / "report" / "units", tmp_path / "units")
    page.reload()
    page.wait_for_selector("#card h3")
    assert "examples/images.js could not be read" in page.inner_text("#card")
    page.close()


def test_it_fits_a_telephone(open_page, folder):
    opened = open_page(folder / "report" / "index.html", f"#unit={LAYERS[1]}:2", width=360, height=740)
    opened.page.wait_for_selector("#card h3")
    assert opened.overflow == []


def test_files_are_read_only_when_they_are_needed(open_page, folder):
    opened = open_page(folder / "report" / "index.html", "", height=300)
    opened.page.evaluate("document.querySelector('#explorer').style.marginTop = '5000px'")
    opened.page.evaluate("window.scrollTo(0, 0)")
    opened.page.wait_for_timeout(200)
    before = set(opened.requests)
    opened.page.goto(opened.page.url + "#explorer")
    opened.page.wait_for_selector("#explorer-list tbody tr[data-unit]")
    read = [name for name in opened.requests if name.startswith(("units/", "examples/", "thumbnails/"))]
    networks = list(table_of(folder, "networks")["network"])
    assert sorted(set(read)) == sorted(f"units/{networks.index(name)}.js" for name in NAMES)
    assert before - set(read)


def test_without_scripts_it_says_so(open_page, folder):
    opened = open_page(folder / "report" / "index.html", java_script_enabled=False)
    assert "needs scripts" in opened.page.inner_text("#explorer noscript")


def test_it_is_accessible_in_light_and_dark(open_page, folder):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for scheme in ("light", "dark"):
        page = start(open_page, folder, f"#unit={LAYERS[1]}:3", scheme=scheme, width=900)
        page.wait_for_selector("#card h3")
        found = axe.run(page, context="#explorer")
        assert found.violations_count == 0, found.generate_report()


def test_units_of_whom_only_concepts_are_known(open_page, tmp_path):
    folder = report_on(write_unit_study(tmp_path / "s", **SHAPE, measures=("dissection",)))
    page = start(open_page, folder)
    assert said(page) == "44 of 44 units fit."
    assert page.is_hidden("[name=state]")
    assert page.input_value("[name=value]") == "iou"
