"""What a user can cause, said so that the user can mend it."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class PrunescopeError(Exception):
    """Something the user gave or has cannot be used: says what was given, what was expected, what to do."""


class NoRoomError(PrunescopeError):
    """The disk is full: nothing more can be written, so there is no sense in going on."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x' or 'y'?)`` for the known names near `given`, or an empty string."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(given.lower(), names, n=3, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(names[name]) for name in near)}?)" if near else ""


def some(names: Sequence[str]) -> str:
    """Return the first three of many names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def describe_os_error(error: OSError, doing: str) -> PrunescopeError:
    """Turn an `OSError` met while `doing` (say, "writing runs/steps") into words that say what to do."""
    if error.errno in NO_ROOM:
        return NoRoomError(
            f"no room left on the disk while {doing}: free some space and run the same command again; "
            "everything finished before is kept"
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PrunescopeError(
            f"no permission while {doing} ({error.strerror}): choose another folder, or change its rights"
        )
    return PrunescopeError(f"{error.strerror or error} while {doing}")
