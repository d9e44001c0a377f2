"""The units whose MIS is averaged, network by network: which there are, which are alive, what each scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from prunescope.analysis import pairs
from prunescope.analysis.results import Results

CONV, BOTH = ("conv",), ("conv", "linear")


class Pair(NamedTuple):
    """A network and the one that it is compared with: its dense one or, without any, the least pruned of its series.

    `dense` says which; `rate` and `target` are of the other one.
    """

    network: str
    other: str
    dense: bool
    target: str
    rate: float


class Chain(NamedTuple):
    """The pairs of the networks in which one series and seed ends, rates rising."""

    series: str
    seed: object
    control: bool
    targets: list[tuple[str, float]]
    pairs: list[Pair]


def chains_of(results: Results) -> list[Chain]:
    """Return every series and seed with what its networks are compared with; units of all were scored."""
    units = results.units
    scored = set(units.loc[units["alive"].notna(), "network"].astype(str).unique())
    final = results.final.assign(dense=pairs.dense_of(results)).sort_values("rate", kind="stable")
    final = final[final["network"].isin(scored)]
    found = []
    for (_, series, seed), own in final.groupby(["run", "series", "seed"], sort=False):
        first = own.iloc[0]
        with_dense = bool(own["dense"].isin(scored).all())
        rows = own if with_dense else own[1:]
        found.append(
            Chain(
                str(series),
                seed,
                bool(own["control"].notna().any()),
                [(str(row["target"]), float(row["rate"])) for _, row in rows.iterrows()],
                [
                    Pair(
                        str(row["network"]),
                        str(row["dense"] if with_dense else first["network"]),
                        with_dense,
                        str(first["target"]),
                        float(first["rate"]),
                    )
                    for _, row in rows.iterrows()
                ],
            )
        )
    order = {series: place for place, series in enumerate(results.series)}
    return sorted(found, key=lambda each: order[each.series])


def scored_units(results: Results, kinds: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Return the units that MIS looked at, by network: `layer, unit, alive, mis, mis_published`, layers as numbers."""
    units = results.units
    units = units[units["alive"].notna() & units["kind"].isin(kinds)]
    if units.empty:
        return {}
    alive = units["alive"].astype(bool)
    table = pd.DataFrame(
        {
            "layer": units["layer"].cat.codes.to_numpy(np.int64),
            "unit": units["unit"].to_numpy(),
            "alive": alive.to_numpy(),
            "mis": units["mis"].where(alive).to_numpy(),
            "mis_published": units["mis_published"].to_numpy(),
        }
    )
    networks = units["network"].cat.remove_unused_categories()
    return {
        str(name): table[networks.cat.codes.to_numpy() == code]
        for code, name in enumerate(networks.cat.categories)
    }


def inferred(results: Results, series: str) -> str:
    """Say that which units are dead is an inference, where the tables are a published study's that does not say it."""
    published = bool(results.study.get("published")) or series.startswith("published: ")
    return " Which units are dead is inferred from the published scores, not known." if published else ""
