"""What a study measured of its networks, by the names that wishes use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from prunescope.analysis.results import METRICS, Results

DERIVED = ("zeros", "unreachable", "gone", "left", "macs_left", "file_left")
SAME_RUN = ["step", "runtime", "batch"]
ALIKE = ["series", "target", "stage"]


@dataclass(frozen=True)
class Quantities:
    """All that a study measured.

    Attributes:
        networks: the rows of `Results.networks`, with a column for every metric of the table `scores`, and one with
            `_low` and one with `_high` for those that have an interval of their own. Milliseconds are those of the
            dense network, the median of all its runs, over the speed-up in the same run: a machine that is slower
            in one run than in another does not move them.
        forgotten: of the table `forgetting`, what belongs to networks in which a series ends.
        names: of all metrics that some such network has, in the order of the tables.
    """

    networks: pd.DataFrame
    forgotten: pd.DataFrame
    names: list[str]

    @property
    def dense(self) -> pd.DataFrame:
        """The dense networks, one per seed, by seed."""
        return self.networks[self.networks["stage"] == "dense"].drop_duplicates("seed").set_index("seed")

    @property
    def final(self) -> pd.DataFrame:
        """The networks in which each series ends."""
        return self.networks[self.networks["final"]]

    def dense_value(self, metric: str) -> float:
        """Return a metric of the dense networks, the mean over seeds; NaN where they have none."""
        dense = self.dense
        return float(dense[metric].mean()) if metric in dense else math.nan


def quantities_of(results: Results) -> Quantities:
    """Put all metrics of a study beside its networks."""
    networks = _same_machine(_with_every_score(results), results.speed)
    final = networks[networks["final"]]
    ends = final[ALIKE].drop_duplicates()
    forgotten = results.forgetting.merge(ends, on=ALIKE).dropna(subset=["value"])
    scored = [str(name) for name in results.scores["metric"].unique()]
    known = dict.fromkeys([*METRICS, *DERIVED, *scored])
    names = [name for name in known if name in final and final[name].notna().any()]
    names += [str(name) for name in forgotten["metric"].unique() if name not in names]
    return Quantities(networks, forgotten, names)


def _with_every_score(results: Results) -> pd.DataFrame:
    """Add the metrics that `Results.networks` leaves in the table `scores`."""
    networks = results.networks
    rest = results.scores[~results.scores["metric"].isin(networks.columns)]
    for column, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        wide = rest.pivot(index="network", columns="metric", values=column).add_suffix(suffix)
        networks = networks.join(wide[wide.columns.difference(networks.columns)].astype(float), on="network")
    return networks


def _same_machine(networks: pd.DataFrame, speed: pd.DataFrame) -> pd.DataFrame:
    """Replace milliseconds by those on one and the same machine, wherever the speed-up is known."""
    steps = networks[["network", "step"]].merge(speed, on="network")
    runs = steps[steps["variant"] == "dense"].drop_duplicates(SAME_RUN)
    changed = {}
    for (runtime, batch), own in runs.groupby(["runtime", "batch"]):
        time, factor = f"ms_{runtime}_b{batch}", f"speedup_{runtime}_b{batch}"
        if {time, factor} <= set(networks):
            dense = float(own["milliseconds"].median())
            for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
                changed[time + end] = dense / networks[factor + other]
    return networks.assign(**changed)
