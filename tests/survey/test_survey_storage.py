"""How answers are written: one commit for many, said only afterwards; what fails fails alone, or all of it."""

from __future__ import annotations

import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from made_experiment import made_experiment
from sqlalchemy import Engine, event, insert, select

from prunescope.errors import PrunescopeError
from prunescope.survey.service import Service
from prunescope.survey.storage import (
    TABLES,
    database_url,
    described,
    erase_for_good,
    metadata,
    open_engine,
    read_tables,
    state,
)
from prunescope.survey.writer import Refused, Transaction, Unkept, Writer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(database_url(tmp_path), alone=True)
    with engine.connect() as connection, connection.begin():
        metadata.create_all(connection)
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    writer = Writer(engine)
    yield writer
    writer.close()


def put(name: str, value: str = "") -> Callable[[Transaction], str]:
    def work(transaction: Transaction) -> str:
        transaction.connection.execute(insert(state).values(name=name, value=value))
        return name

    return work


def names(engine: Engine) -> list[str]:
    with sqlite3.connect(str(engine.url.database)) as other:  # not through our own connection
        found = [row[0] for row in other.execute("select name from state order by name")]
    other.close()
    return found


def test_a_commit_is_on_the_disk_and_what_is_deleted_is_overwritten(engine: Engine) -> None:
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "secure_delete": 1,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }
    with engine.connect() as connection:
        pragmas = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}
    assert pragmas == wanted


def test_nobody_hears_of_it_before_the_commit(engine: Engine, writer: Writer) -> None:
    futures: list[Future[str]] = []
    at_commit: list[list[bool]] = []
    event.listen(engine, "commit", lambda _: at_commit.append([future.done() for future in futures]))
    hold, running = threading.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        running.set()
        hold.wait(10)

    waiting = writer.submit(wait)
    running.wait(10)
    futures += [writer.submit(put(f"n{number}")) for number in range(20)]
    hold.set()
    waiting.result(10)
    assert [future.result(10) for future in futures] == [f"n{number}" for number in range(20)]
    assert at_commit == [[False] * 20, [False] * 20]  # the first batch, then all twenty in one
    assert len(names(engine)) == 20


def test_what_is_refused_leaves_nothing_and_the_rest_of_the_batch_stays(
    engine: Engine, writer: Writer
) -> None:
    def refused(transaction: Transaction) -> None:
        put("half")(transaction)
        raise Refused(409, "no")

    def broken(transaction: Transaction) -> None:
        put("quarter")(transaction)
        raise ZeroDivisionError

    hold = threading.Event()
    writer.submit(lambda _: hold.wait(10))
    futures: list[Future[Any]] = [
        writer.submit(work) for work in (put("one"), refused, put("two"), broken, put("one"), put("three"))
    ]
    hold.set()
    errors = [type(future.exception(10)).__name__ for future in futures]
    assert errors == ["NoneType", "Refused", "NoneType", "ZeroDivisionError", "IntegrityError", "NoneType"]
    assert names(engine) == ["one", "three", "two"]


def test_a_commit_that_fails_fails_for_all_and_the_next_one_is_tried(engine: Engine, writer: Writer) -> None:
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.rollback()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        connection.rollback()
    hold = threading.Event()
    writer.submit(lambda _: hold.wait(10))
    futures = [
        writer.submit(put("small")),
        writer.submit(put("large", "x" * 50_000)),
        writer.submit(put("after")),
    ]
    hold.set()
    assert [type(future.exception(10)) for future in futures] == [Unkept] * 3
    assert names(engine) == []
    assert writer.submit(put("small")).result(10) == "small"
    assert names(engine) == ["small"]


def test_work_that_was_given_up_is_not_done(engine: Engine, writer: Writer) -> None:
    hold, running = threading.Event(), threading.Event()

    def wait(_: Transaction) -> None:
        running.set()
        hold.wait(10)

    writer.submit(wait)
    running.wait(10)
    given_up, kept = writer.submit(put("given up")), writer.submit(put("kept"))
    assert given_up.cancel()
    hold.set()
    assert kept.result(10) == "kept"
    assert names(engine) == ["kept"]


def test_closing_finishes_what_was_handed_in(engine: Engine) -> None:
    writer = Writer(engine)
    futures = [writer.submit(put(f"n{number}")) for number in range(600)]
    writer.close()
    assert all(future.done() for future in futures)
    assert len(names(engine)) == 600
    with pytest.raises(Unkept):
        writer.submit(put("late"))


def test_the_log_is_emptied_when_something_was_erased_even_if_someone_reads(
    engine: Engine, writer: Writer
) -> None:
    file = Path(str(engine.url.database))
    writer.submit(put("secret-of-someone")).result(10)
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("select * from state").fetchall()

    def erase(transaction: Transaction) -> None:
        transaction.connection.execute(state.delete())
        transaction.erased = True

    writer.submit(erase).result(10)
    wal = file.with_name(file.name + "-wal")
    assert b"secret-of-someone" in wal.read_bytes() + file.read_bytes()  # the reader still needs it
    reader.execute("COMMIT")
    reader.close()
    writer.submit(put("next")).result(10)
    writer.close()  # it is tried again after a while, and in the end
    assert b"secret-of-someone" not in wal.read_bytes() + file.read_bytes()
    assert erase_for_good(engine)


def test_a_full_disk_while_the_log_is_emptied_stops_nobody_else(
    engine: Engine, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prunescope.survey.writer.AGAIN_S", 0.05)
    file = Path(str(engine.url.database))
    writer.submit(put("long", "x" * 200_000)).result(10)
    assert erase_for_good(engine)

    def erase(transaction: Transaction) -> None:
        transaction.connection.execute(state.delete().where(state.c.name == "secret-of-someone"))
        transaction.erased = True

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, limits[1]))
    try:  # the log has room, and the database may not grow
        writer.submit(put("secret-of-someone", "y" * 50_000)).result(10)
        writer.submit(erase).result(10)
        with pytest.raises(PrunescopeError, match="cannot be emptied"):
            erase_for_good(engine)
        assert writer.submit(put("meanwhile")).result(10) == "meanwhile"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    writer.submit(put("later")).result(10)
    wal = file.with_name(file.name + "-wal")
    until = time.monotonic() + 20
    while wal.stat().st_size and time.monotonic() < until:
        time.sleep(0.02)
    assert b"secret-of-someone" not in wal.read_bytes() + file.read_bytes()
    assert names(engine) == ["later", "long", "meanwhile"]


def test_what_a_killed_server_left_in_the_log_goes_at_the_next_start(engine: Engine) -> None:
    for statement in (insert(state).values(name="secret-of-someone", value=""), state.delete()):
        with engine.connect() as connection, connection.begin():
            connection.execute(statement)
    file = Path(str(engine.url.database))
    wal = file.with_name(file.name + "-wal")
    assert b"secret-of-someone" in wal.read_bytes()
    writer = Writer(engine)
    writer.submit(lambda _: None).result(10)
    until = time.monotonic() + 20
    while wal.stat().st_size and time.monotonic() < until:
        time.sleep(0.01)
    assert b"secret-of-someone" not in wal.read_bytes() + file.read_bytes()
    writer.close()


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_nothing_is_acknowledged_into_a_file_that_is_gone(engine: Engine, writer: Writer, how: str) -> None:
    file = Path(str(engine.url.database))
    assert writer.submit(put("before")).result(10) == "before"
    away = file.rename(file.with_name("away.sqlite"))
    if how == "replaced":
        file.write_bytes(away.read_bytes())
    with pytest.raises(Unkept):
        writer.submit(put("lost otherwise")).result(10)
    away.replace(file)  # put back: it goes on
    assert writer.submit(put("after")).result(10) == "after"


def test_tables_are_read_as_they_are_described(tmp_path: Path) -> None:
    service = Service(made_experiment(tmp_path / "study", "mis"), database_url(tmp_path / "study"))
    try:
        read = read_tables(service.url)
    finally:
        service.close()
    assert {name: list(table.columns) for name, table in read.items()} == {
        table.name: [column.name for column in table.columns] for table in TABLES
    }
    assert str(read["answers"]["confidence"].dtype) == "Int64"
    with pytest.raises(PrunescopeError, match="nobody has been served yet"):
        read_tables(database_url(tmp_path))
    assert not (tmp_path / "answers.sqlite").exists()


def test_only_one_server_has_a_database_and_only_its_experiment(tmp_path: Path) -> None:
    one, other = made_experiment(tmp_path / "one", "mis"), made_experiment(tmp_path / "other", "pairwise")
    url = database_url(tmp_path / "one")
    service = Service(one, url)
    with pytest.raises(PrunescopeError, match="another server works with"):
        Service(one, url)
    service.close()
    with pytest.raises(PrunescopeError, match="another experiment"):
        Service(other, url)
    engine = open_engine(url, writes=True)
    with engine.connect() as connection, connection.begin():
        connection.execute(state.update().where(state.c.name == "schema").values(value="0"))
    engine.dispose()
    with pytest.raises(PrunescopeError, match="another version"):
        Service(one, url)
    (tmp_path / "text").write_text(
        "this is no database, but long enough to look like a file of something" * 20
    )
    with pytest.raises(PrunescopeError, match="cannot be used"):
        Service(one, f"sqlite:///{tmp_path / 'text'}")


@pytest.mark.parametrize(
    "url",
    ["mysql://u:p4ss@h/d", "sqlite://", "nothing", "sqlite:///:memory:", "postgresql://u:p4ss@h:port/d"],
)
def test_other_databases_are_refused_without_their_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(PrunescopeError, match=r"expected sqlite:///FILE or") as refused:
        database_url(tmp_path, url)
    assert "p4ss" not in str(refused.value)


def test_a_url_is_printed_without_its_password(tmp_path: Path) -> None:
    url = database_url(tmp_path, "postgres://someone:p4ss@localhost/study")
    assert url == "postgresql+psycopg://someone:p4ss@localhost/study"
    assert described(url) == "postgresql+psycopg://someone:***@localhost/study"


def test_numbers_are_not_given_again(tmp_path: Path) -> None:
    from prunescope.survey.participants import next_number

    experiment = made_experiment(tmp_path / "study", "mis")
    for wanted in (1, 2):
        service = Service(experiment, database_url(experiment.folder))
        assert service.writer.submit(lambda t: next_number(t.connection)).result(10) == wanted
        service.close()
    engine = open_engine(database_url(experiment.folder))
    with engine.connect() as connection:
        assert connection.execute(select(state.c.value).where(state.c.name == "numbers")).scalar_one() == "2"
    engine.dispose()
