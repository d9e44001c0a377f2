"""What the section on forgetting says in words, and what its seeds do not allow it to say."""

from __future__ import annotations

import math

from prunescope.analysis.results import Results
from prunescope.measures.forgetting_classes import ONE_SAMPLE
from prunescope.report.blocks import Fact
from prunescope.report.forgetting_classes import classes_in_words
from prunescope.report.forgetting_groups import attributes_in_words
from prunescope.report.formats import interval, listing, percent, points, points_interval
from prunescope.report.prunings import MOST_SERIES, Pruning, by_series

FEW_SEEDS = 30  # Hooker et al. (2019) trained so many networks of each kind


def what_it_is(results: Results, found: list[Pruning]) -> str:
    """Say what is compared, and what the words mean."""
    text = (
        "Two networks of one accuracy need not be right on the same images. Here each pruned network is compared, "
        "image by image, with the dense network of its seed. Agreement is the share of the test images that both "
        "call the same, right or wrong."
    )
    if any(each.seeds > 1 for each in found):
        text += (
            " An image is a pruning-identified exemplar if the label that most seeds give it when dense differs from "
            "the one that most seeds give it when pruned (Hooker et al. 2019)."
        )
    if (results.forgetting["metric"] == "exemplars_by_chance").any():
        text += (
            " If swapped means: how many would be exemplars if the dense and the pruned network changed places in some "
            "of the seeds, a mean over the ways to do so. Where it makes no difference which of the two is pruned, "
            "that is about as many as there are. It does not say on how many images two sets of dense networks differ."
        )
    more = len(by_series(found)) - MOST_SERIES
    if more > 0:
        text += (
            f" The first {MOST_SERIES} series have words and figures of their own; tables have {more} more."
        )
    return text


def what_seeds_allow(results: Results, found: list[Pruning]) -> list[str]:
    """Say what cannot be told from so many seeds."""
    warnings = []
    alone = list(dict.fromkeys(each.series for each in found if each.seeds == 1))
    if alone:
        where = "" if alone == results.series else f" (for {listing(alone, most=4)})"
        why = (
            f"One network{where}: its {results.seeds} seeds start from the same weights and are pruned alike, so they "
            "are one and the same"
            if results.seeds > 1
            else f"One seed{where}"
        )
        warnings.append(
            f"{why}. What is said of it is about this very network and the dense one. Any two trainings flip some "
            "images and some classes, so it is not shown that pruning did it; intervals and tests are over images. "
            "Exemplars, and tests over seeds, need several (“seeds: [0, 1, 2, 3, 4]”), each trained by itself."
        )
    warnings += _of_one_dense(results, found)
    most = max(each.seeds for each in found)
    if 1 < most < FEW_SEEDS:
        warnings.append(
            f"{most} seeds: tests over so few find only large changes, and “not shown” does not mean that nothing "
            f"changed. Hooker et al. (2019) trained {FEW_SEEDS} networks of each kind."
        )
    return warnings


def _of_one_dense(results: Results, found: list[Pruning]) -> list[str]:
    """Say for which series the networks of all seeds come from one dense network, which tests cannot see vary."""
    table = results.forgetting_classes
    one = table[table["test"] == ONE_SAMPLE]
    series = list(dict.fromkeys(each.series for each in found if each.seeds > 1 and len(each.of(one))))
    if not series:
        return []
    where = "" if series == results.series else f" (for {listing(series, most=4)})"
    return [
        f"One dense network for all seeds{where}. Tests and intervals over seeds say that the pruned networks differ "
        "from this very one. A dense network of another training would differ from it too, and the classes that came "
        "out well by luck in this one seem forgotten: it is not shown that pruning did it. That needs a dense network "
        "trained anew for each seed."
    ]


def in_words(results: Results, own: list[Pruning]) -> list[Fact]:
    """Say how far a series' networks are from the dense ones: at its highest rate, by class, by attribute."""
    last = own[-1]
    texts = {
        last.series: _images_in_words(results, last),
        f"{last.series}: classes": classes_in_words(results, own),
        f"{last.series}: attributes": attributes_in_words(results, last),
    }
    return [Fact(term, text) for term, text in texts.items() if text]


def _images_in_words(results: Results, last: Pruning) -> str:
    agreement = last.number(results, "agreement")
    within = interval(agreement["low"], agreement["high"])
    text = f"At {last.name}, {percent(agreement['value'])}{f' ({within})' if within else ''} agreement with dense"
    of_seeds = last.number(results, "agreement_of_seeds")["value"]
    if math.isfinite(of_seeds):
        text += f", where dense networks of two seeds agree on {percent(of_seeds)}"
    parts = [text, _exemplars_in_words(results, last), _calibration_in_words(results, last)]
    return " ".join(f"{part}." for part in parts if part)


def _exemplars_in_words(results: Results, pruning: Pruning) -> str:
    metrics = ("exemplars", "exemplars_by_chance", "exemplars_dense_top1", "others_dense_top1", "lost")
    exemplars, swapped, dense, others, lost = (pruning.number(results, metric) for metric in metrics)
    if not math.isfinite(exemplars["value"]):
        known = math.isfinite(lost["value"])
        return f"{percent(lost['value'])} of the images were right and are wrong now" if known else ""
    text = f"{percent(exemplars['value'])} of the images are exemplars"
    if math.isfinite(swapped["value"]):
        band = interval(swapped["low"], swapped["high"])
        text += f", {percent(swapped['value'])}{f' ({band})' if band else ''} if swapped"
        if exemplars["value"] <= swapped["high"]:
            text += ": no more than that is shown"
    if math.isfinite(dense["value"] + others["value"]):
        text += (
            f". The dense networks are right on {percent(dense['value'])} of them, on {percent(others['value'])} "
            "of the others"
        )
    return text


def _calibration_in_words(results: Results, pruning: Pruning) -> str:
    value, low, high = pruning.number(results, "calibration_change").values()
    if not math.isfinite(value):
        return ""
    within = points_interval(low, high)
    unsure = within and low <= 0 <= high
    shown = f" ({within}{': no change is shown' if unsure else ''})" if within else ""
    return f"The calibration error changes by {points(value)}{shown}"
