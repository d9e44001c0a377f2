"""The order of many float32 values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_HALF, _SIGN = 16, np.uint32(1 << 31)


def ascending(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the order that sorts `values`, (positions,) without NaN; equal ones, also 0 and -0, stay as they are.

    It is `np.argsort(values, kind="stable")`, about 3 x as fast: numpy sorts 16-bit numbers by counting, so the bits
    of the values are sorted by their lower half first, and then by their upper half.
    """
    bits = (values + np.float32(0)).view(np.uint32)  # the sum turns -0 into 0
    keys = np.where(bits & _SIGN, ~bits, bits | _SIGN)  # ordered as the values are, also below 0
    lower, upper = keys.astype(np.uint16), (keys >> _HALF).astype(np.uint16)
    order = np.argsort(lower, kind="stable")
    sorted_: NDArray[np.int64] = order[np.argsort(upper[order], kind="stable")]
    return sorted_
