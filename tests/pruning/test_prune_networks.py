"""`prune` on whole networks: against `torch.nn.utils.prune`, over rounds, and what it refuses."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from oracles.channels import SIDE, TOYS, Concat, Depthwise, carry
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.score import ScoreRequest, score

RATES = [0.2, 0.4, 0.6, 0.8]
TINY = ps.Preprocess(crop=64)


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    """GoogLeNet with random weights, which no test changes."""
    options = {"aux_logits": False, "init_weights": False}
    return ps.open_network("torchvision/googlenet", options=options, preprocess=TINY)


@pytest.fixture
def toy() -> nn.Module:
    return TOYS["concat"].network()


def convolutions(network: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}


def masks_of_torch(modules: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Take off the masks that `torch.nn.utils.prune` put on; put the weights back as they were."""
    masks = {}
    for name, module in modules.items():
        masks[f"{name}.weight"] = module.weight_mask.bool()
        weight = module.weight_orig.data
        torch_prune.remove(module, "weight")
        module.weight.data = weight
    return masks


def assert_same(mask: ps.Mask, masks: dict[str, torch.Tensor]) -> None:
    weights = {name: keep for name, keep in mask.keep.items() if name in masks}
    assert weights.keys() == masks.keys()
    assert all(torch.equal(weights[name].expand_as(masks[name]), masks[name]) for name in masks)


@pytest.mark.parametrize("seed", [0, 7])
def test_random_scores_know_nothing_of_initial_weights_drawn_from_the_same_seed(seed: int) -> None:
    """Both are uniform numbers of torch's generator, so that one seed alone would draw the same ones twice."""
    network = ps.open_network("prunescope/sprig", seed=seed)
    pruning = ps.Pruning(network, "weight", by="random", seed=seed)
    for name, scores in pruning.scores().items():
        pairs = torch.stack([pruning.layers[name].module.weight.detach().flatten(), scores.flatten()])
        chance = scores.numel() ** -0.5
        assert abs(float(torch.corrcoef(pairs)[0, 1])) < 5 * chance, name


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("granularity", "by", "n", "dim"),
    [
        ("weight", "l1", None, None),
        ("filter", "l1", 1, 0),
        ("filter", "l2", 2, 0),
        ("connection", "l1", 1, 1),
        ("connection", "l2", 2, 1),
    ],
)
def test_per_layer_as_torch_does(
    googlenet: nn.Module, granularity: str, by: str, n: int | None, dim: int | None, rate: float
) -> None:
    modules = convolutions(googlenet)
    for module in modules.values():
        if n is None:
            torch_prune.l1_unstructured(module, "weight", rate)
        else:
            torch_prune.ln_structured(module, "weight", rate, n, dim)
    expected = masks_of_torch(modules)

    mask = ps.prune(googlenet, granularity, by=by, rate=rate, layers=list(modules))

    assert_same(mask, expected)


@pytest.mark.parametrize("rate", RATES)
def test_one_threshold_over_all_weights_as_torch_does(googlenet: nn.Module, rate: float) -> None:
    modules = {**convolutions(googlenet), "fc": googlenet.fc}
    pairs = [(module, "weight") for module in modules.values()]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=rate)
    expected = masks_of_torch(modules)

    mask = ps.prune(googlenet, "weight", scope="global", rate=rate, min_left=0, allow_empty_layers=True)

    other = [  # among six million floats two may equal the threshold, and either may go
        module.weight.detach().abs()[mask.keep[f"{name}.weight"] != expected[f"{name}.weight"]]
        for name, module in modules.items()
    ]
    assert len(torch.cat(other).unique()) <= 1
    assert sum(int(keep.sum()) for keep in mask.keep.values()) == sum(int(k.sum()) for k in expected.values())


def test_weights_in_channels_last_order_are_pruned_the_same(googlenet: nn.Module) -> None:
    usual = ps.prune(googlenet, "weight", scope="global", rate=0.7)
    other = ps.prune(googlenet.to(memory_format=torch.channels_last), "weight", scope="global", rate=0.7)
    googlenet.to(memory_format=torch.contiguous_format)

    assert all(torch.equal(usual.keep[name], other.keep[name]) for name in usual.keep)


SHAPES = {"weight": (4, 3, 3, 3), "filter": (4, 1, 1, 1), "connection": (1, 3, 1, 1)}


@pytest.mark.parametrize(("granularity", "shape"), SHAPES.items())
def test_the_shape_of_the_groups(toy: nn.Module, granularity: str, shape: tuple[int, ...]) -> None:
    before = {name: tensor.clone() for name, tensor in toy.state_dict().items()}

    mask = ps.prune(toy, granularity, rate=0.4)

    assert mask.keep["a.weight"].shape == shape
    assert mask.granularity == granularity
    assert all(torch.equal(before[name], tensor) for name, tensor in toy.state_dict().items())
    assert set(mask.rates) == {"a", "b", "c", "d"} | ({"fc"} if granularity == "weight" else set())
    assert set(mask.rates.values()) == {0.4}


@pytest.mark.parametrize("granularity", SHAPES)
@pytest.mark.parametrize("by", ["l1", "l2", "random"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_over_rounds_the_counts_are_exact_and_nothing_comes_back(
    granularity: str, by: str, scope: Any
) -> None:
    network = ps.open_network("prunescope/sprig")
    groups: list[int] = []
    previous = None
    for rate in (0.2, 0.36, 0.488, 0.9):
        mask = ps.prune(network, granularity, by=by, scope=scope, rate=rate, previous=previous, seed=4)
        kept = {name: mask.keep[f"{name}.weight"] for name in mask.rates}
        groups = [keep.numel() for keep in kept.values()]
        removed = [int((~keep).sum()) for keep in kept.values()]
        if scope == "layer":
            assert removed == [min(round(rate * n), n - 1) for n in groups]
        else:
            assert sum(removed) == round(rate * sum(groups))
        assert all(keep.any() for keep in kept.values())
        if previous:
            assert all(not (mask.keep[n] & ~previous.keep[n]).any() for n in previous.keep)
        mask.apply(network)
        previous = mask


@pytest.mark.parametrize("granularity", SHAPES)
def test_the_largest_that_goes_is_smaller_than_the_smallest_that_stays(granularity: str) -> None:
    network = ps.open_network("prunescope/sprig", seed=2)
    mask = ps.prune(network, granularity, rate=0.5)

    for name, layer in find_layers(network).items():
        if name in mask.rates:
            keep = mask.keep[f"{name}.weight"]
            dims = [d for d, size in enumerate(keep.shape) if size == 1 and layer.weight_shape[d] > 1]
            size = layer.module.weight.detach().abs()
            score = size.sum(dims, keepdim=True) if dims else size
            assert score[~keep].max() < score[keep].min()


@pytest.mark.parametrize(
    ("granularity", "dims"), [("weight", ()), ("filter", (1, 2, 3)), ("connection", (0, 2, 3))]
)
def test_scores_are_norms(toy: nn.Module, granularity: str, dims: tuple[int, ...]) -> None:
    """Their size counts, not their order alone: in global scope they are compared across layers."""
    layers = {name: layer for name, layer in find_layers(toy).items() if layer.kind == "conv"}
    request = ScoreRequest(toy, layers, GRANULARITIES[granularity], torch.Generator())

    for order in (1, 2):
        scores = all_scores()[f"l{order}"](request)
        for name, layer in layers.items():
            weight = layer.module.weight.detach()
            norm = torch.linalg.vector_norm(weight, order, dims, keepdim=True) if dims else weight.abs()
            torch.testing.assert_close(scores[name], norm)


def test_random_pruning_follows_its_seed() -> None:
    network = ps.open_network("prunescope/sprig")
    masks = [ps.prune(network, "weight", by="random", rate=0.5, seed=seed) for seed in (1, 1, 2)]

    one, again, other = (torch.cat([keep.flatten() for keep in mask.keep.values()]) for mask in masks)

    assert torch.equal(one, again)
    assert 0.49 < (one == other).float().mean() < 0.51


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_rates_that_are_no_rates(toy: nn.Module, rate: float) -> None:
    with pytest.raises(PrunescopeError, match=rf"rate {rate} is impossible: .* from 0 up to below 1"):
        ps.prune(toy, "weight", rate=rate)


@pytest.mark.parametrize(
    ("granularity", "arguments", "said"),
    [
        (
            "filters",
            {},
            r"no granularity 'filters' \(did you mean 'filter'\?\); known: connection, filter, kernel, n:m, weight",
        ),
        ("weight", {"by": "L1"}, r"no score 'L1' \(did you mean 'l1'"),
        ("weight", {"spare": ["e"]}, "no layer 'e'"),
        ("weight", {"layers": ["b*", "x*"]}, r"no layer 'x\*'"),
        ("weight", {"spare": ["*"]}, "nothing to prune: all of a, b, c, d, fc is spared"),
        ("weight", {"layers": ["a", "b"], "spare": ["[ab]"]}, "nothing to prune: all of a, b is spared"),
        ("weight", {"layers": "a", "spare": "[ab]"}, "nothing to prune: all of a is spared"),
        (
            "weight",
            {"rounding": "flor"},
            r"no rounding 'flor' \(did you mean 'floor'\?\); known: round, floor",
        ),
        ("weight", {"normalise": "max"}, "no normalise 'max'; known: mean, none, layer"),
        ("weight", {"min_left": -1}, "min_left -1 is impossible: a number of groups, 0 or more"),
        (
            "filter",
            {"layers": ["fc"]},
            "fc yields the logits: its filters are the classes, and are never pruned",
        ),
    ],
)
def test_what_cannot_be_pruned_is_said(
    toy: nn.Module, granularity: str, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(PrunescopeError, match=said):
        ps.prune(toy, granularity, rate=0.5, **arguments)


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.spectral_norm])
def test_a_weight_that_is_computed_from_others_is_refused(toy: nn.Module, norm: Any) -> None:
    norm(toy.b)

    with pytest.raises(PrunescopeError, match=r"^b: its weight is computed from others"):
        ps.prune(toy, "weight", rate=0.5)

    assert "b.weight" not in ps.prune(toy, "weight", rate=0.5, spare=["b"]).keep


def test_a_damaged_network_is_refused(toy: nn.Module) -> None:
    toy.c.weight.data[0, 0, 0, 0] = float("nan")

    with pytest.raises(PrunescopeError, match="the scores of c hold NaN"):
        ps.prune(toy, "filter", rate=0.5)


def test_a_layer_that_would_lose_everything(toy: nn.Module) -> None:
    toy.b.weight.data *= 1e-3
    arguments: dict[str, Any] = {"scope": "global", "rate": 0.5, "min_left": 0}

    with pytest.raises(PrunescopeError, match=r"^b would lose all weights.*allow_empty_layers: true"):
        ps.prune(toy, "weight", **arguments)

    empty = ps.prune(toy, "weight", allow_empty_layers=True, **arguments)
    assert not empty.keep["b.weight"].any()
    assert int(ps.prune(toy, "weight", scope="global", rate=0.5).keep["b.weight"].sum()) == 1


def hint(error: PrunescopeError) -> list[str]:
    found = re.search(r"--spare '(.*)' \(in a study, spare: \[(.*)\]\)", str(error))
    assert found
    assert found[1].split(",") == found[2].split(", ")
    return found[1].split(",")


@pytest.mark.parametrize(
    ("name", "granularity", "refused"),
    [
        ("depthwise", "filter", ["point", "grouped"]),
        ("group norm", "filter", ["a"]),
        ("softplus", "filter", ["a"]),
        ("depthwise", "connection", ["depth", "grouped"]),
    ],
)
def test_layers_that_cannot_be_pruned_so_are_refused_with_a_hint_that_works(
    name: str, granularity: str, refused: list[str]
) -> None:
    network = TOYS[name].network()

    with pytest.raises(PrunescopeError) as caught:
        ps.prune(network, granularity, rate=0.5)

    assert hint(caught.value) == refused
    assert all(f"\n  {layer}: " in str(caught.value) for layer in refused)
    prunable = [layer.name for layer in find_layers(network).values() if layer.kind == "conv"]
    left = [layer for layer in prunable if layer not in refused]
    if left:
        assert list(ps.prune(network, granularity, rate=0.5, spare=refused).rates) == left
    else:
        with pytest.raises(PrunescopeError, match="nothing to prune"):
            ps.prune(network, granularity, rate=0.5, spare=refused)


def scores_of(network: nn.Module, *layers: str) -> torch.Tensor:
    return sum(getattr(network, name).weight.detach().abs().sum((1, 2, 3)) for name in layers)


def test_filters_that_an_addition_ties_go_together_by_the_sum_of_their_scores() -> None:
    network = TOYS["residual"].network()
    lowest = set(scores_of(network, "stem", "b").argsort()[:2].tolist())

    mask = ps.prune(network, "filter", rate=0.5)

    for name in ("stem.weight", "b.weight", "stem.bias", "b.bias"):
        assert set((~mask.keep[name].flatten()).nonzero().flatten().tolist()) == lowest
    again = ps.prune(network, "filter", rate=0.75, previous=mask)
    assert lowest < set((~again.keep["b.bias"]).nonzero().flatten().tolist())


def test_in_global_scope_tied_layers_count_once() -> None:
    """Four groups of two layers, five and three filters of one: the four lowest of twelve, by their pool's mean."""
    network = TOYS["residual"].network()
    pools = [scores_of(network, *layers) for layers in (("stem", "b"), ("a",), ("after",))]
    relative = torch.cat([scores / scores.mean() for scores in pools])
    kept = torch.ones(12, dtype=torch.bool)
    kept[relative.argsort()[:4]] = False

    mask = ps.prune(network, "filter", scope="global", rate=1 / 3)

    for name, expected in zip(("stem", "a", "after"), kept.split([4, 5, 3]), strict=True):
        assert torch.equal(mask.keep[f"{name}.weight"].flatten(), expected)


def test_a_gate_goes_with_what_it_gates() -> None:
    mask = ps.prune(TOYS["gate"].network(), "filter", rate=0.5)

    assert list(mask.rates) == ["a", "squeeze", "expand", "b"]
    for name in ("a.bias", "expand.weight", "expand.bias"):
        assert torch.equal(mask.keep[name].flatten(), mask.keep["a.weight"].flatten())


def test_a_layer_without_those_that_it_is_tied_to_is_refused() -> None:
    network = TOYS["residual"].network()

    with pytest.raises(
        PrunescopeError, match="b: its filters go together with those of stem, which would be"
    ) as e:
        ps.prune(network, "filter", rate=0.5, spare=["stem"])
    with pytest.raises(PrunescopeError, match="stem: its filters go together with those of b"):
        ps.prune(network, "filter", rate=0.5, layers=["stem"])

    assert hint(e.value) == ["b"]


def test_networks_of_which_only_linear_layers_can_lose_filters_say_which() -> None:
    network = ps.open_network("torchvision/convnext_tiny", preprocess=TINY)

    with pytest.raises(
        PrunescopeError, match=r"linear layers can be chosen: --layers 'features\.1\.0\.block\.3"
    ):
        ps.prune(network, "filter", rate=0.5)

    hidden = ps.prune(network, "filter", rate=0.5, layers=["features.*.block.3"])
    assert len(hidden.rates) == 18
    assert hidden.keep["features.1.0.block.3.weight"].sum() == 4 * 96 / 2


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_channel_counts_are_rounded_to_the_nearest_multiple(
    googlenet: nn.Module, granularity: str, scope: str
) -> None:
    exact = ps.prune(googlenet, granularity, scope=scope, rate=0.7)
    mask = ps.prune(googlenet, granularity, scope=scope, rate=0.7, round_to=8)

    for layer in exact.rates:
        before, after = (int(m.keep[f"{layer}.weight"].sum()) for m in (exact, mask))
        total = mask.keep[f"{layer}.weight"].numel()
        assert after == min(max(int(before / 8 + 0.5), 1) * 8, total)
        few, many = sorted((exact, mask), key=lambda m: int(m.keep[f"{layer}.weight"].sum()))
        assert (few.keep[f"{layer}.weight"] <= many.keep[f"{layer}.weight"]).all()


@pytest.mark.parametrize(("granularity", "round_to"), [("weight", 8), ("filter", 0)])
def test_rounding_that_makes_no_sense(toy: nn.Module, granularity: str, round_to: int) -> None:
    with pytest.raises(PrunescopeError, match=f"round_to {round_to} is impossible"):
        ps.prune(toy, granularity, rate=0.5, round_to=round_to)


def test_tied_filters_can_be_masked_where_their_channels_are_kept() -> None:
    mask = ps.prune(TOYS["residual"].network(), "filter", rate=0.5, norm="keep")

    assert list(mask.rates) == ["stem", "a", "b", "after"]
    assert set(mask.keep) == {f"{name}.weight" for name in mask.rates}


def test_grouped_convolutions_can_lose_weights_and_filters() -> None:
    network = carry(Depthwise())

    assert set(ps.prune(network, "weight", rate=0.5).rates) == {"a", "depth", "point", "grouped", "fc"}
    assert ps.prune(network, "filter", rate=0.5, norm="keep").keep["depth.weight"].sum() == 2


def test_logits_of_a_convolution_are_never_filter_pruned() -> None:
    """SqueezeNet ends with a convolution to the classes and a global average."""
    network = ps.open_network("torchvision/squeezenet1_1", preprocess=TINY)

    assert "classifier.1" not in ps.prune(network, "filter", rate=0.5).rates
    assert "classifier.1" not in ps.prune(network, "filter", rate=0.5, norm="keep").rates
    assert "classifier.1" in ps.prune(network, "connection", rate=0.5).rates
    with pytest.raises(PrunescopeError, match=r"classifier\.1 yields the logits"):
        ps.prune(network, "filter", rate=0.5, layers=["classifier.1"])


def test_linear_layers_lose_filters_where_asked_for() -> None:
    network = TOYS["flatten"].network()

    mask = ps.prune(network, "filter", rate=0.4, layers=["head.*"])

    assert list(mask.rates) == ["head.1"]
    assert mask.keep["head.1.weight"].shape == (5, 1)
    assert torch.equal(mask.keep["head.1.bias"], mask.keep["head.1.weight"].flatten())


def test_rounds_of_one_schedule_share_one_granularity(toy: nn.Module) -> None:
    previous = ps.prune(toy, "filter", rate=0.2)

    with pytest.raises(
        PrunescopeError, match="the previous mask is by filter; rounds of one schedule share one"
    ):
        ps.prune(toy, "weight", rate=0.4, previous=previous)


@pytest.mark.parametrize("by", ["l1", "lamp", "snip"])
def test_what_was_removed_counts_as_removed_also_where_the_weights_still_have_their_values(by: str) -> None:
    """So it is after rewinding, say: the weights are back, and the mask is not applied yet."""
    network = carry(Concat())
    calibration = ps.Calibration(
        torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), torch.arange(4) % 3
    )
    choices: dict[str, Any] = {"by": by, "scope": "global", "calibration": calibration}
    first = ps.prune(network, "filter", by="random", rate=0.4, seed=1)
    zeros = copy.deepcopy(network)
    first.apply(zeros)

    scores = ps.Pruning(network, "filter", **choices).scores(first)

    for name, expected in ps.Pruning(zeros, "filter", **choices).scores(first).items():
        assert torch.equal(scores[name], expected)
    assert not any(layer.module.weight.eq(0).any() for layer in find_layers(network).values())


@pytest.mark.parametrize("choices", [{"scope": "global"}, {"previous": 0.3}])
def test_a_score_that_is_the_weight_itself_leaves_it_alone(toy: nn.Module, choices: dict[str, Any]) -> None:
    before = copy.deepcopy(toy.state_dict())
    if "previous" in choices:
        choices = {"previous": ps.prune(toy, "weight", rate=choices["previous"])}

    with all_scores().unchanged():
        score("signed")(lambda request: {name: request.weight(name) for name in request.layers})
        ps.prune(toy, "weight", by="signed", rate=0.5, **choices)

    assert all(torch.equal(value, before[name]) for name, value in toy.state_dict().items())


def test_scores_of_coarse_weights_are_summed_finely() -> None:
    """Sums of bfloat16 numbers, rounded to bfloat16, would tie: 128 + 0.5 is 128 there."""
    network = carry(Concat())
    network.a.weight.data.fill_(128).view(len(network.a.weight), -1)[:, 0] = torch.arange(4) / 4
    network.bfloat16()
    request = ScoreRequest(network, find_layers(network), GRANULARITIES["filter"], torch.Generator())

    scores = all_scores()["l1"](request)["a"].flatten()

    assert scores.tolist() == [128 * (network.a.weight[0].numel() - 1) + i / 4 for i in range(4)]


def test_layers_spared_later_keep_the_mask_they_had(toy: nn.Module) -> None:
    first = ps.prune(toy, "filter", rate=0.5)

    second = ps.prune(toy, "filter", rate=0.7, spare=["a"], previous=first)

    for name in ("a.weight", "norm_a.weight", "norm_a.bias"):
        assert torch.equal(second.keep[name], first.keep[name])
    assert int((~second.keep["d.weight"]).sum()) == 2


def test_what_a_removed_channel_leaves_behind_is_removed_with_it() -> None:
    network = carry(Concat())
    network.b.weight.data[0] *= 1e-3
    network.c.weight.data[1] *= 1e-3

    mask = ps.prune(network, "filter", rate=0.4, layers=["b", "c"])

    keep = {name: values.flatten().tolist() for name, values in mask.keep.items()}
    assert keep["b.weight"] == keep["b.bias"] == [False, True]  # round(.8), round(1.2)
    assert keep["c.weight"] == [True, False, True]
    assert "c.bias" not in keep
    assert keep["norm.weight"] == keep["norm.bias"] == [False, True, True, False, True]
    assert not any(name.startswith("norm_a") for name in keep)
