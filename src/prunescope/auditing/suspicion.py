"""Signs that a network was not asked as it wants to be: wrong preprocessing, or its classes in another order."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

OTHER_ORDER = 0.5  # share of the images that are right if classes are renamed: then their order is wrong
IMAGES_A_CLASS = 10  # fewer are right by chance, if classes are renamed as favourably as can be


def no_better_than_chance(table: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    """Return a sentence for a dense network that is at chance, and what may be the reason."""
    labels, called = table["label"].to_numpy(), table["dense"].to_numpy()
    chance = float(np.bincount(labels).max() / len(labels))
    top1 = scores[(scores["metric"] == "top1") & (scores["network"] == "dense")].iloc[0]
    if top1["low"] > chance:
        return []
    said = (
        f"The dense network gets {top1['value']:.1%} of the images right, and always naming the most frequent class "
        f"would get {chance:.1%}"
    )
    renamed = _renamed(labels, called)
    if renamed >= OTHER_ORDER and len(labels) >= IMAGES_A_CLASS * len(np.unique(labels)):
        return [
            f"{said}; with its outputs in another order it would get {renamed:.1%}: the order of the classes is wrong "
            "(give their names, or a class map)"
        ]
    return [f"{said}: is its preprocessing right, and are its classes those of the images, in their order?"]


def _renamed(labels: NDArray[np.int64], called: NDArray[np.int64]) -> float:
    """Return the share of images that are right if each answer is taken for another class, as favourably as can be."""
    from scipy.optimize import linear_sum_assignment

    (_, label), (_, answer) = (np.unique(own, return_inverse=True) for own in (labels, called))
    counts = np.zeros((label.max() + 1, answer.max() + 1))
    np.add.at(counts, (label, answer), 1)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(labels))
