"""Learning rates over time, as one function of the epoch."""

from __future__ import annotations

import math

from prunescope.training.settings import ScheduleSettings


def factor(schedule: ScheduleSettings, epoch: float, epochs: int) -> float:
    """Return what the learning rate is multiplied by at a moment of the training.

    Args:
        epoch: epochs done, with the fraction of the current one.
        epochs: epochs in all.
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
            return 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
