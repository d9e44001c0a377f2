"""The most memory that the tensors of a forward pass take at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(network: nn.Module, images: torch.Tensor) -> int:
    """Return the bytes of parameters and buffers, plus the most that a forward pass holds beside them at once.

    The images are not counted. On CUDA it is what the allocator says; elsewhere the storage of every tensor
    that an operator puts out is followed until it is freed. What a kernel uses inside itself is not seen.

    Args:
        images: (images, 3, height, width), on the network's device.
    """
    held: dict[int, int] = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
        for tensor in (*network.parameters(), *network.buffers())
    }
    with torch.no_grad():
        if images.is_cuda:
            return sum(held.values()) + _cuda_peak(lambda: network(images), images.device)
        storages = _Storages({*held, images.untyped_storage()._cdata})
        with storages:
            network(images)
    return sum(held.values()) + storages.most


class _Storages(TorchDispatchMode):
    """Follows the storages that operators make.

    Attributes:
        most: the most bytes that were there at once.
    """

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known, self.now, self.most = known, 0, 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = operator(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self._follow(tensor.untyped_storage())
        return output

    def _follow(self, storage: torch.UntypedStorage) -> None:
        place = storage._cdata
        if place in self.known:  # a view, or an operation in place
            return
        self.known.add(place)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._freed, place, storage.nbytes())

    def _freed(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.now -= size


def _cuda_peak(run: Callable[[], object], device: torch.device) -> int:
    run()  # libraries take their workspaces on the first pass
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before
