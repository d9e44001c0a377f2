"""Latency: how long one forward pass of a network takes once what was removed has left it."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from prunescope.measures.runtimes import RUNTIMES, Candidate, computing_with, denormals_as_zero
from prunescope.measures.stopwatch import interleaved
from prunescope.networks.network import evaluating, example_input
from prunescope.pruning.compaction import compact
from prunescope.pruning.masks import Mask


def milliseconds(
    network: nn.Module,
    mask: Mask | None = None,
    *,
    runtime: str = "pytorch",
    batch: int = 1,
    threads: int = 1,
    rounds: int = 9,
) -> float:
    """Return the median time of a forward pass of the compact network, in milliseconds.

    With one thread on a CPU it is the process's CPU time, which bears other work on the machine; else wall clock.

    Args:
        network: as it is masked by `mask`; None times it as it is.
        runtime: one of `RUNTIMES`, such as "pytorch" or "onnxruntime".
        batch: images a pass; they are random.

    Raises:
        PrunescopeError: an unknown runtime, or a network that cannot be compacted.
    """
    small, chosen = compact(network, mask) if mask and mask.keep else network, RUNTIMES[runtime]
    chosen.require()
    shape = (batch, *example_input(small).shape[1:])
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(example_input(small))
    with computing_with(threads), evaluating(small), denormals_as_zero():
        run = chosen.prepare(Candidate(small), images, threads)
        on_cpu = chosen.device(small) == "cpu"
        wait = (lambda: None) if on_cpu else torch.cuda.synchronize
        times = interleaved({runtime: run}, rounds, synchronise=wait)[runtime]
        chosen.forget()
    return 1e3 * float(np.median(times.cpu if threads == 1 and on_cpu else times.wall))
