"""Small networks of every way in which channels travel, each with what a person reads off its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from prunescope.networks.network import Origin, attach
from prunescope.networks.preprocess import Preprocess

Channel = tuple[str, int] | None  # (layer, channel), or None where an input is no single channel
SIDE = 8  # pixels


def of(layer: str, *channels: int) -> list[Channel]:
    """Channels 0, 1, … of a layer if one number is given, or those listed."""
    return [(layer, c) for c in (range(channels[0]) if len(channels) == 1 else channels)]


@dataclass(frozen=True)
class Toy:
    """What is to be found in a network.

    Attributes:
        reads: layer to the channel that each of its inputs is.
        norms: batch norm, likewise.
        together: layers whose channels of the same number are removed together.
        gates: layers among them that only scale.
        fixed: layers whose channels cannot be removed, each with a word that the reason has to hold.
    """

    build: Callable[[], nn.Module]
    reads: dict[str, list[Channel]]
    norms: dict[str, list[Channel]] = field(default_factory=dict)
    together: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    fixed: dict[str, str] = field(default_factory=dict)
    logits: str = "fc"

    def network(self, seed: int = 0) -> nn.Module:
        """Build the network with random weights, biases and running statistics."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self.build()
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.normal_(module.running_mean, 0, 0.3)
                    nn.init.uniform_(module.running_var, 0.5, 1.5)
                    nn.init.normal_(module.weight, 1, 0.2)
                    nn.init.normal_(module.bias, 0, 0.2)
        return carry(network)


def carry(network: nn.Module, side: int = SIDE) -> nn.Module:
    """Let a network of the test's own carry what `open_network` would attach."""
    return attach(network.eval(), Preprocess(resize=None, crop=side), Origin(name="tests:toy"))


class Concat(nn.Module):
    """`b` and `c` read `a`; `d` reads both, behind one batch norm, an in-place ReLU and a pooling."""

    def __init__(self, a: int = 4, b: int = 2, c: int = 3, d: int = 3) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, a, 3, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(a)
        self.b = nn.Conv2d(a, b, 1)
        self.c = nn.Conv2d(a, c, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(b + c)
        self.d = nn.Conv2d(b + c, d, 3, stride=2)
        self.fc = nn.Linear(d, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.norm_a(self.a(x)), 0.1)
        x = functional.leaky_relu(self.norm(torch.cat([self.b(x), self.c(x)], 1)), 0.1, inplace=True)
        x = functional.max_pool2d(x, 2)
        return self.fc(functional.leaky_relu(self.d(x), 0.1).mean((2, 3)))


def cut(network: Concat, keep: dict[str, torch.Tensor]) -> nn.Module:
    """Return the network without the filters that `keep`, layer to (out,) bool, does not keep: smaller tensors."""
    a, b, c, d = (keep[name] for name in "abcd")
    bc = torch.cat([b, c])
    rows = {"a": a, "norm_a": a, "b": b, "c": c, "norm": bc, "d": d}
    columns = {"b": a, "c": a, "d": bc, "fc": d}
    small = Concat(*(int(part.sum()) for part in (a, b, c, d)))
    everything = slice(None)
    state = {}
    for name, tensor in network.state_dict().items():
        layer = name.split(".")[0]
        out = tensor[rows.get(layer, everything)] if tensor.ndim else tensor
        state[name] = out[:, columns.get(layer, everything)] if tensor.ndim > 1 else out
    small.load_state_dict(state)
    return small.eval()


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.a = nn.Conv2d(4, 5, 1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.b = nn.Conv2d(5, 4, 3, padding=1)
        self.after = nn.Conv2d(4, 3, 1)
        self.relu = nn.LeakyReLU(0.1, inplace=True)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        y = self.b(self.relu(self.norm(self.a(x))))
        y += x
        return self.fc(self.after(self.relu(y)).mean((2, 3)))


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.depth = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.point = nn.Conv2d(4, 4, 1)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.grouped(functional.silu(self.point(self.depth(self.a(x))))).mean((2, 3)))


class Gate(nn.Module):
    """Squeeze and excitation: what `expand` puts out goes through a sigmoid, which makes .5 of 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 2, 1)
        self.expand = nn.Conv2d(2, 4, 1)
        self.b = nn.Conv2d(4, 3, 1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.a(x))
        gate = torch.sigmoid(self.expand(functional.gelu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.fc(self.b(x * gate).mean((2, 3)))


class Stretch(nn.Module):
    """A depthwise convolution that makes two channels of each, and a PReLU with a slope per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.relu = nn.PReLU(3)
        self.depth = nn.Conv2d(3, 6, 3, padding=1, groups=3)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.depth(self.relu(self.a(x))).mean((2, 3)))


class Scaled(Residual):
    """What is added was scaled before, per channel, as in ConvNeXt: the scales would have to go as well."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 0.8, 4)[:, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        return self.fc(self.after(x + self.scale * self.b(self.norm(self.a(x)))).mean((2, 3)))


class Shortcut(nn.Module):
    """The shortcut of the first ResNets for CIFAR: half the channels, with channels of zeros added at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 2, 3, padding=1)
        self.b = nn.Conv2d(2, 4, 3, padding=1, stride=2)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        wide = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2))
        return self.fc(torch.relu(self.b(x) + wide).mean((2, 3)))


class Flatten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(12, 5), nn.ELU(), nn.Dropout(), nn.Linear(5, 4, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


class Shuffle(nn.Module):
    """Concatenation, a channel shuffle in two groups, and a split: `c` reads the first half, `d` the other."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(3, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 2, 1)
        self.d = nn.Conv2d(4, 2, 1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.a(x), self.b(x)], 1).unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)
        first, second = x.chunk(2, dim=1)
        return self.fc(torch.cat([self.c(first), self.d(second)], 1).mean((2, 3)))


class Between(nn.Module):
    """`between` stands between a convolution and the layer that reads it."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.between = between
        self.b = nn.Conv2d(4, 3, 1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.b(torch.relu(self.between(self.a(x)))).mean((2, 3)))


class ChannelsLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class PlusOne(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1


class Twice(nn.Module):
    """`shared` looks at `a` at two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 2, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.hardswish(self.a(x))
        views = [self.shared(x), self.shared(functional.avg_pool2d(x, 2))]
        return self.fc(torch.cat([view.mean((2, 3)) for view in views], 1))


class Halves(nn.Module):
    """One half of the channels of `a` is multiplied by the other, and the image is added to `b`."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(4, 3, 1)
        self.c = nn.Conv2d(3, 3, 1)
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = self.a(x).chunk(2, dim=1)
        return self.fc(self.c(self.b(one * other) + x).mean((2, 3)))


class Rewound(nn.Module):
    """`shared` and `norm` read `a` first, and what `shared` made of it then."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.shared = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.a(x)))
        for _ in range(2):
            x = torch.relu(self.norm(self.shared(x)))
        return self.fc(x.mean((2, 3)))


class AddedToConcat(nn.Module):
    """`c` is added to `a` and `b` side by side: its first channels go with those of `a`, the others with `b`."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1)
        self.b = nn.Conv2d(3, 6, 1)
        self.c = nn.Conv2d(3, 10, 3, padding=1)
        self.fc = nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(torch.cat([self.a(x), self.b(x)], 1) + self.c(x)).mean((2, 3)))


def _between(build: Callable[[], nn.Module], **fixed: str) -> Toy:
    reads = {"a": [None] * 3, "b": [None] * 4 if "a" in fixed and fixed["a"] != "0" else of("a", 4)}
    return Toy(lambda: Between(build()), {**reads, "fc": of("b", 3)}, fixed=fixed)


TOYS = {
    "concat": Toy(
        Concat,
        {
            "a": [None] * 3,
            "b": of("a", 4),
            "c": of("a", 4),
            "d": of("b", 2) + of("c", 3),
            "fc": of("d", 3),
        },
        {"norm_a": of("a", 4), "norm": of("b", 2) + of("c", 3)},
    ),
    "residual": Toy(
        Residual,
        {
            "stem": [None] * 3,
            "a": of("stem", 4),
            "b": of("a", 5),
            "after": of("stem", 4),
            "fc": of("after", 3),
        },
        {"norm": of("a", 5)},
        together=("stem", "b"),
    ),
    "depthwise": Toy(
        Depthwise,
        {
            "a": [None] * 3,
            "depth": of("a", 4),
            "point": of("depth", 4),
            "grouped": of("point", 4),
            "fc": of("grouped", 6),
        },
        together=("a", "depth"),
        fixed={"point": "grouped", "grouped": "grouped"},
    ),
    "gate": Toy(
        Gate,
        {
            "a": [None] * 3,
            "squeeze": of("a", 4),
            "expand": of("squeeze", 2),
            "b": of("a", 4),
            "fc": of("b", 3),
        },
        together=("a", "expand"),
        gates=("expand",),
    ),
    "flatten": Toy(
        Flatten,
        {
            "body.0": [None] * 3,
            "head.1": [("body.0", c) for c in range(3) for _ in range(4)],
            "head.4": of("head.1", 5),
        },
        logits="head.4",
    ),
    "shuffle": Toy(
        Shuffle,
        {
            "a": [None] * 3,
            "b": [None] * 3,
            "c": [("a", 0), ("b", 0), ("a", 1), ("b", 1)],
            "d": [("a", 2), ("b", 2), ("a", 3), ("b", 3)],
            "fc": of("c", 2) + of("d", 2),
        },
    ),
    "twice": Toy(Twice, {"a": [None] * 3, "shared": of("a", 4), "fc": of("shared", 2) * 2}),
    "layer norm": _between(ChannelsLast, a="between.norm"),
    "group norm": _between(lambda: nn.GroupNorm(2, 4), a="between"),
    "softplus": _between(nn.Softplus, a="0"),
    "constant": _between(PlusOne, a="0"),
}
