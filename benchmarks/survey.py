"""The survey server under 50 participants who answer at once, beside the least that keeps the same answers."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from table import Row

from prunescope.survey.plain_http import PlainHttp, Reply
from prunescope.survey.simulation_server import own_server, read_token

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "survey"))

PARTICIPANTS, ANSWERS = 50, 40  # at once, each
RATE, LATE_MS = 300.0, 250.0
TURNS = 5
PLAIN = 2_000  # commits


async def read(http: PlainHttp, method: str, path: str, token: str, given: object, **headers: str) -> Reply:
    reply = await http.ask(method, path, {"Authorization": f"Bearer {token}", **headers}, given)
    if reply.status not in (200, 201):
        raise RuntimeError(f"{method} {path}: {reply.status} {reply.body[:200]!r}")
    return reply


async def join(http: PlainHttp, researcher: str) -> str:
    """Return the token of a participant who is in the main part."""
    platform = dict.fromkeys(("participant", "study", "session", "submit_to")) | {"name": "direct"}
    given = {"consent": True, "platform": platform, "simulated": True}
    joined = await read(http, "POST", "/api/participants", "", given, **{"X-Researcher": researcher})
    token = str(joined.json()["session"])
    for stage in ("before", "instructions"):
        await read(http, "POST", "/api/stage", token, {"done": stage, "elapsed_ms": 1.0})
    return token


async def answer(http: PlainHttp, token: str, latencies: list[float]) -> None:
    """Answer as fast as acknowledgements come."""
    for position in range(ANSWERS):
        given = {
            "phase": "main", "round": 1, "position": position, "key": str(uuid.uuid4()), "answer": "left",
            "confidence": None, "rt_ms": 1000.0, "elapsed_ms": 1000.0 * position,
        }  # fmt: skip
        began = time.perf_counter()
        await read(http, "POST", "/api/answers", token, {"answers": [given]})
        latencies.append(1e3 * (time.perf_counter() - began))


async def load(url: str, researcher: str) -> tuple[float, list[float]]:
    """Return the seconds that all answers took, and each one's latency in milliseconds."""
    http, latencies = PlainHttp(url), list[float]()
    tokens = await asyncio.gather(*(join(http, researcher) for _ in range(PARTICIPANTS)))
    began = time.perf_counter()
    await asyncio.gather(*(answer(http, token, latencies) for token in tokens))
    seconds = time.perf_counter() - began
    await http.close()
    return seconds, latencies


def loaded(url: str, folder: Path) -> tuple[float, list[float]]:
    """Load the server from another process."""
    done = subprocess.run([sys.executable, __file__, url, str(folder)], check=True, stdout=subprocess.PIPE)
    seconds, latencies = json.loads(done.stdout)
    return seconds, latencies


def plain(file: Path) -> float:
    """Return how many rows like those of answers sqlite3 commits a second, one after another, each to the disk."""
    with sqlite3.connect(file, isolation_level=None) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE answers (p, phase, round, position, key, task, answer, c, rt, at, got)"
        )
        insert = "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        row = ("p-0123456789abcdef", "main", 1, 0, str(uuid.uuid4()), "t00012", "left", None, 1e3, 1e3, 1.7e9)
        began = time.perf_counter()
        for _ in range(PLAIN):
            connection.execute(insert, row)
        return PLAIN / (time.perf_counter() - began)


def rows() -> list[Row]:
    from made_experiment import made_experiment

    rates, lates, medians, limits = [], [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "experiment"
        made_experiment(folder, "pairwise", lists=2, tasks=ANSWERS, catch=0, practice=0)
        with own_server(folder, f"sqlite:///{folder / 'load.sqlite'}") as url:
            for turn in range(TURNS + 1):  # the first one warms up
                limit = plain(Path(scratch) / f"plain{turn}.sqlite")
                seconds, latencies = loaded(url, folder)
                if turn:
                    limits.append(limit)
                    rates.append(len(latencies) / seconds)
                    percentiles = statistics.quantiles(latencies, n=100)
                    medians.append(percentiles[49])
                    lates.append(percentiles[98])
    rate, limit = statistics.median(rates), statistics.median(limits)
    who = f"{PARTICIPANTS} at once, SQLite"
    return [
        Row(
            f"acknowledged answers, {who}", rate, "/s", f"one commit after another, {limit:.0f} /s",
            statistics.median(a / b for a, b in zip(rates, limits, strict=True)), least=RATE,
        ),
        Row(f"from sending to acknowledgement, 99 of 100, {who}", statistics.median(lates), "ms", most=LATE_MS),
        Row(f"from sending to acknowledgement, median, {who}", statistics.median(medians), "ms"),
    ]  # fmt: skip


if __name__ == "__main__":
    address, place = sys.argv[1:]
    print(json.dumps(asyncio.run(load(address, read_token(Path(place) / "researcher.token")))))
