from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import prunescope as ps
from oracles.channels import SIDE, TOYS, Concat, Stretch, Toy, carry, cut
from oracles.counting import Reached, by_gradient, by_zeroing, silence
from prunescope.networks.layers import find_layers
from prunescope.pruning.counting import Count

TINY = ps.Preprocess(crop=64)


def damage(network: nn.Module, seed: int) -> None:
    """Set filters, connections and single weights of random layers to 0, and channels of batch norms."""
    draw = torch.Generator().manual_seed(seed)

    def some(*shape: int, share: float) -> torch.Tensor:
        return torch.rand(shape, generator=draw) < share

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                weight = module.weight
                filters = some(len(weight), share=0.4)
                weight[filters] = 0
                weight[:, some(weight.shape[1], share=0.3)] = 0
                weight[some(*weight.shape, share=0.2)] = 0
                if module.bias is not None:
                    module.bias[filters & some(len(weight), share=0.8)] = 0
            elif isinstance(module, nn.BatchNorm2d):
                module.weight[some(module.num_features, share=0.3)] = 0
                module.bias[some(module.num_features, share=0.5)] = 0
                module.running_mean[some(module.num_features, share=0.5)] = 0


def assert_counts(count: Count, network: nn.Module, reached: Reached) -> None:
    parameters = dict(network.named_parameters())
    for name, layer in count.layers.items():
        weight, alive = parameters[f"{name}.weight"], reached[f"{name}.weight"]
        assert (name, layer.zeros) == (name, int((weight == 0).sum()))
        assert (name, layer.unreachable) == (name, int((~alive).sum()))
        assert layer.macs_effective == int(alive.sum()) * layer.layer.positions
        assert layer.zeros <= layer.unreachable <= layer.layer.weights
        assert 0 <= layer.units_alive <= layer.units == len(weight)
    used = [name for name in reached if name in parameters]
    assert count.parameters == sum(parameters[name].numel() for name in used)
    assert count.zeros == sum(int((parameters[name] == 0).sum()) for name in used)
    assert count.unreachable == sum(int((~reached[name]).sum()) for name in used)


COUNTED = {name: toy for name, toy in TOYS.items() if name not in {"layer norm", "group norm"}}


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
@pytest.mark.parametrize("toy", COUNTED.values(), ids=list(COUNTED))
def test_every_parameter_that_is_counted_as_unreachable_changes_nothing_and_all_others_do(
    toy: Toy, seed: int | None
) -> None:
    network = toy.network(seed=5)
    if seed is not None:
        damage(network, seed)

    count = ps.count(network)

    reached = by_zeroing(network, SIDE)
    assert_counts(count, network, reached)
    images = torch.randn(5, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    silent = silence(network, reached)  # all of them at once
    with torch.no_grad():
        assert torch.equal(silent(images), copy.deepcopy(network).double()(images))


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("name", ["layer norm", "group norm"])
def test_layers_around_a_normalisation_over_channels(name: str, seed: int | None) -> None:
    """Whose own scale and shift are never pruned: of them, zeros alone count as unreachable."""
    network = TOYS[name].network(seed=5)
    if seed is not None:
        damage(network, seed)

    count = ps.count(network)

    reached = by_zeroing(network, SIDE)
    reached |= {k: v != 0 for k, v in network.named_parameters() if k.startswith("between")}
    assert_counts(count, network, reached)


def test_a_normalisation_over_channels_hides_none_from_a_relu() -> None:
    """At a single position half of what LayerNorm puts out is negative, whatever is put in."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = nn.Sequential(nn.Linear(4, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))

    count = ps.count(carry(nn.Sequential(body, head)))

    assert {name: part.unreachable for name, part in count.layers.items()} == {"0.0": 0, "1.0": 0, "1.3": 0}


def test_a_chain_by_hand() -> None:
    """a -> (b, c) -> d -> fc: filter 0 of `a`, all of `b`, and column 2 of `fc`, which reads filter 2 of `d`."""
    network = carry(Concat(a=4, b=2, c=3, d=3))
    with torch.no_grad():
        for dead in (network.a.weight[0], network.norm_a.weight[0], network.norm_a.bias[0]):
            dead.zero_()
        for dead in (network.b.weight, network.b.bias, network.norm.weight[:2], network.norm.bias[:2]):
            dead.zero_()
        network.norm_a.bias[1:] = 1
        network.fc.weight[:, 2] = 0

    layers = ps.count(network).layers

    zeros = {name: layer.zeros for name, layer in layers.items()}
    unreachable = {name: layer.unreachable for name, layer in layers.items()}
    assert zeros == {"a": 27, "b": 8, "c": 0, "d": 0, "fc": 4}
    # c reads a0: 3 x 9; d reads b: 3 x 2 x 9; its filter 2 feeds nothing: 3 x 9 more
    assert unreachable == {"a": 27, "b": 8, "c": 27, "d": 54 + 27, "fc": 4}
    assert {name: layer.units_alive for name, layer in layers.items()} == {
        "a": 3,
        "b": 0,
        "c": 3,
        "d": 2,
        "fc": 4,
    }
    macs = {"a": 64 * 81, "b": 0, "c": 64 * 81, "d": 54, "fc": 8}
    assert {name: layer.macs_effective for name, layer in layers.items()} == macs


@pytest.mark.parametrize(
    ("name", "granularity", "arguments"),
    [
        ("torchvision/googlenet", "filter", {"rate": 0.5}),
        ("torchvision/googlenet", "connection", {"rate": 0.8, "by": "random"}),
        ("prunescope/sprig", "filter", {"rate": 0.5}),
        ("prunescope/sprig", "filter", {"rate": 0.7, "norm": "keep", "scope": "global"}),
        ("prunescope/sprig", "connection", {"rate": 0.8, "by": "random"}),
        ("prunescope/sprig", "weight", {"rate": 0.99, "scope": "global"}),
    ],
)
def test_pruned_networks_against_their_gradients(
    name: str, granularity: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ReLU, so that no activation happens to be dead, the gradient is 0 only where nothing gets through."""
    options = {"aux_logits": False, "init_weights": False} if name.endswith("googlenet") else {}
    network = ps.open_network(name, options=options, preprocess=TINY)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    ps.prune(network, granularity, **arguments).apply(network)

    count = ps.count(network)

    monkeypatch.setattr(torch, "relu", lambda x: x)
    monkeypatch.setattr(nn.functional, "relu", lambda x, inplace=False: x)
    assert_counts(count, network, by_gradient(network, 64))


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v2", "mobilenet_v3_small", "regnet_y_400mf"])
def test_all_of_a_dense_network_is_reached(name: str) -> None:
    """Also where activations saturate (ReLU6), behind gates, and after long chains of additions."""
    options = {"init_weights": False} if name == "googlenet" else {}
    network = ps.open_network(f"torchvision/{name}", options=options, preprocess=TINY)

    count = ps.count(network)

    assert {n: part.unreachable for n, part in count.layers.items() if part.unreachable} == {}
    assert all(part.macs_effective == part.layer.macs for part in count.layers.values())
    assert all(part.units_alive == part.units for part in count.layers.values())
    heads = sum(p.numel() for n, p in network.named_parameters() if n.startswith("aux"))
    assert count.parameters == sum(p.numel() for p in network.parameters()) - heads


def test_half_of_the_filters_are_71_percent_of_googlenet() -> None:
    options = {"aux_logits": False, "init_weights": False}
    network = ps.open_network("torchvision/googlenet", options=options, preprocess=TINY)
    assert sum(p.numel() for p in network.parameters()) == 6_624_904

    mask = ps.prune(network, "filter", rate=0.5)
    assert len(mask.rates) == 57  # every convolution
    mask.apply(network)
    count = ps.count(network)

    assert count.parameters == 6_624_904
    assert round(count.unreachable / count.parameters, 3) == 0.711
    convolutions = [part for name, part in count.layers.items() if name in mask.rates]
    assert all(part.units_alive == part.units / 2 for part in convolutions)
    # a quarter is left where half of the inputs are gone as well: all but the first
    first, rest = convolutions[0], convolutions[1:]
    assert first.macs_effective == first.layer.macs / 2
    assert sum(p.macs_effective for p in rest) == sum(p.layer.macs for p in rest) / 4


def test_a_filter_removed_is_a_channel_removed() -> None:
    """The masked network computes what one computes that never had those channels; `norm: keep` does not."""
    network = TOYS["concat"].network(seed=1)
    wide = carry(Concat(a=12, b=8, c=10, d=9))
    for name, tensor in wide.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(generator=torch.Generator().manual_seed(len(name))).abs_()
    images = torch.randn(20, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    for original in (network, wide):
        mask = ps.prune(original, "filter", rate=0.4)
        masked = copy.deepcopy(original).double()
        mask.apply(masked)
        small = cut(
            copy.deepcopy(original).double(),
            {name: mask.keep[f"{name}.weight"].flatten() for name in mask.rates},
        ).double()
        half = copy.deepcopy(original).double()
        ps.prune(original, "filter", rate=0.4, norm="keep").apply(half)

        with torch.no_grad():
            logits, expected, other = masked(images), small(images), half(images)
        scale = expected.abs().max()
        assert sum(p.numel() for p in small.parameters()) < 0.6 * sum(p.numel() for p in masked.parameters())
        assert (logits - expected).abs().max() < 1e-12 * scale
        assert (other - expected).abs().max() > 1e-3 * scale


def test_what_a_removed_filter_of_googlenet_holds_does_not_matter() -> None:
    options = {"aux_logits": False, "init_weights": False}
    network = ps.open_network("torchvision/googlenet", options=options, preprocess=TINY)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    mask = ps.prune(network, "filter", rate=0.5)
    mask.apply(network)

    with torch.no_grad():
        logits = network(images)
        for name in mask.rates:
            network.get_submodule(name).weight.masked_fill_(mask.removed(name), 0.7)
        again = network(images)

    assert torch.equal(logits, again)


def test_the_network_is_given_back_as_it_was() -> None:
    network = TOYS["concat"].network().train()
    network.norm.eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    layers = find_layers(network)
    random = torch.get_rng_state()

    ps.count(network)
    network.fc.register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        ps.count(network, layers)

    assert [module.training for module in network.modules()] == modes
    assert not any("forward" in module.__dict__ for module in network.modules())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def fail(*_: object) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_slopes_of_any_type(dtype: torch.dtype) -> None:
    network = carry(Stretch())

    assert ps.count(copy.deepcopy(network).to(dtype)).unreachable == ps.count(network).unreachable
