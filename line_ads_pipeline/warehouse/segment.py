"""What every kind of source can do once it is found."""

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

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


@dataclass(frozen=True)
class Marker:
    """What is asked of a column to tell the version of the data.

    Attributes:
        column: In the source's spelling.
        type: As the source names it.
        kind: `newest`, its greatest value, or `checksum`, of all its values whatever their order.
    """

    column: str
    type: str
    kind: Literal["newest", "checksum"]


class Segment(Protocol):
    """A source that was found: a table, a query or files."""

    @property
    def label(self) -> str:
        """How it is called in an error."""

    def columns(self) -> tuple[tuple[str, str], ...]:
        """Give the name and type of each column, the type as the source names it."""

    def measure(self, column: str, *, marker: Marker | None) -> Measurement:
        """Count rows and NULLs of a column, and tell the version, in one pass that holds no rows."""

    def version(self, marker: Marker | None) -> str | None:
        """Tell the version as `measure` does, by the marker and the row count alone; without a marker read nothing."""

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


def checksum_version(sums: str, *, rows: int) -> str:
    """Give the version of data by sums over all its values, as a digest: differences of sums would tell what joined.

    Of a single row it can be found by trying every phone number, as can the digest of a snapshot with one member and
    the identifier as LINE itself takes it: a version is no better secret than those, and of more rows a far better one.
    A key would help, but then two machines would not agree on a version.
    """
    return hashlib.sha256(f"data version by checksum: {sums}/{rows}".encode()).hexdigest()[:32]
