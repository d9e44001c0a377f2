"""Where answers are kept: four tables and a state, in SQLite or PostgreSQL, written so that a commit is on the disk."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from prunescope.errors import PrunescopeError, describe_os_error

if TYPE_CHECKING:
    import pandas as pd

FILE = "answers.sqlite"
SCHEMA = 1  # of the tables below
BUSY_MS = 5_000  # for so long SQLite waits for another process, such as an export
ERASING_MS = 250  # for so long it waits for readers when its log is emptied: meanwhile no answer is kept
LOCK = 0x70727573  # of PostgreSQL's advisory locks; they are per database

metadata = MetaData()
participants = Table(
    "participants",
    metadata,
    Column("participant", Text, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("session_hash", Text, unique=True),
    Column("list", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("platform", Text, nullable=False),
    Column("platform_participant", Text),
    Column("platform_study", Text),
    Column("platform_session", Text),
    Column("submit_to", Text),
    Column("stage", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("joined", Double, nullable=False),
    Column("seen", Double, nullable=False),
    Column("instructions_ms", Double),
    Column("main_started", Double),
    Column("finished", Double),
    Column("left", Boolean, nullable=False),
    Column("code", Text),
    Index("of_platform", "platform", "platform_participant"),
)
_OF = "participants.participant"
answers = Table(
    "answers",
    metadata,
    Column("participant", Text, ForeignKey(_OF), primary_key=True),
    Column("phase", Text, primary_key=True),
    Column("round", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("confidence", Integer),
    Column("rt_ms", Double, nullable=False),
    Column("elapsed_ms", Double, nullable=False),
    Column("received", Double, nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("participant", Text, ForeignKey(_OF), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("elapsed_ms", Double, nullable=False),
    Column("detail", Text, nullable=False),
    Column("received", Double, nullable=False),
)
questions = Table(
    "questions",
    metadata,
    Column("participant", Text, ForeignKey(_OF), primary_key=True),
    Column("question", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    Column("received", Double, nullable=False),
)
state = Table(
    "state", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)
)
TABLES = (participants, answers, events, questions)


def database_url(folder: Path, url: str | None = None) -> str:
    """Return the URL of an experiment's database: the one given, or that of the file in its folder.

    Raises:
        PrunescopeError: the URL is of something else than SQLite or PostgreSQL.
    """
    return str(_parsed(url or f"sqlite:///{folder / FILE}").render_as_string(hide_password=False))


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise PrunescopeError(
            "the database is no URL: expected sqlite:///FILE or postgresql://USER@HOST/NAME"
        ) from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql+psycopg")
    raise PrunescopeError(
        f"the database {described(url)} cannot keep answers: expected sqlite:///FILE or "
        "postgresql://USER@HOST/NAME"
    )


def described(url: str) -> str:
    """Return a URL as it may be printed: without its password."""
    return make_url(url).render_as_string(hide_password=True)


def sqlite_file(url: str) -> Path | None:
    """Return the file of an SQLite database; None for another."""
    parsed = make_url(url)
    return Path(str(parsed.database)) if parsed.get_backend_name() == "sqlite" else None


def open_engine(url: str, *, alone: bool = False, writes: bool = False) -> Engine:
    """Open a database such that what is committed is on the disk, and what is deleted is overwritten.

    Args:
        url: as `database_url` gives it.
        alone: for the one server: hold PostgreSQL's advisory lock as long as the connection lives.
        writes: transactions of SQLite wait for others that write when they begin, rather than fail on the way.
    """
    pool: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if alone else {"poolclass": NullPool}
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(
            parsed, hide_parameters=True, connect_args={"check_same_thread": False}, **pool
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_writing if alone or writes else _begin_reading)
    else:
        ours = {"connect_timeout": 5, "client_encoding": "utf8"}  # whatever the database's own encoding is
        engine = create_engine(parsed, hide_parameters=True, connect_args=ours, **pool)
        event.listen(engine, "connect", _prepare_postgres_alone if alone else _prepare_postgres)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _prepare_postgres(connection: Any, _record: Any) -> None:
    connection.execute("SET synchronous_commit = on")
    connection.commit()


def _prepare_postgres_alone(connection: Any, record: Any) -> None:
    _prepare_postgres(connection, record)
    held = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()[0]
    connection.commit()
    if not held:
        raise PrunescopeError(
            "another server works with this database: stop it first, or give each a database of its own"
        )


def file_identity(engine: Engine) -> tuple[int, int] | None:
    """Return which file SQLite's database is; None for PostgreSQL.

    Raises:
        PrunescopeError: there is none any more.
    """
    if engine.dialect.name != "sqlite":
        return None
    try:
        found = Path(str(engine.url.database)).stat()
    except OSError as error:
        raise describe_os_error(error, f"looking for the database {engine.url.database}") from error
    return found.st_dev, found.st_ino


def unusable(url: str, error: DBAPIError) -> PrunescopeError:
    """Say that a database cannot be used, and why."""
    why = str(error.orig).strip().splitlines()[0]
    return PrunescopeError(
        f"the database {described(url)} cannot be used ({why}): is it there, and is it that of this experiment?"
    )


def erase_for_good(engine: Engine) -> bool:
    """Take what was deleted out of the files, too: out of SQLite's log, or PostgreSQL's dead rows.

    Returns:
        Whether that is done; False where someone reads just now and it has to be tried again.

    Raises:
        PrunescopeError: the file cannot be written, as on a full disk.
        DBAPIError: PostgreSQL cannot do it now.
    """
    if engine.dialect.name == "sqlite":
        return _empty_log(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in TABLES:  # no VACUUM inside a transaction
            connection.exec_driver_sql(f"VACUUM {table.name}")
    return True


def _empty_log(engine: Engine) -> bool:
    with closing(engine.raw_connection()) as connection:
        driver: Any = connection.driver_connection
        try:
            driver.execute(f"PRAGMA busy_timeout={ERASING_MS}")
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise PrunescopeError(f"the log of {engine.url.database} cannot be emptied: {error}") from error
        finally:
            driver.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    return not busy


def existing(url: str, *, writes: bool = False) -> Engine:
    """Open a database that is there.

    Raises:
        PrunescopeError: there is none.
    """
    file = sqlite_file(url)
    if file is not None and not file.is_file():
        raise PrunescopeError(f"{file} is not there: nobody has been served yet, or give --database")
    return open_engine(url, writes=writes)


def read_tables(url: str) -> dict[str, pd.DataFrame]:
    """Read participants, answers, events and questions of a database as of one moment, server or not.

    Raises:
        PrunescopeError: there is no such database, or it holds no answers.
    """
    import pandas as pd

    engine = existing(url)
    try:
        with engine.connect() as connection:
            if engine.dialect.name != "sqlite":
                connection.execution_options(isolation_level="REPEATABLE READ")
            return {
                table.name: pd.read_sql_query(
                    select(table).order_by(*_order(table)), connection, dtype=_types(table)
                )
                for table in TABLES
            }
    except DBAPIError as error:
        raise unusable(url, error) from error
    finally:
        engine.dispose()


def _order(table: Table) -> list[Column[Any]]:
    return [table.c.number] if table is participants else list(table.primary_key)


def _types(table: Table) -> dict[str, str]:
    """What pandas calls the types of a table, missing values included."""
    names = {Text: "str", Integer: "Int64", BigInteger: "Int64", Double: "float64", Boolean: "bool"}
    return {column.name: names[type(column.type)] for column in table.columns}
