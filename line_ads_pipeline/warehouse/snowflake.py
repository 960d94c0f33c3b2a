"""Snowflake, by the options of its ADBC driver."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

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
from line_ads_pipeline.warehouse.errors import WarehouseNotFound
from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import Place, TableName

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_SQL = "adbc.snowflake.sql."
_OPTIONS: Mapping[str, str] = {
    "warehouse": f"{_SQL}warehouse",
    "role": f"{_SQL}role",
    "region": f"{_SQL}region",
    "host": f"{_SQL}uri.host",
    "port": f"{_SQL}uri.port",
    "protocol": f"{_SQL}uri.protocol",
    "auth_type": f"{_SQL}auth_type",
    "auth_token": f"{_SQL}client_option.auth_token",
    "jwt_private_key": f"{_SQL}client_option.jwt_private_key",
    "login_timeout": f"{_SQL}client_option.login_timeout",
    "request_timeout": f"{_SQL}client_option.request_timeout",
    "client_timeout": f"{_SQL}client_option.client_timeout",
}
"""Parameters of the URL and the driver's options that they set."""
_MANNERS = {"login_timeout": "30s"}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_TYPE = re.compile(r"(?P<name>[A-Z_]+)(?:\((?P<size>\d+)(?:,\s*(?P<scale>\d+))?\))?")
_TEXTUAL = frozenset({"VARCHAR", "TEXT", "STRING", "CHAR", "CHARACTER"})
_NUMERIC = frozenset({"NUMBER", "DECIMAL", "NUMERIC", "FIXED"})


@dataclass(frozen=True)
class Snowflake(Dialect):
    """A database of a Snowflake account.

    Attributes:
        options: Of the ADBC driver.
    """

    options: Mapping[str, str] = field(repr=False)

    name = "Snowflake"
    extra = "snowflake"
    lexis = Lexis(backslash="always", dollar=r"\$\$", line_comments=("--", "//"))
    json_remedy = "profile:email::varchar"

    @classmethod
    def at(cls, url: str) -> "Snowflake":
        """The database of a `snowflake://user:password@account/database/schema?warehouse=…` URL.

        Raises:
            ValueError: The URL is malformed.
        """
        parts = urlsplit(url)
        database, _, schema = parts.path.strip("/").partition("/")
        if not (parts.hostname and parts.username and database) or "/" in schema or parts.port:
            raise ValueError
        given = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        options = {
            "username": unquote(parts.username),
            f"{_SQL}account": parts.hostname,
            f"{_SQL}db": unquote(database),
        }
        if parts.password:
            options["password"] = unquote(parts.password)
        if schema:
            options[f"{_SQL}schema"] = unquote(schema)
        try:
            options |= {_OPTIONS[key]: value for key, value in {**_MANNERS, **given}.items()}
        except KeyError:
            raise ValueError from None
        return cls(options)

    def connect(self) -> "Connection":
        """Log in."""
        from adbc_driver_snowflake import dbapi  # noqa: PLC0415 - an extra

        return dbapi.connect(db_kwargs=dict(self.options), autocommit=True)

    def tables(self, connection: Rows, wanted: TableName) -> tuple[Sequence[Place], str, Sequence[str]]:
        """Look in the information schema of the database that is meant.

        Raises:
            WarehouseNotFound: That of the URL is not there.
        """
        [(database, schema)] = connection.rows("SELECT current_database(), current_schema()")
        if database is None:
            raise WarehouseNotFound(
                "Snowflake has no such database, or none that this user may use. Check the database and the role in "
                "WAREHOUSE_URL, and grant the role USAGE on the database."
            )
        meant = wanted.parts[0] if len(wanted.parts) > 2 else database  # noqa: PLR2004 - catalogue, schema and name
        catalog = self.quoted(database)
        if meant.casefold() != database.casefold():
            # Snowflake finds a plain name in capitals, as it keeps one that was not quoted.
            catalog = meant if _PLAIN_NAME.fullmatch(meant) else self.quoted(meant)
        rows = connection.rows(
            f"SELECT table_catalog, table_schema, table_name FROM {catalog}.information_schema.tables "  # noqa: S608
            "WHERE table_schema <> 'INFORMATION_SCHEMA'"
        )
        return [(place[0], place[1], place[2]) for place in rows], database, [schema or "PUBLIC"]

    def columns(self, connection: Rows, relation: str) -> list[Column]:
        """Ask for the type of each column, of a row of NULLs where there is no other."""
        names = [name for name, _ in connection.result(f"SELECT * FROM {relation} LIMIT 0")]  # noqa: S608 - quoted
        asked = ", ".join(f"SYSTEM$TYPEOF({RELATION}.{self.quoted(name)})" for name in names)
        [kinds] = connection.rows(
            f"SELECT {asked} FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM {relation} LIMIT 0) AS {RELATION} ON TRUE"  # noqa: S608
        )
        return [column_of(name, str(kind)) for name, kind in zip(names, kinds, strict=True)]

    def text(self, value: str, form: Form) -> str:
        """Cast to text."""
        match form:
            case "text":
                return f"CAST({value} AS VARCHAR)"
            case "number":
                return (
                    f"CASE WHEN {value} = TRUNC({value}) THEN CAST(CAST({value} AS NUMBER(38, 0)) AS VARCHAR) "
                    f"WHEN {value} IS NOT NULL THEN '{NO_WHOLE_NUMBER}' END"
                )
            case "digest":
                return (
                    f"CASE WHEN LENGTH({value}) = {SHA256_BYTES} THEN LOWER(HEX_ENCODE({value})) "
                    f"WHEN {value} IS NOT NULL THEN '{NO_DIGEST}' END"
                )

    def elements(self, relation: str, column: str) -> tuple[str, str]:
        """Flatten; an empty array has one row."""
        return f"{relation}, LATERAL FLATTEN(INPUT => {column}, OUTER => TRUE) AS element", "element.value"

    def newest(self, value: str, *, type_name: str) -> str:
        """The maximum; of times with a zone in UTC."""
        newest = f"MAX({value})"
        if type_name.startswith(("TIMESTAMP_TZ", "TIMESTAMP_LTZ")):
            newest = f"CONVERT_TIMEZONE('UTC', {newest})"
        if type_name.startswith("TIMESTAMP"):
            return f"TO_VARCHAR({newest}, 'YYYY-MM-DD HH24:MI:SS.FF9')"
        return f"CAST({newest} AS VARCHAR)"

    def checksum(self, value: str) -> str:
        """Snowflake's own hash of all values."""
        return f"CAST(HASH_AGG({value}) AS VARCHAR)"


def column_of(name: str, kind: str) -> Column:
    """The column of a type such as `NUMBER(38,0)[SB8]`."""
    found = _TYPE.match(kind.upper())
    base, scale = (found["name"], found["scale"]) if found else ("", None)
    form: Form | None = None
    if base in _TEXTUAL or base == "ARRAY":
        form = "text"
    elif base in _NUMERIC:
        form = "text" if scale in {None, "0"} else "number"
    elif base in {"BINARY", "VARBINARY"}:
        form = "digest"
    return Column(name, found[0] if found else kind, form, base == "ARRAY")
