"""What stands after the colon of a source: a folder or file, and settings, `voc,labels=voc,void=255`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from prunescope.errors import PrunescopeError, did_you_mean


def path_and_settings(scheme: str, argument: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Split `PATH,name=value,…`; commas in the path are kept where no `name=` follows them.

    Raises:
        PrunescopeError: the path is missing, or a setting is unknown, empty or given twice.
    """
    path, *given = re.split(r",(?=\w+=)", argument)
    if not path or re.match(r"\w+=", path):
        raise PrunescopeError(f"'{scheme}:{argument}' names no folder; expected '{scheme}:FOLDER'")
    settings: dict[str, str] = {}
    for setting in given:
        name, _, value = setting.partition("=")
        if name not in known:
            expected = f"known: {', '.join(known)}" if known else "it has none"
            raise PrunescopeError(
                f"no setting {name!r} of '{scheme}:'{did_you_mean(name, known)}; {expected}"
            )
        if name in settings or not value:
            raise PrunescopeError(
                f"'{scheme}:{argument}': {name} is {'given twice' if value else 'empty'}; give it one value"
            )
        settings[name] = value
    return path, settings


def existing_folder(path: str, data: Path | None) -> Path:
    """Return the folder that `path`, from the data folder on, names.

    Raises:
        PrunescopeError: there is none.
    """
    folder = (data or Path.cwd()) / Path(path).expanduser()
    if not folder.is_dir():
        raise PrunescopeError(
            f"{folder} is {'not a folder' if folder.exists() else 'not there'}; "
            "relative paths start from the data folder, or from the current one if none is given"
        )
    return folder
