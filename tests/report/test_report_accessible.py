"""axe-core finds nothing wrong with any kind of page, light or dark, wide or narrow; nothing sticks out of a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from synthetic import write_study
from synthetic_audit import write_audit_folder
from synthetic_units import write_unit_study
from test_recommendation import WISHES
from test_recommendation import write as write_choice

from prunescope.analysis.recommend import recommend
from prunescope.report import page
from prunescope.report.audit import write_audit
from prunescope.report.page import write_report
from prunescope.report.recommendation import write_recommendation

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("accessible")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        units = {"widths": (4, 6), "rates": (0.2, 0.6), "classes": ["a", "b", "c"], "layers": 2}
        return {
            "study": write_report(write_study(folder / "study", layers=4, rates=(0.2, 0.6))),
            "units": write_report(write_unit_study(folder / "units", **units)),
            "audit": write_audit(write_audit_folder(folder / "audit")),
            "recommendation": write_recommendation(
                recommend(write_choice(folder / "choice"), WISHES), folder / "out"
            ),
        }


def bring_all_to_life(opened):
    for box in opened.page.locator("figure .plot").all():
        box.scroll_into_view_if_needed()
        opened.page.wait_for_selector(f"[data-figure='{box.get_attribute('data-figure')}'][data-ready]")


@pytest.mark.parametrize(
    ("kind", "width", "scheme"),
    [
        ("study", 1280, "light"),
        ("study", 360, "dark"),
        ("units", 360, "dark"),
        ("audit", 360, "light"),
        ("recommendation", 1280, "dark"),
    ],
)
def test_axe_finds_nothing(open_page, indexes, kind, width, scheme):
    opened = open_page(indexes[kind], width=width, scheme=scheme)
    bring_all_to_life(opened)
    opened.page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
    opened.page.wait_for_timeout(100)
    found = Axe().run(opened.page, options=RULES).response["violations"]
    said = [(each["id"], each["help"], [node["html"][:200] for node in each["nodes"][:4]]) for each in found]
    assert said == []
    if width == 360:
        assert opened.overflow == []


def test_axe_would_find_pale_letters(open_page, indexes):
    page = open_page(indexes["study"]).page
    page.add_style_tag(content="p { color: #bbb !important; }")
    assert "color-contrast" in {each["id"] for each in Axe().run(page, options=RULES).response["violations"]}


def test_the_keyboard_reaches_the_content_first_and_then_the_sections(open_page, indexes):
    page = open_page(indexes["study"]).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('nav') !== null")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
