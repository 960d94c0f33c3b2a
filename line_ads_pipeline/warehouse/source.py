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
    """One SELECT (or WITH, FROM, VALUES) in the warehouse's own SQL.

    Attributes:
        query: Wherever the parameter `:run_date` stands in it, a date is put.
        run_date: That date, `YYYY-MM-DD`.
    """

    query: str
    run_date: str | None = None


@dataclass(frozen=True)
class FileSource:
    """A `.parquet`, `.csv`, `.ndjson` or `.jsonl` file, or a glob of them, on this machine or in an object store.

    A path is relative to the root or absolute; `s3://bucket/key`, `gs://bucket/key` and `az://account/container/key`
    take their credentials from the environment, as each platform names them. In a glob `*` stays within a folder, `**`
    does not, and neither takes a name that begins with a dot. Files are read as they were when they were found: a read
    during which they change fails.

    Of Parquet lists each element counts as a row; bytes must be the 32 of a digest, or of the UUID type. CSV files are
    UTF-8 (with or without BOM), separated by commas, with a header line; every value is read as text, so a phone number
    keeps its leading zero; an empty field is NULL, a quoted empty one (`""`) is blank. NDJSON files are UTF-8 with one
    object per line, in which the identifier is text, a whole number, null or absent, or an array of these, of which
    each element counts as a row; its key must be in the first MiB of one of the first 16 files.
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
