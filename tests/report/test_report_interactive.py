"""The report in a real browser: figures answer the pointer and the keyboard, and nothing in a name runs."""

import re

import pandas as pd
import pytest
from synthetic import SERIES, write_study

from prunescope.report import page
from prunescope.report.page import write_report

NAMES = (
    "<script>window.ran=1</script>",
    '"><img src=x onerror="window.ran=1">',
    "\u202eright to left</script>",
)
FIGURE = "#figure-top1-by-rate"


def write(folder, **shape):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        return write_report(
            write_study(folder, **({"layers": 4, "rates": (0.2, 0.6), "classes": ["a", "b", "c"]} | shape))
        )


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return write(tmp_path_factory.mktemp("interactive") / "study")


@pytest.fixture
def opened(open_page, index):
    """The page, with its first figure come to life."""
    opened = open_page(index, FIGURE)
    opened.page.wait_for_selector(f"{FIGURE} .plot[data-ready]")
    return opened


def where(page, series, panel=1, which=0):
    """Return where on the screen a mark of a series lies."""
    return page.evaluate(
        """([figure, series, panel, which]) => {
          const { data, svg } = document.querySelector(`${figure} .plot`).live;
          const marks = data.marks.filter((m) => m[0] === panel && data.series[m[1]]?.[0] === series && !m[4]);
          const at = new DOMPoint(marks[which][2], marks[which][3]).matrixTransform(svg.getScreenCTM());
          return [at.x, at.y];
        }""",
        [FIGURE, series, panel, which],
    )


def told(page):
    tip = page.locator(f"{FIGURE} .tip")
    return tip.inner_text().split("\n") if tip.is_visible() else []


def expected(folder, network):
    scores = pd.read_parquet(folder / "tables" / "scores.parquet").set_index(["network", "metric"])
    row = scores.loc[(network, "top1")]
    value, low, high = (f"{100 * row[name]:.1f}".removesuffix(".0") for name in ("value", "low", "high"))
    return f"Top-1 accuracy: {value}\u00a0% ({low}\u00a0% to {high}\u00a0%)"


def test_the_pointer_is_told_series_values_and_interval(opened, index):
    opened.page.mouse.move(*where(opened.page, "filters"))
    lines = told(opened.page)
    assert lines[:3] == [
        "filters",
        "Rate asked: 20\u00a0%",
        expected(index.parent.parent, "filters-0.2-retrained-seed0"),
    ]
    opened.page.mouse.move(2, 2)
    assert told(opened.page) == []


def test_a_finger_is_told_too(open_page, index):
    page = open_page(index, FIGURE, width=360, height=740, has_touch=True).page
    page.wait_for_selector(f"{FIGURE} .plot[data-ready]")
    page.touchscreen.tap(*where(page, "weights", panel=0))
    assert told(page)[0] == "weights"


def test_the_keyboard_goes_from_value_to_value(opened):
    page = opened.page
    page.focus(f"{FIGURE} .plot")
    seen = []
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        seen.append(told(page)[0])
    page.keyboard.press("ArrowLeft")
    assert told(page)[0] == seen[2]
    page.keyboard.press("ArrowDown")
    assert told(page)[0] != seen[2]
    page.keyboard.press("Escape")
    assert told(page) == []
    assert set(seen) <= {"dense", *(entry[0] for entry in SERIES)}


def test_a_series_is_hidden_and_shown_by_keyboard(opened):
    page = opened.page
    button = page.locator(f"{FIGURE} .legend button", has_text="filters")
    ids = page.evaluate(
        f"document.querySelector('{FIGURE} .plot').live.data.series.find(([n]) => n === 'filters')[1]"
    )
    shown = "ids => ids.map((id) => getComputedStyle(document.getElementById(id)).display !== 'none')"
    place = where(page, "filters")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert not any(page.evaluate(shown, ids))
    page.mouse.move(*place)
    assert "filters" not in told(page)
    button.press("Space")
    assert button.get_attribute("aria-pressed") == "true"
    assert all(page.evaluate(shown, ids))


PARTS = f"""() => [...document.querySelectorAll('{FIGURE} svg [id*="-part"] *, {FIGURE} svg [id*="tick_"]')].map((e) =>
  [e.getAttribute("d"), (e.getAttribute("transform") || "").replace(/translate\\(0 0\\)\\s*/, ""), e.style.display])"""
MARKERS = f"""() => [...document.querySelectorAll('{FIGURE} svg [id*="-panel1"] [id*="-part"] use')].map((e) => {{
  const box = e.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2, box.width]; }})"""


def test_zoom_moves_points_apart_and_keeps_their_size(opened):
    page = opened.page
    before, markers = page.evaluate(PARTS), page.evaluate(MARKERS)
    for _ in range(2):
        page.get_by_label("Zoom in").first.click()
    near = page.evaluate(MARKERS)
    assert len(near) == len(markers) == 6
    spread = [max(m[0] for m in each) - min(m[0] for m in each) for each in (markers, near)]
    assert spread[1] == pytest.approx(1.6**2 * spread[0], rel=0.01)
    assert [m[2] for m in near] == pytest.approx([m[2] for m in markers], abs=0.6)
    ticks = page.locator(f"{FIGURE} svg [id*='tick_']")
    assert "none" in ticks.evaluate_all("all => all.map((tick) => tick.style.display)")
    page.get_by_label("Show all").first.click()
    assert page.evaluate(PARTS) == before


def test_a_frame_is_zoomed_to(opened):
    page = opened.page
    x, y = where(page, "filters", panel=0, which=1)
    page.mouse.move(x - 30, y - 30)
    page.mouse.down()
    page.mouse.move(x, y, steps=3)
    page.mouse.move(x + 30, y + 20, steps=3)
    page.mouse.up()
    view = page.evaluate(f"document.querySelector('{FIGURE} .plot').live.view")
    assert 0 < view["x"][1] - view["x"][0] < 0.4
    assert page.locator(f"{FIGURE} .frame").count() == 0
    page.mouse.move(x, y)
    page.mouse.wheel(0, 300)  # the page scrolls, the figure stays
    assert page.evaluate(f"document.querySelector('{FIGURE} .plot').live.view") == view


def test_the_numbers_of_a_figure_can_be_had(opened, index):
    link = opened.page.locator(f"{FIGURE} .files a", has_text="Data (CSV)")
    with opened.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "top1-by-rate.csv"
    table = pd.read_csv(index.parent / "figures" / "top1-by-rate.csv")
    assert set(table["series"]) == {"dense", "chance", *(entry[0] for entry in SERIES)}


def test_figures_are_read_as_they_come_near(open_page, index):
    opened = open_page(index, width=1000, height=600)
    opened.page.wait_for_timeout(300)
    first = [name for name in opened.requests if name.endswith(".js")]
    opened.page.keyboard.press("End")
    last = opened.page.evaluate("[...document.querySelectorAll('.plot')].at(-1).dataset.figure")
    opened.page.evaluate("document.querySelector('figure:last-of-type').scrollIntoView()")
    opened.page.locator(f"#figure-{last}").scroll_into_view_if_needed()
    opened.page.wait_for_selector(f"#figure-{last} .plot[data-ready]")
    assert f"figures/{last}.js" not in first
    assert f"figures/{last}.js" in opened.requests


def test_without_scripts_everything_can_be_read(open_page, index):
    page = open_page(index, java_script_enabled=False).page
    pictures = page.locator("figure .plot img")
    assert pictures.count() == page.locator("figure .plot").count() > 5
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    assert page.locator(f"{FIGURE} .legend").inner_text().split() == [
        "dense",
        "filters",
        "weights",
        "connections,",
        "random",
    ]
    assert page.locator(f"{FIGURE} .tools").count() == 0


def test_on_paper_all_figures_are_there_and_no_controls(opened):
    page = opened.page
    page.emulate_media(media="print", color_scheme="dark")
    shown = page.locator("figure .plot").evaluate_all(
        "boxes => boxes.map((box) => box.firstElementChild.getBoundingClientRect().height)"
    )
    assert min(shown) > 50
    for control in ("nav", ".tools", ".tip", ".files", ".skip"):
        assert not page.locator(control).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 50_000


def test_a_dark_page_has_dark_figures(open_page, index):
    page = open_page(index, FIGURE, scheme="dark").page
    page.wait_for_selector(f"{FIGURE} .plot[data-ready]")
    colours = page.evaluate(
        f"""() => [getComputedStyle(document.querySelector('{FIGURE} svg text')).fill,
                  getComputedStyle(document.querySelector('{FIGURE} svg [id$="patch_1"] path')).fill,
                  getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"""
    )
    text, paper, background, ink = colours
    assert paper == background
    assert text == ink
    assert sum(map(int, re.findall(r"\d+", background))) < 100


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    series = [(name, *entry[1:]) for name, entry in zip(NAMES, SERIES, strict=True)]
    about = {"title": NAMES[0], "description": NAMES[1]}
    return write(
        tmp_path_factory.mktemp("interactive") / "s", series=series, classes=[*NAMES, "x" * 200], **about
    )


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_in_a_name_runs_or_sticks_out(open_page, nasty, width):
    opened = open_page(nasty, width=width)
    page = opened.page
    for box in page.locator("figure .plot").all():
        box.scroll_into_view_if_needed()
        page.wait_for_selector(f"[data-figure='{box.get_attribute('data-figure')}'][data-ready]")
    assert page.locator(f"{FIGURE} .legend button").all_inner_texts()[1:] == [*NAMES]
    page.focus(f"{FIGURE} .plot")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
        assert told(page)
    assert page.evaluate("window.ran") is None
    assert opened.overflow == []


def test_the_browser_gives_a_page_nothing_from_outside_its_folder(open_page, tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "out.js").write_text("document.body.dataset.out = 1", "utf-8")
    (tmp_path / "report" / "in.js").write_text("document.body.dataset.in = 1", "utf-8")
    sources = ("in.js", "../out.js", "https://example.org/x.js")
    scripts = "".join(f"<script src='{source}'></script>" for source in sources)
    index = tmp_path / "report" / "index.html"
    index.write_text(f"<body><p style='width: 500px'>wide</p>{scripts}</body>", "utf-8")
    opened = open_page(index, width=360)
    assert opened.requests == ["index.html", "in.js"]
    assert sorted(address.split("/")[-1] for address in opened.outside) == ["out.js", "x.js"]
    assert opened.page.evaluate("({...document.body.dataset})") == {"in": "1"}
    assert len(opened.errors) == 2
    assert opened.overflow[0].startswith("P. wide")
    opened.outside.clear()
    opened.errors.clear()


@pytest.mark.parametrize(("width", "motion"), [(1280, "no-preference"), (360, "reduce")])
def test_a_row_that_is_folded_away_comes_into_view(open_page, index, width, motion):
    page = open_page(index, width=width, height=740).page
    page.emulate_media(reduced_motion=motion)
    link = page.locator(".conclusions a[href^='#finding-']").first
    row = page.locator(link.get_attribute("href"))
    assert not row.is_visible()
    link.click()
    row.wait_for(state="visible")
    page.wait_for_function(
        "row => row.getBoundingClientRect().top >= 0 && row.getBoundingClientRect().top < innerHeight",
        arg=row.element_handle(),
    )
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert row.evaluate("row => getComputedStyle(row).backgroundColor") != paper
