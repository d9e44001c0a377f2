"""An experiment as a folder: its design, its tasks, its lists and its pictures, frozen when it was built."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import yaml

from prunescope.analysis.results import records
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.design import FILE as DESIGN
from prunescope.survey.design import Design, read_design

Role = Literal["main", "catch", "practice"]
ROLES: tuple[Role, ...] = get_args(Role)
RECORD, TASKS, LISTS, PICTURES, RUN = "experiment.json", "tasks.parquet", "lists.parquet", "pictures", "run"
PREVIEW = "preview/index.html"
VERSION = 1

TASK_COLUMNS = {  # of tasks.parquet; all that do not apply are null
    "task": "str",  # "t00012"
    "role": "str",  # main, catch, practice
    "condition": "str",  # what lists are balanced over: the network, or "one | other" of a pair
    "stimulus": "str",  # "units", "heat map", "explanation map"
    "pictures": "str",  # JSON: slot → list of files in pictures/; see SLOTS
    "right": "str",  # slot or class that is right; null: no answer is wrong
    "network": "str",  # mis, identification
    "one": "str",  # pairwise: the less pruned network
    "other": "str",  # pairwise: the more pruned one
    "image": "str",  # pairwise, identification: the image's name
    "class": "str",  # its class
    "layer": "str",  # mis
    "unit": "Int64",  # mis
    "unit_task": "Int64",  # mis: which of the unit's tasks
    "margin": "float64",  # mis: of this task, as the similarity has it
}
SLOTS = {  # what a task shows, before sides are dealt
    "mis": ("negative", "positive", "positive_query", "negative_query"),  # K, K, 1, 1 pictures
    "pairwise": ("original", "one", "other"),  # 1, 1, 1
    "identification": ("map",),  # 1
}


@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment that was built.

    Attributes:
        folder: where it is.
        design: what is asked.
        tasks: one row a task; `TASK_COLUMNS`.
        lists: one row per list and task: `list` (from 0), `task`. Practice tasks are on no list: all do all of them.
        record: `experiment.json`: version, name, title, the run and its hashes, the files and theirs.
    """

    folder: Path
    design: Design
    tasks: pd.DataFrame
    lists: pd.DataFrame
    record: Mapping[str, Any]

    @property
    def name(self) -> str:
        """How it is called: letters, digits, dashes."""
        return str(self.record["name"])

    @property
    def pictures(self) -> Path:
        """Where its pictures are."""
        return self.folder / PICTURES

    @cached_property
    def task_of(self) -> dict[str, dict[str, Any]]:
        """Each task by its name; `pictures` as a mapping from slot to files, what does not apply None."""
        rows = records(self.tasks.astype(object).where(self.tasks.notna(), None))
        return {row["task"]: {**row, "pictures": json.loads(row["pictures"])} for row in rows}

    @cached_property
    def tasks_of_list(self) -> list[list[str]]:
        """The tasks of each list, main and catch."""
        return [own["task"].tolist() for _, own in self.lists.groupby("list", sort=True)]

    @cached_property
    def practice(self) -> list[str]:
        """The practice tasks."""
        return self.tasks.loc[self.tasks["role"] == "practice", "task"].tolist()

    @cached_property
    def classes(self) -> list[str]:
        """The classes that identification offers."""
        return list(self.record.get("classes", ()))


def write_experiment(
    folder: Path,
    design: Design,
    tasks: pd.DataFrame,
    lists: pd.DataFrame,
    pictures: Mapping[str, bytes],
    record: Mapping[str, Any],
    run: Mapping[str, bytes] | None = None,
    preview: str | None = None,
) -> Experiment:
    """Write an experiment; the folder appears when it is whole.

    Args:
        folder: none yet, or an empty one.
        design: what is asked.
        tasks: `TASK_COLUMNS`.
        lists: `list`, `task`.
        pictures: from their names, as `picture_name` gives them, to the files.
        record: what `experiment.json` says beside version and files: `name`, `title`, `kind`, `run`, `classes`, …
        run: what the analysis needs of the run, from the path of a file in `run/` to its bytes; also frozen.
        preview: the page that shows the tasks to researchers.

    Raises:
        PrunescopeError: something is there already, or it cannot be written.
    """
    folder = folder.absolute()
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        refuse_existing(folder)
        shutil.rmtree(draft, ignore_errors=True)  # of a build that was killed
        (draft / PICTURES).mkdir(parents=True)
        for name, content in pictures.items():
            (draft / PICTURES / name).write_bytes(content)
        (draft / DESIGN).write_text(
            yaml.dump(design.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True),
            encoding="utf-8",
        )
        tasks.astype(TASK_COLUMNS)[list(TASK_COLUMNS)].to_parquet(draft / TASKS, index=False)
        lists[["list", "task"]].to_parquet(draft / LISTS, index=False)
        frozen = {f"{RUN}/{name}": content for name, content in (run or {}).items()}
        _write_all(draft, frozen | ({} if preview is None else {PREVIEW: preview.encode("utf-8")}))
        digests = {name: digest_of_file(draft / name) for name in (DESIGN, TASKS, LISTS, *frozen)}
        text = json.dumps({**record, "version": VERSION, "files": digests}, indent=2, ensure_ascii=False)
        (draft / RECORD).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except OSError as error:
        described = describe_os_error(error, f"writing {folder}")
        shutil.rmtree(draft, ignore_errors=True)
        raise described from error
    return read_experiment(folder)


def refuse_existing(folder: Path) -> None:
    """Check that nothing is there which an experiment would replace.

    Raises:
        PrunescopeError: something is.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PrunescopeError(f"{folder} is there already: give another folder with --out, or remove it")
    except OSError as error:
        raise describe_os_error(error, f"looking into {folder}") from error


class _Dumper(yaml.SafeDumper):
    """PyYAML that also puts quotes around text which YAML 1.2, and so `read_design`, takes for a number."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z"), None
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+\Z"), None)


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def picture_name(content: bytes, ending: str) -> str:
    """Return the name of a picture in an experiment: its SHA-256 and the ending, such as `.jpg`."""
    return hashlib.sha256(content).hexdigest() + ending


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_experiment(folder: Path | str, *, pictures: bool = False) -> Experiment:
    """Read an experiment, and check that its files are those that were built.

    Args:
        folder: as `prunescope survey build` wrote it.
        pictures: also check every picture; their names are their hashes.

    Raises:
        PrunescopeError: it is none, or a file of it is missing or was changed.
    """
    place = Path(folder)
    try:
        record = json.loads((place / RECORD).read_text(encoding="utf-8"))
        if record["version"] != VERSION:
            raise PrunescopeError(f"{place} was built by another version of prunescope: build it again")
        for name, digest in record["files"].items():
            if digest_of_file(place / name) != digest:
                raise PrunescopeError(
                    f"{place / name} is not what was built: an experiment is frozen; build another one from the "
                    "changed design"
                )
        experiment = Experiment(
            place,
            read_design(place / DESIGN),
            pd.read_parquet(place / TASKS),
            pd.read_parquet(place / LISTS),
            record,
        )
        if pictures:
            _check_pictures(experiment)
    except FileNotFoundError as error:
        raise PrunescopeError(
            f"{place} is no whole experiment ({Path(error.filename).name} is missing): give the folder that "
            "`prunescope survey build` wrote"
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise PrunescopeError(f"{place / RECORD} is damaged ({error}): build the experiment again") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {place}") from error
    return experiment


def _check_pictures(experiment: Experiment) -> None:
    for task in experiment.task_of.values():
        for names in task["pictures"].values():
            for name in names:
                path = experiment.pictures / name
                if digest_of_file(path) != path.stem:
                    raise PrunescopeError(
                        f"{path} is not the picture that was frozen: build the experiment again"
                    )
