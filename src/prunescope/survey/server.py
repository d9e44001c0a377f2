"""The server of one experiment, as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from prunescope.survey import pages, participant_routes, researcher
from prunescope.survey.experiment import Experiment
from prunescope.survey.gate import Gate
from prunescope.survey.security import headers
from prunescope.survey.service import Service
from prunescope.survey.writer import Refused

EXPORTS_EVERY_S = 60.0  # files that could not be written anew after a withdrawal are tried again


def create_app(
    experiment: Experiment,
    url: str,
    *,
    page: Path | None = None,
    hosts: Iterable[str] | None = None,
    frames: Iterable[str] = (),
) -> FastAPI:
    """Return the server of an experiment; it takes the database as soon as it is made.

    Args:
        experiment: as `read_experiment` gives it.
        url: of the database, as `storage.database_url` gives it.
        page: folder of the page; None: that of the package.
        hosts: what a request may call this server (header Host, without port); None: anything.
        frames: sites that may show the page in a frame.

    Raises:
        PrunescopeError: another server has the database, it is another experiment's, or jsPsych is missing.
    """
    files = pages.read_page(page if page is not None else pages.packaged_page())
    service = Service(experiment, url)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        refreshing = asyncio.create_task(_refresh(service))
        yield
        refreshing.cancel()
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title=f"prunescope survey: {experiment.name}",
        version=version("prunescope"),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.page = service, files
    for router in (participant_routes.router, researcher.router, pages.router):
        app.include_router(router)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    allowed = None if hosts is None else frozenset(hosts)
    app.add_middleware(Gate, headers=headers(experiment.design, frames), hosts=allowed)
    return app


async def _refresh(service: Service) -> None:
    while True:
        with suppress(Refused):  # nothing can be stored now; later, perhaps
            await service.refresh_files()
        await asyncio.sleep(EXPORTS_EVERY_S)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    more = dict(error.more)
    wait = more.pop("retry_after", None)
    own = {} if wait is None else {"Retry-After": str(wait)}
    if error.status == 401:
        own["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"detail": error.words} | more, error.status, own)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Say where a request is not right, and not what it said: that may be anything, and JSON cannot hold all of it."""
    assert isinstance(error, RequestValidationError)
    told = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()[:5]]
    text = "; ".join(told).encode("utf-8", "replace").decode()
    return JSONResponse({"detail": text[:1000]}, 422)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    words = "Something went wrong in the server. Your answers are kept in this browser and sent again."
    return JSONResponse({"detail": words}, 500)
