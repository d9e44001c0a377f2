"""Which network of a study to take: the most pruned, or the fastest, that keeps all that was asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from prunescope.analysis.choosing import Choice, gives_way, on_front, prices
from prunescope.analysis.kept import Asked, Groups, answer, points
from prunescope.analysis.quantities import DERIVED, Quantities, quantities_of
from prunescope.analysis.recommend_words import sentences
from prunescope.analysis.recommendation import By, Network, Recommendation
from prunescope.analysis.results import METRICS, read_results
from prunescope.analysis.wishes import read_wishes
from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.measures.intervals import t_interval

FASTEST = "fastest"
BYS = {
    "pruned": By("pruned", "Weights left", "of the weights are left", True),
    "nonzero": By("nonzero", "Weights that are not 0", "of the weights are not 0", True),
    "macs": By("macs", "MACs left", "of the multiply-accumulates are left", True),
    "file": By("file", "Compressed file left", "of the compressed file are left", True),
}


def recommend(
    run: Path | str, keep: Sequence[str] | str, *, by: str = "pruned", sure: bool = False
) -> Recommendation:
    """Find the most pruned, or the fastest, network of a study that keeps all that was asked.

    Args:
        run: the folder of a study's results.
        keep: wishes such as "top1 >= dense - 0.01", each a bound on one metric of the study; `dense` is the same of
            the dense network of the same seed.
        by: what is to be least: "pruned" (the weights that can still act), "nonzero", "macs", "file" (compressed),
            a time such as "ms_onnxruntime_b1", or "fastest" where the study measured one time.
        sure: take only networks whose whole 95 % interval keeps every wish, rather than the mean over seeds.

    Networks of several seeds that were pruned alike are one. Costs within 1 % of the least are alike; of those, the
    network whose least surplus is largest is taken. Controls are left out.

    Raises:
        PrunescopeError: no study there, or nothing pruned in it; a wish that is none, or that asks for what was not
            measured; a `by` that is not known or was not measured.

    Example::

        found = ps.recommend("runs/demo", ["top1 >= dense - 0.01", "mis >= dense"])
        print(*found.sentences, sep="\\n")
        found.networks  # every network, the most pruned first
    """
    results = read_results(Path(run))
    quantities = quantities_of(results)
    if quantities.final["series"].isin(results.controls).all():
        raise PrunescopeError(f"nothing was pruned in {run}: there is no network to choose from")
    wishes = read_wishes(
        [keep] if isinstance(keep, str) else list(keep), quantities.names, (*METRICS, *DERIVED)
    )
    for wish in wishes:
        if wish.of_dense and math.isnan(quantities.dense_value(wish.metric)):
            raise PrunescopeError(
                f"the wish {wish.text!r} compares with the dense network, of which there is no {wish.metric}: "
                "write a number in the place of dense"
            )
    chosen, costs = _costs(by, quantities)
    rows = quantities.networks.assign(cost=costs)
    ends = rows[rows["final"] & ~rows["series"].isin(results.controls)]
    groups, without_cost = _groups(ends)
    if not groups:
        raise PrunescopeError(f"by {by!r}: no network of {run} has that number, but for controls")
    answers = answer(groups, Asked(wishes, quantities, Path(run)))
    networks = _networks(groups, answers)
    choice = Choice(networks, answers, sure)
    best = choice.best([wish.text for wish in wishes])
    study = str(results.study.get("study") or Path(run).resolve().name)
    dense = {wish.metric: quantities.dense_value(wish.metric) for wish in wishes}
    found = Recommendation(
        study=study,
        title=str(results.study.get("title") or study),
        wishes=tuple(wishes),
        by=chosen,
        sure=sure,
        seeds=results.seeds,
        dense={"cost": float(rows.loc[rows["stage"] == "dense", "cost"].mean())} | dense,
        best=best,
        nearest=None if best else choice.nearest(),
        networks=networks,
        answers=answers.assign(front=on_front(answers, networks, wishes)),
        points=pd.DataFrame(points(groups, wishes)),
        gives_way=gives_way(networks, wishes, choice),
        prices=prices(choice, wishes, best),
        without_cost=without_cost,
        series=[name for name in results.series if name not in results.controls],
        controls=[name for name in results.series if name in results.controls],
    )
    return dataclasses.replace(found, sentences=sentences(found))


def _groups(ends: pd.DataFrame) -> tuple[Groups, list[Network]]:
    """Put networks together that were pruned alike; and return those of which no cost is known."""
    groups, without_cost = [], []
    for (series, target), own in ends.groupby(["series", "target"], sort=False):
        network, known = Network(str(series), str(target)), own.dropna(subset=["cost"])
        if known.empty:
            without_cost.append(network)
        else:
            groups.append((network, known))
    return groups, without_cost


def _costs(by: str, quantities: Quantities) -> tuple[By, pd.Series[float]]:
    """Return what is to be least, and how much of it each network has."""
    networks = quantities.networks
    times = [name for name in quantities.names if name.startswith("ms_")]
    if by == FASTEST:
        if len(times) != 1:
            raise PrunescopeError(
                f"fastest at what? Give one of {', '.join(times)} (--by)"
                if times
                else "no time was measured in this run: add the measure `speed` to the study and run it again"
            )
        by = times[0]
    if by in times:
        place = by.removeprefix("ms_").replace("_b", " at batch ")
        return By(by, f"Milliseconds, {place}", f"in {place}", False), networks[by]
    if by not in BYS:
        known = [*BYS, FASTEST, *times]
        raise PrunescopeError(f"by {by!r} is not known{did_you_mean(by, known)}: expected {', '.join(known)}")
    costs = {
        "pruned": 1 / networks["compression_reachable"],
        "nonzero": networks["nonzero"] / networks["weights"],
        "macs": networks["macs_left"],
        "file": networks["file_left"],
    }[by]
    if costs[networks["final"]].notna().any():
        return BYS[by], costs
    if by == "pruned":  # sizes were not measured; what the masks left is known even so
        return By(by, "Prunable weights left", "of the prunable weights are left", True), networks["left"]
    raise PrunescopeError(
        f"by {by!r}: sizes were not measured in this run; add the measure `size` to the study"
    )


def _networks(groups: Groups, answers: pd.DataFrame) -> pd.DataFrame:
    verdicts = answers.groupby(["series", "target"])
    kept, shown = verdicts["kept"].all(), verdicts["shown"].all()
    worst = verdicts["relative"].min()  # of those measured
    rows = []
    for (series, target), own in groups:
        costs = own["cost"].astype(float).tolist()
        low, high = t_interval(costs) if len(set(costs)) > 1 else (math.nan, math.nan)
        rows.append(
            {
                "series": series,
                "target": target,
                "rate": round(float(own["rate"].mean()), 6),
                "cost": math.fsum(costs) / len(costs),
                "cost_low": low,
                "cost_high": high,
                "seeds": len(own),
                "kept": bool(kept[series, target]),
                "shown": bool(shown[series, target]),
                "worst": float(worst[series, target]),
                "networks": [str(name) for name in own["network"]],
            }
        )
    return pd.DataFrame(rows).sort_values("cost", kind="stable", ignore_index=True)
