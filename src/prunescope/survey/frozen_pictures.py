"""The pictures of an experiment: taken from a run byte by byte, less all that is written in them beside the image."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.experiment import picture_name

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
OF_THE_IMAGE = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"cHRM",
    b"gAMA",
    b"iCCP",
    b"sBIT",
    b"sRGB",
    b"cICP",
}
COMMENT, APPLICATION = 0xFE, range(0xE0, 0xF0)
COLOURS = {
    0xE0,
    0xE2,
    0xEE,
}  # JFIF, colour profile, Adobe's colour transform: they decide how the image looks
SCAN = 0xDA


class FrozenPictures:
    """Collects pictures; each is there once, by the hash of its bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._named: dict[object, str] = {}

    def add(self, key: object, content: Callable[[], bytes], source: str) -> str:
        """Add a picture unless the key is known, and return its name in the experiment.

        Args:
            key: by which the picture is asked for.
            content: reads its bytes.
            source: what to call it in errors.

        Raises:
            PrunescopeError: it is neither PNG nor JPEG, or damaged.
        """
        if key not in self._named:
            plain, ending = without_notes(content(), source)
            name = picture_name(plain, ending)
            self.files[name], self._named[key] = plain, name
        return self._named[key]

    def add_file(self, path: Path) -> str:
        """Add the picture in a file."""
        return self.add(path, lambda: _read(path), str(path))


def without_notes(content: bytes, source: str) -> tuple[bytes, str]:
    """Return a picture without comments, EXIF and other text, and its ending; the pixels are not touched.

    Such notes may tell what a task asks. A picture without any comes back as it is.

    Raises:
        PrunescopeError: it is neither PNG nor JPEG, or damaged.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
        if content.startswith(PNG):
            return PNG + b"".join(_png_chunks(content)), ".png"
        if content.startswith(JPEG):
            return JPEG + b"".join(_jpeg_segments(content)), ".jpg"
    except (OSError, ValueError, SyntaxError, struct.error, IndexError) as error:
        raise PrunescopeError(
            f"the picture {source} is damaged ({error}): run the study again to write it anew"
        ) from error
    raise PrunescopeError(
        f"the picture {source} is neither PNG nor JPEG: run the study again to write it anew"
    )


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length  # length, kind, data, checksum
        if kind in OF_THE_IMAGE:
            yield content[place:end]
        if kind == b"IEND":  # what follows is not part of the image
            return
        place = end


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    place = len(JPEG)
    while content[place + 1] != SCAN:
        marker = content[place + 1]
        end = place + 2 + struct.unpack_from(">H", content, place + 2)[0]
        if marker in COLOURS or not (marker == COMMENT or marker in APPLICATION):
            yield content[place:end]
        place = end
    yield content[place : content.rindex(b"\xff\xd9") + 2]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PrunescopeError(
            f"the picture {path} is missing: run the study again to write it anew"
        ) from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
