"""Parquet files, read by Polars, which decodes them straight into its own plan."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from line_ads_pipeline.warehouse.errors import SegmentReadFailed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.segment import Marker, Measurement, version_of


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


@dataclass(frozen=True)
class ParquetSegment:
    """Parquet files, of which each has the columns of the first.

    Attributes:
        files: At least one.
        path: As the audience file has it.
        file_version: Changes with the files.
    """

    files: tuple[Path, ...]
    path: str
    file_version: str

    @property
    def label(self) -> str:
        """How it is called in an error."""
        return f"file {self.path}"

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give each column's name and Polars type; of an Enum without its members, which are data."""
        return tuple((name, _type_name(kind)) for name, kind in self._schema().items())

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs, and find the newest value where a marker asks for it, in one streaming pass."""
        rows, nulls, *newest = self._aggregate(pl.col(column).null_count(), marker=marker)
        return Measurement(
            row_count=rows, null_count=nulls, data_version=self._version(marker, rows, *newest)
        )

    def version(self, marker: Marker | None) -> str:
        """Tell the version, without a marker that of the files."""
        if marker is None:
            return self.file_version
        return self._version(marker, *self._aggregate(marker=marker))

    def scan(self, column: str) -> pl.LazyFrame:
        """Stream one column; a Categorical or an Enum comes as text."""
        as_text = isinstance(self._schema()[column], pl.Categorical | pl.Enum)
        return self._frame().select(pl.col(column).cast(pl.String) if as_text else pl.col(column))

    def _aggregate(self, *counts: pl.Expr, marker: Marker | None) -> tuple[Any, ...]:
        """Give the row count, the counts asked for and, as text, the newest value that a marker asks for."""
        newest = [] if marker is None else [pl.col(marker.column).max().cast(pl.String)]
        named = [
            expression.alias(str(place)) for place, expression in enumerate([pl.len(), *counts, *newest])
        ]
        with self._errors_replaced():
            return self._frame().select(named).collect(engine="streaming").row(0)

    def _version(self, marker: Marker | None, rows: int, newest: str | None = None) -> str:
        if marker is None:
            return self.file_version
        return version_of(newest, rows=rows, temporal=self._schema()[marker.column].is_temporal())

    def _frame(self) -> pl.LazyFrame:
        return pl.scan_parquet(list(self.files), glob=False, hive_partitioning=False, extra_columns="ignore")

    def _schema(self) -> pl.Schema:
        with self._errors_replaced():
            return self._frame().collect_schema()

    @contextmanager
    def _errors_replaced(self) -> Iterator[None]:
        reason = ""
        try:
            with polars_errors_replaced(f"{self.label} (is it a whole Parquet file?)"):
                yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason:
            raise_alone(SegmentReadFailed(f"Reading {self.label} failed: {reason}."))


def _type_name(kind: pl.DataType) -> str:
    return "Enum" if isinstance(kind, pl.Enum) else str(kind)
