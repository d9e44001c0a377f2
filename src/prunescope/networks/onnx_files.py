"""ONNX files: what tells them, what they hold, and how ONNX Runtime runs them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from prunescope.errors import PrunescopeError
from prunescope.networks.engines import Engine
from prunescope.networks.export import METADATA_KEY, first_line, require_deploy

Tensors = dict[str, torch.Tensor]
# Fields of a ModelProto: number to wire type (0: a number, 2: a length and as many bytes).
_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH = 7
_TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
# Operators with weights: which input they are, which one is their zero point, and its dimension of outputs.
_WEIGHTED: dict[str, tuple[int, int | None, int]] = {
    "Conv": (1, None, 0),
    "ConvInteger": (1, 3, 0),
    "QLinearConv": (3, 5, 0),
    "Gemm": (1, None, 1),
    "MatMul": (1, None, 1),
    "MatMulInteger": (1, 3, 1),
    "QLinearMatMul": (3, 5, 1),
}


def looks_like_onnx(path: Path) -> bool:
    """Say whether the file is a sequence of the fields of an ONNX model to its last byte, a graph among them."""
    try:
        with path.open("rb") as file:
            size, found = path.stat().st_size, False
            while file.tell() < size:
                key = _number(file)
                if _FIELDS.get(key >> 3) != key & 7:
                    return False
                value = _number(file)
                if key & 7 == 2:
                    file.seek(value, 1)
                found = found or key >> 3 == _GRAPH
            return found and file.tell() == size
    except (OSError, ValueError, OverflowError):
        return False


class Onnx(Engine):
    """A program in ONNX, which ONNX Runtime runs on the CPU."""

    format = "ONNX"
    runtime = "onnxruntime"

    def __init__(self, path: Path) -> None:
        """Read it, with the files beside it that hold its weights."""
        require_deploy("onnxruntime", "onnx")
        self.path = path
        with _whole(path):
            model = _read(path)
            self._session = self._opened(torch.get_num_threads())
            self._input = _images_of(path, self._session.get_inputs())
            arrays = dict(_values(model.graph))
            self.description = {entry.key: entry.value for entry in model.metadata_props}.get(METADATA_KEY)
            self._tensors = {name: _to_tensor(array) for name, array in arrays.items()}
            self._weights = _Weights(model.graph, self._tensors).all()
            shape = self._input.shape or []
        self._types = Counter[str]()
        for array in arrays.values():
            self._types[array.dtype.name] += array.size
        self.dtype = _TYPES[self._input.type]
        self.sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in shape) or None
        self._batch = shape[0] if shape and isinstance(shape[0], str) else None
        if self.sizes and self.sizes[0]:
            self.least = self.most = self.sizes[0]

    def prepared(self, images: torch.Tensor, threads: int | None = None) -> Callable[[], Any]:
        """Return the forward pass; for timing, in a session of its own with the batch fixed."""
        session = self._session if threads is None else self._opened(threads, len(images))
        feed = {self._input.name: np.ascontiguousarray(images.cpu().numpy())}
        return lambda: [torch.from_numpy(output) for output in session.run(None, feed)]

    def tensors(self) -> Tensors:
        """Return its initialisers and constants."""
        return self._tensors

    def types(self) -> Counter[str]:
        """Return how many of its numbers are of which type of ONNX."""
        return self._types

    def weights(self) -> Tensors:
        """Return what its Conv, Gemm and MatMul nodes multiply by; of integers, less their zero point."""
        return self._weights

    def _opened(self, threads: int, batch: int | None = None) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what is wrong, its exceptions say
        if batch and self._batch:
            options.add_free_dimension_override_by_name(self._batch, batch)
        try:
            return onnxruntime.InferenceSession(
                self.path, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )  # else it prints, and tries the same again
        except Exception as error:  # its exceptions share no other base
            raise PrunescopeError(
                f"{self.path}: ONNX Runtime {onnxruntime.__version__} cannot load it: {first_line(error)}"
            ) from error


class _Weights:
    """The weights of a graph, found behind the nodes that only rewrite them."""

    def __init__(self, graph: Any, tensors: Tensors) -> None:
        self.nodes = list(graph.node)
        self.tensors = tensors
        self.makers = {output: node for node in self.nodes for output in node.output}

    def all(self) -> Tensors:
        """Return them by name: (out, in, height, width) of convolutions, (out, in) of linear layers."""
        found = {}
        for node in self.nodes:
            if node.op_type not in _WEIGHTED:
                continue
            place, zero, outputs = _WEIGHTED[node.op_type]
            name, weight = self.behind(node.input[place])
            if weight is None or weight.ndim != (2 if outputs else 4):
                continue
            if zero is not None and len(node.input) > zero:
                weight = _less(weight, self.behind(node.input[zero])[1], outputs)
            if outputs and not _attribute(node, "transB", 0):
                weight = weight.T
            found[_scoped(name, node.name)] = weight
        return found

    def behind(self, name: str) -> tuple[str, torch.Tensor | None]:
        """Return the stored tensor that a value is made from, as it reaches the one who reads the value."""
        if name in self.tensors:
            return name, self.tensors[name]
        node = self.makers.get(name)
        if node is None or node.op_type not in {"Identity", "Cast", "Transpose", "DequantizeLinear"}:
            return name, None
        name, tensor = self.behind(node.input[0])
        if tensor is None:
            return name, None
        if node.op_type == "Transpose":
            return name, tensor.permute(_attribute(node, "perm", list(range(tensor.ndim))[::-1]))
        if node.op_type == "DequantizeLinear":
            scale, point = (
                self.behind(node.input[place])[1] if len(node.input) > place else None for place in (1, 2)
            )
            axis = _attribute(node, "axis", 1)
            tensor = _less(tensor, point, axis)
            return name, tensor if scale is None else tensor * _along(scale.float(), axis, tensor.ndim)
        return name, tensor


def _less(weight: torch.Tensor, point: torch.Tensor | None, axis: int) -> torch.Tensor:
    return weight.float() if point is None else weight.float() - _along(point.float(), axis, weight.ndim)


def _along(values: torch.Tensor, axis: int, ndim: int) -> torch.Tensor:
    """Return one value for all, or one for each index of a dimension, in a shape that spreads over it."""
    return values.reshape([-1 if dim == axis % ndim else 1 for dim in range(ndim)])


def _scoped(name: str, node: str) -> str:
    """Return the name of a weight; where PyTorch's exporter dropped it, the one that its node's scope tells.

    The convolution that was `layer1.0.conv1` is the node `/layer1/layer1.0/conv1/Conv`: below a sequence, a scope
    repeats the name of the sequence.
    """
    if not name.startswith("onnx::") or "/" not in node:
        return name
    path = ""
    for scope in node.strip("/").split("/")[:-1]:
        container, _, number = scope.rpartition(".")
        repeated = container and number.isdigit() and f".{path}".endswith(f".{container}")
        path = f"{path}.{number}" if repeated else f"{path}.{scope}".removeprefix(".")
    return f"{path}.weight"


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn what protobuf, onnx and numpy raise over a damaged file into one sentence."""
    try:
        yield
    except PrunescopeError:
        raise
    except Exception as error:
        raise PrunescopeError(
            f"{path}: not a whole ONNX file ({first_line(error)}): fetch or save it again"
        ) from error


def _read(path: Path) -> Any:
    import onnx

    model = onnx.load(path, load_external_data=False)
    folder = path.parent.absolute()
    for tensor in _stored(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_beside(path, folder, {entry.key: entry.value for entry in tensor.external_data})
    onnx.load_external_data_for_model(model, str(folder))
    if not model.graph.node:
        raise ValueError("its graph computes nothing")
    return model


def _images_of(path: Path, inputs: list[Any]) -> Any:
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise PrunescopeError(f"{path}: takes {len(inputs)} inputs ({names}), expected one tensor of images")
    if inputs[0].type not in _TYPES:
        raise PrunescopeError(f"{path}: takes {inputs[0].type}, expected images of floating-point numbers")
    return inputs[0]


def _check_beside(path: Path, folder: Path, entries: dict[str, str]) -> None:
    location = entries.get("location", "")
    file = Path(os.path.normpath(folder / location))
    if not location or not file.is_relative_to(folder):
        raise PrunescopeError(
            f"{path}: refused, because it reads {location!r}, which is not in its own folder: "
            "save it with its weights beside it, or in one file"
        )
    if not file.is_file():
        raise PrunescopeError(
            f"{path}: its weights are in {location!r}, which is missing: put it into {folder}"
        )


def _stored(graph: Any) -> Iterator[Any]:
    """Yield every tensor that a graph and those within it hold."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _stored(inner)


def _values(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arrays of initialisers and constants with the names that nodes know them by."""
    from onnx import numpy_helper

    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and (value := _attribute(node, "value", None)) is not None:
            yield node.output[0], numpy_helper.to_array(value)


def _to_tensor(array: Any) -> torch.Tensor:
    """Return an array in its own type, or in float32 where torch has none like it."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.uint16).copy()).view(torch.bfloat16)
    return torch.from_numpy((array if array.dtype.kind in "fiub" else array.astype(np.float32)).copy())


def _attribute(node: Any, name: str, default: Any) -> Any:
    from onnx import helper

    found = [attribute for attribute in node.attribute if attribute.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def _number(file: BinaryIO) -> int:
    """Read a number of protobuf: seven bits a byte, the lowest first.

    Raises:
        ValueError: the file ends within it, or it has too many bytes.
    """
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("not a number of protobuf")
