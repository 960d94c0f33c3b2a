"""CSV files, read by DuckDB because it is strict: Polars fills short rows and cuts long ones in silence."""

import csv
import os
from io import TextIOWrapper

from line_ads_pipeline.warehouse.duckdb_files import DuckDBFiles, names_in_sql
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection, quoted
from line_ads_pipeline.warehouse.errors import SegmentReadFailed, WarehouseError
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.names import presentable
from line_ads_pipeline.warehouse.stored_files import StoredFiles

# One thread, since several read the same parts again, and a buffer that must be fetched whole, so a small one.
_OF_OBJECTS = ", parallel = false, buffer_size = 8000000"
_FAULTS = {
    "unterminated quote": "a quoted field is not closed, or text follows its closing quote",
    "Expected Number of Columns": "it has more or fewer fields than the header",
    "not utf-8": "it is not UTF-8: save the file as UTF-8",
    "Maximum line size": "it is longer than 2 MB",
}


def csv_segment(connection: DuckDBConnection, files: LocalFiles | StoredFiles) -> DuckDBFiles:
    """Make a segment of CSV files that share one header.

    Raises:
        SegmentReadFailed: A header cannot be read or differs from the first one.
    """
    header = _header(files, 0)
    for place, file in enumerate(files.found[1:], 1):
        if _header(files, place) != header:
            raise SegmentReadFailed(
                f"The CSV files of {files.path} differ in their header lines ({files.found[0].short_name}, "
                f"{file.short_name}). They must have the same columns in the same order."
            )

    def explain(fault: Fault) -> WarehouseError | None:
        # Anchored at the start, since the row itself is quoted further on.
        line = fault.message.removeprefix("CSV Error on Line: ").partition("\n")[0]
        if not (line.isascii() and line.isdigit()):
            return None
        words = [words for mark, words in _FAULTS.items() if mark in fault.message]
        reason = words[0] if len(words) == 1 else "it is not well-formed CSV"
        return SegmentReadFailed(f"Reading {files.label} failed at line {line}: {reason}.")

    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
    relation = (
        f"read_csv({names_in_sql(files, connection)}, columns = {{{columns}}}, auto_detect = false, header = true, "
        "delim = ',', quote = '\"', escape = '\"', strict_mode = true, null_padding = false, "
        f"allow_quoted_nulls = false{'' if isinstance(files, LocalFiles) else _OF_OBJECTS})"
    )
    return DuckDBFiles(
        connection, files.label, relation, explain=explain, file_version=files.version, files=files
    )


def _header(files: LocalFiles | StoredFiles, place: int) -> list[str]:
    name = files.found[place].short_name
    try:
        with TextIOWrapper(files.open(place), encoding="utf-8-sig", newline="") as lines:
            header = next(csv.reader(lines, strict=True), None)
        reason = ""
    except OSError as error:
        reason = f"{os.strerror(error.errno)}." if error.errno else "it cannot be opened."
    except UnicodeDecodeError:
        reason = "it is not UTF-8. Save it as UTF-8."
    except csv.Error:
        reason = "its first line is not well-formed CSV."
    if reason:
        raise SegmentReadFailed(f"{name} cannot be read: {reason}")
    if not header:
        raise SegmentReadFailed(
            f"{name} is empty, or its first line is. A CSV file begins with a header line."
        )
    for separator in (";", "\t", "|"):
        if len(header) == 1 and separator in header[0]:
            raise SegmentReadFailed(f"{name} is separated by {separator!r}. Separate its fields by commas.")
    named = [column or f"column {position}" for position, column in enumerate(header, 1)]
    keys = [column.casefold() for column in named]
    for position, key in enumerate(keys, 1):
        if key in keys[: position - 1]:
            shown = presentable(named[position - 1], position=position)
            raise SegmentReadFailed(f"{name} has two columns {shown} in its header line. Rename one.")
    return named
