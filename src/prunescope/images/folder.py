"""Images in folders: a subfolder a class (`folder:PATH`), files named `<class>_<rest>` (`flat:PATH`), or any files,
without labels (`unlabelled:PATH`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.images.decode import read_image
from prunescope.images.digests import file_digests, fingerprint
from prunescope.images.source import SOURCES, ImageSet, Role

EXTENSIONS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
PARTS = {"train", "val", "valid", "validation", "test"}


@SOURCES.register("folder")
def open_folder(argument: str, role: Role, data: Path | None) -> ImageSet:
    """Open a folder with one subfolder per class; images lie anywhere below it, hidden files are ignored.

    The sorted names of the subfolders are the classes. `role` makes no difference: name the part in the path.

    Raises:
        PrunescopeError: no such folder, no subfolders, one without an image, or no permission.
    """
    with _folder(argument, data) as root:
        classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not _hidden(path.name))
        if not classes:
            raise PrunescopeError(
                f"{root} has no subfolders, and 'folder:' takes one per class; "
                "if its files are named <class>_<rest>, write 'flat:' instead"
            )
        if PARTS.issuperset(classes):
            raise PrunescopeError(
                f"{root} holds {', '.join(classes)}: parts of a data set, not classes; "
                f"name one of them, say 'folder:{Path(argument) / classes[0]}'"
            )
        names = {name: sorted(_images_below(root / name, root)) for name in classes}
        empty = [name for name in classes if not names[name]]
        if empty:
            raise PrunescopeError(
                f"no image in {len(empty)} of the {len(classes)} class folders of {root}: "
                f"{', '.join(empty[:10])}{', …' if len(empty) > 10 else ''}; "
                f"fill or remove them (images end in {', '.join(sorted(EXTENSIONS))})"
            )
        return _labelled(f"folder:{argument}", root, [(own, name) for own in classes for name in names[own]])


@SOURCES.register("flat")
def open_flat(argument: str, role: Role, data: Path | None) -> ImageSet:
    """Open one folder of files `<class>_<rest>`: the class is the text before the first underscore.

    Raises:
        PrunescopeError: no such folder, no images, a file without an underscore, or no permission.
    """
    with _folder(argument, data) as root:
        names = sorted(path.name for path in root.iterdir() if _is_image(path.name) and path.is_file())
        if not names:
            raise _no_images(root)
        nameless = [name for name in names if name.find("_") < 1]
        if nameless:
            raise PrunescopeError(
                f"'flat:' takes files named <class>_<rest>, and {root} has {nameless[0]!r} "
                f"({len(nameless)} of {len(names)} without a class); rename or remove them"
            )
        return _labelled(f"flat:{argument}", root, sorted((name[: name.index("_")], name) for name in names))


@SOURCES.register("unlabelled")
def open_unlabelled(argument: str, role: Role, data: Path | None) -> ImageSet:
    """Open all images below a folder, whatever they show: they have no classes, and -1 for a label.

    Raises:
        PrunescopeError: no such folder, no images, or no permission.
    """
    with _folder(argument, data) as root:
        names = sorted(_images_below(root, root))
        if not names:
            raise _no_images(root)
        return _opened(f"unlabelled:{argument}", root, (), [-1] * len(names), names)


def scheme_for(argument: str, data: Path | None) -> Literal["folder", "unlabelled"]:
    """Say how a folder of which nothing else is said is to be opened: with a class a subfolder, if any has images.

    Raises:
        PrunescopeError: no such folder, one with images both beside and in subfolders, or no permission.
    """
    with _folder(argument, data) as root:
        entries = sorted(path for path in root.iterdir() if not _hidden(path.name))
        loose = [path.name for path in entries if _is_image(path.name) and path.is_file()]
        classes = [
            path.name
            for path in entries
            if path.is_dir() and next(_images_below(path, root), None) is not None
        ]
        if loose and classes:
            raise PrunescopeError(
                f"{root} has images ({loose[0]}) beside subfolders of images ({classes[0]}): write "
                f"'folder:{argument}' if the subfolders are classes, else 'unlabelled:{argument}'"
            )
        return "folder" if classes else "unlabelled"


@contextmanager
def _folder(argument: str, data: Path | None) -> Iterator[Path]:
    """Yield the folder that `argument` names, and say what went wrong with it in the user's words."""
    root = (data or Path.cwd()) / Path(argument).expanduser()
    try:
        if not root.is_dir():
            raise PrunescopeError(
                f"{root} is {'not a folder' if root.exists() else 'not there'}; "
                "relative paths start from the data folder, or from the current one if none is given"
            )
        yield root
    except OSError as error:
        raise describe_os_error(error, f"reading images from {error.filename or root}") from error


def _images_below(folder: Path, root: Path) -> Iterator[str]:
    """Yield the path of every image below `folder`, relative to `root`, following symbolic links."""
    seen: set[Path] = set()
    for parent, below, files in os.walk(folder, onerror=_raise, followlinks=True):
        here = Path(parent)
        if here.resolve() in seen:
            raise PrunescopeError(f"{here} is met twice through symbolic links; remove one of the links")
        seen.add(here.resolve())
        below[:] = [name for name in below if not _hidden(name)]
        yield from ((here / name).relative_to(root).as_posix() for name in files if _is_image(name))


def _no_images(root: Path) -> PrunescopeError:
    return PrunescopeError(f"{root} has no images (files that end in {', '.join(sorted(EXTENSIONS))})")


def _raise(error: OSError) -> None:
    raise error


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _is_image(name: str) -> bool:
    return not _hidden(name) and Path(name).suffix.lower() in EXTENSIONS


def _labelled(source: str, root: Path, files: Sequence[tuple[str, str]]) -> ImageSet:
    """Return the set of the given (class, path relative to `root`), in that order."""
    classes = tuple(sorted({own for own, _ in files}))
    number = {name: index for index, name in enumerate(classes)}
    return _opened(source, root, classes, [number[own] for own, _ in files], [name for _, name in files])


def _opened(
    source: str, root: Path, classes: tuple[str, ...], labels: Sequence[int], names: Sequence[str]
) -> ImageSet:
    return ImageSet(
        source=source,
        classes=classes,
        labels=np.array(labels, dtype=np.int64),
        names=tuple(names),
        fingerprint=fingerprint(classes, labels, names, file_digests(root, names)),
        decode=lambda index: read_image(root / names[index]),
    )
