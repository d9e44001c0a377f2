"""How two networks are related, told from their weights: permutations, roundings and foldings that are known."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import prunescope as ps
from prunescope.auditing.relation import COLUMNS, relate
from prunescope.auditing.reordering import find_order
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.networks.sprig import ConvUnit

Weights = dict[str, torch.Tensor]


def weights_of(network: nn.Module) -> Weights:
    return {name: layer.module.weight.detach().clone() for name, layer in find_layers(network).items()}


def noise(weights: Weights, size: float, seed: int = 0) -> Weights:
    """Add noise, in standard deviations of each layer."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: weight + size * weight.std() * torch.randn(weight.shape, generator=draw)
        for name, weight in weights.items()
    }


def permuted(weights: Weights, seed: int = 0) -> tuple[Weights, dict[str, torch.Tensor]]:
    """Put filters and inputs of every layer in another order; return where each filter went."""
    draw = torch.Generator().manual_seed(seed)
    moved, where = {}, {}
    for name, weight in weights.items():
        order = torch.randperm(len(weight), generator=draw)
        moved[name] = weight[order][:, torch.randperm(weight.shape[1], generator=draw)]
        where[name] = order.argsort()
    return moved, where


def zeroed(weights: Weights, rate: float, seed: int = 0) -> Weights:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: weight * (torch.rand(weight.shape, generator=draw) >= rate) for name, weight in weights.items()
    }


@pytest.fixture(scope="module")
def sprig() -> nn.Module:
    return ps.open_network("prunescope/sprig", "SCENES_V1")


@pytest.fixture(scope="module")
def weights(sprig: nn.Module) -> Weights:
    """Weights of a trained network, no longer those of half precision that its file holds."""
    return noise(weights_of(sprig), 1e-3, seed=7)


def kind(dense: Weights, pruned: Weights) -> str:
    found: str = relate(dense, pruned).overall["kind"]
    return found


HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda w: w, "identical"),
        (lambda w: {name: each.half().float() for name, each in w.items()}, "half precision"),
        (lambda w: {name: each.bfloat16().float() for name, each in w.items()}, "half precision"),
        (lambda w: zeroed(w, 0.5), "masked"),
        (lambda w: {name: each.half().float() for name, each in zeroed(w, 0.9).items()}, "masked"),
        (lambda w: permuted(w)[0], "re-ordered"),
        (lambda w: {name: each.half().float() for name, each in permuted(w)[0].items()}, "re-ordered"),
        (lambda w: {name: each * (-1) ** i * (i + 1) for i, (name, each) in enumerate(w.items())}, "rescaled"),
        (lambda w: noise(w, 0.1), "fine-tuned"),
        (lambda w: zeroed(noise(w, 0.5), 0.9), "fine-tuned"),
        (lambda w: {name: each.half().float() for name, each in noise(w, 1).items()}, "fine-tuned"),
        (lambda w: noise(permuted(w)[0], 1e-3), "unrelated"),
        (lambda w: {name: each.flip(0) for name, each in noise(w, 0.1).items()}, "unrelated"),
        (lambda w: {name: each[: len(each) // 2] for name, each in w.items()}, "compact"),
        (lambda w: dict(itertools.islice(w.items(), 20)) | {"new": torch.ones(3, 3)}, "other architecture"),
        (lambda w: {}, "unknown"),
    ],
)  # fmt: skip
def test_what_was_done_to_a_network_is_found(
    weights: Weights, change: Callable[[Weights], Weights], expected: str
) -> None:
    assert kind(weights, change(weights)) == expected


@pytest.mark.parametrize("precision", list(HALVES))
@pytest.mark.parametrize("which", ["dense", "pruned"])
def test_the_network_that_was_rounded_is_named(weights: Weights, precision: str, which: str) -> None:
    rounded = {name: weight.to(HALVES[precision]).float() for name, weight in weights.items()}
    found = relate(rounded, weights) if which == "dense" else relate(weights, rounded)
    assert found.overall["kind"] == "half precision"
    assert found.overall["precision"] == precision
    assert f"the {which} network’s are rounded to {precision}" in found.overall["text"]
    assert not found.layers["same"].any()
    assert found.layers["rounded"].all()


def test_one_weight_more_than_rounding_is_no_rounding(weights: Weights) -> None:
    rounded = {name: weight.half().float() for name, weight in weights.items()}
    rounded["conv1.conv"][3, 1, 0, 2] *= 1.002
    assert kind(weights, rounded) == "fine-tuned"


def test_where_each_filter_went_is_found(weights: Weights) -> None:
    moved, where = permuted(weights)
    found = relate(weights, moved)
    assert list(found.order) == list(weights)
    for name, order in found.order.items():
        np.testing.assert_array_equal(order, where[name])
    assert found.overall["layers_reordered"] == len(weights)
    assert found.layers["reordered"].all()
    assert found.layers["norms_equal"].all()
    notes = " ".join(found.overall["notes"])
    assert "conv1.conv reads the three colours in another order" in notes
    assert "outputs of fc stand in another order" in notes


def test_a_re_ordering_that_changes_no_logit_is_found_in_the_layers_that_it_touches(sprig: nn.Module) -> None:
    other = copy.deepcopy(sprig)
    first, second = (module for module in other.inception4a.branch2 if isinstance(module, ConvUnit))
    order = torch.randperm(len(first.conv.weight), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        first.conv.weight.copy_(first.conv.weight[order])
        for tensor in (first.bn.weight, first.bn.bias, first.bn.running_mean, first.bn.running_var):
            tensor.copy_(tensor[order])
        second.conv.weight.copy_(second.conv.weight[:, order])
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(other(images), sprig(images))
    found = relate(weights_of(sprig), weights_of(other))
    assert found.overall["kind"] == "re-ordered"
    layers = found.layers.set_index("layer")
    assert list(layers.index[layers["reordered"]]) == [
        "inception4a.branch2.0.conv",
        "inception4a.branch2.1.conv",
    ]
    assert "in 2 of 38 layers" in found.overall["text"]
    np.testing.assert_array_equal(found.order["inception4a.branch2.0.conv"], order.argsort())
    for name in set(found.order) - {"inception4a.branch2.0.conv"}:
        np.testing.assert_array_equal(found.order[name], np.arange(len(found.order[name])))
    assert found.overall["notes"] == []


def test_dead_filters_keep_their_order_and_the_others_are_found(sprig: nn.Module, weights: Weights) -> None:
    mask = ps.prune(sprig, "filter", rate=0.5)
    pruned = {name: w * mask.keep.get(f"{name}.weight", torch.tensor(True)) for name, w in weights.items()}
    moved, where = permuted(pruned)
    found = relate(pruned, moved)
    assert found.overall["kind"] == "re-ordered"
    for name, order in found.order.items():
        alive = pruned[name].flatten(1).any(1).numpy()
        np.testing.assert_array_equal(order[alive], where[name].numpy()[alive])
        assert (np.diff(order[~alive]) > 0).all()
        assert sorted(order) == list(range(len(order)))


def test_weights_that_are_shared_can_be_re_ordered(real_data: Path) -> None:
    file = real_data / "weights" / "squeezenet1_0_deep_compression_fp16.safetensors"
    weights = weights_of(ps.open_network("torchvision/squeezenet1_0", file))
    moved, where = permuted(weights)
    found = relate(weights, moved)
    assert found.overall["kind"] == "re-ordered"
    for name, order in found.order.items():
        np.testing.assert_array_equal(order, where[name])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 2), st.integers(1, 3), st.integers(0, 999))
def test_an_order_is_found_only_where_trying_all_finds_one(
    out: int, inputs: int, side: int, values: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    dense, other = (torch.randint(values, (out, inputs, side, 1), generator=draw).float() for _ in range(2))
    same = dense[torch.randperm(out, generator=draw)][:, torch.randperm(inputs, generator=draw)]
    for pruned in (other, same):
        possible = any(
            torch.equal(pruned[list(rows)][:, list(columns)], dense)
            for rows in itertools.permutations(range(out))
            for columns in itertools.permutations(range(inputs))
        )
        found = find_order(dense, pruned)
        if found is not None:
            assert possible
            assert torch.equal(pruned[found.filters][:, found.inputs], dense)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(0, 999))
def test_any_order_of_different_filters_is_found(out: int, inputs: int, side: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    dense = torch.randn(out, inputs, side, side, generator=draw)
    rows, columns = torch.randperm(out, generator=draw), torch.randperm(inputs, generator=draw)
    found = find_order(dense, dense[rows][:, columns])
    assert found is not None
    np.testing.assert_array_equal(found.filters, rows.argsort())
    np.testing.assert_array_equal(found.inputs, columns.argsort())


def test_values_at_other_places_of_the_kernel_are_another_filter() -> None:
    dense = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    assert find_order(dense, dense.flip(3)) is None
    changed = dense.clone()
    changed[1, 2] = changed[1, 2].flip(0)
    assert find_order(dense, changed) is None


def test_filters_with_the_same_values_are_told_apart_by_their_inputs() -> None:
    dense = torch.tensor([[1.0, 2, 3, 0], [2, 1, 0, 3], [3, 0, 2, 1], [5, 5, 5, 7]])
    rows, columns = [2, 0, 3, 1], [3, 1, 0, 2]
    found = find_order(dense, dense[rows][:, columns])
    assert found is not None
    assert list(np.array(rows)[found.filters]) == [0, 1, 2, 3]


def test_minus_zero_is_zero() -> None:
    dense = torch.tensor([[0.0, 1], [2, 3]])
    assert find_order(dense, torch.tensor([[2.0, 3], [-0.0, 1]])) is not None


@pytest.mark.parametrize("rate", [0.0, 0.7])
def test_correlations_are_pearsons_over_the_weights_that_are_left(weights: Weights, rate: float) -> None:
    pruned = zeroed(noise(weights, 1.0), rate)
    found = relate(weights, pruned)
    expected, counts = [], []
    for row in found.layers.itertuples():
        left = pruned[row.layer] != 0
        expected.append(
            stats.pearsonr(weights[row.layer][left].double(), pruned[row.layer][left].double())[0]
        )
        counts.append(int(left.sum()))
        assert row.correlation == pytest.approx(expected[-1])
        assert row.left_of_dense == pytest.approx(counts[-1] / pruned[row.layer].numel())
    assert found.overall["correlation"] == pytest.approx(np.average(expected, weights=counts))
    assert found.overall["chance"] == pytest.approx(1.96 / math.sqrt(sum(counts)))


def test_networks_drawn_apart_correlate_as_chance_has_it(weights: Weights) -> None:
    found = relate(weights, {name: torch.randn(w.shape, generator=torch.Generator().manual_seed(1))
                             for name, w in weights.items()}).overall  # fmt: skip
    assert found["kind"] == "unrelated"
    assert abs(found["correlation"]) < 2 * found["chance"]


def test_constant_and_empty_layers_have_no_correlation() -> None:
    dense = {"a": torch.ones(4, 4), "b": torch.randn(4, 4), "c": torch.randn(4, 4)}
    found = relate(dense, {"a": torch.full((4, 4), 2.0), "b": torch.zeros(4, 4), "c": dense["c"] + 0.1})
    assert found.layers["correlation"].isna().tolist() == [True, True, False]
    assert found.layers["correlation"][2] == pytest.approx(1)
    assert np.isnan(found.layers["kept"][1])


def test_folded_batch_norms_are_factors(sprig: nn.Module) -> None:
    folded = {}
    for name, module in sprig.named_modules():
        if isinstance(module, ConvUnit):
            folded[f"{name}.conv"] = fuse_conv_bn_eval(module.conv, module.bn).weight.detach()
    weights = weights_of(sprig)
    assert kind(weights, weights | folded) == "rescaled"
    masked = {name: weight * (weights[name].abs() > 0.05) for name, weight in folded.items()}
    assert kind(weights, weights | masked) == "rescaled"
    assert kind(weights, weights | noise(folded, 0.02)) == "fine-tuned"


def test_a_small_step_of_training_is_no_factor(weights: Weights) -> None:
    assert kind(weights, noise(weights, 1e-4)) == "fine-tuned"


def test_layers_that_were_not_trained_are_counted(weights: Weights) -> None:
    pruned = zeroed(weights, 0.5)
    pruned["fc"] = pruned["fc"] + 0.1 * torch.randn(
        pruned["fc"].shape, generator=torch.Generator().manual_seed(0)
    )
    found = relate(weights, pruned)
    assert found.overall["kind"] == "fine-tuned"
    assert (
        "In 37 of 38 layers the weights other than 0 are the dense network’s own." in found.overall["notes"]
    )
    assert (found.layers["kept"][:-1] == 1).all()
    assert found.layers["kept"].iloc[-1] < 0.01


def test_a_compact_network_of_untrained_weights_is_told_from_a_trained_one(
    sprig: nn.Module, weights: Weights
) -> None:
    network = copy.deepcopy(sprig)
    for name, layer in find_layers(network).items():
        layer.module.weight.data = weights[name].clone()
    smaller = weights_of(ps.compact(network, ps.prune(network, "filter", rate=0.5)))
    found = relate(weights, smaller)
    assert found.overall["kind"] == "compact"
    assert found.overall["kept"] == pytest.approx(1)
    assert "not trained since" in found.overall["text"]
    assert found.order == {}
    left = sum(each.numel() for each in smaller.values()) / sum(each.numel() for each in weights.values())
    shares = found.layers.set_index("layer")["left_of_dense"]
    sizes = np.array([weights[name].numel() for name in shares.index])
    assert (shares * sizes).sum() / sizes.sum() == pytest.approx(left)
    trained = relate(weights, noise(smaller, 0.01)).overall
    assert trained["kept"] < 0.1
    assert "trained since or apart" in trained["text"]
    halves = relate(weights, {name: weight.half().float() for name, weight in smaller.items()}).overall
    assert (halves["kind"], halves["kept"]) == ("compact", None)


def test_other_classes_at_the_end_are_compared_without_them(weights: Weights) -> None:
    pruned = zeroed(weights, 0.3) | {"fc": torch.randn(5, weights["fc"].shape[1])}
    found = relate(weights, pruned).overall
    assert found["kind"] == "masked"
    assert "The last layer, fc, has another number of outputs: other classes." in found["notes"]


def test_heads_that_only_one_has_are_named(weights: Weights) -> None:
    found = relate(weights | {"aux.fc": torch.randn(3, 3)}, weights).overall
    assert found["kind"] == "identical"
    assert found["missing"] == ["aux.fc"]
    assert "Only the dense network has aux.fc." in found["notes"]


def test_a_part_of_another_network_is_another_architecture(weights: Weights) -> None:
    part = noise(dict(itertools.islice(weights.items(), 10)), 100)
    found = relate(weights, part).overall
    assert found["kind"] == "other architecture"
    assert "28 of the dense one’s are not in the pruned one" in found["text"]


def test_layers_of_other_names_are_paired_in_order(weights: Weights) -> None:
    renamed = {f"onnx::Conv_{i}": weight for i, weight in enumerate(zeroed(weights, 0.5).values())}
    found = relate(weights, renamed)
    assert (found.overall["kind"], found.overall["paired_by"]) == ("masked", "order")
    assert list(found.layers["layer"]) == list(weights)
    assert list(found.layers["pruned_layer"]) == list(renamed)
    assert any("other names" in note for note in found.overall["notes"])


def test_two_squeezenets_are_other_architectures(real_data: Path) -> None:
    folder = real_data / "weights"
    dense = ps.open_network("torchvision/squeezenet1_1", folder / "squeezenet1_1_imagenet_fp16.pth")
    pruned = ps.open_network(
        "torchvision/squeezenet1_0", folder / "squeezenet1_0_deep_compression_fp16.safetensors"
    )
    found = relate(weights_of(dense), weights_of(pruned)).overall
    assert found["kind"] == "other architecture"
    assert found["other_shapes"] > 0
    assert "of one name have other shapes in each" in found["text"]


def test_the_table_has_its_columns_where_there_is_nothing() -> None:
    for dense, pruned in (({}, {}), ({"a": torch.ones(2, 2)}, {}), ({}, {"a": torch.ones(2, 2)})):
        found = relate(dense, pruned)
        assert list(found.layers.columns) == list(COLUMNS)
        assert len(found.layers) == 0
        assert found.overall["kind"] == "unknown"


def test_networks_that_have_no_layer_in_common_are_other_architectures() -> None:
    found = relate({"a": torch.ones(2, 2)}, {"b": torch.ones(3, 2)})
    assert found.overall["kind"] == "other architecture"
    assert "1 of the dense one’s are not in the pruned one, 1 of the pruned one’s" in found.overall["text"]


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_weights_that_cannot_be_compared_are_refused(value: float) -> None:
    good, bad = {"fc": torch.ones(2, 2)}, {"fc": torch.tensor([[1.0, value], [0, 1]])}
    with pytest.raises(PrunescopeError, match="fc of the dense network holds NaN"):
        relate(bad, good)
    with pytest.raises(PrunescopeError, match="fc of the pruned network holds NaN"):
        relate(good, bad)
