"""What was pruned, recognised from weights: masks of every kind, chance, rounding, networks of others."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from oracles.slow_zeros import whole_groups, zeros_of_blocks
from prunescope.errors import PrunescopeError
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import find_layers
from prunescope.pruning.leaving import find_leaving
from prunescope.pruning.recognition import COLUMNS, recognise
from prunescope.pruning.zero_patterns import find_pattern

TINY = ps.Preprocess(crop=64)
Weights = dict[str, torch.Tensor]


def weights_of(network: nn.Module) -> Weights:
    return {name: layer.module.weight.detach() for name, layer in find_layers(network).items()}


def masked(weights: Weights, mask: ps.Mask) -> Weights:
    keeps = {name: mask.keep.get(f"{name}.weight", torch.tensor(True)) for name in weights}
    return {name: weight * keeps[name] for name, weight in weights.items()}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def without(weight: torch.Tensor, rate: float, shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    """Remove groups at random; `shape` is that of the groups."""
    return weight * (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) >= rate)


@pytest.fixture(scope="module")
def sprig() -> nn.Module:
    return ps.open_network("prunescope/sprig", "SCENES_V1")


@pytest.fixture(scope="module")
def networks(sprig: nn.Module) -> dict[str, nn.Module]:
    """Networks that no test changes: with 1 x 1 reductions, residuals, depthwise convolutions, linear layers."""
    quick = {"aux_logits": False, "init_weights": False}
    return {
        "sprig": sprig,
        "googlenet": ps.open_network("torchvision/googlenet", options=quick, preprocess=TINY),
        "resnet18": ps.open_network("torchvision/resnet18", preprocess=TINY),
        "mobilenet_v3_small": ps.open_network("torchvision/mobilenet_v3_small", preprocess=TINY),
    }


@pytest.mark.parametrize("granularity", ["weight", "filter", "connection", "kernel"])
@pytest.mark.parametrize(
    ("name", "by", "scope", "rate"),
    [
        *(("sprig", "l1", scope, rate) for scope in ("layer", "global") for rate in (0.2, 0.5, 0.95)),
        *(("sprig", "random", scope, 0.9) for scope in ("layer", "global")),
        ("googlenet", "l2", "global", 0.3),
        ("resnet18", "random", "layer", 0.98),
        ("mobilenet_v3_small", "random", "layer", 0.3),
        ("mobilenet_v3_small", "random", "global", 0.9),
    ],
)
def test_the_granularity_of_a_mask_is_found_from_the_zeros_that_it_leaves(
    networks: dict[str, nn.Module], name: str, by: str, granularity: str, scope: str, rate: float
) -> None:
    network, weights = networks[name], weights_of(networks[name])
    grouped = [name for name, layer in find_layers(network).items() if layer.groups > 1]
    spare = grouped if granularity == "connection" else []
    mask = ps.prune(network, granularity, by=by, scope=scope, rate=rate, spare=spare, seed=3)
    found = recognise(masked(weights, mask), weights)
    gone = {
        layer: int((~mask.keep[f"{layer}.weight"].expand_as(weight)).sum())
        for layer, weight in weights.items()
        if f"{layer}.weight" in mask.keep
    }
    zeros = int(sum((weight == 0).sum() for weight in weights.values())) + sum(gone.values())
    assert found.overall["granularity"] == granularity
    assert found.overall["share"] == pytest.approx(zeros / sum(map(torch.numel, weights.values())), abs=1e-5)
    assert found.overall["gone"] == pytest.approx(found.overall["share"])
    layers = found.layers.set_index("layer")
    clearly = [layer for layer, count in gone.items() if count >= 0.02 * weights[layer].numel()]
    assert set(layers.loc[clearly, "granularity"]) == {granularity}
    untouched = [layer for layer in weights if not gone.get(layer)]
    assert set(layers.loc[untouched, "granularity"]) <= {"none"}
    assert (layers.loc[clearly, "covered"] > 0.95).all()


@pytest.mark.parametrize(
    ("share", "m"), [(0.5, 2), (0.25, 4), (0.5, 4), (0.75, 4), (0.5, 8), (0.125, 8), (0.75, 16), (0.9375, 16)]
)
def test_n_of_every_m_is_found_as_it_was_asked_for(sprig: nn.Module, share: float, m: int) -> None:
    weights = weights_of(sprig)
    mask = ps.prune(sprig, "n:m", rate=share, m=m, spare=["conv1.conv"])
    found = recognise(masked(weights, mask), weights)
    pattern = f"{round((1 - share) * m)}:{m}"
    assert found.overall["granularity"] == pattern
    assert set(found.layers["n_m"]) == {"", pattern}
    assert found.layers.set_index("layer").loc["conv1.conv", "granularity"] == "none"
    layer = masked(weights, mask)["conv2.conv"]
    assert set(zeros_of_blocks(layer[:4], m)) == {round(share * m)}
    assert pattern in found.overall["text"]


def test_n_of_m_along_the_outputs_is_none(sprig: nn.Module) -> None:
    weight = random(64, 64, 1, 1)
    lowest = weight.unflatten(0, (-1, 4)).abs().argsort(1).argsort(1) < 2
    crosswise = weight * ~lowest.flatten(0, 1)
    assert recognise({"a": crosswise.transpose(0, 1)}).overall["granularity"] == "2:4"
    assert recognise({"a": crosswise}).overall["granularity"] == "weight"


def test_more_zeros_than_the_rule_asks_for_are_still_the_rule_if_they_are_few() -> None:
    weight = random(64, 64)
    kept = weight * (weight.unflatten(1, (-1, 4)).abs().argsort(2).argsort(2) >= 2).flatten(1, 2)
    kept[:2] = 0  # two filters
    assert recognise({"fc": kept}).overall["granularity"] == "2:4"


def test_low_kernels_of_one_weight_go_first_over_all_layers_and_are_weights(sprig: nn.Module) -> None:
    found = recognise(masked(weights_of(sprig), ps.prune(sprig, "kernel", scope="global", rate=0.05)))
    pruned = found.layers[found.layers["granularity"] != "none"]
    assert (pruned["zeros"] == pruned["zero_kernels"]).all()  # of 3 x 3 kernels, none is low enough
    assert found.overall["granularity"] == "weight"
    assert any("cannot be told here" in note for note in found.overall["notes"])


def test_whole_kernels_that_are_zero_by_chance_are_no_kernels() -> None:
    weight = without(random(64, 64, 3, 3), 0.9, (64, 64, 3, 3))
    row = recognise({"a": weight}).layers.iloc[0]
    expected = 0.9**9 * 64 * 64
    assert row["zero_kernels"] == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert row["granularity"] == "weight"


def test_a_kernel_of_one_weight_is_a_weight_and_other_layers_decide() -> None:
    small = without(random(32, 16, 1, 1), 0.5, (32, 16, 1, 1))
    alone = recognise({"small": small}).overall
    assert alone["granularity"] == "weight"
    assert any("cannot be told" in note for note in alone["notes"])
    large = without(random(32, 16, 3, 3), 0.5, (32, 16, 1, 1))
    both = recognise({"small": small, "large": large})
    assert both.overall["granularity"] == "kernel"
    assert list(both.layers["granularity"]) == ["kernel", "kernel"]
    assert not any("cannot be told" in note for note in both.overall["notes"])
    linear = recognise({"large": large, "fc": small[:, :, 0, 0]})
    assert list(linear.layers["granularity"]) == ["kernel", "weight"]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([(), (1, 1), (2, 3)]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_counts_are_those_of_a_slow_look_at_each_weight(
    out: int, inputs: int, kernel: tuple[int, ...], rate: float, seed: int
) -> None:
    weight = without(random(out, inputs, *kernel), rate, (out, inputs, *kernel), seed)
    slow, found = whole_groups(weight), find_pattern(weight)
    assert (found.filters, found.connections, found.kernels) == (
        slow["filter"],
        slow["connection"],
        slow["kernel"],
    )
    assert found.zeros == sum(value == 0 for value in weight.flatten().tolist())
    size = weight[0, 0].numel()
    assert found.held["filter"] == slow["filter"] * inputs * size
    assert found.held["connection"] == slow["connection"] * out * size
    inside = [
        weight[o, c].numel()
        for o in range(out)
        for c in range(inputs)
        if not weight[o].any() or not weight[:, c].any()
    ]
    assert found.held["filter and connection"] == sum(inside)


def test_bits_are_log2_of_the_ways_to_choose_the_groups() -> None:
    weight = random(8, 4, 3, 3)
    weight[[1, 5, 6]] = 0
    bits = find_pattern(weight).bits
    assert bits["filter"] == pytest.approx(math.log2(math.comb(288, 108) / math.comb(8, 3)))
    assert bits["kernel"] == pytest.approx(math.log2(math.comb(288, 108) / math.comb(32, 12)))
    assert bits["weight"] == pytest.approx(0)
    assert "connection" not in bits


def test_a_few_zeros_are_none() -> None:
    weights = {"a": random(64, 32, 3, 3), "fc": random(10, 64)}
    weights["a"].view(-1)[torch.randperm(64 * 32 * 9, generator=torch.Generator().manual_seed(0))[:100]] = 0
    found = recognise(weights)
    assert found.overall["granularity"] == "none"
    assert found.overall["zeros"] == 100
    assert found.overall["pruned"] == 0
    assert found.overall["text"].startswith("No sign of pruning: 100 of 19,072 weights are 0")


def test_one_filter_of_many_is_a_filter_though_it_is_few_weights() -> None:
    weights = {"a": random(256, 32, 3, 3)}
    weights["a"][7] = 0
    assert recognise(weights).overall["granularity"] == "filter"


def test_weights_rounded_to_eight_bits_were_not_pruned() -> None:
    weight = random(128, 64, 3, 3)
    step = weight.abs().max() / 127
    rounded = (weight / step).round() * step
    share = (rounded == 0).float().mean().item()
    assert share > 0.01  # as many as pruning would leave
    found = recognise({"a": rounded}).overall
    assert (found["granularity"], found["shared"]) == ("none", True)
    pruned = recognise({"a": without(rounded, 0.5, tuple(rounded.shape))}).overall
    assert (pruned["granularity"], pruned["shared"]) == ("weight", True)


def test_shared_weights_are_counted() -> None:
    book = torch.linspace(-1, 1, 16)  # without 0
    chosen = torch.randint(16, (64, 32, 3, 3), generator=torch.Generator().manual_seed(0))
    found = recognise({"a": without(book[chosen], 0.7, chosen.shape), "b": random(64, 64)})
    assert found.layers["distinct"][0] == 16
    assert pd.isna(found.layers["distinct"][1])
    assert found.overall["shared"]
    assert (
        "Weights are shared: in 1 layer they have only 16 different values other than 0."
        in found.overall["notes"]
    )


def test_a_small_layer_of_different_values_shares_none() -> None:
    found = recognise({"b": random(10, 20)})
    assert found.layers["distinct"].tolist() == [200]
    assert not found.overall["shared"]


def readers_too(network: nn.Module, mask: ps.Mask) -> Weights:
    """Return the weights of a network whose removed channels are not read either."""
    pruned = copy.deepcopy(network)
    mask.apply(pruned)
    layers = find_layers(pruned)
    leaving = find_leaving(pruned, layers, map_channels(pruned, layers))
    weights = weights_of(pruned)
    for name, layer in layers.items():
        if layer.groups == 1:
            weights[name] = weights[name].clone()
            weights[name][:, ~leaving.inputs(name)] = 0
    return weights


@pytest.mark.parametrize("rate", [0.3, 0.9])
@pytest.mark.parametrize("name", ["sprig", "resnet18"])
def test_filters_whose_readers_are_zero_too_are_filters(
    networks: dict[str, nn.Module], name: str, rate: float
) -> None:
    weights = readers_too(networks[name], ps.prune(networks[name], "filter", rate=rate))
    found = recognise(weights)
    assert found.overall["granularity"] == "filter"
    assert set(found.layers["granularity"]) == {"filter", "connection"}
    last = found.layers.iloc[-1]
    assert (last["kind"], last["granularity"], last["zero_filters"]) == ("linear", "connection", 0)
    assert any("beside the filters" in note for note in found.overall["notes"])


def test_a_dead_filter_does_not_make_filters_of_connections() -> None:
    weights = {
        name: without(random(64, 64, 3, 3), 0.6, (1, 64, 1, 1), seed) for seed, name in enumerate("ab")
    }
    weights["a"][3] = 0
    found = recognise(weights).overall
    assert found["granularity"] == "connection"
    assert "A few whole filters are 0 beside the connections." in found["notes"]


@pytest.mark.parametrize(
    ("name", "granularity"), [("sprig", "filter"), ("sprig", "connection"), ("mobilenet_v3_small", "filter")]
)
def test_a_compact_network_lost_channels(networks: dict[str, nn.Module], name: str, granularity: str) -> None:
    network, layers = networks[name], find_layers(networks[name])
    spare = (
        [name for name, layer in layers.items() if layer.groups > 1] if granularity == "connection" else []
    )
    smaller = ps.compact(network, ps.prune(network, granularity, rate=0.6, spare=spare))
    weights, dense = weights_of(smaller), weights_of(network)
    found = recognise(weights, dense)
    assert found.overall["granularity"] == "channels"
    left, before = (sum(map(torch.numel, each.values())) for each in (weights, dense))
    assert found.overall["gone"] == pytest.approx(1 - left / before, abs=1e-5)
    for row in found.layers.itertuples():
        assert (row.filters, row.inputs) == tuple(weights[row.layer].shape[:2])
        assert (row.dense_filters, row.dense_inputs) == tuple(dense[row.layer].shape[:2])
        smaller_here = weights[row.layer].shape != dense[row.layer].shape
        assert row.granularity == ("channels" if smaller_here else "none")
    fewer = [sum(weights[each].shape[i] < dense[each].shape[i] for each in dense) for i in (0, 1)]
    says = f"Filters are fewer than in the dense network in {fewer[0]} layers, inputs in {fewer[1]} layers."
    assert says in found.overall["notes"]
    assert recognise(weights).overall["granularity"] == "none"  # nothing to compare it with


def test_layers_that_gather_have_fewer_inputs_only() -> None:
    dense = {"a": random(8, 8, 3, 3), "fc": random(4, 8)}
    found = recognise({"a": dense["a"][:, :5], "fc": dense["fc"]}, dense).overall
    assert found["granularity"] == "channels"
    assert "Inputs are fewer in 1 layer, filters in none: each gathers" in " ".join(found["notes"])


def test_a_compact_network_pruned_by_weights_is_both(sprig: nn.Module) -> None:
    smaller = ps.compact(sprig, ps.prune(sprig, "filter", rate=0.3))
    found = recognise(masked(weights_of(smaller), ps.prune(smaller, "weight", rate=0.5)), weights_of(sprig))
    assert found.overall["granularity"] == "mixed"
    assert found.overall["gone"] > found.overall["share"] > 0.4
    assert "Channels were taken out, and" in found.overall["text"]


def test_another_number_of_classes_is_no_pruning(sprig: nn.Module) -> None:
    other = ps.open_network("prunescope/sprig", classes=5)
    assert recognise(weights_of(other), weights_of(sprig)).overall["granularity"] == "none"


def test_a_smaller_architecture_with_other_names_lost_no_channels(networks: dict[str, nn.Module]) -> None:
    found = recognise(weights_of(networks["sprig"]), weights_of(networks["resnet18"]))
    assert found.overall["granularity"] == "none"
    assert found.overall["gone"] is None
    assert found.layers["dense_filters"].isna().all()


def test_layers_pruned_in_several_ways_are_mixed() -> None:
    weights = {
        "a": without(random(64, 32, 3, 3), 0.5, (64, 1, 1, 1)),
        "b": without(random(64, 64, 3, 3), 0.5, (64, 64, 1, 1)),
        "fc": without(random(200, 640), 0.5, (200, 640)),
    }
    found = recognise(weights)
    assert list(found.layers["granularity"]) == ["filter", "kernel", "weight"]
    assert found.overall["granularity"] == "mixed"
    assert (
        "The zeros lie as whole filters in a; as whole kernels in b; one by one in fc."
        in found.overall["notes"]
    )


def test_an_exception_is_named_and_does_not_make_a_mixture() -> None:
    weights = {
        "a": without(random(256, 64, 3, 3), 0.5, (256, 1, 1, 1)),
        "fc": without(random(10, 256), 0.5, (10, 256)),
    }
    found = recognise(weights)
    assert found.overall["granularity"] == "filter"
    assert list(found.layers["granularity"]) == ["filter", "weight"]
    assert "The zeros lie one by one in fc." in found.overall["notes"]


def test_layers_of_which_nothing_is_left_are_named() -> None:
    found = recognise({"a": random(8, 3, 3, 3), "b": torch.zeros(8, 8, 3, 3)}).overall
    assert found["dead_layers"] == ["b"]
    assert found["granularity"] == "filter"
    assert not any("beside the filters" in note for note in found["notes"])
    assert any(note.startswith("Every weight is 0 in b") for note in found["notes"])


def test_the_rates_of_layers_are_told_apart(sprig: nn.Module) -> None:
    weights = weights_of(sprig)
    for scope, says in (("layer", "about the same in each"), ("global", "differs from layer to layer")):
        notes = recognise(masked(weights, ps.prune(sprig, "filter", scope=scope, rate=0.5))).overall["notes"]
        assert any(says in note for note in notes)


def test_weights_that_are_nearly_zero_are_mentioned() -> None:
    weight = random(64, 64, 3, 3)
    weight[:16] *= 1e-9
    found = recognise({"a": weight}).overall
    assert found["granularity"] == "none"
    assert any(
        "25.0 % of the weights are not 0, but smaller than a millionth" in note for note in found["notes"]
    )


def test_masks_of_torch_are_recognised() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64, 10))
    for granularity, prune_it in {
        "weight": lambda module: torch_prune.l1_unstructured(module, "weight", 0.4),
        "filter": lambda module: torch_prune.ln_structured(module, "weight", 0.4, n=2, dim=0),
        "connection": lambda module: torch_prune.random_structured(module, "weight", 0.4, dim=1),
    }.items():
        pruned = copy.deepcopy(network)
        for module in (pruned[0], pruned[1]):
            prune_it(module)
        found = recognise({name: pruned[int(name)].weight.detach() for name in "013"})
        assert found.overall["granularity"] == granularity
        assert list(found.layers["granularity"]) == [granularity, granularity, "none"]


@pytest.mark.parametrize("granularity", ["weight", "filter", "kernel", "connection"])
def test_neither_order_nor_layout_nor_precision_changes_what_is_found(
    sprig: nn.Module, granularity: str
) -> None:
    weights = masked(weights_of(sprig), ps.prune(sprig, granularity, rate=0.5))
    generator = torch.Generator().manual_seed(0)
    shuffled = {
        name: weight[torch.randperm(len(weight), generator=generator)] for name, weight in weights.items()
    }
    laid = {
        name: weight.to(memory_format=torch.channels_last) if weight.ndim == 4 else weight.T.contiguous().T
        for name, weight in weights.items()
    }
    halves = {name: weight.half() for name, weight in weights.items()}
    expected = recognise(weights)
    for other in (shuffled, laid, halves):
        found = recognise(other)
        assert found.overall["granularity"] == granularity
        columns = ["layer", "granularity", "zero_filters", "zero_connections", "zero_kernels"]
        pd.testing.assert_frame_equal(found.layers[columns], expected.layers[columns])


def test_the_table_has_its_columns_where_there_is_nothing() -> None:
    found = recognise({})
    assert list(found.layers.columns) == list(COLUMNS)
    assert found.overall["granularity"] == "unknown"
    assert found.overall["share"] is None
    assert "cannot be read" in found.overall["text"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(value: float) -> None:
    weight = random(4, 4)
    weight[1, 2] = value
    with pytest.raises(PrunescopeError, match="fc of the pruned network holds NaN"):
        recognise({"fc": weight}, {"fc": random(4, 4)})
    with pytest.raises(PrunescopeError, match="fc of the dense network holds NaN"):
        recognise({"fc": random(4, 4)}, {"fc": weight})


def test_layers_without_weights_are_no_obstacle() -> None:
    found = recognise({"a": torch.zeros(0, 4), "b": torch.zeros(4, 0, 3, 3), "c": torch.ones(4, 4)})
    assert found.layers["granularity"].tolist() == ["none", "none", "none"]
    assert found.overall["weights"] == 16
    assert found.overall["dead_layers"] == []


def test_other_tensors_are_refused() -> None:
    with pytest.raises(PrunescopeError, match=r"bias of the given network has the shape \(4,\)"):
        recognise({"bias": torch.zeros(4)})


def test_deep_compression_is_recognised(real_data: Path) -> None:
    file = real_data / "weights" / "squeezenet1_0_deep_compression_fp16.safetensors"
    found = recognise(weights_of(ps.open_network("torchvision/squeezenet1_0", file)))
    assert found.overall["granularity"] == "weight"
    assert found.overall["share"] == pytest.approx(0.666, abs=5e-4)
    pruned = found.layers[found.layers["granularity"] != "none"]
    assert len(pruned) == 13
    assert set(pruned["share"].round(1)) == {0.5, 0.7, 0.8}  # as its authors chose
    assert set(found.layers["distinct"]) == {255}
    assert found.overall["shared"]


def test_a_dense_network_in_half_precision_is_not_pruned(real_data: Path) -> None:
    file = real_data / "weights" / "squeezenet1_1_imagenet_fp16.pth"
    found = recognise(weights_of(ps.open_network("torchvision/squeezenet1_1", file))).overall
    assert (found["granularity"], found["shared"]) == ("none", False)
    assert found["zeros"] == 1495
