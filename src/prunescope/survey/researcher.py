"""What the researcher's page asks the server for, behind a token."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection, delete, insert

from prunescope.errors import PrunescopeError
from prunescope.survey import messages
from prunescope.survey.routing import Documented, address_of, problems, service_of
from prunescope.survey.security import same
from prunescope.survey.standing import standing
from prunescope.survey.storage import state
from prunescope.survey.writer import Refused, Transaction

ZIP: Documented = {200: {"content": {"application/zip": {}}}}
_bearer = HTTPBearer(scheme_name="researcher", description="The researcher's token.", auto_error=False)


async def researcher(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> None:
    """Let only the researcher through. Wrong tokens are counted by address; the right one is never locked out."""
    service = service_of(request)
    given = credentials.credentials if credentials else ""
    if not same(given, service.token):
        service.limits.guessing.take(address_of(request))
        raise Refused(
            401, "This is not the researcher's token: it is in the file researcher.token of the experiment."
        )


router = APIRouter(prefix="/api/researcher", dependencies=[Depends(researcher)])


@router.get("/state", response_model=messages.Standing, responses=problems(401, 429, 503))
async def who_is_where(request: Request) -> JSONResponse:
    """Say who is where, and how far each condition is."""
    service = service_of(request)
    tables = await service.work(lambda connection, now: standing(connection, service.experiment, now))
    return JSONResponse(await asyncio.to_thread(tables.told))


@router.post("/pause", response_model=messages.GivenPause, responses=problems(401, 413, 422, 429, 503))
async def pause(given: messages.GivenPause, request: Request) -> dict[str, bool]:
    """Let nobody new in, or let people in again; who has begun goes on."""
    service = service_of(request)

    def work(connection: Connection, _now: float) -> None:
        connection.execute(delete(state).where(state.c.name == "paused"))
        connection.execute(insert(state).values(name="paused", value=str(int(given.paused))))

    await service.work(work)
    return {"paused": given.paused}


@router.post("/withdraw", response_model=messages.Withdrawn, responses=problems(401, 404, 413, 422, 429, 503))
async def withdraw(given: messages.GivenWithdrawal, request: Request) -> dict[str, bool]:
    """Erase everything of a participant, for good."""
    service = service_of(request)

    def work(transaction: Transaction) -> None:
        if not service.erase(transaction, given.participant):
            raise Refused(404, "There is no such participant (any more).")

    await service.writer.do(work)
    await service.refresh_files()
    return {"withdrawn": True}


@router.get(
    "/export",
    response_class=Response,
    responses=ZIP | problems(401, 409, 429, 503),
)
async def export(request: Request) -> Response:
    """Return the exported files, as they are now, as a zip."""
    service = service_of(request)
    from prunescope.survey.export import export_zip

    try:
        content = await asyncio.to_thread(export_zip, service.experiment.folder, service.url)
    except PrunescopeError as error:
        raise Refused(409, str(error)) from error
    name = f'attachment; filename="{service.experiment.name}.zip"'
    return Response(content, media_type="application/zip", headers={"Content-Disposition": name})
