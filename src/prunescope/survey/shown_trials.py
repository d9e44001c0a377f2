"""Trials as the page gets them: where which pictures are; no role, no truth, no network, no file."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from prunescope.survey.experiment import Experiment
from prunescope.survey.participants import Participant
from prunescope.survey.progress import trials_now
from prunescope.survey.trials import Trial


def shown_now(experiment: Experiment, person: Participant) -> list[dict[str, Any]]:
    """Return the trials of the current phase as the page gets them: `messages.ShownTrial`."""
    return _described(
        person.phase, person.round, tuple(_shape(trial) for trial in trials_now(experiment, person))
    )


def _shape(trial: Trial) -> tuple[tuple[str, int], ...]:
    return tuple((place, len(names)) for place, names in trial.shown.items())


@lru_cache(maxsize=256)
def _described(
    phase: str, round: int, shapes: tuple[tuple[tuple[str, int], ...], ...]
) -> list[dict[str, Any]]:
    return [
        {
            "position": position,
            "pictures": {
                place: [f"/api/pictures/{phase}/{round}/{position}/{place}/{n}" for n in range(count)]
                for place, count in shape
            },
        }
        for position, shape in enumerate(shapes)
    ]
