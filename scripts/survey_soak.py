"""Try to make the survey server lose an answer: `python scripts/survey_soak.py [--kills 20] [--participants 50]`.

So many simulated participants answer at once, each with a queue as the page has it: what is not acknowledged is sent
again. Meanwhile the server is killed (SIGKILL) at random moments, its disk is full, its clock jumps, and some answers
are sent twice at the same moment, by one tab or by two that say otherwise. In the end every acknowledged answer is
looked for in the database: it has to be there once, as it was sent. Exit code 1: one is not.

Linux only: a full disk is a limit on the size of the server's files (RLIMIT_FSIZE), and the clock is that of a small
library before libc's, which needs a C compiler (`cc`; the phase is left out without one).
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import resource
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "survey"))

from made_experiment import made_experiment

from prunescope.errors import PrunescopeError
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.plain_http import PlainHttp
from prunescope.survey.simulate import Kept, compare_kept
from prunescope.survey.simulated import Behaviour, Crowd, skill_of
from prunescope.survey.simulated_visit import Connection, Recogniser, Sent, Visit
from prunescope.survey.simulation_server import (
    free_port,
    read_token,
    start_server,
    stop_server,
    wait_until_ready,
)

TWICE = 0.1  # so many answers are sent twice at once
UP_S = (0.2, 3.0)  # a server lives for so long before it is killed
FULL_S, ROOM_S = 1.0, 1.5  # the disk is full until nothing is taken for so long; then it is not, for so long
LIMITS = (1, 8_192, 65_536, 1_000_000)  # bytes of the largest file on a full disk, and up to 4 KiB more
JUMPS_S = (3600, -86_400, 30 * 86_400, -365 * 86_400, 0)  # of the machine's clock, from the true time
PATIENCE_S = 120.0  # of a participant whose server is away
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("SOAK_CLOCK"), O_RDONLY);
  void *seen = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  ahead = seen == MAP_FAILED ? 0 : seen;
}

int clock_gettime(clockid_t which, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(which, now);
  if (!failed && which == CLOCK_REALTIME && ahead) now->tv_sec += *ahead;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec fine;
  int failed = clock_gettime(CLOCK_REALTIME, &fine);
  now->tv_sec = fine.tv_sec;
  now->tv_usec = fine.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


class JumpingClock:
    """The machine's clock as the server sees it, which can be put forward and back while the server runs."""

    def __init__(self, folder: Path) -> None:
        self.offset = folder / "clock"
        self.offset.write_bytes(struct.pack("q", 0))
        source, self.library = folder / "clock.c", folder / "clock.so"
        source.write_text(CLOCK)
        compiler = shutil.which("cc") or shutil.which("gcc")
        command = [str(compiler), "-shared", "-fPIC", "-O1", "-o", str(self.library), str(source), "-ldl"]
        self.works = compiler is not None and subprocess.run(command, check=False).returncode == 0

    @property
    def environment(self) -> dict[str, str]:
        """What makes a server see it."""
        return {"LD_PRELOAD": str(self.library), "SOAK_CLOCK": str(self.offset)} if self.works else {}

    def put(self, seconds: int) -> None:
        """Put it to so much ahead of the true time."""
        with self.offset.open("r+b") as file:
            file.write(struct.pack("q", seconds))


@dataclass
class Soak:
    """The server under test, and all that was sent to it.

    Attributes:
        sent: by participants who have ended, or not.
        acknowledged: by phase of the soak.
        failed: what should not happen to a participant.
    """

    experiment: Experiment
    clock: JumpingClock
    log: Path
    participants: int
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    visits: list[Visit] = field(default_factory=list)
    phase: str = "start"
    acknowledged: Counter[str] = field(default_factory=Counter)
    twice: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    ending: bool = False
    repeated: int = 0

    @property
    def database(self) -> Path:
        """The file, beside which SQLite keeps its log."""
        return self.experiment.folder / "simulated.sqlite"

    @property
    def url(self) -> str:
        """Where the server is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent(self) -> list[Sent]:
        """All answers."""
        return [sent for visit in self.visits for sent in visit.sent]

    def start(self) -> None:
        """Start the server and wait until it is well."""
        with self.log.open("ab") as log:
            base = f"sqlite:///{self.database}"
            self.process = start_server(
                self.experiment.folder, base, self.port, log.fileno(), self.clock.environment
            )
        wait_until_ready(self.process, self.url)

    def kill(self) -> None:
        """Kill it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def tell(self, sent: Sent) -> None:
        """Count an acknowledgement."""
        self.acknowledged[self.phase] += 1
        self.twice[self.phase] += bool(sent.duplicate)

    async def one_after_another(self, connection: Connection, token: str, crowd: Crowd, first: int) -> None:
        """Let one participant after another take part until the soak ends; those under way then finish."""
        recogniser, number = Recogniser(self.experiment), first
        while not self.ending and not self.failed:
            platform = {"name": "prolific", "participant": uuid.uuid4().hex, "session": uuid.uuid4().hex}
            visit = Visit(connection, recogniser, crowd.person(number), token, twice=TWICE, platform=platform)
            visit.tell = self.tell
            self.visits.append(visit)
            try:
                await visit.begin()
                await visit.go_on()
                if visit.left and visit.person.returns:
                    await visit.go_on()
            except PrunescopeError as error:
                self.failed.append(str(error))
            number += self.participants

    @asynccontextmanager
    async def crowded(self, crowd: Crowd) -> AsyncIterator[None]:
        """Keep the server busy while the block runs, then let those under way finish."""
        http = PlainHttp(self.url, timeout_s=20)
        connection = Connection(http, PATIENCE_S)
        token = read_token(self.experiment.folder / "researcher.token")
        everyone = asyncio.gather(
            *(self.one_after_another(connection, token, crowd, i) for i in range(self.participants))
        )
        try:
            yield
        finally:
            self.phase, self.ending = "to the end", True
            await everyone
            await http.close()
            self.repeated = connection.repeated


async def kills(soak: Soak, times: int, chance: random.Random) -> str:
    """Kill the server after a random while, and start it again."""
    for _ in range(times):
        await asyncio.sleep(chance.uniform(*UP_S))
        soak.kill()
        await asyncio.to_thread(soak.start)
    return f"{times} times"


async def full_disk(soak: Soak, times: int, chance: random.Random) -> str:
    """Let no file of the server grow beyond where it is, or a little more, for a while; the server goes on running."""
    assert soak.process is not None
    pid = soak.process.pid
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    refused = 0
    for turn in range(times):
        limit = LIMITS[turn % len(LIMITS)] + chance.randrange(4096)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, most))
        refused += await nothing_taken(soak)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))
        await asyncio.sleep(ROOM_S)
    return f"{times} times, {refused} until nothing was taken"


async def nothing_taken(soak: Soak) -> bool:
    """Wait until no answer has been acknowledged for a while; False if that takes too long."""
    for _ in range(10):
        before = sum(soak.acknowledged.values())
        await asyncio.sleep(FULL_S)
        if sum(soak.acknowledged.values()) == before:
            return True
    return False


async def jumps(soak: Soak, _times: int, _chance: random.Random) -> str:
    """Put the machine's clock forward and back while the server runs, then kill it, so that the next one sees it."""
    for seconds in JUMPS_S:
        soak.clock.put(seconds)
        await asyncio.sleep(ROOM_S)
        soak.kill()
        await asyncio.to_thread(soak.start)
        await asyncio.sleep(ROOM_S)
    return "to " + ", ".join(f"{seconds / 86_400:+.3g} d" for seconds in JUMPS_S)


Phase = Callable[[Soak, int, random.Random], Awaitable[str]]


async def soaked(soak: Soak, crowd: Crowd, given: argparse.Namespace) -> list[tuple[str, str, float]]:
    """Go through all phases; return what each did, and how long it took, in seconds."""
    phases: dict[str, tuple[Phase, int]] = {
        "kill -9": (kills, given.kills),
        "full disk": (full_disk, given.full),
        "clock jumps": (jumps, 1 if soak.clock.works else 0),
    }
    chance, told = random.Random(given.seed), []
    soak.start()
    async with soak.crowded(crowd), asyncio.timeout(60 * given.minutes):
        for name, (phase, times) in phases.items():
            soak.phase, began = name, time.monotonic()
            did = await phase(soak, times, chance) if times else "left out"
            told.append((name, did, time.monotonic() - began))
    return told


def kept_of(soak: Soak) -> tuple[Kept, int, str, int, float]:
    """Compare with the database, read without any of the server's code: also its integrity, and its times.

    Returns:
        What is kept; the number of answers; what SQLite says of the file; how often a participant's answer was received
        before the one before it; over how many days they were received.
    """
    with sqlite3.connect(soak.database) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        answers = pd.read_sql_query("SELECT * FROM answers", connection)
    answers["confidence"] = answers["confidence"].astype(object)
    order = answers.assign(main=answers["phase"] == "main").sort_values(
        ["participant", "main", "round", "position"]
    )
    backwards = int((order.groupby("participant")["received"].diff() < 0).sum())
    days = (answers["received"].max() - answers["received"].min()) / 86_400
    return compare_kept(soak.sent, answers), len(answers), str(integrity), backwards, days


def show(soak: Soak, told: list[tuple[str, str, float]], seconds: float) -> bool:
    """Print what was done and what came of it; return whether all is well."""
    kept, rows, integrity, backwards, days = kept_of(soak)
    table = Table(
        "phase", "done", "seconds", "acknowledged", "of them sent twice", title="soak", title_justify="left"
    )
    for name, did, took in [*told, ("to the end", "those under way finish", math.nan)]:
        table.add_row(
            name, did, "" if math.isnan(took) else f"{took:.0f}", f"{soak.acknowledged[name]:,}",
            f"{soak.twice[name]:,}",
        )  # fmt: skip
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(table)
    stayed = [visit for visit in soak.visits if not visit.left]
    checks = {
        f"{len(kept.lost)} of {kept.acknowledged:,} acknowledged trials lost": not kept.lost,
        f"{len(kept.changed)} other than sent, {len(kept.denied)} other than acknowledged": kept.whole,
        f"{len({each.trial for each in soak.sent}):,} trials answered, {rows:,} rows": rows
        >= kept.acknowledged,
        f"integrity of the database: {integrity}": integrity == "ok",
        f"the server's times go over {days:.1f} days and went back {backwards} times": not backwards,
        f"{sum(visit.finished for visit in stayed)} of {len(stayed)} who stayed finished": all(
            visit.finished for visit in stayed
        ),
        f"{len(soak.failed)} participants failed": not soak.failed,
    }
    for words, holds in checks.items():
        console.print(f"{'holds' if holds else 'FAILS'}: {words}")
    for words in soak.failed[:10]:
        console.print(f"  {words}", markup=False)
    console.print(f"{soak.repeated:,} requests were sent again; {seconds:.0f} s")
    return all(checks.values())


def main() -> None:
    """Soak, compare, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "experiment", type=Path, nargs="?", help="(default: one that is made for it); it is copied"
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--participants", type=int, default=50, help="at once")
    parser.add_argument("--full", type=int, default=4, help="how often the disk is full")
    parser.add_argument("--minutes", type=float, default=15, help="at most, before those under way finish")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "experiment"
        if given.experiment:
            shutil.copytree(given.experiment, folder, ignore=shutil.ignore_patterns("*.sqlite*"))
            experiment = read_experiment(folder)
        else:
            experiment = made_experiment(folder, "mis", lists=6, tasks=40, catch=5, practice=5)
        crowd = Crowd(experiment, Behaviour(skill_of(experiment, [])), given.seed)
        log = Path(scratch) / "server.log"
        soak = Soak(experiment, JumpingClock(Path(scratch)), log, given.participants)
        began = time.monotonic()
        try:
            told = asyncio.run(soaked(soak, crowd, given))
        finally:
            if soak.process is not None:
                stop_server(soak.process)
        if not show(soak, told, time.monotonic() - began):
            print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-30:]), file=sys.stderr)
            raise SystemExit(1)


if __name__ == "__main__":
    main()
