"""How fast the two networks of an audit are, taking turns, each at its own size of images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import torch
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures.measure import Progress
from prunescope.measures.runtimes import Candidate, computing_with
from prunescope.measures.speed import SpeedSettings, check_settings, time_variants
from prunescope.measures.variants import Variant, compacted, has_zeros, masked, whole
from prunescope.networks.network import device_of, evaluating
from prunescope.networks.programs import Program


def time_pair(
    dense: nn.Module,
    pruned: nn.Module,
    settings: SpeedSettings,
    progress: Progress = lambda done, total: None,
) -> pd.DataFrame:
    """Time forward passes of two networks, taking turns in one run, as `prunescope.speed` does.

    A program runs in its own runtime alone, so a pair with one is timed there, whatever was asked for; two programs
    of different runtimes are each timed in their own, and no speed-up is told. Of a pruned network whose channels
    are 0, the compact form is timed too.

    Args:
        dense, pruned: networks that carry their preprocessing, which tells the size of their images.

    Returns:
        The table `speed` with the variants "dense", "pruned" and, where the pruned network has zeros and is no
        program, "compact". Multiply-accumulates are missing for programs.

    Raises:
        PrunescopeError: settings that make no sense, a runtime that is not installed, networks on two devices.
    """
    asked = settings.model_copy(update={"runtimes": runtimes_of(dense, pruned, settings.runtimes)})
    check_settings(asked)
    if device_of(dense).type != device_of(pruned).type:
        raise PrunescopeError(
            f"the dense network lies on {device_of(dense).type}, the pruned one on {device_of(pruned).type}: "
            "times compare on one device only; move one of them"
        )
    with computing_with(asked.threads), evaluating(dense), evaluating(pruned):
        variants = _variants(dense, pruned)
        like = {variant: dense if variant == "dense" else pruned for variant in variants}
        return time_variants(variants, like, asked, progress)


def runtimes_of(dense: nn.Module, pruned: nn.Module, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the runtimes that a pair is timed in: those asked for that run both, or else those of its programs."""
    programs = [network for network in (dense, pruned) if isinstance(network, Program)]
    shared = tuple(name for name in asked if all(program.runtime == name for program in programs))
    return shared or tuple(dict.fromkeys(program.runtime for program in programs))


def _variants(dense: nn.Module, pruned: nn.Module) -> Mapping[str, Variant]:
    variants = {"dense": _as_it_is(dense), "pruned": _as_it_is(pruned)}
    if not isinstance(pruned, Program) and has_zeros(pruned):
        with torch.enable_grad():  # gradients tell which channels additions and gates tie together
            variants["compact"] = compacted(pruned, None)
    return variants


def _as_it_is(network: nn.Module) -> Variant:
    if isinstance(network, Program):
        return Variant(Candidate(network), math.nan)
    return masked(network) if has_zeros(network) else whole(network)
