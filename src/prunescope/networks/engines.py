"""What runs a program that was read from a file: TorchScript and torch.export, on the CPU."""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch

from prunescope.errors import PrunescopeError
from prunescope.networks.archives import refuse_more_than_tensors
from prunescope.networks.export import METADATA_KEY, first_line

Sizes = tuple[int | None, ...]  # of each dimension; None: any
_WEIGHTED = {"aten::_convolution", "aten::conv2d", "aten::linear"}  # operators whose second input is a weight


class Engine(ABC):
    """A program as its own runtime takes it.

    Attributes:
        format: how people call it.
        runtime: what runs it, as `RUNTIMES` name it.
        sizes: of its input, as far as the file tells; None: not at all.
        least, most: how many images it takes at once, as far as the file tells; `most` None: any number.
        dtype: what it takes.
        description: what prunescope's export wrote beside it, if it did.
    """

    format: ClassVar[str]
    runtime: ClassVar[str] = "pytorch"
    sizes: Sizes | None = None
    least: int = 1
    most: int | None = None
    dtype: torch.dtype = torch.float32
    description: str | None = None

    @abstractmethod
    def prepared(self, images: torch.Tensor, threads: int | None = None) -> Callable[[], Any]:
        """Return the forward pass of a batch, (images, channels, height, width) of `dtype`.

        Args:
            threads: prepare it for timing, with so many; None: run it now, with as many as there are.
        """

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the numbers that the file holds, by name, as stored."""

    def types(self) -> Counter[str]:
        """Return how many of its numbers are of which type."""
        return count_types(self.tensors().values())

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """Return what convolutions, (out, in, height, width), and linear layers, (out, in), multiply by, by name."""


def count_types(tensors: Iterable[torch.Tensor]) -> Counter[str]:
    """Return how many numbers of these tensors are of which type, such as float16."""
    counted = Counter[str]()
    for tensor in tensors:
        counted[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return counted


class _Torch(Engine):
    """A program that PyTorch itself runs."""

    module: Any

    def prepared(self, images: torch.Tensor, threads: int | None = None) -> Callable[[], Any]:
        return lambda: self.module(images)

    def weights(self) -> dict[str, torch.Tensor]:
        return {
            name: tensor.dequantize() if tensor.is_quantized else tensor
            for name, tensor in self.tensors().items()
            if tensor.ndim in {2, 4} and (tensor.is_floating_point() or tensor.is_quantized)
        }

    def _dtype(self) -> torch.dtype:
        """Return the type of the first weight, which images have to share."""
        return next((weight.dtype for weight in self.weights().values()), torch.float32)


class Script(_Torch):
    """A program of TorchScript. What it was traced with tells sizes only where nothing else does."""

    format = "TorchScript"

    def __init__(self, path: Path) -> None:
        """Read it, after a look at what it would do."""
        refuse_more_than_tensors(path, self.format)
        self.path = path
        with _reading(path, self.format):
            self.module = torch.jit.load(path, map_location="cpu").eval()
            arguments = self.module.forward.schema.arguments[1:]
        needed = [argument for argument in arguments if not argument.has_default_value()]
        if len(needed) != 1 or str(needed[0].type) != "Tensor":
            given = ", ".join(f"{argument.name} ({argument.type})" for argument in needed) or "nothing"
            raise PrunescopeError(f"{path}: takes {given}, expected one tensor of images")
        self.dtype = self._dtype()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return its parameters and buffers; where it was frozen, what convolutions and linear layers are given."""
        state: dict[str, torch.Tensor] = dict(self.module.state_dict())
        return state or self._frozen()

    def _frozen(self) -> dict[str, torch.Tensor]:
        graph, found = self.module.inlined_graph, dict[str, torch.Tensor]()
        for node in graph.nodes():
            weight = list(node.inputs())[1].toIValue() if node.kind() in _WEIGHTED else None
            if isinstance(weight, torch.Tensor):
                found[f"{node.kind().removeprefix('aten::').strip('_')}_{len(found)}"] = weight
        return found

    def traced_sizes(self) -> Sizes | None:
        """Return the sizes of the images that it was traced with, if it was."""
        try:
            with warnings.catch_warnings(action="ignore"):
                graph = torch.jit.load(self.path, map_location="cpu", _restore_shapes=True).graph
            sizes = list(graph.inputs())[1].type().sizes()
        except Exception:  # it then tells nothing
            return None
        return tuple(sizes) if sizes else None


class Exported(_Torch):
    """A program of torch.export."""

    format = "torch.export"

    def __init__(self, path: Path) -> None:
        """Read it, after a look at what it would do."""
        refuse_more_than_tensors(path, self.format)
        extra = {METADATA_KEY: ""}
        with _reading(path, self.format):
            self.program: Any = torch.export.load(path, extra_files=extra)
            self.program._guards_code = []  # Python that it carries; checks of sizes are made anew
            self.module = self.program.module()
            inputs = self.program.graph_signature.user_inputs
            given = [node.meta["val"] for node in self.program.graph.nodes if node.name in inputs]
        if len(given) != 1 or not isinstance(given[0], torch.Tensor):
            raise PrunescopeError(f"{path}: takes {len(inputs)} inputs, expected one tensor of images")
        self.description = extra[METADATA_KEY] or None
        self.dtype = given[0].dtype
        self.sizes = tuple(size if isinstance(size, int) else None for size in given[0].shape)
        if self.sizes:
            self.least, self.most = self._bounds(given[0].shape[0])

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return its parameters, buffers and constants."""
        constants = {name: value for name, value in self.program.constants.items() if torch.is_tensor(value)}
        return {**self.program.state_dict, **constants}

    def _bounds(self, batch: int | torch.SymInt) -> tuple[int, int | None]:
        if isinstance(batch, int):
            return batch, batch
        known = self.program.range_constraints.get(batch.node.expr)
        if known is None:
            return 1, None
        most = int(known.upper) if known.upper.is_number and known.upper < 2**31 else None
        return max(int(known.lower), 1), most


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Turn what torch raises, warns and logs while it reads a program into one sentence."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except PrunescopeError:
        raise
    except Exception as error:  # of as many kinds as there are things that can be damaged
        raise PrunescopeError(
            f"{path}: torch {torch.__version__} cannot read this file of {kind}: {first_line(error)}"
        ) from error
    finally:
        logging.disable(disabled)
