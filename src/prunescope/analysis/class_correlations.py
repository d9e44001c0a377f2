"""Are the classes that a network names best those whose logits are easiest to interpret?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from prunescope.analysis.correlations import p_of
from prunescope.analysis.finding import Finding, Margins, verdict_of
from prunescope.analysis.finding_words import coefficient, judged, name, p_value, plural
from prunescope.analysis.results import Results
from prunescope.measures.rank_trends import Floats, correlation_interval, permute_together, spearman
from prunescope.measures.significance import holm

LEAST = 4  # classes
MEASURE, FIGURE = "class mis and class top1", "mis-by-class"
WORDS = "the MIS of a class's logit and the accuracy on that class"


class Network(NamedTuple):
    """What one network has of each class, (classes,), in one order for all of a run."""

    name: str
    classes: tuple[str, ...]
    mis: Floats
    top1: Floats


def class_correlations(results: Results, margins: Margins) -> Iterator[Finding]:
    """Conclude from each dense and each final network, and from their mean."""
    networks = _networks(results)
    if not networks:
        return
    usable = [each for each in networks if not math.isnan(spearman(each.mis, each.top1))]
    if not usable or len(usable[0].mis) < LEAST:
        few = len(networks[0].mis) < LEAST
        why = (
            f"there are only {plural(len(networks[0].mis), 'class')}"
            if few
            else "one is the same for all classes"
        )
        yield Finding(
            "correlation", MEASURE, "all networks", math.nan, f"Whether {WORDS} go together cannot be said: {why}.",
            "none", "no interval", figure=FIGURE,
        )  # fmt: skip
        return
    for classes in dict.fromkeys(each.classes for each in usable):
        own = [each for each in usable if each.classes == classes]
        if len(own) > 1:
            yield _mean(own, len(networks) - len(usable))
    yield from _each(usable)


def _networks(results: Results) -> list[Network]:
    asked = [*results.dense["network"], *results.final["network"]]
    logits = results.units[(results.units["kind"] == "linear") & results.units["class"].notna()]
    logits = logits[logits["network"].isin(asked)].astype({"network": str, "class": str})
    accuracy = results.classes.astype({"network": str, "class": str})[["network", "class", "top1"]]
    both = logits[["network", "class", "mis"]].merge(accuracy, on=["network", "class"]).dropna()
    found = []
    for network, own in both.groupby("network", sort=False):
        ordered = own.sort_values("class")
        numbers = (ordered[column].to_numpy(np.float64) for column in ("mis", "top1"))
        found.append(Network(str(network), tuple(ordered["class"]), *numbers))
    return found


def _mean(networks: list[Network], left_out: int) -> Finding:
    mean, test = permute_together(
        *(np.stack([getattr(each, what) for each in networks]) for what in ("mis", "top1"))
    )
    verdict = verdict_of(test.p)
    classes = len(networks[0].classes)
    return Finding(
        question="correlation",
        measure=MEASURE,
        about="mean over networks",
        estimate=mean,
        n=classes,
        method=f"mean over {len(networks)} networks of Spearman's correlation over classes; permutation of the "
        "classes, the same in all networks",
        p=test.p,
        p_holm=test.p,
        verdict=verdict,
        sentence=(
            f"Over {plural(classes, 'class')}, {WORDS} have a mean Spearman correlation of "
            f"{coefficient(mean)} within {plural(len(networks), 'network')} (permutation of the classes, "
            f"{p_value(test.p)}): {verdict}."
            + (f" Left out: {left_out} in which one is the same for all classes." if left_out else "")
        ),
        figure=FIGURE,
        weight=4.0 if verdict == "shown" else 1.0,
    )


def _each(networks: list[Network]) -> Iterator[Finding]:
    correlations = [spearman(each.mis, each.top1) for each in networks]
    tests = [p_of(each.mis, each.top1, r, True) for each, r in zip(networks, correlations, strict=True)]
    corrected = holm(np.array([p for p, _ in tests])).tolist()
    for each, r, (p, test), p_holm in zip(networks, correlations, tests, corrected, strict=True):
        low, high = correlation_interval(r, len(each.mis), of_ranks=True)
        within = f"95 % interval {coefficient(low)} to {coefficient(high)}; " if math.isfinite(low) else ""
        verdict, tested = verdict_of(p_holm, low, high), judged(p, p_holm, len(networks), low, high)
        numbers: dict[str, Any] = {"estimate": r, "low": low, "high": high, "p": p, "p_holm": p_holm}
        yield Finding(
            question="correlation within a network",
            measure=MEASURE,
            about=each.name,
            **numbers,
            n=len(each.mis),
            resampled="class" if math.isfinite(low) else "",
            method=f"Spearman's correlation over classes; interval: Bonett and Wright's; test: {test}",
            verdict=verdict,
            sentence=(
                f"In {name(each.name)}, over {plural(len(each.mis), 'class')}, {WORDS} have a Spearman correlation of "
                f"{coefficient(r)} ({within}{tested}): {verdict}."
            ),
            figure=FIGURE,
        )
