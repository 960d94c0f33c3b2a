"""Newline-delimited JSON files, read by DuckDB: one object per line, of which each key is a column."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from line_ads_pipeline.warehouse.duckdb_files import DuckDBFiles, names_in_sql
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection, quoted
from line_ads_pipeline.warehouse.errors import SegmentReadFailed, UnsupportedColumn, WarehouseError
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.names import presentable
from line_ads_pipeline.warehouse.segment import Marker, Measurement
from line_ads_pipeline.warehouse.stored_files import StoredFiles

_SAMPLE_BYTES = 1 << 20
_SAMPLED_FILES = 16
_LONGEST_LINE = 2 << 20
_REFUSED = "no identifier but "
_KINDS = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
_FAULT = re.compile(
    r'(?P<kind>Malformed JSON|JSON transform error) in file "(?s:.*?)",.* in line (?P<line>\d+): (?P<words>[^\n]*)'
)
_MALFORMED = "it is not one whole JSON object"
_WORDS = {
    "byte order mark": "it begins with a byte order mark: save the file as UTF-8 without one",
    "UTF-8": "it is not UTF-8: save the file as UTF-8",
    "Expected OBJECT": "it is no JSON object",
    "has duplicate key": "it has the same key twice",
}


@dataclass(frozen=True)
class NdjsonSegment:
    """Files of one JSON object per line.

    A value is text, a whole number, null, or an array of these, of which each counts as a row. A key that a line has
    not is null there. Which keys there are is known from the first MiB of the first files alone.
    """

    connection: DuckDBConnection
    files: LocalFiles | StoredFiles

    @property
    def label(self) -> str:
        """How it is called in an error."""
        return self.files.label

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give each key and the kinds of its values, as far as the beginnings of the files tell.

        Raises:
            SegmentReadFailed: A line is no JSON object, or a file cannot be read.
        """
        kinds: dict[str, set[str]] = {}
        for place in range(min(len(self.files.found), _SAMPLED_FILES)):
            for record in self._sample(place):
                for key, value in record.items():
                    kinds.setdefault(key, set()).update([] if value is None else [_KINDS[type(value)]])
        return tuple((key, " or ".join(sorted(there)) or "null") for key, there in kinds.items())

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs in one pass, and tell the version in another where a marker asks for it."""
        counted = self._elements(column).measure(column, marker=None)
        return Measurement(
            row_count=counted.row_count, null_count=counted.null_count, data_version=self.version(marker)
        )

    def version(self, marker: Marker | None) -> str | None:
        """Tell the version by the greatest value of the marker's column, as text, and the number of lines."""
        if marker is None:
            return self.files.version
        name = quoted(marker.column)
        lines = f"(SELECT CAST({name} AS VARCHAR) AS {name} FROM {self._read(marker.column)})"  # noqa: S608 - quoted
        return self._segment(marker.column, lines).version(marker)

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream the elements of one column as text."""
        return self._elements(column).scan(column)

    def _elements(self, column: str) -> DuckDBFiles:
        name = quoted(column)
        items = (
            f"CASE WHEN json_type({name}) <> 'ARRAY' OR {name} IS NULL THEN [{name}] WHEN json_array_length({name}) = 0 "
            f"THEN [NULL::JSON] ELSE json_extract({name}, '$[*]') END"
        )
        text = (
            "CASE coalesce(json_type(item), 'NULL') WHEN 'VARCHAR' THEN item->>'$' WHEN 'BIGINT' THEN item->>'$' "
            f"WHEN 'UBIGINT' THEN item->>'$' WHEN 'NULL' THEN NULL ELSE error('{_REFUSED}' || json_type(item)) END"
        )
        relation = (
            f"(SELECT {text} AS {name} FROM (SELECT unnest({items}) AS item FROM {self._read(column)}))"  # noqa: S608 - quoted
        )
        return self._segment(column, relation)

    @cached_property
    def _names(self) -> str:
        return names_in_sql(self.files, self.connection)

    def _read(self, column: str) -> str:
        return (
            f"read_json({self._names}, columns = {{{quoted(column)}: 'JSON'}}, "
            "format = 'newline_delimited', records = true, auto_detect = false, ignore_errors = false, "
            f"maximum_object_size = {_LONGEST_LINE})"
        )

    def _segment(self, column: str, relation: str) -> DuckDBFiles:
        def explain(fault: Fault) -> WarehouseError | None:
            if fault.message.startswith(_REFUSED):
                shown = presentable(column, position=[key for key, _ in self.columns()].index(column) + 1)
                kind = fault.message.removeprefix(_REFUSED).strip().lower()
                return UnsupportedColumn(
                    f"A value of {shown} in {self.label} is of the kind {kind}. Write identifiers as text, as whole "
                    "numbers of at most 64 bits, or as an array of these, under a key of their own."
                )
            found = _FAULT.match(fault.message)
            if found is None:
                return None
            # DuckDB counts the line ends it has passed before it parses a line, and begins with one.
            line = int(found["line"]) - (found["kind"] == "Malformed JSON")
            words = next((words for mark, words in _WORDS.items() if mark in found["words"]), _MALFORMED)
            return self._malformed(line, words)

        return DuckDBFiles(
            self.connection,
            self.label,
            relation,
            explain=explain,
            file_version=self.files.version,
            files=self.files,
        )

    def _sample(self, place: int) -> Iterator[dict[str, Any]]:
        name = self.files.found[place].short_name
        reason = ""
        try:
            with self.files.open(place) as file:
                beginning = file.read(_SAMPLE_BYTES)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else "it cannot be opened"
        if reason:
            raise SegmentReadFailed(f"{name} cannot be read: {reason}.")
        lines = beginning.split(b"\n")
        if len(beginning) == _SAMPLE_BYTES:
            lines.pop()  # it may be cut
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._record(number, line)

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        words = ""
        try:
            record = json.loads(line.decode())
        except UnicodeDecodeError:
            words = _WORDS["UTF-8"]
        except (ValueError, RecursionError):
            words = _WORDS["byte order mark"] if line.startswith(b"\xef\xbb\xbf") else _MALFORMED
        else:
            if record is None or isinstance(record, dict):
                return record or {}
            words = _WORDS["Expected OBJECT"]
        raise self._malformed(number, words)

    def _malformed(self, line: int, words: str) -> SegmentReadFailed:
        return SegmentReadFailed(f"Reading {self.label} failed at line {line}: {words}.")
