"""One thread that writes: it takes all that waits, commits once, and only then says that it is kept."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from prunescope.errors import PrunescopeError
from prunescope.survey.storage import erase_for_good, file_identity

LARGEST = 256  # requests of one commit
AGAIN_S = 5.0  # after so long, what could not be erased is tried again
UNKEPT = (
    "The study cannot store anything at the moment. Your answers are kept in this browser and sent again."
)

log = logging.getLogger("prunescope.survey")
T = TypeVar("T")


class Refused(Exception):
    """A request that is turned down: the status of HTTP, words that say what to do, and what else the page needs."""

    def __init__(self, status: int, words: str, **more: Any):
        super().__init__(words)
        self.status, self.words, self.more = status, words, more


class Unkept(Refused):
    """Nothing of the request is kept, since the database could not commit."""

    def __init__(self) -> None:
        super().__init__(503, UNKEPT)


@dataclass
class Transaction:
    """What a piece of work writes with.

    Attributes:
        connection: inside a savepoint of its own.
        erased: set by work that deleted what nobody may find again in any file.
        committed: called after the commit, in the writing thread, before anybody hears of it.
    """

    connection: Connection
    erased: bool = False
    committed: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True)
class _Request:
    work: Callable[[Transaction], Any]
    future: Future[Any]


@dataclass(frozen=True)
class _Outcome:
    request: _Request
    transaction: Transaction
    value: Any = None
    error: Exception | None = None


class Writer:
    """Does all work with a database in one thread, many requests a commit (group commit).

    A request is answered after the commit that holds it. Where the commit fails (the disk is full, the database is
    gone), all of its requests fail with `Unkept` and nothing of them is there; the next ones are tried anew. The same
    holds where the file was deleted or moved away, into which SQLite would go on writing.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._file = file_identity(engine)
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._erase_at: float | None = time.monotonic()  # now: the last server may have been killed before it
        self._open = True
        self._thread = Thread(target=self._run, name="survey-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Transaction], T]) -> T:
        """Do some work and return what it returned, once it is committed."""
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Hand in some work, from any thread."""
        future: Future[T] = Future()
        if not self._open:
            raise Unkept()
        self._queue.put(_Request(work, future))
        return future

    def close(self) -> None:
        """Finish what was handed in, then stop."""
        if self._open:
            self._open = False
            self._queue.put(None)
            self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            batch, going = self._take()
            if batch:
                self._write(batch)
            if self._erase_at is not None and (time.monotonic() >= self._erase_at or not going):
                self._try_erasing()

    def _take(self) -> tuple[list[_Request], bool]:
        """Wait for a request, and take along all others that wait."""
        batch: list[_Request] = []
        try:
            taken = self._queue.get(timeout=AGAIN_S)
            while taken is not None:
                if taken.future.set_running_or_notify_cancel():
                    batch.append(taken)
                if len(batch) == LARGEST:
                    break
                taken = self._queue.get_nowait()
        except Empty:
            return batch, True
        return batch, taken is not None

    def _write(self, batch: Sequence[_Request]) -> None:
        try:
            outcomes = self._commit(batch)
        except (
            Exception
        ) as error:  # whatever it was: nothing of it is on the disk, and the next batch is another one
            log.error("nothing could be stored: %s", _said(error))
            for request in batch:
                request.future.set_exception(Unkept())
            return
        for outcome in outcomes:
            if outcome.error is not None:
                outcome.request.future.set_exception(outcome.error)
            else:
                outcome.request.future.set_result(outcome.value)

    def _commit(self, batch: Sequence[_Request]) -> list[_Outcome]:
        with self._engine.connect() as connection, connection.begin():
            outcomes = [_attempt(connection, request) for request in batch]
            _insist(connection)
        if file_identity(self._engine) != self._file:
            raise PrunescopeError("the database's file was replaced by another one: start the server again")
        kept = [outcome.transaction for outcome in outcomes if outcome.error is None]
        for transaction in kept:
            for tell in transaction.committed:
                tell()
        if any(transaction.erased for transaction in kept):
            self._try_erasing()
        return outcomes

    def _try_erasing(self) -> None:
        self._erase_at = time.monotonic() + AGAIN_S
        try:
            if erase_for_good(self._engine):
                self._erase_at = None
        except Exception as error:  # whatever it was: this thread has answers to keep
            log.error("what was withdrawn is not out of all files yet, tried again: %s", _said(error))


def _attempt(connection: Connection, request: _Request) -> _Outcome:
    """Do one piece of work; what fails in it is undone, unless it is the database itself that fails."""
    transaction = Transaction(connection)
    try:
        with connection.begin_nested():
            value = request.work(transaction)
    except (OperationalError, InterfaceError):
        raise
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return _Outcome(request, transaction, error=error)
    except Exception as error:  # a refusal, or a mistake of ours: of this request alone
        return _Outcome(request, transaction, error=error)
    return _Outcome(request, transaction, value=value)


def _insist(connection: Connection) -> None:
    """Make sure that there is something to commit: SQLite ends a transaction by itself when a disk is full."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            raise PrunescopeError("the transaction was rolled back")


def _said(error: BaseException) -> str:
    """Say what went wrong, without values."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]
