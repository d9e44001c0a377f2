"""Who is where, and how far each condition and list is: what the researcher sees while people take part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from prunescope.survey.assignment import Places, is_paused, mark_left, places
from prunescope.survey.experiment import Experiment
from prunescope.survey.participants import Participant, participant_of
from prunescope.survey.storage import answers, events, participants
from prunescope.survey.trials import trials_of


@dataclass(frozen=True)
class Standing:
    """What the database says at one moment; `told` makes of it what the page shows.

    Attributes:
        experiment: that is served.
        paused: whether nobody new is let in.
        people: all participants, by number.
        answered: answers of the current phase and round, by participant.
        of_condition: main answers of people, by condition.
        caught: participant, position and answer of each catch trial.
        windows: events, by participant.
        lists: how far each list is, of people.
    """

    experiment: Experiment
    paused: bool
    people: Sequence[Participant]
    answered: dict[tuple[str, str, int], int]
    of_task: dict[str, int]
    caught: Sequence[tuple[str, int, str]]
    windows: dict[str, int]
    lists: Sequence[Places]

    def told(self) -> dict[str, Any]:
        """Return what the researcher's page gets: `messages.Standing`."""
        people = [self._person(person, right) for person, right in self._with_catch()]
        design = self.experiment.design
        return {
            "name": self.experiment.name,
            "title": design.title,
            "paused": self.paused,
            "participants": people,
            "conditions": self._conditions(),
            "lists": [
                {
                    "list": own.list,
                    "wanted": design.answers_per_task,
                    "finished": own.finished,
                    "under_way": own.under_way,
                }
                for own in self.lists
            ],
            "counts": self._counts(),
        }

    def _with_catch(self) -> list[tuple[Participant, float | None]]:
        by_id = {person.participant: person for person in self.people}
        right: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for participant, position, answer in self.caught:
            person = by_id[participant]
            trial = trials_of(self.experiment, person.list, person.seed)[position]
            seen[participant] += 1
            right[participant] += trial.right == answer
        return [
            (person, _share(right[person.participant], seen[person.participant])) for person in self.people
        ]

    def _person(self, person: Participant, catch_right: float | None) -> dict[str, Any]:
        names = (
            "participant",
            "number",
            "simulated",
            "list",
            "stage",
            "phase",
            "round",
            "joined",
            "seen",
            "left",
        )
        practising = person.phase == "practice"
        lists = self.experiment.tasks_of_list
        return {name: getattr(person, name) for name in names} | {
            "answered": self.answered.get((person.participant, person.phase, person.round), 0),
            "total": len(self.experiment.practice) if practising else len(lists[person.list]),
            "finished": person.finished,
            "events": self.windows.get(person.participant, 0),
            "catch_right": catch_right,
        }

    def _conditions(self) -> list[dict[str, Any]]:
        task_of, wanted = self.experiment.task_of, self.experiment.design.answers_per_task
        dealt, answered, under_way = Counter[str](), Counter[str](), Counter[str]()
        for task, count in self.of_task.items():
            answered[task_of[task]["condition"]] += count
        for own, tasks in zip(self.lists, self.experiment.tasks_of_list, strict=True):
            conditions = [task_of[task]["condition"] for task in tasks if task_of[task]["role"] == "main"]
            dealt.update(conditions)
            for condition in conditions:
                under_way[condition] += own.under_way
        return [
            {
                "condition": condition,
                "wanted": count * wanted,
                "answered": answered[condition],
                "under_way": under_way[condition],
            }
            for condition, count in sorted(dealt.items())
        ]

    def _counts(self) -> dict[str, int]:
        people = [person for person in self.people if not person.simulated]
        return {
            "participants": len(people),
            "simulated": len(self.people) - len(people),
            "finished": sum(person.finished is not None for person in people),
            "left": sum(person.left and person.finished is None for person in people),
            "under_way": sum(person.finished is None and not person.left for person in people),
            "answers": sum(self.of_task.values()),
        }


def _share(right: int, seen: int) -> float | None:
    return right / seen if seen else None


def standing(connection: Connection, experiment: Experiment, now: float) -> Standing:
    """Read what the researcher sees."""
    mark_left(connection, experiment.design, now)
    people = [
        participant_of(row)
        for row in connection.execute(select(participants).order_by(participants.c.number))
    ]
    role = {name: task["role"] for name, task in experiment.task_of.items()}
    keys = (answers.c.participant, answers.c.phase, answers.c.round)
    counts = connection.execute(select(*keys, func.count()).group_by(*keys))
    is_main = (answers.c.phase == "main", participants.c.simulated.is_(False))
    of_task = connection.execute(
        select(answers.c.task, func.count()).join(participants).where(*is_main).group_by(answers.c.task)
    )
    catch = [name for name in role if role[name] == "catch"]
    caught = connection.execute(
        select(answers.c.participant, answers.c.position, answers.c.answer).where(
            answers.c.phase == "main", answers.c.task.in_(catch)
        )
    )
    windows = connection.execute(select(events.c.participant, func.count()).group_by(events.c.participant))
    return Standing(
        experiment,
        is_paused(connection),
        people,
        {(participant, phase, round_): count for participant, phase, round_, count in counts},
        {task: count for task, count in of_task if role.get(task) == "main"},
        [(participant, position, answer) for participant, position, answer in caught],
        {participant: int(count) for participant, count in windows},
        places(connection, experiment, simulated=False),
    )
