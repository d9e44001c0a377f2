from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from oracles.channels import TOYS
from prunescope import open_network, prune
from prunescope.errors import PrunescopeError
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import Layer, find_layers
from prunescope.pruning.allocation import erdos_renyi_rates, given_rates, pooled_rates, scaled_rates
from prunescope.pruning.pools import tied_pools


def layer(name: str, *shape: int) -> Layer:
    """A layer of which only the shape of its weight matters."""
    module = nn.Linear(1, 1) if len(shape) == 2 else nn.Conv2d(1, 1, 1)
    return Layer(name, module, shape, 1, (torch.Size(shape[:1]),))


def layers_of(*shapes: tuple[int, ...]) -> dict[str, Layer]:
    return {f"layer{i}": layer(f"layer{i}", *shape) for i, shape in enumerate(shapes)}


def share_gone(rates: Mapping[str, float], layers: Mapping[str, Layer]) -> float:
    gone = math.fsum(rates[name] * math.prod(layer.weight_shape) for name, layer in layers.items())
    return gone / sum(math.prod(layer.weight_shape) for layer in layers.values())


def erdos_renyi_by_bisection(layers: Mapping[str, Layer], rate: float) -> dict[str, float]:
    """Halve an interval of scales: density = min(1, scale * (out + in + height + width) / their product)."""
    low, high = 0.0, 1e9
    densities: dict[str, float] = {}
    for _ in range(200):
        scale = (low + high) / 2
        densities = {
            name: min(1.0, scale * math.fsum(layer.weight_shape) / math.prod(layer.weight_shape))
            for name, layer in layers.items()
        }
        gone = share_gone({name: 1 - density for name, density in densities.items()}, layers)
        low, high = (scale, high) if gone > rate else (low, scale)
    return {name: 1 - density for name, density in densities.items()}


shapes = st.lists(
    st.tuples(st.integers(1, 64), st.integers(1, 64))
    | st.tuples(st.integers(1, 64), st.integers(1, 64), st.integers(1, 7), st.integers(1, 7)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(shapes, st.floats(0, 0.9999))
def test_erdos_renyi_is_what_bisection_finds(given_shapes: list[tuple[int, ...]], rate: float) -> None:
    layers = layers_of(*given_shapes)

    rates = erdos_renyi_rates(layers, rate)

    assert rates == pytest.approx(erdos_renyi_by_bisection(layers, rate), abs=1e-9)
    assert all(0 <= one < 1 for one in rates.values())
    assert share_gone(rates, layers) == pytest.approx(rate, abs=1e-12)


@cache
def layers_in(name: str) -> dict[str, Layer]:
    return find_layers(open_network(name))


@pytest.mark.parametrize("name", ["resnet50", "googlenet"])
@pytest.mark.parametrize("rate", [0.3, 0.9, 0.99])
def test_erdos_renyi_of_real_networks(name: str, rate: float) -> None:
    """The formula as published: what every layer that is not dense keeps, by its kernel, is in one proportion."""
    layers = layers_in(f"torchvision/{name}")

    rates = erdos_renyi_rates(layers, rate)

    assert rates == pytest.approx(erdos_renyi_by_bisection(layers, rate), abs=1e-9)
    assert share_gone(rates, layers) == pytest.approx(rate)
    sparse = {layer: one for layer, one in rates.items() if one}
    published = {
        layer: 1 - sum(layers[layer].weight_shape) / math.prod(layers[layer].weight_shape) for layer in layers
    }  # Evci et al.: 1 - (n^(l-1) + n^l + w + h) / (n^(l-1) n^l w h), up to one factor for all
    factors = [(1 - one) / (1 - published[layer]) for layer, one in sparse.items()]
    assert factors == pytest.approx([factors[0]] * len(factors))
    assert all(factors[0] * (1 - published[layer]) >= 1 - 1e-9 for layer in rates.keys() - sparse.keys())


def test_erdos_renyi_by_hand() -> None:
    """Half of 10 000 + 16 weights: the small layer, which is owed 8 / 16 of the scale, stays dense."""
    rates = erdos_renyi_rates(layers_of((100, 100), (4, 4)), 0.5)

    assert rates == {"layer0": pytest.approx(1 - (5008 - 16) / 10_000), "layer1": 0.0}


def test_prune_by_erdos_renyi_removes_what_it_says() -> None:
    network = open_network("prunescope/sprig")
    layers = find_layers(network)
    rates = erdos_renyi_rates(layers, 0.8)

    mask = prune(network, "weight", scope="erk", rate=0.8)

    gone = {name: int(mask.removed(name).sum()) for name in layers}
    assert gone == {name: round(rates[name] * layers[name].weights) for name in layers}
    assert mask.rates == pytest.approx(rates)
    assert sum(gone.values()) / sum(layer.weights for layer in layers.values()) == pytest.approx(
        0.8, abs=1e-4
    )


def test_given_rates_by_glob_the_last_counts() -> None:
    layers = {name: layer(name, 4, 4) for name in ("stem", "block.0", "block.1", "fc")}

    rates = given_rates({"*": 0.5, "block.*": 0.8, "block.1": 0, "s*": 0.1}, layers)

    assert rates == {"stem": 0.1, "block.0": 0.8, "block.1": 0.0, "fc": 0.5}
    assert given_rates({"fc": 0.2}, layers) == {"stem": 0, "block.0": 0, "block.1": 0, "fc": 0.2}


def test_tied_layers_lose_what_they_would_lose_alone() -> None:
    network = TOYS["residual"].network()
    channels = map_channels(network)
    layers = {name: one for name, one in find_layers(network).items() if name in ("stem", "a", "b", "after")}
    pools = tied_pools(layers, channels)  # stem, of 108 weights, and b, of 180
    rates = {"stem": 0.25, "a": 0.4, "b": 0.75, "after": 0.0}

    pooled = pooled_rates(rates, layers, pools)

    assert pooled == {"stem": pytest.approx((0.25 * 108 + 0.75 * 180) / 288), "a": 0.4, "after": 0.0}
    assert share_gone({**pooled, "b": pooled["stem"]}, layers) == pytest.approx(share_gone(rates, layers))
    mask = prune(network, "filter", scope="specific", rate=rates)  # .5625 of 4 filters
    assert [int(mask.removed(name).sum()) for name in rates] == [2, 2, 2, 0]


@settings(max_examples=100, deadline=None)
@given(shapes, st.data(), st.floats(0, 0.95), st.floats(0.5, 0.99))
def test_scaled_rates_are_in_proportion_and_lose_what_is_asked(
    given_shapes: list[tuple[int, ...]], data: st.DataObject, rate: float, most: float
) -> None:
    layers = layers_of(*given_shapes)
    tolerances = {name: data.draw(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 0.95])) for name in layers}
    possible = share_gone({name: most if tolerances[name] else 0 for name in layers}, layers)
    assume(abs(possible - rate) > 1e-6)
    if possible < rate:
        with pytest.raises(PrunescopeError, match=f"the whole loses {possible:.1%}"):
            scaled_rates(tolerances, layers, rate, most)
        return

    rates = scaled_rates(tolerances, layers, rate, most)

    assert share_gone(rates, layers) == pytest.approx(rate, abs=1e-9)
    assert max(rates.values()) <= most
    free = [rates[name] / tolerances[name] for name in layers if tolerances[name] and rates[name] < most]
    assert free == pytest.approx([free[0]] * len(free)) if free else True
    for name in layers:
        if rates[name] == most and free:
            assert free[0] * tolerances[name] >= most * (1 - 1e-9)
        assert (rates[name] == 0) or tolerances[name]


def test_layers_without_a_tolerance_lose_nothing() -> None:
    assert scaled_rates({"layer1": 0.2}, layers_of((10, 10), (10, 30)), 0.3) == {
        "layer0": 0.0,
        "layer1": pytest.approx(0.4),
    }


NAN = float("nan")


@pytest.mark.parametrize("rate", [NAN, -0.1, 1.0, 50])
def test_rates_that_are_none(rate: float) -> None:
    layers = layers_of((4, 4))
    for allocate in (
        lambda: erdos_renyi_rates(layers, rate),
        lambda: scaled_rates({"layer0": 0.5}, layers, rate),
        lambda: scaled_rates({"layer0": rate}, layers, 0.5),
        lambda: given_rates({"layer*": rate}, layers),
    ):
        with pytest.raises(PrunescopeError, match=f"is {rate}, which is impossible"):
            allocate()


def test_layers_that_are_not_there() -> None:
    layers = layers_of((4, 4), (4, 4))
    with pytest.raises(PrunescopeError, match=r"no layer 'layr0' in those that are pruned \(did you mean"):
        given_rates({"layer1": 0.5, "layr0": 0.5}, layers)
    with pytest.raises(PrunescopeError, match="a tolerance of 'fc', which is not among"):
        scaled_rates({"fc": 0.5}, layers, 0.1)
    with pytest.raises(PrunescopeError, match="no layers to give rates to"):
        erdos_renyi_rates({}, 0.5)
    with pytest.raises(PrunescopeError, match="no layers to give rates to"):
        scaled_rates({}, {}, 0.5)


def test_what_nothing_tolerates() -> None:
    with pytest.raises(PrunescopeError, match="0 of 2 tolerate any pruning"):
        scaled_rates({"layer0": 0.0}, layers_of((4, 4), (4, 4)), 0.5)
