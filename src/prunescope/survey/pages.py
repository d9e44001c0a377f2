"""The files of the participant's and the researcher's page: those that are in the package, and no other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response

from prunescope.errors import PrunescopeError
from prunescope.survey.messages import Problem
from prunescope.survey.writer import Refused

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
INDEX, RESEARCHER, BUNDLE = "index.html", "researcher.html", "jspsych"
router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class PageFile:
    """A file of the page, kept in memory."""

    content: bytes
    type: str
    tag: str


def packaged_page() -> Path:
    """Return the folder of the page in the package.

    Raises:
        PrunescopeError: it was installed without jsPsych.
    """
    folder = Path(str(files("prunescope.survey").joinpath("page")))
    if not any((folder / BUNDLE).glob("*.js")):
        raise PrunescopeError(
            "the participant's page is not whole: jsPsych is missing. In a checkout, run `make survey`, which fetches "
            "it once; a wheel of prunescope has it"
        )
    return folder


def read_page(folder: Path) -> dict[str, PageFile]:
    """Read all files of the page: what is served is decided now, not by a request."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[path.relative_to(folder).as_posix()] = PageFile(content, TYPES[path.suffix], tag)
    return found


def _reply(request: Request, name: str) -> Response:
    file: PageFile | None = request.app.state.page.get(name)
    if file is None:
        raise Refused(404, "There is no such page.")
    headers = {"ETag": file.tag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers | {"Content-Type": file.type})


@router.get("/", responses={404: {"model": Problem}})
async def index(request: Request) -> Response:
    """Return the participant's page."""
    return _reply(request, INDEX)


@router.get("/researcher")
async def researcher(request: Request) -> Response:
    """Return the researcher's page, which has no data in it."""
    return _reply(request, RESEARCHER)


@router.get("/page/{name:path}")
async def page(request: Request, name: str) -> Response:
    """Return a file of the pages."""
    return _reply(request, name)
