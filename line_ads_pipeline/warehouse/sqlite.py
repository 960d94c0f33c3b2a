"""SQLite database files, in which each value has a type of its own, whatever its column declares."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

from line_ads_pipeline.warehouse.dialect import (
    NO_DIGEST,
    NO_WHOLE_NUMBER,
    SHA256_BYTES,
    Column,
    Dialect,
    Form,
    Rows,
)
from line_ads_pipeline.warehouse.errors import WarehouseNotFound
from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import Place, TableName

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_UNFIT = re.compile(r"JSON|DATE|TIME|BOOL", re.IGNORECASE)
_TABLE = re.compile(r'"((?:[^"]|"")+)"\."((?:[^"]|"")+)" AS \w+')


@dataclass(frozen=True)
class SQLite(Dialect):
    """A SQLite database file.

    Attributes:
        path: Of the file.
    """

    path: Path

    name = "SQLite"
    extra = "sqlite"
    lexis = Lexis(name_quotes='"`[')
    date_literal = "'{}'"
    statement_options = MappingProxyType({"adbc.sqlite.query.batch_rows": "16384"})
    isolation = "connection"
    types_from_rows = True
    has_hashes = False
    json_remedy = "json_extract(profile, '$.email')"

    def connect(self) -> "Connection":
        """Open the file for reading.

        Raises:
            WarehouseNotFound: There is no such file.
        """
        from adbc_driver_sqlite import dbapi  # noqa: PLC0415 - an extra

        if not self.path.is_file():
            raise WarehouseNotFound(
                f"There is no SQLite database at {self.path}. Set WAREHOUSE_URL to the file's URL, such as "
                "sqlite:////absolute/path.db, or create the file."
            )
        return dbapi.connect(f"file:{quote(str(self.path.absolute()))}?mode=ro", autocommit=True)

    def begin(self, connection: Rows, *, snapshot: str | None) -> None:  # noqa: ARG002 - readers share a connection
        """Begin the transaction in which everything is read, and see whether the file is a database."""
        connection.rows("BEGIN")
        connection.rows("SELECT count(*) FROM sqlite_schema")

    def tables(self, connection: Rows, wanted: TableName) -> tuple[Sequence[Place], str, Sequence[str]]:  # noqa: ARG002
        """List the file's tables and views."""
        rows = connection.rows(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return [("", "main", name) for (name,) in rows], "", ["main"]

    def columns(self, connection: Rows, relation: str) -> list[Column]:
        """Give the declared types of a table or view; a query's columns have none."""
        found = connection.result(f"SELECT * FROM {relation} LIMIT 0")  # noqa: S608 - quoted
        declared = {}
        if table := _TABLE.fullmatch(relation):
            name = table[2].replace('""', '"').replace("'", "''")
            declared = dict(
                connection.rows(f"SELECT name, type FROM pragma_table_xinfo('{name}')")  # noqa: S608 - quoted
            )
        columns = []
        for name, _ in found:
            kind = declared.get(name) or "ANY"
            columns.append(Column(name, kind, None if _UNFIT.search(kind) else "text"))
        return columns

    def text(self, value: str, form: Form) -> str:  # noqa: ARG002 - each value has its own
        """Write a value by its own type: a whole number that is stored as REAL without its point."""
        whole = f"CAST({value} AS INTEGER)"
        return (
            f"CASE typeof({value}) "
            f"WHEN 'real' THEN CASE WHEN {value} = {whole} THEN CAST({whole} AS TEXT) ELSE '{NO_WHOLE_NUMBER}' END "
            f"WHEN 'blob' THEN CASE length({value}) WHEN {SHA256_BYTES} THEN lower(hex({value})) ELSE '{NO_DIGEST}' END "
            f"ELSE CAST({value} AS TEXT) END"
        )

    def elements(self, relation: str, column: str) -> tuple[str, str]:
        """There are no lists."""
        raise NotImplementedError

    def newest(self, value: str, *, type_name: str) -> str:  # noqa: ARG002 - there are no time zones
        """The maximum, as SQLite orders values."""
        return f"CAST(max({value}) AS TEXT)"

    def checksum(self, value: str) -> str:
        """None: SQLite has no hash function."""
        raise NotImplementedError
