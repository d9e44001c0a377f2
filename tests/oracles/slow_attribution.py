"""Attribution written out: one pixel, one square, one layer at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import nn

Logit = Callable[[torch.Tensor], float]  # of one image (3, h, w)


def slow_gradient(logit: Logit, image: torch.Tensor, step: float = 1e-6) -> torch.Tensor:
    """Return the gradient by each pixel, (3, h, w), by central differences; in float64."""
    gradient = torch.zeros_like(image)
    for place in product(*map(range, image.shape)):
        more, less = image.clone(), image.clone()
        more[place] += step
        less[place] -= step
        gradient[place] = (logit(more) - logit(less)) / (2 * step)
    return gradient


def slow_occlusion(logit: Logit, image: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    """Return the mean fall of the logit over the squares that cover each pixel, (h, w); as Captum places squares.

    They start at multiples of the stride, up to the first that reaches the border; what hangs over is cut off.
    """
    height, width = image.shape[1:]
    falls, covered = torch.zeros(height, width), torch.zeros(height, width)
    rows, columns = (range(0, -(-(size - window) // stride) * stride + 1, stride) for size in (height, width))
    for top, left in product(rows, columns):
        hidden = image.clone()
        hidden[:, top : top + window, left : left + window] = 0
        falls[top : top + window, left : left + window] += logit(image) - logit(hidden)
        covered[top : top + window, left : left + window] += 1
    return falls / covered


def slow_relevance(modules: Sequence[nn.Module], image: torch.Tensor, target: int) -> torch.Tensor:
    """Return the relevance of each pixel, (3, h, w): each layer as a matrix W, R_j = sum over k of x_j W_kj / z_k R_k.

    Args:
        modules: one after the other; activations hand relevance on as it is.
        image: (1, 3, h, w) float64.
    """
    inputs = [image]
    for module in modules:
        inputs.append(module(inputs[-1]))
    relevance = torch.zeros_like(inputs[-1])
    relevance[0, target] = inputs[-1][0, target]
    for module, x, z in zip(reversed(modules), inputs[-2::-1], inputs[:0:-1], strict=True):
        if isinstance(module, nn.ReLU):
            continue
        if isinstance(module, nn.Flatten):
            relevance = relevance.reshape(x.shape)
            continue
        matrix = torch.autograd.functional.jacobian(module, x).reshape(z.numel(), x.numel())
        shares = torch.where(z.flatten() == 0, 0, relevance.flatten() / z.flatten())
        relevance = (x.flatten() * (shares @ matrix)).reshape(x.shape)
    return relevance[0]


class GuidedReLU(torch.autograd.Function):
    """ReLU that lets back what is positive, where its input was."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        """As ReLU."""
        ctx.save_for_backward(x)
        return x * (x > 0)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Where both are positive."""
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradient * (gradient > 0) * (x > 0)
