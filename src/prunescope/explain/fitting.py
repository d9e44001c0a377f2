"""What Captum's methods need of a network: what can be arranged in its twin is, and what cannot is refused."""

from __future__ import annotations

import copy
import importlib
from collections import Counter
from typing import Any

import torch
from torch import nn

from prunescope.errors import PrunescopeError, some
from prunescope.explain.guided import Rectifying
from prunescope.explain.twin import Twin

GUIDED = ("GuidedBackprop", "GuidedGradCam")
DEEP_LIFT = ("DeepLift", "LayerDeepLift")

_SAME = 0.02  # of what is compared: functions in place of modules are off by far more, rounding by far less
_BY_EPSILON = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_PASSING = (
    nn.Flatten,
    nn.Identity,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.AlphaDropout,
)  # hand relevance on as it is
_ACTIVATIONS = (nn.ReLU, nn.Dropout)


class _PerCall(nn.Module):
    """A module without weights that a forward pass uses several times, as one module for each use."""

    def __init__(self, module: nn.Module, uses: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(copy.deepcopy(module) for _ in range(uses))
        self.used = 0

    def forward(self, *args: Any) -> Any:
        self.used += 1
        return self.each[(self.used - 1) % len(self.each)](*args)


class _Passing(nn.Module):
    """A module that Captum's LRP has no rule for and needs none, behind one that it knows."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.known = nn.Dropout()
        self.__dict__["hidden"] = module.eval()  # no child, so that Captum does not find it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.__dict__["hidden"](x)
        return out


def fitted(network: nn.Module, captum: str, named: str, example: torch.Tensor) -> Twin:
    """Return a network's twin, arranged for one of Captum's classes.

    Args:
        captum: the name of the class.
        named: what errors call the method.
        example: (1, 3, height, width), not constant.

    Raises:
        PrunescopeError: the method would not give, for this network, what it is known for.
    """
    twin = _arranged(network, captum, example)
    if captum in (*DEEP_LIFT, "Deconvolution"):
        _refuse_functions(twin, example, named)
    if captum in (*GUIDED, "Deconvolution"):
        _refuse_without_rectifiers(twin, example, named)
    if captum == "LRP":
        _refuse_several_uses(twin, example, named)
        _refuse_without_rule(twin, named)
        _refuse_lost_relevance(_arranged(network, captum, example), example, named)
    if captum in DEEP_LIFT:
        _refuse_incomplete(twin, example, named)
    return twin


def give_rules(network: nn.Module, epsilon: float = 1e-9) -> None:
    """Give the ε rule to the subclasses, too, of what Captum has it for; it takes all rules away after each use."""
    rule = importlib.import_module("captum.attr._utils.lrp_rules").EpsilonRule
    for module in _leaves(network):
        if isinstance(module, _BY_EPSILON):
            module.rule = rule(epsilon)


def _arranged(network: nn.Module, captum: str, example: torch.Tensor) -> Twin:
    twin = Twin(network)
    if captum in (*GUIDED, *DEEP_LIFT, "LRP", "Deconvolution"):
        _out_of_place(twin)
    if captum in (*DEEP_LIFT, "LRP"):
        _one_module_a_use(twin, example)
    if captum == "LRP":
        _pass_on(twin)
    return twin


def _out_of_place(network: nn.Module) -> None:
    """Let no module work in place: what hooks see would be overwritten."""
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]


def _one_module_a_use(network: nn.Module, example: torch.Tensor) -> None:
    """Replace each leaf without weights that is used several times: hooks keep what one use saw."""
    uses = _uses(network, example)
    _replace(
        network, {module: _PerCall(module, n) for module, n in uses.items() if n > 1 and _is_bare(module)}
    )


def _pass_on(network: nn.Module) -> None:
    """Hide modules that only reshape, or do nothing in eval mode, from LRP."""
    _replace(network, {module: _Passing(module) for module in network.modules() if type(module) in _PASSING})


def _refuse_without_rule(network: nn.Module, named: str) -> None:
    known = (*_BY_EPSILON, *_ACTIVATIONS)
    unknown = {type(module).__name__ for module in _leaves(network) if not isinstance(module, known)}
    if unknown:
        raise PrunescopeError(
            f"{named} has no rule for {some(sorted(unknown))}, which the network holds: choose another method, such "
            "as integrated-gradients, which shares out the logit, too"
        )


def _refuse_several_uses(network: Twin, example: torch.Tensor, named: str) -> None:
    names = {module: name for name, module in network.network.named_modules()}
    several = [names[module] for module, n in _uses(network, example).items() if n > 1]
    if several:
        raise PrunescopeError(
            f"{named} keeps what one use of a module saw, and the network uses {some(several)} several times: choose "
            "another method, such as integrated-gradients"
        )


def _refuse_without_rectifiers(network: nn.Module, example: torch.Tensor, named: str) -> None:
    if not _rectifiers_called(network, example):
        raise PrunescopeError(
            f"{named} changes the gradient of ReLUs, and the network has none, so that it would be the plain "
            "gradient: choose gradient, or grad-cam"
        )


def _refuse_functions(network: nn.Module, example: torch.Tensor, named: str) -> None:
    uses = _uses(network, example)
    modules = sum(n for module, n in uses.items() if type(module) is nn.ReLU)
    if others := _rectifiers_called(network, example) - modules:
        raise PrunescopeError(
            f"{named} changes what modules of type ReLU hand back, and the network rectifies {others} times by a "
            "function or by ReLU6, which would silently stay as it is: choose another method, such as "
            "guided-grad-cam or integrated-gradients"
        )


def _rectifiers_called(network: nn.Module, example: torch.Tensor) -> int:
    with torch.no_grad(), Rectifying(guided=False) as rectifying:
        network(example)
    calls: int = rectifying.calls
    return calls


def _refuse_lost_relevance(network: nn.Module, example: torch.Tensor, named: str) -> None:
    """Check that LRP follows all that the network does, whose biases are left out here.

    Without biases, relevance by the ε rule is input times gradient in a network of ReLUs, so any difference is of an
    operation that is no module: the addition of a residual connection, which doubles relevance, or an average.

    *Source:* Ancona et al., Towards better understanding of gradient-based attribution methods, 2018, section 3.
    """
    _leave_out_biases(network)
    example = example.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(network(example)[:, 0].sum(), example)
    expected = (example * gradient).detach()
    give_rules(
        network, epsilon=1e-30
    )  # of networks that are not trained yet, activations may be as small as 1e-12
    found = importlib.import_module("captum.attr").LRP(network).attribute(example.detach(), target=0).detach()
    if not (found - expected).norm() <= _SAME * expected.norm():
        raise PrunescopeError(
            f"{named} does not account for all that the network does: relevance of {float(expected.sum()):.4g} is to "
            f"be shared out, and {float(found.sum()):.4g} arrives, since it is handed down by modules alone, and is "
            "doubled or lost at additions of residual connections and at pooling by functions: choose "
            "integrated-gradients, which shares out the logit, too"
        )


def _refuse_incomplete(network: nn.Module, example: torch.Tensor, named: str) -> None:
    """Check that DeepLift's attributions add up to the difference of the logits of image and baseline."""
    with torch.no_grad():
        differences = (network(example) - network(torch.zeros_like(example)))[0]
    target = int(differences.abs().argmax())
    deep_lift = importlib.import_module("captum.attr").DeepLift(network)
    found = float(deep_lift.attribute(example.detach(), target=target).detach().sum())
    difference = float(differences[target])
    if not abs(found - difference) <= _SAME * abs(difference):
        raise PrunescopeError(
            f"{named} does not account for all that the network does: its attributions add up to {found:.4g} where "
            f"the logit differs by {difference:.4g}, since Captum follows few kinds of modules beside ReLU, and no "
            "functions: choose integrated-gradients, which shares out this difference, too"
        )


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if not list(module.children())]


def _uses(network: nn.Module, example: torch.Tensor) -> Counter[nn.Module]:
    """Return how often a forward pass uses each leaf of the network."""
    uses: Counter[nn.Module] = Counter()

    def count(module: nn.Module, *_: object) -> None:
        uses[module] += 1

    hooks = [module.register_forward_hook(count) for module in _leaves(network)]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return uses


def _is_bare(module: nn.Module) -> bool:
    return not list(module.parameters()) and not list(module.buffers())


def _replace(network: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if child is not None and child in replacements:
                setattr(parent, name, replacements[child])


def _leave_out_biases(network: nn.Module) -> None:
    """Set biases to new zeros, and means of batch norms, so that what is shared stays."""
    for module in network.modules():
        if isinstance(module, _BY_EPSILON):
            if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
                module.bias = nn.Parameter(torch.zeros_like(bias), requires_grad=False)
            if isinstance(mean := getattr(module, "running_mean", None), torch.Tensor):
                module.running_mean = torch.zeros_like(mean)
