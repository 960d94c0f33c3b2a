"""CSV files, read by DuckDB because it is strict: Polars fills short rows and cuts long ones in silence."""

import csv
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection, DuckDBSegment, literal, quoted
from line_ads_pipeline.warehouse.errors import SegmentReadFailed, WarehouseError
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.names import presentable

_FAULTS = {
    "unterminated quote": "a quoted field is not closed, or text follows its closing quote",
    "Expected Number of Columns": "it has more or fewer fields than the header",
    "not utf-8": "it is not UTF-8: save the file as UTF-8",
    "Maximum line size": "it is longer than 2 MB",
}


def csv_segment(
    connection: DuckDBConnection, files: Sequence[Path], *, path: str, file_version: str
) -> DuckDBSegment:
    """Make a segment of CSV files that share one header.

    Raises:
        SegmentReadFailed: A header cannot be read or differs from the first one.
    """
    label = f"file {path}"
    header = _header(files[0])
    for file in files[1:]:
        if _header(file) != header:
            raise SegmentReadFailed(
                f"The CSV files of {path} differ in their header lines ({files[0].name}, {file.name}). "
                "They must have the same columns in the same order."
            )

    def explain(fault: Fault) -> WarehouseError | None:
        # Anchored at the start, since the row itself is quoted further on.
        line = fault.message.removeprefix("CSV Error on Line: ").partition("\n")[0]
        if not (line.isascii() and line.isdigit()):
            return None
        words = [words for mark, words in _FAULTS.items() if mark in fault.message]
        reason = words[0] if len(words) == 1 else "it is not well-formed CSV"
        return SegmentReadFailed(f"Reading {label} failed at line {line}: {reason}.")

    # A name may hold what DuckDB takes for a glob, even in a list of files.
    names = ", ".join(literal(glob.escape(str(file))) for file in files)
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in header)
    relation = (
        f"read_csv([{names}], columns = {{{columns}}}, auto_detect = false, header = true, delim = ',', quote = '\"', "
        "escape = '\"', strict_mode = true, null_padding = false, allow_quoted_nulls = false)"
    )
    return DuckDBSegment(connection, label, relation, explain=explain, file_version=file_version)


def _header(file: Path) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            header = next(csv.reader(lines, strict=True), None)
        reason = ""
    except OSError as error:
        reason = f"{os.strerror(error.errno)}." if error.errno else "it cannot be opened."
    except UnicodeDecodeError:
        reason = "it is not UTF-8. Save it as UTF-8."
    except csv.Error:
        reason = "its first line is not well-formed CSV."
    if reason:
        raise SegmentReadFailed(f"{file.name} cannot be read: {reason}")
    if not header:
        raise SegmentReadFailed(
            f"{file.name} is empty, or its first line is. A CSV file begins with a header line."
        )
    for separator in (";", "\t", "|"):
        if len(header) == 1 and separator in header[0]:
            raise SegmentReadFailed(
                f"{file.name} is separated by {separator!r}. Separate its fields by commas."
            )
    named = [name or f"column {place}" for place, name in enumerate(header, 1)]
    keys = [name.casefold() for name in named]
    for place, key in enumerate(keys, 1):
        if key in keys[: place - 1]:
            shown = presentable(named[place - 1], position=place)
            raise SegmentReadFailed(f"{file.name} has two columns {shown} in its header line. Rename one.")
    return named
