from __future__ import annotations

import copy
import functools
import re
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from oracles.channels import (
    SIDE,
    TOYS,
    AddedToConcat,
    Between,
    ChannelsLast,
    Concat,
    Depthwise,
    Gate,
    Halves,
    Residual,
    Rewound,
    Twice,
    carry,
)
from oracles.compaction import (
    difference,
    masked,
    outputs,
    random_connections,
    random_filters,
    some_images,
    unsettle,
)
from prunescope.errors import PrunescopeError
from prunescope.networks.channels import ChannelMap, map_channels
from prunescope.networks.layers import Layer, find_layers
from prunescope.networks.shapes import GatheredConv2d, GatheredLinear

RATES = [0.1, 0.3, 0.5, 0.7, 0.9]
QUICK = {"init_weights": False}
NETWORKS = {
    "googlenet": QUICK,
    "resnet18": {},
    "resnet50": {},
    "vgg16_bn": QUICK,
    "squeezenet1_1": {},
    "densenet121": {},
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "efficientnet_b0": {},
    "inception_v3": {"aux_logits": False, **QUICK},
}
SIDES = {"inception_v3": 96}  # of the images; all others: 40


@functools.cache
def opened(name: str) -> nn.Module:
    """One instance per architecture, which no test changes."""
    network = ps.open_network(
        f"torchvision/{name}",
        classes=10,
        options=NETWORKS[name],
        preprocess=ps.Preprocess(crop=SIDES.get(name, 40)),
    )
    if name == "vgg16_bn":  # 120 million weights that add nothing but time
        network.classifier[0], network.classifier[3] = nn.Linear(25088, 40), nn.Linear(40, 30)
        network.classifier[6] = nn.Linear(30, 10)
    return unsettle(network)


@pytest.fixture
def toy() -> nn.Module:
    return TOYS["concat"].network()


def weights(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@functools.cache
def mapped(name: str) -> tuple[dict[str, Layer], ChannelMap]:
    layers = find_layers(opened(name))
    return layers, map_channels(opened(name), layers)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("granularity", ["filter", "connection"])
@pytest.mark.parametrize("name", NETWORKS)
def test_compact_is_masked(name: str, granularity: str, rate: float) -> None:
    """In float64, to 1e-12 of the largest logit, with nothing left of what the mask removed."""
    network, (layers, channels) = opened(name), mapped(name)
    by_filter = granularity == "filter"
    seed = round(rate * 10)
    mask = (
        random_filters(network, channels, rate, seed) if by_filter else random_connections(layers, rate, seed)
    )

    small = ps.compact(network, mask)

    for key, keep in mask.keep.items():
        if keep.ndim > 1:
            assert small.get_parameter(key).shape[0 if by_filter else 1] <= int(keep.sum())
    assert weights(small) < weights(network)
    assert not (by_filter and any(key.endswith(".inputs") for key in small.state_dict()))
    image = some_images(SIDES.get(name, 40))
    assert difference(outputs(small, image), outputs(masked(network, mask), image)) < 1e-12


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_googlenet_trains_on_as_the_masked_one_would(granularity: str) -> None:
    """In train mode, with batch statistics: logits, and both auxiliary heads, which compaction has followed."""
    network, (layers, channels) = opened("googlenet"), mapped("googlenet")
    mask = random_filters(network, channels, 0.5, 3)
    if granularity == "connection":
        mask = random_connections(layers, 0.5, 3)

    small = ps.compact(network, mask)

    found = outputs(small, some_images(64, 3), training=True)
    assert len(found) == 3
    assert difference(found, outputs(masked(network, mask), some_images(64, 3), training=True)) < 1e-9
    if granularity == "filter":
        assert small.aux1.conv.conv.in_channels < network.aux1.conv.conv.in_channels


def test_the_auxiliary_head_of_inception() -> None:
    """It needs 299 pixels; where it cannot run, it cannot be followed."""
    network = ps.open_network("torchvision/inception_v3", classes=5, options=QUICK)
    mask = ps.prune(unsettle(network), "filter", rate=0.9)

    small = ps.compact(network, mask)

    found = outputs(small, some_images(299), heads=True)
    assert len(found) == 2
    assert difference(found, outputs(masked(network, mask), some_images(299), heads=True)) < 1e-12
    assert small.AuxLogits.conv0.conv.in_channels < network.AuxLogits.conv0.conv.in_channels
    with pytest.raises(
        PrunescopeError, match=r"auxiliary heads, .* do not take an image of shape \(1, 3, 96, 96\)"
    ):
        ps.compact(network, mask, torch.zeros(1, 3, 96, 96))


SMALL = ["concat", "residual", "depthwise", "gate", "flatten", "twice", "sprig"]


@functools.cache
def small_network(name: str) -> nn.Module:
    return unsettle(
        ps.open_network("prunescope/sprig", classes=4) if name == "sprig" else TOYS[name].network()
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    name=st.sampled_from(["concat", "residual", "depthwise", "gate", "flatten", "twice"]),
    granularity=st.sampled_from(["filter", "connection"]),
    rate=st.floats(0, 0.99),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_whatever_is_removed_from_small_networks(
    name: str, granularity: str, rate: float, seed: int, data: st.DataObject
) -> None:
    """With layers spared, of those that `prune` allows."""
    network = small_network(name)
    layers, channels = find_layers(network), map_channels(network)
    allowed = {
        pool
        for pool in channels.partners()
        if all(
            (granularity == "connection" and layers[n].groups == 1)
            or (granularity == "filter" and n not in channels.fixed and n not in channels.logits)
            for n in pool
        )
    }
    pools = data.draw(st.sets(st.sampled_from(sorted(allowed)), min_size=1))
    chosen = [name for name in layers if any(name in pool for pool in pools)]
    mask = ps.prune(network, granularity, by="random", rate=rate, layers=chosen, seed=seed)

    small = ps.compact(network, mask)

    image = some_images(SIDE)
    assert difference(outputs(small, image), outputs(masked(network, mask), image)) < 1e-12
    for layer in layers:
        kept = mask.keep.get(f"{layer}.weight")
        if kept is not None and granularity == "filter":
            assert set(ps.dense_units(small, layer)) <= set(kept.flatten().nonzero().squeeze(1).tolist())


@pytest.mark.parametrize("granularity", ["filter", "connection"])
@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small"])
def test_every_channel_is_that_channel_of_the_dense_network(name: str, granularity: str) -> None:
    network, (layers, channels) = opened(name), mapped(name)
    mask = random_filters(network, channels, 0.5, 1)
    if granularity == "connection":
        mask = random_connections(layers, 0.5, 1)

    small = ps.compact(network, mask)

    one, other = layer_outputs(small, layers), layer_outputs(masked(network, mask), layers)
    for layer, output in other.items():
        units = ps.dense_units(small, layer)
        expected = output[:, units]
        assert units == sorted(set(units))
        assert one[layer].shape == expected.shape
        assert torch.allclose(one[layer], expected, rtol=0, atol=1e-12 * float(output.abs().max()))


def layer_outputs(network: nn.Module, names: dict[str, Layer]) -> dict[str, torch.Tensor]:
    found = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: found.update({name: output.clone()})
        )
    outputs(network, some_images(64))
    return found


@pytest.mark.parametrize("granularity", ["filter", "connection"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_its_arithmetic_is_what_count_calls_effective(name: str, granularity: str) -> None:
    """`count` finds what is unreachable in another way: with a probe that flows through the network.

    Where a sum is read by some layers and not by others, its channels stay, and compute what nobody reads.
    """
    network, (layers, channels) = opened(name), mapped(name)
    mask = random_filters(network, channels, 0.6, 2)
    if granularity == "connection":
        mask = random_connections(layers, 0.6, 2)

    small = ps.compact(network, mask)

    effective = {n: c.macs_effective for n, c in ps.count(masked(network, mask)).layers.items()}
    assert {n: c.macs_effective for n, c in ps.count(small).layers.items()} == effective
    if granularity == "filter" or name == "squeezenet1_1":
        assert {n: layer.macs for n, layer in find_layers(small).items()} == effective


class Chain(nn.Module):
    """`a` is read by `b` and `c` side by side, `b` by `d`."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 5, 1), nn.Conv2d(6, 3, 1)
        self.d = nn.Conv2d(5, 2, 3)
        self.fc = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.a(x))
        return self.fc(torch.cat([self.d(torch.relu(self.b(x))).mean((2, 3)), self.c(x).mean((2, 3))], 1))


def keep(size: int, *removed: int, connection: bool = False) -> torch.Tensor:
    kept = torch.ones(size, dtype=torch.bool)
    kept[list(removed)] = False
    return kept.view(1, -1, 1, 1) if connection else kept.view(-1, 1, 1, 1)


def test_connections_take_along_the_filters_that_only_they_read() -> None:
    """`d` does not read 0 and 1 of `b`, so they go; then what only they read of `a`; `b` and `c` gather the rest."""
    network = unsettle(carry(Chain()))
    with torch.no_grad():
        network.b.weight[2:, 4] = 0
    mask = ps.Mask(
        {
            "d.weight": keep(5, 0, 1, connection=True),
            "b.weight": keep(6, 0, connection=True),
            "c.weight": keep(6, 0, 1, 4, connection=True),
        },
        "connection",
    )

    small = ps.compact(network, mask)

    assert ps.dense_units(small, "b") == [2, 3, 4]
    assert ps.dense_units(small, "a") == [1, 2, 3, 5]
    assert type(small.b) is nn.Conv2d
    assert type(small.d) is nn.Conv2d
    assert type(small.c) is GatheredConv2d
    assert small.c.inputs.tolist() == [1, 2, 3]
    assert small.c.weight.shape == (3, 3, 1, 1)
    assert difference(outputs(small, some_images(8)), outputs(masked(network, mask), some_images(8))) < 1e-12


def test_what_reads_nothing_any_more_keeps_one_input() -> None:
    network = unsettle(carry(Chain()))
    mask = ps.Mask({"c.weight": keep(6, *range(6), connection=True)}, "connection")

    small = ps.compact(network, mask)

    assert small.c.weight.shape == (3, 1, 1, 1)
    assert not small.c.weight.any()
    assert small.b.weight.shape == (5, 6, 1, 1)
    assert difference(outputs(small, some_images(8)), outputs(masked(network, mask), some_images(8))) < 1e-12


def test_for_a_mask_of_filters_nothing_is_gathered() -> None:
    """`c` happens not to read filter 1 of `a`, which `b` reads."""
    network = unsettle(carry(Chain()))
    with torch.no_grad():
        network.c.weight[:, 1] = 0
    mask = ps.Mask({"a.weight": keep(6, 0), "a.bias": keep(6, 0).flatten()}, "filter")

    small = ps.compact(network, mask)

    assert type(small.c) is nn.Conv2d
    assert small.c.in_channels == 5
    mask.apply(network)
    assert ps.compact(network).c.inputs.tolist() == [1, 2, 3, 4]


def test_filters_that_read_only_removed_ones_go_with_them() -> None:
    """Filter 1 of `b` reads only filters 0 and 1 of `a`, and has no bias; `d` reads it, but hears nothing."""
    network = unsettle(carry(Chain()))
    with torch.no_grad():
        network.b.weight[1, 2:] = 0
        network.b.bias[1] = 0
    mask = ps.Mask({"a.weight": keep(6, 0, 1), "a.bias": keep(6, 0, 1).flatten()}, "filter")

    small = ps.compact(network, mask)

    assert ps.dense_units(small, "a") == [2, 3, 4, 5]
    assert ps.dense_units(small, "b") == [0, 2, 3, 4]
    assert ps.dense_units(small, "fc") == [0, 1, 2, 3]


def test_without_a_mask_whatever_is_zero_leaves() -> None:
    network, (layers, channels) = opened("mobilenet_v3_small"), mapped("mobilenet_v3_small")
    for mask in (random_filters(network, channels, 0.5, 4), random_connections(layers, 0.5, 4)):
        zeros = masked(network, mask)
        assert shapes(ps.compact(zeros)) == shapes(ps.compact(network, mask))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_a_dense_network_stays_as_it_is(toy: nn.Module) -> None:
    small = ps.compact(toy)

    assert small is not toy
    assert all(torch.equal(tensor, toy.state_dict()[name]) for name, tensor in small.state_dict().items())
    assert small.origin == toy.origin
    assert ps.dense_units(small, "a") == [0, 1, 2, 3]


def test_every_layer_keeps_a_channel() -> None:
    network = TOYS["concat"].network()
    rows = {"a": 4, "b": 2, "c": 3, "d": 3}
    nothing = {f"{name}.weight": keep(size, *range(size)) for name, size in rows.items()}
    nothing |= {f"{name}.bias": keep(size, *range(size)).flatten() for name, size in (("b", 2), ("d", 3))}
    for name, size in (("norm_a", 4), ("norm", 5)):
        nothing |= {f"{name}.{part}": keep(size, *range(size)).flatten() for part in ("weight", "bias")}
    mask = ps.Mask(nothing, "filter")

    small = ps.compact(network, mask)

    assert [len(ps.dense_units(small, name)) for name in "abcd"] == [1, 1, 1, 1]
    assert outputs(small, some_images(8))[0].tolist() == network.fc.bias.double()[None].tolist()
    unread = ps.Mask({"fc.weight": torch.zeros(1, 3, dtype=torch.bool)}, "connection")
    small = ps.compact(network, unread)
    assert [len(ps.dense_units(small, name)) for name in "abcd"] == [1, 1, 1, 1]
    assert outputs(small, some_images(8))[0].tolist() == network.fc.bias.double()[None].tolist()


@pytest.mark.parametrize("first", ["filter", "connection"])
@pytest.mark.parametrize("second", ["filter", "connection"])
def test_a_compact_network_is_pruned_and_compacted_again(first: str, second: str) -> None:
    """Its units are those of the dense network still, and its gathers become smaller."""
    network = small_network("sprig")
    small = ps.compact(network, ps.prune(network, first, by="random", rate=0.4, seed=1))
    mask = ps.prune(small, second, by="random", rate=0.5, seed=2)

    smaller = ps.compact(small, mask)

    image = some_images(64)
    inner = ps.compact(small, mask).origin.units
    assert inner == smaller.origin.units
    for name in find_layers(network):
        units, before = ps.dense_units(smaller, name), ps.dense_units(small, name)
        assert set(units) <= set(before)
        kept = mask.keep.get(f"{name}.weight")
        if second == "filter" and kept is not None:
            assert units == [unit for unit, k in zip(before, kept.flatten().tolist(), strict=True) if k]
    assert weights(smaller) < weights(small) < weights(network)
    assert difference(outputs(smaller, image), outputs(masked(small, mask), image)) < 1e-12


def test_the_network_is_not_changed_and_the_copy_is_as_it_was() -> None:
    network = copy.deepcopy(small_network("sprig")).train().to(memory_format=torch.channels_last)
    network.inception3a.eval()
    network.conv2.conv.weight.requires_grad_(False)
    network.inception4a.branch2[0].requires_grad_(False)
    network.conv1.half()
    hook = network.conv1.conv.register_forward_hook(lambda *_: None)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    mask = ps.prune(small_network("sprig"), "filter", rate=0.5)

    small = ps.compact(network.float(), mask)

    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    for copied in (network, small):
        assert [module.training for module in copied.modules()] == modes
        assert list(copied.conv1.conv._forward_hooks) == [hook.id]
        frozen = [name for name, parameter in copied.named_parameters() if not parameter.requires_grad]
        assert frozen == ["conv2.conv.weight"] + [
            f"inception4a.branch2.0.{n}" for n in ("conv.weight", "bn.weight", "bn.bias")
        ]
        assert copied.conv1.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert small.preprocess == network.preprocess
    assert small.conv1.conv.out_channels == small.conv1.bn.num_features == 8


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_type_is_kept_to_the_bit(toy: nn.Module, dtype: torch.dtype) -> None:
    toy = toy.to(dtype)
    mask = ps.prune(toy, "filter", rate=0.5)

    small = ps.compact(toy, mask)

    assert {tensor.dtype for tensor in small.state_dict().values() if tensor.ndim} == {dtype}
    units, inputs = ps.dense_units(small, "d"), ps.dense_units(small, "b")
    assert torch.equal(small.d.weight[:, : len(inputs)], toy.d.weight[units][:, inputs])


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_it_trains_on(granularity: str) -> None:
    network = small_network("sprig")
    small = ps.compact(network, ps.prune(network, granularity, rate=0.5)).train()
    optimizer = torch.optim.SGD(small.parameters(), lr=0.1, momentum=0.9)
    before = {name: parameter.clone() for name, parameter in small.named_parameters()}
    for _ in range(2):
        optimizer.zero_grad()
        small(some_images(64, 4).float()).square().mean().backward()
        optimizer.step()

    assert [
        name for name, parameter in small.named_parameters() if torch.equal(parameter, before[name])
    ] == []


def test_without_preprocessing_an_example_says_the_size(toy: nn.Module) -> None:
    mask = ps.prune(toy, "filter", rate=0.5)
    plain = Concat().eval()
    plain.load_state_dict(toy.state_dict())
    with pytest.raises(PrunescopeError, match="carries no preprocessing"):
        ps.compact(plain, mask)

    small = ps.compact(plain, mask, torch.zeros(4, 3, 8, 8))

    assert difference(outputs(small, some_images(8)), outputs(masked(toy, mask), some_images(8))) < 1e-12
    assert ps.dense_units(small, "a") == mask.keep["a.weight"].flatten().nonzero().squeeze(1).tolist()
    again = ps.compact(small, ps.prune(carry(small), "filter", rate=0.5))
    assert set(ps.dense_units(again, "a")) < set(ps.dense_units(small, "a"))


@pytest.mark.parametrize("build", [Halves, Rewound, AddedToConcat])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("rate", [0.5, 0.99])
def test_channels_that_are_tied_in_part(build: type[nn.Module], scope: Any, rate: float) -> None:
    """Within one layer, from one call to the next, or with parts of another: each layer keeps one of its own."""
    network = unsettle(carry(build()))
    spare = ["b"] if build is Halves else []
    mask = ps.prune(network, "filter", rate=rate, scope=scope, spare=spare)

    small = ps.compact(network, mask)

    assert all(kept.any() for kept in mask.keep.values())
    assert difference(outputs(small, some_images(8)), outputs(masked(network, mask), some_images(8))) < 1e-12


# What is refused.


def test_a_filter_that_still_emits_a_constant_is_named(toy: nn.Module) -> None:
    mask = ps.prune(toy, "filter", rate=0.5, norm="keep")
    with pytest.raises(PrunescopeError) as caught:
        ps.compact(toy, mask)
    assert re.search(
        r"a: 2 filters \(first: \d\): it emits a constant: its batch norm norm_a still shifts it .*norm: remove",
        str(caught.value),
    )
    assert re.search(
        r"\n  d: 2 filters \(first: \d\): it emits a constant: its bias is not 0", str(caught.value)
    )
    mask.apply(toy)
    with pytest.raises(PrunescopeError, match="norm_a still shifts it"):
        ps.compact(toy)


@pytest.mark.parametrize(
    ("build", "mask", "said"),
    [
        (Residual, {"b": (1,)}, "b: filter 1: it goes together with filter 1 of stem, which is not 0"),
        (Depthwise, {"grouped": (0,)}, "grouped: filter 0: a grouped convolution"),
        (
            lambda: Between(ChannelsLast()),
            {"a": (0,)},
            "a: filter 0: normalised over its channels by between.norm",
        ),
        (
            lambda: Between(nn.Softplus()),
            {"a": (2, 3)},
            r"a: 2 filters \(first: 2\): turned into other than 0 on",
        ),
        (Gate, {"expand": (1,)}, "expand: filter 1: it goes together with filter 1 of a, which is not 0"),
        (Concat, {"fc": (1,)}, "fc: filter 1: a class of the logits"),
    ],
    ids=["residual", "grouped", "layer norm", "softplus", "gate", "logits"],
)
def test_what_cannot_leave_is_named(
    build: type[nn.Module], mask: dict[str, tuple[int, ...]], said: str
) -> None:
    network = carry(build())
    keeps = {}
    for name, removed in mask.items():
        layer = network.get_submodule(name)
        kept = keep(len(layer.weight), *removed)
        keeps |= {f"{name}.weight": kept.view(-1, *[1] * (layer.weight.ndim - 1))}
        keeps |= {f"{name}.bias": kept.flatten()} if layer.bias is not None else {}
    with pytest.raises(PrunescopeError, match=f"what was removed cannot be taken out exactly:\n  {said}"):
        ps.compact(network, ps.Mask(keeps, "filter"))


def test_a_gate_need_not_be_closed_where_nothing_comes() -> None:
    network = unsettle(carry(Gate()))
    mask = ps.Mask({"a.weight": keep(4, 1), "a.bias": keep(4, 1).flatten()}, "filter")

    small = ps.compact(network, mask)

    assert [ps.dense_units(small, name) for name in ("a", "expand")] == [[0, 2, 3], [0, 2, 3]]
    assert difference(outputs(small, some_images(8)), outputs(masked(network, mask), some_images(8))) < 1e-12


def test_only_a_few_of_many_layers_are_listed() -> None:
    mask = ps.prune(small_network("sprig"), "filter", rate=0.5, norm="keep")
    with pytest.raises(PrunescopeError, match=r"(\n  .*){5}\n  and \d+ layers more$"):
        ps.compact(small_network("sprig"), mask)


def test_masks_that_leave_nothing_to_take_out_or_are_for_another_network(toy: nn.Module) -> None:
    with pytest.raises(PrunescopeError, match=r"by weight leaves no channel to take out.*pack=True"):
        ps.compact(toy, ps.prune(toy, "weight", rate=0.5))
    with pytest.raises(PrunescopeError, match="the mask is for another network"):
        ps.compact(toy, ps.prune(small_network("sprig"), "filter", rate=0.5))
    other = ps.prune(carry(Concat(a=5)), "filter", rate=0.5)
    with pytest.raises(PrunescopeError, match="the mask is for another network"):
        ps.compact(toy, other)


def test_a_mask_that_is_not_by_what_it_says(toy: nn.Module) -> None:
    weights = ps.prune(toy, "weight", rate=0.5, layers=["b"])
    with pytest.raises(
        PrunescopeError,
        match=r"mask of b\.weight is \(2, 4, 1, 1\), expected \(2, 1, 1, 1\) of one by filter",
    ):
        ps.compact(toy, ps.Mask(weights.keep, "filter"))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 4, 8, 8), (3,)])
def test_an_example_that_the_network_does_not_take(toy: nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(PrunescopeError, match=r"does not take an image of shape .*give an example"):
        ps.compact(toy, None, torch.zeros(shape))


def test_attached_masks_have_to_be_made_permanent(toy: nn.Module) -> None:
    torch_prune.ln_structured(toy.a, "weight", 0.5, 1, 0)
    with pytest.raises(
        PrunescopeError, match=r"a carries a mask of torch.nn.utils.prune: make it permanent first"
    ):
        ps.compact(toy)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_refused(toy: nn.Module, value: float) -> None:
    with torch.no_grad():
        toy.c.weight[0, 0, 0, 0] = value
    with pytest.raises(PrunescopeError, match=r"c\.weight holds NaN or infinite values"):
        ps.compact(toy)


def test_shared_and_computed_weights_are_refused_where_they_would_change() -> None:
    shared = carry(Twice())
    shared.again = nn.Conv2d(4, 2, 3, padding=1)
    shared.again.weight = shared.shared.weight
    inputs = ps.Mask({"shared.weight": keep(4, 1, connection=True)}, "connection")
    with pytest.raises(
        PrunescopeError, match="shared shares its weight with again, and cannot be made smaller"
    ):
        ps.compact(shared, inputs)

    computed = carry(Concat())
    parametrizations.weight_norm(computed.b)
    mask = ps.prune(carry(Concat()), "filter", rate=0.5, layers=["a"])
    with pytest.raises(
        PrunescopeError, match=r"b: its weight is computed from others .*remove_parametrizations"
    ):
        ps.compact(computed, mask)
    only_d = ps.prune(carry(Concat()), "filter", rate=0.5, layers=["d"])
    assert ps.dense_units(ps.compact(computed, only_d), "d") != [0, 1, 2]


def test_code_that_relies_on_numbers_of_channels_is_found_out() -> None:
    """A channel shuffle in two groups of four: with one channel less it does not run, with two it mixes them up."""
    network = TOYS["shuffle"].network()

    def compacted(a: int, b: int) -> nn.Module:
        keeps = {"a.weight": keep(4, *range(a)), "a.bias": keep(4, *range(a)).flatten()}
        keeps |= {"b.weight": keep(4, *range(b)), "b.bias": keep(4, *range(b)).flatten()}
        return ps.compact(network, ps.Mask(keeps, "filter"))

    with pytest.raises(
        PrunescopeError, match=r"does not run \(.*\): the code of Shuffle relies on numbers of channels"
    ):
        compacted(1, 0)


class OwnArithmetic(Residual):
    """Uses a weight by itself, so that no channel can be followed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.conv2d(x, self.stem.weight[:3, :, 1:2, 1:2]))


def test_a_network_that_cannot_be_followed() -> None:
    """Filters cannot leave it; connections can, since each layer gathers by itself."""
    network = unsettle(carry(OwnArithmetic()))
    filters = ps.Mask({"a.weight": keep(5, 1)}, "filter")
    with pytest.raises(
        PrunescopeError, match=r"a: filter 1: its channels cannot be followed through this network"
    ):
        ps.compact(network, filters)

    mask = ps.Mask({"b.weight": keep(5, 1, 2, connection=True)}, "connection")
    small = ps.compact(network, mask)

    assert small.b.weight.shape == (4, 3, 3, 3)
    assert difference(outputs(small, some_images(8)), outputs(masked(network, mask), some_images(8))) < 1e-12


def test_a_difference_is_traced_to_the_layer_where_it_begins(toy: nn.Module) -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / x.shape[1]

    network = TOYS["concat"].network()
    network.norm_a = nn.Sequential(network.norm_a, Counts())
    mask = ps.Mask({"a.weight": keep(4, 1)}, "filter")
    network.norm_a[0].weight.data[1] = network.norm_a[0].bias.data[1] = 0
    with pytest.raises(PrunescopeError, match="computes something else than the masked one, from 'b' on"):
        ps.compact(network, mask)


def test_a_convolution_of_ones_own_does_not_gather(toy: nn.Module) -> None:
    class Own(nn.Conv2d):
        pass

    toy.d.__class__ = Own
    mask = ps.prune(toy, "connection", rate=0.5, layers=["d"])
    with torch.no_grad():
        toy.b.weight[0] = 0  # and yet it stays: nothing was removed there
    small = ps.compact(toy, mask)  # what d does not read, nobody reads

    assert type(small.d) is Own
    other = ps.Mask({"c.weight": keep(4, 1, connection=True)}, "connection")
    toy.c.__class__ = Own
    with pytest.raises(PrunescopeError, match="c: 1 inputs: a Own cannot gather"):
        ps.compact(toy, other)


def test_a_layer_that_no_forward_pass_uses(toy: nn.Module) -> None:
    toy.spare = nn.Conv2d(3, 4, 1)
    with pytest.raises(PrunescopeError, match=r"spare cannot be made smaller: .* does not use it"):
        ps.compact(toy, ps.Mask({"spare.weight": keep(4, 1)}, "filter"))


def test_linear_layers_gather_too() -> None:
    network = small_network("flatten")
    kept = torch.ones(1, 12, dtype=torch.bool)
    kept[0, [0, 5, 7]] = False

    small = ps.compact(network, ps.Mask({"head.1.weight": kept}, "connection"))

    assert isinstance(small.head[1], GatheredLinear)
    assert small.head[1].inputs.tolist() == [1, 2, 3, 4, 6, 8, 9, 10, 11]


class CountsOnFour(nn.Module):
    """Its code says how many channels there are: the first four of eight go one way."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = torch.relu(self.a(x)).split([4, 4], 1)
        return self.fc(torch.cat([self.b(one), self.c(other)], 1).mean((2, 3)))


def test_layers_gather_where_code_counts_on_numbers_of_channels() -> None:
    network = unsettle(carry(CountsOnFour()))
    mask = ps.prune(network, "connection", rate=0.5, layers=["b", "c"])

    small = ps.compact(network, mask)

    assert (small.a.out_channels, small.b.in_channels, small.c.in_channels) == (8, 2, 2)
    assert (
        difference(outputs(small, some_images(SIDE)), outputs(masked(network, mask), some_images(SIDE)))
        < 1e-12
    )
    with pytest.raises(PrunescopeError, match="the smaller network does not run"):
        ps.compact(network, ps.prune(network, "filter", rate=0.5, layers=["a"]))


def test_connections_of_shufflenet() -> None:
    network = ps.open_network("torchvision/shufflenet_v2_x0_5", classes=10, preprocess=ps.Preprocess(crop=40))
    grouped = [name for name, layer in find_layers(network).items() if layer.groups > 1]
    mask = ps.prune(unsettle(network), "connection", rate=0.6, spare=grouped)

    small = ps.compact(network, mask)

    assert weights(small) < 0.8 * weights(network)
    assert (
        difference(outputs(small, some_images(40)), outputs(masked(network, mask), some_images(40))) < 1e-12
    )
