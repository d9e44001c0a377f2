"""A real browser takes part in each design to its end: by mouse, by keyboard alone, at phone size by touch."""

from __future__ import annotations

import pytest
from page_visits import OPEN, PROLIFIC, browser, study, visit

from prunescope.survey.trials import answers_of

__all__ = ["browser", "study", "visit"]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("kind", ["mis", "pairwise", "identification"])
def test_each_design_by_mouse_to_the_end(study, visit, kind):
    one = visit(study(kind)).open(PROLIFIC.format(kind))
    look = one.look if kind == "mis" else lambda stage: None  # at pages that are alike in all designs
    one.heading(one.experiment.design.title)
    assert "PROLIFIC" not in one.page.url
    look("consent")
    one.press("I agree and take part")
    one.heading("Instructions")
    look("instructions")
    assert "prolific" not in str(one.page.evaluate("({...localStorage, ...sessionStorage})")).lower()
    for _ in one.experiment.design.instructions[1:]:
        one.press("Next")
    one.press("Go to the practice tasks")
    one.heading("Full screen")
    look("full screen")
    one.press("Go on without")

    first, *rest = one.practice(1)
    one.choose(one.other(first.right))
    one.page.locator(".feedback.wrong button").wait_for()
    look("feedback")
    one.page.locator(".feedback button").click()
    for trial in rest:
        one.choose(trial.right)
        one.page.locator(".feedback.right button").click()
    one.heading("Once more")
    look("once more")
    one.press("Next")
    for trial in one.practice(2):
        one.choose(trial.right)
        one.page.locator(".feedback.right button").click()
    one.heading("Practice is over")
    one.press("Begin")

    one.at(0)
    one.look("task")
    assert one.page.evaluate("document.activeElement.tagName") == "H1"
    shown = one.page.locator(".places img").evaluate_all("all => all.map((i) => [i.naturalWidth, i.alt])")
    assert len(shown) == len(one.trials()[0].files)
    assert all(width > 0 and alt for width, alt in shown)
    one.answer()
    code = one.finish()
    look("done")
    assert code == one.row()["code"]
    link = one.page.get_by_role("link", name="Return to the platform").get_attribute("href")
    assert link == f"https://app.prolific.com/submissions/complete?cc={code}"
    own = "FROM answers WHERE participant = ? AND phase ="
    rounds = one.ask(f"SELECT round, COUNT(*) AS n {own} 'practice' GROUP BY round", one.row()["participant"])
    assert [(row["round"], row["n"]) for row in rounds] == [(1, 2), (2, 2)]
    times = one.ask(f"SELECT rt_ms, elapsed_ms {own} 'main' ORDER BY position", one.row()["participant"])
    elapsed = [row["elapsed_ms"] for row in times]
    assert elapsed == sorted(elapsed)
    assert all(row["rt_ms"] > 0 for row in times)
    assert sum(row["rt_ms"] for row in times) < elapsed[-1]
    assert one.row()["instructions_ms"] > 0


def tab_to(one, name):
    """Move the focus with the keyboard alone until something of this name has it."""
    for _ in range(30):
        one.page.keyboard.press("Tab")
        if one.page.evaluate("document.activeElement.textContent").strip() == name:
            outline = one.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline == "solid"  # one sees where one is
            return
    raise AssertionError(f"no way to {name!r} by keyboard")


def test_by_keyboard_alone(study, visit):
    one = visit(study("mis")).open()
    keys = one.page.keyboard
    one.heading(one.experiment.design.title)
    tab_to(one, "I agree and take part")
    keys.press("Enter")
    one.heading("Instructions")
    for _ in one.experiment.design.instructions[1:]:
        tab_to(one, "Next")
        keys.press("Enter")
    tab_to(one, "Go to the practice tasks")
    keys.press("Space")
    one.heading("Full screen")
    tab_to(one, "Go on without")
    keys.press("Enter")

    def press(answer, level):
        one.page.wait_for_selector(OPEN)
        hint = one.button(answer, level).locator("kbd").inner_text()  # what the button itself says
        keys.press(hint.lower())

    for trial in one.practice(1):
        press(trial.right, 1)
        one.page.locator(".feedback.right button").wait_for()
        keys.press("Enter")  # the focus is there already
    tab_to(one, "Begin")
    keys.press("Enter")
    levels = one.experiment.design.confidence
    for position, trial in enumerate(one.trials()):
        one.at(position)
        level = 1 + position % levels
        press(trial.right, level)
        one.given.append((trial.right, level if levels > 1 else None))
    one.finish()


def test_a_held_key_answers_once(study, visit):
    one = visit(study("identification")).open().join()
    one.press("Go on without")
    one.practise()
    one.at(0)
    for _ in range(20):
        one.page.keyboard.down("1")  # every one after the first is a repetition
    one.at(1)
    one.page.keyboard.up("1")
    one.sent()
    assert len(one.stored()) == 1


@pytest.mark.parametrize("kind", ["mis", "pairwise"])
def test_at_the_size_of_a_telephone_by_touch(study, visit, kind):
    one = visit(study(kind), **PHONE).open()
    one.heading(one.experiment.design.title)
    one.look("consent")
    one.page.get_by_role("button", name="I agree and take part").tap()
    one.heading("Instructions")
    while one.page.get_by_role("button", name="Next").count():
        one.page.get_by_role("button", name="Next").tap()
    one.page.get_by_role("button", name="Go to the practice tasks").tap()
    one.page.get_by_role("button", name="Go on without").tap()
    for trial in one.practice(1):
        one.page.wait_for_selector(OPEN)
        one.button(trial.right).tap()
        one.page.locator(".feedback.right button").tap()
    one.page.get_by_role("button", name="Begin").tap()
    for position, trial in enumerate(one.trials()):
        one.at(position)
        if position == 0:
            one.look("task")
            sizes = one.page.locator(OPEN).evaluate_all(
                "all => all.map((b) => b.getBoundingClientRect()).map((r) => [r.width, r.height, r.bottom])"
            )
            assert all(min(width, height) >= 44 and bottom <= 844 for width, height, bottom in sizes)
            assert not one.page.locator("kbd").first.is_visible()  # there are no keys to press
        answer = trial.right or "left"
        one.button(answer, 3).tap()
        one.given.append((answer, 3 if kind == "mis" else None))
    one.finish()


def test_references_can_be_enlarged_on_a_telephone(study, visit):
    one = visit(study("mis"), **PHONE | {"viewport": {"width": 360, "height": 640}}).open().join()
    one.press("Go on without")
    one.page.wait_for_selector(OPEN)
    one.look("task")
    one.page.locator(".references.right .enlarge").tap()
    large = one.page.get_by_role("dialog", name="Group on the right")
    small = one.page.locator(".references.right .grid img").first.bounding_box()["width"]
    assert large.locator("img").count() == 9
    assert large.locator("img").first.bounding_box()["width"] > 1.5 * small
    one.look("enlarged")
    one.page.keyboard.press("q")  # answers nothing while the task is covered
    one.press("Close")
    assert one.page.locator(".chosen").count() == 0


def test_the_lock_takes_no_answer_before_its_time(study, visit):
    changes = {"timing": {"lock_ms": 600, "feedback_ms": 0}}
    one = visit(study("pairwise", "-locked", **changes)).open().join()
    one.press("Go on without")
    one.page.wait_for_selector(".answer[aria-disabled=true]")
    one.page.keyboard.press("ArrowLeft")
    one.page.locator(".answer").first.click(force=True)
    assert one.page.locator(".chosen").count() == 0
    one.practise()
    one.answer(2)
    one.at(2)
    one.sent()
    [row] = one.ask("SELECT MIN(rt_ms) AS least, COUNT(*) AS n FROM answers")
    assert row["n"] == 4
    assert row["least"] >= 600


def test_answers_are_named_with_their_keys(study, visit):
    one = visit(study("mis")).open().join()
    one.press("Go on without")
    one.page.wait_for_selector(OPEN)
    upper = one.page.get_by_role("group", name="The upper image. How confident are you?")
    lower = one.page.get_by_role("group", name="The lower image. How confident are you?")
    assert upper.get_by_role("button").all_text_contents() == ["1 not confidentQ", "2W", "3 very confidentE"]
    upper_name, lower_name = (answer.label for answer in answers_of(one.experiment))
    assert (upper_name, lower_name) == ("The upper image", "The lower image")
    assert lower.get_by_role("button", name="3 very confident").get_attribute("aria-keyshortcuts") == "d"
    sides = [(side, n) for side in ("left", "right") for n in range(1, 10)]
    alts = [f"Reference {n} of 9 of the group on the {side}" for side, n in sides]
    shown = one.page.locator(".references img").evaluate_all("all => all.map((image) => image.alt)")
    assert sorted(shown) == sorted(alts)


def test_the_whole_screen_is_offered_and_no_trap(study, visit):
    one = visit(study("pairwise")).open().join()
    one.press("Use the full screen")
    one.until("document.fullscreenElement !== null")
    one.page.wait_for_selector(OPEN)
    assert not one.page.locator("#fullscreen").is_visible()
    one.page.evaluate("document.exitFullscreen()")
    one.page.locator("#fullscreen").wait_for()  # offered again, and one may go on without
    one.practise()
    one.sent()
    one.answer(1)
    one.at(1)
    kinds = "SELECT kind FROM events WHERE participant = ? AND kind LIKE 'fullscreen%' ORDER BY elapsed_ms"
    for _ in range(50):
        noted = [row["kind"] for row in one.ask(kinds, one.row()["participant"])]
        if len(noted) == 2:
            break
        one.page.wait_for_timeout(100)
    assert noted == ["fullscreen_enter", "fullscreen_exit"]


def test_a_small_window_is_told_and_no_trap(study, visit):
    one = visit(study("pairwise"), viewport={"width": 300, "height": 400}).open()
    one.press("I agree and take part")
    small = one.page.get_by_role("dialog", name="This window is rather small")
    small.wait_for()
    one.look("small window")
    one.page.set_viewport_size({"width": 800, "height": 600})
    small.wait_for(state="hidden")
    one.page.set_viewport_size({"width": 300, "height": 400})
    one.press("I cannot, go on anyway")
    one.page.set_viewport_size({"width": 310, "height": 400})
    one.press("Next")
    assert small.count() == 0
