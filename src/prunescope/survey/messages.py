"""What goes over the wire, in and out: the models that requests are checked with and the API's document shows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Stage = Literal["before", "instructions", "practice", "main", "after", "done"]
PhaseName = Literal["practice", "main"]
NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps every character but this one
Key = Annotated[
    str,
    Field(pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"),
]
Identifier = Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]
Milliseconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]


class Given(BaseModel):
    """A request's body; fields that are not known are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GivenPlatform(Given):
    """Where a participant comes from."""

    name: Literal["prolific", "mturk", "direct"] = "direct"
    participant: Identifier | None = None
    study: Identifier | None = None
    session: Identifier | None = None
    submit_to: Annotated[str, Field(max_length=512, pattern=NO_NUL)] | None = None


def _given(consent: bool) -> bool:  # strict, while a literal True would take a 1
    if not consent:
        raise ValueError("nobody takes part without it")
    return consent


class GivenParticipant(Given):
    """Someone who agrees to take part."""

    consent: Annotated[bool, AfterValidator(_given)] = Field(
        description="Before it is given, nothing is kept.", json_schema_extra={"const": True}
    )
    platform: GivenPlatform = GivenPlatform()
    simulated: bool = False


class GivenStage(Given):
    """The end of a stage without trials."""

    done: Literal["before", "instructions", "after"]
    elapsed_ms: Milliseconds = Field(description="How long the stage took.")


class GivenAnswer(Given):
    """An answer to one trial."""

    phase: PhaseName
    round: int = Field(ge=1, le=100_000)
    position: int = Field(ge=0, le=100_000)
    key: Key
    answer: Annotated[str, Field(min_length=1, max_length=256, pattern=NO_NUL)]
    confidence: int | None = Field(None, ge=1, le=5)
    rt_ms: Milliseconds
    elapsed_ms: Milliseconds


class GivenAnswers(Given):
    """Answers in the order in which they were given."""

    answers: list[GivenAnswer] = Field(min_length=1, max_length=200)


class GivenEvent(Given):
    """What happened to the window."""

    key: Key
    kind: Literal[
        "blur", "focus", "fullscreen_enter", "fullscreen_exit", "resize", "offline", "online", "reload", "hidden",
        "visible",
    ]  # fmt: skip
    elapsed_ms: Milliseconds
    detail: Annotated[str, Field(max_length=200, pattern=NO_NUL)] = ""


class GivenEvents(Given):
    """Events in the order in which they happened."""

    events: list[GivenEvent] = Field(min_length=1, max_length=100)


class GivenQuestions(Given):
    """Answers to questions beside the tasks, by the question's id."""

    answers: dict[
        Annotated[str, Field(max_length=32)],
        Annotated[str, Field(max_length=5000, pattern=NO_NUL)]
        | Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)],
    ] = Field(min_length=1, max_length=100)


class GivenPause(Given):
    """Whether the study takes a break."""

    paused: bool


class GivenWithdrawal(Given):
    """Who is to be erased."""

    participant: Annotated[str, Field(pattern=r"^p-[0-9a-f]{16}$")]


class Problem(BaseModel):
    """Words that say what to do."""

    detail: str


class Gap(Problem):
    """An answer that is not the next one; what came before it is kept."""

    next: int | None = None


class Health(BaseModel):
    """That the server is there."""

    ok: bool


class Choice(BaseModel):
    """One of the answers that each task offers."""

    value: str
    label: str
    keys: list[str]


class Asked(BaseModel):
    """A question beside the tasks."""

    id: str
    text: str
    kind: Literal["text", "number", "choice"]
    choices: list[str]
    required: bool
    when: Literal["before", "after"]


class Welcome(BaseModel):
    """All that the page needs before anybody agreed to anything."""

    name: str
    title: str
    language: str
    kind: Literal["mis", "pairwise", "identification"]
    consent: list[str]
    instructions: list[str]
    prompt: str
    words: dict[str, str]
    answers: list[Choice]
    confidence: int
    timing: dict[str, float]
    checks: dict[str, Any]
    questions: list[Asked]
    open: bool
    closed: str
    mturk_hosts: list[str]


class Entered(BaseModel):
    """A session; the token is told this once."""

    session: str
    participant: str


class Where(BaseModel):
    """How far a participant is."""

    participant: str
    stage: Stage
    phase: PhaseName
    round: int
    next: int
    total: int


class ShownTrial(BaseModel):
    """A trial as the page gets it: where which pictures are, and nothing else."""

    position: int
    pictures: dict[str, list[str]]


class Session(Where):
    """How far a participant is, with the trials of now."""

    practice: list[ShownTrial]
    trials: list[ShownTrial]


class AcknowledgedAnswer(BaseModel):
    """An answer that is on the disk."""

    phase: PhaseName
    round: int
    position: int
    key: str
    duplicate: bool
    right: bool | None


class Acknowledged(BaseModel):
    """Answers that are on the disk, and how far the participant is with them."""

    acknowledged: list[AcknowledgedAnswer]
    stage: Stage
    phase: PhaseName
    round: int
    next: int


class Kept(BaseModel):
    """How many are on the disk."""

    kept: int


class Submission(BaseModel):
    """A form that tells Mechanical Turk that an assignment is done."""

    action: str
    fields: dict[str, str]


class Completion(BaseModel):
    """How a participant shows that all is done."""

    code: str
    link: str | None
    submit: Submission | None
    participant: str


class Withdrawn(BaseModel):
    """That everything of a participant is gone."""

    withdrawn: bool


class StandingParticipant(BaseModel):
    """One participant, as the researcher sees it."""

    participant: str
    number: int
    simulated: bool
    list: int
    stage: Stage
    phase: PhaseName
    round: int
    answered: int
    total: int
    joined: float
    seen: float
    left: bool
    finished: float | None
    events: int
    catch_right: float | None


class StandingCondition(BaseModel):
    """How far a condition is, in answers of people to main tasks."""

    condition: str
    wanted: int
    answered: int
    under_way: int


class StandingList(BaseModel):
    """How far a list is, in people."""

    list: int
    wanted: int
    finished: int
    under_way: int


class Standing(BaseModel):
    """Who is where."""

    name: str
    title: str
    paused: bool
    participants: list[StandingParticipant]
    conditions: list[StandingCondition]
    lists: list[StandingList]
    counts: dict[str, int]
