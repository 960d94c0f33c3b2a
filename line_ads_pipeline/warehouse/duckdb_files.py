"""Files as DuckDB reads them: those of this machine by itself, objects through a filesystem of ours."""

import glob
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import PurePosixPath
from secrets import token_hex
from threading import Lock
from typing import Any, BinaryIO, cast

import polars as pl
from fsspec import AbstractFileSystem

from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection, DuckDBSegment, Loan, literal, quoted
from line_ads_pipeline.warehouse.errors import WarehouseError
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.files import Files
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.object_file import ObjectFile, RangeReader
from line_ads_pipeline.warehouse.segment import Marker, Measurement
from line_ads_pipeline.warehouse.stored_files import StoredFiles
from line_ads_pipeline.warehouse.streams import streamed


def names_in_sql(files: LocalFiles | StoredFiles, connection: DuckDBConnection) -> str:
    """Give a list of the files as SQL of this connection, which keeps objects mounted: call it once for a segment."""
    if isinstance(files, LocalFiles):
        # A name may hold what DuckDB takes for a glob, even in a list of files.
        names = tuple(glob.escape(str(path)) for path in files.paths)
    else:
        mounted = MountedFiles(files)
        connection.mount(mounted)
        names = mounted.names
    return f"[{', '.join(map(literal, names))}]"


@dataclass(frozen=True, kw_only=True)
class DuckDBFiles(DuckDBSegment):
    """Files as a relation of which each column is text, read as they were when they were found, or not at all."""

    files: Files

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs, and tell the version.

        Raises:
            SegmentReadFailed: Reading failed, or the files changed meanwhile.
        """
        with self.files.at_one_moment():
            return super().measure(column, marker=marker)

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream one column; what reads it gets SegmentReadFailed in the end if the files changed meanwhile."""

        def batches() -> Generator[pl.DataFrame, None, None]:
            with self.files.at_one_moment(), self._lend() as loan:
                yield from loan.batches(f"SELECT {quoted(column)} FROM {self.relation}")  # noqa: S608 - quoted

        return streamed(batches, schema=pl.Schema({column: pl.String}), name="files")

    def _lend(self) -> AbstractContextManager[Loan]:
        def explain(fault: Fault) -> WarehouseError | None:
            return self.files.take_failure() or (self.explain(fault) if self.explain else None)

        return self.connection.lend(self.label, explain=explain)


class MountedFiles(AbstractFileSystem):  # type: ignore[misc] # fsspec comes without types
    """Objects as the files of a filesystem with a protocol of its own.

    DuckDB opens a file several times, and reads it by several threads.
    """

    cachable = False

    def __init__(self, files: StoredFiles) -> None:
        """Mount objects, without a request."""
        super().__init__()
        self.protocol = f"objects-{token_hex(4)}"
        self.names = tuple(f"{self.protocol}://{place}" for place in range(len(files.found)))
        self._files = files
        self._lock = Lock()
        self._readers: dict[int, tuple[RangeReader, int]] = {}

    def open(self, path: str, mode: str = "rb", **_options: Any) -> BinaryIO:  # noqa: ANN401 - as fsspec has it
        """Open an object; all files of it that are open at a time share what is read ahead."""
        if mode != "rb":
            raise PermissionError(mode)
        place = self._place(path)
        with self._lock:
            shared = self._readers.get(place)
            reader, users = shared or (self._files.reader(place), 0)
            self._readers[place] = reader, users + 1
        return cast("BinaryIO", ObjectFile(reader, on_close=lambda: self._close(place)))

    def glob(self, path: str, maxdepth: int | None = None, **_options: Any) -> list[str]:  # noqa: ANN401, ARG002 - as fsspec has it
        """Give the one object that a name is of."""
        return [path]

    def exists(self, path: str, **_options: Any) -> bool:  # noqa: ANN401 - as fsspec has it
        """Tell whether there is such an object."""
        return path in self.names

    def size(self, path: str) -> int:
        """Give the size of an object in bytes."""
        return self._files.found[self._place(path)].size

    def _place(self, path: str) -> int:
        return int(PurePosixPath(path).name)

    def _close(self, place: int) -> None:
        with self._lock:
            reader, users = self._readers.pop(place)
            if users > 1:
                self._readers[place] = reader, users - 1
                return
        reader.close()
