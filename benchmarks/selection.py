"""A global magnitude mask of ResNet-50, 25.5 million weights, beside `torch.nn.utils.prune.global_unstructured`.

The peer is given the layers; `ps.prune` finds them itself, by one forward pass. So it is timed whole and, as
"selection", from the layers on: scores and the choice of what stays.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from table import Row
from timing import interleaved
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from prunescope.measures.runtimes import computing_with
from prunescope.networks.layers import Layer, Prunable, find_layers
from prunescope.pruning.granularity import WEIGHT
from prunescope.pruning.scores.magnitude import l1
from prunescope.pruning.scores.score import ScoreRequest
from prunescope.pruning.selection import select

RATES = (0.5, 0.9)
MOST_TIME = 0.05  # of the peer's
MOST_MEMORY = 1.5  # of the weights
PEER = "torch.nn.utils.prune.global_unstructured"


def resnet50() -> nn.Module:
    return ps.open_network("torchvision/resnet50")


def weight_bytes(network: nn.Module) -> int:
    return sum(m.weight.nbytes for m in network.modules() if isinstance(m, Prunable))


def whole(network: nn.Module, rate: float) -> None:
    ps.prune(network, "weight", scope="global", rate=rate)


def selection(network: nn.Module, layers: dict[str, Layer], rate: float) -> None:
    generator = torch.Generator().manual_seed(0)
    select(l1(ScoreRequest(network, layers, WEIGHT, generator)), rate, "global", generator)


def peer(network: nn.Module, rate: float) -> None:
    parameters = [(module, "weight") for module in network.modules() if isinstance(module, Prunable)]
    torch_prune.global_unstructured(parameters, torch_prune.L1Unstructured, amount=rate)


class FreshCopies:
    """Runs the peer, which changes its network, on one copy after the other, made beforehand."""

    def __init__(self, network: nn.Module, rate: float, count: int) -> None:
        self.copies, self.rate = [copy.deepcopy(network) for _ in range(count)], rate

    def __call__(self) -> None:
        peer(self.copies.pop(), self.rate)


def rows() -> list[Row]:
    network = resnet50()
    layers = find_layers(network)
    weights = [layer.module.weight.detach() for layer in layers.values()]
    found: list[Row] = []
    with computing_with(1):
        limit = interleaved(
            {"forward": lambda: find_layers(network), "abs": lambda: [w.abs() for w in weights]}
        )
        found.append(Row("finding the layers", limit["forward"].cpu, "ms"))
        for rate in RATES:
            found += at_rate(network, layers, rate, limit["abs"].cpu)
    with computing_with(os.cpu_count() or 1):
        found.append(wall_clock(network, 0.5))
    return found + memory()


def at_rate(network: nn.Module, layers: dict[str, Layer], rate: float, pass_over_weights: float) -> list[Row]:
    ours = interleaved(
        {"whole": lambda: whole(network, rate), "selection": lambda: selection(network, layers, rate)}
    )
    theirs = interleaved({"peer": FreshCopies(network, rate, 4)}, repeats=3)["peer"].cpu
    against, chosen = f"{PEER}, {theirs:.0f} ms", ours["selection"].cpu
    limit = f"abs of all weights, {pass_over_weights:.1f} ms"
    return [
        Row(
            f"prune, rate {rate}",
            ours["whole"].cpu,
            "ms",
            against,
            ours["whole"].cpu / theirs,
            most_ratio=MOST_TIME,
        ),
        Row(f"selection, rate {rate}", chosen, "ms", against, chosen / theirs, most_ratio=MOST_TIME),
        Row(f"selection, rate {rate}", chosen, "ms", limit, chosen / pass_over_weights),
    ]


def wall_clock(network: nn.Module, rate: float) -> Row:
    count = torch.get_num_threads()
    ours = interleaved({"prune": lambda: whole(network, rate)}, repeats=9)["prune"].wall
    theirs = interleaved({"peer": FreshCopies(network, rate, 3)}, repeats=2)["peer"].wall
    name = f"prune, rate {rate}, wall clock, {count} threads"
    return Row(name, ours, "ms", f"{PEER}, {theirs:.0f} ms", ours / theirs)


MEMORY: dict[str, Callable[[nn.Module], None]] = {
    "prune": lambda network: whole(network, 0.5),
    PEER: lambda network: peer(network, 0.5),
}


def memory() -> list[Row]:
    """Measure the peak of each in a process of its own; Linux only, which alone lets a peak be set back."""
    if not Path("/proc/self/clear_refs").exists():
        return []
    found = []
    for name in MEMORY:
        # Without this, memory that was freed stays with the process and hides what the next call takes.
        environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        command = [sys.executable, __file__, name]
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        extra, weights = (int(number) / 2**20 for number in told.split())
        most = MOST_MEMORY if name == "prune" else None
        against = f"the weights, {weights:.0f} MiB"
        found.append(
            Row(f"extra peak memory, {name}", extra, "MiB", against, extra / weights, most_ratio=most)
        )
    return found


def print_peak(name: str) -> None:
    """Print by how many bytes the peak of this process rises, and how many bytes the weights are.

    What is loaded and compiled at first use, the kernels of the network's forward pass among it, is there before.
    """
    torch.set_num_threads(1)
    network = resnet50()
    find_layers(network)
    MEMORY[name](ps.open_network("prunescope/sprig"))
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is in use
    before = status("VmRSS")
    MEMORY[name](network)
    print(status("VmHWM") - before, weight_bytes(network))


def status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


if __name__ == "__main__":
    print_peak(sys.argv[1])
