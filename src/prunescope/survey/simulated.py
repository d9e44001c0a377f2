"""How a simulated participant answers: a small model of people, for trying an experiment out before it asks any."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean, some
from prunescope.survey.experiment import Experiment
from prunescope.survey.trials import answers_of

Floats = NDArray[np.float64]
Outcomes = NDArray[np.int8]

RIGHT, WRONG, NEITHER = 0, 1, 2  # of a pair: the less pruned network, the more pruned one, equal
ATTENTION = 0.98  # of catch and practice trials, so many are right
DONT_KNOW = 0.5  # of what is not recognised, so much is called so; the rest is taken for something else
READING_MS, READING_MS_CARELESS, READING_SPREAD = 40_000.0, 6_000.0, 0.3  # medians; spread of the logarithm
ANSWER_MS, ANSWER_MS_CARELESS, ANSWER_SPREAD = 6_000.0, 450.0, 0.4
FASTER = 0.15  # so much shorter is the logarithm of a time for each unit of the logit, up to 4
_ITEMS, _PERSON = 1, 2  # streams of random numbers


@dataclass(frozen=True)
class Behaviour:
    """How simulated people answer.

    A trial of condition c is answered rightly (of a pair: for the less pruned network, if for any) with
    P = σ(logit(skill of c) + participant's effect + task's effect), both effects normal. So the skill is that of a
    middle person for a middle task; the mean over all is nearer to one half.

    Attributes:
        skill: of each condition, 0 to 1.
        slope: of MIS: P = σ(slope · margin + effects) in place of the skill.
        people: standard deviation of the participants' effects, in logits.
        items: standard deviation of the tasks' effects, in logits.
        ties: so many answers about a pair call both equal.
        careless: so many participants press anything, fast, once practice has let them through.
        leave: so many stop in the middle; half of them come back.
    """

    skill: Mapping[str, float]
    slope: float | None = None
    people: float = 0.5
    items: float = 0.5
    ties: float = 0.2
    careless: float = 0.1
    leave: float = 0.05

    def __post_init__(self) -> None:
        """Refuse what is no probability or no spread."""
        shares = {"ties": self.ties, "careless": self.careless, "leave": self.leave}
        for name, value in {**shares, **{f"skill of {each}": p for each, p in self.skill.items()}}.items():
            if not 0 <= value <= 1:
                raise PrunescopeError(f"{name} is {value:g}: expected a share from 0 to 1")
        for name, value in {"people": self.people, "items": self.items}.items():
            if not 0 <= value < np.inf:
                raise PrunescopeError(f"spread of {name} is {value:g}: expected logits, 0 or more")


def skill_of(experiment: Experiment, given: Iterable[str], otherwise: float = 0.8) -> dict[str, float]:
    """Return the skill of each condition from what was written: ".8" for all, "NETWORK=.6" for one.

    Args:
        experiment: whose conditions they are.
        given: a condition is named in full, or by its network; of a pair, by the more pruned one.
        otherwise: where nothing is said.

    Raises:
        PrunescopeError: a skill is no number, or the experiment asks nothing about what it names.
    """
    conditions = conditions_of(experiment)
    base, named = otherwise, dict[str, float]()
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise PrunescopeError(
                f"--skill {text}: {number!r} is no number; expected .8 for all, or NETWORK=.6"
            ) from None
        if not name:
            base = value
        elif name in conditions or name in conditions.values():
            named[name] = value
        else:
            known = sorted({*conditions, *conditions.values()})
            near = did_you_mean(name, known) or f" (there are {some(known)})"
            raise PrunescopeError(f"--skill {text}: the experiment asks nothing about {name!r}{near}")
    return {each: named.get(each, named.get(network, base)) for each, network in conditions.items()}


def conditions_of(experiment: Experiment) -> dict[str, str]:
    """Return the network of each condition of the main part; of a pair, the more pruned one."""
    main = experiment.tasks[experiment.tasks["role"] == "main"]
    pairwise = experiment.design.kind == "pairwise"
    networks = main["other" if pairwise else "network"].astype(str)
    return dict(zip(main["condition"].astype(str), networks, strict=True))


def logit(p: Floats) -> Floats:
    """Return the log odds of probabilities; infinite for 0 and 1."""
    with np.errstate(divide="ignore"):
        found: Floats = np.log(p) - np.log1p(-p)
    return found


def sigmoid(x: Floats) -> Floats:
    """Return the probabilities of log odds."""
    found: Floats = 0.5 * (1 + np.tanh(0.5 * np.asarray(x)))
    return found


def outcomes(kind: str, eta: Floats, ties: float, rng: np.random.Generator) -> Outcomes:
    """Draw how attentive people answer the main trials.

    Args:
        kind: of the design.
        eta: (trials,), logits of the right answer; of a pair, of preferring the less pruned network, if any.
        ties: share of the answers about a pair that call both equal.
        rng: draws them.
    """
    right = rng.random(len(eta)) < sigmoid(eta)
    unsure = rng.random(len(eta))
    found = np.where(right, RIGHT, WRONG)
    if kind == "pairwise":
        found = np.where(unsure < ties, NEITHER, found)
    elif kind == "identification":
        found = np.where(~right & (unsure < DONT_KNOW), NEITHER, found)
    return found.astype(np.int8)


def pressed(kind: str, answers: int, trials: int, rng: np.random.Generator) -> Outcomes:
    """Draw what it comes to if people press any of the answers."""
    buttons = rng.integers(0, answers, trials)  # the first is right, the last says that it is neither
    neither = (buttons == answers - 1) & (kind != "mis")
    return np.where(neither, NEITHER, np.where(buttons == 0, RIGHT, WRONG)).astype(np.int8)


def attended(trials: int, rng: np.random.Generator) -> Outcomes:
    """Draw how attentive people answer trials of which the answer is plain."""
    return np.where(rng.random(trials) < ATTENTION, RIGHT, WRONG).astype(np.int8)


def answering_ms(eta: Floats, careless: bool | NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Draw how long answers take beyond the lock of the buttons: lognormal, and shorter where people are sure."""
    median = ANSWER_MS * np.exp(-FASTER * np.minimum(np.abs(eta), 4.0))
    middle = np.where(careless, ANSWER_MS_CARELESS, median)
    found: Floats = middle * np.exp(rng.normal(0.0, ANSWER_SPREAD, np.shape(eta)))
    return found


def reading_ms(careless: NDArray[np.bool_], rng: np.random.Generator) -> Floats:
    """Draw how long people read the instructions, lognormal."""
    middle = np.where(careless, READING_MS_CARELESS, READING_MS)
    found: Floats = middle * np.exp(rng.normal(0.0, READING_SPREAD, careless.shape))
    return found


def confidence_of(eta: Floats, levels: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how confident people say they are: from σ of what they feel of |logit|, cut into equal levels from 1."""
    felt = sigmoid(np.abs(eta + rng.normal(0.0, 0.5, len(eta))))  # one half to 1
    return np.minimum((levels * (2 * felt - 1)).astype(np.int64), levels - 1) + 1


@dataclass(frozen=True, eq=False)
class Crowd:
    """Simulated people before an experiment; the same seed makes the same people.

    Attributes:
        behaviour: how they answer; its skills name every condition.
        seed: of their effects and of those of the tasks.
    """

    experiment: Experiment
    behaviour: Behaviour
    seed: int = 0

    @property
    def kind(self) -> str:
        """What is asked: mis, pairwise, identification."""
        return self.experiment.design.kind

    @cached_property
    def values(self) -> list[str]:
        """The answers that each task offers."""
        return [answer.value for answer in answers_of(self.experiment)]

    @property
    def ties(self) -> float:
        """How many answers call both equal; none where the design has no such answer."""
        return self.behaviour.ties if "equal" in self.values else 0.0

    @cached_property
    def place(self) -> dict[str, int]:
        """Where each task is in the arrays."""
        return {task: i for i, task in enumerate(self.experiment.tasks["task"])}

    @cached_property
    def logits(self) -> Floats:
        """Of each task for a middle person, (tasks,); what is no main task is as good as 0."""
        tasks, behaviour = self.experiment.tasks, self.behaviour
        effects = np.random.default_rng([self.seed, _ITEMS]).normal(0.0, behaviour.items, len(tasks))
        if behaviour.slope is not None:
            margins = tasks["margin"].astype("float64").fillna(0.0).to_numpy()
            return behaviour.slope * margins + effects
        skill = tasks["condition"].astype(object).map(behaviour.skill).astype("float64").fillna(0.5)
        return logit(np.asarray(skill, np.float64)) + effects

    def person(self, number: int) -> Person:
        """Return one of them, from 0."""
        rng = np.random.default_rng([self.seed, _PERSON, number])
        behaviour = self.behaviour
        return Person(
            self,
            rng,
            effect=float(rng.normal(0.0, behaviour.people)),
            careless=bool(rng.random() < behaviour.careless),
            leaves_at=float(rng.random()) if rng.random() < behaviour.leave else None,
            returns=bool(rng.random() < 0.5),
        )


@dataclass(frozen=True)
class Shown:
    """A task as it is on the page.

    Attributes:
        task: which one.
        place_of: from the task's slots to the places on the page.
    """

    task: str
    place_of: Mapping[str, str]


@dataclass(frozen=True)
class Given:
    """What one answers.

    Attributes:
        confidence: from 1; None where it is not asked for.
        rt_ms: from when the trial is seen.
    """

    answer: str
    confidence: int | None
    rt_ms: float


@dataclass
class Person:
    """One simulated participant.

    Attributes:
        effect: in logits.
        careless: presses anything once practice is over.
        leaves_at: after this share of the main trials; None stays.
        returns: comes back after leaving.
    """

    crowd: Crowd
    rng: np.random.Generator
    effect: float
    careless: bool
    leaves_at: float | None
    returns: bool
    reading_ms: float = field(init=False)

    def __post_init__(self) -> None:
        """Draw how long the instructions are read."""
        self.reading_ms = float(reading_ms(np.array([self.careless]), self.rng)[0])

    def answer(self, shown: Shown, round: int = 1) -> Given:
        """Answer a trial; after the first round of practice, also the careless have been told what is right."""
        crowd, design = self.crowd, self.crowd.experiment.design
        task = crowd.experiment.task_of[shown.task]
        eta = np.array([crowd.logits[crowd.place[shown.task]] + self.effect])
        plain = task["role"] != "main" and task["right"] is not None
        careless = self.careless and not (task["role"] == "practice" and round > 1)
        if careless:
            found = pressed(crowd.kind, len(crowd.values), 1, self.rng)
        elif plain:
            found = attended(1, self.rng)
            eta[:] = math.log(ATTENTION / (1 - ATTENTION))
        else:
            found = outcomes(crowd.kind, eta, crowd.ties, self.rng)
        confidence = None
        if design.confidence > 1:
            levels = design.confidence
            drawn = self.rng.integers(1, levels + 1, 1) if careless else confidence_of(eta, levels, self.rng)
            confidence = int(drawn[0])
        took = design.timing.lock_ms + float(answering_ms(eta, careless, self.rng)[0])
        return Given(self._value(int(found[0]), shown), confidence, round_ms(took))

    def _value(self, outcome: int, shown: Shown) -> str:
        """Return the answer on the page that an outcome is."""
        task, values = self.crowd.experiment.task_of[shown.task], self.crowd.values
        right = task["right"]
        if right is None:
            right = "one"  # of a pair that has no right answer
        right = shown.place_of.get(right, right)
        neither = {"pairwise": "equal", "identification": "don't know"}.get(self.crowd.kind)
        if outcome == RIGHT:
            return str(right)
        if outcome == NEITHER and neither in values:
            return str(neither)
        others: Sequence[str] = [value for value in values if value not in (right, neither)]
        return str(self.rng.choice(others))


def round_ms(value: float) -> float:
    """Return milliseconds to a tenth, as precise as browsers tell them."""
    return round(value, 1)
