"""What is kept of people, and that it is gone when they or the calendar say so: from database, files and exports."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from made_experiment import made_experiment
from served import Visitor, answer_of, in_process, service_of, to_main
from typer.testing import CliRunner

from prunescope.cli.main import app
from prunescope.errors import PrunescopeError
from prunescope.survey.clock import Clock
from prunescope.survey.experiment import Experiment
from prunescope.survey.retention import DAY_S, retain
from prunescope.survey.storage import database_url, open_engine, read_tables
from prunescope.survey.withdrawal import mark_stale, stale, withdraw

QUESTIONS = [
    {"id": "said", "text": "Anything to say?", "kind": "text", "when": "before"},
    {"id": "age", "text": "Your age?", "kind": "number", "when": "before"},
]
PLATFORM = {"name": "mturk", "participant": "WORKERID", "study": "STUDYID", "session": "SESSIONID"}
SUBMIT = "https://workersandbox.mturk.com"
Open = Callable[..., tuple[Experiment, TestClient]]


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def study(**changes: Any) -> tuple[Experiment, TestClient]:
            experiment = made_experiment(
                tmp_path / "study", "pairwise", questions=QUESTIONS, answers_per_task=9, **changes
            )
            return experiment, stack.enter_context(in_process(experiment))

        yield study


def people(experiment: Experiment) -> list[dict[str, Any]]:
    frame = read_tables(database_url(experiment.folder))["participants"]
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def files(experiment: Experiment) -> bytes:
    folders = (experiment.folder, experiment.folder / "export")
    return b"".join(
        path.read_bytes() for folder in folders for path in sorted(folder.glob("*")) if path.is_file()
    )


def take_part(client: TestClient, experiment: Experiment, **platform: Any) -> Visitor:
    visitor = Visitor(client, **platform)
    visitor.enter()
    visitor.post(
        "/api/questions", {"answers": {"said": "my-own-words-" + str(platform.get("participant")), "age": 30}}
    )
    visitor.done("before")
    to_main(visitor, experiment)
    visitor.answer(*(answer_of("main", 1, position, "left") for position in range(8)))
    return visitor


def test_nothing_is_kept_before_consent(study: Open) -> None:
    experiment, client = study()
    client.get("/")
    client.get("/api/welcome")
    for consent in (False, None, "true", 1):
        assert (
            client.post("/api/participants", json={"consent": consent, "platform": PLATFORM}).status_code
            == 422
        )
    assert people(experiment) == []
    assert b"WORKERID" not in files(experiment)


@pytest.mark.parametrize("store", ["hashed", "plain", "none"])
def test_platform_ids_are_kept_as_the_design_says(study: Open, store: str) -> None:
    experiment, client = study(platform={"store_ids": store})
    Visitor(client, **PLATFORM, submit_to=SUBMIT).enter()
    row = people(experiment)[0]
    key = (experiment.folder / "secret.key").read_text().strip().encode()
    hashed = {
        what: hmac.new(key, f"mturk\0{what}\0{given}".encode(), hashlib.sha256).hexdigest()
        for what, given in (("participant", "WORKERID"), ("session", "SESSIONID"))
    }
    wanted = {
        "hashed": (hashed["participant"], "STUDYID", hashed["session"]),
        "plain": ("WORKERID", "STUDYID", hashed["session"]),
        "none": (None, None, None),
    }
    assert (row["platform_participant"], row["platform_study"], row["platform_session"]) == wanted[store]
    assert row["submit_to"] == SUBMIT
    assert b"SESSIONID" not in files(experiment)
    assert (experiment.folder / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("how", ["themselves", "researcher", "command", "command by id"])
def test_who_withdraws_is_gone_from_database_files_and_exports(study: Open, how: str) -> None:
    from prunescope.survey.export import export

    experiment, client = study()
    stays, goes = (
        take_part(client, experiment, name="prolific", participant=name) for name in ("STAYS", "GOES")
    )
    export(experiment.folder)
    assert goes.participant.encode() in files(experiment)
    match how:
        case "themselves":
            assert goes.post("/api/withdraw", {}).status_code == 200
        case "researcher":
            headers = {"Authorization": f"Bearer {service_of(client).token}"}
            body = {"participant": goes.participant}
            assert client.post("/api/researcher/withdraw", json=body, headers=headers).status_code == 200
            assert client.post("/api/researcher/withdraw", json=body, headers=headers).status_code == 404
        case _:
            who = goes.participant if how == "command" else "GOES"
            said = CliRunner().invoke(app, ["survey", "withdraw", str(experiment.folder), who])
            assert (said.exit_code, goes.participant in said.output) == (0, True)
            with pytest.raises(PrunescopeError, match="no participant"):
                withdraw(experiment.folder, who)
    left = files(experiment)
    assert goes.participant.encode() not in left
    assert b"my-own-words-GOES" not in left
    assert stays.participant.encode() in left
    tables = read_tables(database_url(experiment.folder))
    assert {name: set(table["participant"]) for name, table in tables.items()} == {
        "participants": {stays.participant}, "answers": {stays.participant}, "events": set(),
        "questions": {stays.participant},
    }  # fmt: skip
    assert goes.get("/api/session").status_code == 401
    assert stays.get("/api/completion").status_code == 200


def test_files_that_could_not_be_written_are_written_later(
    study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def rewrite(_folder: Path, _url: str) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise PrunescopeError("no room")

    monkeypatch.setattr("prunescope.survey.service.rewrite_files", rewrite)
    _, client = study()
    for _ in range(2):
        visitor = Visitor(client)
        visitor.enter()
        assert visitor.post("/api/withdraw", {}).json() == {"withdrawn": True}
    assert len(calls) == 2


def test_who_withdraws_while_files_are_written_is_not_forgotten_in_them(
    study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, client = study()
    engine = open_engine(database_url(experiment.folder), writes=True)
    marks: list[str | None] = []

    def rewrite(_folder: Path, _url: str) -> None:
        with engine.connect() as connection, connection.begin():
            marks.append(stale(connection))
            if len(marks) == 1:  # the tables were read; now somebody else withdraws
                mark_stale(connection)

    monkeypatch.setattr("prunescope.survey.service.rewrite_files", rewrite)
    visitor = Visitor(client)
    visitor.enter()
    assert visitor.post("/api/withdraw", {}).json() == {"withdrawn": True}
    with engine.connect() as connection:
        assert stale(connection) not in {None, marks[0]}
    engine.dispose()


def test_retention_erases_who_somebody_was_and_keeps_the_answers(study: Open) -> None:
    experiment, client = study(retention_days=10)
    done = take_part(client, experiment, **PLATFORM, submit_to=SUBMIT)
    under_way = Visitor(client, name="prolific", participant="UNDERWAY")
    under_way.enter()
    now = service_of(client).clock.now()
    answers = read_tables(database_url(experiment.folder))["answers"]
    early = retain(experiment.folder, clock=Clock(now + 9.9 * DAY_S))
    assert (early.participants, early.texts) == (0, 0)
    assert done.get("/api/session").status_code == 200  # which is heard of again, but no answer
    told = CliRunner().invoke(app, ["survey", "retain", str(experiment.folder), "--now"])
    assert (
        "of 1 participants, 1 answers in their own words; 0 are not due yet, 1 are under way" in told.output
    )
    row, other = people(experiment)
    personal = ("platform_participant", "platform_study", "platform_session", "submit_to", "session_hash")
    assert [row[name] for name in personal] == [None] * 5
    assert other["platform_participant"] is not None
    tables = read_tables(database_url(experiment.folder))
    assert tables["questions"]["question"].tolist() == ["age"]
    assert tables["answers"].equals(answers)
    for gone in (b"my-own-words-WORKERID", b"STUDYID", SUBMIT.encode()):
        assert gone not in b"".join(path.read_bytes() for path in experiment.folder.glob("answers.sqlite*"))
    late = retain(experiment.folder, clock=Clock(now + 10.1 * DAY_S))
    assert (late.participants, late.under_way) == (1, 0)
    assert under_way.get("/api/session").status_code == 401
    assert retain(experiment.folder, days=0, clock=Clock(now + 11 * DAY_S)).participants == 0


def test_retention_needs_a_time(study: Open) -> None:
    experiment, _ = study()
    with pytest.raises(PrunescopeError, match="says nothing of retention_days"):
        retain(experiment.folder)
    with pytest.raises(PrunescopeError, match="nobody has been served yet"):
        retain(experiment.folder, f"sqlite:///{experiment.folder / 'none.sqlite'}", days=1)
