"""Who gets which list: the emptiest, under concurrency too; places of those who left are free until they come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made_experiment import made_experiment
from served import Visitor, answer_of, in_process, service_of

from prunescope.survey.experiment import Experiment
from prunescope.survey.storage import database_url, read_tables

LISTS, WANTED = 4, 3


class Moved:
    """A server's clock that a test moves on."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def study(tmp_path: Path) -> Iterator[tuple[Experiment, TestClient, Moved]]:
    experiment = made_experiment(tmp_path / "study", "pairwise", LISTS, practice=0, answers_per_task=WANTED)
    with in_process(experiment) as client:
        clock = Moved()
        service_of(client).clock = clock  # type: ignore[assignment]
        yield experiment, client, clock


def people(experiment: Experiment) -> list[dict[str, Any]]:
    return read_tables(database_url(experiment.folder))["participants"].to_dict("records")


def enter(client: TestClient, **platform: Any) -> Visitor:
    visitor = Visitor(client, **platform)
    reply = visitor.enter()
    assert reply.status_code == 201, reply.text
    return visitor


def finish(visitor: Visitor) -> None:
    visitor.done("instructions")
    position = visitor.session()["next"]
    reply = visitor.answer(*(answer_of("main", 1, place, "equal") for place in range(position, 8)))
    assert reply.json()["stage"] == "done"


def test_lists_fill_alike_however_many_come_at_once(study: tuple[Experiment, TestClient, Moved]) -> None:
    experiment, client, _ = study
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda _: enter(client), range(LISTS * WANTED - 1)))
    counts = Counter(row["list"] for row in people(experiment))
    assert sorted(counts.values()) == [WANTED - 1] + [WANTED] * (LISTS - 1)
    enter(client)
    assert set(Counter(row["list"] for row in people(experiment)).values()) == {WANTED}


def test_ties_are_broken_by_chance(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "study", "pairwise", 3, practice=0)
    first = set()
    with in_process(experiment) as client:
        for _ in range(40):
            visitor = enter(client)
            first.add(people(experiment)[0]["list"])
            visitor.post("/api/withdraw", {})
            if len(first) == 3:
                break
    assert first == {0, 1, 2}  # by chance 1 in 3 million runs fails, after 40 tries


def test_who_left_frees_a_place_and_counts_again_after_coming_back(
    study: tuple[Experiment, TestClient, Moved],
) -> None:
    experiment, client, clock = study
    early = [enter(client, participant=f"early-{number}") for number in range(LISTS)]
    left = early[0]
    left.done("instructions")
    left.answer(answer_of("main", 1, 0, "left"))
    clock.at += 1801
    for visitor in early[1:]:
        visitor.session()
    own = {row["participant"]: row["list"] for row in people(experiment)}
    late = enter(client)
    rows = {row["participant"]: row for row in people(experiment)}
    assert rows[left.participant]["left"]
    assert rows[late.participant]["list"] == own[left.participant]
    assert left.session()["next"] == 1  # nothing is lost
    back = {row["participant"]: row for row in people(experiment)}
    assert not back[left.participant]["left"]
    others = [enter(client) for _ in range(LISTS - 1)]
    rows = {row["participant"]: row for row in people(experiment)}
    assert own[left.participant] not in {rows[other.participant]["list"] for other in others}
    finish(left)
    clock.at += 10_000
    assert {row["participant"] for row in people(experiment) if row["finished"] > 0} == {left.participant}


def test_a_study_takes_one_more_than_wanted_on_what_is_unfinished_and_then_no_more(
    study: tuple[Experiment, TestClient, Moved],
) -> None:
    experiment, client, clock = study
    visitors = [enter(client) for _ in range(LISTS * (WANTED + 1))]
    reply = Visitor(client).enter()
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1800")
    assert client.get("/api/welcome").json()["closed"].startswith("All places are taken")
    list_of = {row["participant"]: row["list"] for row in people(experiment)}
    done = [visitor for visitor in visitors if list_of[visitor.participant] == 0]
    for visitor in done[:WANTED]:
        finish(visitor)
    assert Visitor(client).enter().status_code == 503  # that list is complete: it takes nobody more
    clock.at += 1801
    assert client.get("/api/welcome").json()["open"]
    visitor = enter(client)
    assert {row["participant"]: row["list"] for row in people(experiment)}[visitor.participant] != 0
    for visitor in visitors:
        if list_of[visitor.participant] != 0:
            finish(visitor)
    reply = Visitor(client).enter()
    assert (reply.status_code, reply.json()["detail"]) == (
        409,
        "The study is complete. Thank you for your interest!",
    )
    assert client.get("/api/welcome").json()["open"] is False


def test_simulated_participants_have_places_of_their_own(study: tuple[Experiment, TestClient, Moved]) -> None:
    experiment, client, _ = study
    token = service_of(client).token
    body = {"consent": True, "simulated": True}
    assert client.post("/api/participants", json=body).status_code == 403
    assert client.post("/api/participants", json=body, headers={"X-Researcher": "x" * 43}).status_code == 403
    for _ in range(LISTS * 5):
        assert client.post("/api/participants", json=body, headers={"X-Researcher": token}).status_code == 201
    rows = people(experiment)
    assert set(Counter(row["list"] for row in rows).values()) == {5}
    assert all(row["simulated"] for row in rows)
    for _ in range(LISTS * WANTED):
        enter(client)
    real = Counter(row["list"] for row in people(experiment) if not row["simulated"])
    assert set(real.values()) == {WANTED}


def test_a_place_that_was_withdrawn_is_free(study: tuple[Experiment, TestClient, Moved]) -> None:
    experiment, client, _ = study
    visitors = [enter(client) for _ in range(LISTS)]
    gone = people(experiment)[1]
    assert gone["participant"] == visitors[1].participant
    assert visitors[1].post("/api/withdraw", {}).json() == {"withdrawn": True}
    late = enter(client)
    rows = {row["participant"]: row for row in people(experiment)}
    assert gone["participant"] not in rows
    assert rows[late.participant]["list"] == gone["list"]
    assert rows[late.participant]["number"] == LISTS + 1
