"""A DuckDB connection that keeps data in memory, and the segment that one SELECT over it is."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from line_ads_pipeline.warehouse import lending
from line_ads_pipeline.warehouse.arrow_batches import frame_of
from line_ads_pipeline.warehouse.columns import check_holds_identifiers
from line_ads_pipeline.warehouse.errors import (
    SegmentReadFailed,
    WarehouseClosed,
    WarehouseError,
    WarehouseOutOfMemory,
)
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.segment import Marker, Measurement, checksum_version, version_of
from line_ads_pipeline.warehouse.streams import streamed

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

_BATCH_ROWS = 65_536
_AS_TEXT = re.compile(r"ENUM|U?HUGEINT|BIGNUM|DECIMAL\(\d+,0\)")
_LIST = re.compile(r"(.+)\[\d*\]")
_ELEMENT = re.compile(r"VARCHAR|UUID|ENUM|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|BIGNUM|DECIMAL\(\d+,0\)")
_NESTED = re.compile(r"JSON|STRUCT|MAP|UNION|VARIANT")
_ENUM_MEMBERS = re.compile(r"ENUM\((?:'(?:[^']|'')*'(?:, ?)?)*\)")

DESCRIBE = "DESCRIBE SELECT * FROM "
"""What precedes the relation when it is described, so that the place of a fault can be told."""

Explain = Callable[[Fault], WarehouseError | None]


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote an SQL string."""
    return "'" + text.replace("'", "''") + "'"


class Loan(lending.Loan):
    """A cursor of DuckDB.

    DuckDB reopens a file only when all that hangs on the old connection is gone, so closing leaves nothing behind.
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        super().__init__()
        self._cursor = cursor
        self._reader: pa.RecordBatchReader | None = None

    def rows(self, statement: str) -> list[Any]:
        """Run a statement with few rows."""
        with self._in_use():
            return self._cursor.execute(statement).fetchall()

    def parse(self, text: str) -> list[duckdb.Statement]:
        """Take a text apart into its statements."""
        with self._in_use():
            return self._cursor.extract_statements(text)

    def schema(self, select: str) -> pl.Schema:
        """Give the names and types a SELECT comes with in Polars, without running it."""
        with self._in_use():
            return pl.DataFrame(self._cursor.sql(f"{select} LIMIT 0").to_arrow_table()).schema

    def batches(self, select: str) -> Iterator[pl.DataFrame]:
        """Run a SELECT and stream its rows."""
        with self._in_use():
            self._reader = self._cursor.sql(select).to_arrow_reader(_BATCH_ROWS)
        while True:
            with self._in_use():
                batch = next(self._reader, None)
            if batch is None:
                return
            yield frame_of(batch)

    def _interrupt(self) -> None:
        self._cursor.interrupt()

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._cursor.close()
        del self._reader, self._cursor


class DuckDBConnection(lending.Lender[Loan, Fault]):
    """A connection that never writes a file, and loads no extension but MotherDuck's, for a database there.

    Reads run on cursors of their own, which `close` ends, also in the middle of a read.
    """

    def __init__(self, database: Path | str | None, *, memory_limit: str) -> None:
        """Open a database file for reading, a database of MotherDuck by its name, or an empty one in memory."""
        in_cloud = isinstance(database, str)
        super().__init__()
        self.memory_limit = memory_limit
        self._connection = duckdb.connect(
            ":memory:" if database is None else str(database),
            read_only=isinstance(database, Path),
            config={
                "memory_limit": memory_limit,
                "temp_directory": "",
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": in_cloud,
                "autoload_known_extensions": in_cloud,
                "allow_community_extensions": False,
                "python_enable_replacements": False,  # a query must not read this process's variables
                "errors_as_json": True,
                "lock_configuration": True,
            },
        )

    def mount(self, filesystem: "AbstractFileSystem") -> None:
        """Let SQL read the files of a filesystem by its protocol; it is kept until the connection is closed.

        Raises:
            WarehouseClosed: The connection is closed.
        """
        with self._lock:
            if self._closed:
                raise WarehouseClosed(lending.CLOSED)
            self._connection.register_filesystem(filesystem)

    def _new_loan(self) -> Loan:
        return Loan(self._connection.cursor())

    def _disconnect(self) -> None:
        self._connection.close()
        # a lazy frame may outlive this, and DuckDB reports what is left at the process's end
        del self._connection

    def _fault(self, error: Exception) -> Fault:
        return Fault.of(error)

    def _failure(self, fault: Fault, source: str) -> WarehouseError:
        if fault.category == "Out of Memory":
            return WarehouseOutOfMemory(
                f"Reading {source} needs more memory than the warehouse's memory_limit of {self.memory_limit}, and "
                "nothing is spilled to disk. Raise memory_limit, or have the warehouse compute the segment as a table."
            )
        return SegmentReadFailed(f"Reading {source} failed: {fault.explanation}.")


@dataclass(frozen=True)
class DuckDBSegment:
    """The rows of a relation in a DuckDB connection.

    Attributes:
        connection: Where it is read.
        label: How it is called in an error.
        relation: What stands after FROM.
        explain: Gives a more telling error for a fault in reading it, or None.
        file_version: Changes with the files it is read from; None for a table or a query.
    """

    connection: DuckDBConnection
    label: str
    relation: str
    explain: Explain | None = None
    file_version: str | None = None

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give each column's name and DuckDB type; of an ENUM without its members, which are data."""
        with self._lend() as loan:
            rows = loan.rows(DESCRIBE + self.relation)
        return tuple((name, _ENUM_MEMBERS.sub("ENUM", kind)) for name, kind, *_ in rows)

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs, of lists their elements, and tell the version, in one query unless there are lists."""
        value, is_list = self._value(column)
        if is_list:
            elements = f"(SELECT {value} AS element FROM {self.relation})"  # noqa: S608 - names are quoted
            rows, present = self._aggregate("count(element)", relation=elements)
            version = self.version(marker)
        else:
            rows, present, *marks = self._aggregate(f"count({quoted(column)})", marker=marker)
            version = self._version(marker, rows, *marks)
        return Measurement(row_count=rows, null_count=rows - present, data_version=version)

    def version(self, marker: Marker | None) -> str | None:
        """Tell the version in one aggregate query, without a marker that of the files, if it is read from files."""
        if marker is None:
            return self.file_version
        return self._version(marker, *self._aggregate(marker=marker))

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream one column; of lists each element, and one NULL of an empty list."""
        value, _ = self._value(column)
        select = f"SELECT {value} AS {quoted(column)} FROM {self.relation}"  # noqa: S608 - names are quoted
        with self._lend() as loan:
            schema = loan.schema(select)

        def batches() -> Generator[pl.DataFrame, None, None]:
            with self._lend() as loan:
                yield from loan.batches(select)

        return streamed(batches, schema=schema, name="duckdb")

    def _value(self, column: str) -> tuple[str, bool]:
        """Give the SQL of what is read of a column, and whether it is a list's elements.

        An ENUM and integers beyond 64 bits are read as text, since Arrow has no such integers.
        """
        name, kind = quoted(column), dict(self.columns())[column]
        element = _LIST.fullmatch(kind)
        fits = _ELEMENT.fullmatch(element[1]) if element else not _NESTED.match(kind)
        check_holds_identifiers(column, kind, fits or None, source=self.label, json="profile->>'email'")
        if element:
            values = f"CAST({name} AS VARCHAR[])"
            return f"unnest(CASE WHEN len({values}) > 0 THEN {values} ELSE [NULL] END)", True
        return (f"CAST({name} AS VARCHAR)" if _AS_TEXT.fullmatch(kind) else name), False

    def _aggregate(self, *counts: str, marker: Marker | None = None, relation: str = "") -> tuple[Any, ...]:
        """Give the row count, the counts asked for and, as text, what a marker asks for."""
        marks = [] if marker is None else [f"CAST({self._mark(marker)} AS VARCHAR)"]
        select = ", ".join(["count(*)", *counts, *marks])
        with self._lend() as loan:
            [row] = loan.rows(f"SELECT {select} FROM {relation or self.relation}")  # noqa: S608 - names are quoted
        return tuple(row)

    def _mark(self, marker: Marker) -> str:
        name = quoted(marker.column)
        if marker.kind == "checksum":
            # The exclusive or alone would not see two equal values become two others; hash(NULL) is a number too.
            value = f"hash(CAST({name} AS VARCHAR))"
            return f"concat_ws('/', bit_xor({value}), sum({value}))"
        newest = f"max({name})"
        return f"timezone('UTC', {newest})" if marker.type == "TIMESTAMP WITH TIME ZONE" else newest

    def _version(self, marker: Marker | None, rows: int, mark: str | None = None) -> str | None:
        if marker is None:
            return self.file_version
        if marker.kind == "checksum":
            return checksum_version(str(mark), rows=rows)
        return version_of(mark, rows=rows, temporal=marker.type.startswith(("DATE", "TIME")))

    def _lend(self) -> AbstractContextManager[Loan]:
        return self.connection.lend(self.label, explain=self.explain)
