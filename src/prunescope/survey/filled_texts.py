"""Numbers and names in the texts of a design, which only a built experiment knows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.survey.design import Design

NAMES = ("trials", "practice", "minutes", "classes")


def filled(design: Design, trials: int, classes: str) -> Design:
    """Return the design with `{trials}`, `{practice}`, `{minutes}` and `{classes}` in its texts filled in.

    Args:
        design: as it was read.
        trials: the most that one participant sees after practice, catch trials included.
        classes: what identification offers, as words.

    Raises:
        PrunescopeError: a text has another name in braces.
    """
    seconds = (trials + design.practice) * design.timing.task_s
    values = {
        "trials": str(trials),
        "practice": str(design.practice),
        "minutes": str(1 + round(seconds / 60) + 1),  # one to read, one to begin and to end
        "classes": classes,
    }
    return design.model_copy(
        update={
            "consent": tuple(_fill(text, values, "consent") for text in design.consent),
            "instructions": tuple(_fill(text, values, "instructions") for text in design.instructions),
            "prompt": _fill(design.prompt, values, "prompt"),
        }
    )


def _fill(text: str, values: Mapping[str, str], where: str) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            near = did_you_mean(found[1], NAMES)
            known = ", ".join(f"{{{name}}}" for name in NAMES)
            raise PrunescopeError(
                f"{where}: {found[0]} is no name that can be filled in{near}; known: {known}"
            )
        return values[found[1]]

    return re.sub(r"\{([A-Za-z_]+)\}", value, text)
