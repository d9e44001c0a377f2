"""Learning rates over time, as one function of the epoch."""

from __future__ import annotations

import math

from prunescope.training.settings import ScheduleSettings

RISE, FIRST, LAST = 0.3, 1 / 25, 1 / 25e4  # one-cycle: share of the steps that rise, factors at both ends


def factor(schedule: ScheduleSettings, epoch: float, epochs: int, per_epoch: int = 1) -> float:
    """Return what the learning rate is multiplied by at a moment of the training.

    Args:
        epoch: epochs done, with the fraction of the current one.
        epochs: epochs in all.
        per_epoch: steps in an epoch; one-cycle counts them, so that its last step has its last factor.
    """
    if epoch < schedule.warmup:
        return min(max(epoch, 1e-3) / schedule.warmup, 1.0)
    match schedule.name:
        case "constant":
            return 1.0
        case "step":
            return schedule.gamma ** sum(int(epoch) >= milestone for milestone in schedule.milestones)
        case "exponential":
            return schedule.gamma ** int(epoch)
        case "cosine":
            progress = (epoch - schedule.warmup) / max(epochs - schedule.warmup, 1e-9)
            return _bend(1, 0, progress)
        case "one-cycle":
            return _one_cycle(round(epoch * per_epoch), epochs * per_epoch)


def _one_cycle(step: int, steps: int) -> float:
    """Rise from 1/25 to 1 over .3 of the steps, then fall to 1/250000 at the last, both along a cosine.

    *Source:* Smith & Topin 2017 (arXiv 1708.07120), in the form of torch's `OneCycleLR`.
    *Differs:* momentum stays as it is.
    """
    peak = RISE * steps - 1
    if step <= peak and peak > 0:
        return _bend(FIRST, 1, step / peak)
    return _bend(1, LAST, (step - max(peak, 0)) / max(steps - 1 - max(peak, 0), 1e-9))


def _bend(start: float, end: float, progress: float) -> float:
    """Go from `start` to `end` along half a cosine."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
