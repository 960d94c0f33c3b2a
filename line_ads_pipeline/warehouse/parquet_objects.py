"""Parquet files in an object store, read in pieces: of each row group only the columns that are wanted."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from line_ads_pipeline.warehouse.arrow_batches import frame_of
from line_ads_pipeline.warehouse.errors import SegmentReadFailed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.files import Files
from line_ads_pipeline.warehouse.object_file import ObjectFile, Range
from line_ads_pipeline.warehouse.stored_files import StoredFiles

_BATCH_ROWS = 32_768
_BUFFER_BYTES = 1 << 20


def footer_of(files: Files) -> pq.ParquetSchema:
    """Give what the first of the files says of its columns.

    Raises:
        WarehouseError: It cannot be read.
    """
    with _arrow_errors_replaced(files), files.open(0) as file, pq.ParquetFile(file) as parquet:
        return parquet.schema


def read_objects(files: StoredFiles, schema: pl.Schema) -> Generator[pl.DataFrame, None, None]:
    """Read columns of objects in batches.

    Args:
        files: At least one.
        schema: The columns wanted and their types. One is read ahead; of several the pieces are fetched one by one.

    Raises:
        SegmentReadFailed: Reading failed, or a file has not these columns.
    """
    with _arrow_errors_replaced(files):
        for place, found in enumerate(files.found):
            for frame in _frames(files, place, list(schema)):
                if frame.schema != schema:
                    raise SegmentReadFailed(
                        f"The Parquet files of {files.path} differ in their columns ({files.found[0].short_name}, "
                        f"{found.short_name}). They must have the same names and types."
                    )
                yield frame


def _frames(files: StoredFiles, place: int, columns: list[str]) -> Iterator[pl.DataFrame]:
    with (
        closing(files.reader(place)) as reader,
        ObjectFile(reader, on_close=lambda: None) as file,
        # Arrow's own way of reading ahead would hold the whole column.
        pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False) as parquet,
    ):
        reader.follow(_ranges(parquet.metadata, columns[0]) if len(columns) == 1 else [])
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns):
            yield frame_of(batch)


def _ranges(metadata: pq.FileMetaData, column: str) -> Iterator[Range]:
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if f"{chunk.path_in_schema}.".startswith(f"{column}."):
                start = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
                yield start, start + chunk.total_compressed_size


@contextmanager
def _arrow_errors_replaced(files: Files) -> Iterator[None]:
    failure: WarehouseError | None = None
    try:
        yield
    except WarehouseError as error:
        files.take_failure()
        failure = error
    except UnicodeError:
        failure = SegmentReadFailed(f"Reading {files.label} failed: a value is not UTF-8. Write it as UTF-8.")
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        failure = files.take_failure() or SegmentReadFailed(
            f"Reading {files.label} (is it a whole Parquet file?) failed in Arrow: {type(error).__name__}. Write the "
            "file anew; if it stays, report the class."
        )
    if failure is not None:
        raise_alone(failure)
