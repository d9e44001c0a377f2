"""The folder that an audit is written to, seen to before hours of work."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.images.source import ImageSet
from prunescope.networks.network import resolve

STUDY = "study.json"


def prepare(out: Path, images: ImageSet | str | Path, data: Path | None) -> None:
    """Make the folder of an audit, unless it must not or cannot be written.

    Raises:
        PrunescopeError: it is a file or may not be written, holds a study, or lies among the images.
    """
    if not isinstance(images, ImageSet):
        _refuse_among(out, str(images), data)
    try:
        if out.exists() and not out.is_dir():
            raise PrunescopeError(f"--out {out} is a file: give a folder")
        if (out / STUDY).exists():
            raise PrunescopeError(f"--out {out} holds the results of a study: give another folder")
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise describe_os_error(error, f"making the folder {str(out)[:80]}") from error


def _refuse_among(out: Path, images: str, data: Path | None) -> None:
    """Refuse a folder within that of the images, where the next audit would take it for one of a class."""
    for text in (images, images.partition(":")[2]):
        root = resolve(text, data)
        if text and root.is_dir() and out.resolve().is_relative_to(root.resolve()):
            raise PrunescopeError(
                f"--out {out} lies in the folder of the images, {root}, where it would be taken for one of theirs: "
                "give another folder"
            )
