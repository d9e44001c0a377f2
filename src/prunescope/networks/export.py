"""Networks for other runtimes: ONNX, and programs of torch.export, which run without the code that made them."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.jit._trace import TracerWarning

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.networks.checkpoints import write_whole
from prunescope.networks.network import evaluating, example_input
from prunescope.networks.preprocess import Preprocess

IMAGES, LOGITS, BATCH = "images", "logits", "batch"  # names in the files
METADATA_KEY = "prunescope"
OPSET = 18  # the newest that both exporters of torch 2.6 write


def export(
    network: nn.Module,
    path: Path | str,
    example: torch.Tensor | None = None,
    *,
    dynamic_batch: bool = True,
) -> None:
    """Write the network, as it computes in eval mode, into a file for other runtimes.

    The input is called `images`, the output `logits`. What the network expects of its images goes along as
    JSON: in ONNX as the metadata `prunescope`, in a .pt2 as the extra file of that name. Auxiliary heads, which only
    training uses, are left out. The network is not changed, and a file already there is replaced whole or kept.

    Args:
        path: `.onnx` for ONNX Runtime, OpenVINO, TensorRT and others; `.pt2` for `torch.export.load`.
        example: (images, 3, height, width); by default one image of the network's own size.
        dynamic_batch: whether the file takes any number of images, rather than as many as the example has.

    Raises:
        PrunescopeError: another suffix, an example that the network does not take, a network that the format
            cannot say, a package that is not installed, a place that cannot be written.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        near = did_you_mean(path.suffix, _FORMATS)
        raise PrunescopeError(f"{path}: expected a file name that ends in {' or '.join(_FORMATS)}{near}")
    example = example_input(network) if example is None else example
    with evaluating(network):
        _try(network, example)
        if dynamic_batch and len(example) == 1:
            example = example.repeat(2, 1, 1, 1)  # a batch of 1 would be taken for a constant
        content = _FORMATS[path.suffix](network, example, dynamic_batch, path)
    write_whole(content, path)


def require_deploy(*packages: str) -> None:
    """Check that packages of the extra `deploy` are installed.

    Raises:
        PrunescopeError: one is not.
    """
    if missing := [package for package in packages if not _installed(package)]:
        raise PrunescopeError(f'{missing[0]} is not installed: pip install "prunescope[deploy]"')


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # sys.modules holds None for it
        return False


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says something, cut to a sentence's length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 200 else f"{line[:199]}…"


def _try(network: nn.Module, example: torch.Tensor) -> None:
    try:
        network(example)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shape = " x ".join(map(str, example.shape))
        raise PrunescopeError(
            f"the network does not run on an example of {shape}: {first_line(error)}"
        ) from error


def _to_onnx(network: nn.Module, example: torch.Tensor, dynamic_batch: bool, path: Path) -> bytes:
    """Return the network as ONNX: by tracing, which takes a second, or else by torch.export, which knows more.

    Tracing is not trusted where it warns: it then keeps what was decided for the example as if it held always.
    """
    require_deploy("onnx", "onnxscript")
    try:
        model = _traced(network, example, dynamic_batch)
    except Exception as first:
        try:
            model = _translated(network, example, dynamic_batch)
        except Exception as error:
            raise _cannot_say((first, error), path, "ONNX") from error
    found = getattr(network, "preprocess", None)
    if isinstance(found, Preprocess):
        model.metadata_props.add(key=METADATA_KEY, value=_description(found))
    content: bytes = model.SerializeToString()
    return content


def _traced(network: nn.Module, example: torch.Tensor, dynamic_batch: bool) -> Any:
    import onnx

    with tempfile.TemporaryDirectory() as folder, _quiet():
        warnings.simplefilter("error", TracerWarning)
        traced = Path(folder, "traced.onnx")
        torch.onnx.export(
            network,
            (example,),
            str(traced),
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_axes={IMAGES: {0: BATCH}, LOGITS: {0: BATCH}} if dynamic_batch else None,
            opset_version=OPSET,
            dynamo=False,
            verbose=False,
        )
        return onnx.load(traced)


def _translated(network: nn.Module, example: torch.Tensor, dynamic_batch: bool) -> Any:
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes=_dynamic(dynamic_batch),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _to_program(network: nn.Module, example: torch.Tensor, dynamic_batch: bool, path: Path) -> bytes:
    """Return the network as torch.export.save writes it."""
    content = io.BytesIO()
    found = getattr(network, "preprocess", None)
    extra = {METADATA_KEY: _description(found)} if isinstance(found, Preprocess) else None
    try:
        with _quiet():
            program = torch.export.export(
                network, (example,), dynamic_shapes=_dynamic(dynamic_batch), strict=False
            )
            torch.export.save(program, content, extra_files=extra)
    except Exception as error:  # which of its many kinds differs from version to version
        raise _cannot_say((error,), path, "torch.export") from error
    return content.getvalue()


def _dynamic(batch: bool) -> tuple[dict[int, Any]] | None:
    return ({0: torch.export.Dim(BATCH, min=1)},) if batch else None


def _cannot_say(errors: Sequence[Exception], path: Path, language: str) -> PrunescopeError:
    """Turn what exporters raised into words: the operator, a decision by values, or the last one's first line."""
    chain: list[BaseException] = []
    for error in errors:
        cause: BaseException | None = error
        while cause is not None:
            chain.append(cause)
            cause = cause.__cause__
    text = "\n".join(str(link) for link in chain)
    if operator := re.search(r"No ONNX function found for .*?op='([\w.]+)'|operator '([\w:]+)'", text):
        name = (operator[1] or operator[2]).removesuffix(".default")
        why = f"it knows no operator {name}: compute that otherwise, or write a .pt2"
    elif "data-dependent" in text or "data dependent" in text:
        why = (
            "the forward pass decides by the values that it computes (an `if` or a loop over them): "
            "use torch.where, or the like"
        )
    elif BATCH in text and ("onstraint" in text or "specialize" in text):
        why = "the forward pass computes with a fixed number of images: export with dynamic_batch=False"
    else:
        why = first_line(chain[-1])
    return PrunescopeError(f"{path}: {language} cannot say what this network does: {why}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the user what exporters print, log and warn about their own insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    screen = io.StringIO()
    graphs = mock.patch.object(
        torch._C, "_jit_onnx_log", create=True
    )  # written past Python, on every failure
    printed = contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen)
    try:
        with warnings.catch_warnings(action="ignore"), graphs, printed[0], printed[1]:
            yield
    finally:
        logging.disable(disabled)


def _description(preprocess: Preprocess) -> str:
    return json.dumps({"preprocess": preprocess.model_dump(mode="json")})


_FORMATS: dict[str, Callable[[nn.Module, torch.Tensor, bool, Path], bytes]] = {
    ".onnx": _to_onnx,
    ".pt2": _to_program,
}
