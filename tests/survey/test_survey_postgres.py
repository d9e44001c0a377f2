"""The same with PostgreSQL: a real one, started here from the system's packages, killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_experiment import made_experiment
from served import Visitor, answer_of, in_process, service_of
from sqlalchemy import text

from prunescope.errors import PrunescopeError
from prunescope.survey.retention import retain
from prunescope.survey.service import Service
from prunescope.survey.storage import database_url, open_engine, read_tables
from prunescope.survey.withdrawal import withdraw

USER = "nobody"  # PostgreSQL refuses to be run by root


def programs() -> Path:
    """Return where initdb and pg_ctl are: Debian keeps them out of the path."""
    found = shutil.which("pg_ctl")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        if (place / "initdb").exists():
            return place
    pytest.skip("no PostgreSQL here: Debian's package postgresql has it")


class Postgres:
    """A cluster in a folder."""

    def __init__(self, folder: Path):
        self.folder, self.place = folder, programs()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.owner = pwd.getpwnam(USER) if os.getuid() == 0 else None
        if self.owner is not None:
            os.chown(folder, self.owner.pw_uid, self.owner.pw_gid)
        self.call("initdb", "-D", "data", "-U", "postgres", "--auth", "trust", "--no-sync")

    def call(self, program: str, *arguments: str) -> None:
        as_owner = {} if self.owner is None else {"user": self.owner.pw_uid, "group": self.owner.pw_gid}
        done = subprocess.run(
            [str(self.place / program), *arguments],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60,
            check=False, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, **as_owner,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self.call("pg_ctl", "-D", "data", "-l", "log", "-w", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        self.call("pg_ctl", "-D", "data", "-m", how, "-w", "stop")

    def url(self, name: str) -> str:
        engine = open_engine(
            database_url(self.folder, f"postgresql://postgres@127.0.0.1:{self.port}/postgres")
        )
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            driver.autocommit = True
            driver.execute(f"CREATE DATABASE {name}")
        engine.dispose()
        return database_url(self.folder, f"postgresql://postgres@127.0.0.1:{self.port}/{name}")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="prunescope-postgres-"))  # pytest's own are closed to other users
    try:
        cluster = Postgres(folder)
        cluster.start()
        yield cluster
        cluster.stop("immediate")
    finally:
        shutil.rmtree(folder)


def test_answers_are_kept_and_outlive_the_database_s_crash(tmp_path: Path, postgres: Postgres) -> None:
    experiment = made_experiment(tmp_path / "study", "mis", practice=0)
    url = postgres.url("study")
    with in_process(experiment, url) as client:
        with pytest.raises(PrunescopeError, match="another server works with this database"):
            Service(experiment, url)
        visitor = Visitor(client, name="prolific", participant="x", session="y")
        visitor.enter()
        visitor.done("instructions")
        given = [
            answer_of("main", 1, position, "top", confidence=1 + position % 3, rt_ms=0.1 + position)
            for position in range(8)
        ]
        assert visitor.answer(*given[:4]).status_code == 200
        postgres.stop("immediate")  # as a crash does: nothing is finished
        reply = visitor.answer(given[4])
        assert (reply.status_code, "kept in this browser" in reply.json()["detail"]) == (503, True)
        postgres.start()
        replies = [
            visitor.answer(given[4]) for _ in range(2)
        ]  # at most the first finds that the line was cut
        assert replies[-1].status_code == 200
        with pytest.raises(PrunescopeError, match="another server"):  # the lock was taken again
            Service(experiment, url)
        assert visitor.answer(*given[4:]).json()["stage"] == "done"
        researcher = {"Authorization": f"Bearer {service_of(client).token}"}
        told = client.get("/api/researcher/state", headers=researcher).json()
        assert told["participants"][0]["answered"] == 8
        assert told["participants"][0]["catch_right"] is not None
    rows = read_tables(url)["answers"]
    columns = list(given[0])
    assert rows[columns].to_dict("records") == given
    engine = open_engine(url, alone=True)
    with engine.connect() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    engine.dispose()


def test_withdrawal_and_retention(tmp_path: Path, postgres: Postgres) -> None:
    questions = [{"id": "said", "text": "Anything to say?", "kind": "text", "when": "before"}]
    experiment = made_experiment(tmp_path / "study", "mis", practice=0, questions=questions)
    url = postgres.url("other")
    with in_process(experiment, url) as client:
        visitors = [Visitor(client, name="prolific", participant=f"x{n}", session="y") for n in range(3)]
        for visitor in visitors:
            visitor.enter()
            visitor.post("/api/questions", {"answers": {"said": "“hello” 𝄞"}})
        assert visitors[0].post("/api/withdraw", {}).json() == {"withdrawn": True}
        assert withdraw(experiment.folder, "x1", url) == visitors[1].participant
        assert visitors[1].get("/api/session").status_code == 401
        assert visitors[2].get("/api/session").status_code == 200
        assert retain(experiment.folder, url, days=0).under_way == 1
    tables = read_tables(url)
    assert tables["participants"]["participant"].tolist() == [visitors[2].participant]
    assert tables["questions"]["answer"].tolist() == ["“hello” 𝄞"]
