"""What every kind of source can do once it is found."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import polars as pl


@dataclass(frozen=True)
class Measurement:
    """Counts of one pass over a segment.

    Attributes:
        row_count: All rows.
        null_count: Rows whose identifier is NULL.
        data_version: Changes when the data does; None where the source has no cheap marker.
    """

    row_count: int
    null_count: int
    data_version: str | None


class Segment(Protocol):
    """A source that was found: a table, a query or files."""

    @property
    def label(self) -> str:
        """How it is called in an error."""

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give the name and type of each column, the type as the source names it."""

    def measure(self, column: str, *, updated_at: str | None) -> Measurement:
        """Count rows and NULLs of a column in one pass that holds no rows."""

    def scan(self, column: str) -> pl.LazyFrame:
        """Give one column as a lazy frame that streams."""


def version_of(newest: str | None, *, rows: int, temporal: bool) -> str:
    """Give the version of data by its newest change and its size.

    A time is shown. Anything else might be the identifier itself, by a slip in the audience file, so a digest is: one
    that is not what LINE gets for that identifier.
    """
    if newest is not None and not temporal:
        newest = hashlib.sha256(f"data version: {newest}".encode()).hexdigest()[:16]
    return f"{newest or 'never'}/{rows}"
