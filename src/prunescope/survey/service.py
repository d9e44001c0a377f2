"""What a server works with: the experiment, its database, its secrets, and what it may be asked how often."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError

from prunescope.errors import PrunescopeError
from prunescope.survey.answering import Offered
from prunescope.survey.clock import Clock
from prunescope.survey.experiment import RECORD, Experiment, digest_of_file
from prunescope.survey.limits import Limits
from prunescope.survey.participants import Participant, find
from prunescope.survey.security import TOKEN, PlatformIds, digest, secret_of
from prunescope.survey.storage import (
    SCHEMA,
    answers,
    described,
    metadata,
    open_engine,
    participants,
    sqlite_file,
    state,
    unusable,
)
from prunescope.survey.withdrawal import erase, mark_fresh, rewrite_files, stale
from prunescope.survey.writer import Transaction, Writer

T = TypeVar("T")
KNOWN = 10_000  # sessions whose pictures are served without a look into the database
log = logging.getLogger("prunescope.survey")


class Service:
    """One experiment that is being served.

    Args:
        experiment: what is asked.
        url: of the database, as `storage.database_url` gives it.

    Raises:
        PrunescopeError: another server has the database, it is another experiment's, or it cannot be opened.
    """

    def __init__(self, experiment: Experiment, url: str):
        self.experiment, self.url = experiment, url
        self.offered = Offered.by(experiment)
        self.limits = Limits()
        self.ids = PlatformIds.of(experiment.folder, experiment.design)
        self.token = secret_of(experiment.folder, TOKEN)
        self._known: dict[str, Participant] = {}  # from session hash
        self._session: dict[str, str] = {}  # from participant to session hash
        self._lock = lock_of(url)
        self._engine = open_engine(url, alone=True)
        try:
            last = self._prepare()
        except BaseException:
            self._engine.dispose()
            self._release()
            raise
        self.clock = Clock(last)
        self.writer = Writer(self._engine)

    def _prepare(self) -> float:
        """Make the tables; return the last time that the database knows."""
        try:
            with self._engine.connect() as connection, connection.begin():
                metadata.create_all(connection)
                self._own(connection)
                seen = connection.execute(select(func.max(participants.c.seen))).scalar_one()
                received = connection.execute(select(func.max(answers.c.received))).scalar_one()
        except DBAPIError as error:
            raise unusable(self.url, error) from error
        return max(seen or 0.0, received or 0.0)

    def _own(self, connection: Connection) -> None:
        """Make sure that the database is this experiment's, and of this version."""
        wanted = {
            "experiment": digest_of_file(self.experiment.folder / RECORD),
            "schema": str(SCHEMA),
            "numbers": "0",
        }
        there = {row.name: row.value for row in connection.execute(select(state))}
        for name, value in wanted.items():
            if name not in there:
                connection.execute(insert(state).values(name=name, value=value))
        if there.get("experiment", wanted["experiment"]) != wanted["experiment"]:
            raise PrunescopeError(
                f"the database {described(self.url)} holds the answers of another experiment: give another one with "
                "--database"
            )
        if there.get("schema", wanted["schema"]) != wanted["schema"]:
            raise PrunescopeError(
                f"the database {described(self.url)} is of another version of prunescope: serve it with that one"
            )

    async def work(self, work: Callable[[Connection, float], T]) -> T:
        """Do something with the database at a time of the server's clock; it is committed on return."""
        return await self.writer.do(lambda transaction: work(transaction.connection, self.clock.now()))

    async def person(self, token: str) -> Participant:
        """Return whose session it is, as of the last commit: for what only reads.

        Raises:
            Refused: nobody's (any more).
        """
        hash_ = digest(token)
        known = self._known.get(hash_)
        if known is None:
            known = await self.work(lambda connection, _: find(connection, hash_))
        return known

    def remember(self, transaction: Transaction, person: Participant) -> None:
        """Serve pictures to a participant by what is now, once it is committed."""

        def remember() -> None:
            if len(self._known) > KNOWN:
                self._known.clear()
                self._session.clear()
            self.forget(person.participant)
            if person.session_hash is not None:
                self._session[person.participant] = person.session_hash
                self._known[person.session_hash] = person

        transaction.committed.append(remember)

    def forget(self, participant: str) -> None:
        """Serve no more pictures to a participant."""
        self._known.pop(self._session.pop(participant, ""), None)

    def erase(self, transaction: Transaction, participant: str) -> bool:
        """Erase a participant out of the database, its files and what the server remembers.

        Returns:
            Whether there was such a participant.
        """
        there = erase(transaction.connection, participant)
        transaction.erased = True
        transaction.committed.append(lambda: self.forget(participant))
        return there

    async def refresh_files(self) -> None:
        """Write exports anew where someone in them is gone from the database."""
        mark = await self.work(lambda connection, _: stale(connection))
        if mark is not None:
            try:
                await asyncio.to_thread(rewrite_files, self.experiment.folder, self.url)
            except Exception as error:  # whatever it was: it is tried again, and the withdrawal stands
                log.error("exports still hold someone who withdrew, tried again: %s", error)
                return
            await self.work(lambda connection, _: mark_fresh(connection, mark))

    def close(self) -> None:
        """Finish what is under way and let the database go."""
        self.writer.close()
        self._engine.dispose()
        self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def lock_of(url: str) -> FileLock | None:
    """Take the lock of an SQLite file, which goes with the process.

    Raises:
        PrunescopeError: another server has it, or its folder cannot be written.
    """
    file = sqlite_file(url)
    if file is None:
        return None
    lock = FileLock(file.with_name(file.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise PrunescopeError(
            f"another server works with {file}: stop it first, or give each a database of its own"
        ) from error
    except OSError as error:
        raise PrunescopeError(
            f"{file} cannot be written ({error.strerror}): change the rights of its folder, or give another "
            "--database"
        ) from error
    return lock
