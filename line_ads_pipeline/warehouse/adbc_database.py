"""A database that is read through its ADBC driver."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl

from line_ads_pipeline.warehouse.adbc_faults import DatabaseFault, failure_to_connect, failure_to_read
from line_ads_pipeline.warehouse.arrow_batches import frame_of
from line_ads_pipeline.warehouse.dialect import Dialect
from line_ads_pipeline.warehouse.errors import DriverMissing, WarehouseClosed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.lending import CLOSED, Lender, Loan

if TYPE_CHECKING:
    from adbc_driver_manager._reader import AdbcRecordBatchReader
    from adbc_driver_manager.dbapi import Connection, Cursor


class Session:
    """A connection."""

    def __init__(self, connection: "Connection", dialect: Dialect) -> None:
        self._connection = connection
        self._options = dialect.statement_options

    def cursor(self) -> "Cursor":
        """A cursor for one read."""
        return self._connection.cursor(adbc_stmt_kwargs=self._options)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement with few rows."""
        with self._connection.cursor() as cursor:
            return cursor.execute(statement).fetchall()

    def result(self, select: str) -> list[tuple[str, str]]:
        """Give the name and Arrow type of each column that a SELECT comes with."""
        with self._connection.cursor() as cursor:
            return _columns(cursor.execute(select))

    def close(self) -> None:
        """Close it; one that is lost cannot be closed in good order."""
        with suppress(Exception):
            self._connection.close()


class AdbcLoan(Loan):
    """A session of the database, for one read; taken when the first statement is run."""

    def __init__(self, database: "AdbcDatabase") -> None:
        super().__init__()
        self._database = database
        self._session: Session | None = None
        self._cursor: Cursor | None = None
        self._reader: AdbcRecordBatchReader | None = None
        self._clean = True

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement with few rows."""
        with self._in_use():
            rows = self._execute(statement).fetchall()
            self._clean = True
            return rows

    def result(self, select: str) -> list[tuple[str, str]]:
        """Give the name and Arrow type of each column that a SELECT comes with."""
        with self._in_use():
            columns = _columns(self._execute(select))
            self._clean = True
            return columns

    def batches(self, select: str) -> Iterator[pl.DataFrame]:
        """Run a SELECT and stream its rows."""
        from adbc_driver_manager._reader import AdbcRecordBatchReader  # noqa: PLC0415 - an extra

        with self._in_use():
            # not fetch_record_batch(), whose errors come without a SQLSTATE
            stream = self._execute(select).fetch_arrow()
            self._reader = AdbcRecordBatchReader._import_from_c(stream.address)  # noqa: SLF001
        while True:
            with self._in_use():
                batch = next(self._reader, None)
                self._clean = batch is None
            if batch is None:
                return
            yield frame_of(batch)

    def _execute(self, statement: str) -> "Cursor":
        if self._session is None:
            self._session = self._database.take()
        if self._cursor is not None:
            self._cursor.close()
        self._cursor = self._session.cursor()
        self._clean = False
        return self._cursor.execute(statement)

    def _interrupt(self) -> None:
        cursor = self._cursor
        if cursor is not None:
            with suppress(Exception):  # it may have ended meanwhile, and not every driver can cancel
                cursor.adbc_cancel()

    def _release(self) -> None:
        if not self._clean:
            self._interrupt()
        for part in (self._reader, self._cursor):
            if part is not None:
                with suppress(
                    Exception
                ):  # what hangs on a connection that is lost cannot be closed in good order
                    part.close()
        if self._session is not None:
            self._database.give_back(self._session, clean=self._clean)
        self._session = self._cursor = self._reader = None


class AdbcDatabase(Lender[AdbcLoan, DatabaseFault]):
    """A database for reading, connected to when it is first read.

    All reads are of one snapshot where the database can share one between connections, as PostgreSQL can: a first
    connection holds it, and each read has another, so that no read waits for one that was abandoned, and a read ends
    with its connection. Connections, idle ones too, end with `close`.
    """

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect
        self._opening = threading.Lock()
        self._holder: Session | None = None
        self._snapshot: str | None = None
        self._free: list[Session] = []

    def take(self) -> Session:
        """Give a session that is ready to read.

        Raises:
            WarehouseError: The database cannot be connected to.
        """
        with self._opening:
            if self._closed:
                raise WarehouseClosed(CLOSED)
            if self.dialect.isolation != "statement" and self._holder is None:
                self._holder = self._open(None)
            if self._holder is not None and self.dialect.isolation == "connection":
                return self._holder
            if self._holder is not None and self._snapshot is None:
                self._snapshot = self.dialect.share(self._holder)
            return self._free.pop() if self._free else self._open(self._snapshot)

    def give_back(self, session: Session, *, clean: bool) -> None:
        """Take a session back: for the next read, unless its last one ended early."""
        with self._opening:
            if session is self._holder:
                return
            if clean and not self._closed:
                self._free.append(session)
                return
        session.close()

    def _new_loan(self) -> AdbcLoan:
        return AdbcLoan(self)

    def _disconnect(self) -> None:
        with self._opening:
            for session in [*self._free, *([self._holder] if self._holder else [])]:
                session.close()
            self._free.clear()
            self._holder = None

    def _fault(self, error: Exception) -> DatabaseFault:
        return DatabaseFault.of(error)

    def _failure(self, fault: DatabaseFault, source: str) -> WarehouseError:
        return failure_to_read(fault, self.dialect.name, source)

    def _open(self, snapshot: str | None) -> Session:
        session = None
        failure: WarehouseError
        try:
            session = Session(self.dialect.connect(), self.dialect)
            self.dialect.begin(session, snapshot=snapshot)
        except WarehouseError:
            raise
        except ImportError:
            failure = DriverMissing(
                f"Reading from {self.dialect.name} takes a driver that is not installed. Install it: "
                f'pip install "line-ads-pipeline[{self.dialect.extra}]".'
            )
        except Exception as error:  # noqa: BLE001 - whatever comes from the driver may quote the password
            failure = failure_to_connect(
                DatabaseFault.of(error),
                self.dialect.name,
                login=self.dialect.login,
                joins=snapshot is not None,
            )
        else:
            return session
        if session is not None:
            session.close()
        return raise_alone(failure)


def _columns(cursor: "Cursor") -> list[tuple[str, str]]:
    """Names and types; what Arrow has no type for is told by an extension's name, such as JSON."""
    schema = cursor.fetch_record_batch().schema
    names = [((field.metadata or {}).get(b"ARROW:extension:name") or b"").decode() for field in schema]
    return [(field.name, name or str(field.type)) for field, name in zip(schema, names, strict=True)]
