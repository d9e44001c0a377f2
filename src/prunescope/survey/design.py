"""The design of a human study: what is asked of whom, in which words, how long, and whose answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.study.document import read_document, validate

Kind = Literal["mis", "pairwise", "identification"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ANSWERS: dict[
    str | None, tuple[set[str], set[str]]
] = {  # those that there must be, and those that there may be
    "mis": ({"top", "bottom"}, {"top", "bottom"}),
    "pairwise": ({"left", "right"}, {"left", "equal", "right"}),
    "identification": (set(), set()),  # the classes of the run
}
FILE = "design.yaml"


class Settings(BaseModel):
    """Frozen settings; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(Settings):
    """One of the answers that a participant may give."""

    value: str = Field(description="What is stored: left, right, equal, top, bottom, or the name of a class.")
    label: str = Field(description="What is on the button.")
    keys: tuple[str, ...] = Field(
        (), description="Keys that press it, as browsers name them: ArrowLeft, 1, a."
    )


class Pool(Settings):
    """Which tasks there are, before they are dealt out."""

    networks: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Globs of the networks that are asked about; null: the dense and the final ones of a run.",
    )
    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Globs of the layers whose units are asked about (mis); null: convolutions.",
    )
    units: int = Field(84, ge=1, description="Live units of a network, of all layers alike (mis).")
    tasks_per_unit: int = Field(1, ge=1, description="Of the tasks of a unit, so many are asked (mis).")
    pairs: tuple[tuple[str, str], ...] | None = Field(
        None,
        min_length=1,
        description="Which two networks are compared (pairwise); null: each with the dense one.",
    )
    stimuli: tuple[Literal["heat", "map"], ...] = Field(
        ("heat",),
        min_length=1,
        description="Heat maps, explanation maps, or both (pairwise).",
    )
    method: str | None = Field(None, description="Of attribution; null: the only one that the run has.")
    images_per_class: int = Field(5, ge=1, description="Images of a class (pairwise, identification).")
    rightly_named: bool = Field(
        True,
        description="Only images that every network asked about names rightly (pairwise, identification).",
    )


class Timing(Settings):
    """How long things take."""

    lock_ms: int = Field(500, ge=0, le=60_000, description="For so long, a new task takes no answer.")
    feedback_ms: int = Field(
        1200, ge=0, le=60_000, description="For so long at least, practice says what was right."
    )
    task_s: float = Field(
        10,
        gt=0,
        le=600,
        description="What a task takes on average, for {minutes} in texts; nothing is enforced.",
    )
    leave_after_s: float = Field(
        1800,
        gt=0,
        description="Who has not been heard of for so long has left; the place goes to someone else.",
    )


class Checks(Settings):
    """What the browser of a participant has to offer."""

    fullscreen: bool = Field(True, description="Ask for the whole screen, where the browser can give it.")
    least_width: int = Field(320, ge=0, description="Of the window, in CSS pixels.")
    least_height: int = Field(480, ge=0, description="Of the window, in CSS pixels.")


class Exclusion(Settings):
    """Whose answers are left out of the analysis. Null: that rule is not applied; what it looks at is kept anyway."""

    catch: float | None = Field(0.8, ge=0, le=1, description="Least share of catch trials that are right.")
    total_s: tuple[float, float] | None = Field((135, 2500), description="From consent to the last answer.")
    instructions_s: tuple[float, float] | None = Field((15, 180), description="Reading the instructions.")
    rarer: int | None = Field(
        5, ge=0, description="Least answers of the rarer side: some press one button only."
    )
    practice_rounds: int | None = Field(3, ge=1, description="Most rounds of practice until all was right.")


class Platform(Settings):
    """Where participants come from, and what sends them back."""

    store_ids: Literal["hashed", "plain", "none"] = Field(
        "hashed",
        description="What is kept of the platform's ids; hashed: with a key that never leaves the folder.",
    )
    code: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]{4,64}$",
        description="The completion code; null: one of its own for each.",
    )
    prolific_link: str = Field(
        "https://app.prolific.com/submissions/complete?cc={code}", pattern=r"^https://[^\s<>\"']+$",
        description="Where participants from Prolific return to.",
    )  # fmt: skip
    mturk_hosts: tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")], ...] = Field(
        ("www.mturk.com", "workersandbox.mturk.com"),
        description="Where participants from Mechanical Turk may be sent back to.",
    )


class Question(Settings):
    """A question beside the tasks. There is none unless the design has it: it may ask for personal data."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    text: str
    kind: Literal["text", "number", "choice"] = "text"
    choices: tuple[str, ...] = ()
    required: bool = False
    when: Literal["before", "after"] = Field(
        "after", description="Before the instructions or after the last task."
    )

    @model_validator(mode="after")
    def _choices(self) -> Self:
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("choices are given for kind: choice, and only for it")
        return self


class Design(Settings):
    """A design file; what it leaves out is as in the packaged design of its kind."""

    kind: Kind
    title: str
    language: str = Field(
        "en", pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="BCP 47, for screen readers."
    )
    seed: int = Field(
        0, ge=0, description="Of the choice of tasks, the lists, and what each participant sees."
    )
    tasks: int = Field(ge=1, description="Tasks of a participant, beside practice and catch trials.")
    catch: int = Field(ge=0, description="Catch trials of a participant.")
    practice: int = Field(
        ge=0, description="Practice tasks, repeated in rounds until all of a round are right."
    )
    answers_per_task: int = Field(ge=1, description="So many participants are wanted for each task.")
    each_sees: Literal["one network", "all networks"] = Field(
        description="Whether the tasks of one participant are all of one network, or balanced over all."
    )
    confidence: int = Field(
        1, ge=1, le=5, description="Levels of confidence beside each answer; 1: none is asked."
    )
    answers: tuple[Answer, ...] | None = Field(
        None, description="Null: of identification, the classes of the images and “don't know”."
    )
    pool: Pool = Pool()
    timing: Timing = Timing()
    checks: Checks = Checks()
    exclusion: Exclusion = Exclusion()
    platform: Platform = Platform()
    questions: tuple[Question, ...] = ()
    retention_days: int | None = Field(
        None,
        ge=0,
        description="So long after the last answer, platform ids and free text may be kept; see `retain`.",
    )
    consent: tuple[str, ...] = Field(
        min_length=1, description="Paragraphs that one agrees to before anything is kept."
    )
    instructions: tuple[str, ...] = Field(min_length=1, description="Pages of the instructions, each a text.")
    prompt: str = Field(min_length=1, description="The question above each task.")
    words: dict[str, str] = Field(description="All other words of the page, by key.")

    @field_validator("answers")
    @classmethod
    def _of_the_kind(
        cls, answers: tuple[Answer, ...] | None, info: ValidationInfo
    ) -> tuple[Answer, ...] | None:
        kind = info.data.get("kind")  # absent if it is itself wrong
        given = {answer.value for answer in answers or ()}
        least, most = ANSWERS.get(kind, (set(), set()))
        if least and not least <= given <= most:
            here = ", ".join(sorted(given)) or "none"
            raise ValueError(f"those of {kind} are {', '.join(sorted(most))}, and here are {here}")
        if len(given) < len(answers or ()):
            raise ValueError("two have the same value")
        return answers

    @field_validator("pool")
    @classmethod
    def _shows_no_photograph(cls, pool: Pool, info: ValidationInfo) -> Pool:
        if info.data.get("kind") == "identification" and "heat" in pool.stimuli:
            raise ValueError("a heat map shows the whole photograph: identification takes stimuli: [map]")
        if len(set(pool.stimuli)) < len(pool.stimuli):
            raise ValueError("one of the stimuli is named twice")
        return pool


def read_design(path: Path | str) -> Design:
    """Read a design file, or the packaged design of a kind: "mis", "pairwise", "identification".

    Raises:
        PrunescopeError: there is no such file or kind, or it says something that a design cannot.
    """
    if str(path) in KINDS:
        return Design.model_validate(packaged(str(path)))
    document = read_document(Path(path))
    kind = document.data.get("kind")
    if kind not in KINDS:
        near = did_you_mean(str(kind), KINDS)
        raise PrunescopeError(
            f"{document.where(('kind',))}: kind is {kind!r}{near}: expected {', '.join(KINDS)}"
        )
    return validate(replace(document, data=_over(packaged(kind), document.data)), Design)


def packaged_text(kind: str) -> str:
    """Return the packaged design of a kind as its file has it, with comments: to start one's own from.

    Raises:
        PrunescopeError: there is no such kind.
    """
    if kind not in KINDS:
        raise PrunescopeError(f"no design {kind!r}{did_you_mean(kind, KINDS)}: there are {', '.join(KINDS)}")
    return _text(f"{kind}.yaml")


def packaged(kind: str) -> dict[str, Any]:
    """Return what the packaged design of a kind says, with the packaged words of its language."""
    return _yaml(f"{kind}.yaml") | {"words": _yaml("words.en.yaml")}


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a mapping over another, and so on inwards."""
    both = {
        key: _over(below[key], above[key]) for key in above if _nested(below, key) and _nested(above, key)
    }
    return {**below, **above, **both}


def _nested(mapping: Mapping[str, Any], key: str) -> bool:
    return isinstance(mapping.get(key), Mapping)


def _yaml(name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(_text(name))
    return read


def _text(name: str) -> str:
    return files("prunescope.survey").joinpath("designs", name).read_text(encoding="utf-8")
