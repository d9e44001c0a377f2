"""What dense and pruned networks say of the same images, seed by seed: all that forgetting is measured from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, some

NAMED_BY = ["series", "target", "stage"]
NEEDED = ("image", "label", "prediction", "confidence")


@dataclass(frozen=True)
class Said:
    """What several networks say of the same images, each (networks, images).

    Attributes:
        predictions: the class of highest probability.
        confidence: that probability.
        right: whether the class is the label.
    """

    predictions: NDArray[np.int64]
    confidence: NDArray[np.floating]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def alike(self) -> bool:
        """Whether all the networks say the very same: they are one network."""
        return bool(
            (self.predictions == self.predictions[0]).all() and (self.confidence == self.confidence[0]).all()
        )


@dataclass(frozen=True)
class Pairs:
    """A dense network and one pruned from it, for each seed: row k of `dense` and of `pruned`.

    Attributes:
        images: their names.
        labels: (images,) index of the class.
        classes: names by index.
    """

    images: NDArray[np.object_]
    labels: NDArray[np.int64]
    classes: Sequence[str]
    dense: Said
    pruned: Said

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def changes(self) -> NDArray[np.int64]:
        """(seeds, images): 1 where the pruned network is newly right, -1 where newly wrong, else 0."""
        return self.pruned.right.astype(np.int64) - self.dense.right


def pairs_of_study(
    networks: pd.DataFrame, images: pd.DataFrame, classes: Sequence[str]
) -> Iterator[tuple[Mapping[str, str], Pairs]]:
    """Yield each series, target and stage of a study with its networks and the dense ones of the same seeds.

    Args:
        networks: the table of that name: `network, series, target, stage, seed`.
        images: the table of that name: `network, image, label, prediction, confidence`.
        classes: names by index.
    """
    said = {str(name): own for name, own in images.groupby("network", sort=False)}
    measured = networks[networks["network"].isin(list(said))]
    dense = measured[measured["stage"] == "dense"].set_index("seed")["network"].to_dict()
    pruned = measured[(measured["stage"] != "dense") & measured["seed"].isin(list(dense))]
    for names, own in pruned.groupby(NAMED_BY, sort=False):
        named = dict(zip(NAMED_BY, map(str, names), strict=True))
        yield (
            named,
            pairs_of(
                [said[dense[seed]] for seed in own["seed"]], [said[name] for name in own["network"]], classes
            ),
        )


def pairs_of(dense: Sequence[pd.DataFrame], pruned: Sequence[pd.DataFrame], classes: Sequence[str]) -> Pairs:
    """Bring together what networks said, one table each, dense and pruned in the same order of seeds.

    Seeds whose networks say the very same count once: a trained network that is opened for each seed, and pruned
    by a score that draws nothing, is one network, and its seeds are no evidence of anything.

    Raises:
        PrunescopeError: two networks looked at different images, or saw other labels.
    """
    first = dense[0]
    images, labels = first["image"].to_numpy(), first["label"].to_numpy(np.int64)
    if len(set(images)) < len(images):
        raise PrunescopeError(
            f"networks are compared on the same images, each once, and the first of {len(dense)} has {len(images)} "
            f"rows for {len(set(images))} images: give the rows of one network for each seed"
        )
    tables = [[_in_order(table, images, labels) for table in tables] for tables in (dense, pruned)]
    for table in (*tables[0], *tables[1]):
        _of_classes(table, len(classes))
    different = _different(*tables)
    both = (_said([own[k] for k in different], labels) for own in tables)
    return Pairs(images, labels, classes, *both)


def _in_order(table: pd.DataFrame, images: NDArray[np.object_], labels: NDArray[np.int64]) -> pd.DataFrame:
    if not (len(table) == len(images) and (table["image"].to_numpy() == images).all()):
        own = table.set_index("image")
        missing = [str(name) for name in images if name not in own.index]
        if missing or len(table) != len(images):
            raise PrunescopeError(
                "networks are compared on the same images, each once, and these looked at different ones "
                f"({len(images)} and {len(table)}{'; missing: ' + some(missing) if missing else ''})"
            )
        table = own.loc[list(images)].reset_index()
    if (table["label"].to_numpy() != labels).any():
        raise PrunescopeError("networks are compared on the same images, and their labels differ")
    return table


def _of_classes(table: pd.DataFrame, classes: int) -> None:
    """Refuse what is no index of a class, which would be counted as another group's."""
    for name in ("label", "prediction"):
        low, high = table[name].min(), table[name].max()
        if not (low >= 0 and high < classes):
            raise PrunescopeError(
                f"the column {name!r} holds {low if low < 0 else high}, and {classes} classes are named: expected "
                f"indices from 0 to {classes - 1}"
            )


def _different(dense: Sequence[pd.DataFrame], pruned: Sequence[pd.DataFrame]) -> list[int]:
    """Return the first of the seeds that are the same."""
    seen: dict[bytes, int] = {}
    for number, both in enumerate(zip(dense, pruned, strict=True)):
        key = b"".join(
            table[name].to_numpy().tobytes() for table in both for name in ("prediction", "confidence")
        )
        seen.setdefault(key, number)
    return list(seen.values())


def _said(tables: Sequence[pd.DataFrame], labels: NDArray[np.int64]) -> Said:
    predictions = np.stack([table["prediction"].to_numpy(np.int64) for table in tables])
    confidence = np.stack([table["confidence"].to_numpy() for table in tables])
    return Said(predictions, confidence, predictions == labels)
