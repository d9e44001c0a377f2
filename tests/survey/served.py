"""A real server of an experiment, as a process: started on a free port, waited for, killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from prunescope.survey.experiment import Experiment
from prunescope.survey.server import create_app
from prunescope.survey.service import Service
from prunescope.survey.storage import database_url, read_tables
from prunescope.survey.trials import Trial, practice_of, trials_of

STARTS_S = 60
PLACEHOLDER = "a page of tests\n"
WITH_PAGE = (
    "import sys; from pathlib import Path; from prunescope.survey import pages\n"
    "if sys.argv[1] != '-': pages.packaged_page = lambda: Path(sys.argv[1])\n"
    "exec(sys.argv[2])\n"
    "sys.argv = ['prunescope', *sys.argv[3:]]\n"
    "from prunescope.cli.main import run; run()\n"
)


def made_page(folder: Path) -> Path:
    """Write a page that does nothing, for tests of the server alone."""
    page = folder / "page"
    (page / "jspsych").mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "researcher.html", "study.js", "jspsych/jspsych.js"):
        (page / name).write_text(PLACEHOLDER)
    return page


class Served:
    """`prunescope survey serve` as a process.

    Args:
        folder: the experiment.
        page: folder of the page; None: that of the package, which needs `make survey`.
        options: of the command line.
        first: a statement that the process executes before anything else: what a test takes away or puts in its way.
    """

    def __init__(
        self, folder: Path, page: Path | None = None, options: tuple[str, ...] = (), first: str = "pass"
    ):
        self.folder, self._options, self._first, self._page = folder, options, first, page
        self.output = folder.parent / f"{folder.name}.served.txt"
        self.port = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        page = "-" if self._page is None else str(self._page)
        command = [sys.executable, "-c", WITH_PAGE, page, self._first, "survey", "serve", str(self.folder)]
        with self.output.open("ab") as output:
            output.truncate(0)
            return subprocess.Popen(
                [*command, "--port", str(self.port), *self._options],
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip

    def wait(self) -> Served:
        """Wait until it answers."""
        until = time.monotonic() + STARTS_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended ({self.process.returncode}): {self.said}")
            found = re.search(r"participants: http://[^:]+:(\d+)/", self.said)
            if found:
                self.port = int(found[1])
                try:
                    if httpx.get(f"{self.address}/api/health", timeout=5).status_code == 200:
                        return self
                except httpx.TransportError:
                    pass
            time.sleep(0.05)
        raise RuntimeError(f"the server does not answer: {self.said}")

    @property
    def said(self) -> str:
        """All that it printed since it was started."""
        return self.output.read_text(errors="replace")

    @property
    def address(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        """The researcher's."""
        return (self.folder / "researcher.token").read_text().strip()

    def kill(self) -> None:
        """End it as a power cut does: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it as its owner does; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def start_again(self) -> Served:
        """Start it again on the same port, and wait until it answers."""
        self.process = self._start()
        return self.wait()


@contextmanager
def served(
    folder: Path, page: Path | None = None, options: tuple[str, ...] = (), first: str = "pass"
) -> Iterator[Served]:
    """Serve an experiment as long as the context lasts."""
    server = Served(folder, page, options, first)
    try:
        yield server.wait()
    finally:
        server.kill()


class Visitor:
    """A participant's page without a browser: enters, and does what it is told.

    Args:
        client: with the server's address as `base_url`; an `httpx.Client` or FastAPI's `TestClient`.
    """

    def __init__(self, client: httpx.Client, **platform: Any):
        self.client = client
        self.platform = {"name": "direct"} | platform
        self.headers: dict[str, str] = {}
        self.participant = ""

    def enter(self, **more: Any) -> httpx.Response:
        """Agree, and enter."""
        body = {"consent": True, "platform": self.platform} | more
        reply = self.client.post("/api/participants", json=body)
        if reply.status_code == 201:
            self.participant = reply.json()["participant"]
            self.headers = {"Authorization": f"Bearer {reply.json()['session']}"}
        return reply

    def get(self, path: str) -> httpx.Response:
        """Ask for something as this participant."""
        return self.client.get(path, headers=self.headers)

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send something as this participant."""
        return self.client.post(path, json=body, headers=self.headers)

    def session(self) -> dict[str, Any]:
        """How far this participant is."""
        reply = self.get("/api/session")
        assert reply.status_code == 200, reply.text
        told: dict[str, Any] = reply.json()
        return told

    def done(self, stage: str, elapsed_ms: float = 20_000.0) -> httpx.Response:
        """End a stage without trials."""
        return self.post("/api/stage", {"done": stage, "elapsed_ms": elapsed_ms})

    def answer(self, *answers: dict[str, Any]) -> httpx.Response:
        """Send answers."""
        return self.post("/api/answers", {"answers": list(answers)})


def answer_of(phase: str, round: int, position: int, answer: str, **more: Any) -> dict[str, Any]:
    """Return one answer as the page sends it."""
    given = {"phase": phase, "round": round, "position": position, "key": str(uuid.uuid4()), "answer": answer}
    return given | {"confidence": None, "rt_ms": 700.5, "elapsed_ms": 1000.25 + position} | more


@contextmanager
def in_process(experiment: Experiment, url: str | None = None, **options: Any) -> Iterator[TestClient]:
    """Serve an experiment without a process and a port, for tests that look at replies alone."""
    page = made_page(experiment.folder.parent)
    app = create_app(experiment, database_url(experiment.folder, url), page=page, **options)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def service_of(client: TestClient) -> Service:
    """What a server without a process works with."""
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    return service


def truth(experiment: Experiment, participant: str) -> tuple[list[Trial], Any]:
    """Return the main trials that a participant has, and a function from round to practice."""
    rows = read_tables(database_url(experiment.folder))["participants"].set_index("participant")
    seed, list_ = int(rows.loc[participant, "seed"]), int(rows.loc[participant, "list"])
    return trials_of(experiment, list_, seed), lambda round: practice_of(experiment, seed, round)


def to_main(visitor: Visitor, experiment: Experiment) -> list[Trial]:
    """Enter if need be, read the instructions, answer practice rightly; return the main trials."""
    if not visitor.participant:
        assert visitor.enter().status_code == 201
    assert visitor.done("instructions").status_code == 200
    main, practice = truth(experiment, visitor.participant)
    confidence = 1 if experiment.design.confidence > 1 else None
    for position, trial in enumerate(practice(1)):
        reply = visitor.answer(
            answer_of("practice", 1, position, trial.right or "left", confidence=confidence)
        )
        assert reply.status_code == 200, reply.text
    return main
