"""Arrays that are larger than the memory set aside for them: in a file that vanishes with them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import describe_os_error
from prunescope.images.kept import cache_folder


def temporary_array(shape: tuple[int, ...], folder: Path | None = None) -> NDArray[np.float32]:
    """Return zeros, mapped from a nameless file that goes when nothing refers to the array any more.

    All of the file's room is taken at once where the system can do that: of a disk that is full later, a
    mapped file would tell by killing the process.

    Args:
        folder: where the file lies (default: the folder of decoded images).

    Raises:
        NoRoomError: the disk is full.
        PrunescopeError: the folder cannot be written to.
    """
    place = folder or cache_folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, 4 * int(np.prod(shape, dtype=np.int64)))
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError as error:
        raise describe_os_error(error, f"writing activations to {place}") from error


class Closing:
    """A context manager that closes itself on leaving."""

    def close(self) -> None:
        """Let go of what is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
