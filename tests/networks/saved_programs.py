"""Small networks, and files of every kind of program that hold them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from prunescope.networks.export import export
from prunescope.networks.preprocess import Preprocess

SIDE = 8
PREPROCESS = Preprocess(resize=None, crop=SIDE, mean=(0.1, 0.2, 0.3))


class Toy(nn.Module):
    """Two convolutions, one of them with a batch norm, and a linear layer, on images of 8 pixels."""

    def __init__(self, head: Callable[[torch.Tensor], torch.Tensor] = nn.Identity()) -> None:
        super().__init__()
        self.preprocess = PREPROCESS
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Sequential(nn.Conv2d(6, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.fc = nn.Linear(4, 3)
        self.head = head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.fc(torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))))


def toy(head: Callable[[torch.Tensor], torch.Tensor] = nn.Identity()) -> Toy:
    """Return the same network each time, in eval mode, with batch norms that do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Toy(head)
        for tensor in (network.b[1].running_mean, network.b[1].weight, network.b[1].bias):
            nn.init.uniform_(tensor, 0.5, 1.5)
    return network.eval()


def images(count: int, side: int = SIDE, seed: int = 1) -> torch.Tensor:
    return torch.randn((count, 3, side, side), generator=torch.Generator().manual_seed(seed))


def trace(network: nn.Module, path: Path, example: torch.Tensor | None = None, frozen: bool = False) -> Path:
    """Save a network as TorchScript, by tracing."""
    with warnings.catch_warnings(action="ignore"), torch.random.fork_rng(devices=[]):
        traced = torch.jit.trace(network, images(1) if example is None else example, check_trace=False)
        (torch.jit.freeze(traced) if frozen else traced).save(path)
    return path


def script(network: nn.Module, path: Path) -> Path:
    """Save a network as TorchScript, with its control flow."""
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(network).save(path)
    return path


def save(network: nn.Module, form: str, folder: Path) -> Path:
    """Save a network as a program of a format, for any number of images."""
    if form == "TorchScript":
        return trace(network, folder / "network.pt")
    path = folder / ("network.onnx" if form == "ONNX" else "network.pt2")
    export(network, path, images(2).to(next(network.parameters()).dtype))
    return path
