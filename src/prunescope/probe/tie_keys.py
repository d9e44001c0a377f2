"""The order of images that activate a unit equally."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def tie_keys(ids: Iterable[Any], seed: int) -> NDArray[np.uint64]:
    """Return the key of each image, (images,), by which equal activations are ordered.

    It is the 64-bit BLAKE2b hash of the seed and the identity as text, so an image keeps it in whatever set it is.
    """
    texts = (f"{seed}\0{name}".encode("utf-8", "surrogatepass") for name in ids)
    digests = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
