"""A real browser opens the previews: they ask for nothing but their pictures, fit, and are accessible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from made_survey_run import made_survey_run
from playwright.sync_api import Browser, sync_playwright
from test_survey_build import SMALL, small

from prunescope.survey.build import build

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("no chromium to open pages with")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_survey_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.mark.parametrize(
    ("kind", "width", "scheme"),
    [("mis", 400, "dark"), ("pairwise", 1280, "light"), ("identification", 400, "light")],
)
def test_a_preview_is_whole_and_accessible(run, browser, tmp_path, kind, width, scheme):
    questions = [{"id": "age", "text": "How old are you?", "kind": "number"}]
    folder = build(run, small(kind, questions=questions), tmp_path / kind).folder
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "preview" / "index.html").as_uri())
    page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert asked
    assert all(url.startswith(folder.as_uri()) for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("article").count() == SMALL[kind]["practice"] + 4 + min(24, page_tasks(folder))
    violations = Axe().run(page, options=RULES).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations] == []
    page.close()


def page_tasks(folder: Path) -> int:
    return int((pd.read_parquet(folder / "tasks.parquet")["role"] == "main").sum())


def test_sides_are_as_participants_see_them(run, browser, tmp_path):
    folder = build(run, small("mis"), tmp_path / "mis").folder
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto((folder / "preview" / "index.html").as_uri())
    boxes = page.locator("article").first
    left, right = (boxes.locator(".group").nth(n).bounding_box() for n in (0, 1))
    top, bottom = (boxes.locator(".query").nth(n).bounding_box() for n in (0, 1))
    assert left["x"] + left["width"] < top["x"] < top["x"] + top["width"] < right["x"]
    assert top["y"] + top["height"] <= bottom["y"]
    places = [place.bounding_box() for place in boxes.locator(".group").first.locator("img").all()]
    assert len(places) == 9
    assert len({round(place["x"]) for place in places}) == len({round(place["y"]) for place in places}) == 3
    page.close()
