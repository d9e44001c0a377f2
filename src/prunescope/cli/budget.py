"""What a network may cost, as it is written on the command line: macs=0.5, bytes=3MB, ms=5."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from prunescope.pruning.budget import Budget, Cost, Of
    from prunescope.pruning.prune import Pruning

_NAMES: dict[str, Of] = {"macs": "macs", "weights": "weights", "bytes": "bytes", "ms": "milliseconds"}
_PREFIXES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}


def read_budget(text: str) -> tuple[Of, float, bool]:
    """Return what a budget is of, how much, and whether that is a fraction of the dense network's.

    Raises:
        PrunescopeError: it cannot be read.
    """
    name, _, value = text.partition("=")
    found = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?) ?([kMG]?)(B?)", value.strip(), re.ASCII)
    if name not in _NAMES:
        raise PrunescopeError(
            f"--budget {text!r}{did_you_mean(name, _NAMES)}: expected one of {', '.join(_NAMES)}, as in macs=0.5"
        )
    try:
        number = float(found[1]) if found else -1.0
    except ValueError:
        number = -1.0
    if found is None or number <= 0 or (found[3] and name != "bytes") or (found[2] and name == "ms"):
        raise PrunescopeError(
            f"--budget {text!r}: expected a fraction of what the dense network has (macs=0.5), or a number "
            "(macs=750M, weights=2.5M, bytes=3MB, ms=5)"
        )
    is_fraction = name != "ms" and number <= 1 and not found[2] and not found[3]
    return _NAMES[name], number * _PREFIXES[found[2]], is_fraction


def open_budget(text: str, network: nn.Module, pruning: Pruning) -> tuple[Budget, Cost | None]:
    """Return a budget in absolute numbers, and what measures its costs where they are measured."""
    from prunescope.measures.latency import milliseconds
    from prunescope.pruning.budget import Budget, cost_before

    of, number, is_fraction = read_budget(text)
    if of == "milliseconds":
        return Budget(of, number), milliseconds
    return Budget(of, number * cost_before(network, pruning, of) if is_fraction else number), None
