"""LRP: how much of the true class's logit flows through each weight, by layer-wise relevance propagation.

Relevance is computed as activation times gradient, in a network whose layers have their own values and the gradients
of others. Let y be what a module puts out, and p be what it is to hand its relevance down by: then the gradient of
p · constant(y / p), taken instead of that of y, hands relevance R = y · ∂/∂y down to the parts of p, each in
proportion to its share, and to a weight the share of what it contributed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import Node
from torch.nn import functional

from prunescope.errors import PrunescopeError, some
from prunescope.networks.channels import (
    KEEPS_ZERO,
    NORMS_ACROSS_CHANNELS,
    NORMS_PER_CHANNEL,
    after_norm,
    replaced_forward,
)
from prunescope.networks.shapes import gathered
from prunescope.pruning.scores.gradients import StandIn, differentiable, gradients_of, refuse_dead
from prunescope.pruning.scores.score import ScoreRequest, score

EPSILON = 1e-6  # in what a layer puts out: keeps divisions finite, and takes up next to no relevance
GATES = (nn.Sigmoid, nn.Hardsigmoid)
SAME_LOGITS = 1e-3  # of the largest: folding a batch norm rounds differently, and no more

Forward = Callable[[torch.Tensor], torch.Tensor]
Norm = nn.BatchNorm2d | nn.SyncBatchNorm
Folding = dict[nn.Conv2d, Norm]


@score(
    "lrp",
    needs="calibration",
    granularities=("filter", "connection"),
    because="its z+ rule gives weights and kernels that inhibit no relevance, so that all of them would go first",
    comparable=True,
)
def lrp(request: ScoreRequest) -> dict[str, torch.Tensor]:
    """Relevance for the true class that flows through the weights of the group, summed over the calibration images.

    The relevance to begin with is the logit of the true class, as it is: its sign and size count, and no class is
    weighted. Convolutions, with the batch norm that directly follows folded in, hand it down by the z+ rule (α = 1,
    β = 0): to each positive contribution w · x in proportion; linear layers by the ε rule (ε = 1e-6); max pooling to
    the winner; average pooling, addition, concatenation and other batch norms in proportion (LRP-0); activations as a
    whole. Each layer hands down what it was given, so that scores of different layers are compared as they are.

    *Source:* Yeom et al., Pruning by explaining: a novel criterion for deep neural network pruning, 2021; Bach et al.,
    On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance propagation, 2015.
    *Differs:* relevance is counted where it flows through weights, which serves connections too. What a bias (of a
    folded batch norm, too) takes belongs to no group, where the paper gives it to the filter. The first layer reads
    signed pixels by the z+ rule. Modules that gate (Sigmoid, Hardsigmoid) are taken as constants, so that layers which
    only gate have scores of 0: spare them. Activations other than ReLU have to be modules. The network is in eval mode.
    Single weights, kernels and n:m are refused: with 25 or 30 % of them gone by relevance, the embedded network is
    right hardly more often than by chance.

    Raises:
        PrunescopeError: no relevance arrives, or the network holds modules that no rule is known for.
    """
    calibration = request.calibration
    assert calibration is not None
    _refuse_without_rule(request.network)
    with differentiable(request.network, request.layers) as network:
        image = next(network.batches(calibration))[0][:1]
        logits, folding = _run_and_look(network, image)
        relevance = {name: torch.zeros_like(weight) for name, weight in network.weights.items()}
        with replaced_forward(_rules(request.network, folding)):
            _refuse_others(logits, network(image.clone()))
            for inputs, labels in network.batches(calibration):
                true = calibration.logits(network, inputs, labels).gather(1, labels[:, None]).sum()
                for name, gradient in gradients_of(true, network.weights).items():
                    relevance[name] += gradient * network.weights[name].detach()
    refuse_dead("lrp", relevance)
    return request.summed(relevance)


def _rules(network: nn.Module, folding: Folding) -> dict[nn.Module, Forward]:
    """Return what modules compute instead, so that activation times gradient is relevance."""
    folded = set(folding.values())
    rules: dict[nn.Module, Forward] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            rules[module] = _convolution(module, folding.get(module))
        elif module in folded:
            rules[module] = partial(after_norm, module)
        elif isinstance(module, nn.Linear):
            rules[module] = _linear(module)
        elif isinstance(module, GATES):
            rules[module] = _constant(module.forward)
        elif isinstance(module, KEEPS_ZERO) and not isinstance(module, nn.ReLU):  # which does so by itself
            rules[module] = _activation(module.forward)
    return rules


def _convolution(module: nn.Conv2d, norm: Norm | None) -> Forward:
    """Return the z+ rule of a convolution and the batch norm behind it."""

    def positive(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> Any:
        """Return the sum of what is positive: input times weight, where both have one sign, and the bias."""
        exciting = weight.clamp(min=0)
        if not bool((x < 0).any()):
            return module._conv_forward(x, exciting, bias)
        parts = module._conv_forward(x.clamp(min=0), exciting, bias)
        return parts + module._conv_forward(x.clamp(max=0), weight.clamp(max=0), None)

    def forward(x: torch.Tensor) -> torch.Tensor:
        x = gathered(module, x)
        weight, bias = _folded(module, norm)
        with torch.no_grad():
            y = module._conv_forward(x, weight, bias)
        return _handing_down(y, positive(x, weight, None if bias is None else bias.clamp(min=0)))

    return forward


def _folded(module: nn.Conv2d, norm: Norm | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return weight and bias of a convolution that does what it and the batch norm behind it do."""
    bias = None if module.bias is None else module.bias.detach()
    if norm is None:
        return module.weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale, shift = (norm.running_var + norm.eps).rsqrt(), -norm.running_mean
    if bias is not None:
        shift = shift + bias
    if norm.affine:
        scale = scale * norm.weight.detach()
    shift = shift * scale + (norm.bias.detach() if norm.affine else 0)
    return module.weight * scale.view(-1, 1, 1, 1), shift


def _linear(module: nn.Linear) -> Forward:
    """Return the ε rule of a linear layer."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        bias = None if module.bias is None else module.bias.detach()
        y = functional.linear(gathered(module, x), module.weight, bias)
        return _handing_down(y.detach(), y)

    return forward


def _activation(own: Forward) -> Forward:
    """Return what hands all relevance on to the one input."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y = own(x.clone())  # it may work in place
        return _handing_down(y, x)

    return forward


def _constant(own: Forward) -> Forward:
    return lambda x: own(x.detach().clone())


def _handing_down(y: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
    """Return `y`, with the gradient that hands its relevance down to what `parts` is the sum of."""
    known = parts.detach()
    handed = parts * (y / torch.where(known < 0, known - EPSILON, known + EPSILON))
    return y + (handed - handed.detach())


def _run_and_look(network: StandIn, image: torch.Tensor) -> tuple[torch.Tensor, Folding]:
    """Return the logits for one image, and which batch norm can be folded into which convolution.

    It directly follows, and nothing else reads what the convolution puts out: so says autograd's graph. Neither runs
    twice.
    """
    calls: Counter[nn.Module] = Counter()
    made: dict[Node, nn.Conv2d] = {}
    read: dict[Norm, Node] = {}

    def look(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        calls[module] += 1
        if isinstance(module, nn.Conv2d) and output.grad_fn is not None:
            made[output.grad_fn] = module

    def look_before(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, Norm) and arguments[0].grad_fn is not None:
            read[module] = arguments[0].grad_fn

    watched = [m for m in network.network.modules() if isinstance(m, nn.Conv2d | Norm)]
    hooks = [module.register_forward_hook(look) for module in watched]
    hooks += [module.register_forward_pre_hook(look_before) for module in watched]
    try:
        logits = network(image.clone().requires_grad_() * 1)  # whose gradient asks for the graph
    finally:
        for hook in hooks:
            hook.remove()
    readers = _readers(logits)
    pairs = ((made[node], norm) for norm, node in read.items() if node in made and readers[node] == 1)
    return logits.detach(), {conv: norm for conv, norm in pairs if calls[conv] == calls[norm] == 1}


def _readers(output: torch.Tensor) -> Counter[Node]:
    """Return by how many operations what each operation puts out is read, on the way to `output`."""
    readers: Counter[Node] = Counter()
    ahead = [] if output.grad_fn is None else [output.grad_fn]
    while ahead:
        for node, _ in ahead.pop().next_functions:
            if node is not None:
                readers[node] += 1
                if readers[node] == 1:
                    ahead.append(node)
    return readers


def _refuse_without_rule(network: nn.Module) -> None:
    """Raise `PrunescopeError` if a module is there that relevance has no rule for."""
    unknown = (*NORMS_ACROSS_CHANNELS, nn.MultiheadAttention)
    found = [
        f"{name} ({type(module).__name__})"
        for name, module in network.named_modules()
        if isinstance(module, unknown)
        or (isinstance(module, NORMS_PER_CHANNEL) and module.running_mean is None)
    ]
    if found:
        raise PrunescopeError(
            f"lrp has no rule for {some(found)}: relevance goes through convolutions, linear layers, batch norms with "
            "running statistics, poolings and activations; choose another score"
        )


def _refuse_others(expected: torch.Tensor, found: torch.Tensor) -> None:
    """Raise `PrunescopeError` if the logits under the rules are not the network's own; NaN shows in the scores."""
    if bool(((found - expected).abs() > SAME_LOGITS * expected.abs().max()).any()):
        raise PrunescopeError(
            "lrp cannot follow this network: a convolution or linear layer computes something else than its weight and "
            "bias say (weights that are standardised on the way, say); choose another score"
        )
