"""The peak of a forward pass whose tensors can be counted by hand."""

from __future__ import annotations

import torch
from torch import nn

from prunescope.measures.peak_memory import peak_bytes

FLOAT = 4
PIXELS = 16 * 16


def test_a_chain_holds_what_it_reads_and_what_it_writes() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),  # a view
        nn.Linear(4, 2),
    )
    weights = 8 * 27 + 4 * 8 + 4 + 4 * 2 + 2
    most = 2 * (8 + 4) * PIXELS  # two images: what the second convolution reads and writes
    with torch.no_grad():
        assert peak_bytes(network.eval(), torch.zeros(2, 3, 16, 16)) == FLOAT * (weights + most)


class Branches(nn.Module):
    """Keeps its first tensor until the end, so that three are there at once."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 1, bias=False)
        self.b = nn.Conv2d(8, 8, 1, bias=False)
        self.tied = self.b  # counted once
        self.register_buffer("counted", torch.zeros(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.a(x)
        return first + self.b(self.tied(first))


def test_what_is_kept_for_later_counts() -> None:
    held = 24 + 64 + 5
    assert peak_bytes(Branches(), torch.zeros(1, 3, 16, 16)) == FLOAT * (held + 3 * 8 * PIXELS)


def test_it_can_be_asked_again_and_of_weights_in_half_precision() -> None:
    network, images = Branches().to(torch.bfloat16), torch.zeros(1, 3, 16, 16, dtype=torch.bfloat16)
    assert peak_bytes(network, images) == peak_bytes(network, images) == 2 * (93 + 24 * PIXELS)
