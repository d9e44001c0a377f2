"""Which images are forgotten: those with more of an attribute, or of one kind? By ranks, with permutations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures.forgetting_pairs import Pairs
from prunescope.measures.significance import holm

Floats = NDArray[np.float64]

FEWEST_ORDERS = 2000  # of the images that are tried, the one found among them
ORDERS_EACH = 40  # for each attribute, or Holm's correction could leave nothing below .05
_BLOCK = 4_000_000  # numbers permuted at once
_SAME = 1e-9  # relative difference that rounding makes
SPEARMAN, EXPLAINED = "Spearman", "share of rank variance"


class _Tested(NamedTuple):
    """A statistic and its p by permutation, each (attributes, comparisons)."""

    statistic: Floats
    p: Floats


def associations(pairs: Sequence[Pairs], attributes: pd.DataFrame, seed: int) -> list[pd.DataFrame]:
    """Say for several comparisons of the same images whether those that are lost share an attribute.

    Lost is the share of seeds that got an image right before pruning minus the share after, over all images.
    Restricting it to images that the dense networks got right would let those that were right by luck fall back, and
    look forgotten.

    Args:
        pairs: the comparisons; all of the same images in the same order.
        attributes: (images, attributes) numbers or text, missing where not known.
        seed: of the permutations.

    Returns:
        For each comparison one row an attribute. `attribute`; `kind` of the statistic: "Spearman" for numbers
        (above 0: the more of it, the more is lost), for text the share of the variance of ranks that its groups
        explain (0 to 1, Kruskal and Wallis' H / (n - 1)); `statistic`; `p`, by permutation over all images, at least
        1 / 2000, for more than 50 attributes 1 / (40 × their number); `p_holm`, corrected for the number of
        attributes; `within`, `p_within`, `p_within_holm`: the same among images of one class, ranks and permutations
        being within classes, so that classes that differ in the attribute cannot make it; missing where no class has
        images that differ in it. `dense`: the statistic for the share of dense networks that get an image wrong,
        since what is hard to begin with need not be what is lost; `changed`: for the share of seeds whose prediction
        changed, for better or worse; `n`: images whose attribute is known. The tests are over images: they speak of
        images like these, for these networks.
    """
    lost = np.stack([-own.changes.mean(0) for own in pairs], axis=1)  # (images, comparisons), as the next two
    wrong = np.stack([1 - own.dense.right.mean(0) for own in pairs], axis=1)
    changed = np.stack([(own.dense.predictions != own.pruned.predictions).mean(0) for own in pairs], axis=1)
    drawn = max(FEWEST_ORDERS, ORDERS_EACH * attributes.shape[1]) - 1
    found: dict[str, list[dict[str, object]]] = {}
    for known, names in _by_known(attributes):
        values, labels = attributes.loc[known, names], pairs[0].labels[known]
        everywhere = np.zeros_like(labels)  # all images, as if they were of one class
        overall = _test(values, lost[known], everywhere, drawn, seed)
        within = _test(values, lost[known], labels, drawn, seed)
        design = _Design(values, everywhere)
        others = [design.statistic(_ranks(other[known], everywhere)) for other in (wrong, changed)]
        for row, name in enumerate(names):
            found[name] = [
                {
                    "attribute": name,
                    "kind": SPEARMAN if design.numeric[row] else EXPLAINED,
                    "statistic": overall.statistic[row, number],
                    "p": overall.p[row, number],
                    "within": within.statistic[row, number],
                    "p_within": within.p[row, number],
                    "dense": others[0][row, number],
                    "changed": others[1][row, number],
                    "n": len(values),
                }
                for number in range(len(pairs))
            ]
    return [
        _corrected(pd.DataFrame([found[str(name)][number] for name in attributes]))
        for number in range(len(pairs))
    ]


def _by_known(attributes: pd.DataFrame) -> Iterator[tuple[NDArray[np.bool_], list[str]]]:
    """Yield the attributes that are known for the same images, with which those are."""
    together: dict[bytes, list[str]] = {}
    for name in attributes:
        together.setdefault(attributes[name].notna().to_numpy().tobytes(), []).append(str(name))
    for names in together.values():
        yield attributes[names[0]].notna().to_numpy(), names


def _corrected(found: pd.DataFrame) -> pd.DataFrame:
    """Put beside each p the one that Holm's correction makes of it."""
    for name in ("p", "p_within"):
        place = list(found).index(name) + 1
        found.insert(place, f"{name}_holm", holm(found[name].to_numpy()))
    return found


class _Design:
    """What losses are projected on: the ranks of numbers, and the groups of texts, each of length 1.

    Attributes:
        columns: (columns, images); a number has one, a text one for each of its groups.
        numeric: (attributes,) whether each holds numbers.
    """

    def __init__(self, values: pd.DataFrame, strata: NDArray[np.int64]) -> None:
        self.numeric = [bool(pd.api.types.is_numeric_dtype(values[name])) for name in values]
        parts = [
            _ranks(values[name].to_numpy(float)[:, None], strata)
            if numeric
            else pd.get_dummies(values[name].astype(str)).to_numpy(float)
            for name, numeric in zip(values, self.numeric, strict=True)
        ]
        self._ends = np.cumsum([part.shape[1] for part in parts])[:-1]
        # What is the same in all of each stratum would leave only rounding to be tested.
        parts = [part if _varies(part, strata) else np.zeros_like(part) for part in parts]
        self.columns = _of_length_1(np.concatenate(parts, axis=1)).T

    def statistic(self, ranks: Floats, orders: NDArray[np.int64] | None = None) -> Floats:
        """Return correlations, or shares of variance: (attributes, comparisons), or (attributes, orders, comparisons).

        Args:
            ranks: (images, comparisons) centred.
            orders: (orders, images) to bring the attributes into first.
        """
        ranks = _of_length_1(ranks)
        if orders is None:
            along = self.columns @ ranks
        elif len(self.columns) < ranks.shape[1]:
            along = self.columns[:, orders] @ ranks
        else:  # the same sums, and fewer numbers moved: the ranks are brought into the order instead
            back = np.empty_like(orders)
            np.put_along_axis(back, orders, np.arange(orders.shape[1])[None], axis=1)
            along = np.tensordot(self.columns, ranks[back], axes=(1, 1))
        return np.stack(
            [
                own[0] if numeric else np.square(own).sum(0)
                for own, numeric in zip(np.split(along, self._ends), self.numeric, strict=True)
            ]
        )


def _varies(columns: Floats, strata: NDArray[np.int64]) -> bool:
    """Say whether any stratum holds different values, (images, columns)."""
    return any(np.ptp(columns[strata == stratum], axis=0).any() for stratum in np.unique(strata))


def _of_length_1(columns: Floats) -> Floats:
    """Divide each column by its length; a column of zeros, which says nothing, becomes NaN."""
    length = np.linalg.norm(columns, axis=0)
    return columns / np.where(length > 0, length, np.nan)


def _test(
    values: pd.DataFrame, lost: Floats, strata: NDArray[np.int64], permutations: int, seed: int
) -> _Tested:
    """Test attributes against losses, (images, comparisons), permuting images within strata."""
    design, ranks = _Design(values, strata), _ranks(lost, strata)
    found = design.statistic(ranks)
    generator = np.random.default_rng(seed)
    reached = np.zeros(found.shape)
    block = max(_BLOCK // design.columns.size, 1)
    for done in range(0, permutations, block):
        orders = _orders(strata, min(block, permutations - done), generator)
        drawn = design.statistic(ranks, orders)
        reached += (np.abs(drawn) >= np.abs(found)[:, None] * (1 - _SAME)).sum(1)
    return _Tested(found, np.where(np.isnan(found), np.nan, (1 + reached) / (1 + permutations)))


def _orders(strata: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return random orders of the images that keep each in its stratum, (count, images)."""
    orders = np.empty((count, len(strata)), dtype=np.int64)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        orders[:, members] = generator.permuted(np.tile(members, (count, 1)), axis=1)
    return orders


def _ranks(values: Floats, strata: NDArray[np.int64]) -> Floats:
    """Return the ranks of each column within each stratum, as shares of its images and centred on 0."""
    from scipy import stats

    ranks = np.empty(values.shape)
    for stratum in np.unique(strata):
        own = strata == stratum
        ranks[own] = (stats.rankdata(values[own], axis=0) - (own.sum() + 1) / 2) / own.sum()
    return ranks
