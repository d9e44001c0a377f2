"""What every route of the server needs: the service, who asks, with which token, and what may go wrong."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from prunescope.survey import messages
from prunescope.survey.security import digest
from prunescope.survey.service import Service
from prunescope.survey.writer import Refused

LONGEST_TOKEN = 200
Documented = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Documented:
    """Return what the API's document says of errors."""
    said = {400: "This is no JSON.", 408: "The body was too slow.", 413: "The body is too large."}
    of_body = (400, 408) if 413 in statuses else ()
    return {
        status: {"model": messages.Problem, "description": said.get(status, "See `detail`.")}
        for status in (*of_body, *statuses)
    }


def service_of(request: Request) -> Service:
    """Return what the server works with."""
    service: Service = request.app.state.service
    return service


def address_of(request: Request) -> str:
    """Return where a request comes from; it is kept nowhere but in memory."""
    return request.client.host if request.client else ""


class SessionToken(HTTPBearer):
    """The token of a session, not yet looked up, if it does not come all the time.

    One dependency and not a tree of them, since answers pass here, and FastAPI takes its time for each.
    """

    def __init__(self) -> None:
        super().__init__(scheme_name="session", description="The token of a session.", auto_error=False)

    async def __call__(self, request: Request) -> str:  # type: ignore[override]
        """Return the token.

        Raises:
            Refused: there is none, or it was used too often.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= LONGEST_TOKEN:
            raise Refused(401, "No session: please open the study's link again.")
        limits = service_of(request).limits
        of_pictures = request.url.path.startswith("/api/pictures/")
        (limits.pictures if of_pictures else limits.writing).take(digest(token))
        return token


Token = Annotated[str, Depends(SessionToken())]
