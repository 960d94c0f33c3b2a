"""A DuckDB database file: its tables, its views and queries over them."""

import re
from pathlib import Path
from urllib.parse import unquote

import duckdb

from line_ads_pipeline.warehouse.duckdb_segment import DESCRIBE, DuckDBConnection, DuckDBSegment, quoted
from line_ads_pipeline.warehouse.errors import (
    QueryFailed,
    TableNotFound,
    UnsupportedWarehouse,
    WarehouseBusy,
    WarehouseError,
    WarehouseNotFound,
    WarehouseUnreadable,
)
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.names import nearest

_NAME_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([^".]*[^".\s]))\s*(\.|$)')
_MOST_PARTS = 3
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_QUERY_OPENS = "(\n"
_TABLES = """
    SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal
"""


def database_path(url: str, *, root: Path) -> Path:
    """Give the file that a `duckdb:` URL names, relative to the root or absolute.

    Raises:
        UnsupportedWarehouse: The URL is of another kind; the message holds its scheme alone, since a URL may hold a
            password.
    """
    if url.startswith("duckdb:///") and len(url) > len("duckdb:///"):
        return root / unquote(url.removeprefix("duckdb:///"))
    remedy = "Write duckdb:///relative.duckdb or duckdb:////absolute.duckdb."
    scheme = re.match(r"([a-z][a-z0-9+]*)://", url)
    if scheme is None or scheme[1] == "duckdb":
        raise UnsupportedWarehouse(f"The warehouse's URL names no DuckDB file. {remedy}")
    raise UnsupportedWarehouse(f"Warehouses of the kind {scheme[1]}: are not supported yet. {remedy}")


def open_database(path: Path, *, memory_limit: str) -> DuckDBConnection:
    """Open a database file for reading; others may read it at the same time.

    Raises:
        WarehouseNotFound: There is no such file.
        WarehouseBusy: It is being written to.
        WarehouseUnreadable: It cannot be opened.
    """
    if not path.is_file():
        raise WarehouseNotFound(
            f"There is no DuckDB database at {path}. Set WAREHOUSE_URL to the file's URL, such as "
            "duckdb:////absolute/path.duckdb, or create the file."
        )
    try:
        return DuckDBConnection(path, memory_limit=memory_limit)
    except duckdb.Error as error:
        fault = Fault.of(error)
    if "lock" in fault.message:
        holder = re.search(r"\(PID (\d+)\)", fault.message)
        raise WarehouseBusy(
            f"The database {path} is open for writing in {f'process {holder[1]}' if holder else 'another process'}. "
            "DuckDB lets nobody read meanwhile: run again when the writer has closed it."
        )
    if "different configuration" in fault.message:
        raise WarehouseBusy(
            f"The database {path} is open in this process already, for writing or with another memory_limit. "
            "Close that connection first."
        )
    raise WarehouseUnreadable(
        f"The database {path} cannot be opened ({fault.category} error): it is no DuckDB file, was written by a newer "
        "DuckDB, or may not be read by this user."
    )


def find_table(connection: DuckDBConnection, table: str) -> DuckDBSegment:
    """Find a table or view in the catalogue by its name as an audience file has it, whatever the case.

    Raises:
        TableNotFound: There is none of this name, or it is not the name of a table.
    """
    label = f"table {table}"
    wanted = _name_parts(table)
    with connection.lend(label) as loan:
        [(database, schema)] = loan.rows("SELECT current_database(), current_schema()")
        there: list[tuple[str, str, str]] = loan.rows(_TABLES)
    candidates = [(database, schema, *wanted), (database, *wanted), (wanted[0], schema, *wanted[1:]), wanted]
    by_key = {_folded(parts): parts for parts in there}
    for candidate in candidates:
        found = by_key.get(_folded(candidate))
        if found is not None:
            return DuckDBSegment(connection, label, ".".join(quoted(part) for part in found))
    names = [_shown(parts[1:] if parts[0] == database else parts, schema=schema) for parts in there]
    raise TableNotFound(
        f"There is no table or view {table} in the warehouse. Those there are: {nearest(table, names)}. "
        "Correct `table` in the audience file, with its schema, or WAREHOUSE_URL."
    )


def find_query(connection: DuckDBConnection, query: str) -> DuckDBSegment:
    """Check that a query is one SELECT and make a segment of it.

    Raises:
        QueryFailed: It is not, or does not parse.
    """

    def explain(fault: Fault, *, offset: int = len(DESCRIBE + _QUERY_OPENS)) -> WarehouseError | None:
        if fault.category not in {"Parser", "Syntax", "Binder", "Catalog"}:
            return None
        return QueryFailed(
            f"The query is not valid: {fault.category} error{_place(query, fault, offset=offset)}. "
            "Correct it in the audience file: text stands in 'single quotes', names in plain letters or \"double quotes\"."
        )

    label = "the query"
    with connection.lend(label, explain=lambda fault: explain(fault, offset=0)) as loan:
        statements = loan.parse(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise QueryFailed("`query` must be one SELECT statement (WITH, FROM and VALUES may begin it too).")
    if statements[0].named_parameters:
        raise QueryFailed(
            "`query` has parameters (? or $name), which are not supported yet. Write the values."
        )
    text = query.encode()
    ends = [at for at, _ in duckdb.tokenize(query) if text[at : at + 1] == b";"]
    body = text[: ends[0]].decode() if ends else query
    return DuckDBSegment(connection, label, f"{_QUERY_OPENS}{body}\n)", explain=explain)


def _name_parts(table: str) -> tuple[str, ...]:
    parts = []
    at = 0
    while match := _NAME_PART.match(table, at):
        parts.append(match[2] if match[1] is None else match[1].replace('""', '"'))
        at = match.end()
        if not match[3]:
            break
    if at != len(table) or not parts or len(parts) > _MOST_PARTS or table.rstrip().endswith("."):
        raise TableNotFound(
            f"{table!r} is not the name of a table. Write table, schema.table or catalog.schema.table, and a part that "
            'holds a dot or a quote in double quotes: marts."vip.2026".'
        )
    return tuple(parts)


def _folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in parts)


def _shown(parts: tuple[str, ...], *, schema: str) -> str:
    parts = parts[1:] if parts[0] == schema and len(parts) > 1 else parts
    return ".".join(
        part if part == part.strip() and not set(part) & set('."') else quoted(part) for part in parts
    )


def _place(query: str, fault: Fault, *, offset: int) -> str:
    """Tell where in the query a fault is, with the word there if it is a bare name: a literal may be data."""
    if fault.place is None:
        return ""
    text = query.encode()
    start, length = fault.place[0] - offset, fault.place[1]
    if not 0 <= start <= len(text):
        return ""
    before = text[:start].decode(errors="replace")
    word = text[start : start + length].decode(errors="replace")
    bare = (start, duckdb.token_type.identifier) in duckdb.tokenize(query) and _PLAIN_NAME.fullmatch(word)
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f" at line {line}, column {column}" + (f", near {word}" if bare else "")
