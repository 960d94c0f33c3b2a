"""From a URL to an engine that many processes can use at once."""

import random
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from line_ads_pipeline.coordination.errors import CoordinationError

WRITES = "writes"
"""Execution option of a connection whose transactions write."""

_PATIENCE = 30.0
"""Seconds to wait for other processes that write to the same SQLite file."""
_ONE_CONNECTION: Mapping[str, Any] = {
    "poolclass": QueuePool,
    "pool_size": 1,
    "max_overflow": 0,
    "pool_timeout": _PATIENCE,
}
"""Threads take turns: in memory another connection would be another database, and a server has only so many."""
_NETWORK: Mapping[str, str] = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "tcp_user_timeout": "20000",
}
"""Parameters of libpq that let a server that vanished be noticed, where the URL gives no others."""


def engine_for(url: str, *, root: Path) -> Engine:
    """Give the engine of a database, without a connection yet.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` for memory, or `postgresql://…`.
        root: The folder that a relative path starts from.

    Raises:
        CoordinationError: The URL is of no such kind, or the driver is not installed.
    """
    parsed = _parsed(url)
    if parsed is None:
        raise CoordinationError(
            "LINE_ADS_COORDINATION_URL must be sqlite:///file.db (a path from the project's root; four slashes for an "
            "absolute one), or postgresql://user:password@host/database with special characters percent-encoded."
        )
    if parsed.drivername == "sqlite":
        return _sqlite(parsed.database, root=root)
    return _postgresql(parsed)


def _parsed(url: str) -> URL | None:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return None
    if parsed.drivername == "sqlite":
        plain = URL.create("sqlite", database=parsed.database)
        return plain if parsed == plain else None
    return parsed if parsed.drivername == "postgresql" else None


def _sqlite(database: str | None, *, root: Path) -> Engine:
    in_memory = database in {None, "", ":memory:"}
    path = None if in_memory or database is None else root.absolute() / database
    engine = create_engine(
        URL.create("sqlite", database=str(path) if path else None),
        **_ONE_CONNECTION,
        connect_args={"timeout": _PATIENCE, "check_same_thread": False, "isolation_level": None},
        hide_parameters=True,
    )

    def make_folder(*_: object) -> None:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    event.listen(engine, "do_connect", make_folder)
    event.listen(engine, "connect", _write_ahead)
    event.listen(engine, "begin", _begin)
    return engine


def _write_ahead(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    """Let readers and a writer not wait for each other, and commit without waiting for the disk.

    SQLite answers "locked" at once, whatever the timeout, while another process changes the mode of a new file.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                connection.close()
                raise
        time.sleep(random.uniform(0.002, 0.02))  # noqa: S311 - only spreads those who try again
    if mode == "wal":  # any other mode could be damaged by a power cut then
        connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    """Begin writing with the lock that it takes: one that is upgraded later fails where it should wait."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(url: URL) -> Engine:
    options: dict[str, Any] = {
        **_ONE_CONNECTION,
        "pool_pre_ping": True,
        "isolation_level": "READ COMMITTED",
        "hide_parameters": True,
    }
    with_driver = url.set(drivername="postgresql+psycopg", query={**_NETWORK, **url.query})
    try:
        return create_engine(with_driver, **options)
    except ImportError:
        pass
    raise CoordinationError(
        "LINE_ADS_COORDINATION_URL names a PostgreSQL database, whose driver is not installed: "
        "pip install 'line-ads-pipeline[postgres]'."
    )
