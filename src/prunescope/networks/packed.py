"""Packed tensors: one bit a weight says whether it is 0, and only the others are kept.

A packed tensor `name` becomes `name.bits`, (⌈n / 8⌉,) of uint8 in the order of `numpy.packbits`, and `name.values`,
(nonzero,) in the tensor's own type; its shape stands in the file's description under `packed`. Nine weights of ten
gone, that is about a seventh of the dense file, exactly; -0 comes back as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from prunescope.errors import PrunescopeError

State = dict[str, torch.Tensor]
Shapes = dict[str, list[int]]
KEY = "packed"
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_ENTRY_BYTES = 256  # what one more tensor and a shape need in the header, at most, names aside


def pack(state: Mapping[str, torch.Tensor]) -> tuple[State, Shapes]:
    """Pack every tensor of floats that becomes smaller by it; leave the others as they are.

    Returns:
        The tensors to save, and the shape of each packed one, by name.
    """
    packed: State = {}
    shapes: Shapes = {}
    for name, tensor in state.items():
        bits, values = f"{name}.bits", f"{name}.values"
        if tensor.dtype in _FLOATS and bits not in state and values not in state and _gain(name, tensor) > 0:
            flat = tensor.detach().cpu().flatten()
            packed[bits] = torch.from_numpy(np.packbits((flat != 0).numpy()))
            packed[values] = flat[flat != 0]
            shapes[name] = list(tensor.shape)
        else:
            packed[name] = tensor
    return packed, shapes


def unpack(state: Mapping[str, torch.Tensor], shapes: Mapping[str, list[int]], source: str) -> State:
    """Return the tensors that `pack` was given.

    Args:
        state: what `pack` returned, or a file says so; `shapes` likewise.
        source: what is read, for the error.

    Raises:
        PrunescopeError: a bitmask or its values are missing, or do not fit to each other and to the shape.
    """
    unpacked = dict(state)
    if not isinstance(shapes, Mapping):
        raise _damaged(source, "its list of packed tensors is none")
    for name, shape in shapes.items():
        bits, values = unpacked.pop(f"{name}.bits", None), unpacked.pop(f"{name}.values", None)
        if bits is None or values is None or name in unpacked:
            raise _damaged(source, f"{name!r} should be there as bits and values")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise _damaged(source, f"{name!r} has the shape {shape!r}")
        size = math.prod(shape)
        if bits.dtype != torch.uint8 or bits.shape != (math.ceil(size / 8),):
            raise _damaged(source, f"{name!r} of shape {shape} has {bits.numel()} bytes of bits")
        nonzero = torch.from_numpy(np.unpackbits(bits.numpy())).bool()  # up to 7 more than `size`, all 0
        if values.shape != (int(nonzero.sum()),) or nonzero[size:].any() or values.dtype not in _FLOATS:
            found = f"{int(nonzero.sum())} bits set and {values.numel()} values of {values.dtype}"
            raise _damaged(source, f"{name!r} of shape {shape} has {found}")
        tensor = torch.zeros(size, dtype=values.dtype)
        tensor[nonzero[:size]] = values
        unpacked[name] = tensor.view(shape)
    return unpacked


def _gain(name: str, tensor: torch.Tensor) -> int:
    """Return by how many bytes a file is smaller at least, if this tensor is packed in it."""
    zeros = tensor.numel() - int(tensor.count_nonzero())
    return zeros * tensor.element_size() - math.ceil(tensor.numel() / 8) - 2 * len(name) - _ENTRY_BYTES


def _damaged(source: str, what: str) -> PrunescopeError:
    return PrunescopeError(f"{source}: a damaged packed file: {what}; fetch or save it again")
