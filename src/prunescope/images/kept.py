"""What is computed once and kept in the cache: a folder that is there whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from filelock import FileLock

from prunescope.errors import PrunescopeError, describe_os_error

T = TypeVar("T")


def cache_folder() -> Path:
    """Return where results are kept: $PRUNESCOPE_CACHE, or else ~/.cache/prunescope."""
    return Path(os.environ.get("PRUNESCOPE_CACHE") or "~/.cache/prunescope").expanduser()


def place_of(kind: str, what: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Return where something is kept, by a hash of all that decides it.

    Args:
        kind: of thing, in plural; names a folder of the cache.
        what: JSON, always in the same order.
        folder: the cache (default: `cache_folder()`).
    """
    key = hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()
    return (folder or cache_folder()) / kind / key


def kept(place: Path, load: Callable[[Path], T | None], write: Callable[[Path], None]) -> T:
    """Return what `load` finds at `place`, after `write` has put it there where it is not there yet.

    It appears under its name when it is whole, so what a killed process left is never read; a second process waits
    for the first and shares its work.

    Args:
        load: returns None where there is nothing, or something damaged, which is then made anew.
        write: fills the empty folder that it is given.

    Raises:
        PrunescopeError: the cache cannot be written.
        NoRoomError: the disk is full.
    """
    if (found := load(place)) is not None:
        return found
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{place}.lock"):
            if load(place) is None:  # else another process has just made it
                _write(place, write)
    except OSError as error:
        raise describe_os_error(error, f"writing to the cache in {place.parent}") from error
    found = load(place)
    if found is None:
        raise PrunescopeError(f"what is kept in {place} vanished while it was opened; run it again")
    return found


def _write(place: Path, write: Callable[[Path], None]) -> None:
    part = place.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    shutil.rmtree(place, ignore_errors=True)  # damaged, or this would not be called
    part.mkdir()
    try:
        write(part)
        part.rename(place)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def settle(file: BinaryIO) -> None:
    """Bring a file to the disk: a power cut must not leave a whole one of zeros."""
    file.flush()
    os.fsync(file.fileno())
