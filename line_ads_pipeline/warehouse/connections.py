"""What an open warehouse is connected to."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from threading import Event, Timer

from line_ads_pipeline.warehouse import adbc_segment, database
from line_ads_pipeline.warehouse.adbc_database import AdbcDatabase
from line_ads_pipeline.warehouse.database import open_database, open_motherduck
from line_ads_pipeline.warehouse.dialect import Dialect
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection
from line_ads_pipeline.warehouse.errors import SegmentReadFailed, WarehouseClosed, raise_alone
from line_ads_pipeline.warehouse.location import Location, MotherDuck
from line_ads_pipeline.warehouse.segment import Segment
from line_ads_pipeline.warehouse.source import QuerySource, TableSource
from line_ads_pipeline.warehouse.turns import PROBES


class Connections:
    """A connection to the database and one to none, for files, each opened when it is first needed."""

    def __init__(self, location: Location, *, memory_limit: str) -> None:
        self._location = location
        self._memory_limit = memory_limit
        self._opened: list[DuckDBConnection | AdbcDatabase] = []

    def find(self, source: TableSource | QuerySource) -> Segment:
        """Find a table, or check a query.

        Raises:
            WarehouseError: There is no such table, the query is none, or the database cannot be opened.
        """
        opened = self._database
        if isinstance(opened, AdbcDatabase):
            if isinstance(source, TableSource):
                return adbc_segment.find_table(opened, source.table)
            return adbc_segment.find_query(opened, source.query, source.run_date)
        if isinstance(source, TableSource):
            return database.find_table(opened, source.table)
        return database.find_query(opened, source.query, source.run_date)

    def turn(self) -> AbstractContextManager[None]:
        """Surround a question for the version, so that those who ask leave room for a file's writer.

        Raises:
            WarehouseBusy: Others of this process are asking for too long.
        """
        return PROBES.at(self._location) if isinstance(self._location, Path) else nullcontext()

    @cached_property
    def memory(self) -> DuckDBConnection:
        """A connection that reads files."""
        connection = DuckDBConnection(None, memory_limit=self._memory_limit)
        self._opened.append(connection)
        return connection

    def close(self) -> None:
        """End what is read, also in other threads, and every connection."""
        for connection in self._opened:
            connection.close()

    @cached_property
    def _database(self) -> DuckDBConnection | AdbcDatabase:
        connection = (
            AdbcDatabase(self._location)
            if isinstance(self._location, Dialect)
            else open_motherduck(self._location, memory_limit=self._memory_limit)
            if isinstance(self._location, MotherDuck)
            else open_database(self._location, memory_limit=self._memory_limit)
        )
        self._opened.append(connection)
        return connection


@contextmanager
def ended_after(seconds: float, connections: Connections) -> Iterator[None]:
    """Close the connections when the time is up, which ends what they run.

    Raises:
        SegmentReadFailed: The time was up.
    """
    up = Event()

    def end() -> None:
        up.set()
        connections.close()

    timer = Timer(seconds, end)
    timer.start()
    try:
        yield
    except WarehouseClosed:
        if not up.is_set():
            raise
    finally:
        timer.cancel()
        timer.join()
    if up.is_set():
        raise_alone(
            SegmentReadFailed(
                f"The version of the source could not be told within {seconds:g} seconds. Give it an updated_at "
                "column in place of the checksum, or a table in place of a query or view."
            )
        )
