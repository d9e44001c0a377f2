"""GoogLeNet and ResNet-50 pruned and compacted, in ONNX Runtime and OpenVINO, beside the dense network there.

One thread, CPU time, the networks in turn. Speed does not depend on which filters go, so the weights are random.
What a network could gain at best is the share of the multiply-accumulates that left: `of its MACs` says it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors.torch import save
from table import Row
from timing import interleaved
from torch import nn

import prunescope as ps
from prunescope.measures.runtimes import RUNTIMES, Candidate, computing_with, denormals_as_zero
from prunescope.networks.layers import find_layers
from prunescope.networks.packed import pack

MOST_COMPACTING = 1000  # ms
MOST_PACKED = 1 / 6  # of the dense file


@dataclass(frozen=True)
class Variant:
    """A way to prune, and how many times as fast it is to make GoogLeNet, by the number of images at once."""

    name: str
    granularity: str
    rate: float
    round_to: int = 1
    least: Mapping[int, float] | None = None

    def of(self, network: nn.Module) -> nn.Module:
        """Return the compact network; for single weights the masked one, since nothing can leave it."""
        mask = ps.prune(network, self.granularity, rate=self.rate, round_to=self.round_to)
        return ps.compact(network, mask) if self.granularity != "weight" else masked(network, mask)


def masked(network: nn.Module, mask: ps.Mask) -> nn.Module:
    zeroed = copy.deepcopy(network)
    mask.apply(zeroed)
    return zeroed


GOOGLENET = (
    Variant("filters 30 %", "filter", 0.3),
    Variant("filters 50 %", "filter", 0.5, least={1: 3.2, 16: 3.3}),
    Variant("filters 70 %", "filter", 0.7),
    Variant("filters 70 %, rounded to 8", "filter", 0.7, 8, least={1: 6.8, 16: 7}),
    Variant("connections 50 %", "connection", 0.5, least={1: 1.3, 16: 1.3}),
    Variant("connections 80 %", "connection", 0.8, least={1: 1.8, 16: 1.7}),
    Variant("weights 90 %, masked", "weight", 0.9),
)
RESNET50 = (
    Variant("filters 50 %", "filter", 0.5),
    Variant("filters 70 %, rounded to 8", "filter", 0.7, 8, least={1: 9}),
)


def rows() -> list[Row]:
    googlenet = ps.open_network("torchvision/googlenet", options={"aux_logits": False, "init_weights": False})
    resnet50 = ps.open_network("torchvision/resnet50")
    with computing_with(1):
        found = [compacting(googlenet), packing(googlenet)]
        for runtime, batch in (("onnxruntime", 1), ("onnxruntime", 16), ("openvino", 1)):
            found += speed_ups("GoogLeNet", googlenet, GOOGLENET, runtime, batch)
        return found + speed_ups("ResNet-50", resnet50, RESNET50, "onnxruntime", 1)


def compacting(network: nn.Module) -> Row:
    mask = ps.prune(network, "filter", rate=0.5)
    times = interleaved({"compact": lambda: ps.compact(network, mask)}, repeats=7)["compact"]
    return Row("compacting GoogLeNet, filters 50 %", times.cpu, "ms", most=MOST_COMPACTING)


def packing(network: nn.Module) -> Row:
    dense = len(save(network.state_dict()))
    state = masked(network, ps.prune(network, "weight", scope="global", rate=0.9)).state_dict()
    packed = len(save(pack(state)[0]))
    name = "file of GoogLeNet, weights 90 %, bitmask and values"
    against = f"dense, {dense / 1e6:.1f} MB"
    return Row(name, packed / 1e6, "MB", against, packed / dense, most_ratio=MOST_PACKED)


def speed_ups(
    title: str, dense: nn.Module, variants: tuple[Variant, ...], runtime: str, batch: int
) -> list[Row]:
    images = torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    networks = {"dense": dense} | {variant.name: variant.of(dense) for variant in variants}
    with denormals_as_zero(), torch.no_grad():
        forwards = {
            name: RUNTIMES[runtime].prepare(Candidate(network), images, 1)
            for name, network in networks.items()
        }
        times = interleaved(forwards, repeats=15 if batch > 1 else 31, warmup=3)
    found = []
    for variant in variants:
        ratio = times["dense"].paired_cpu(times[variant.name])
        macs = macs_of(dense) / macs_of(networks[variant.name])
        found.append(
            Row(
                f"{title}, {variant.name}, {runtime}, batch {batch}",
                times[variant.name].cpu,
                "ms",
                f"dense, {times['dense'].cpu:.1f} ms; {macs:.2f} × fewer MACs",
                ratio,
                least_ratio=(variant.least or {}).get(batch) if runtime == "onnxruntime" else None,
            )
        )
    return found


def macs_of(network: nn.Module) -> int:
    return sum(layer.macs for layer in find_layers(network).values())
