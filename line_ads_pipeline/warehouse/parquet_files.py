"""Parquet files: those of this machine read by Polars, which decodes them straight into its own plan."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from polars.datatypes import DataTypeClass

from line_ads_pipeline.warehouse.errors import (
    SegmentReadFailed,
    UnsupportedColumn,
    WarehouseError,
    raise_alone,
)
from line_ads_pipeline.warehouse.local_files import LocalFiles
from line_ads_pipeline.warehouse.names import presentable
from line_ads_pipeline.warehouse.parquet_objects import footer_of, read_objects
from line_ads_pipeline.warehouse.segment import Marker, Measurement, version_of
from line_ads_pipeline.warehouse.stored_files import StoredFiles
from line_ads_pipeline.warehouse.streams import streamed

_BATCH_ROWS = 65_536
_DIGEST_BYTES = 32
_UUID_FIELDS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))


@contextmanager
def polars_errors_replaced(source: str) -> Iterator[None]:
    """Raise what Polars raises as our own error: its messages may quote values.

    Raises:
        SegmentReadFailed: Polars failed; the message names its exception's class.
    """
    failed = ""
    try:
        yield
    except WarehouseError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        failed = type(error).__name__
    if failed:
        raise_alone(
            SegmentReadFailed(
                f"Reading {source} failed in Polars: {failed}. Write the file anew; if it stays, report the class."
            )
        )


@contextmanager
def parquet_errors_replaced(source: str) -> Iterator[None]:
    """Raise what Polars, or the system below it, raises over Parquet files as our own error.

    Raises:
        SegmentReadFailed: Reading failed.
    """
    reason = ""
    try:
        with polars_errors_replaced(f"{source} (is it a whole Parquet file?)"):
            yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise_alone(SegmentReadFailed(f"Reading {source} failed: {reason}."))


@dataclass(frozen=True)
class ParquetSegment:
    """Parquet files, of which each has the columns of the first.

    Of lists each element counts as a row, and one without any as one that is NULL. Bytes come as hex digits, since
    they must be digests, and those of the UUID type as UUIDs are written.
    """

    files: LocalFiles | StoredFiles

    @property
    def label(self) -> str:
        """How it is called in an error."""
        return self.files.label

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give each column's name and Polars type; of Enums without their members, which are data."""
        return tuple((name, _type_name(kind)) for name, kind in self._schema.items())

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs, and find the newest value where a marker asks for it, in one streaming pass.

        Raises:
            UnsupportedColumn: The column's type holds no identifiers.
            SegmentReadFailed: Reading failed.
        """
        self._check_type(column)
        rows, elements, nulls, misfits, *newest = self._aggregate(
            [column], [*_counts(column, self._schema[column]), self._misfits(column)], marker=marker
        )
        if misfits:
            self._refuse(column, f"bytes that are not the {_DIGEST_BYTES} of a SHA-256 digest")
        return Measurement(
            row_count=elements, null_count=nulls, data_version=self._version(marker, rows, *newest)
        )

    def version(self, marker: Marker | None) -> str:
        """Tell the version, without a marker that of the files."""
        if marker is None:
            return self.files.version
        return self._version(marker, *self._aggregate([], [], marker=marker))

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream one column, of lists their elements.

        What reads it gets SegmentReadFailed in the end if the files changed meanwhile.

        Raises:
            UnsupportedColumn: The column's type holds no identifiers.
        """
        self._check_type(column)
        value = self._value(column)
        with parquet_errors_replaced(self.label):
            kind = self._frame([column]).select(value).collect_schema()[column]
        is_list = isinstance(kind, pl.List)

        def batches() -> Generator[pl.DataFrame, None, None]:
            with self._at_one_moment():
                for batch in self._batches(column, value):
                    yield batch.explode(column, empty_as_null=True, keep_nulls=True) if is_list else batch

        item = kind.inner if isinstance(kind, pl.List) else kind
        return streamed(batches, schema=pl.Schema({column: item}), name="parquet")

    def _value(self, column: str) -> pl.Expr:
        kind, value = self._schema[column], pl.col(column)
        if isinstance(kind, pl.Categorical | pl.Enum):
            return value.cast(pl.String)
        if isinstance(kind, pl.Array):
            return value.arr.to_list()
        if not isinstance(kind, pl.Binary):
            return value
        digits = value.bin.encode("hex")
        if not self._is_uuid(column):
            return digits
        return pl.concat_str([digits.str.slice(start, size) for start, size in _UUID_FIELDS], separator="-")

    def _batches(self, column: str, value: pl.Expr) -> Iterator[pl.DataFrame]:
        if isinstance(self.files, StoredFiles):
            # The engine would hold some batches more.
            for batch in read_objects(self.files, self._part([column])):
                yield batch.select(value)
        else:
            frame = self._frame([column]).select(value)
            yield from frame.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True, engine="streaming")

    @contextmanager
    def _at_one_moment(self) -> Iterator[None]:
        with self.files.at_one_moment(), parquet_errors_replaced(self.label):
            yield

    def _check_type(self, column: str) -> None:
        kind = self._schema[column]
        item = kind.inner if isinstance(kind, pl.List | pl.Array) else kind
        if self._logical_types.get(column) == "JSON" or "json" in _type_name(item):
            self._refuse(column, "JSON")
        if item.is_nested() or (item is not kind and not _fits_in_list(item)):
            self._refuse(column, " of ".join(each.__class__.__name__ for each in dict.fromkeys((kind, item))))

    def _refuse(self, column: str, what: str) -> None:
        shown = presentable(column, position=[*self._schema].index(column) + 1)
        raise_alone(
            UnsupportedColumn(
                f"The column {shown} of {self.label} holds {what}, from which identifiers cannot be read. Write them as "
                "text, or as a list of texts, in a column of their own, for instance profile.email AS email."
            )
        )

    def _misfits(self, column: str) -> pl.Expr:
        if isinstance(self._schema[column], pl.Binary) and not self._is_uuid(column):
            return (pl.col(column).bin.size() != _DIGEST_BYTES).sum()
        return pl.lit(0)

    def _is_uuid(self, column: str) -> bool:
        return self._logical_types.get(column) == "UUID"

    def _aggregate(
        self, columns: Sequence[str], counts: Sequence[pl.Expr], *, marker: Marker | None
    ) -> tuple[Any, ...]:
        """Give the row count, the counts asked for and, as text, the newest value that a marker asks for."""
        newest = [] if marker is None else [pl.col(marker.column).max().cast(pl.String)]
        read = dict.fromkeys([*columns, *([] if marker is None else [marker.column])])
        named = [
            expression.alias(str(place)) for place, expression in enumerate([pl.len(), *counts, *newest])
        ]
        with self._at_one_moment():
            return self._frame([*read]).select(named).collect(engine="streaming").row(0)

    def _version(self, marker: Marker | None, rows: int, newest: str | None = None) -> str:
        if marker is None:
            return self.files.version
        return version_of(newest, rows=rows, temporal=self._schema[marker.column].is_temporal())

    def _frame(self, columns: Sequence[str]) -> pl.LazyFrame:
        files = self.files
        if isinstance(files, LocalFiles):
            return _scan_local(files).select(columns)
        part = self._part(columns)
        return streamed(lambda: read_objects(files, part), schema=part, name="objects")

    def _part(self, columns: Sequence[str]) -> pl.Schema:
        return pl.Schema({name: self._schema[name] for name in columns})

    @cached_property
    def _schema(self) -> pl.Schema:
        with parquet_errors_replaced(self.label):
            if isinstance(self.files, LocalFiles):
                return _scan_local(self.files).collect_schema()
            return pl.DataFrame(self._footer.to_arrow_schema().empty_table()).schema

    @cached_property
    def _logical_types(self) -> dict[str, str]:
        return {
            leaf.path: leaf.logical_type.type for leaf in map(self._footer.column, range(len(self._footer)))
        }

    @cached_property
    def _footer(self) -> pq.ParquetSchema:
        return footer_of(self.files)


def _scan_local(files: LocalFiles) -> pl.LazyFrame:
    return pl.scan_parquet(list(files.paths), glob=False, hive_partitioning=False, extra_columns="ignore")


def _counts(column: str, kind: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    """Count the elements, of which a list without any counts as one that is NULL, and those that are NULL."""
    value = pl.col(column)
    if not isinstance(kind, pl.List | pl.Array):
        return pl.len(), value.null_count()
    lists = value if isinstance(kind, pl.List) else value.arr.to_list()
    size = lists.list.len()
    nulls = size - lists.list.drop_nulls().list.len()
    elements, null_elements = (pl.when(size > 0).then(count).otherwise(1).sum() for count in (size, nulls))
    return elements, null_elements


def _fits_in_list(item: pl.DataType | DataTypeClass) -> bool:
    is_whole = item.is_integer() or (isinstance(item, pl.Decimal) and item.scale == 0)
    return is_whole or isinstance(item, pl.String | pl.Categorical | pl.Enum | pl.Null)


def _type_name(kind: pl.DataType | DataTypeClass) -> str:
    match kind:
        case pl.Enum():
            return "Enum"
        case pl.List():
            return f"List({_type_name(kind.inner)})"
        case pl.Array():
            return f"Array({_type_name(kind.inner)}, {kind.size})"
        case pl.Struct():
            fields = (
                f"{presentable(field.name, position=place)}: {_type_name(field.dtype)}"
                for place, field in enumerate(kind.fields, 1)
            )
            return f"Struct({', '.join(fields)})"
        case _:
            return str(kind)
