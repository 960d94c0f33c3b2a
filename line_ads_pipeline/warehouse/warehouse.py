"""The warehouse as the pipeline uses it: describe a source, stream a column of it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from line_ads_pipeline.warehouse.csv_files import csv_segment
from line_ads_pipeline.warehouse.database import database_path, find_query, find_table, open_database
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection
from line_ads_pipeline.warehouse.errors import UnsupportedWarehouse, WarehouseClosed
from line_ads_pipeline.warehouse.files import find_files
from line_ads_pipeline.warehouse.names import find_column, presentable
from line_ads_pipeline.warehouse.parquet_files import ParquetSegment, polars_errors_replaced
from line_ads_pipeline.warehouse.segment import Segment
from line_ads_pipeline.warehouse.source import (
    FileSource,
    QuerySource,
    SegmentDescription,
    Source,
    TableSource,
)

_MEMORY = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B", re.IGNORECASE)


class Warehouse:
    """A warehouse that is open for reading, inside its `with` block.

    Nothing is connected before the first source needs it: an audience that reads files needs no database.

        with Warehouse("duckdb:///data/warehouse.duckdb", root=project) as warehouse:
            source = TableSource("marts.vip_customers")
            found = warehouse.describe(source, identifier_columns=["email"])
            frame = warehouse.scan(source, found.identifier_column)
            with warehouse.reading():
                frame.select(...).sink_parquet(...)
    """

    def __init__(self, url: str, *, root: Path, memory_limit: str = "1GB") -> None:
        """Say where the warehouse is, without connecting.

        Args:
            url: `duckdb:///relative.duckdb` or `duckdb:////absolute.duckdb`.
            root: What relative paths start from.
            memory_limit: What DuckDB may hold in memory, such as `512MB`; beyond, a read fails, as nothing is spilled.

        Raises:
            UnsupportedWarehouse: The URL is of another kind, or the memory limit is no amount of memory.
        """
        if not _MEMORY.fullmatch(memory_limit):
            raise UnsupportedWarehouse(
                f"memory_limit {memory_limit!r} is not an amount of memory such as 512MB."
            )
        self._path = database_path(url, root=root)
        self._root = root
        self._memory_limit = memory_limit
        self._open = False
        self._database: DuckDBConnection | None = None
        self._memory: DuckDBConnection | None = None

    def __enter__(self) -> Self:
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for connection in (self._database, self._memory):
            if connection is not None:
                connection.close()
        self._database = self._memory = None

    def describe(
        self, source: Source, *, identifier_columns: Sequence[str], updated_at: str | None = None
    ) -> SegmentDescription:
        """Describe a source as it is now, by aggregates: no row leaves the warehouse.

        Args:
            source: A table, a query or files.
            identifier_columns: The identifier is the first of these that is there, by its exact name, else whatever
                the case.
            updated_at: A column whose maximum, with the row count, is the data version. Without it files have a
                version, by name, size and modification time, and tables and queries none.

        Raises:
            TableNotFound: There is no such table.
            FileNotFound: There is no such file.
            MissingColumn: No identifier column or no `updated_at` column.
            QueryFailed: The query is not one valid SELECT.
            SegmentReadFailed: Reading failed, by a failing cast in a view for instance.
            WarehouseError: Any other failure to open or read the warehouse.
        """
        segment = self._segment(source)
        columns = segment.columns()
        names = [name for name, _ in columns]
        identifier = find_column(identifier_columns, names, source=segment.label)
        newest = None if updated_at is None else find_column([updated_at], names, source=segment.label)
        measured = segment.measure(identifier, updated_at=newest)
        return SegmentDescription(
            columns=tuple(
                (presentable(name, position=place), kind) for place, (name, kind) in enumerate(columns, 1)
            ),
            row_count=measured.row_count,
            null_count=measured.null_count,
            identifier_column=identifier,
            data_version=measured.data_version,
        )

    def scan(self, source: Source, column: str) -> pl.LazyFrame:
        """Give one column of a source as a lazy frame that streams in batches while the warehouse is open.

        Each collection of the frame reads the source anew. Text, integers, and UUID, ENUM and JSON as text come as
        Polars strings and integers, other types as they are.

        Raises:
            MissingColumn: The column is not there.
            WarehouseError: As `describe`.
        """
        segment = self._segment(source)
        names = [name for name, _ in segment.columns()]
        return segment.scan(find_column([column], names, source=segment.label))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Surround what collects or sinks a lazy frame of `scan`, so that no error quotes a value.

        A failure of the source comes out as the typed error it is; a failure of Polars itself, panics included, as
        SegmentReadFailed that names its class.

        Raises:
            SegmentReadFailed: The source or the plan over it failed.
            WarehouseClosed: The frame's warehouse was closed.
        """
        with polars_errors_replaced("the segment"):
            yield

    def _segment(self, source: Source) -> Segment:
        if not self._open:
            raise WarehouseClosed("The warehouse is not open: use it in a `with` block.")
        match source:
            case TableSource(table):
                return find_table(self._connect_database(), table)
            case QuerySource(query):
                return find_query(self._connect_database(), query)
            case FileSource(path):
                files = find_files(path, root=self._root)
                if files[0].suffix.casefold() == ".parquet":
                    return ParquetSegment(tuple(files), path)
                return csv_segment(self._connect_memory(), files, path=path)

    def _connect_database(self) -> DuckDBConnection:
        if self._database is None:
            self._database = open_database(self._path, memory_limit=self._memory_limit)
        return self._database

    def _connect_memory(self) -> DuckDBConnection:
        if self._memory is None:
            self._memory = DuckDBConnection(None, memory_limit=self._memory_limit)
        return self._memory
