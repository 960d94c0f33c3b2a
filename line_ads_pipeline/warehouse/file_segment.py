"""A source of files: where they are, and the reader of their kind."""

from collections.abc import Callable
from pathlib import Path

from line_ads_pipeline.warehouse.csv_files import csv_segment
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.ndjson_files import NdjsonSegment
from line_ads_pipeline.warehouse.parquet_files import ParquetSegment
from line_ads_pipeline.warehouse.segment import Segment
from line_ads_pipeline.warehouse.stored_files import StoredFiles


def find_files(path: str, *, root: Path) -> LocalFiles | StoredFiles:
    """Find the files that a path, a URL or a glob of either names, without opening one.

    Raises:
        FileNotFound: There is none, or it is of a kind that cannot be read.
        SegmentReadFailed: The system or the object store does not let us look.
    """
    return StoredFiles.find(path) if "://" in path else LocalFiles.find(path, root=root)


def file_segment(files: LocalFiles | StoredFiles, *, connect: Callable[[], DuckDBConnection]) -> Segment:
    """Make a segment of files, which are read as they were when they were found, or not at all.

    Args:
        files: All of one kind.
        connect: Gives a connection that reads files, where they are of a kind that needs one.

    Raises:
        SegmentReadFailed: A file cannot be read.
    """
    match files.kind:
        case "parquet":
            return ParquetSegment(files)
        case "csv":
            return csv_segment(connect(), files)
        case "ndjson":
            return NdjsonSegment(connect(), files)
