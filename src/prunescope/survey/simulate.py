"""Many simulated participants before a real server, and a look at whether all that it acknowledged is kept."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prunescope.analysis.results import records
from prunescope.errors import PrunescopeError
from prunescope.survey.plain_http import PlainHttp
from prunescope.survey.simulated import Crowd
from prunescope.survey.simulated_visit import Connection, Recogniser, Sent, TurnedAwayError, Visit

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Simulation:
    """What came of it.

    Attributes:
        visits: of everyone who was let in.
        turned_away: why the server took no more; "" if it took all.
        failed: what went wrong; nobody begins after that.
        seconds: it took.
        interrupted: it was stopped before its end.
        repeated: so many requests were sent again, since the server was away or busy.
    """

    visits: list[Visit] = field(default_factory=list)
    turned_away: str = ""
    failed: list[str] = field(default_factory=list)
    seconds: float = math.nan
    interrupted: bool = False
    repeated: int = 0

    @property
    def finished(self) -> int:
        """How many came to the end."""
        return sum(visit.finished for visit in self.visits)

    @property
    def left(self) -> int:
        """How many left in the middle and stayed away."""
        return sum(visit.left for visit in self.visits)

    @property
    def sent(self) -> list[Sent]:
        """All answers."""
        return [sent for visit in self.visits for sent in visit.sent]

    @property
    def acknowledged(self) -> list[Sent]:
        """All answers that the server said it had kept."""
        return [sent for sent in self.sent if sent.acknowledged]

    @property
    def pictures(self) -> int:
        """How many pictures were fetched, each found to be one of the experiment."""
        return sum(visit.pictures for visit in self.visits)

    def latency_ms(self, percentiles: Iterable[float]) -> list[float]:
        """Return percentiles of the time from sending an answer to its acknowledgement."""
        latencies = [1e3 * sent.latency_s for sent in self.acknowledged]
        return [float(each) for each in np.percentile(latencies or [math.nan], list(percentiles))]


def simulate(
    crowd: Crowd,
    participants: int,
    url: str,
    token: str,
    *,
    at_once: int = 50,
    all_pictures: bool = False,
    patience_s: float = 30.0,
    progress: Callable[[Simulation], None] = lambda simulation: None,
) -> Simulation:
    """Let simulated people take part in an experiment that a server serves.

    An interrupt ends it early; what there is by then is returned.

    Args:
        crowd: who they are, and before which experiment.
        participants: so many begin.
        url: of the server.
        token: the researcher's; only with it are participants simulated ones.
        at_once: so many are there at the same time.
        all_pictures: fetch all pictures of every trial, as the page does, rather than what tells the trials apart.
        patience_s: so long one waits for a server that is away or busy.
        progress: called when somebody has finished or left.
    """
    simulation = Simulation()

    async def all_of_them() -> None:
        http = PlainHttp(url)
        connection, recogniser = Connection(http, patience_s), Recogniser(crowd.experiment)
        people = map(crowd.person, range(participants))
        visits = [Visit(connection, recogniser, person, token, all_pictures) for person in people]
        try:
            await _attend(simulation, visits, at_once, progress)
        except asyncio.CancelledError:  # by an interrupt
            simulation.interrupted = True
        finally:
            await http.close()
        simulation.repeated = connection.repeated

    began = time.monotonic()
    asyncio.run(all_of_them())
    simulation.seconds = time.monotonic() - began
    return simulation


async def _attend(
    simulation: Simulation, visits: list[Visit], at_once: int, progress: Callable[[Simulation], None]
) -> None:
    """Let all begin, then let those who come back go on."""

    async def one_after_another(todo: Iterable[Coroutine[Any, Any, None]]) -> None:
        for part in todo:
            if simulation.turned_away or simulation.failed:
                part.close()
                continue
            try:
                await part
            except TurnedAwayError as error:
                simulation.turned_away = str(error)
            except PrunescopeError as error:
                simulation.failed.append(str(error))
            progress(simulation)

    async def attend(visit: Visit) -> None:
        await visit.begin()
        simulation.visits.append(visit)
        await visit.go_on()

    beginning = (attend(visit) for visit in visits)
    await asyncio.gather(*(one_after_another(beginning) for _ in range(at_once)))
    coming_back = (visit.go_on() for visit in visits if visit.left and visit.person.returns)
    await asyncio.gather(*(one_after_another(coming_back) for _ in range(at_once)))


@dataclass(frozen=True)
class Kept:
    """What a database holds of the answers that were acknowledged.

    Attributes:
        acknowledged: to so many trials.
        lost: those that it does not hold.
        changed: those that it holds otherwise than they were sent.
        denied: those of which the server said that there was none before, although another one is kept.
    """

    acknowledged: int
    lost: list[Sent]
    changed: list[Sent]
    denied: list[Sent]

    @property
    def whole(self) -> bool:
        """Whether it holds all, as they were sent."""
        return not (self.lost or self.changed or self.denied)


def compare_kept(sent: Iterable[Sent], answers: pd.DataFrame) -> Kept:
    """Compare what was sent with what is kept; to each trial there is one answer, the first that arrived.

    Args:
        sent: all answers, also those that were sent twice or never acknowledged.
        answers: the table of the database, as `storage.read_tables` returns it.
    """
    known = answers.astype(object).where(answers.notna(), None)
    kept = {_trial(row): row for row in records(known)}
    by_trial: dict[tuple[str, str, int, int], list[Sent]] = defaultdict(list)
    for each in sent:
        by_trial[each.trial].append(each)
    promised = {trial: own for trial, own in by_trial.items() if any(each.acknowledged for each in own)}
    lost, changed, denied = [], [], []
    for trial, own in promised.items():
        row = kept.get(trial)
        if row is None:
            lost.append(own[0])
            continue
        if not any(_equal(each, row) for each in own):
            changed.append(own[0])
        denied += [each for each in own if each.duplicate is False and each.key != row["key"]]
    return Kept(len(promised), lost, changed, denied)


def _trial(row: dict[str, Any]) -> tuple[str, str, int, int]:
    return row["participant"], row["phase"], int(row["round"]), int(row["position"])


def _equal(sent: Sent, row: dict[str, Any]) -> bool:
    names = ("key", "answer", "confidence", "rt_ms", "elapsed_ms")
    return all(getattr(sent, name) == row[name] for name in names)
