"""The section on explanations: what networks look at, whether the maps hold, and what others see in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from prunescope.analysis.results import Results
from prunescope.report import explanation_figures as drawn
from prunescope.report import explanation_words as words
from prunescope.report.blocks import Fact, Plot, Section
from prunescope.report.explanation_figures import Panel
from prunescope.report.explanation_grids import grids
from prunescope.report.explanation_results import OF_PROXY, methods_of, name_method, with_explanations
from prunescope.report.explanation_tables import tables
from prunescope.report.formats import listing, percent

MOST_FINDINGS = 3  # sentences of one kind; the tables have all numbers
BASELINES = {
    "mean": "pixels taken away become the network’s mean colour",
    "blur": "pixels taken away are blurred",
    "black": "pixels taken away become black",
}


def explanations(results: Results) -> Section | None:
    """Show explanations: likeness to the dense network's, faithfulness, shape, what a proxy sees, and pictures."""
    methods = methods_of(results)
    if not methods:
        return None
    results = with_explanations(results)
    return Section(
        "explanations",
        "Explanations",
        text=_text(results, methods),
        warnings=[
            *words.without_control(results),
            *words.uneven_classes(results),
            *words.other_classes(results),
            *(warning for method in methods for warning in words.empties(results, method)),
        ],
        facts=conditions(results),
        plots=_plots(results, methods),
        tables=[table for i, method in enumerate(methods) for table in tables(results, method, folded=i > 0)],
        galleries=grids(results),
    )


def _text(results: Results, methods: list[str]) -> list[str]:
    """Say what each measure means, and below it what was found."""
    text = words.introduction(results, methods)
    parts: list[tuple[str, Callable[[Results, str], list[str]]]] = [
        (
            "Likeness says how near a network’s map is to the dense network’s map of the same image. It is no mark "
            "of quality: a network that looks elsewhere may look at something better or worse. What maps of "
            "different images have in common, such as their centre, is likeness by chance.",
            words.likeness,
        ),
        (
            "Faithfulness asks whether the map names the pixels that count. Deletion takes the pixels away, those of "
            "highest value first, insertion brings them in, and the areas are under the probability of the class. "
            "Pixels in random order make the two areas equal. Both shrink with the confidence, and their difference "
            "with them: with less confidence, a smaller deletion area is no gain, and a smaller difference does not "
            "show worse maps.",
            words.faithfulness,
        ),
        (
            "The proxy for people is an independent network that names the class of explanation maps, which show "
            "only the pixels of highest value. It stands for people and is none: it was not trained on such "
            "pictures, and what it reads in them people need not see." + _controls_of_proxy(results),
            words.proxy,
        ),
    ]
    for meaning, find in parts:
        if found := [sentence for method in methods for sentence in find(results, method)]:
            others = " The tables have the other series and methods." if len(found) > MOST_FINDINGS else ""
            text += [meaning, " ".join(found[:MOST_FINDINGS]) + others]
    return text


def _controls_of_proxy(results: Results) -> str:
    levels = [float(results.networks[metric].mean()) for metric in OF_PROXY]
    named = ("of the whole images", "of pictures that show as many random pixels")
    known = [
        f"{percent(level)} {name}" for level, name in zip(levels, named, strict=True) if math.isfinite(level)
    ]
    return f" It is right for {listing(known)}." if known else ""


def conditions(results: Results) -> list[Fact]:
    """Say how the maps were made and measured."""
    layers = results.explanations[["method", "layer"]].drop_duplicates().fillna("")
    facts = [
        Fact(f"Layer, {name_method(str(method))}", listing([str(layer) for layer in own["layer"]]))
        for method, own in layers[layers["layer"] != ""].groupby("method", sort=False)
    ]
    said = [part for part in _settings(results.settings_of("explanations")) if part]
    return [*facts, Fact("Conditions", ", ".join(said))] if said else facts


def _settings(settings: dict[str, Any]) -> list[str]:
    if not settings:
        return []
    steps, options, proxy = settings.get("steps"), settings.get("options"), settings.get("proxy")
    return [
        f"the {100 * settings['share']:g} % of the pixels of highest value count as top"
        if "share" in settings
        else "",
        f"{steps} steps of deletion and insertion" if steps else "",
        BASELINES.get(settings.get("baseline", ""), "") if steps else "",
        f"options {options}" if options else "",
        f"the proxy is {proxy.get('network')}" if proxy else "",
    ]


def _plots(results: Results, methods: list[str]) -> list[Plot]:
    rate, over = results.rate_label.lower(), _over(results)
    groups: list[tuple[str, Sequence[Panel], str]] = [
        (
            "likeness",
            drawn.LIKENESS_PANELS,
            f"Likeness of maps to the dense network’s maps of the same images, against the {rate}: 1 is the same map. "
            "Dotted, in the colour of the series: against the dense network’s maps of other images. Likeness is no "
            "mark of quality.",
        ),
        (
            "faithfulness",
            drawn.FAITHFULNESS_PANELS,
            f"Areas under the curves of deletion (lower is more faithful) and insertion (higher is), against the "
            f"{rate}. Both follow the confidence at the right, so that less deletion with less confidence is no "
            "gain; dotted: the difference for pixels in random order.",
        ),
        (
            "shape",
            drawn.SHAPE_PANELS,
            f"How concentrated the maps are (Gini: 1 is a single position; entropy, as a share of the largest "
            f"possible: 0 is a single position), and where masks of the objects are known, how often the highest "
            f"value lies in the object and how much of the relevance does (of maps that explain the image’s own "
            f"class), against the {rate}. Dotted: the share of the image that the object covers, which a map that "
            "says nothing would score. None of these says that a map is right.",
        ),
        (
            "proxy",
            drawn.PROXY_PANELS,
            "A proxy for people: how often an independent network names the class of explanation maps, against the "
            f"{rate}. Dashed: of the whole images; dotted: of as many pixels drawn at random.",
        ),
    ]
    plots = []
    for name, panels, caption in groups:
        if measured := drawn.measured(results, methods, panels):
            draw = partial(drawn.by_rate, results, methods, measured)
            titles = listing([panel.title for panel in measured])
            plots.append(
                Plot(f"explanations-{name}", draw, f"{caption} {over}", _alt(f"{titles} by {rate}", results))
            )
    return plots + _curves(results, methods)


def _curves(results: Results, methods: list[str]) -> list[Plot]:
    if not results.explanation_curves["network"].isin(results.final["network"]).any():
        return []
    caption = (
        "Probability of the class explained as the pixels of highest value are taken away (deletion) or shown on an "
        "empty image (insertion). Black: the dense network; darker is sparser. Bands: 95 % intervals over "
        f"{'seeds' if results.seeds > 1 else 'images'}."
    )
    return [
        Plot(
            "explanations-curves",
            partial(drawn.curves, results, methods),
            caption,
            _alt("Curves of deletion and insertion", results),
        )
    ]


def _over(results: Results) -> str:
    if results.seeds > 1:
        return f"Means of {results.seeds} seeds, their 95 % t-intervals; light dots: each seed."
    return "Bars and band: 95 % intervals over images."


def _alt(what: str, results: Results) -> str:
    return f"{what}, for {listing(results.series)}. The numbers are in the tables of this section."
