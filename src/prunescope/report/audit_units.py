"""Units then and now: which live, and how well it can be told what they respond to."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.analysis.audits import DENSE, PRUNED, Audit
from prunescope.report import audit_distributions, audit_figures
from prunescope.report.audit_words import Quantity, changed, in_points, pair_of, pair_table, plain
from prunescope.report.blocks import Plot, Section
from prunescope.report.cards import of_known_networks
from prunescope.report.explorer import about_cards, browse, count_units
from prunescope.report.formats import count, percent, whole
from prunescope.report.units import WHAT_IT_IS, conditions

NETWORKS = (DENSE, PRUNED)
QUANTITIES = (
    Quantity("units_alive", "Convolution units alive", whole, whole),
    Quantity("units_dead", "Convolution units dead", whole, whole),
    Quantity("mis", "MIS, live units", plain(3), plain(3)),
    Quantity("mis_layers", "MIS, layers alike", plain(3), plain(3)),
    Quantity("mis_paired", "MIS, units alive in both", plain(3), plain(3)),
    Quantity("mis_published", "MIS as published: dead units scored", plain(3), plain(3)),
    Quantity("hit_rate", "Hit rate", percent, in_points),
)


def units(audit: Audit) -> Section | None:
    """Show live and dead units, and the distribution of their scores."""
    if not audit.number("units_alive_dense").known and not audit.number("units_alive_pruned").known:
        return None
    of_mis = audit.results.units[audit.results.units["alive"].notna()]
    caption = (
        "Both networks under the same conditions, with 95 % intervals over units, as if these were independent. "
        "Layers alike: the mean of each layer first, so that wide layers do not outweigh others."
    )
    return Section(
        "units",
        "What units respond to: MIS",
        text=WHAT_IT_IS,
        facts=conditions(of_mis),
        plots=_plots(audit, of_mis[of_mis["kind"] == "conv"]),
        tables=pair_table(audit, QUANTITIES, caption),
    )


def units_in_words(audit: Audit) -> str:
    """Say how many units are alive, and what became of the mean score."""
    alive, dead, mis = (pair_of(audit, name) for name in ("units_alive", "units_dead", "mis"))
    if not alive.pruned.known:
        return ""
    total = alive.pruned.value + dead.pruned.value
    said = [f"{whole(dead.pruned.value)} of {whole(total)} convolution units of the pruned network are dead"]
    if dead.dense.known:
        said[0] += (
            f", {whole(dead.dense.value)} of {whole(alive.dense.value + dead.dense.value)} of the dense one"
        )
    said[0] += "."
    if mis.dense.known and mis.pruned.known:
        write = plain(3)
        said.append(
            f"The mean MIS of live units is {write(mis.dense.value)} dense and {write(mis.pruned.value)} pruned."
        )
    paired = audit.number("mis_paired_change")
    if audit.record.comparable and paired.known:
        said.append(f"Over the units alive in both, the mean {changed(paired, plain(3))}.")
    return " ".join(said)


def _live(units: pd.DataFrame, network: str) -> tuple[NDArray[np.float64], int]:
    """Return the scores of a network's live units, and how many units it has."""
    own = units[units["network"] == network]
    live = own.loc[own["alive"].fillna(False).astype(bool), "mis"].dropna()
    return live.to_numpy(dtype=np.float64), len(own)


def _plots(audit: Audit, conv: pd.DataFrame) -> list[Plot]:
    scores = {name: _live(conv, name) for name in NETWORKS}
    scores = {name: found for name, found in scores.items() if len(found[0])}
    if not scores:
        return []
    both = _both(conv) if audit.record.comparable else None
    chance = audit.number("mis_chance")
    caption = (
        "Scores of single convolution units, as shares of all units of the network, dead ones included, so that the "
        "outline shrinks as units die."
    )
    if both is not None:
        alive = count(len(both[0]), "unit")
        caption += (
            f" Right: {alive} alive in both, each one’s score in one network against that in the other."
        )
    alt = "Distributions of the MIS of units, dense and pruned. The numbers are in the table of this section."
    chances = (chance.value, chance.low, chance.high)
    draw = partial(audit_distributions.scores_of_units, scores, chances, both)
    return [Plot("mis-of-units", draw, caption, alt), *_by_layer(audit, conv)]


def _both(conv: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the scores of the units that are alive in both networks, dense and pruned."""
    live = conv[conv["alive"].fillna(False).astype(bool) & conv["mis"].notna()]
    live = live.astype({"network": str, "layer": str})
    wide = (
        live.pivot(index=["layer", "unit"], columns="network", values="mis")
        .reindex(columns=list(NETWORKS))
        .dropna()
    )
    if wide.empty:
        return None
    return wide[DENSE].to_numpy(dtype=np.float64), wide[PRUNED].to_numpy(dtype=np.float64)


def _by_layer(audit: Audit, conv: pd.DataFrame) -> list[Plot]:
    medians = {}
    for name in NETWORKS:
        own = conv[(conv["network"] == name)].astype({"layer": str})
        if own["mis"].notna().any():
            live = own["mis"].where(own["alive"].fillna(False).astype(bool))
            medians[name] = live.groupby(own["layer"], sort=False).median()
    if not medians or max(len(values) for values in medians.values()) < 2:
        return []
    caption = "Median MIS of the live convolution units of each layer; layers in the order of the network."
    alt = "Median MIS of each layer, dense and pruned."
    draw = partial(audit_figures.by_layer, panels_of(audit, medians), "Median MIS")
    return [Plot("mis-by-layer", draw, caption, alt)]


def panels_of(audit: Audit, values: dict[str, pd.Series[float]]) -> list[dict[str, pd.Series[float]]]:
    """Return the panels of a figure by layer: one of both networks if they have the same layers, else one each."""
    if len(values) == 2 and audit.same_layers:
        order = values[DENSE].index
        return [{name: own.reindex(order) for name, own in values.items()}]
    return [{name: own} for name, own in values.items()]


def explorer(audit: Audit) -> Section | None:
    """Offer all units of all layers to search, sort and filter, with a card for each."""
    results = audit.results
    units = of_known_networks(results, results.units)
    if units.empty:
        return None
    places = [[place, str(name)] for place, name in enumerate(results.networks["network"])]
    if audit.record.comparable:
        chains = [{"name": "dense and pruned", "networks": places}]
        beside = "side by side in both networks"
    else:
        shown = [pair for pair in places if (units["network"] == pair[1]).any()]
        chains = [{"name": f"the {name} network", "networks": [[place, name]]} for place, name in shown]
        beside = "in one network at a time, since units of different networks do not correspond"
    browser = browse(results, units, chains, "Units of")
    text = (
        f"{count_units(units)}, a row for each, {beside}. Any column sorts, and all conditions must hold. The address "
        "of the page keeps what is shown, so that it can be sent to others."
    )
    return Section("explorer", "Unit explorer", text=[text, *about_cards(browser)], browser=browser)
