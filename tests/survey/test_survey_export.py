"""Exports: what is in them, that what is typed stays data, and that nothing stays of who withdrew."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_answers import Person, light_page, made_rows, write_database, write_run
from made_experiment import made_experiment

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.survey import export as exporting
from prunescope.survey import storage
from prunescope.survey.experiment import Experiment
from prunescope.survey.export import export, export_zip, rewrite_exports
from prunescope.survey.tables import read_votes
from prunescope.survey.withdrawal import erase

TABLES = ("votes", "participants", "answers", "questions", "events")
QUESTIONS = [
    {"id": "age", "text": "How old are you?", "kind": "number"},
    {"id": "remarks", "text": "Anything else?"},
]
FORMULAS = [
    '=HYPERLINK("http://x.example")',
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    'a "quote", a\nline',
]
PEOPLE = [
    Person(), Person(until=2), Person(catch=0.0), Person(simulated=True), Person(platform="prolific"),
    Person(platform="prolific", platform_participant="5f0c0ffee"), Person(), Person(),
]  # fmt: skip
LENIENT = {"total_s": None, "instructions_s": None, "rarer": None}


def served(folder: Path, kind: str = "mis", people: list[Person] = PEOPLE, **design: Any) -> Experiment:
    """Make an experiment that people have answered, with formulas in what they typed."""
    experiment = made_experiment(folder, kind, exclusion=LENIENT, questions=QUESTIONS, **design)
    rows = made_rows(experiment, people)
    for person, text in zip(rows["participants"], FORMULAS, strict=False):
        name = person["participant"]
        rows["questions"] += [
            {"participant": name, "question": "remarks", "answer": text, "received": 1.0},
            {"participant": name, "question": "age", "answer": "-5.5", "received": 1.0},
        ]
        rows["events"].append({"participant": name, "key": "k", "kind": "resize", "elapsed_ms": 1.0, "detail": text,
                               "received": 2.0})  # fmt: skip
    write_database(folder / "answers.sqlite", rows)
    return experiment


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    experiment = served(tmp_path_factory.mktemp("exported") / "mis")
    return export(experiment.folder)


@pytest.mark.parametrize("kind", ["mis", "pairwise", "identification"])
def test_codebook_has_every_column_and_none_too_many(tmp_path: Path, kind: str) -> None:
    plain = {"platform": {"store_ids": "plain"}} if kind == "pairwise" else {}
    place = export(served(tmp_path / kind, kind, PEOPLE[:2], **plain).folder)
    told = rows_of(place / "codebook.csv")
    assert {path.stem for path in place.glob("*.parquet")} == {row["table"] for row in told} == set(TABLES)
    text = (place / "codebook.md").read_text()
    for name in TABLES:
        columns = [row["column"] for row in told if row["table"] == name]
        table = pd.read_parquet(place / f"{name}.parquet")
        header = (place / f"{name}.csv").read_text().splitlines()[0].split(",")
        assert columns == header == list(table)
        types = {row["column"]: row["type"] for row in told if row["table"] == name}
        for column in table:
            number, truth = pd.api.types.is_numeric_dtype(table[column]), table[column].dtype == "boolean"
            expected = ("yes or no",) if truth else ("integer", "number") if number else ("text",)
            assert types[column] in expected, (name, column)
        assert all(f"| `{column}` |" in text for column in columns)
    assert all(row["meaning"].endswith(".") for row in told)


def test_what_participants_type_stays_data(exported: Path) -> None:
    told = [row for row in rows_of(exported / "questions.csv") if row["question"] == "remarks"]
    expected = [f"'{text}" if text[0] in "=+-@\t\r\n" else text for text in FORMULAS]
    assert [row["answer"] for row in told] == expected
    assert sorted(
        row["detail"] for row in rows_of(exported / "events.csv") if row["kind"] == "resize"
    ) == sorted(expected)
    whole = pd.read_parquet(exported / "questions.parquet")
    assert whole.loc[whole["question"] == "remarks", "answer"].tolist() == FORMULAS


def test_numbers_stay_numbers(exported: Path) -> None:
    ages = [row["number"] for row in rows_of(exported / "questions.csv") if row["question"] == "age"]
    assert ages == ["-5.5"] * len(PEOPLE)
    votes = pd.read_csv(exported / "votes.csv")
    assert votes["margin"].min() < 0
    whole = pd.read_parquet(exported / "votes.parquet")
    assert votes["margin"].tolist() == whole["margin"].tolist()
    assert votes["rt_ms"].tolist() == whole["rt_ms"].tolist()


def test_simulated_participants_are_marked_in_every_table(exported: Path, tmp_path: Path) -> None:
    for name in TABLES:
        table = pd.read_parquet(exported / f"{name}.parquet")
        assert (table["simulated"] == (table["participant"] == "p-0000000000000004")).all()
        assert table["simulated"].any()
    folder = tmp_path / "copy"
    shutil.copytree(exported.parent, folder)
    shutil.copy(folder / "answers.sqlite", folder / "simulated.sqlite")
    alone = export(folder, simulated=True)
    assert alone == folder / "export-simulated"
    assert all(pd.read_parquet(alone / f"{name}.parquet")["simulated"].all() for name in TABLES)
    assert len(pd.read_parquet(alone / "participants.parquet")) == 1


def test_ids_of_platforms_are_exported_only_where_the_design_keeps_them(
    exported: Path, tmp_path: Path
) -> None:
    assert not [path for path in exported.iterdir() if b"5f0c0ffee" in path.read_bytes()]
    place = export(served(tmp_path / "mis", platform={"store_ids": "plain"}).folder)
    holding = {path.name for path in place.iterdir() if b"5f0c0ffee" in path.read_bytes()}
    assert holding == {"participants.csv", "participants.parquet"}
    for path in (*place.iterdir(), *exported.iterdir()):  # nor session hashes, nor codes that platforms know
        assert b"hash1" not in path.read_bytes()
        assert b"code-1" not in path.read_bytes()


def test_same_answers_make_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    url = storage.database_url(exported.parent)
    again = export(exported.parent, out=tmp_path / "again")
    assert {path.name: path.read_bytes() for path in again.iterdir()} == before
    zipped = export_zip(exported.parent, url)
    assert zipped == export_zip(exported.parent, url)
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert {Path(name).name: archive.read(name) for name in archive.namelist()} == before


def test_rows_are_in_the_order_of_joining(exported: Path) -> None:
    people = pd.read_parquet(exported / "participants.parquet")
    assert people["number"].tolist() == list(range(1, len(PEOPLE) + 1))
    for name in ("votes", "answers", "questions", "events"):
        numbers = pd.read_parquet(exported / f"{name}.parquet")["participant"].map(
            people.set_index("participant")["number"]
        )
        assert numbers.is_monotonic_increasing
    about = json.loads((exported / "about.json").read_text())
    assert about["counts"] == {"participants": 8, "simulated": 1, "finished": 7, "unfinished": 1, "excluded": 1,
                               "answers": 8 * 2 + 7 * 8 + 2, "votes": 6 * 6}  # fmt: skip


def test_a_study_that_nobody_answered(tmp_path: Path) -> None:
    experiment = made_experiment(tmp_path / "mis", "mis")
    with pytest.raises(PrunescopeError, match=r"nobody has answered yet .* survey serve"):
        export(experiment.folder)
    shutil.copy(experiment.folder / "design.yaml", experiment.folder / "simulated.sqlite")
    with pytest.raises(PrunescopeError, match="--simulated"):
        export(experiment.folder)
    with pytest.raises(PrunescopeError, match=r"there is no database .*gone.sqlite"):
        export(experiment.folder, f"sqlite:///{tmp_path / 'gone.sqlite'}")
    assert not (tmp_path / "gone.sqlite").exists()
    write_database(experiment.folder / "answers.sqlite", made_rows(experiment, []))
    place = export(experiment.folder)
    for name in TABLES:
        assert rows_of(place / f"{name}.csv") == []
        assert len((place / f"{name}.csv").read_text().splitlines()) == 1
        assert list(pd.read_parquet(place / f"{name}.parquet")) == (
            place / f"{name}.csv"
        ).read_text().strip().split(",")


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    experiment = served(tmp_path / "mis", people=PEOPLE[:1])
    (experiment.folder / ".export.draft").mkdir()
    (experiment.folder / ".export.draft" / "left.csv").write_text("of an export that was killed")
    place = export(experiment.folder)
    (place / "note.txt").write_text("x")
    assert export(experiment.folder) == place
    assert not (place / "note.txt").exists()
    assert not list(experiment.folder.glob(".export*draft"))
    with pytest.raises(PrunescopeError, match="is no export"):
        export(experiment.folder, out=experiment.pictures)
    assert len(list(experiment.pictures.iterdir())) > 5


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_earlier_export(tmp_path: Path) -> None:
    experiment = served(tmp_path / "mis", people=[*PEOPLE, *[Person() for _ in range(50)]])
    url = storage.database_url(experiment.folder)
    place = export(experiment.folder)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    with files_up_to(40_000), pytest.raises(NoRoomError, match="no room left on the disk"):
        export(experiment.folder)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert not list(experiment.folder.glob(".export*draft"))
    with files_up_to(40_000), pytest.raises(NoRoomError):
        rewrite_exports(experiment.folder, url)
    assert not place.exists()  # for it might hold someone who withdrew


def test_while_the_server_writes(tmp_path: Path) -> None:
    experiment = served(tmp_path / "mis", people=PEOPLE[:3])
    engine = storage.open_engine(storage.database_url(experiment.folder), alone=True)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM answers WHERE participant = 'p-0000000000000001'")
        done = subprocess.run(
            [sys.executable, "-m", "prunescope", "survey", "export", str(experiment.folder)],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    engine.dispose()
    assert done.stdout == f"export: {experiment.folder / 'export'}\n"
    assert "p-0000000000000001" in set(
        pd.read_parquet(experiment.folder / "export" / "answers.parquet")["participant"]
    )
    assert "p-0000000000000001" not in set(read_votes(experiment.folder).answers["participant"])


def holding(folder: Path, *texts: bytes) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(text in path.read_bytes() for text in texts)
    }


def test_nothing_stays_of_who_withdrew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prunescope.survey.analyse import analyse_survey

    folder = tmp_path / "mis"
    experiment = served(folder)
    write_run(experiment)
    url = storage.database_url(folder)
    place = export(folder)
    monkeypatch.setattr("prunescope.report.page.write_report", light_page)
    monkeypatch.setattr("prunescope.survey.analyse.conclude", lambda run: [])
    analyse_survey(folder)
    (folder / ".analysis.draft").mkdir()
    (folder / ".analysis.draft" / "half.csv").write_text("p-0000000000000001")
    gone, typed, key = b"p-0000000000000001", b"HYPERLINK", b"hash1"
    assert {"answers.sqlite", "export/votes.csv", "analysis/tables/votes.parquet"} <= holding(folder, gone)
    engine = storage.open_engine(url, alone=True)
    with engine.begin() as connection:
        assert erase(connection, gone.decode())
    engine.dispose()
    engine = storage.open_engine(url)
    assert storage.erase_for_good(engine)
    engine.dispose()
    rewrite_exports(folder, url)
    assert holding(folder, gone, typed, key) == set()
    assert not (folder / "analysis").exists()
    assert "p-0000000000000002" in set(pd.read_parquet(place / "participants.parquet")["participant"])


def test_exports_of_another_database_stay(tmp_path: Path) -> None:
    folder = tmp_path / "mis"
    experiment = served(folder, people=PEOPLE[:2])
    place = export(folder)
    other = made_rows(experiment, [Person(simulated=True)])
    for rows in other.values():
        for row in rows:
            row["participant"] = "p-ffffffffffffffff"
    url = write_database(folder / "simulated.sqlite", other)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    alone = export(folder, simulated=True)
    rewrite_exports(folder, url)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert len(pd.read_parquet(alone / "participants.parquet")) == 1
    (place / "about.json").write_text("damaged")  # then it is not known whose it is
    rewrite_exports(folder, url)
    assert pd.read_parquet(place / "participants.parquet")["participant"].tolist() == ["p-ffffffffffffffff"]


def test_exports_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = served(tmp_path / "mis", people=PEOPLE[:1]).folder
    reads, files = threading.Event(), exporting._files

    def read(*of: Any) -> dict[str, bytes]:
        reads.set()
        return files(*of)

    monkeypatch.setattr(exporting, "_files", read)
    thread = threading.Thread(target=export, args=(folder,))
    with exporting.changing(folder):
        thread.start()
        assert not reads.wait(0.5)  # what it read now, someone might withdraw before it is written
    thread.join()
    assert reads.is_set()
    assert len(list((folder / "export").iterdir())) == 2 * len(TABLES) + 3
