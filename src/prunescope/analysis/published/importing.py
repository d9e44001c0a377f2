"""From a folder of published CSV files to run folders, one for each study."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from prunescope.analysis.published.compressions import study_of_compressions
from prunescope.analysis.published.known import KnownStudy, digest_of_file, known_study
from prunescope.analysis.published.layouts import (
    ENDINGS,
    Family,
    Layout,
    PublishedTable,
    columns_of,
    layout_of,
    read_table,
    why_unknown,
)
from prunescope.analysis.published.methods import study_of_methods
from prunescope.analysis.published.single import shared_start, stem_of, study_of_concepts, study_of_units
from prunescope.analysis.published.study import PublishedStudy, digest_of
from prunescope.errors import PrunescopeError, describe_os_error

JOIN: Mapping[Family, Callable[[Sequence[PublishedTable], str], PublishedStudy]] = {
    "methods": study_of_methods,
    "one network": study_of_units,
    "dissection": study_of_concepts,
    "compressions": study_of_compressions,
}
MANY = ("dissection", "answers")  # layouts of which a study has several files: one a layer, one a survey
PREFIX = "published-"
LONGEST_NAME = 80
Found = tuple[Path, Layout]


class Imported(NamedTuple):
    """What came of an import.

    Attributes:
        runs: the folders written.
        skipped: files that were not recognised, and why.
    """

    runs: list[Path]
    skipped: list[tuple[Path, str]]


def import_published(source: Path | str, out: Path | str = "runs") -> Imported:
    """Write each published study of a folder as a run folder, which all commands then take.

    CSV files, also compressed ones and in folders below, are recognised by their columns, not by their names. Files of
    one folder that belong to one kind of study are joined.

    Args:
        source: the folder, or one file.
        out: the folder of runs; a study imported before is replaced.

    Raises:
        PrunescopeError: nothing is recognised, a recognised file is damaged, or nothing can be written.
    """
    groups, skipped = _recognise(Path(source))
    if not groups:
        raise PrunescopeError(_nothing(Path(source), skipped))
    runs: list[Path] = []
    for (_, family), found in sorted(groups.items(), key=lambda group: (str(group[0][0]), group[0][1])):
        for own in _studies(found):
            runs.append(_import(family, own, Path(source), Path(out), [run.name for run in runs]))
    return Imported(runs, skipped)


def _recognise(source: Path) -> tuple[dict[tuple[Path, Family], list[Found]], list[tuple[Path, str]]]:
    groups: dict[tuple[Path, Family], list[Found]] = {}
    skipped = []
    for path in _files(source):
        columns = columns_of(path)
        layout = layout_of(columns or ())
        if layout is not None:
            groups.setdefault((path.parent, layout.family), []).append((path, layout))
        else:
            skipped.append((path, "it is no CSV" if columns is None else why_unknown(columns)))
    return groups, skipped


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise PrunescopeError(f"no folder {str(source)!r}: give the folder of the published CSV files")
    return sorted(path for path in source.rglob("*") if path.name.endswith(ENDINGS) and path.is_file())


def _nothing(source: Path, skipped: list[tuple[Path, str]]) -> str:
    if not skipped:
        return f"no CSV file in {source}: expected published tables (.csv or .csv.gz; docs/published.md)"
    files = "; ".join(f"{path.name}: {why}" for path, why in skipped[:3])
    more = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return (
        f"no table in {source} is of a known layout ({files}{more}): rename the columns as docs/published.md has "
        "them"
    )


def _studies(found: list[Found]) -> list[list[Found]]:
    """Return the files of each study; each dense network by itself is one.

    Raises:
        PrunescopeError: two files of one layout, so that it is not known which belong together.
    """
    if found[0][1].family == "one network":
        return [[each] for each in found]
    seen: dict[str, Path] = {}
    for path, layout in found:
        if layout.name in seen and layout.name not in MANY:
            raise PrunescopeError(
                f"{seen[layout.name].name} and {path.name} in {path.parent} are both of the layout of {layout.words}: "
                "put each study into a folder of its own"
            )
        seen[layout.name] = path
    return [found]


def _import(family: Family, found: list[Found], source: Path, out: Path, taken: list[str]) -> Path:
    digests = {path: digest_of_file(path) for path, _ in found}
    known = known_study(digests.values())
    tables = [read_table(path, layout) for path, layout in found]
    study = JOIN[family](tables, digest_of(*digests.values()))
    wanted = known.name if known else PREFIX + _name_of([path for path, _ in found])
    name = next(each for i in range(1, 1000) if (each := wanted + f"-{i}" * (i > 1)) not in taken)
    if known and "units" in study.tables:
        study.tables["units"] = study.tables["units"].assign(**known.conditions)
    study.tables["steps"] = _steps(digests)
    record = _record(name, study, known, digests, source)
    _write(out / name, study.tables, record)
    return out / name


def _name_of(paths: list[Path]) -> str:
    """Return what the names of the files have in common, of letters that any file system takes."""
    common = shared_start([stem_of(path) for path in paths])
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in common)
    return "-".join(part for part in letters.split("-") if part)[:LONGEST_NAME] or "study"


def _steps(digests: Mapping[Path, str]) -> pd.DataFrame:
    rows = [
        {
            "step": f"import-{digest[:20]}", "kind": "import", "label": f"import {path.name}", "status": "done",
            "seconds": 0.0, "reused": False, "error": None,
        }
        for path, digest in digests.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _record(
    name: str, study: PublishedStudy, known: KnownStudy | None, digests: Mapping[Path, str], source: Path
) -> dict[str, object]:
    """Return `study.json`: nothing in it depends on when or where the import ran."""
    cited = (
        known.source if known else "not known: the files are not those of a publication that is known here"
    )
    remarks = list(known.remarks) if known else []
    return {
        "study": name,
        "title": known.title if known else f"Published tables: {name.removeprefix(PREFIX)}",
        "description": f"Imported from published tables, {study.what}. Source: {cited}.",
        "settings": known.settings if known else {},
        "images": known.images if known else {},
        "command": f"prunescope import-published {shlex.quote(source.name)}",
        "published": {
            "source": cited,
            "file": [{"name": path.name, "sha256": digest} for path, digest in digests.items()],
            "inferred": study.inferred,
            "notes": [*remarks, *study.notes],
            **study.more,
        },
    }


def _write(folder: Path, tables: Mapping[str, pd.DataFrame], record: Mapping[str, object]) -> None:
    """Write a run folder in the place of one imported before; one that this program ran is refused."""
    _refuse_own(folder)
    place = folder / "tables"
    try:
        place.mkdir(parents=True, exist_ok=True)
        for file in place.glob("*.parquet"):
            if file.stem not in tables:
                file.unlink()
        for name, table in tables.items():
            draft = place / f".{name}.parquet"
            table.to_parquet(draft, index=False)
            draft.replace(place / f"{name}.parquet")
        text = json.dumps(record, indent=2, ensure_ascii=False)
        (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise describe_os_error(error, f"writing {folder}") from error


def _refuse_own(folder: Path) -> None:
    try:
        record = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {"published": {}}  # nothing there, or nothing to lose
    if not isinstance(record, dict) or "published" not in record:
        raise PrunescopeError(f"{folder} is a study that was run here: choose another folder with --out")
