"""PostgreSQL, and what speaks its protocol and knows its catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from line_ads_pipeline.warehouse.dialect import (
    NO_DIGEST,
    NO_WHOLE_NUMBER,
    RELATION,
    SHA256_BYTES,
    Column,
    Dialect,
    Form,
    Rows,
)
from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import Place, TableName

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_MANNERS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "tcp_user_timeout": "60000",
    "application_name": "line-ads-pipeline",
}
"""Parameters of libpq that let a server that vanished be noticed, where the URL gives no others."""

_ENCODING = {"client_encoding": "UTF8"}
"""Whatever the URL gives: the driver takes text for UTF-8."""

_SETTINGS = {
    "DateStyle": "ISO",
    "idle_in_transaction_session_timeout": "0",
}
"""Of each transaction; the last, since the one that holds the snapshot is idle while others read it."""

# a row of NULLs has types, too, also those of a query that has no row
_TYPES = """
WITH RECURSIVE given(place, oid) AS (
    SELECT place, oid FROM (SELECT 1) AS one
    LEFT JOIN (SELECT * FROM {relation} LIMIT 0) AS {name} ON true
    CROSS JOIN LATERAL (VALUES {columns}) AS type(place, oid)
), base(place, oid, typtype, typcategory, typname, next, is_list, depth) AS (
    SELECT place, t.oid, t.typtype, t.typcategory, t.typname,
        CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' THEN t.typelem END,
        t.typcategory = 'A', 0
    FROM given JOIN pg_catalog.pg_type AS t ON t.oid = given.oid
    UNION ALL
    SELECT place, t.oid, t.typtype, t.typcategory, t.typname,
        CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN t.typcategory = 'A' THEN t.typelem END,
        base.is_list, depth + 1
    FROM base JOIN pg_catalog.pg_type AS t ON t.oid = base.next
)
SELECT DISTINCT ON (place) place, pg_catalog.format_type(given.oid, NULL)::text, typname::text,
    typcategory::text, typtype::text, is_list
FROM base JOIN given USING (place) ORDER BY place, depth DESC
"""
_TABLES = """
SELECT pg_catalog.current_database()::text, n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    AND n.nspname !~ '^pg_(toast|temp)'
"""
_TEXTUAL = frozenset({"uuid", "int2", "int4", "int8", "oid"})


@dataclass(frozen=True)
class PostgreSQL(Dialect):
    """A PostgreSQL database.

    Attributes:
        uri: As libpq takes it.
    """

    uri: str = field(repr=False)

    name = "PostgreSQL"
    extra = "postgres"
    isolation = "snapshot"
    lexis = Lexis(backslash="after E", dollar=r"\$(?:[^\W\d]\w*)?\$", nested_comments=True)
    # by default the driver gathers 16 MiB
    statement_options = MappingProxyType({"adbc.postgresql.batch_size_hint_bytes": "4194304"})

    @classmethod
    def at(cls, url: str) -> "PostgreSQL":
        """The database of a `postgresql://` or `postgres://` URL, whose parameters are libpq's.

        Raises:
            ValueError: The URL is malformed.
        """
        parts = urlsplit(url)
        if not url.startswith(f"{parts.scheme}://") or parts.fragment:
            raise ValueError
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        query = "&".join(
            f"{key}={quote(value, safe='')}" for key, value in {**_MANNERS, **given, **_ENCODING}.items()
        )
        # not urlunsplit, which drops the slashes of an empty authority
        return cls(f"postgresql://{parts.netloc}{parts.path}?{query}")

    def connect(self) -> "Connection":
        """Connect; transactions are ours."""
        from adbc_driver_postgresql import dbapi  # noqa: PLC0415 - an extra

        connection: Connection = dbapi.connect(self.uri, autocommit=True)
        return connection

    def begin(self, connection: Rows, *, snapshot: str | None) -> None:
        """Begin a transaction that cannot write, and that sees what another one sees."""
        connection.rows("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot is not None:
            connection.rows(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
        connection.rows(f"SELECT {settings}")

    def share(self, connection: Rows) -> str:
        """Export the snapshot, which can be joined while this transaction lasts."""
        [(name,)] = connection.rows("SELECT pg_catalog.pg_export_snapshot()")
        return str(name)

    def tables(self, connection: Rows, wanted: TableName) -> tuple[Sequence[Place], str, Sequence[str]]:  # noqa: ARG002
        """Look in the catalogue, whatever the search path."""
        current = connection.rows(
            "SELECT current_database()::text, name::text FROM unnest(current_schemas(false)) WITH ORDINALITY "
            "AS path(name, place) ORDER BY place"
        )
        there = connection.rows(_TABLES)
        catalog = current[0][0] if current else ""
        return [(place[0], place[1], place[2]) for place in there], catalog, [schema for _, schema in current]

    def columns(self, connection: Rows, relation: str) -> list[Column]:
        """Ask for the type of each column, and what it is made of: domains and arrays have others below them."""
        names = [name for name, _ in connection.result(f"SELECT * FROM {relation} LIMIT 0")]  # noqa: S608
        if not names:
            return []
        asked = ", ".join(
            f"({place}, pg_catalog.pg_typeof({RELATION}.{self.quoted(name)})::oid)"
            for place, name in enumerate(names)
        )
        rows = connection.rows(_TYPES.format(relation=relation, name=RELATION, columns=asked))
        return [Column(names[place], shown, _form(*of), is_list) for place, shown, *of, is_list in rows]

    def text(self, value: str, form: Form) -> str:
        """Cast to text, which strips the blanks of a char(n)."""
        match form:
            case "text":
                return f"CAST({value} AS text)"
            case "number":
                return f"CASE WHEN {value} = trunc({value}) THEN CAST(trunc({value}) AS text) ELSE {_given(value, NO_WHOLE_NUMBER)} END"
            case "digest":
                return (
                    f"CASE WHEN octet_length({value}) = {SHA256_BYTES} THEN encode({value}, 'hex') "
                    f"ELSE {_given(value, NO_DIGEST)} END"
                )

    def elements(self, relation: str, column: str) -> tuple[str, str]:
        """Join each row with the elements of its array, of any dimension."""
        return f"{relation} LEFT JOIN LATERAL unnest({column}) AS element(value) ON true", "element.value"

    def newest(self, value: str, *, type_name: str) -> str:
        """The maximum; of times with a zone in UTC."""
        newest = f"max({value})"
        zoned = type_name == "timestamp with time zone"
        return f"CAST({f'({newest} AT TIME ZONE {chr(39)}UTC{chr(39)})' if zoned else newest} AS text)"

    def checksum(self, value: str) -> str:
        """Two sums of hashes with different seeds; PostgreSQL keeps its hashes over releases of a version."""
        sums = [f"sum(hashtextextended(CAST({value} AS text), {seed})::numeric)" for seed in (0, 1)]
        return f"concat_ws('/', {', '.join(sums)}, count({value}))"


def _given(value: str, text: str) -> str:
    return f"CASE WHEN {value} IS NOT NULL THEN '{text}' END"


def _form(name: str, category: str, kind: str) -> Form | None:
    if category == "S" or kind == "e" or name in _TEXTUAL:
        return "text"
    if name == "numeric":
        return "number"
    return "digest" if name == "bytea" else None
