"""Where a segment is, and what is known of it without reading its rows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TableSource:
    """A table or view, `table`, `schema.table` or `catalog.schema.table`.

    A part that holds a dot is written in double quotes, as in SQL: `marts."vip.2026"`.
    """

    table: str


@dataclass(frozen=True)
class QuerySource:
    """One SELECT (or WITH, FROM, VALUES) in the warehouse's own SQL."""

    query: str
    run_date: str | None = None


@dataclass(frozen=True)
class FileSource:
    """A `.parquet` or `.csv` file, or a glob of them, relative to the root or absolute.

    CSV files are UTF-8 (with or without BOM), separated by commas, with a header line. Every value is read as text,
    so a phone number keeps its leading zero; an empty field is NULL, a quoted empty one (`""`) is blank.
    """

    path: str


Source = TableSource | QuerySource | FileSource


@dataclass(frozen=True)
class SegmentDescription:
    """What a source holds at one moment; nothing in it is data of a person.

    Attributes:
        columns: Name and type of each column, the type as the source names it.
        row_count: Rows in the source.
        null_count: Rows whose identifier is NULL.
        identifier_column: The column that was found, in the source's spelling.
        data_version: Changes when the data does; None where the source has no cheap marker.
    """

    columns: tuple[tuple[str, str], ...]
    row_count: int
    null_count: int
    identifier_column: str
    data_version: str | None
