"""What was found about explanations, in sentences that claim no more than the intervals show."""

from __future__ import annotations

import math
from typing import Any

from prunescope.analysis.results import Estimate, Network, Results, over_seeds, records
from prunescope.report.explanation_results import name_method, only
from prunescope.report.formats import count, decimal, listing, name_target, percent, points, signed

TARGETS = {
    "dense": "the class that the dense network of the same seed names",
    "label": "the label of the image",
    "prediction": "the class that the network itself names",
}
MOST_NAMED = 5  # classes in a sentence
Found = dict[tuple[str, str], Estimate]  # by series and target


def introduction(results: Results, methods: list[str]) -> list[str]:
    """Say what was explained, and how what follows is to be read."""
    settings = results.settings_of("explanations")
    chosen = {
        "correct": " All networks compared get them right, so they are easier than the rest.",
        "stratified": " They are equally many of each class as far as possible, recognised or not.",
    }.get(settings.get("choose", ""), "")
    target = TARGETS.get(settings.get("target", ""), "")
    explained = f" The class explained is {target}." if target else ""
    again = (
        "Intervals are over seeds."
        if results.seeds > 1
        else "With one seed, intervals are over images: how sure a number of these networks is, not what another "
        "seed would give."
    )
    named = listing([name_method(method, start=i == 0) for i, method in enumerate(methods)])
    return [
        f"An attribution method says of each position of an image how much it speaks for a class: the image’s map. "
        f"{named} explained {_which_images(results)}.{chosen}{explained} {again}"
    ]


def _which_images(results: Results) -> str:
    runs = results.explanations[["network", "image"]].merge(
        results.networks[["network", "run"]], on="network"
    )
    images = {str(run): frozenset(own["image"]) for run, own in runs.groupby("run")}
    if len(set(images.values())) < 2:
        return f"the same {count(results.explanations['image'].nunique(), 'image')} for every network"
    each = listing([f"{count(len(own), 'image')} in {run}" for run, own in images.items()])
    common = len(frozenset.intersection(*images.values()))
    return (
        f"{each}, of which {common:,} are the same: each network is compared with the dense one on the images of its "
        "own run, and those of different runs are not to be compared with one another"
    )


def without_control(results: Results) -> list[str]:
    """Warn where pruned networks were trained further, the dense one was not, and no control was."""
    later = results.retrained[results.retrained["network"].isin(results.explanations["network"])]
    if later.empty or (later["rate"] == 0).any():
        return []
    return [
        "The pruned networks were retrained, and the dense one was not. What retraining alone does to explanations is "
        "part of every change below; a series with rates: [0], retrained alike, would show how much."
    ]


def likeness(results: Results, method: str) -> list[str]:
    """Say how like the dense network's maps those of each series are, and whether more than maps of other images."""
    found, chance = (_estimates(results, f"{method}/{what}") for what in ("spearman", "spearman_chance"))
    sentences = []
    for series in _series(results, found):
        first, last = _ends(found, series)
        named = f"{name_method(method)} of {series}: the rank correlation with the dense network’s maps is"
        rise = f" {_with(first)} at {_at(first)}, and" if first != last else ""
        sentences.append(f"{named}{rise} {_with(last)} at {_at(last)}{_above(last, chance.get(last[:2]))}.")
    return sentences


def _above(found: Estimate, chance: Estimate | None) -> str:
    if chance is None:
        return ""
    if found.low > chance.high:
        return f"; with dense maps of other images it is {signed(chance.value)}"
    return f", which is not shown to be more than with dense maps of other images ({_with(chance)})"


def faithfulness(results: Results, method: str) -> list[str]:
    """Say what became of insertion less deletion from dense to the highest rate, and of the confidence with it."""
    found = {what: _estimates(results, f"{method}/{what}_change") for what in ("faithfulness", "confidence")}
    sentences = []
    for series in _series(results, found["faithfulness"]):
        _, last = _ends(found["faithfulness"], series)
        confidence = found["confidence"].get(last[:2])
        said = (
            f"{name_method(method)} of {series}: from the dense network to {_at(last)}, insertion − deletion"
        )
        sentence = f"{said} {_changed(last)}"
        if confidence:
            sentence += f", the confidence {_changed(confidence)}"
        sentence += "."
        sentences.append(sentence)
    return sentences


def proxy(results: Results, method: str) -> list[str]:
    """Say how often the independent network names the class of explanation maps, dense and at the highest rate."""
    found, changes = (_estimates(results, f"{method}/proxy_top1{end}") for end in ("", "_change"))
    sentences = []
    for series in _series(results, found):
        dense = over_seeds(results.dense_beside(series), f"{method}/proxy_top1")
        _, last = _ends(found, series)
        of_dense = f" {percent(dense[0].value)} of the dense network’s explanation maps and" if dense else ""
        named = f"{name_method(method)} of {series}: the proxy names the class of"
        sentence = f"{named}{of_dense} {percent(last.value)} at {_at(last)}"
        change = changes.get(last[:2])
        if change and not (change.low > 0 or change.high < 0):
            sentence += f", a difference that is not shown ({_between(change, points)})"
        sentences.append(f"{sentence}.")
    return sentences


def empties(results: Results, method: str) -> list[str]:
    """Warn of maps in which nothing speaks for the class."""
    found = results.networks.dropna(subset=[f"{method}/empty"])
    worst = max(records(found), key=lambda network: network[f"{method}/empty"], default=None)
    if worst is None or not worst[f"{method}/empty"]:
        return []
    where = _name(worst)
    return [
        f"{name_method(method)} finds nothing that speaks for the class in up to "
        f"{percent(worst[f'{method}/empty'])} of the images ({where}). Such empty maps are counted and are in no "
        "mean of likeness, faithfulness or shape: what is averaged for two networks may then not be the same images. "
        "To a proxy they show nothing, and count as not recognised."
    ]


def uneven_classes(results: Results) -> list[str]:
    """Warn where the images that all networks get right leave classes out, or some with few."""
    per_class = results.explanations.drop_duplicates("image")["label"].value_counts()
    classes = results.classes.drop_duplicates("index")
    counts = classes["index"].map(per_class).fillna(0).astype(int)
    if not len(counts) or counts.min() >= counts.max() - 1:
        return []
    fewest = classes.loc[counts == counts.min(), "class"].astype(str).tolist()
    more = [f"{len(fewest) - MOST_NAMED} more"] if len(fewest) > MOST_NAMED else []
    named = listing([*fewest[:MOST_NAMED], *more])
    return [
        f"The classes are not shown alike: {counts.min()} to {counts.max()} images each, the fewest of {named}. "
        "Means over images weigh the others more."
    ]


def other_classes(results: Results) -> list[str]:
    """Warn where the maps that are compared explain different classes."""
    table = results.explanations.merge(results.networks[["network", "run", "seed", "stage"]], on="network")
    keys = ["run", "seed", "method", "image"]
    dense = table.loc[table["stage"] == "dense", [*keys, "target"]].drop_duplicates(keys)
    pairs = table[table["stage"] != "dense"].merge(dense, on=keys, suffixes=("", "_dense"))
    share = float((pairs["target"] != pairs["target_dense"]).mean()) if len(pairs) else 0.0
    if not share:
        return []
    return [
        f"In {percent(share)} of the comparisons the two maps explain different classes, since each network’s own "
        "prediction is explained; there, likeness to the dense network also says whether the predictions agree."
    ]


def _name(network: Network) -> str:
    if network["stage"] == "dense":
        return "the dense network"
    before = "" if network["final"] else ", before retraining"
    return f"{network['series']} at {name_target(network['target'], network['rate'])}{before}"


def _estimates(results: Results, metric: str) -> Found:
    return {estimate[:2]: estimate for estimate in over_seeds(only(results.final, metric), metric)}


def _series(results: Results, found: Found) -> list[str]:
    """Return the series that sentences are about: no controls."""
    return list(dict.fromkeys(series for series, _ in found if series not in results.controls))


def _ends(found: Found, series: str) -> tuple[Estimate, Estimate]:
    own = [estimate for estimate in found.values() if estimate.series == series]
    return own[0], own[-1]


def _at(estimate: Estimate) -> str:
    return name_target(estimate.target, estimate.rate)


def _with(estimate: Estimate) -> str:
    between = _between(estimate, signed)
    return f"{signed(estimate.value)} ({between})" if between else signed(estimate.value)


def _between(estimate: Estimate, write: Any) -> str:
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    return f"{write(estimate.low)} to {write(estimate.high)}"


def _changed(change: Estimate) -> str:
    """Say how much more or less something is; nothing is claimed where the interval holds 0."""
    if change.low > 0 or change.high < 0:
        way = "rises" if change.value > 0 else "falls"
        low, high = sorted((abs(change.low), abs(change.high)))
        return f"{way} by {decimal(abs(change.value), 3)} ({decimal(low)} to {decimal(high)})"
    between = _between(change, signed_3)
    return f"shows no change ({between})" if between else "cannot be said to change (no interval)"


def signed_3(value: float) -> str:
    """Write a number that may be negative to three decimals."""
    return decimal(value).replace("-", "−")
