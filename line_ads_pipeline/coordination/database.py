"""Short transactions on the shared database, one at a time where it matters."""

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Double, MetaData, cast, extract, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from line_ads_pipeline.coordination.engines import WRITES, engine_for
from line_ads_pipeline.coordination.errors import CoordinationUnavailable

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

metadata = MetaData()
"""The tables, which come into being when a database is used for the first time."""

_BUSY = 5.0
"""Seconds between two transactions, up to which the connection to a server is kept open."""
_PASSING = (
    "database is locked",
    "too many clients",
    "remaining connection slots are reserved",
    "the database system is starting up",
    "the database system is shutting down",
)
"""Phrases of errors that come from where a database is, and tell that it is soon to be had."""
_TELLING = (
    *_PASSING,
    "password authentication failed",
    "no pg_hba.conf entry",
    "no password supplied",
    "Connection refused",
    "could not translate host name",
    "failed to resolve host",
    "timeout expired",
    "certificate verify failed",
    "permission denied",
    "read-only transaction",
)
"""Phrases of PostgreSQL's errors that help; the rest of such an error may quote parts of the URL."""


@dataclass(frozen=True)
class Transaction:
    """An open transaction.

    Attributes:
        connection: To be used until the transaction ends.
        now: Seconds since 1970 by the clock that all processes share.
        read_at: When `now` was read, in seconds by the monotonic clock of this process.
    """

    connection: Connection
    now: float
    read_at: float


class Database:
    """The database that processes share, whose clock is their common one.

    Args:
        url: As `engine_for` takes it; no connection is made before the first transaction.
        root: The folder that a relative path starts from.
        patience: Seconds to try again for, when a database that worked before fails.
        pause: Seconds between two tries.
        sleep: Waits the given seconds.
        clock: Seconds since 1970, for SQLite, which has no clock of its own.
        monotonic: A clock in seconds that never goes back.

    Attributes:
        has_worked: Whether a transaction succeeded already.
    """

    def __init__(  # noqa: PLR0913 - keyword-only, and most are for tests
        self,
        url: str,
        *,
        root: Path,
        patience: float,
        pause: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine_for(url, root=root)
        self._patience = patience
        self._pause = pause
        self._sleep = sleep
        self._clock = clock
        self._monotonic = monotonic
        self._has_tables = False
        self._is_server = self._engine.dialect.name == "postgresql"
        self._used_at = monotonic()
        self.has_worked = False
        self._pid = os.getpid()

    def dispose(self) -> None:
        """Close what is open; a later transaction opens it again."""
        self._engine.dispose()

    def read(self, work: Callable[[Transaction], _T]) -> _T:
        """Look at what is there, without waiting for those who write.

        Raises:
            CoordinationUnavailable: The database failed for longer than `patience`, or at once and has never
                worked before.
        """
        return self._run(work, lock=None, patient=True)

    def write(self, work: Callable[[Transaction], _T], *, lock: str, patient: bool = True) -> _T:
        """Do something to the database while nobody else does under the same `lock`.

        Args:
            work: What to do; it may be done twice, if the answer of the first time is lost.
            lock: Any text.
            patient: Whether to try again when the database fails.

        Raises:
            CoordinationUnavailable: The database failed for longer than `patience`, or at once and has never
                worked before.
        """
        return self._run(work, lock=lock, patient=patient)

    def _run(self, work: Callable[[Transaction], _T], *, lock: str | None, patient: bool) -> _T:
        deadline: float | None = None
        while True:
            try:
                result = self._attempt(work, lock=lock)
            except (SQLAlchemyError, OSError) as error:
                failure, passing = _explained(error), _is_passing(error)
            else:
                self.has_worked = True
                return result
            self._has_tables = False  # it may come back as another, empty one
            if not patient or not (passing or self.has_worked):
                raise failure
            if deadline is None:
                deadline = self._monotonic() + self._patience
                _log.warning("%s Trying again for %g seconds.", failure, self._patience)
            elif self._monotonic() >= deadline:
                raise failure
            self._sleep(self._pause)

    def _attempt(self, work: Callable[[Transaction], _T], *, lock: str | None) -> _T:
        if self._pid != os.getpid():
            # a fork has its parent's connection: to close it would end the parent's session on a server, and to keep
            # it would let SQLite believe in locks that a fork does not have
            self._engine.dispose(close=not self._is_server)
            self._pid = os.getpid()
        if not self._has_tables:
            self._transact(lambda transaction: metadata.create_all(transaction.connection), lock="tables")
            self._has_tables = True
        return self._transact(work, lock=lock)

    def _transact(self, work: Callable[[Transaction], _T], *, lock: str | None) -> _T:
        with self._engine.connect().execution_options(**{WRITES: lock is not None}) as connection:
            with connection.begin():
                if lock is not None and self._is_server:
                    _take_turn(connection, lock)
                now, read_at = self._now(connection), self._monotonic()
                result = work(Transaction(connection=connection, now=now, read_at=read_at))
            if self._is_server and read_at - self._used_at > _BUSY:
                connection.detach()  # closes it: hundreds that wait would else keep as many open
        self._used_at = read_at
        return result

    def _now(self, connection: Connection) -> float:
        if self._is_server:
            moment = cast(extract("epoch", func.clock_timestamp()), Double)
            return float(connection.execute(select(moment)).scalar_one())
        return self._clock()


def _take_turn(connection: Connection, lock: str) -> None:
    """Wait until no other transaction has the lock; in SQLite, whose writers exclude each other, that is so already.

    A machine that vanishes within its transaction would else keep the lock for hours.
    """
    connection.execute(
        select(
            func.set_config("lock_timeout", "20s", True),
            func.set_config("idle_in_transaction_session_timeout", "20s", True),
        )
    )
    digest = hashlib.sha256(f"line-ads-pipeline {lock}".encode()).digest()
    connection.execute(select(func.pg_advisory_xact_lock(int.from_bytes(digest[:8], signed=True))))


def _explained(error: SQLAlchemyError | OSError) -> CoordinationUnavailable:
    return CoordinationUnavailable(
        f"The coordination database fails ({_reason(error)}): check that LINE_ADS_COORDINATION_URL names a database "
        "that can be reached and written to."
    )


def _is_passing(error: SQLAlchemyError | OSError) -> bool:
    return isinstance(error, DBAPIError) and any(phrase in str(error.orig) for phrase in _PASSING)


def _reason(error: SQLAlchemyError | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    text = str(error.orig)
    if isinstance(error.orig, sqlite3.Error):  # no password goes into a file's path
        return text
    state = getattr(error.orig, "sqlstate", None)
    known = next((phrase for phrase in _TELLING if phrase in text), type(error.orig).__name__)
    return f"{known}, SQLSTATE {state}" if state else known
