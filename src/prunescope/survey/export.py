"""Answers as files for researchers: CSV, Parquet and a codebook, replaced as a whole and kept free of who withdrew."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import FileLock

from prunescope.analysis.csv_text import csv_text
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.survey.codebook import codebook, codebook_text
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.tables import SurveyTables, database_of, survey_tables

EXPORTS = ("export", "export-simulated")  # of all who took part; of simulated participants alone
ANALYSES = ("analysis", "analysis-simulated")
ABOUT, STUDY = "about.json", "study.json"
LOCK = ".export.lock"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can say: the same answers make the same bytes


def export(
    folder: Path | str,
    database: str | None = None,
    *,
    out: Path | None = None,
    simulated: bool = False,
) -> Path:
    """Write what was answered as CSV and Parquet with a codebook, in the place of an earlier export.

    Args:
        folder: the experiment, as `prunescope survey build` wrote it; it may be served meanwhile.
        database: a URL; by default that of the folder's own database, of simulations if `simulated`.
        out: the folder to write; by default `export` or `export-simulated` in the experiment. Only these follow when
            a participant withdraws.
        simulated: simulated participants alone; otherwise all of the database, marked.

    Returns:
        The folder.

    Raises:
        PrunescopeError: nobody has answered yet, the database is of another experiment, or nothing can be written;
            an earlier export then stays.
    """
    experiment = read_experiment(folder)
    url = database_of(experiment, database, simulated)
    place = out or experiment.folder / EXPORTS[simulated]
    with changing(experiment.folder):
        _write(place, _files(experiment, url, simulated))
    return place


def export_zip(folder: Path, database_url: str) -> bytes:
    """Return the files of an export of all who took part, as a zip; same answers, same bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _files(read_experiment(folder), database_url, simulated=False).items():
            archive.writestr(zipfile.ZipInfo(f"export/{name}", EARLIEST), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def rewrite_exports(folder: Path, database_url: str) -> None:
    """Make what lies in an experiment's folder follow its database, after someone withdrew from it.

    Exports are written anew; an analysis, which `prunescope survey analyse` makes again, is removed, and so are drafts.

    Raises:
        PrunescopeError: an export cannot be written; it then is removed.
    """
    experiment = read_experiment(folder)
    with changing(folder):
        for draft in folder.glob(".*.draft"):
            shutil.rmtree(draft, ignore_errors=True)
        present: set[str] | None = None
        for name in (*EXPORTS, *ANALYSES):
            place = folder / name
            if not place.exists():
                continue
            present = participants_in(database_url) if present is None else present
            if not _is_of(place, database_url, present):
                continue
            if name in ANALYSES:
                shutil.rmtree(place)
                continue
            try:
                _write(place, _files(experiment, database_url, name == EXPORTS[1]))
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)  # it may hold the one who left
                raise


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Hold the lock under which exports and analyses of an experiment are put in their place."""
    try:
        with FileLock(folder / LOCK):
            yield
    except PermissionError as error:
        raise describe_os_error(error, f"writing in {folder}") from error


def fingerprint(url: str) -> str:
    """Return what tells databases apart in files that may be published: no path, no host, no password."""
    from prunescope.survey.storage import described, sqlite_file

    file = sqlite_file(url)
    return hashlib.sha256((described(url) if file is None else str(file.resolve())).encode()).hexdigest()


def participants_in(url: str) -> set[str]:
    """Return who is in a database."""
    from prunescope.survey.storage import read_tables

    return set(read_tables(url)["participants"]["participant"])


def _is_of(place: Path, url: str, present: set[str]) -> bool:
    """Whether an export or an analysis is of a database; if that cannot be read, it is taken for one."""
    try:
        if (place / ABOUT).exists():
            databases = [json.loads((place / ABOUT).read_text(encoding="utf-8"))["database"]]
        else:
            told = json.loads((place / STUDY).read_text(encoding="utf-8"))["survey"]
            databases = [each["database"] for each in told["experiments"]]
        tables = place if (place / ABOUT).exists() else place / "tables"
        named = pd.read_parquet(tables / "participants.parquet", columns=["participant"])["participant"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return fingerprint(url) in databases or bool(present & set(named))


def _files(experiment: Experiment, url: str, simulated: bool) -> dict[str, bytes]:
    from prunescope.survey.storage import read_tables

    tables = survey_tables(experiment, read_tables(url))
    return files_of(tables.of(simulated=True) if simulated else tables, fingerprint(url))


def files_of(tables: SurveyTables, database: str) -> dict[str, bytes]:
    """Return the files of an export by name."""
    experiment = tables.experiment
    files: dict[str, bytes] = {}
    for name, table in tables.by_name.items():
        files[f"{name}.csv"] = csv_text(table).encode()
        files[f"{name}.parquet"] = table.to_parquet(index=False)
    files["codebook.csv"] = csv_text(codebook(experiment.design)).encode()
    files["codebook.md"] = codebook_text(experiment.design, experiment.design.title).encode()
    about = {
        "experiment": experiment.name,
        "title": experiment.design.title,
        "kind": experiment.design.kind,
        "database": database,
        "counts": counts_of(tables),
    }
    files[ABOUT] = (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode()
    return files


def counts_of(tables: SurveyTables) -> dict[str, int]:
    """Count participants and answers, and how many of them count."""
    people = tables.participants
    return {
        "participants": len(people),
        "simulated": int(people["simulated"].sum()),
        "finished": int(people["finished"].sum()),
        "unfinished": int((~people["finished"]).sum()),
        "excluded": int((people["finished"] & people["excluded"]).sum()),
        "answers": len(tables.answers),
        "votes": len(tables.votes),
    }


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    _refuse_other(place)
    draft = place.with_name(f".{place.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of an export that was killed
        draft.mkdir(parents=True)
        for name, content in files.items():
            (draft / name).write_bytes(content)
        put_in_place(draft, place)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise describe_os_error(error, f"writing {place}") from error


def put_in_place(draft: Path, place: Path) -> None:
    """Rename a folder that is whole to where an earlier one may be, which goes."""
    before = place.with_name(f".{place.name}.before.draft")
    shutil.rmtree(before, ignore_errors=True)
    existed = place.exists()
    if existed:
        place.rename(before)
    try:
        draft.rename(place)
    except OSError:
        if existed:
            before.rename(place)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _refuse_other(place: Path) -> None:
    if place.is_dir() and ((place / ABOUT).exists() or not any(place.iterdir())):
        return
    if place.exists():
        raise PrunescopeError(f"{place} is there already and is no export: give another folder with --out")
