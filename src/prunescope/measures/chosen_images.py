"""Which images are explained: the same for every network of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet
from prunescope.images.split import stratified_limit

Choose = Literal["stratified", "correct"]
_NAMED = 10  # networks in an error


def chosen_images(
    choose: Choose, limit: int, seed: int, test: ImageSet, predictions: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Choose images, with the classes as even as can be.

    Args:
        choose: stratified: from all images; correct: from those whose class every network names.
        limit: how many at most; a larger limit adds to a smaller one's.
        seed: of the draw.
        predictions: by network, (images,) the class that it names for each of the test images.

    Returns:
        Positions among the test images, ascending.

    Raises:
        PrunescopeError: no image is right in all networks.
    """
    positions = np.arange(len(test))
    if choose == "correct":
        right = {network: named == test.labels for network, named in predictions.items()}
        positions = np.flatnonzero(np.all(list(right.values()), axis=0))
        if not len(positions):
            raise _none_right({network: int(found.sum()) for network, found in right.items()}, len(test))
    return positions[stratified_limit(test.labels[positions], limit, seed)]


def _none_right(right: Mapping[str, int], images: int) -> PrunescopeError:
    worst = sorted(right, key=lambda network: right[network])
    counts = ", ".join(f"{network}: {right[network]}" for network in worst[:_NAMED])
    more = f" and {len(worst) - _NAMED} networks more" if len(worst) > _NAMED else ""
    return PrunescopeError(
        f"no image of {images} is right in all {len(right)} networks, so there is none that all can be compared on; "
        f"right are, the fewest first: {counts}{more}. Leave out the networks that get the fewest right (networks: "
        "final, or spare their rates), or choose: stratified, which does not ask for right answers"
    )
