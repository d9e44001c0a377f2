"""Tasks that were drawn for an experiment, before they are dealt to participants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Task = dict[str, Any]  # a row of `TASK_COLUMNS` without its name and role; `pictures` as a mapping
CATCH_POOL = 4  # times the catch trials of a participant: so many there are, so that not all see the same


@dataclass(frozen=True)
class Drawn:
    """What people can be asked.

    Attributes:
        main: the tasks that are asked about.
        catch: tasks that anyone who looks answers rightly.
        practice: tasks with an answer that is easily seen, for a start.
        networks: the networks that are asked about, in the order of the run.
        once: the columns that say what one participant may see once only.
        group: the columns that say which group that is of: the layer, or the class.
        thing: what `once` stands for: unit, image.
        more: the setting that gives more of them.
        classes: the classes that identification offers.
        notes: what a researcher has to know of the choice, in sentences.
        counts: the same in numbers.
    """

    main: list[Task]
    catch: list[Task]
    practice: list[Task]
    networks: list[str]
    once: tuple[str, ...]
    group: tuple[str, ...]
    thing: str
    more: str
    classes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Mapping[str, Any] = field(default_factory=dict)
