"""`run_study`: one study file in, tables and a report out."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.study.circumstances import command, machine, versions
from prunescope.study.document import Document, apply_overrides, located, read_document, validate
from prunescope.study.execute import Execution, Outcome, Watcher
from prunescope.study.images import StudyImages
from prunescope.study.pictures import write_pictures
from prunescope.study.plan import Plan, make_plan
from prunescope.study.settings import StudySettings
from prunescope.study.steps import Workshop, where
from prunescope.study.store import Store
from prunescope.study.tables import TABLES_FOLDER, gather_tables, load_tables, write_tables

DATA_VARIABLE = "PRUNESCOPE_DATA"
ABOUT, REPORT = "study.json", Path("report", "index.html")


@dataclass(frozen=True)
class Result:
    """What a run left: its folder, its report, its tables, and the steps that did not end well."""

    folder: Path
    report: Path
    tables: dict[str, pd.DataFrame]
    failed: list[Outcome]


def read_study(path: Path | str, overrides: Sequence[str] = ()) -> tuple[StudySettings, Document]:
    """Read and check a study file. `overrides` are `key=value`, as with `--set`."""
    document = apply_overrides(read_document(Path(path)), overrides)
    return validate(document, StudySettings), document


def prepare(
    settings: StudySettings,
    data: Path | str | None = None,
    watcher: Watcher | None = None,
    document: Document | None = None,
) -> tuple[Plan, StudyImages, dict[str, Any], Path | None]:
    """Open images and network and plan the steps, without doing any.

    Args:
        document: where the settings are from; errors then name its lines.
    """
    folder = _data_folder(data)
    place = where(settings.threads, settings.device)
    with located(document):
        images = StudyImages(settings.images, folder, (watcher or Watcher()).progress)
        plan = make_plan(settings, images, place, folder)
    return plan, images, place, folder


def run_study(
    study: Path | str | StudySettings,
    out: Path | str = "runs",
    *,
    data: Path | str | None = None,
    overrides: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> Result:
    """Run a study: do the steps that are not done yet, gather the tables, write the report.

    Args:
        study: a study file, or settings.
        out: the folder of results; studies with the same one share their steps.
        data: the folder that relative paths of images and weights start from (default: $PRUNESCOPE_DATA,
            or else the current folder).
        overrides: `key=value` for fields of the study, `retrain.epochs=2`.
        watcher: is told of progress.

    Raises:
        PrunescopeError: the study cannot be run as it is. Steps that fail do not raise: see `Result.failed`.
    """
    from prunescope.report.page import write_report

    settings, document = (study, None) if isinstance(study, StudySettings) else read_study(study, overrides)
    watcher = watcher or Watcher()
    started = datetime.now(UTC)
    store = Store(Path(out))
    folder = Path(out) / settings.study
    plan, images, place, data_folder = prepare(settings, data, watcher, document)
    execution = Execution(plan, Workshop(store, images, place["device"], data_folder), watcher)
    execution.run()
    decisive = _decisive(settings, plan, execution.outcomes.values())
    if _nothing_new(folder, decisive, execution.outcomes.values()):
        return Result(folder, folder / REPORT, load_tables(folder), [])
    with store.lock(f"study-{settings.study}"):  # two runs of one study end at about the same time
        tables = execution.whole(
            lambda: gather_tables(plan, store, execution.outcomes.values(), images.test, data_folder)
        )
        outcomes = list(execution.outcomes.values())
        write_tables(tables, folder / TABLES_FOLDER)
        try:
            write_pictures(folder, tables, plan, store, images.test, data_folder)
            decisive = _decisive(settings, plan, outcomes)
            _describe(folder, settings, images, place, started, decisive)
            _keep_errors(folder / "errors", outcomes)
        except OSError as error:
            raise describe_os_error(error, f"writing {folder}") from error
        report = write_report(folder)
    failed = [outcome for outcome in outcomes if outcome.status != "done"]
    return Result(folder, report, tables, failed)


def _data_folder(data: Path | str | None) -> Path | None:
    chosen = data or os.environ.get(DATA_VARIABLE)
    if chosen is None:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise PrunescopeError(f"no folder {str(folder)!r} for data: check --data or {DATA_VARIABLE}")
    return folder


def _describe(
    folder: Path,
    settings: StudySettings,
    images: StudyImages,
    place: dict[str, Any],
    started: datetime,
    decisive: dict[str, Any],
) -> None:
    """Write study.json: what was run, on what, with which versions."""
    about: dict[str, Any] = {
        "study": settings.study,
        "title": settings.title,
        "description": settings.description,
        **decisive,
        "images": {**images.counts, "classes": len(images.test.classes), "source": settings.images.test},
        "machine": machine(place),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command(),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def _decisive(settings: StudySettings, plan: Plan, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return what the tables and the report of a study depend on."""
    more = ("captum",) if "explanations" in plan.measured else ()
    done = sorted(outcome.step.id for outcome in outcomes if outcome.status == "done")
    return {
        "steps": hashlib.blake2b("\n".join(done).encode(), digest_size=16).hexdigest(),
        "settings": settings.model_dump(mode="json", by_alias=True),
        "compared": plan.compared,
        "versions": versions(*more),
    }


def _nothing_new(folder: Path, decisive: dict[str, Any], outcomes: Collection[Outcome]) -> bool:
    """Whether no step was done and `folder` has the tables and the report of the same study already."""
    if not all(outcome.reused for outcome in outcomes) or not (folder / REPORT).exists():
        return False
    try:
        about = json.loads((folder / ABOUT).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return {key: about.get(key) for key in decisive} == decisive


def _keep_errors(folder: Path, outcomes: Sequence[Outcome]) -> None:
    """Keep where unexpected errors came from, one file a step; remove those of earlier runs."""
    for old in folder.glob("*.txt"):
        old.unlink()
    for outcome in outcomes:
        if outcome.trace:
            folder.mkdir(exist_ok=True)
            (folder / f"{outcome.step.id}.txt").write_text(outcome.trace, encoding="utf-8")
