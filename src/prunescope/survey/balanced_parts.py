"""Cut tasks into parts that are alike in every respect at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

Path = tuple[Hashable, ...]  # of an item: the group it is in, the smaller group within that one, and so on
Node = tuple[str, Path]
_DOWN, _UP = "down", "up"


def balanced_parts(
    down: Sequence[Path], up: Sequence[Path], parts: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Deal items to parts so that every group is spread evenly: the parts' shares of it differ by at most one.

    That holds for all items together, for every group of one hierarchy and for every group of another, and such a
    way always exists: shares of 1/parts are a flow through both hierarchies, and where a flow within whole bounds
    exists, a whole one does. One part after another is cut off so.

    Args:
        down: for each item, its groups in the first hierarchy, the largest first.
        up: for each item, its groups in the second hierarchy, the largest first.
        parts: how many there are to be.
        rng: which of equal items goes where.

    Returns:
        (items,) the part of each, counted from 0.

    *Source:* de Werra, Equitable colorations of graphs, 1971, for two hierarchies instead of two sets of nodes.
    """
    part_of = np.full(len(down), parts - 1)
    left = rng.permutation(len(down)).tolist()
    for part in range(parts - 1):
        chosen = set(_cut([(down[item], up[item]) for item in left], parts - part))
        part_of[[item for place, item in enumerate(left) if place in chosen]] = part
        left = [item for place, item in enumerate(left) if place not in chosen]
    return part_of


def _cut(items: Sequence[tuple[Path, Path]], parts: int) -> Iterable[int]:
    """Choose the places of those items that make up one of so many equal parts."""
    counts: Counter[tuple[Node, Node]] = Counter()
    for down, up in items:
        counts.update(_arcs(down, up))
    taken = _flow({arc: (count // parts, -(-count // parts)) for arc, count in counts.items()})
    for place, pair in enumerate(items):
        crossing = _crossing(*pair)
        if taken.get(crossing, 0):
            taken[crossing] -= 1
            yield place


def _arcs(down: Path, up: Path) -> Iterable[tuple[Node, Node]]:
    """Return the way of an item: from all down to its smallest group, across, and up to all, and back to the start."""
    for depth in range(len(down)):
        yield (_DOWN, down[:depth]), (_DOWN, down[: depth + 1])
    yield _crossing(down, up)
    for depth in range(len(up), 0, -1):
        yield (_UP, up[:depth]), (_UP, up[: depth - 1])
    yield (_UP, ()), (_DOWN, ())


def _crossing(down: Path, up: Path) -> tuple[Node, Node]:
    return (_DOWN, down), (_UP, up)


def _flow(bounds: dict[tuple[Node, Node], tuple[int, int]]) -> dict[tuple[Node, Node], int]:
    """Return a circulation of whole numbers between the bounds of each arc.

    What each arc must carry at least is sent ahead; what that leaves over at one node and lacking at another is then
    made up for by the largest flow between two nodes that are added.
    """
    nodes = {node: place for place, node in enumerate(dict.fromkeys(node for arc in bounds for node in arc))}
    source, sink = len(nodes), len(nodes) + 1
    over = np.zeros(len(nodes), dtype=np.int64)
    room = []
    for (start, end), (least, most) in bounds.items():
        over[nodes[end]] += least
        over[nodes[start]] -= least
        room.append((nodes[start], nodes[end], most - least))
    room += [(source, node, count) for node, count in enumerate(over.tolist()) if count > 0]
    room += [(node, sink, -count) for node, count in enumerate(over.tolist()) if count < 0]
    starts, ends, capacities = (np.array(column, dtype=np.int32) for column in zip(*room, strict=True))
    size = len(nodes) + 2
    flow = maximum_flow(csr_array((capacities, (starts, ends)), shape=(size, size)), source, sink).flow
    carried = np.asarray(flow[starts[: len(bounds)], ends[: len(bounds)]]).ravel().tolist()
    return {arc: least + int(more) for (arc, (least, _)), more in zip(bounds.items(), carried, strict=True)}
