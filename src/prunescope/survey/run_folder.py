"""A run as an experiment is built from it: its networks, its tables as they are, and their hashes."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from prunescope.analysis.results import Results, read_results
from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.survey.experiment import digest_of_file

AGAIN = "run the study again to write it anew"


@dataclass(frozen=True, eq=False)
class RunFolder:
    """The folder of a study that was run.

    Attributes:
        folder: where it is.
        results: its tables as the analysis reads them.
        digests: the SHA-256 of each file that was read, by its path in the folder.
    """

    folder: Path
    results: Results
    digests: dict[str, str] = field(default_factory=dict)

    @cached_property
    def study(self) -> dict[str, Any]:
        """What `study.json` says."""
        return self.results.study

    @cached_property
    def default_networks(self) -> list[str]:
        """The dense networks, and those in which each series ends."""
        networks = self.results.networks
        chosen = networks[(networks["stage"] == "dense") | networks["final"].astype(bool)]
        return [str(name) for name in chosen["network"]]

    def rate_of(self, network: str) -> float:
        """Return the rate that a network is pruned at; 0 for the dense one."""
        networks = self.results.networks
        return float(networks.loc[networks["network"] == network, "rate"].iloc[0])

    def table(self, name: str, needed: Sequence[str], folder: str = "tables") -> pd.DataFrame:
        """Read a table with all its columns, and note its hash.

        Raises:
            PrunescopeError: it is damaged, or lacks a column.
        """
        path = self.path(folder, f"{name}.parquet")
        try:
            table = pd.read_parquet(path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise PrunescopeError(f"{path} is damaged ({error}): {AGAIN}") from error
        return self.checked(path, table, needed)

    def checked(self, path: Path, table: pd.DataFrame, needed: Sequence[str]) -> pd.DataFrame:
        """Return a table that was read from a file of the folder, if it has all columns; note the file's hash."""
        missing = [column for column in needed if column not in table]
        if missing:
            raise PrunescopeError(f"{path} lacks the column {missing[0]!r}: {AGAIN}")
        self.digests[path.relative_to(self.folder).as_posix()] = digest_of_file(path)
        return table

    def path(self, *parts: str) -> Path:
        """Return where a file of the folder is."""
        return self.folder.joinpath(*parts)

    def networks(self, globs: Sequence[str] | None, offered: Sequence[str], what: str) -> list[str]:
        """Return the networks that a design asks about.

        Args:
            globs: of names, each fitting at least one network that has it; None for the default ones.
            offered: the networks that have what is to be shown.
            what: that is, in words.

        Raises:
            PrunescopeError: a glob fits none, or there is none at all.
        """
        names = [str(name) for name in self.results.networks["network"]]
        if globs is None:
            chosen = [name for name in self.default_networks if name in set(offered)]
        else:
            of_run = [_matching(names, [glob], f"of {self.folder}") for glob in globs]
            without = next((own for own in of_run if not set(own) & set(offered)), None)
            if without is not None:
                raise PrunescopeError(
                    f"pool.networks: the run has no {what} of {some(without)}: ask only about networks that were "
                    f"measured ({some(list(offered))}), or measure those too"
                )
            asked = {name for own in of_run for name in own}
            chosen = [name for name in names if name in asked and name in set(offered)]
        if not chosen:
            raise PrunescopeError(
                f"the run has {what} of {some(list(offered)) or 'no network'}, and none of those is dense or the end "
                "of a series: name the networks in the design (pool: networks)"
            )
        return chosen


def open_run(folder: Path) -> RunFolder:
    """Read the folder of a study that was run.

    Raises:
        PrunescopeError: it is none, or damaged.
    """
    return RunFolder(folder, read_results(folder))


def matching_layers(layers: Sequence[str], globs: Sequence[str]) -> list[str]:
    """Return the layers that fit a glob; a glob that fits none is an error."""
    return _matching(layers, globs, "with tasks in this run", "pool.layers", "layer")


def _matching(
    names: Sequence[str],
    globs: Sequence[str],
    where: str,
    setting: str = "pool.networks",
    thing: str = "network",
) -> list[str]:
    for glob in globs:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            raise PrunescopeError(
                f"{setting}: no {thing} {glob!r} {where}{did_you_mean(glob, names)}; there are: {some(list(names))}"
            )
    return [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]
