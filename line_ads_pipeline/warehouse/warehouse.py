"""The warehouse as the pipeline uses it: describe a source, tell its version, stream a column of it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import polars as pl

from line_ads_pipeline.warehouse.connections import Connections, ended_after
from line_ads_pipeline.warehouse.errors import UnsupportedWarehouse, WarehouseClosed
from line_ads_pipeline.warehouse.file_segment import file_segment, find_files
from line_ads_pipeline.warehouse.location import locate
from line_ads_pipeline.warehouse.names import find_column, presentable
from line_ads_pipeline.warehouse.parquet_files import polars_errors_replaced
from line_ads_pipeline.warehouse.segment import Marker, Segment
from line_ads_pipeline.warehouse.source import (
    FileSource,
    QuerySource,
    SegmentDescription,
    Source,
    TableSource,
)

_VERSION_SECONDS = 30.0
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
            url: `duckdb:///relative.duckdb`, `duckdb:////absolute.duckdb`, `md:database` of MotherDuck,
                `postgresql://user:password@host:port/database?…` with parameters of libpq such as `sslmode`,
                `sqlite:///relative.db`, `sqlite:////absolute.db`,
                `snowflake://user:password@account/database/schema?warehouse=…&role=…`, `bigquery://project/dataset`.
                Special characters are percent-encoded.
            root: What relative paths start from.
            memory_limit: What DuckDB may hold in memory, such as `512MB`; beyond, a read fails, as nothing is spilled.

        Raises:
            UnsupportedWarehouse: The URL is of another kind, or the memory limit is no amount of memory.
        """
        if not _MEMORY.fullmatch(memory_limit):
            raise UnsupportedWarehouse(
                f"memory_limit {memory_limit!r} is not an amount of memory such as 512MB."
            )
        self._location = locate(url, root=root)
        self._root = root
        self._memory_limit = memory_limit
        self._connections: Connections | None = None

    def __enter__(self) -> Self:
        self._connections = self._new_connections()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            connections.close()

    def describe(
        self,
        source: Source,
        *,
        identifier_columns: Sequence[str],
        updated_at: str | None = None,
        checksum: bool = False,
    ) -> SegmentDescription:
        """Describe a source as it is now, by aggregates: no row leaves the warehouse.

        Args:
            source: A table, a query or files.
            identifier_columns: The identifier is the first of these that is there, by its exact name, else whatever
                the case.
            updated_at: A column whose maximum, with the row count, is the data version. Without it files have a
                version by name, size and modification time.
            checksum: Tables and queries without `updated_at` have a version too, by a checksum of all identifiers that
                does not depend on the order of rows. It reads the whole column, and changes with DuckDB's own hash
                function, which a new DuckDB may bring. Otherwise they have none.

        Raises:
            TableNotFound: There is no such table.
            FileNotFound: There is no such file.
            MissingColumn: No identifier column or no `updated_at` column.
            QueryFailed: The query is not one valid SELECT.
            SegmentReadFailed: Reading failed, by a failing cast in a view for instance.
            WarehouseError: Any other failure to open or read the warehouse.
        """
        found = self._find(
            source, self._open_connections(), identifier_columns, updated_at=updated_at, checksum=checksum
        )
        measured = found.segment.measure(found.identifier, marker=found.marker)
        return SegmentDescription(
            columns=tuple(
                (presentable(name, position=place), kind)
                for place, (name, kind) in enumerate(found.columns, 1)
            ),
            row_count=measured.row_count,
            null_count=measured.null_count,
            identifier_column=found.identifier,
            data_version=measured.data_version,
        )

    def version(
        self,
        source: Source,
        *,
        identifier_columns: Sequence[str],
        updated_at: str | None = None,
        checksum: bool = False,
    ) -> str | None:
        """Tell the data version that `describe` would give, at the least cost and without keeping writers out.

        Of files names, sizes and times are looked at, unless `updated_at` is asked for, and no file is opened: a
        missing column shows when they are described. A database is opened for this one question, by one thread of the
        process at a time, and closed before this returns, whatever else this warehouse has open. Rows are read only
        for `updated_at` and `checksum`, and for no longer than half a minute, since Dagster gives a sensor one; only what
        SQLite does between two rows cannot be cut short.

        Args:
            source: As `describe`.
            identifier_columns: As `describe`.
            updated_at: As `describe`.
            checksum: As `describe`.

        Returns:
            None where the source has no cheap marker: DuckDB itself keeps none. What its catalogue and
            `pragma_storage_info` tell of a table stays the same after a DELETE.

        Raises:
            WarehouseBusy: The database is being written to, or was asked by others for too long.
            SegmentReadFailed: It took too long, or as `describe`.
            WarehouseError: As `describe`.
        """
        self._open_connections()
        if isinstance(source, FileSource) and updated_at is None:
            return find_files(source.path, root=self._root).version
        connections = self._new_connections()
        with connections.turn(), closing(connections), ended_after(_VERSION_SECONDS, connections):
            found = self._find(
                source, connections, identifier_columns, updated_at=updated_at, checksum=checksum
            )
            return found.segment.version(found.marker)

    def scan(self, source: Source, column: str) -> pl.LazyFrame:
        """Give one column of a source as a lazy frame that streams in batches while the warehouse is open.

        Each collection of the frame reads the source anew; all that an open warehouse reads from PostgreSQL or SQLite
        is of one moment. A list comes as a row for each element, one NULL where there is none. Databases other than
        DuckDB give text; DuckDB and files give text, integers, and UUID and ENUM as text, and other types as they are.

        Raises:
            MissingColumn: The column is not there.
            UnsupportedColumn: Its type cannot hold identifiers.
            WarehouseError: As `describe`.
        """
        segment = self._segment(source, self._open_connections())
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

    def _find(
        self,
        source: Source,
        connections: Connections,
        identifier_columns: Sequence[str],
        *,
        updated_at: str | None,
        checksum: bool,
    ) -> "_Found":
        segment = self._segment(source, connections)
        columns = segment.columns()
        types = dict(columns)
        identifier = find_column(identifier_columns, list(types), source=segment.label)
        marker = None
        if updated_at is not None:
            newest = find_column([updated_at], list(types), source=segment.label)
            marker = Marker(newest, types[newest], "newest")
        elif checksum and not isinstance(source, FileSource):
            marker = Marker(identifier, types[identifier], "checksum")
        return _Found(segment, columns, identifier, marker)

    def _segment(self, source: Source, connections: Connections) -> Segment:
        match source:
            case TableSource() | QuerySource():
                return connections.find(source)
            case FileSource(path):
                files = find_files(path, root=self._root)
                return file_segment(files, connect=lambda: connections.memory)

    def _new_connections(self) -> Connections:
        return Connections(self._location, memory_limit=self._memory_limit)

    def _open_connections(self) -> Connections:
        if self._connections is None:
            raise WarehouseClosed("The warehouse is not open: use it in a `with` block.")
        return self._connections


@dataclass(frozen=True)
class _Found:
    segment: Segment
    columns: tuple[tuple[str, str], ...]
    identifier: str
    marker: Marker | None
