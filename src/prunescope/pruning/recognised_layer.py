"""What was pruned in one layer."""

from __future__ import annotations

from dataclasses import dataclass

from prunescope.pruning.zero_patterns import ZeroPattern

NONE, CHANNELS, MIXED, UNKNOWN = "none", "channels", "mixed", "unknown"
_USES = 4  # of each shared value at least, on average


@dataclass(frozen=True)
class RecognisedLayer:
    """What was pruned in one layer.

    Attributes:
        granularity: none, weight, filter, connection, kernel, "2:4" (2 of every 4 left), or channels: it has fewer than
            in the dense network, and no zeros.
        dense: the shape of its weight in the dense network, () where that is not known.
        taken_out: weights of the dense layer that are not in the tensor any more.
        tiny: weights other than 0 that are as good as 0.
    """

    name: str
    kind: str
    pattern: ZeroPattern
    granularity: str
    dense: tuple[int, ...]
    taken_out: int
    tiny: int

    @property
    def shared(self) -> bool:
        """Whether its weights are a few values, each used again and again."""
        nonzero, values = self.pattern.weights - self.pattern.zeros, self.pattern.distinct
        return values is not None and nonzero > 0 and nonzero >= _USES * values
