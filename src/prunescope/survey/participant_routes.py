"""What a participant's page asks the server for."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from prunescope.survey import messages
from prunescope.survey.answering import keep_answers
from prunescope.survey.assignment import closed
from prunescope.survey.completion import completion
from prunescope.survey.entering import Entrance, enter
from prunescope.survey.participants import Participant, change, find
from prunescope.survey.progress import move_on, trials_now, where
from prunescope.survey.questions import keep_events, keep_questions
from prunescope.survey.routing import Documented, Token, address_of, problems, service_of
from prunescope.survey.security import digest, same
from prunescope.survey.shown_trials import shown_now
from prunescope.survey.trials import answers_of
from prunescope.survey.writer import Refused, Transaction

router = APIRouter(prefix="/api")
TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
PICTURES: Documented = {200: {"content": {"image/png": {}, "image/jpeg": {}}}}
GAP: Documented = {409: {"model": messages.Gap, "description": "Not the next answer: go on at `next`."}}


@router.get("/health")
async def health() -> messages.Health:
    """Say that the server is there."""
    return messages.Health(ok=True)


@router.get("/welcome", response_model=messages.Welcome, responses=problems(503))
async def welcome(request: Request) -> dict[str, Any]:
    """Say what the study is about; nothing is kept of who asks."""
    service = service_of(request)
    experiment, design = service.experiment, service.experiment.design
    why = await service.work(lambda connection, now: closed(connection, experiment, now))
    dumped = design.model_dump(
        mode="json",
        include={
            "title", "language", "kind", "consent", "instructions", "prompt", "words", "confidence", "timing",
            "checks", "questions",
        },
    )  # fmt: skip
    return dumped | {
        "name": experiment.name,
        "answers": [answer.model_dump(mode="json") for answer in answers_of(experiment)],
        "open": not why,
        "closed": why,
        "mturk_hosts": list(design.platform.mturk_hosts),
    }


@router.post(
    "/participants",
    status_code=201,
    response_model=messages.Entered,
    responses=problems(403, 409, 413, 422, 429, 503),
)
async def join(
    given: messages.GivenParticipant,
    request: Request,
    x_researcher: Annotated[str | None, Header(description="Only for simulated participants.")] = None,
) -> dict[str, str]:
    """Take part: a place and a session."""
    service = service_of(request)
    if given.simulated:
        if not same(x_researcher or "", service.token):
            service.limits.guessing.take(address_of(request))
            raise Refused(
                403, "Simulated participants need the researcher's token in the header X-Researcher."
            )
    else:
        service.limits.entering.take(address_of(request))

    def work(transaction: Transaction) -> Entrance:
        now = service.clock.now()
        entrance = enter(transaction.connection, service.experiment, service.ids, given, now)
        service.remember(transaction, entrance.participant)
        return entrance

    entrance = await service.writer.do(work)
    return {"session": entrance.token, "participant": entrance.participant.participant}


@router.get("/session", response_model=messages.Session, responses=problems(401, 429, 503))
async def session(token: Token, request: Request) -> JSONResponse:
    """Say how far the participant is, and what is shown now."""
    service = service_of(request)

    def work(transaction: Transaction) -> tuple[Participant, dict[str, Any]]:
        person = find(transaction.connection, digest(token))
        person = change(transaction.connection, person, service.clock.now())
        service.remember(transaction, person)
        return person, where(transaction.connection, service.experiment, person)

    person, told = await service.writer.do(work)
    practising = person.stage == "practice"
    told["practice"] = shown_now(service.experiment, person) if practising else []
    told["trials"] = shown_now(service.experiment, person) if person.phase == "main" else []
    return JSONResponse(told)


@router.get(
    "/pictures/{phase}/{round}/{position}/{place}/{n}",
    response_class=Response,
    responses=PICTURES | problems(401, 403, 404, 422, 429, 503),
)
async def picture(
    phase: messages.PhaseName,
    round: Annotated[int, Path(ge=1, le=100_000)],
    position: Annotated[int, Path(ge=0, le=100_000)],
    place: Annotated[str, Path(max_length=16)],
    n: Annotated[int, Path(ge=0, le=1000)],
    token: Token,
    request: Request,
) -> Response:
    """Return a picture of a trial that the participant may see now."""
    service = service_of(request)
    person = await service.person(token)
    if person.stage != phase or person.round != round:
        raise Refused(403, "This picture is not part of what is shown now.")
    trials = trials_now(service.experiment, person)
    names = trials[position].shown.get(place, []) if position < len(trials) else []
    if n >= len(names):
        raise Refused(404, "There is no such picture.")
    path = service.experiment.pictures / names[n]
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except OSError as error:
        raise Refused(503, "This picture cannot be read at the moment: please try again.") from error
    return Response(content, media_type=TYPES[path.suffix], headers={"Cache-Control": "private, no-store"})


@router.post("/stage", response_model=messages.Where, responses=problems(401, 409, 413, 422, 429, 503))
async def stage(given: messages.GivenStage, token: Token, request: Request) -> JSONResponse:
    """End a stage that has no trials."""
    service = service_of(request)

    def work(transaction: Transaction) -> dict[str, Any]:
        connection, now = transaction.connection, service.clock.now()
        person = move_on(connection, service.experiment, digest(token), given.done, given.elapsed_ms, now)
        service.remember(transaction, person)
        return where(connection, service.experiment, person)

    return JSONResponse(await service.writer.do(work))


@router.post(
    "/answers",
    response_model=messages.Acknowledged,
    responses=problems(401, 413, 422, 429, 503) | GAP,
)
async def answers(given: messages.GivenAnswers, token: Token, request: Request) -> JSONResponse:
    """Keep answers; the reply comes after they are on the disk."""
    service = service_of(request)

    def work(transaction: Transaction) -> dict[str, Any]:
        connection, now = transaction.connection, service.clock.now()
        person, told = keep_answers(
            connection, service.experiment, service.offered, digest(token), given.answers, now
        )
        service.remember(transaction, person)
        return told

    told = await service.writer.do(work)
    if "detail" in told:
        return JSONResponse({"detail": told["detail"], "next": told["next"]}, 409)
    return JSONResponse(told)


@router.post("/questions", response_model=messages.Kept, responses=problems(401, 409, 413, 422, 429, 503))
async def questions(given: messages.GivenQuestions, token: Token, request: Request) -> dict[str, int]:
    """Keep answers to the questions beside the tasks."""
    service = service_of(request)

    def work(connection: Connection, now: float) -> int:
        return keep_questions(connection, service.experiment.design, digest(token), given.answers, now)

    return {"kept": await service.work(work)}


@router.post("/events", response_model=messages.Kept, responses=problems(401, 413, 422, 429, 503))
async def events(given: messages.GivenEvents, token: Token, request: Request) -> dict[str, int]:
    """Keep what happened to the window."""
    service = service_of(request)
    return {
        "kept": await service.work(
            lambda connection, now: keep_events(connection, digest(token), given.events, now)
        )
    }


@router.get("/completion", response_model=messages.Completion, responses=problems(401, 409, 429, 503))
async def completed(token: Token, request: Request) -> dict[str, Any]:
    """Return the completion code, and the way back to the platform."""
    service = service_of(request)
    person = await service.work(lambda connection, _: find(connection, digest(token)))
    return completion(service.experiment.design, person)


@router.post("/withdraw", response_model=messages.Withdrawn, responses=problems(401, 429, 503))
async def withdraw(token: Token, request: Request) -> dict[str, bool]:
    """Erase everything of the participant, for good."""
    service = service_of(request)

    def work(transaction: Transaction) -> None:
        person = find(transaction.connection, digest(token))
        service.erase(transaction, person.participant)

    await service.writer.do(work)
    await service.refresh_files()
    return {"withdrawn": True}
