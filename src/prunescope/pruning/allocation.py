"""A rate for each layer: given by name, by the Erdős-Rényi kernel, or in proportion to what each was found to bear."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from prunescope.errors import PrunescopeError
from prunescope.networks.layers import Layer, matching
from prunescope.pruning.pools import Pool

MOST = 0.99  # of a layer, where rates are scaled up
_BISECTIONS = 60  # halve 1 until it is below what a float can tell apart


def given_rates(rates: Mapping[str, float], layers: Mapping[str, Layer]) -> dict[str, float]:
    """Return the rate of every layer from rates by glob; where several fit, the last counts.

    Layers that none fits keep all they have: rate 0.

    Raises:
        PrunescopeError: a glob fits no layer that is pruned, or a rate is impossible.
    """
    found = dict.fromkeys(layers, 0.0)
    for glob, rate in rates.items():
        _refuse_impossible(rate, f"of {glob!r} ")
        found |= dict.fromkeys(matching([glob], layers, "those that are pruned"), rate)
    return found


def erdos_renyi_rates(layers: Mapping[str, Layer], rate: float) -> dict[str, float]:
    """Return the rates of the Erdős-Rényi kernel: large layers lose a larger share of their weights.

    What a layer keeps is in proportion to the sum of the dimensions of its weight over their product. A layer that
    would keep more than it has keeps all, and the others share the rest, so that `rate` of all weights goes.

    *Source:* Mocanu et al., Scalable training of artificial neural networks with adaptive sparse connectivity,
    2018; with kernels: Evci et al., Rigging the Lottery, 2020.

    Raises:
        PrunescopeError: there are no layers, or the rate is impossible.
    """
    _refuse_impossible(rate)
    _refuse_no_layers(layers)
    wanted = {name: sum(layer.weight_shape) / layer.weights for name, layer in layers.items()}
    dense: set[str] = set()
    while True:
        others = [layer for name, layer in layers.items() if name not in dense]
        if not others:
            return dict.fromkeys(layers, 0.0)
        left = (1 - rate) * _weights(layers.values()) - _weights(layers[name] for name in dense)
        scale = left / sum(sum(layer.weight_shape) for layer in others)
        full = {layer.name for layer in others if scale * wanted[layer.name] > 1}
        if not full:
            return {name: 0.0 if name in dense else 1 - scale * wanted[name] for name in layers}
        dense |= full


def scaled_rates(
    tolerances: Mapping[str, float], layers: Mapping[str, Layer], rate: float, most: float = MOST
) -> dict[str, float]:
    """Return one factor times what each layer tolerates, such that `rate` of the weights of all layers goes.

    Args:
        tolerances: layer to the rate that it was found to bear; layers that are not named bear none.
        most: no layer loses a larger share.

    Raises:
        PrunescopeError: so much cannot go, or there are no layers, or a number is impossible.
    """
    _refuse_impossible(rate)
    _refuse_no_layers(layers)
    if unknown := sorted(tolerances.keys() - layers.keys()):
        raise PrunescopeError(f"a tolerance of {unknown[0]!r}, which is not among the layers that are pruned")
    for name, tolerance in tolerances.items():
        _refuse_impossible(tolerance, f"that {name} tolerates ")
    _refuse_impossible(most, "that a layer loses at most ")

    def scaled(factor: float) -> dict[str, float]:
        return {name: min(factor * tolerances.get(name, 0.0), most) for name in layers}

    def loses(rates: Mapping[str, float]) -> float:
        return sum(rates[name] * layer.weights for name, layer in layers.items()) / _weights(layers.values())

    bearing = [tolerance for tolerance in tolerances.values() if tolerance > 0]
    highest = most / min(bearing, default=math.inf)
    if (possible := loses(scaled(highest))) < rate:
        raise PrunescopeError(
            f"rate {rate} is out of reach in proportion to what the layers tolerate: {len(bearing)} of "
            f"{len(layers)} tolerate any pruning, and with {most:.0%} of each gone the whole loses {possible:.1%}; "
            "ask for less, or for a lower accuracy in the sweep"
        )
    low, high = 0.0, highest
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if loses(scaled(middle)) >= rate else (middle, high)
    return scaled(high)


def pooled_rates(
    rates: Mapping[str, float], layers: Mapping[str, Layer], pools: Iterable[Pool]
) -> dict[str, float]:
    """Return one rate for each pool of layers that go together, by its name: the mean, weighted by their weights.

    So the whole loses as much as it would with the layers' own rates. Other layers keep theirs.
    """
    merged = dict(rates)
    for pool in pools:
        together = [layers[name] for name in pool.groups]
        lost = sum(rates[layer.name] * layer.weights for layer in together)
        for layer in together:
            del merged[layer.name]
        merged[pool.name] = lost / _weights(together)
    return {name: merged[name] for name in rates if name in merged}


def _weights(layers: Iterable[Layer]) -> int:
    return sum(layer.weights for layer in layers)


def _refuse_no_layers(layers: Mapping[str, Layer]) -> None:
    if not layers:
        raise PrunescopeError("there are no layers to give rates to: choose or spare others")


def _refuse_impossible(rate: float, whose: str = "") -> None:
    if not 0 <= rate < 1:  # nor NaN
        raise PrunescopeError(
            f"the rate {whose}is {rate}, which is impossible: it is the fraction removed, from 0 up to below 1"
        )
