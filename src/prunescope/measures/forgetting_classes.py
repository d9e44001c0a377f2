"""Which classes pruned networks forget: Welch's test over seeds, or what one pair of networks can say."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures.forgetting_pairs import Pairs
from prunescope.measures.significance import LEVEL, half_width, holm, mcnemar, welch

MORE, LESS, NOT_SHOWN = "more than the average", "less than the average", "not shown"
LOST, WON = "lost", "won"
WELCH, ONE_SAMPLE, MCNEMAR = "Welch over seeds", "one-sample t over seeds", "McNemar over images"


def forgotten_classes(pairs: Pairs) -> pd.DataFrame:
    """Return how the accuracy of each class changed, one row a class that has images.

    With two seeds or more, the question is whether a class changes more or less than the network as a whole: Welch's
    test on its accuracy minus the network's top-1, over seeds. Networks opened with the same weights for every seed
    do not vary, and the test is then a one-sample t-test of the pruned ones. With one seed, it is whether the two
    networks differ on the class: McNemar's exact test on its images, which speaks of these two networks, and not of
    what pruning does to others.

    Returns:
        `index, class, n` (images); `dense, pruned`: accuracies, means over seeds; `change`, with `change_low` and
        `change_high`; `relative`: the change minus that of top-1; `low, high`: of what is tested, `relative` over seeds
        and `change` for one seed; `t, freedom, p`, and
        `p_holm`, corrected for the number of classes; `seeds`; `test`; `says`: "more than the average" (the class
        lost more, or gained less), "less than the average", with one seed "lost" or "won", or "not shown". The
        intervals are of 95 % each, not corrected.

    *Source:* Hooker et al., What Do Compressed Deep Neural Networks Forget?, 2019, section 2.1.
    *Differs:* the dense and the pruned network of a seed are not independent here, since one is made from the other.
    Welch's test leaves that out, so it finds rather less than there is.
    """
    n = np.bincount(pairs.labels, minlength=len(pairs.classes))
    present = np.flatnonzero(n)
    compared = _over_seeds(pairs, present) if len(pairs) > 1 else _over_images(pairs, present)
    return pd.DataFrame(
        {"index": present, "class": [pairs.classes[i] for i in present.tolist()], "n": n[present], **compared}
    )


def _by_class(
    right: NDArray[np.integer | np.bool_], pairs: Pairs, present: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return sums over the images of each class that is present: (seeds, classes)."""
    sums = [np.bincount(pairs.labels, weights=own, minlength=len(pairs.classes))[present] for own in right]
    return np.stack(sums)


def _over_seeds(pairs: Pairs, present: NDArray[np.int64]) -> dict[str, object]:
    n = np.bincount(pairs.labels)[present]
    dense, pruned = (_by_class(said.right, pairs, present) / n for said in (pairs.dense, pairs.pruned))
    plain = welch(dense, pruned)
    shifted = welch(
        dense - pairs.dense.right.mean(1, keepdims=True), pruned - pairs.pruned.right.mean(1, keepdims=True)
    )
    corrected = holm(shifted.p)
    shown = corrected < LEVEL
    return {
        "dense": dense.mean(0),
        "pruned": pruned.mean(0),
        "change": plain.difference,
        "change_low": plain.low,
        "change_high": plain.high,
        "relative": shifted.difference,
        "low": shifted.low,
        "high": shifted.high,
        "t": shifted.t,
        "freedom": shifted.freedom,
        "p": shifted.p,
        "p_holm": corrected,
        "seeds": len(pairs),
        "test": ONE_SAMPLE if pairs.dense.alike or pairs.pruned.alike else WELCH,
        "says": np.where(shown, np.where(shifted.difference < 0, MORE, LESS), NOT_SHOWN),
    }


def _over_images(pairs: Pairs, present: NDArray[np.int64]) -> dict[str, object]:
    n = np.bincount(pairs.labels)[present]
    lost = _by_class(pairs.changes < 0, pairs, present)[0].astype(np.int64)
    won = _by_class(pairs.changes > 0, pairs, present)[0].astype(np.int64)
    change = (won - lost) / n
    half = half_width(won + lost, won - lost, n)
    p = mcnemar(lost, won)
    corrected = holm(p)
    return {
        "dense": _by_class(pairs.dense.right, pairs, present)[0] / n,
        "pruned": _by_class(pairs.pruned.right, pairs, present)[0] / n,
        "change": change,
        "change_low": change - half,
        "change_high": change + half,
        "relative": change - pairs.changes.mean(),
        "low": change - half,
        "high": change + half,
        "t": np.nan,
        "freedom": np.nan,
        "p": p,
        "p_holm": corrected,
        "seeds": 1,
        "test": MCNEMAR,
        "says": np.where(corrected < LEVEL, np.where(lost > won, LOST, WON), NOT_SHOWN),
    }
