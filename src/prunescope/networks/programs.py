"""Programs: networks in files that bring their own arithmetic, as TorchScript, torch.export or ONNX.

They answer images and nothing else: there are no layers to look into, to prune or to explain. What they multiply by
can be read where the file keeps it apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.networks.archives import archive_format
from prunescope.networks.checkpoints import read_stored
from prunescope.networks.engines import Engine, Exported, Script, Sizes, count_types
from prunescope.networks.export import first_line
from prunescope.networks.network import logits_of
from prunescope.networks.onnx_files import Onnx, looks_like_onnx
from prunescope.networks.preprocess import Preprocess

Format = Literal["TorchScript", "torch.export", "ONNX"]
_ENGINES: dict[Format, Callable[[Path], Engine]] = {
    "TorchScript": Script,
    "torch.export": Exported,
    "ONNX": Onnx,
}
_SUFFIXES: dict[str, Format] = {".onnx": "ONNX", ".pt2": "torch.export", ".torchscript": "TorchScript"}
_NOT_WEIGHTS = {"int64", "bool"}  # shapes, counters
_ROUNDING = 1e-3  # of the largest logit: float32 in another order
_COARSE_ROUNDING = 3e-2  # the same in half precision
_SUM_OF_PROBABILITIES = 1e-3


class Program(nn.Module):
    """A network read from a file that brings its own arithmetic, run by its own runtime on the CPU.

    Attributes:
        format: "TorchScript", "torch.export" or "ONNX".
        runtime: what runs it: "pytorch" or "onnxruntime".
        preprocess: what it expects of images.
        assumed_preprocess: whether that is a guess, since nobody said.
        outputs: how many classes it tells apart.
        probabilities: whether the file ends in a softmax. Its logarithm is then put out, whose softmax it is.
        least, most: how many images the file takes at once; any other number is cut up, or filled up with copies
            of an image.
    """

    def __init__(self, path: Path, engine: Engine, preprocess: Preprocess, assumed: bool) -> None:
        super().__init__()
        self.path = path
        self.engine = engine
        self.format, self.runtime = engine.format, engine.runtime
        self.preprocess = preprocess
        self.assumed_preprocess = assumed
        self.least, self.most = engine.least, engine.most
        self.probabilities = False
        self.outputs = 0
        self.nowhere = nn.Parameter(torch.empty(0), requires_grad=False)  # says where, and in which type

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, (images, classes) float32, of float32 images (images, 3, height, width)."""
        return self.prepared(images)()

    def prepared(self, images: torch.Tensor, threads: int | None = None) -> Callable[[], torch.Tensor]:
        """Return one forward pass of these images; for timing, with so many threads."""
        parts = []
        for part in images.split(self.most or max(len(images), 1)):
            copies = part[-1:].expand(max(self.least - len(part), 0), *part.shape[1:])
            filled = torch.cat([part, copies]).cpu().to(self.engine.dtype)
            parts.append((len(part), self.engine.prepared(filled, threads)))
        device = images.device

        def run() -> torch.Tensor:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                logits = [self._logits(answer())[:count] for count, answer in parts]
            return (logits[0] if len(logits) == 1 else torch.cat(logits)).to(device)

        return run

    def weights(self) -> dict[str, torch.Tensor]:
        """Return what its convolutions, (out, in, height, width), and linear layers, (out, in), multiply by.

        By name, float32. A program may keep nothing apart that can be told from other numbers: then it is empty.
        """
        return {name: weight.detach().cpu().float() for name, weight in self.engine.weights().items()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Program:
        return self  # nothing in it changes, and runtimes cannot be copied

    def _logits(self, answer: Any) -> torch.Tensor:
        logits = logits_of(answer)
        if logits.ndim == 4 and logits.shape[2:] == (1, 1):  # as after a global pooling
            logits = logits.flatten(1)
        logits = logits.float()
        return logits.clamp_min(torch.finfo(torch.float32).tiny).log() if self.probabilities else logits


def program_format(path: Path | str) -> Format | None:
    """Say what kind of program a file is, by what is in it; its suffix decides where it is too damaged to tell.

    Nothing in the file is run.

    Returns:
        None: no program; it may be a checkpoint.

    Raises:
        PrunescopeError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise PrunescopeError(f"no file {str(path)!r}: check the path, or --data")
    archive = archive_format(path)
    return archive or ("ONNX" if looks_like_onnx(path) else _SUFFIXES.get(path.suffix.lower()))


def open_program(path: Path | str, preprocess: Preprocess | Mapping[str, Any] | None = None) -> Program:
    """Open a program: a network in TorchScript, torch.export or ONNX.

    Its answers to a few random images are looked at. A program whose answer to an image depends on which images are
    beside it, as after dynamic quantisation, is run one image at a time.

    Args:
        preprocess: what it expects of images, or those fields of it that differ from what the file says; None: what
            prunescope wrote into the file, or else the defaults of `Preprocess`, and `assumed_preprocess` says so.

    Raises:
        PrunescopeError: the file is missing, damaged, no program, or would do more than compute; what it takes are
            no images of three channels, or of another size than the preprocessing gives; what it puts out are no
            logits; its weights hold NaN; the extra `deploy` is missing, for ONNX.
    """
    path = Path(path)
    form = program_format(path)
    if form is None:
        raise PrunescopeError(f"{path}: no program of TorchScript, torch.export or ONNX: is it a checkpoint?")
    engine = _ENGINES[form](path)
    _check_numbers(path, engine)
    _check_type(path, engine)
    expected, assumed = _preprocess(path, engine, preprocess)
    program = Program(path, engine, expected, assumed)
    _check_sizes(path, engine.sizes, expected.crop)
    with torch.random.fork_rng(devices=[]):  # of which a program may draw, though it should not
        torch.manual_seed(0)
        _try_out(program)
    return program.eval()


def stored_types(path: Path | str) -> dict[str, float]:
    """Return the share of a network's numbers that a checkpoint or a program keeps in each type, largest first.

    Counters and shapes (int64, bool) are not counted; of packed tensors and masks, the weights that they stand for.

    Raises:
        PrunescopeError: the file cannot be read.
    """
    path = Path(path)
    form = program_format(path)
    counted: Counter[str]
    counted = _ENGINES[form](path).types() if form else count_types(read_stored(path)[0].values())
    kept = {name: count for name, count in counted.most_common() if name not in _NOT_WEIGHTS and count}
    return {name: count / sum(kept.values()) for name, count in kept.items()}


def _preprocess(
    path: Path, engine: Engine, given: Preprocess | Mapping[str, Any] | None
) -> tuple[Preprocess, bool]:
    """Return what a program expects of images, and whether that is a guess."""
    if isinstance(given, Preprocess):
        return given, False
    own: dict[str, Any] = {}
    try:
        if engine.description is not None:
            own = Preprocess.model_validate(json.loads(engine.description)["preprocess"]).model_dump()
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise PrunescopeError(
            f"{path}: what it says of its preprocessing is damaged: give all of it, as a Preprocess"
        ) from error
    try:
        return Preprocess.model_validate({**own, **(given or {})}), not own and not given
    except ValidationError as error:
        first = error.errors()[0]
        raise PrunescopeError(
            f"preprocessing: {'.'.join(map(str, first['loc']))}: {first['msg']}; "
            f"known: {', '.join(Preprocess.model_fields)}"
        ) from error


def _check_numbers(path: Path, engine: Engine) -> None:
    """Refuse NaN anywhere, and infinite weights; elsewhere, as in a limit, infinity has its use."""
    for name, tensor in engine.tensors().items():
        if tensor.is_floating_point() and tensor.isnan().any():
            raise PrunescopeError(f"{path}: {name!r} holds NaN: the weights are unusable")
    for name, tensor in engine.weights().items():
        if not tensor.isfinite().all():
            raise PrunescopeError(f"{path}: {name!r} holds infinite values: the weights are unusable")


def _check_type(path: Path, engine: Engine) -> None:
    if not engine.dtype.is_floating_point:
        name = str(engine.dtype).removeprefix("torch.")
        raise PrunescopeError(f"{path}: takes {name}, expected images of floating-point numbers")


def _check_sizes(path: Path, sizes: Sizes | None, crop: int) -> None:
    if sizes is None:
        return
    shown = " x ".join("any" if size is None else str(size) for size in sizes)
    if len(sizes) != 4:
        raise PrunescopeError(f"{path}: takes {shown}, expected images x 3 x height x width")
    _, channels, height, width = sizes
    if channels not in {3, None}:
        last = "; with the channels last: export it with the channels first" if width == 3 else ""
        raise PrunescopeError(
            f"{path}: takes images of {channels} channels ({shown}), expected 3, red, green and blue{last}"
        )
    if any(side not in {crop, None} for side in (height, width)):
        squares = "" if None in {height, width} or height == width else "; only square images are prepared"
        raise PrunescopeError(
            f"{path}: takes images of {_side(height)} x {_side(width)} pixels, its preprocessing crops to {crop}: "
            f"give what it expects of images, as in --preprocess '{{crop: {height or width}}}'{squares}"
        )


def _side(pixels: int | None) -> str:
    return "any" if pixels is None else str(pixels)


def _try_out(program: Program) -> None:
    """Look at the answers to random images: their shape, and whether they depend on what is beside an image."""
    logits = _first_answer(program)
    if logits.shape[1] < 2:
        raise _no_logits(program, logits)
    if not logits.isfinite().all():
        raise PrunescopeError(f"{program.path}: answers random images with NaN or infinite numbers")
    program.outputs = logits.shape[1]
    if not _alike(program, logits, program(_random_images(program, program.least))):
        raise PrunescopeError(
            f"{program.path}: answers the same image in two ways: it was saved as it trains; save it after "
            "network.eval()"
        )
    if program.most != program.least and not _takes_more(program, logits):
        program.most = program.least
    sums = logits.double().sum(1)
    if bool((logits >= 0).all() and ((sums - 1).abs() < _SUM_OF_PROBABILITIES).all()):
        program.probabilities = True


def _first_answer(program: Program) -> torch.Tensor:
    """Return the answer to as few images as the program takes; where that fails, as many as it was traced with."""
    try:
        return _answer(program)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, PrunescopeError) as error:
        sizes = program.engine.traced_sizes() if isinstance(program.engine, Script) else None
        if sizes is not None:
            _check_sizes(program.path, sizes, program.preprocess.crop)
        if sizes is not None and sizes[0] != program.least:
            program.least = program.most = sizes[0] or 1
            return _first_answer(program)
        if isinstance(error, PrunescopeError):
            raise
        raise _does_not_run(program, error) from error
    except Exception as error:  # those of ONNX Runtime share no other base
        raise _does_not_run(program, error) from error


def _answer(program: Program) -> torch.Tensor:
    try:
        logits: torch.Tensor = program(_random_images(program, program.least))
    except PrunescopeError as error:
        raise PrunescopeError(f"{program.path}: {error}") from error
    if logits.ndim != 2 or len(logits) != program.least:
        raise _no_logits(program, logits)
    return logits


def _takes_more(program: Program, logits: torch.Tensor) -> bool:
    """Say whether other images, two if it takes so many, leave the answers to the first ones as they were."""
    count = min(program.least + 2, program.most or program.least + 2)
    try:
        more: torch.Tensor = program(_random_images(program, count))
    except Exception:  # of whatever runs it: then it takes no more
        return False
    return len(more) == count and _alike(program, logits, more[: program.least])


def _alike(program: Program, logits: torch.Tensor, others: torch.Tensor) -> bool:
    coarse = program.engine.dtype in {torch.float16, torch.bfloat16}
    rounding = _COARSE_ROUNDING if coarse else _ROUNDING
    off = (logits - others).abs().max() if logits.shape == others.shape else torch.inf
    return bool(off <= rounding * logits.abs().max())


def _random_images(program: Program, count: int) -> torch.Tensor:
    """Return random images; those after the first `least` have more contrast, which a common scale would follow."""
    crop = program.preprocess.crop
    images = torch.randn((count, 3, crop, crop), generator=torch.Generator().manual_seed(0))
    images[program.least :] *= 4
    return images


def _no_logits(program: Program, answer: torch.Tensor) -> PrunescopeError:
    shape = " x ".join(map(str, answer.shape)) or "a single number"
    return PrunescopeError(
        f"{program.path}: answers {program.least} of the images with {shape}, expected images x classes: "
        "export the network up to its logits"
    )


def _does_not_run(program: Program, error: Exception) -> PrunescopeError:
    crop = program.preprocess.crop
    lines = [
        line.strip() for line in str(error).splitlines() if line.strip()
    ]  # TorchScript says why in the last
    why = first_line(ValueError(lines[-1].removeprefix("RuntimeError: "))) if lines else type(error).__name__
    return PrunescopeError(
        f"{program.path}: does not run on images of 3 x {crop} x {crop}, to which its preprocessing crops: {why}. "
        "If it expects another size, give it, as in --preprocess '{crop: 299}'"
    )
