"""The researcher's page in a real browser: the token, who is where, pause, withdrawal, the export."""

from __future__ import annotations

import zipfile

import httpx
import pytest
from page_visits import browser, study, visit
from served import Visitor, answer_of

NARROW = {"viewport": {"width": 400, "height": 800}, "color_scheme": "dark"}
__all__ = ["browser", "study", "visit"]


@pytest.fixture(scope="module")
def people(study):
    """A study, and a client of its server."""
    server = study("pairwise", "-researched")
    with httpx.Client(base_url=server.address) as client:
        yield server, client


def enter(client, stages):
    one = Visitor(client)
    assert one.enter().status_code == 201
    for stage in stages:
        one.done(stage)
    return one


def opened(visit, server, **options):
    one = visit(server, **options)
    one.page.goto(f"{server.address}/researcher")
    return one


def sign_in(one, token):
    one.page.get_by_label("Researcher’s token").fill(token)
    one.press("Open")


def test_a_wrong_token_opens_nothing_and_the_right_one_is_kept_nowhere(visit, people):
    server, _ = people
    one = opened(visit, server, expects_errors=True)
    one.look("entry")
    sign_in(one, "wrong")
    one.page.get_by_text("This is not the researcher's token").wait_for()
    one.errors.clear()  # the browser notes the 401
    sign_in(one, server.token)
    one.page.get_by_role("heading", name="Conditions").wait_for()
    places = [
        "location.href",
        "JSON.stringify(localStorage)",
        "JSON.stringify(sessionStorage)",
        "document.cookie",
    ]
    for place in [*places, "document.documentElement.outerHTML"]:
        assert server.token not in one.page.evaluate(place)
    assert one.page.get_by_label("Researcher’s token").input_value() == ""
    one.page.reload()
    one.page.get_by_label("Researcher’s token").wait_for()


@pytest.mark.parametrize("options", [{}, NARROW], ids=["wide", "narrow and dark"])
def test_who_is_where_pause_withdraw_and_export(visit, people, options):
    server, client = people
    enter(client, [])
    second = enter(client, ["instructions"])
    second.answer(answer_of("practice", 1, 0, "left"))
    one = opened(visit, server, accept_downloads=True, **options)
    sign_in(one, server.token)
    page = one.page
    rows = page.locator("#participants tr")
    mine = rows.filter(has_text=second.participant)
    mine.wait_for()
    assert "practice, round 1" in mine.inner_text()
    assert "1 of 2" in mine.inner_text()
    one.look("researcher")

    third = enter(client, ["instructions"])
    rows.filter(has_text=third.participant).wait_for()  # by itself

    page.get_by_label("Show").select_option("finished")
    assert rows.filter(visible=True).count() == 0
    page.get_by_label("Show").select_option("all")

    page.get_by_role("button", name="Pause").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause").click()
    page.get_by_text("Nobody new is let in").wait_for()
    assert Visitor(client).enter().status_code == 503
    page.get_by_role("button", name="Let people in again").click()
    page.get_by_role("dialog").get_by_role("button", name="Let people in").click()
    page.locator("#paused").wait_for(state="hidden")

    mine.get_by_role("button", name="Withdraw").click()
    one.look("sure?")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert second.get("/api/session").status_code == 200
    mine.get_by_role("button", name="Withdraw").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    mine.wait_for(state="detached")
    assert second.get("/api/session").status_code == 401

    with page.expect_download() as download:
        page.get_by_role("button", name="Download the export").click()
    assert download.value.suggested_filename == "made-pairwise.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        names = {name.split("/")[-1] for name in archive.namelist()}
        everything = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".csv"))
    assert {"answers.csv", "participants.csv", "codebook.md"} <= names
    assert third.participant.encode() in everything
    assert second.participant.encode() not in everything
