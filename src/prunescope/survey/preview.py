"""The preview of an experiment: what participants read and see, with what only researchers may know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from prunescope.survey.experiment import PICTURES, Experiment
from prunescope.survey.trials import Trial, answers_of, practice_of, trials_of

SHOWN = 24  # main tasks on the page
SHOWN_CATCH = 4
CONDITION = ["condition", "stimulus"]  # the latter only if there are several
ALT = {
    "left": "left", "right": "right", "middle": "middle", "top": "upper", "bottom": "lower",
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One task on the page.

    Attributes:
        trial: as one participant sees it.
        list: the list that it is on; None for practice.
        facts: what a researcher wants to know of it, by name.
    """

    trial: Trial
    list: int | None
    facts: dict[str, str]


@dataclass(frozen=True)
class Balance:
    """How often a group comes up.

    Attributes:
        name: the group: a condition, a layer, a class.
        tasks: its main tasks.
        least: the fewest of them on a list.
        most: the most of them on a list.
    """

    name: str
    tasks: int
    least: int
    most: int


def preview_page(experiment: Experiment) -> str:
    """Return the page, which reads the pictures from the folder beside it and nothing else.

    Args:
        experiment: with tasks, lists and record; its folder need not be there yet.
    """
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    tasks = experiment.tasks[experiment.tasks["role"] == "main"]
    group = "layer" if experiment.design.kind == "mis" else "class"
    return environment.get_template("preview.html.jinja").render(
        design=experiment.design,
        record=experiment.record,
        answers=answers_of(experiment),
        practice=[_shown(experiment, trial, None) for trial in practice_of(experiment, 0, 1)],
        catch=_some(experiment, "catch", SHOWN_CATCH),
        main=_some(experiment, "main", SHOWN),
        main_count=len(tasks),
        conditions=_balance(experiment, tasks, CONDITION[: min(tasks["stimulus"].nunique(), 2)]),
        groups=_balance(experiment, tasks, [group]),
        group=group,
        pictures=f"../{PICTURES}/",
        alt=ALT,
        labels={answer.value: answer.label for answer in answers_of(experiment)},
        rules=_rules(experiment),
    )


def _some(experiment: Experiment, role: str, count: int) -> list[Shown]:
    """Return every n-th trial of a role over all lists, each as the first participant of its list could see it."""
    trials = [
        (trial, number)
        for number in range(len(experiment.tasks_of_list))
        for trial in trials_of(experiment, number, number)
        if trial.role == role
    ]
    step = max(len(trials) // count, 1) if count else 1
    return [_shown(experiment, trial, number) for trial, number in trials[::step][:count]]


def _shown(experiment: Experiment, trial: Trial, number: int | None) -> Shown:
    task = experiment.task_of[trial.task]
    facts = {"task": trial.task}
    labels = {answer.value: answer.label for answer in answers_of(experiment)}
    if number is not None:
        facts["list"] = str(number)
    if trial.network_of and trial.role == "main":
        facts |= trial.network_of
    for column in ("network", "layer", "unit", "unit_task", "margin", "class", "image"):
        value = task[column]
        if value is not None:
            said = f"{value:.3f}" if column == "margin" else str(value)
            facts[column.replace("_", " ")] = labels.get(said, said)
    return Shown(trial, number, facts)


def _balance(experiment: Experiment, main: pd.DataFrame, columns: list[str]) -> list[Balance]:
    """Count the main tasks of each group, in all and on a list; where lists are of one condition, on its own lists."""
    lists = experiment.lists.merge(main[["task", *columns]], on="task")
    table = lists.groupby([*columns, "list"], sort=False).size().unstack("list", fill_value=0)
    alone = experiment.design.each_sees == "one network" and columns[0] == "condition"
    rows = []
    for name, counts in table.iterrows():
        own = counts[counts > 0] if alone else counts
        rows.append(Balance(_name(name), int(counts.sum()), int(own.min()), int(own.max())))
    return rows


def _name(name: Any) -> str:
    return " · ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def _rules(experiment: Experiment) -> Sequence[tuple[str, str]]:
    """Say whose answers will count."""
    rules = experiment.design.exclusion
    said: list[tuple[str, str]] = []
    if rules.catch is not None:
        said.append(("Catch trials", f"at least {rules.catch:.0%} right"))
    if rules.total_s is not None:
        said.append(("From consent to the last answer", f"{rules.total_s[0]:g} to {rules.total_s[1]:g} s"))
    if rules.instructions_s is not None:
        said.append(
            ("Reading the instructions", f"{rules.instructions_s[0]:g} to {rules.instructions_s[1]:g} s")
        )
    if rules.rarer is not None:
        said.append(("Answers of the rarer side", f"at least {rules.rarer}"))
    if rules.practice_rounds is not None:
        said.append(("Rounds of practice", f"at most {rules.practice_rounds}"))
    return said
