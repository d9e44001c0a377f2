"""Relevance through explicit matrices, image by image, number by number: what each input adds to each output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

EPSILON = 1e-6


class Paths(nn.Module):
    """A folded batch norm, one that a shortcut goes around, one after a concatenation; two poolings, two additions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 3, 1, groups=1)
        self.norm_c = nn.BatchNorm2d(3)
        self.norm_all = nn.BatchNorm2d(7)
        self.depth = nn.Conv2d(7, 7, 2, groups=7)
        self.norm_depth = nn.BatchNorm2d(7)
        self.hidden = nn.Linear(7, 5)
        self.fc = nn.Linear(5, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.relu(self.norm(self.stem(x))), 2)
        y = self.b(x)
        y += x
        z = self.c(y)  # of either sign
        z = z + self.relu(self.norm_c(z))
        x = self.relu(self.norm_all(torch.cat([y, z], 1)))
        x = nn.functional.adaptive_avg_pool2d(self.relu(self.norm_depth(self.depth(x))), 1)
        return self.fc(self.relu(self.hidden(x.flatten(1))))


def relevance_of(network: Paths, image: torch.Tensor, label: int) -> dict[str, torch.Tensor]:
    """Return layer to the relevance of every weight for one image, (3, 6, 6) in float64."""
    found: dict[str, torch.Tensor] = {}

    def down(name: str, x: torch.Tensor, relevance: torch.Tensor, rule: str, norm: str = "") -> torch.Tensor:
        layer = network.get_submodule(name)
        matrix = as_matrix(layer, x.shape, network.get_submodule(norm) if norm else None)
        given, weights = through(matrix, x.flatten(), relevance.flatten(), rule)
        found[name] = weights.view_as(layer.weight)
        return given.view_as(x)

    with torch.no_grad():
        stem = network.norm(network.stem(image[None])).relu()[0]
        pooled = nn.functional.max_pool2d(stem, 2)
        b = network.b(pooled[None])[0]
        y = b + pooled
        z = network.c(y[None])[0]
        gain = network.norm_c(z[None])[0]
        both = torch.cat([y, z + gain.relu()])
        all_ = network.norm_all(both[None])[0]
        depth = network.norm_depth(network.depth(all_.relu()[None]))[0]
        mean = depth.relu().mean((1, 2))
        hidden = network.hidden(mean)
        logits = network.fc(hidden.relu())

        relevance = torch.zeros_like(logits)
        relevance[label] = logits[label]
        relevance = down("fc", hidden.relu(), relevance, "epsilon")
        relevance = down("hidden", mean, relevance, "epsilon")
        relevance = shared([depth.relu() / 4], mean[:, None, None], relevance[:, None, None])[0]
        relevance = down("depth", all_.relu(), relevance, "z+", "norm_depth")
        (relevance,) = shared([both * slope_of(network.norm_all)], all_, relevance)
        from_y, from_z = relevance.split([4, 3])
        straight, gained = shared([z, gain.relu()], z + gain.relu(), from_z)
        (gained,) = shared([z * slope_of(network.norm_c)], gain, gained)
        from_y = from_y + down("c", y, straight + gained, "z+")
        from_b, skipped = shared([b, pooled], y, from_y)
        relevance = skipped + down("b", pooled, from_b, "z+")
        down("stem", image, to_the_winner(stem, relevance), "z+", "norm")
    return found


@dataclass
class Matrix:
    """y = M x + b on flat vectors.

    Attributes:
        uses: (outputs, inputs) int64, the number of the weight that an entry of M is made of, -1 for none.
    """

    matrix: torch.Tensor
    bias: torch.Tensor
    uses: torch.Tensor


def as_matrix(layer: nn.Module, shape: torch.Size, norm: nn.Module | None = None) -> Matrix:
    """Write a layer, with the batch norm behind it, as a matrix, by putting in one unit vector after another."""
    units = torch.eye(shape.numel(), dtype=torch.float64).view(-1, *shape)

    def run(weight: torch.Tensor) -> torch.Tensor:
        """Return (inputs, outputs …)."""
        if isinstance(layer, nn.Linear):
            return nn.functional.linear(units, weight)
        return nn.functional.conv2d(units, weight, None, layer.stride, layer.padding, groups=layer.groups)

    numbers = torch.arange(1.0, layer.weight.numel() + 1, dtype=torch.float64).view_as(layer.weight)
    uses = run(numbers).flatten(1).T.round().long() - 1
    columns = run(layer.weight)
    bias = torch.zeros_like(columns[:1])
    if layer.bias is not None:
        bias += layer.bias.view(-1, *[1] * (columns.ndim - 2))
    if norm is not None:
        shift = norm(bias)
        columns, bias = norm(columns + bias) - shift, shift
    return Matrix(columns.flatten(1).T, bias.flatten(), uses)


def through(
    layer: Matrix, x: torch.Tensor, relevance: torch.Tensor, rule: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the relevance of the inputs and that of the weights, by the "z+" or the "epsilon" rule."""
    inputs, weights = [0.0] * len(x), [0.0] * (int(layer.uses.max()) + 1)
    uses = layer.uses.tolist()
    for j, (row, constant) in enumerate(zip((layer.matrix * x).tolist(), layer.bias.tolist(), strict=True)):
        if rule == "z+":
            parts, rest = [max(part, 0.0) for part in row], max(constant, 0.0)
        else:
            parts, rest = row, constant
        total = sum(parts) + rest
        total += -EPSILON if total < 0 else EPSILON
        for i, part in enumerate(parts):
            share = part / total * float(relevance[j])
            inputs[i] += share
            if uses[j][i] >= 0:
                weights[uses[j][i]] += share
    return torch.tensor(inputs, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)


def shared(parts: list[torch.Tensor], total: torch.Tensor, relevance: torch.Tensor) -> list[torch.Tensor]:
    """Return what each part of a total gets, in proportion; where the total is 0, nothing."""
    return [torch.where(total == 0, 0, part / total * relevance) for part in parts]


def slope_of(norm: nn.Module) -> torch.Tensor:
    """Return what a batch norm multiplies each channel by, (channels, 1, 1)."""
    units = torch.ones(1, len(norm.weight), 1, 1, dtype=torch.float64)
    return (norm(units) - norm(0 * units))[0]


def to_the_winner(x: torch.Tensor, relevance: torch.Tensor) -> torch.Tensor:
    """Return the relevance of the inputs, (channels, h, w), of a max pooling by 2."""
    given = torch.zeros_like(x)
    for c, row, column in torch.cartesian_prod(*(torch.arange(size) for size in relevance.shape)).tolist():
        window = [(c, 2 * row + dy, 2 * column + dx) for dy in (0, 1) for dx in (0, 1)]
        given[max(window, key=lambda place: float(x[place]))] += relevance[c, row, column]
    return given


def fused(network: nn.Module) -> nn.Module:
    """Return a network whose batch norms are folded into convolutions, where they can be, by torch's own means."""
    traced = fx.symbolic_trace(network)
    for node in list(traced.graph.nodes):
        conv = node.args[0] if node.op == "call_module" else None
        if not (isinstance(conv, fx.Node) and conv.op == "call_module" and len(conv.users) == 1):
            continue
        before, norm = traced.get_submodule(conv.target), traced.get_submodule(node.target)
        if isinstance(before, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            parent, _, name = conv.target.rpartition(".")
            setattr(traced.get_submodule(parent), name, fuse_conv_bn_eval(before, norm))
            node.replace_all_uses_with(conv)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced
