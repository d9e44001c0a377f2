"""A real browser loses the connection, the tab, the server or its storage in the middle; no answer is lost."""

from __future__ import annotations

import json
import os
import re

import pytest
from page_visits import OPEN, PROLIFIC, browser, study, visit

__all__ = ["browser", "study", "visit"]
AWAY_S = float(os.environ.get("PRUNESCOPE_AWAY_S", "2"))  # 60 for a minute of real time
QUEUE = "Object.keys(localStorage).filter((key) => key.includes('.queue.')).length"
UNSENT = "Number(document.getElementById('status').dataset.unsent)"


def begun(one, query=""):
    """Go to the first task of the main part."""
    one.open(query).join()
    one.press("Go on without")
    return one.practise()


def test_offline_in_the_middle_goes_on_and_sends_all_when_it_is_back(study, visit):
    one = begun(visit(study("pairwise"), expects_errors=True)).answer(2)
    one.at(2)
    one.page.wait_for_load_state("networkidle")  # all pictures are here
    one.sent()
    one.context.set_offline(True)
    one.answer(4)
    status = one.page.locator("#status")
    assert "kept on this device and sent when the connection is back" in status.inner_text()
    one.page.wait_for_timeout(1000 * AWAY_S)
    assert len(one.stored()) == 2
    assert one.page.evaluate(UNSENT) == 4
    one.answer(1)
    one.context.set_offline(False)
    one.sent()
    assert one.stored() == one.given
    assert status.inner_text() in {"The connection is back.", ""}
    one.answer()
    one.finish()
    events = one.ask("SELECT kind FROM events WHERE participant = ?", one.row()["participant"])
    assert {"offline", "online"} <= {row["kind"] for row in events}


def test_offline_at_the_last_answer_the_end_waits_for_it(study, visit):
    one = begun(visit(study("pairwise"), expects_errors=True)).answer(6)
    one.page.wait_for_load_state("networkidle")
    one.context.set_offline(True)
    one.answer()
    one.heading("Your last answers are being sent")
    one.page.wait_for_timeout(500)
    assert one.page.locator(".code").count() == 0
    assert len(one.stored()) < len(one.given)
    one.context.set_offline(False)
    one.finish()


def test_tasks_whose_pictures_are_not_here_wait_for_the_connection(study, visit):
    one = visit(study("pairwise"), expects_errors=True)
    one.page.route(re.compile("/api/pictures/main/1/[1-9]/"), lambda route: route.abort())
    begun(one).answer(1)
    one.page.get_by_text("The pictures are being fetched").wait_for()
    assert one.page.locator(OPEN).count() == 0
    one.page.unroute_all()
    one.answer()
    one.finish()


@pytest.mark.parametrize("closed", [False, True], ids=["reloaded", "closed and opened again"])
def test_goes_on_in_place_with_all_that_was_not_sent(study, visit, closed):
    one = begun(visit(study("mis"), expects_errors=True), PROLIFIC.format(f"again-{closed}")).answer(2)
    one.at(2)
    one.page.wait_for_load_state("networkidle")
    one.sent()
    one.page.route("**/api/answers", lambda route: route.abort())  # the server is there; what is sent is lost
    one.answer(2)
    one.at(4)
    assert len(one.stored()) == 2
    assert one.page.evaluate(QUEUE) >= 2
    before = one.page.evaluate("performance.now()")
    one.page.unroute_all()
    if closed:
        one.page.close()
        one.page = one.context.new_page()
        one.open(PROLIFIC.format(f"again-{closed}"))
    else:
        one.page.once("dialog", lambda dialog: dialog.accept())
        one.page.reload()
    one.at(4)
    assert one.stored() == one.given
    assert one.page.evaluate("performance.now()") < before
    one.answer()
    one.finish()
    assert len(one.ask("SELECT * FROM participants WHERE platform_study = 'study' AND participant = ?",
                       one.row()["participant"])) == 1  # fmt: skip
    elapsed = one.ask("SELECT elapsed_ms FROM answers WHERE participant = ? AND phase = 'main' ORDER BY position",
                      one.row()["participant"])  # fmt: skip
    assert [row["elapsed_ms"] for row in elapsed] == sorted(row["elapsed_ms"] for row in elapsed)


def test_reload_in_the_instructions_and_in_practice(study, visit):
    one = visit(study("mis")).open()
    one.press("I agree and take part")
    one.heading("Instructions")
    one.page.reload()
    one.heading("Instructions")
    while one.page.get_by_role("button", name="Next").count():
        one.press("Next")
    one.press("Go to the practice tasks")
    one.press("Go on without")
    first, second = one.practice(1)
    one.choose(first.right)
    one.page.locator(".feedback.right button").wait_for()
    one.page.reload()
    one.choose(second.right)
    one.page.locator(".feedback.right button").click()
    one.heading("Practice is over")


def test_the_server_is_killed_and_started_again(study, visit):
    one = begun(visit(study("identification"), expects_errors=True)).answer(2)
    one.page.wait_for_load_state("networkidle")
    one.server.kill()
    one.answer(3)
    one.page.get_by_text("No connection").wait_for()
    one.server.start_again()
    one.sent()
    assert one.stored() == one.given
    one.answer()
    one.finish()


def test_a_reply_that_was_lost_makes_no_second_answer(study, visit):
    one = begun(visit(study("pairwise"), expects_errors=True))
    lost = []

    def lose(route):
        route.fetch()  # the server has it, the page does not know
        lost.append(json.loads(route.request.post_data)["answers"][0]["key"])
        route.abort() if len(lost) == 1 else route.continue_()

    one.page.route("**/api/answers", lose)
    one.answer()
    one.finish()
    assert lost[0] == lost[1]


def test_two_tabs_take_turns(study, visit):
    one = begun(visit(study("mis"))).answer(2)
    one.sent()
    first, second = one.page, one.context.new_page()
    second.goto(one.server.address)
    second.get_by_role("heading", name="The study is open in another tab").wait_for()
    assert second.locator(".answer").count() == 0
    second.get_by_role("button", name="Continue here").click()
    one.page = second
    one.at(2)
    first.get_by_role("heading", name="The study is open in another tab").wait_for()
    assert first.locator(".answer").count() == 0
    one.look("second tab")
    one.answer()
    one.finish()


WITHOUT = {
    "locks": "Object.defineProperty(navigator, 'locks', { value: undefined });",
    "storage": "Storage.prototype.setItem = () => { throw new Error('none'); };",
}


def test_two_tabs_where_the_browser_has_no_locks(study, visit):
    one = visit(study("mis"))
    one.context.add_init_script(WITHOUT["locks"])
    begun(one).answer(1)
    first, second = one.page, one.context.new_page()
    second.goto(one.server.address)
    second.get_by_role("button", name="Continue here").click()
    first.get_by_role("heading", name="The study is open in another tab").wait_for()
    one.page = second
    one.at(1)


def test_without_storage_it_is_kept_in_memory_and_says_so(study, visit):
    one = visit(study("pairwise"), expects_errors=True)
    one.context.add_init_script(WITHOUT["storage"])
    begun(one).answer(2)
    one.page.wait_for_load_state("networkidle")
    one.context.set_offline(True)
    one.answer(2)
    assert "please keep this page open" in one.page.locator("#status").inner_text()
    warned = []
    one.page.once("dialog", lambda dialog: (warned.append(dialog.type), dialog.dismiss()))
    one.page.close(run_before_unload=True)
    one.page.wait_for_timeout(300)
    assert warned == ["beforeunload"]
    one.context.set_offline(False)
    one.answer()
    one.finish()


def test_withdrawing_leaves_nothing_here_or_there(study, visit):
    one = begun(visit(study("mis")), PROLIFIC.format("leaves")).answer(1)
    one.sent()
    one.page.wait_for_load_state("networkidle")
    own = one.row()["participant"]
    one.press("Leave the study and delete my answers")
    one.look("sure?")
    one.press("Stay")
    one.at(1)
    one.press("Leave the study and delete my answers")
    one.press("Leave and delete")
    one.heading("You have left the study")
    assert one.page.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    assert one.ask("SELECT * FROM participants WHERE participant = ?", own) == []
    one.page.reload()
    one.heading(one.experiment.design.title)


def test_a_session_that_was_ended_elsewhere_says_so(study, visit):
    one = begun(visit(study("mis"), expects_errors=True), PROLIFIC.format("twice")).answer(1)
    other = visit(one.server).open(PROLIFIC.format("twice"))  # another browser, the same person
    other.press("I agree and take part")
    other.press("Go on without")
    other.at(1)
    one.page.evaluate("dispatchEvent(new Event('blur'))")  # whatever is sent next is refused
    one.heading("This session has ended")
    one.errors = [error for error in one.errors if "net::" not in error]
    assert all("401" in error for error in one.errors)
    one.errors.clear()
    assert one.page.evaluate("Object.keys(localStorage).length") == 0
    other.given.append(one.given[0])
    other.answer()
    other.finish()


def test_someone_else_on_the_same_device_starts_anew(study, visit):
    one = begun(visit(study("mis")), PROLIFIC.format("first")).answer(1)
    one.sent()
    one.open(PROLIFIC.format("second"))
    one.heading(one.experiment.design.title)
    one.press("I agree and take part")
    one.heading("Instructions")


@pytest.mark.parametrize("assignment", ["ASSIGNMENT_ID_NOT_AVAILABLE", "assignment-1"])
def test_mechanical_turk(study, visit, assignment):
    query = f"?workerId=w&assignmentId={assignment}&turkSubmitTo=https%3A%2F%2Fworkersandbox.mturk.com"
    one = visit(study("identification")).open(query)
    one.heading(one.experiment.design.title)
    if assignment == "ASSIGNMENT_ID_NOT_AVAILABLE":
        one.look("preview")
        assert one.page.get_by_text("This is a preview").is_visible()
        assert one.page.get_by_role("button", name="I agree").count() == 0
        return
    one.join()
    one.press("Go on without")
    one.practise().answer()
    one.finish()
    form = one.page.locator("form")
    fields = dict(form.locator("input").evaluate_all("all => all.map((i) => [i.name, i.value])"))
    assert form.get_attribute("action") == "https://workersandbox.mturk.com/mturk/externalSubmit"
    assert fields["assignmentId"] == assignment
    assert fields["code"] == one.row()["code"]


def test_questions_before_and_after(study, visit):
    asked = [
        {"id": "age", "text": "How old are you?", "kind": "number", "required": True, "when": "before"},
        {"id": "hand", "text": "Which hand?", "kind": "choice", "choices": ["left", "right"], "when": "before"},
        {"id": "note", "text": "<b>Anything</b> else?", "required": True},
    ]  # fmt: skip
    one = visit(study("pairwise", "-asked", questions=asked, tasks=2, catch=1)).open()
    one.press("I agree and take part")
    one.heading("A few questions")
    one.look("questions")
    one.press("Next")  # the browser itself says what is missing
    one.page.get_by_label("How old are you?").fill("33")
    one.page.get_by_label("right").check()
    one.press("Next")
    one.heading("Instructions")
    while one.page.get_by_role("button", name="Next").count():
        one.press("Next")
    one.press("Go to the practice tasks")
    one.press("Go on without")
    one.practise().answer()
    one.heading("A few questions")
    note = one.page.get_by_label("<b>Anything</b> else?")
    note.fill("   ")
    one.press("Next")
    note.fill("<img src=x onerror=alert(1)>")
    one.press("Next")
    one.finish()
    answers = {row["question"]: row["answer"] for row in one.ask("SELECT question, answer FROM questions")}
    assert float(answers.pop("age")) == 33
    assert answers == {"hand": "right", "note": "<img src=x onerror=alert(1)>"}
