"""The server's interface, from consent to the code: for who does as told, and for who does not."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made_experiment import made_experiment
from served import Visitor, answer_of, in_process, service_of, to_main, truth

from prunescope.survey.experiment import Experiment
from prunescope.survey.storage import database_url, read_tables

QUESTIONS = [
    {"id": "eyes", "text": "Glasses?", "kind": "choice", "choices": ["yes", "no"], "when": "before", "required": True},
    {"id": "age", "text": "Your age?", "kind": "number", "when": "after"},
    {"id": "said", "text": "Anything to say?", "kind": "text", "when": "after"},
]  # fmt: skip
Make = Callable[..., tuple[Experiment, TestClient]]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Any] = []

    def make(kind: str = "pairwise", lists: int = 3, **changes: Any) -> tuple[Experiment, TestClient]:
        experiment = made_experiment(tmp_path / f"{kind}{len(opened)}", kind, lists, **changes)
        context = in_process(experiment)
        client = context.__enter__()
        opened.append(context)
        return experiment, client

    yield make
    for context in opened:
        context.__exit__(None, None, None)


def rows(experiment: Experiment, table: str = "answers") -> list[dict[str, Any]]:
    frame = read_tables(database_url(experiment.folder))[table]
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.mark.parametrize("kind", ["mis", "pairwise", "identification"])
def test_a_participant_goes_through_each_design(make: Make, kind: str) -> None:
    experiment, client = make(kind)
    visitor = Visitor(client)
    assert visitor.enter().status_code == 201
    assert visitor.session()["stage"] == "instructions"
    assert visitor.session()["practice"] == visitor.session()["trials"] == []
    main = to_main(visitor, experiment)
    told = visitor.session()
    assert (told["stage"], told["next"], told["total"]) == ("main", 0, 8)
    assert [list(t["pictures"]) for t in told["trials"]] == [list(t.shown) for t in main]
    for place, urls in told["trials"][3]["pictures"].items():
        for n, url in enumerate(urls):
            picture = visitor.get(url)
            assert picture.content == (experiment.pictures / main[3].shown[place][n]).read_bytes()
            assert picture.headers["content-type"] == "image/png"
    values = [one["value"] for one in client.get("/api/welcome").json()["answers"]]
    confidence = 2 if kind == "mis" else None
    given = [
        answer_of("main", 1, position, values[position % len(values)], confidence=confidence)
        for position in range(8)
    ]
    assert visitor.get("/api/completion").status_code == 409
    reply = visitor.answer(*given).json()
    assert reply["stage"] == "done"
    assert [one["key"] for one in reply["acknowledged"]] == [one["key"] for one in given]
    assert [one["right"] for one in reply["acknowledged"]] == [None] * 8
    kept = [row for row in rows(experiment) if row["phase"] == "main"]
    for row, one, trial in zip(kept, given, main, strict=True):
        assert {key: row[key] for key in one} == one
        assert (row["task"], row["participant"]) == (trial.task, visitor.participant)
    done = visitor.get("/api/completion").json()
    assert done == {"code": done["code"], "link": None, "submit": None, "participant": visitor.participant}
    assert len(done["code"]) == 10
    assert visitor.get("/api/completion").json() == done


def test_practice_comes_again_until_all_of_a_round_is_right(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    visitor.enter()
    visitor.done("instructions")
    _, practice = truth(experiment, visitor.participant)
    wrong = {"left": "right", "right": "left"}
    first = visitor.answer(answer_of("practice", 1, 0, wrong[practice(1)[0].right])).json()
    assert first["acknowledged"][0]["right"] is False
    assert (first["round"], first["next"]) == (1, 1)
    second = visitor.answer(answer_of("practice", 1, 1, practice(1)[1].right)).json()
    assert (second["stage"], second["round"], second["next"]) == ("practice", 2, 0)
    again = [answer_of("practice", 2, position, practice(2)[position].right) for position in range(2)]
    assert visitor.answer(*again).json()["stage"] == "main"
    late = visitor.answer(answer_of("practice", 1, 0, "equal")).json()  # another tab, that slept meanwhile
    assert (late["acknowledged"][0]["duplicate"], late["acknowledged"][0]["right"]) == (True, False)
    assert visitor.answer(answer_of("practice", 3, 0, "left")).status_code == 409
    assert len(rows(experiment)) == 4


def test_an_answer_is_kept_once_whatever_comes_again(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    to_main(visitor, experiment)
    one = answer_of("main", 1, 0, "left")
    first, same_, other = (
        visitor.answer(given).json()["acknowledged"][0]
        for given in (one, one, answer_of("main", 1, 0, "right"))
    )
    assert (first["duplicate"], same_["duplicate"], other["duplicate"]) == (False, True, True)
    kept = [row for row in rows(experiment) if row["phase"] == "main"]
    assert [(row["answer"], row["key"]) for row in kept] == [("left", one["key"])]


def test_two_tabs_at_once_keep_one_answer_each(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    to_main(visitor, experiment)
    with ThreadPoolExecutor(8) as threads:
        for position in range(8):
            given = [answer_of("main", 1, position, side) for side in ["left", "right", "equal", "left"] * 2]
            told = [reply.json()["acknowledged"][0] for reply in threads.map(visitor.answer, given)]
            assert sorted(one["duplicate"] for one in told) == [False] + [True] * 7
            first = next(one["key"] for one in told if not one["duplicate"])
            assert [row["key"] for row in rows(experiment) if row["phase"] == "main"][position] == first


@pytest.mark.parametrize(
    ("phase", "round", "position"),
    [("main", 1, 1), ("main", 2, 0), ("main", 1, 99), ("practice", 2, 0)],
)
def test_nothing_can_be_skipped(make: Make, phase: str, round: int, position: int) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    to_main(visitor, experiment)
    reply = visitor.answer(answer_of(phase, round, position, "left"))
    assert (reply.status_code, reply.json()["next"]) == (409, 0)
    assert len(rows(experiment)) == 2


def test_what_comes_before_a_gap_is_kept_and_what_comes_after_is_not(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    to_main(visitor, experiment)
    reply = visitor.answer(*(answer_of("main", 1, position, "left") for position in (0, 1, 3, 2)))
    assert (reply.status_code, reply.json()["next"]) == (409, 2)
    assert [row["position"] for row in rows(experiment) if row["phase"] == "main"] == [0, 1]


def test_no_answer_before_the_instructions_and_no_main_before_practice(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    visitor.enter()
    assert visitor.answer(answer_of("practice", 1, 0, "left")).status_code == 409
    assert visitor.done("after").status_code == 409
    visitor.done("instructions", 12_345.0)
    assert visitor.answer(answer_of("main", 1, 0, "left")).status_code == 409
    assert visitor.done("instructions", 1.0).json()["stage"] == "practice"  # said again: nothing changes
    assert rows(experiment) == []
    assert rows(experiment, "participants")[0]["instructions_ms"] == 12_345.0


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("pairwise", {"answer": "up"}), ("pairwise", {"confidence": 1}), ("mis", {"confidence": None}),
        ("mis", {"confidence": 4}), ("mis", {"confidence": 0}), ("mis", {"answer": "left"}),
        ("identification", {"answer": "cat"}), ("pairwise", {"rt_ms": -1}), ("pairwise", {"rt_ms": "7"}),
        ("pairwise", {"key": "7"}), ("pairwise", {"more": 1}), ("pairwise", {"position": True}),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused_with_its_batch(
    make: Make, kind: str, changes: dict[str, Any]
) -> None:
    experiment, client = make(kind)
    visitor = Visitor(client)
    to_main(visitor, experiment)
    kept = len(rows(experiment))
    good = {"mis": "top", "pairwise": "left", "identification": "don't know"}[kind]
    one = answer_of("main", 1, 0, good, confidence=1 if kind == "mis" else None)
    reply = visitor.answer(one, one | {"position": 1} | changes)
    assert reply.status_code == 422
    assert isinstance(reply.json()["detail"], str)
    assert len(rows(experiment)) == kept
    assert visitor.answer(one).status_code == 200


def test_a_platform_s_participant_goes_on_in_the_same_session_and_not_in_another(make: Make) -> None:
    experiment, client = make()
    platform = {"name": "prolific", "participant": "5f1", "study": "st", "session": "se"}
    first = Visitor(client, **platform)
    to_main(first, experiment)
    first.answer(answer_of("main", 1, 0, "left"))
    second = Visitor(client, **platform)
    assert second.enter().json()["participant"] == first.participant
    assert second.session()["next"] == 1
    assert first.get("/api/session").status_code == 401  # the old token has ended, also for what is only read
    assert first.get("/api/pictures/main/1/0/left/0").status_code == 401
    assert Visitor(client, **platform | {"session": "other"}).enter().status_code == 409
    assert Visitor(client, **platform | {"name": "mturk"}).enter().status_code == 201
    assert Visitor(client).enter().json()["participant"] != Visitor(client).enter().json()["participant"]


def test_the_way_back_to_a_platform(make: Make) -> None:
    _, client = make(platform={"code": "CODE-7"}, practice=0, lists=1, answers_per_task=9)
    given = [answer_of("main", 1, position, "equal") for position in range(8)]

    def finish(**platform: Any) -> dict[str, Any]:
        visitor = Visitor(client, **platform)
        visitor.enter()
        assert visitor.done("instructions").json()["stage"] == "main"
        visitor.answer(*given)
        told: dict[str, Any] = visitor.get("/api/completion").json()
        return told

    assert finish(name="prolific", participant="a")["link"] == (
        "https://app.prolific.com/submissions/complete?cc=CODE-7"
    )
    turk = {"name": "mturk", "participant": "w", "session": "assignment"}
    told = finish(**turk, submit_to="https://workersandbox.mturk.com/x?y=z")
    assert told["submit"] == {
        "action": "https://workersandbox.mturk.com/mturk/externalSubmit",
        "fields": {"participant": told["participant"], "code": "CODE-7"},
    }
    for elsewhere in (
        "https://evil.org",
        "http://www.mturk.com",
        "https://www.mturk.com@evil.org",
        "https://[",
        "x:1",
    ):
        assert (
            Visitor(client, **turk | {"participant": elsewhere}, submit_to=elsewhere).enter().status_code
            == 422
        )
    preview = turk | {"session": "ASSIGNMENT_ID_NOT_AVAILABLE"}
    assert Visitor(client, **preview).enter().status_code == 409


def test_questions_are_asked_in_their_stage_and_kept(make: Make) -> None:
    experiment, client = make(questions=QUESTIONS)
    visitor = Visitor(client)
    visitor.enter()
    ask = lambda **given: visitor.post("/api/questions", {"answers": given})  # noqa: E731
    assert visitor.session()["stage"] == "before"
    assert visitor.done("before").status_code == 409  # it needs an answer
    assert ask(eyes="maybe").status_code == 422
    assert ask(eyes=1).status_code == 422
    assert ask(shoe="9").status_code == 422
    assert ask(age=30).status_code == 409
    assert ask(eyes="no").json() == {"kept": 1}
    ask(eyes="yes")
    assert visitor.done("before").json()["stage"] == "instructions"
    assert ask(eyes="no").status_code == 200  # another tab, later: the first stays
    to_main(visitor, experiment)
    visitor.answer(*(answer_of("main", 1, position, "equal") for position in range(8)))
    assert visitor.session()["stage"] == "after"
    assert ask(age="thirty").status_code == 422
    assert ask(age=30.5, said="=1+1 — <b>ünïcode</b> 𝄞").status_code == 200
    assert visitor.done("after").json()["stage"] == "done"
    kept = {row["question"]: row["answer"] for row in rows(experiment, "questions")}
    assert kept == {"eyes": "yes", "age": "30.5", "said": "=1+1 — <b>ünïcode</b> 𝄞"}


def test_events_are_kept_once_and_not_without_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.survey.questions.MOST_EVENTS", 120)
    experiment, client = make()
    visitor = Visitor(client)
    visitor.enter()
    events = [
        {"key": str(uuid.uuid4()), "kind": "blur", "elapsed_ms": float(number), "detail": ""}
        for number in range(130)
    ]
    for _ in range(2):
        assert visitor.post("/api/events", {"events": events[:100]}).json() == {"kept": 100}
    visitor.post("/api/events", {"events": [*events[90:], events[-1]]})
    assert sorted(row["elapsed_ms"] for row in rows(experiment, "events")) == [float(n) for n in range(120)]


def test_the_researcher_sees_who_is_where_and_can_pause(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    main = to_main(visitor, experiment)
    for position, trial in enumerate(main[:6]):
        visitor.answer(answer_of("main", 1, position, trial.right or "equal"))
    Visitor(client).enter()
    service = service_of(client)
    researcher = {"Authorization": f"Bearer {service.token}"}
    told = client.get("/api/researcher/state", headers=researcher).json()
    own = next(one for one in told["participants"] if one["participant"] == visitor.participant)
    catch = sum(trial.role == "catch" for trial in main[:6])
    assert (own["stage"], own["answered"], own["total"]) == ("main", 6, 8)
    assert own["catch_right"] == (1.0 if catch else None)
    assert sum(one["answered"] for one in told["conditions"]) == told["counts"]["answers"] == 6 - catch
    assert sum(one["wanted"] for one in told["conditions"]) == 3 * 6 * 2
    assert sum(one["under_way"] for one in told["conditions"]) == 2 * 6
    assert sorted(one["under_way"] for one in told["lists"]) == [0, 1, 1]
    pause = lambda paused: client.post("/api/researcher/pause", json={"paused": paused}, headers=researcher)  # noqa: E731
    assert pause(True).json() == {"paused": True}
    assert not client.get("/api/welcome").json()["open"]
    assert Visitor(client).enter().status_code == 503
    assert visitor.answer(answer_of("main", 1, 6, "left")).status_code == 200  # who has begun goes on
    pause(False)
    assert Visitor(client).enter().status_code == 201


def test_a_picture_that_is_gone_is_said_so(make: Make) -> None:
    experiment, client = make()
    visitor = Visitor(client)
    main = to_main(visitor, experiment)
    (experiment.pictures / main[0].shown["left"][0]).unlink()
    assert visitor.get("/api/pictures/main/1/0/left/0").status_code == 503


def test_pages_come_from_the_list_and_nothing_else(make: Make) -> None:
    _, client = make()
    assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    script = client.get("/page/study.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "no-cache"
    again = client.get("/page/study.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/jspsych/jspsych.js").status_code == 200
    for path in (
        "/page/../experiment.json",
        "/page/%2e%2e/researcher.token",
        "/page//etc/passwd",
        "/page/",
        "/docs",
    ):
        assert client.get(path).status_code == 404, path
