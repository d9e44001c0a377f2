"""Explanations then and now: whether both networks look at the same things, and whether the maps still hold."""

from __future__ import annotations

import re
from functools import partial

from prunescope.analysis.audits import DENSE, PRUNED, Audit
from prunescope.report import audit_distributions, audit_figures, explanation_figures, explanation_words
from prunescope.report.audit_words import (
    Pair,
    Quantity,
    between,
    changed,
    in_points,
    number_of,
    pair_of,
    pair_table,
    plain,
)
from prunescope.report.blocks import Cell, Gallery, Plot, Section, Table, Tile
from prunescope.report.explanation_grids import grids
from prunescope.report.explanation_results import LIKENESS, methods_of, name_method, with_explanations
from prunescope.report.explanations import conditions
from prunescope.report.formats import count, listing, percent, signed

LIKE = dict(zip(LIKENESS, ("Spearman’s ρ", "SSIM", "IoU of the top pixels"), strict=True))
QUANTITIES = (
    Quantity("confidence", "Confidence in the class explained", percent, in_points),
    Quantity("faithfulness", "Insertion − deletion", plain(3), plain(3)),
    Quantity("deletion", "Deletion area", plain(3), plain(3)),
    Quantity("insertion", "Insertion area", plain(3), plain(3)),
    Quantity("pointing", "Pointing game", percent, in_points),
    Quantity("inside", "Relevance inside the object", percent, in_points),
    Quantity("gini", "Gini", plain(3), plain(3)),
    Quantity("entropy", "Entropy", plain(3), plain(3)),
    Quantity("proxy_top1", "Top-1 of the proxy for people", percent, in_points),
    Quantity("empty", "Empty maps", percent, in_points),
)
TARGETS = {
    "dense": "the class that the dense network names",
    "label": "the label of the image",
    "prediction": "the class that each network names itself",
}


def explanations(audit: Audit) -> Section | None:
    """Show likeness, faithfulness and concentration of the maps of both networks, and the maps themselves."""
    methods = methods_of(audit.results)
    if not methods:
        return None
    results = with_explanations(audit.results)
    return Section(
        "explanations",
        "Explanations",
        text=[_introduction(audit, methods), *(_of_method(audit, method) for method in methods)],
        warnings=[
            *explanation_words.uneven_classes(results),
            *explanation_words.other_classes(results),
            *(warning for method in methods for warning in _empties(audit, method)),
        ],
        facts=conditions(results),
        plots=[*_likeness(audit, methods), *_curves(audit, methods)],
        tables=_tables(audit, methods),
        galleries=[_side_by_side(grid) for grid in grids(results)],
    )


def explanations_in_words(audit: Audit) -> str:
    """Say of the first method how like the maps are, and what became of their faithfulness."""
    methods = methods_of(audit.results)
    return _of_method(audit, methods[0]) if methods else ""


def metric_of(method: str, what: str) -> str:
    """Return the name by which conditions know what was measured of a method's maps: grad_cam_spearman."""
    return re.sub(r"\W", "_", method) + f"_{what}"


def _pair(audit: Audit, method: str, what: str) -> Pair:
    return pair_of(audit, metric_of(method, what))


def _introduction(audit: Audit, methods: list[str]) -> str:
    settings, images = (
        audit.results.settings_of("explanations"),
        audit.results.explanations["image"].nunique(),
    )
    target = TARGETS.get(str(settings.get("target", "")), "")
    explained = f" The class explained is {target}." if target else ""
    named = listing([name_method(method, start=i == 0) for i, method in enumerate(methods)])
    return (
        f"An attribution method says of each position of an image how much it speaks for a class: the image’s map. "
        f"{named} explained the same {count(images, 'image')} for both networks.{explained} Likeness to the dense "
        "network’s map is no mark of quality: a network that looks elsewhere may look at something better or worse. "
        "Deletion takes away the pixels of highest value, insertion brings them in; the areas are under the "
        "probability of the class, and shrink with the confidence. Intervals are over images, of changes paired."
    )


def _of_method(audit: Audit, method: str) -> str:
    """Say what is shown of one method's maps."""
    said = []
    like, chance = (audit.number(metric_of(method, f"spearman{end}")) for end in ("", "_chance"))
    if like.known:
        within = between(like, signed)
        text = f"the rank correlation with the dense network’s maps is {signed(like.value)}"
        text += f" ({within})" if within else ""
        if chance.known and like.low > (chance.high if chance.bounded else chance.value):
            text += f"; with dense maps of other images it is {signed(chance.value)}"
        elif chance.known:
            text += f", which is not shown to be more than with dense maps of other images ({signed(chance.value)})"
        said.append(text)
    faithfulness, confidence = (_pair(audit, method, what) for what in ("faithfulness", "confidence"))
    if faithfulness.change.known:
        text = f"insertion − deletion {changed(faithfulness.change, plain(3))}"
        if confidence.change.known:
            text += f", the confidence {changed(confidence.change, in_points)}"
        said.append(text)
    return (
        f"{name_method(method)}: {'; '.join(said)}."
        if said
        else f"{name_method(method)} explained both networks."
    )


def _empties(audit: Audit, method: str) -> list[str]:
    empty = _pair(audit, method, "empty")
    worst = max((number.value for number in (empty.dense, empty.pruned) if number.known), default=0.0)
    if not worst:
        return []
    return [
        f"{name_method(method)} finds nothing that speaks for the class in {percent(empty.dense.value)} of the images "
        f"in the dense network and in {percent(empty.pruned.value)} in the pruned one. Such empty maps are counted and "
        "are in no mean of likeness, faithfulness or shape."
    ]


def _side_by_side(grid: Gallery) -> Gallery:
    """Let the pictures of an image flow with those of the others, each under the name of its network."""
    rows = [
        [
            Tile(tile.picture, [name.capitalize(), *tile.lines], tile.good)
            for name, tile in zip(grid.columns, row, strict=True)
        ]
        for row in grid.rows
    ]
    return Gallery([], rows, grid.caption, grid.folded)


def _likeness(audit: Audit, methods: list[str]) -> list[Plot]:
    table = audit.results.explanations
    rows = {}
    for method in methods:
        own = table[(table["network"] == PRUNED) & (table["method"] == method)]
        if own["spearman"].notna().any():
            rows[name_method(method)] = {
                title: (
                    own[what].dropna().to_numpy(dtype=float),
                    audit.number(metric_of(method, f"{what}_chance")).value,
                )
                for what, title in LIKE.items()
            }
    if not rows:
        return []
    caption = (
        "How like the two networks’ maps of the same image are, over images: 1 is the same map. Likeness is no mark of "
        "quality."
    )
    draw = partial(audit_distributions.likeness, rows)
    alt = "Histograms of the rank correlation of maps, dense and pruned. The numbers are in the tables of this section."
    return [Plot("explanations-likeness", draw, caption, alt)]


def _curves(audit: Audit, methods: list[str]) -> list[Plot]:
    curves = audit.results.explanation_curves
    if not {DENSE, PRUNED} <= set(curves["network"]):
        return []
    caption = (
        "Probability of the class explained as the pixels of highest value are taken away (deletion) or shown on an "
        "empty image (insertion). Black: the dense network; blue: the pruned one. Bands: 95 % intervals over images."
    )
    drawn = [method for method in methods if (curves["method"] == method).any()]
    colours = {PRUNED: audit_figures.PRUNED.colour}
    draw = partial(explanation_figures.curves, audit.results, drawn, colours)
    return [Plot("explanations-curves", draw, caption, "Curves of deletion and insertion, dense and pruned.")]


def _tables(audit: Audit, methods: list[str]) -> list[Table]:
    tables = []
    for method in methods:
        name = name_method(method)
        rows: list[list[Cell | str]] = []
        for what, title in LIKE.items():
            value, chance = (audit.number(metric_of(method, f"{what}{end}")) for end in ("", "_chance"))
            if value.known:
                rows.append([title, number_of(value, plain(3)), number_of(chance, plain(3))])
        if rows:
            caption = (
                f"{name}: likeness of the pruned network’s maps to the dense one’s of the same image, and of dense "
                "maps of different images."
            )
            tables.append(Table(["", "Same image", "Other images"], rows, caption, narrow=True))
        caption = (
            f"{name}: the maps of both networks, with 95 % intervals over images; of changes they are paired."
        )
        if _pair(audit, method, "proxy_top1").known:
            caption += (
                " The proxy is an independent network that sees the explanation maps; it is not people."
            )
        own = [each._replace(name=metric_of(method, each.name)) for each in QUANTITIES]
        tables += pair_table(audit, own, caption)
    return tables
