"""How much of a layer can go alone before the accuracy falls: what a sweep over layers and rates has shown."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prunescope.errors import PrunescopeError
from prunescope.pruning.prune import Pruning

Together = tuple[str, ...]


def tested_together(pruning: Pruning) -> list[Together]:
    """Return what a sweep prunes at a time, in the network's order: one layer, or those whose filters are tied."""
    tied = {name: tuple(pool.groups) for pool in pruning.pools for name in pool.groups}
    return list(dict.fromkeys(tied.get(name, (name,)) for name in pruning.layers))


def tolerances(sweep: Mapping[Together, Mapping[float, float]], least: float) -> dict[str, float]:
    """Return for each layer the largest rate that was tested and borne; 0 if none was.

    A rate is borne if the accuracy is at least `least` at it and at every smaller rate tested, so that one lucky
    measurement behind a fall does not count. *Differs:* study A takes the largest rate that keeps `least`,
    whatever smaller ones did.

    Args:
        sweep: layers pruned together to rate to the accuracy with these layers alone pruned.

    Raises:
        PrunescopeError: `least` is no accuracy, or a layer is in the sweep twice.
    """
    if not 0 <= least <= 1:
        raise PrunescopeError(f"least {least} is no accuracy: expected a fraction from 0 to 1, such as 0.69")
    found: dict[str, float] = {}
    for together, accuracies in sweep.items():
        borne = 0.0
        for rate, accuracy in sorted(accuracies.items()):
            if math.isnan(accuracy) or accuracy < least:
                break
            borne = rate
        for name in together:
            if name in found:
                raise PrunescopeError(f"{name} is in the sweep twice")
            found[name] = borne
    return found
