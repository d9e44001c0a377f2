"""Speed: forward passes of the dense, the masked and the compact network, taking turns, in several runtimes."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import nn

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.measures.intervals import median_interval
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Progress, Subject, Tables
from prunescope.measures.peak_memory import peak_bytes
from prunescope.measures.runtimes import RUNTIMES, Logits, computing_with, denormals_as_zero
from prunescope.measures.stopwatch import Times, interleaved
from prunescope.measures.variants import Variant, variants_of
from prunescope.networks.network import evaluating, example_input, logits_of
from prunescope.networks.programs import Program
from prunescope.pruning.masks import Mask

TOLERANCE = 1e-3  # by which logits may differ from PyTorch's, of the largest: float32, added in another order
ROUNDINGS = 16  # the same for coarser types, in steps of theirs


class SpeedSettings(MeasureSettings):
    """How speed is measured."""

    runtimes: tuple[str, ...] = Field(
        ("pytorch", "channels-last"),
        min_length=1,
        description="What runs the networks: pytorch, channels-last, compile, onnxruntime, openvino.",
    )
    batches: tuple[int, ...] = Field(
        (1, 16), min_length=1, description="Images at once: 1 for latency, more for throughput."
    )
    rounds: int = Field(15, ge=1, description="How often every network has its turn.")
    threads: int = Field(1, ge=1, description="CPU threads of a forward pass.")
    seed: int = Field(0, description="For the order of turns, and for the values of the images.")


def speed(
    network: nn.Module, mask: Mask | None = None, *, dense: nn.Module | None = None, **settings: Any
) -> pd.DataFrame:
    """Time a network's forward passes: dense, masked and compact, taking turns in one run.

    Times are those of a batch, after a warm-up, without gradients, on random images of the network's size.
    Speed-ups are medians over rounds of the ratio within a round: of the process's CPU time with one thread on
    a CPU, which bears other work on the machine, and else of wall clock. Intervals are those of
    `median_interval`, over rounds; median and p95 of times are over single passes, of which a quick network does
    many in its turn. A runtime whose logits are not PyTorch's has no times. The network is not changed.

    Args:
        mask: what was pruned; None: whatever is 0.
        dense: the network before pruning. By default a copy whose removed weights are drawn anew. Compiled
            runtimes take the same time for it; max pooling in PyTorch itself branches on values, which made
            that copy of GoogLeNet 9 % slower than the real one, and the masked one, full of zeros, faster.
            Of a compact network, its architecture with random weights.
        settings: fields of `SpeedSettings`.

    Returns:
        One row a runtime, batch and variant: `runtime, batch, variant, milliseconds, p95, images_per_second,
        cpu_milliseconds, speedup, low, high, clock, rounds, threads, peak_bytes, macs, device, version, why`.

    Raises:
        PrunescopeError: a mask for another network, an unknown runtime, one that is not installed.
    """
    chosen = SpeedSettings.chosen(**settings)
    check_settings(chosen)
    network = copy.deepcopy(network)
    if mask is not None:
        mask.apply(network)
    return _time(network, mask, None if dense is None else lambda: dense, chosen, lambda done, total: None)


def measure_speed(subject: Subject, settings: SpeedSettings) -> Tables:
    """Time a network's variants; return the tables `scores` and `speed`."""
    check_settings(settings)
    table = _time(subject.network, subject.mask, subject.dense, settings, subject.progress)
    return {"scores": _scores(table), "speed": table}


def check_settings(settings: SpeedSettings, network: nn.Module | None = None) -> None:
    """Check what the settings ask for.

    Raises:
        PrunescopeError: an unknown runtime, one that is not installed, a batch that is none or is given twice,
            more threads than processors.
    """
    if settings.threads > (processors := os.cpu_count() or 1):
        raise PrunescopeError(
            f"threads: {settings.threads} on a machine of {processors} processors only wait"
        )
    for name in settings.runtimes:
        RUNTIMES[name].require()
    if wrong := [batch for batch in settings.batches if batch < 1]:
        raise PrunescopeError(f"a batch of {wrong[0]} is impossible: expected a number of images from 1 up")
    for field in ("runtimes", "batches"):
        given = getattr(settings, field)
        if twice := [value for number, value in enumerate(given) if value in given[:number]]:
            raise PrunescopeError(f"{field}: {twice[0]} is given twice: keep one")


def _time(
    network: nn.Module,
    mask: Mask | None,
    dense: Callable[[], nn.Module] | None,
    settings: SpeedSettings,
    progress: Progress,
) -> pd.DataFrame:
    with computing_with(settings.threads), evaluating(network):
        with torch.enable_grad():  # gradients tell which channels additions and gates tie together
            variants = variants_of(network, mask, dense, random_images(network, 2, settings.seed))
        return time_variants(variants, dict.fromkeys(variants, network), settings, progress)


def time_variants(
    variants: Mapping[str, Variant],
    like: Mapping[str, nn.Module],
    settings: SpeedSettings,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Time forms of networks, taking turns; return the rows that `speed` returns.

    Args:
        variants: by name; speed-ups are over the one called "dense".
        like: by name, the network whose preprocessing tells the size of its images.
    """
    rows: list[dict[str, Any]] = []
    groups = [(name, batch) for name in settings.runtimes for batch in settings.batches]
    total = len(groups) * settings.rounds
    with computing_with(settings.threads), torch.no_grad():
        for number, (name, batch) in enumerate(groups):
            images = {variant: random_images(like[variant], batch, settings.seed) for variant in variants}
            before = number * settings.rounds
            turns = _Turns(variants, name, images, settings)
            rows += turns.rows(lambda done, before=before: progress(before + done, total))  # type: ignore[misc]
    return pd.DataFrame(rows)


def random_images(network: nn.Module, batch: int, seed: int) -> torch.Tensor:
    """Return random images of a network's own size, (batch, 3, crop, crop), on its device, in its type."""
    shape = (batch, *example_input(network).shape[1:])
    images = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return images.to(example_input(network))


class _Turns:
    """All variants, in one runtime, at one batch."""

    def __init__(
        self,
        variants: Mapping[str, Variant],
        name: str,
        images: Mapping[str, torch.Tensor],
        settings: SpeedSettings,
    ) -> None:
        self.variants, self.name, self.runtime = variants, name, RUNTIMES[name]
        self.images, self.settings = images, settings
        self.why = {variant: form.why for variant, form in variants.items() if form.why}
        self.device = self.runtime.device(
            next(form.candidate.network for form in variants.values() if form.candidate)
        )

    @property
    def clock(self) -> str:
        """What speed-ups are by."""
        return "cpu" if self.settings.threads == 1 and self.device == "cpu" else "wall"

    def rows(self, on_round: Callable[[int], None]) -> list[dict[str, Any]]:
        self.runtime.forget()
        passes = self._prepared()
        with denormals_as_zero():
            times = interleaved(
                passes,
                self.settings.rounds,
                seed=self.settings.seed,
                synchronise=torch.cuda.synchronize if self.device == "cuda" else lambda: None,
                on_round=on_round,
            )
        self.runtime.forget()
        return [self._row(variant, times) for variant in self.variants]

    def _prepared(self) -> dict[str, Logits]:
        passes = {}
        for variant, form in self.variants.items():
            if form.candidate is None:
                continue
            try:
                images = self.images[variant]
                run = form.candidate.prepared(self.name, images, self.settings.threads)
                _refuse_other_logits(run(), logits_of(form.candidate.network(images)), self.name)
                passes[variant] = run
            except NoRoomError:  # which says nothing about the network
                raise
            except PrunescopeError as error:
                self.why[variant] = str(error)
        return passes

    def _row(self, variant: str, times: Mapping[str, Times]) -> dict[str, Any]:
        form, batch = self.variants[variant], len(self.images[variant])
        passes = cpu = ratios = np.array([math.nan])
        if variant in times:
            passes, cpu = times[variant].passes, times[variant].cpu
            if "dense" in times:
                ratios = getattr(times["dense"], self.clock) / getattr(times[variant], self.clock)
        low, high = median_interval(ratios)
        peak = math.nan
        if self.name == "pytorch" and form.candidate and not isinstance(form.candidate.network, Program):
            peak = peak_bytes(form.candidate.network, self.images[variant])
        return {
            "runtime": self.name,
            "batch": batch,
            "variant": variant,
            "milliseconds": 1e3 * float(np.median(passes)),
            "p95": 1e3 * float(np.quantile(passes, 0.95)),
            "images_per_second": batch / float(np.median(passes)),
            "cpu_milliseconds": 1e3 * float(np.median(cpu)),
            "speedup": float(np.median(ratios)),
            "low": low,
            "high": high,
            "clock": self.clock,
            "rounds": self.settings.rounds,
            "threads": self.settings.threads,
            "peak_bytes": peak,
            "macs": form.macs,
            "device": self.device,
            "version": self.runtime.version,
            "why": self.why.get(variant),
        }


def _refuse_other_logits(given: torch.Tensor, expected: torch.Tensor, name: str) -> None:
    """Refuse a runtime that answers otherwise than PyTorch: how fast it is wrong does not matter."""
    largest = float(expected.abs().max())
    if not math.isfinite(largest):  # nothing to compare with: weights drawn at random can do that
        return
    off = float((given.cpu().float() - expected.cpu().float()).abs().max())
    if not off <= max(TOLERANCE, ROUNDINGS * torch.finfo(expected.dtype).eps) * largest:
        raise PrunescopeError(
            f"its logits in {name} are off by {off:.2g}, the largest in PyTorch is {largest:.2g}"
        )


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return times and speed-ups by name, those of the smallest form that a network has."""
    forms = set(table["variant"])
    has_compact = bool(table.loc[table["variant"] == "compact", "macs"].notna().any())
    chosen = "compact" if has_compact else "masked" if "masked" in forms else "dense"
    rows = []
    for row in table.dropna(subset=["milliseconds"]).to_dict("records"):
        place, n = f"{row['runtime']}_b{row['batch']}", row["rounds"]
        speedup = (row["speedup"], row["low"], row["high"], n)
        if row["variant"] == chosen:
            rows.append((f"ms_{place}", row["milliseconds"], math.nan, math.nan, n))
            rows.append((f"speedup_{place}", *speedup))
        if row["variant"] == "masked":
            rows.append((f"speedup_masked_{place}", *speedup))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n"])


MEASURES.register("speed")(
    Measure("speed", 1, SpeedSettings, measure_speed, looks_at_images=False, check=check_settings)
)
