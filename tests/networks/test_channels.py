from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
import torch_pruning
from torch import nn

from oracles.channels import (
    TOYS,
    Between,
    Channel,
    Halves,
    Residual,
    Rewound,
    Scaled,
    Shortcut,
    Stretch,
    Toy,
    carry,
    of,
)
from prunescope.errors import PrunescopeError
from prunescope.networks.channels import ChannelMap, map_channels, replaced_forward
from prunescope.networks.layers import Layer, find_layers
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess


def named(channels: ChannelMap, numbers: torch.Tensor) -> list[Channel]:
    """Turn numbers of channels back into (layer, channel)."""
    starts = sorted(channels.first.items(), key=lambda item: -item[1])
    return [
        None if n < 0 else next((name, n - first) for name, first in starts if n >= first)
        for n in numbers.tolist()
    ]


@pytest.mark.parametrize("toy", TOYS.values(), ids=list(TOYS))
def test_channels_are_found_where_the_code_sends_them(toy: Toy) -> None:
    found = map_channels(toy.network())

    assert {name: named(found, numbers) for name, numbers in found.reads.items()} == toy.reads
    assert {name: named(found, numbers) for name, numbers in found.norms.items()} == toy.norms
    assert [pool for pool in found.partners() if len(pool) > 1] == ([toy.together] if toy.together else [])
    for name in toy.together:
        assert torch.equal(found.together[found.numbers(name)], found.numbers(toy.together[0]))
    assert found.gates == set(toy.gates)
    assert set(found.fixed) == set(toy.fixed)
    assert all(word in found.fixed[name] for name, word in toy.fixed.items())
    assert found.logits == {toy.logits}


def test_a_depthwise_convolution_that_makes_two_channels_of_one() -> None:
    found = map_channels(carry(Stretch()))

    assert named(found, found.together) == [("a", c) for c in (0, 1, 2, 0, 0, 1, 1, 2, 2)] + of("fc", 4)
    assert {name: named(found, numbers) for name, numbers in found.slopes.items()} == {"relu": of("a", 3)}
    assert not found.fixed


def test_what_is_scaled_by_a_parameter_of_its_own_is_fixed() -> None:
    found = map_channels(carry(Scaled()))

    assert named(found, found.reads["after"]) == [None] * 4
    assert found.partners() == [("stem", "b"), ("a",), ("after",), ("fc",)]
    assert set(found.fixed) == {"stem", "b"}
    assert all("by parameters that no layer holds" in reason for reason in found.fixed.values())


def test_a_shortcut_ties_only_the_channels_that_it_brings() -> None:
    found = map_channels(carry(Shortcut()))

    assert named(found, found.together) == of("a", 2) + of("a", 2) + of("b", 2, 3) + of("fc", 4)
    assert named(found, found.reads["fc"]) == of("a", 2) + of("b", 2, 3)
    assert found.partners() == [("a", "b"), ("fc",)]


def test_halves_that_are_multiplied_go_together_and_what_the_image_is_added_to_stays() -> None:
    found = map_channels(carry(Halves()))

    assert named(found, found.together[found.numbers("a")]) == of("a", 4) * 2
    assert found.fixed == {"b": "turned into other than 0 on its way to c"}


def test_what_a_module_reads_when_it_is_called_again_is_tied() -> None:
    found = map_channels(carry(Rewound()))

    assert found.partners() == [("a", "shared"), ("fc",)]
    assert named(found, found.reads["shared"]) == named(found, found.norms["norm"]) == of("a", 4)
    assert not found.fixed


class Functional(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (torch.sigmoid, "no layer reads its channels as they are"),
        (lambda x: x.mean(1, keepdim=True).expand(-1, 4, -1, -1), "mixed with each other"),
        (lambda x: nn.functional.normalize(x, dim=1), "mixed with each other"),
    ],
    ids=["saturated", "mean", "normalised"],
)
def test_what_cannot_be_told_apart_fixes_no_other_layer(
    function: Callable[[torch.Tensor], torch.Tensor], reason: str
) -> None:
    found = map_channels(carry(Between(Functional(function))))

    assert set(found.fixed) == {"a"}
    assert reason in found.fixed["a"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_that_the_caller_turned_off_are_not_missed(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    network = TOYS["residual"].network()
    with mode():
        found = map_channels(network)

    assert found.together.tolist() == map_channels(network).together.tolist()
    assert not found.fixed


def test_the_stages_of_resnet18_are_one_sum_each() -> None:
    """What enters a stage (the stem, or the shortcut), and the end of each block."""
    network = open_network("torchvision/resnet18", preprocess=Preprocess(crop=64))
    stages = [("conv1", "layer1.0.conv2", "layer1.1.conv2")]
    for stage in (2, 3, 4):
        stages.append(tuple(f"layer{stage}.{end}" for end in ("0.conv2", "0.downsample.0", "1.conv2")))

    found = map_channels(network)

    assert [pool for pool in found.partners() if len(pool) > 1] == stages
    assert not found.fixed
    assert found.logits == {"fc"}


NETWORKS = [
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "mnasnet0_5",
    "densenet121",
    "squeezenet1_1",
    "vgg11_bn",
    "googlenet",
    "inception_v3",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_channels_as_in_the_graph_of_torch_pruning(name: str) -> None:
    """Another program, by other means (a graph of autograd's operations): what goes with a third of each layer."""
    options = {"aux_logits": False, "init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    crop = 80 if name == "inception_v3" else 64
    network = open_network(f"torchvision/{name}", options=options, preprocess=Preprocess(crop=crop))
    layers = find_layers(network)
    found = map_channels(network, layers)
    graph = torch_pruning.DependencyGraph().build_dependency(network, torch.rand(1, 3, crop, crop))
    names = {module: name for name, module in network.named_modules()}
    generator = torch.Generator().manual_seed(0)

    assert not found.fixed
    for layer in set(layers) - found.logits:
        own = found.numbers(layer)
        chosen = torch.randperm(len(own), generator=generator)[: max(len(own) // 3, 1)].sort().values
        expected: dict[tuple[str, bool], set[int]] = {}
        prune = graph.get_pruner_of_module(layers[layer].module).prune_out_channels
        for dependency, channels in graph.get_pruning_group(layers[layer].module, prune, chosen.tolist()):
            reader = names.get(dependency.target.module)
            if reader in layers or reader in found.norms:
                inwards = dependency.handler.__name__ == "prune_in_channels"
                expected.setdefault((reader, inwards), set()).update(channels)

        assert removed_with(found, layers, found.together[own[chosen]]) == expected


def removed_with(
    found: ChannelMap, layers: dict[str, Layer], groups: torch.Tensor
) -> dict[tuple[str, bool], set[int]]:
    """Return what goes with some groups: (layer or batch norm, whether it is inputs) to the numbers."""
    gone = torch.isin(found.together, groups)
    removed = {}
    for name, layer in layers.items():
        removed[name, False] = gone[found.numbers(name)]
        if layer.groups == 1:  # the inputs of a depthwise convolution are its outputs
            reads = found.reads[name]
            removed[name, True] = (reads >= 0) & gone[reads]
    removed |= {(name, False): gone[numbers] for name, numbers in found.norms.items()}
    return {key: set(where.nonzero().flatten().tolist()) for key, where in removed.items() if where.any()}


def test_networks_whose_channels_go_through_layer_norms_keep_them_but_in_their_mlps() -> None:
    network = open_network("torchvision/convnext_tiny", preprocess=Preprocess(crop=64))

    found = map_channels(network)

    hidden = {name for name in found.first if name.endswith("block.3")}
    assert len(hidden) == 18
    assert set(found.first) - set(found.fixed) == hidden | {"classifier.2"}
    assert "normalised over its channels by features.0.1" in found.fixed["features.0.0"]


@pytest.mark.parametrize(("name", "crop"), [("googlenet", 64), ("inception_v3", 299)])
def test_auxiliary_heads_are_followed_on_request(name: str, crop: int) -> None:
    options = {"aux_logits": True, "init_weights": False}
    network = open_network(f"torchvision/{name}", options=options, preprocess=Preprocess(crop=crop))
    modules = {name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}

    usual, followed = map_channels(network), map_channels(network, auxiliary=True)

    heads = set(followed.first) - set(usual.first)
    assert set(followed.first) == modules
    assert heads == {name for name in modules if name.lower().startswith("aux")}
    assert all((followed.reads[head] >= 0).all() for head in heads)
    assert followed.logits - usual.logits <= heads
    assert not followed.fixed
    assert not network.training


def test_auxiliary_heads_that_do_not_fit_the_image() -> None:
    options = {"aux_logits": True, "init_weights": False}
    network = open_network("torchvision/inception_v3", options=options, preprocess=Preprocess(crop=128))

    with pytest.raises(PrunescopeError, match="auxiliary heads, which only training uses, do not take"):
        map_channels(network, auxiliary=True)


def test_a_network_that_cannot_be_followed_ties_every_layer_and_says_so() -> None:
    class OwnArithmetic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    network = Residual()
    network.relu = OwnArithmetic()

    found = map_channels(carry(network))

    assert set(found.fixed) == {"stem", "a", "b", "after", "fc"}
    assert all("cannot be followed" in reason for reason in found.fixed.values())
    assert "in relu)" in found.fixed["a"]
    assert found.logits == {"fc"}


def state(network: nn.Module) -> list[tuple[bool, bool, int]]:
    return [
        ("forward" in module.__dict__, module.training, len(module._forward_hooks))
        for module in network.modules()
    ]


def test_the_network_is_given_back_as_it_was() -> None:
    network = TOYS["concat"].network().train()
    network.norm.eval()
    before, weights = state(network), {k: v.clone() for k, v in network.state_dict().items()}
    random = torch.get_rng_state()

    map_channels(network)

    assert state(network) == before
    assert all(torch.equal(weights[k], v) for k, v in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_network_is_given_back_when_its_forward_fails() -> None:
    class Fails(Residual):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.a(self.stem(x))
            raise OSError("no more")

    network = carry(Residual()).train()
    layers = find_layers(network)
    network.__class__ = Fails
    before = state(network)

    with pytest.raises(OSError, match="no more"):
        map_channels(network, layers)

    assert state(network) == before


def test_a_forward_that_the_user_put_on_a_module_survives() -> None:
    module = nn.Linear(2, 2)
    mine = module.forward = lambda x: x + 1  # type: ignore[method-assign]

    with replaced_forward({module: lambda x: x - 1}):
        assert module(torch.zeros(1)) == -1

    assert module.forward is mine
