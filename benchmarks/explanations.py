"""Explanations of GoogLeNet beside the passes that they need, and deletion and insertion beside Quantus.

The limit of deletion and insertion: the plain forward passes of as many pictures, made before the clock starts. The
limit of the whole measure: besides, a forward pass of each image and the backward pass down to Grad-CAM's layer,
plain torch. It is done as in a study: a dense network, then a pruned one, whose maps are compared with the former's.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pictures import SIDE, some_images
from table import Row
from timing import interleaved
from torch import nn

import prunescope as ps
from prunescope.explain.faithfulness import BATCH, STEPS, Faithfulness, faithfulness
from prunescope.images.cache import Pixels, cached
from prunescope.images.source import ImageSet
from prunescope.images.split import stratified_limit
from prunescope.measures.explanations import ExplanationsSettings, measure_explanations
from prunescope.measures.measure import Subject
from prunescope.measures.runtimes import computing_with
from prunescope.networks.network import evaluating
from prunescope.training.evaluation import LabelledPixels, autocast
from prunescope.training.settings import Precision

CURVES, MEASURED = 8, 8  # images
MOST_CURVES, MOST_MEASURE = 1.15, 3
PEER_SIDE, PEER_STEPS = (
    96,
    24,
)  # Quantus counts channels, not pixels: only some sides and steps give the same curves
LEAST_PEER = 3  # times as fast as Quantus
LAYER = "inception5b"
WEIGHTS = "googlenet_imagenette128_fp16.safetensors"


def googlenet(side: int, weights: Path | None = None) -> nn.Module:
    return ps.open_network(
        "torchvision/googlenet",
        weights if weights and weights.is_file() else None,
        options={"aux_logits": False, "init_weights": False},
        preprocess=ps.Preprocess(resize=side, crop=side),
    )


class Given:
    """A network with random images, and a map without ties of each."""

    def __init__(self, count: int, side: int) -> None:
        self.network, rng = googlenet(side), np.random.default_rng(0)
        flat = rng.integers(0, 256, count * side * side * 3, dtype=np.uint8)
        pixels = Pixels(flat, np.array([(side, side, i * side * side * 3) for i in range(count)]))
        self.images = LabelledPixels(pixels, np.zeros(count, np.int64), np.arange(count))
        orders = rng.permuted(np.tile(np.arange(side * side), (count, 1)), axis=1)
        self.maps = (orders + 1).reshape(count, side, side).astype(np.float32)
        self.targets, self.names = np.zeros(count, np.int64), [str(i) for i in range(count)]

    def curves(self, steps: int, precision: Precision = "fp32") -> Faithfulness:
        return faithfulness(
            self.network, self.images, self.maps, self.targets,
            names=self.names, steps=steps, precision=precision,
        )  # fmt: skip

    def normalised(self) -> torch.Tensor:
        stacked = np.stack([self.images.pixels[i] for i in range(len(self.images))])
        return self.network.preprocess.normalise(torch.from_numpy(stacked).permute(0, 3, 1, 2))


def rows() -> list[Row]:
    with computing_with(1):
        return [*beside_plain(), *beside_quantus(), *whole_measure()]


def forward(network: nn.Module, count: int, side: int, precision: Precision = "fp32") -> Callable[[], None]:
    """Return what shows a network `count` pictures, which are made already."""
    batch = torch.randn(BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    batch = batch.contiguous(memory_format=torch.channels_last)
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)

    def run() -> None:
        with evaluating(network), autocast(batch.device, precision):
            for start in range(0, count, BATCH):
                network(batch[: count - start])

    return run


def beside_plain() -> list[Row]:
    given, found = Given(CURVES, SIDE), []
    precisions: tuple[Precision, ...] = ("fp32", "bf16")
    for precision in precisions:
        plain = forward(given.network, 2 * STEPS * CURVES, SIDE, precision)
        ours = lambda precision=precision: given.curves(STEPS, precision)  # noqa: E731
        times = interleaved({"plain": plain, "ours": ours}, repeats=5)
        found.append(
            Row(
                f"deletion and insertion of {CURVES} images in {STEPS} steps, {SIDE} px, {precision}",
                times["ours"].cpu,
                "ms",
                f"{2 * STEPS * CURVES} plain forward passes, {times['plain'].cpu:.0f} ms",
                times["ours"].paired_cpu(times["plain"]),
                most_ratio=MOST_CURVES,
            )
        )
    return found


def quantus() -> ModuleType | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import quantus as found
        except ImportError:
            return None
    return found


def beside_quantus() -> list[Row]:
    """Compare with its PixelFlipping, once from the image to the baseline and once back; first, the numbers."""
    peer, found = quantus(), []
    for count in (1, 16):
        given = Given(count, PEER_SIDE)
        variants: dict[str, Callable[[], Any]] = {
            "fp32": lambda given=given: given.curves(PEER_STEPS),
            "bf16": lambda given=given: given.curves(PEER_STEPS, "bf16"),
        }
        if peer is not None:
            variants["quantus"] = lambda given=given: flipped_both_ways(peer, given)
            for ours, theirs in zip(variants["fp32"]()[:2], variants["quantus"](), strict=True):
                np.testing.assert_allclose(ours[:, 1:], theirs, atol=1e-5)
        times = interleaved(variants, repeats=3)
        for precision in ("fp32", "bf16"):
            name = f"both curves, images at once: {count}, {PEER_STEPS} steps, {PEER_SIDE} px, {precision}"
            against, ratio = "Quantus, which is not installed (pip install quantus)", None
            if peer is not None:
                against = f"Quantus' PixelFlipping twice, fp32, {times['quantus'].cpu:.0f} ms"
                ratio = times["quantus"].paired_cpu(times[precision])
            found.append(Row(name, times[precision].cpu, "ms", against, ratio, least_ratio=LEAST_PEER))
    return found


def flipped_both_ways(peer: ModuleType, given: Given) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return deletion and insertion by Quantus, (images, steps) each, without the first value."""
    whole = np.ascontiguousarray(given.normalised().numpy())
    bare = np.zeros_like(whole)

    def flipped(x: NDArray[np.float32], behind: NDArray[np.float32]) -> NDArray[np.float64]:
        def replace(arr: NDArray[np.float32], indices: NDArray[np.int64], **_: Any) -> NDArray[np.float32]:
            changed, rows = arr.copy(), np.arange(len(arr))[:, None]
            changed[rows, indices] = behind.reshape(len(arr), -1)[rows, indices]
            return changed

        flipping = peer.PixelFlipping(
            features_in_step=3 * PEER_SIDE**2 // PEER_STEPS, perturb_func=replace, disable_warnings=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = flipping(
                given.network, x, given.targets, given.maps[:, None], device="cpu", batch_size=BATCH
            )
        return np.array(found)

    return flipped(whole, bare), flipped(bare, whole)


def whole_measure() -> list[Row]:
    with some_images() as (images, root):
        some = images.subset(stratified_limit(images.labels, MEASURED, seed=0))
        dense = googlenet(SIDE, root.parents[1] / "weights" / WEIGHTS)
        pruned = copy.deepcopy(dense)
        ps.prune(pruned, "weight", rate=0.5).apply(pruned)
        return [measure_row((dense, pruned), some, steps) for steps in (STEPS, 0)]


def measure_row(networks: tuple[nn.Module, nn.Module], images: ImageSet, steps: int) -> Row:
    pixels = cached(images, SIDE, "bilinear")
    labelled = LabelledPixels(pixels, images.labels, np.arange(len(images)))
    with tempfile.TemporaryDirectory() as folder:
        measured = lambda: explained(networks, labelled, images, steps, Path(folder))  # noqa: E731
        pictures = [2 * steps * int((~table["empty"]).sum()) for table in measured()]
        passes = [needed(network, labelled, count) for network, count in zip(networks, pictures, strict=True)]
        times = interleaved({"measure": measured, "plain": lambda: [run() for run in passes]}, repeats=3)
    what = f"in {steps} steps" if steps else "none"
    return Row(
        f"explanations of {len(images)} images by {len(networks)} networks, {SIDE} px, deletion and insertion: {what}",
        times["measure"].cpu,
        "ms",
        f"the forward and backward passes, {times['plain'].cpu:.0f} ms",
        times["measure"].paired_cpu(times["plain"]),
        most_ratio=MOST_MEASURE,
    )


def explained(
    networks: tuple[nn.Module, nn.Module],
    labelled: LabelledPixels,
    images: ImageSet,
    steps: int,
    folder: Path,
) -> list[Any]:
    """Measure the first network, then the second beside it; return their tables of images."""
    settings, found, before = ExplanationsSettings(steps=steps, limit=len(images)), [], None
    for number, network in enumerate(networks):
        own = folder / str(number)
        own.mkdir(exist_ok=True)
        subject = Subject(network, labelled, images, reference=before, folder=own)
        found.append(measure_explanations(subject, settings)["explanations"])
        before = own
    return found


def needed(network: nn.Module, labelled: LabelledPixels, pictures: int) -> Callable[[], None]:
    """Return a forward pass of the images, with the backward pass down to the layer, and passes of so many pictures."""
    network = copy.deepcopy(network).to(memory_format=torch.channels_last).requires_grad_(False)
    layer, seen = network.get_submodule(LAYER), []
    stacked = np.stack([labelled.pixels[i][:SIDE, :SIDE] for i in labelled.indices])
    whole = network.preprocess.normalise(torch.from_numpy(stacked).permute(0, 3, 1, 2))
    plain = forward(network, pictures, SIDE)

    def keep(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
        seen[:] = [output.requires_grad_()]
        return output

    def run() -> None:
        hook = layer.register_forward_hook(keep)
        for some in whole.split(BATCH):
            torch.autograd.grad(network(some).amax(1).sum(), seen)
        hook.remove()
        plain()

    return run
