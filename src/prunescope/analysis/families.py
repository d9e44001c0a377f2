"""What several runs are called as one: which of them share dense networks, and the new names of all they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from prunescope.analysis.comparable import dense_steps
from prunescope.analysis.results import Results

OF_NETWORKS = {"networks": ("network", "parent", "before"), "votes": ("network", "left", "right", "chosen")}
OF_RUNS = {"steps": ("label",), "votes": ("participant", "item"), "participants": ("participant",)}


@dataclass(frozen=True)
class Family:
    """Runs that start from the same dense networks, each kept once.

    Attributes:
        steps: the hash of the dense network of each seed.
        explained: the images whose explanations were measured; runs that chose others share no dense network, since
            its explanations are not of the same images.
    """

    runs: list[str]
    steps: dict[int, str]
    explained: set[str]

    @property
    def name(self) -> str:
        """What they are called together."""
        return " + ".join(self.runs)

    def takes(self, steps: Mapping[int, str], explained: set[str]) -> bool:
        """Whether a run shares some of these dense networks, and none of a seed is another."""
        common = self.steps.keys() & steps.keys()
        alike = bool(common) and all(self.steps[seed] == steps[seed] for seed in common)
        return alike and (not explained or not self.explained or explained == self.explained)


def families_of(runs: Mapping[str, Results]) -> list[Family]:
    """Gather the runs that share dense networks, in the order of the runs."""
    families: list[Family] = []
    for name, run in runs.items():
        steps, explained = dense_steps(run), {str(image) for image in run.explanations["image"].unique()}
        own = next((family for family in families if family.takes(steps, explained)), None)
        if own is None:
            families.append(Family([name], dict(steps), explained))
        else:
            own.runs.append(name)
            own.steps.update(steps)
            own.explained.update(explained)
    return families


@dataclass(frozen=True)
class Names:
    """How one run's networks and series are called among several.

    Attributes:
        alone: whether all runs start from the same dense networks, which then are just called dense.
    """

    run: str
    family: Family
    alone: bool

    def of_networks(self, run: Results) -> dict[str, str]:
        """Return the new name of each network."""
        dense = dict(zip(run.dense["network"].astype(str), run.dense["seed"].astype(int), strict=True))
        names = {str(name): f"{self.run}: {name}" for name in run.networks["network"]}
        return names | {name: self._of_dense(f"dense-seed{seed}") for name, seed in dense.items()}

    def _of_dense(self, name: str) -> str:
        return name if self.alone else f"{self.family.name}: {name}"

    def in_table(self, table: str, run: Results) -> pd.DataFrame:
        """Return a table of the run with the new names."""
        rows: pd.DataFrame = getattr(run, table)
        names = self.of_networks(run)
        changed: dict[str, Any] = {}
        for column in OF_NETWORKS.get(table, ("network",)):
            if column in rows:
                changed[column] = rename(rows[column], renamed_by(names))
        for column in OF_RUNS.get(table, ("series",)):
            if column in rows:
                changed[column] = rename(rows[column], lambda name: f"{self.run}: {name}")
        if table == "networks":
            changed["series"] = changed["series"].mask(rows["stage"] == "dense", self._of_dense("dense"))
            changed["run"] = self.family.name
        return rows.assign(**changed)


def renamed_by(names: Mapping[str, str]) -> Callable[[str], str]:
    """Return what gives a name its new one; others stay."""
    return lambda name: names.get(name, name)


def rename(column: pd.Series[Any], new: Callable[[str], str]) -> pd.Series[Any]:
    """Give the names of a column new ones; one of categories stays one."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.rename_categories(new)
    return column.map(new, na_action="ignore").astype(object)
