"""What human studies need beside prunescope itself: the extra `survey`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prunescope.errors import PrunescopeError

NEEDED = {"fastapi", "httpx", "psycopg", "sqlalchemy", "uvicorn", "starlette"}


@contextmanager
def survey_parts() -> Iterator[None]:
    """Say how to install what human studies need, where it is not installed.

    Raises:
        PrunescopeError: it is not.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        raise PrunescopeError(
            f'human studies need {error.name}: install it with `pip install "prunescope[survey]"`'
        ) from error
