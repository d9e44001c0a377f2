"""No acknowledged answer is lost: the server is killed under load, the disk fills, its clock is set back."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from made_experiment import made_experiment
from served import Served, Visitor, answer_of, made_page, served, to_main

from prunescope.errors import PrunescopeError
from prunescope.survey.clock import Clock
from prunescope.survey.experiment import Experiment
from prunescope.survey.serve import serve
from prunescope.survey.storage import database_url, read_tables

VISITORS, KILLS, ANSWERS = 12, 2, 20
BALLAST = 64 * 1024
COLUMNS = ["phase", "round", "position", "key", "answer", "confidence", "rt_ms", "elapsed_ms"]


def insist(send: Callable[[], httpx.Response]) -> dict[str, Any]:
    """Send until there is an answer, as the page does."""
    for _ in range(400):
        try:
            reply = send()
            if reply.status_code < 500:
                assert reply.status_code in {200, 201}, reply.text
                told: dict[str, Any] = reply.json()
                return told
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server does not come back")


class Crowd:
    """Simulated participants who answer all at once and remember what was acknowledged."""

    def __init__(self, server: Served):
        self.server, self.acknowledged, self.failed = server, {}, []  # type: ignore[var-annotated]
        self.threads = [
            threading.Thread(target=self._take_part, args=(number,)) for number in range(VISITORS)
        ]

    def _take_part(self, number: int) -> None:
        try:
            with httpx.Client(base_url=self.server.address, timeout=10) as client:
                visitor = Visitor(client, name="prolific", participant=f"person-{number}", session="s")
                insist(visitor.enter)
                insist(lambda: visitor.done("instructions"))
                for position in range(ANSWERS):
                    one = answer_of("main", 1, position, ("left", "equal", "right")[(position + number) % 3])
                    told = insist(lambda one=one: visitor.answer(one))
                    assert [ack["key"] for ack in told["acknowledged"]] == [one["key"]]
                    self.acknowledged[visitor.participant, position] = one
        except BaseException as error:  # told to the test, which is in another thread
            self.failed.append(error)


def kept(experiment: Experiment) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the main answers in the database; fail where one is there twice."""
    frame = read_tables(database_url(experiment.folder))["answers"]
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    by_trial = {(row["participant"], row["position"]): {name: row[name] for name in COLUMNS} for row in rows}
    assert len(by_trial) == len(rows)
    return by_trial


def test_no_acknowledged_answer_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    experiment = made_experiment(
        tmp_path / "study", "pairwise", lists=4, tasks=ANSWERS - 2, practice=0, answers_per_task=9
    )
    with served(experiment.folder, made_page(tmp_path)) as server:
        crowd = Crowd(server)
        for thread in crowd.threads:
            thread.start()
        for kill in range(1, KILLS + 1):  # in the middle of what is under way, wherever that is
            while len(crowd.acknowledged) < kill * VISITORS * ANSWERS // (KILLS + 1) and not crowd.failed:
                time.sleep(0.001)
            server.kill()
            so_far = dict(crowd.acknowledged)
            there = kept(experiment)
            assert {trial: there.get(trial) for trial in so_far} == so_far
            server.start_again()
        for thread in crowd.threads:
            thread.join()
        assert not crowd.failed
        assert len(crowd.acknowledged) == VISITORS * ANSWERS
        server.kill()
    assert kept(experiment) == crowd.acknowledged
    people = read_tables(database_url(experiment.folder))["participants"]
    assert (len(people), people["finished"].notna().sum()) == (VISITORS, VISITORS)


@contextmanager
def limited(server: Served, _place: Path) -> Iterator[None]:
    """Let no file of the server grow beyond what it has."""
    largest = max(path.stat().st_size for path in server.folder.glob("answers.sqlite*"))
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (largest, hard))
    yield
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def filled(_server: Served, place: Path) -> Iterator[None]:
    """Fill the disk to the last byte."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (BALLAST, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    yield
    ballast.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 2 MiB."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process: Linux only")
def test_files_that_may_not_grow_cost_no_acknowledged_answer(tmp_path: Path) -> None:
    _goes_on_when_there_is_room_again(tmp_path, limited, tmp_path / "study")


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_costs_no_acknowledged_answer(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        _goes_on_when_there_is_room_again(tmp_path, filled, disk)


def _goes_on_when_there_is_room_again(tmp_path: Path, narrow: Callable[..., Any], place: Path) -> None:
    experiment = made_experiment(tmp_path / "study", "pairwise", lists=1, tasks=58, practice=0)
    url = f"sqlite:///{place / 'answers.sqlite'}"
    with (
        served(experiment.folder, made_page(tmp_path), ("--database", url)) as server,
        httpx.Client(base_url=server.address, timeout=10) as client,
    ):
        visitor = Visitor(client)
        visitor.enter()
        visitor.done("instructions")
        given = [answer_of("main", 1, position, "left", elapsed_ms=1.5 * position) for position in range(60)]
        assert visitor.answer(given[0]).status_code == 200
        with narrow(server, place):
            refused = next(
                (position for position in range(1, 60) if visitor.answer(given[position]).status_code != 200),
                60,
            )
            assert refused < 60
            again = visitor.answer(*given[refused:])
            assert again.status_code == 503
            assert "kept in this browser" in again.json()["detail"]
            assert client.get("/api/health").status_code == 200
        assert visitor.session()["next"] == refused  # nothing half written
        assert visitor.answer(*given[refused:]).json()["stage"] == "done"
        assert server.stop() == 0
    frame = read_tables(url)["answers"]
    assert frame["key"].tolist() == [one["key"] for one in given]


def test_a_server_that_is_asked_to_stop_finishes_and_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(uvicorn.Server, "run")  # of this process: what is to be refused here may not serve
    other = made_experiment(tmp_path / "other", "identification").folder
    experiment = made_experiment(tmp_path / "study", "pairwise")
    page = made_page(tmp_path)
    with served(experiment.folder, page) as server, httpx.Client(base_url=server.address) as client:
        visitor = Visitor(client)
        to_main(visitor, experiment)
        assert visitor.answer(answer_of("main", 1, 0, "left")).status_code == 200
        twin = Served(experiment.folder, page)
        assert twin.process.wait(60) == 1
        assert "another server works with" in twin.said
        with pytest.raises(PrunescopeError, match="another program is there; give another --port"):
            serve(other, port=server.port, page=page)
        assert server.stop(signal.SIGINT) == 0
        assert f"acknowledged answer is in sqlite:///{experiment.folder}/answers.sqlite" in server.said
        assert not (experiment.folder / "answers.sqlite-wal").exists()  # all of it is in the one file
        joined = read_tables(database_url(experiment.folder))["participants"]["seen"].max()
        back = f"import time; real = time.time; time.time = lambda: real() - {5 * 86400}"
        server._first = back
        server.start_again()  # the machine's clock was set back by five days
        assert visitor.answer(answer_of("main", 1, 1, "left")).status_code == 200
        answers = read_tables(database_url(experiment.folder))["answers"]
        first, second = answers.loc[answers["phase"] == "main", "received"]
        assert first <= joined <= second < joined + 3600
        assert visitor.session()["next"] == 2
        server.stop()
        with pytest.raises(PrunescopeError, match="holds the answers of another experiment"):
            serve(other, database_url(experiment.folder), port=0, page=page)


def test_the_clock_knows_only_durations() -> None:
    wall, steady = [1000.0], [5.0]
    clock = Clock(0.0, lambda: wall[0], lambda: steady[0])
    assert clock.now() == 1000.0
    wall[0], steady[0] = -1e9, 7.5
    assert clock.now() == 1002.5
    later = Clock(clock.now(), lambda: 400.0, lambda: steady[0])
    assert (later.now(), later.behind) == (1002.5, 602.5)
    assert Clock(0.0, lambda: 400.0, lambda: steady[0]).behind == 0
