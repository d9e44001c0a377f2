"""How many participants an experiment needs: whole studies drawn, each compare as the analysis does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis.crossed import Crossed, crossed, difference_of_shares, share
from prunescope.measures.intervals import wilson_share
from prunescope.measures.significance import LEVEL, holm, tost
from prunescope.survey.experiment import RUN, Experiment
from prunescope.survey.simulated import NEITHER, RIGHT, WRONG, Behaviour, Floats
from prunescope.survey.simulated_study import Counts, SimulatedStudies, Truths, Votes

ANY = "any of them"


class Comparison(NamedTuple):
    """Two networks that the analysis compares.

    Attributes:
        stimulus: of a pair, what is shown; "" where the networks are compared over all.
        one: the less pruned network.
        other: the more pruned one.
        tasks: (tasks,), those that are of it.
        of_other: (tasks,), those that show the more pruned one alone; of a pair, none.
    """

    stimulus: str
    one: str
    other: str
    tasks: Truths
    of_other: Truths

    @property
    def name(self) -> str:
        """As a table has it."""
        return " ".join(part for part in (self.stimulus, f"{self.one} | {self.other}") if part)


def power(
    experiment: Experiment,
    behaviour: Behaviour,
    participants: Sequence[int],
    studies: int,
    *,
    seed: int = 0,
    margin: float | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> pd.DataFrame:
    """Draw studies of several sizes and tell how often the analysis would show each difference.

    Each study has people and effects of tasks of its own. A pair: the share of the answers that prefer one which
    prefer the more pruned network, against one half. Else: the share of right answers of each network less that of
    the least pruned one. All comparisons of a study are corrected for their number (Holm).

    Args:
        experiment: whose tasks, lists and exclusion rules hold.
        behaviour: how the people answer.
        participants: of one study, with those who leave or are excluded; several are several rows.
        studies: drawn for each number of participants.
        margin: a difference that counts as none; then also how often it is shown that there is no larger one.
        progress: called with the number of studies that are done.

    Returns:
        One row per number of participants and comparison, and one for any of them: `participants`, `comparison`,
        `studies`, `shown` (share with p < .05 after Holm's correction), `low`, `high` (its 95 % interval, Wilson),
        `estimate`, `half_width` (of its 95 % interval; means over the studies), `votes`, `excluded`; with a margin
        `no_larger` (share with p < .05 after Holm's correction, of the two one-sided tests).
    """
    drawing, compared = SimulatedStudies(experiment, behaviour), comparisons(experiment)
    items = items_of(experiment)
    rows, done = [], 0
    for number in participants:
        found, votes, excluded = [], [], []
        for study in range(studies):
            drawn = drawing.draw(number, seed + study)
            found.append([compare(experiment, each, drawn, items) for each in compared])
            votes.append(len(drawn.task))
            excluded.append(drawn.participants - drawn.kept)
            done += 1
            progress(done)
        common = {
            "participants": number, "studies": studies,
            "votes": float(np.mean(votes)), "excluded": float(np.mean(excluded)),
        }  # fmt: skip
        rows += [common | row for row in _rows(compared, found, margin, null_of(experiment))]
    order = ["participants", "comparison", "studies", "shown", "low", "high", "estimate", "half_width"]
    table = pd.DataFrame(rows)
    return table[[*order, *table.columns.difference(order, sort=False)]]


def alike(experiment: Experiment, behaviour: Behaviour) -> Behaviour:
    """Return people for whom all networks are alike: pairs are a matter of chance, else skills are the mean skill."""
    mean = 0.5 if experiment.design.kind == "pairwise" else float(np.mean(list(behaviour.skill.values())))
    return replace(behaviour, skill=dict.fromkeys(behaviour.skill, mean), slope=None)


def null_of(experiment: Experiment) -> float:
    """Return what is estimated where people see no difference."""
    return 0.5 if experiment.design.kind == "pairwise" else 0.0


def comparisons(experiment: Experiment) -> list[Comparison]:
    """Return what the analysis compares: the pairs, or each network with the least pruned one."""
    tasks = experiment.tasks
    main = (tasks["role"] == "main").to_numpy()
    if experiment.design.kind == "pairwise":
        names = tasks[["stimulus", "one", "other"]].astype(str).agg("\n".join, axis=1)
        pairs = {str(name): name.split("\n") for name in names[main].unique()}
        nowhere = np.zeros(len(tasks), bool)
        return [
            Comparison(stimulus, one, other, main & (names == name).to_numpy(bool), nowhere)
            for name, (stimulus, one, other) in pairs.items()
        ]
    network = tasks["network"].astype(object)
    least, *others = _in_order(experiment, list(network[main].unique()))
    return [
        Comparison("", least, other, main & network.isin([least, other]).to_numpy(), (network == other).to_numpy())
        for other in others
    ]  # fmt: skip


def _in_order(experiment: Experiment, networks: list[str]) -> list[str]:
    """Put networks in order as the analysis does: by how far they are pruned, as the run's tables say."""
    from prunescope.analysis.results import read_results
    from prunescope.analysis.votes import place_of

    run = experiment.folder / RUN
    if not run.is_dir():
        return sorted(networks)
    results = read_results(run)
    return sorted(networks, key=lambda network: place_of(network, results))


def items_of(experiment: Experiment) -> Counts:
    """Number what was judged, (tasks,), as the analysis does: the unit, in whichever network, or the image."""
    tasks = experiment.tasks.astype(object)
    units = tasks["layer"].astype(str) + " " + tasks["unit"].astype(str)
    found: Counts = pd.factorize(tasks["image"].fillna(tasks["task"]).where(tasks["unit"].isna(), units))[0]
    return found


def compare(experiment: Experiment, comparison: Comparison, votes: Votes, items: Counts) -> Crossed:
    """Compare two networks by the votes of one study, as `analysis.votes` and `analysis.right_answers` do."""
    own = comparison.tasks[votes.task]
    task, outcome = votes.task[own], votes.outcome[own]
    participants, judged = (
        np.unique(each, return_inverse=True)[1] for each in (votes.participant[own], items[task])
    )
    if experiment.design.kind == "pairwise":
        decided = outcome != NEITHER
        columns = np.stack([outcome == WRONG, decided], 1).astype(np.float64)
        return crossed(columns[decided], participants[decided], judged[decided], share, null=0.5)
    other, right = comparison.of_other[task], outcome == RIGHT
    columns = np.stack([other & right, other, ~other & right, ~other], 1).astype(np.float64)
    return crossed(columns, participants, judged, difference_of_shares, least=-1.0)


def _rows(
    compared: Sequence[Comparison], found: Sequence[Sequence[Crossed]], margin: float | None, null: float
) -> Iterator[dict[str, Any]]:
    """Yield a row for each comparison and one for any of them, from the tests of (studies, comparisons)."""
    values = np.array(found, np.float64)  # (studies, comparisons, fields of Crossed)
    fields = {name: values[:, :, i] for i, name in enumerate(Crossed._fields)}
    shown = _significant(fields["p"])
    no_larger = np.zeros_like(shown)
    if margin is not None:
        p = tost(fields["estimate"] - null, fields["error"], fields["freedom"], margin)
        no_larger = _significant(p)
    half = (fields["high"] - fields["low"]) / 2
    columns = [
        (each.name, shown[:, i], no_larger[:, i], fields["estimate"][:, i], half[:, i])
        for i, each in enumerate(compared)
    ]
    nothing = np.full(len(values), math.nan)
    columns.append(
        (ANY, np.logical_or.reduce(shown, 1), np.logical_or.reduce(no_larger, 1), nothing, nothing)
    )
    for name, hits, none, estimate, width in columns:
        low, high = wilson_share(int(hits.sum()), len(values))
        row = {
            "comparison": name, "shown": float(hits.mean()), "low": low, "high": high,
            "estimate": _mean(estimate), "half_width": _mean(width),
        }  # fmt: skip
        yield row | ({} if margin is None else {"no_larger": float(none.mean())})


def _significant(p: Floats) -> Truths:
    """Return which of (studies, comparisons) are significant, corrected for the comparisons of each study."""
    return np.stack([holm(each) < LEVEL for each in p])


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
