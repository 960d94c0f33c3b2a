"""A DuckDB database, a file or in MotherDuck: its tables, its views and queries over them.

Nothing here writes, and a file is opened for reading alone. A database of MotherDuck is opened as its extension opens it,
for writing too, so the token should be one that may only read, such as a read-scaling token.
"""

import os
import re
from pathlib import Path

import duckdb

from line_ads_pipeline.warehouse.duckdb_segment import DESCRIBE, DuckDBConnection, DuckDBSegment, quoted
from line_ads_pipeline.warehouse.errors import (
    QueryFailed,
    WarehouseAccessDenied,
    WarehouseBusy,
    WarehouseError,
    WarehouseNotFound,
    WarehouseUnreachable,
    WarehouseUnreadable,
)
from line_ads_pipeline.warehouse.faults import Fault
from line_ads_pipeline.warehouse.location import MotherDuck
from line_ads_pipeline.warehouse.run_date import has_parameters, with_run_date
from line_ads_pipeline.warehouse.sql_text import Lexis
from line_ads_pipeline.warehouse.table_name import TableName

_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_TOKENS = ("motherduck_token", "MOTHERDUCK_TOKEN")
_QUERY_OPENS = "(\n"
_LEXIS = Lexis(backslash="after E", dollar=r"\$(?:[^\W\d]\w*)?\$", nested_comments=True)
_TABLES = """
    SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal
    UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal
"""


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


def open_motherduck(database: MotherDuck, *, memory_limit: str) -> DuckDBConnection:
    """Open a database of MotherDuck with the token in the environment.

    Raises:
        WarehouseAccessDenied: There is no token.
        WarehouseUnreachable: MotherDuck, or DuckDB's extension for it, cannot be had.
    """
    if not any(os.environ.get(name) for name in _TOKENS):
        raise WarehouseAccessDenied(
            "MotherDuck takes an access token: set motherduck_token in the environment."
        )
    try:
        return DuckDBConnection(database.name, memory_limit=memory_limit)
    except duckdb.Error as error:
        category = Fault.of(error).category
    raise WarehouseUnreachable(
        f"MotherDuck cannot be connected to ({category} error). Check motherduck_token, the database in WAREHOUSE_URL, "
        "and that DuckDB can install its motherduck extension."
    )


def find_table(connection: DuckDBConnection, table: str) -> DuckDBSegment:
    """Find a table or view in the catalogue by its name as an audience file has it, whatever the case.

    Raises:
        TableNotFound: There is none of this name, or it is not the name of a table.
    """
    label = f"table {table}"
    name = TableName.of(table)
    with connection.lend(label) as loan:
        [(database, schema)] = loan.rows("SELECT current_database(), current_schema()")
        there: list[tuple[str, str, str]] = loan.rows(_TABLES)
    found = name.find(there, catalog=database, schemas=[schema])
    return DuckDBSegment(connection, label, ".".join(quoted(part) for part in found))


def find_query(connection: DuckDBConnection, query: str, run_date: str | None = None) -> DuckDBSegment:
    """Check that a query is one SELECT and make a segment of it.

    Raises:
        QueryFailed: It is not, does not parse, or takes a run date that there is not.
    """
    query = with_run_date(query, run_date, lexis=_LEXIS)

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
        raise has_parameters()
    text = query.encode()
    ends = [at for at, _ in duckdb.tokenize(query) if text[at : at + 1] == b";"]
    body = text[: ends[0]].decode() if ends else query
    return DuckDBSegment(connection, label, f"{_QUERY_OPENS}{body}\n)", explain=explain)


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
