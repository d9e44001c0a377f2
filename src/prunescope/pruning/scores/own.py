"""Scores by name: those of the package, and a function in a file or module of the user's own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from prunescope.errors import PrunescopeError, describe_os_error, did_you_mean
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import Score, ScoreRequest

_NO_MODULES = {"", "__main__"}
_OURS = str(Path(__file__).parents[2])  # the package
_HOW = "give path/to/file.py:function or package.module:function"


def find_score(name: str) -> Score:
    """Return the score that a name means.

    Args:
        name: of a score of the package, or `path/to/file.py:function` or `package.module:function`, both from the
            current folder on. The function takes a `ScoreRequest` and returns layer to a tensor of the shape of
            the layer's groups; other layers that it returns are left out. Made with the decorator `score`, it can
            say more of itself (that it needs a calibration set, say).

    Raises:
        PrunescopeError: there is none, it cannot be imported, or is no function. What the function returns is
            checked when it is called.
    """
    if name.endswith(".py"):
        raise PrunescopeError(f"{name} is a file, which may hold several scores: {_HOW}")
    if ":" not in name:
        return all_scores()[name]
    where, _, function = name.rpartition(":")
    module = _module(name, where)
    found = getattr(module, function, None)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise PrunescopeError(f"no function {function!r} in {where}{did_you_mean(function, known)}")
    if not callable(found):
        raise PrunescopeError(
            f"{name} is of type {type(found).__name__}, expected a function from a ScoreRequest to a dict of scores"
        )
    score = found if isinstance(found, Score) else Score(name, found)
    return replace(score, name=name, compute=_Checked(name, score, module.__file__))


def source_of(name: str) -> str | None:
    """Return a digest of the file that a user's score is in, so that a change is noticed; None for the package's."""
    if ":" not in name:
        return None
    return _digest(_text(_file(name, name.rpartition(":")[0])))


class _Checked:
    """A user's function, of which everything that it may get wrong is said."""

    def __init__(self, name: str, score: Score, file: str | None) -> None:
        self.name, self.score, self.file = name, score, file

    def __call__(self, request: ScoreRequest) -> dict[str, torch.Tensor]:
        try:
            result = self.score.compute(request)
        except PrunescopeError:
            raise
        except Exception as error:
            raise PrunescopeError(f"{self.name} failed{_at(error, self.file)}: {_said(error)}") from error
        if not isinstance(result, Mapping):
            raise PrunescopeError(
                f"{self.name} returned {type(result).__name__}, expected a dict of layer to tensor"
            )
        if missing := [layer for layer in request.layers if layer not in result]:
            shapes = {layer: request.granularity.shape(request.layers[layer]) for layer in missing[:3]}
            listed = ", ".join(f"{layer} {shape}" for layer, shape in shapes.items())
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise PrunescopeError(
                f"{self.name} returned no scores of {listed}{more}: one tensor for each is expected"
            )
        return {layer: self.usable(result[layer], layer, request) for layer in request.layers}

    def usable(self, scores: object, layer: str, request: ScoreRequest) -> torch.Tensor:
        """Return a layer's scores as real numbers of their own, which selection may change."""
        shape = request.granularity.shape(request.layers[layer])
        expected = (
            f"expected a tensor of {shape}: a real number for each {request.granularity.name} of the layer"
        )
        if not isinstance(scores, torch.Tensor):
            raise PrunescopeError(f"{self.name} returned {type(scores).__name__} for {layer}, {expected}")
        if scores.shape != shape or scores.is_complex():
            what = f"{tuple(scores.shape)} complex" if scores.is_complex() else f"{tuple(scores.shape)}"
            raise PrunescopeError(f"{self.name} returned a tensor of {what} for {layer}, {expected}")
        device = request.layers[layer].module.weight.device
        usable = scores.detach().to(device, torch.promote_types(scores.dtype, torch.float32), copy=True)
        return usable.contiguous()


def _module(name: str, where: str) -> ModuleType:
    """Import what holds a function.

    Raises:
        PrunescopeError: with the line at fault.
    """
    file = _file(name, where)
    try:
        return _run(file, _text(file)) if where.endswith(".py") else importlib.import_module(where)
    except PrunescopeError:
        raise
    except Exception as error:
        raise _not_imported(where, error, str(file)) from error


@cache
def _run(file: Path, text: bytes) -> ModuleType:
    """Run a file as a module of its own, once for each text that it has (Python keeps what it compiled by date).

    What it registers as scores is taken out again: it is known by its file, and nothing else by its name.
    """
    module = ModuleType(f"prunescope_own_{_digest(text)}")
    module.__file__ = str(file)
    with all_scores().unchanged():
        sys.modules[module.__name__] = module  # as dataclasses and pickle expect
        exec(compile(text, str(file), "exec", dont_inherit=True), vars(module))
    return module


def _file(name: str, where: str) -> Path:
    """Return the file that a score is in."""
    if where.endswith(".py"):
        file = Path(where).expanduser().resolve()
        if not file.is_file():
            raise PrunescopeError(f"no file {where} for the score {name}, looked for from {Path.cwd()} on")
        return file
    here = str(Path.cwd())
    if here not in sys.path:  # so that the current folder is looked into, as with python -m
        sys.path.insert(0, here)
    try:  # which imports the packages around it
        spec = None if where in _NO_MODULES else importlib.util.find_spec(where)
    except Exception as error:
        if not (isinstance(error, ModuleNotFoundError) and f"{where}.".startswith(f"{error.name}.")):
            raise _not_imported(where, error, None) from error
        spec = None
    if spec is None or spec.origin is None:
        raise PrunescopeError(f"no module {where!r} for the score {name}: {_HOW}")
    return Path(spec.origin)


def _not_imported(where: str, error: Exception, file: str | None) -> PrunescopeError:
    return PrunescopeError(f"{where} cannot be imported{_at(error, file)}: {_said(error)}")


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise describe_os_error(error, f"reading {file}") from error


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _at(error: BaseException, file: str | None) -> str:
    """Return `` at file.py, line 3``: the last line of the user's file that an error went through.

    Args:
        file: None: the last of any file that is not ours and not at work on importing it.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}, line {error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        theirs = "importlib" not in frame.filename and not frame.filename.startswith(_OURS)
        if frame.filename == file or (file is None and theirs):
            return f" at {frame.filename}, line {frame.lineno}"
    return ""


def _said(error: BaseException) -> str:
    first = str(error).splitlines()[:1]
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__
