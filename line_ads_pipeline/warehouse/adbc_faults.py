"""A failure of a database that is read through ADBC, taken apart into what may be shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from line_ads_pipeline.warehouse.errors import (
    SegmentReadFailed,
    UnsupportedWarehouse,
    WarehouseAccessDenied,
    WarehouseBusy,
    WarehouseConnectionLost,
    WarehouseError,
    WarehouseNotFound,
    WarehouseUnreachable,
    WarehouseUnreadable,
)

_CLASSES = {
    "08": "lost",
    "22": "value",
    "25": "write",
    "28": "access",
    "2F": "write",
    "3D": "no database",
    "3F": "names",
    "42": "query",
    "53": "resources",
    "57": "lost",
    "0A": "query",
}
_STATES = {
    "08001": "refused",
    "08004": "access",
    "42501": "permission",
    "57014": "cancelled",
    "25006": "write",
    "25P03": "lost",
    "25P04": "cancelled",
    "42P01": "names",
    "42703": "names",
    "42883": "names",
    "40001": "conflict",
    "53300": "resources",
}
"""SQLSTATEs and their classes, as PostgreSQL's appendix A lists them."""

_STATUSES = {
    "UNAUTHENTICATED": "access",
    "UNAUTHORIZED": "permission",
    "NOT_FOUND": "names",
    "TIMEOUT": "cancelled",
    "CANCELLED": "cancelled",
    "UnicodeError": "encoding",
    "UnicodeDecodeError": "encoding",
}
"""What tells a failure where neither a SQLSTATE nor its message does."""

_QUOTED = re.compile(r'"[^"]*"')
_STATEMENT = "\nquery: "
_PHRASES = (
    ("url", r"invalid (URI|percent-encoded|connection option|port number)|for connection option"),
    ("url", r"invalid \w+ value: |unrecognized configuration parameter"),
    ("names", r"no such (table|column|function): "),
    (
        "lost",
        r"server closed the connection|connection not open|terminating connection|SSL SYSCALL|EOF detected",
    ),
    ("lost", r"broken pipe|connection reset|no connection to the server|could not (receive|send) data"),
    ("access", r"password authentication failed|no password supplied|[Ii]ncorrect username or password"),
    ("access", r"no pg_hba\.conf entry|role \".*\" does not exist|could not find default credentials"),
    ("access", r"authentication (failed|denied)|\b390\d{3} \(|oauth2: "),
    ("no database", r"database \".*\" does not exist"),
    ("address", r"could not translate host name|no such host|Name or service not known|404 Not Found"),
    ("refused", r"[Cc]onnection refused|No such file or directory|network is unreachable|No route to host"),
    ("slow", r"timeout expired|\btimed out\b|i/o timeout|deadline exceeded|Client\.Timeout"),
    (
        "tls",
        r"SSL (error|negotiation)|does not support SSL|certificate (verify failed|file|for )|x509: |\btls: ",
    ),
    ("resources", r"too many (clients|connections)|connection slots are reserved"),
    ("starting", r"the database system is (starting up|shutting down|in recovery|not yet accepting)"),
    ("busy", r"database is locked|database table is locked"),
    ("write", r"readonly database"),
    ("not a database", r"file is not a database|disk image is malformed|malformed database schema"),
    ("query", r"syntax error|Failed to prepare query"),
)
"""What tells a failure where a driver gives no SQLSTATE, as it does of every failure to connect.

The first that is found counts. A name in quotes is not looked at, nor the statement that a driver adds.
"""


@dataclass(frozen=True)
class DatabaseFault:
    """What went wrong in a database or on the way to it.

    Attributes:
        kind: One of ours, such as `access`; `other` where it is unknown.
        sqlstate: As the database gave it, if it did: five letters and digits, never data.
        status: ADBC's name of the kind of failure, or the exception's class.
    """

    kind: str
    sqlstate: str | None
    status: str

    @classmethod
    def of(cls, error: Exception) -> "DatabaseFault":
        """Take a driver's exception apart; its message is matched against, never kept."""
        state = getattr(error, "sqlstate", None)
        sqlstate = state if isinstance(state, str) and re.fullmatch(r"[0-9A-Z]{5}", state) else None
        status = getattr(getattr(error, "status_code", None), "name", type(error).__name__)
        return cls(_kind(sqlstate, status, str(error)), sqlstate, status)

    @property
    def tag(self) -> str:
        """The SQLSTATE, else ADBC's name of the failure."""
        return f"SQLSTATE {self.sqlstate}" if self.sqlstate else f"{self.status} error"


def _kind(sqlstate: str | None, status: str, message: str) -> str:
    if sqlstate is not None and sqlstate != "00000":
        known = _STATES.get(sqlstate) or _CLASSES.get(sqlstate[:2])
        if known is not None:
            return known
    words = _QUOTED.sub('""', message.partition(_STATEMENT)[0])
    for kind, phrase in _PHRASES:
        if re.search(phrase, words):
            return kind
    return _STATUSES.get(status, "other")


_CONNECTING: Mapping[str, tuple[type[WarehouseError], str]] = {
    "access": (WarehouseAccessDenied, "it refused the login. Check {login}"),
    "permission": (WarehouseAccessDenied, "the user in WAREHOUSE_URL may not connect. Grant it CONNECT"),
    "no database": (WarehouseNotFound, "there is no such database. Check the database in WAREHOUSE_URL"),
    "address": (WarehouseUnreachable, "there is no such host. Check the host in WAREHOUSE_URL"),
    "refused": (
        WarehouseUnreachable,
        "nothing listens there. Check host and port in WAREHOUSE_URL, and that the server runs",
    ),
    "slow": (
        WarehouseUnreachable,
        "it did not answer in time. Check host and port in WAREHOUSE_URL, and the firewall",
    ),
    "cancelled": (WarehouseUnreachable, "it did not answer in time. Check WAREHOUSE_URL, and the firewall"),
    "tls": (WarehouseUnreachable, "no secure connection could be agreed on. Check sslmode and sslrootcert"),
    "resources": (WarehouseBusy, "it takes no more connections. Run again when others have ended"),
    "starting": (WarehouseUnreachable, "it is starting or stopping. Run again in a minute"),
    "lost": (WarehouseUnreachable, "it closed the connection at once. Run again in a minute"),
    "busy": (WarehouseBusy, "another program is writing to the file. Run again when it has finished"),
    "not a database": (WarehouseUnreadable, "the file is damaged, or is no database of this kind"),
    "url": (
        UnsupportedWarehouse,
        "WAREHOUSE_URL is malformed. Percent-encode special characters, and use parameters that libpq knows",
    ),
}
_READING: Mapping[str, tuple[type[WarehouseError], str]] = {
    "permission": (
        WarehouseAccessDenied,
        "permission denied. Grant the user in WAREHOUSE_URL SELECT on it, and USAGE on its schema",
    ),
    "access": (WarehouseAccessDenied, "the login is not valid any more. Check the user and the password"),
    "cancelled": (
        SegmentReadFailed,
        "it was cancelled, or took longer than the server allows (statement_timeout)",
    ),
    "slow": (SegmentReadFailed, "it did not answer in time. Run again"),
    "encoding": (SegmentReadFailed, "a value is not UTF-8. Store it as UTF-8"),
    "value": (
        SegmentReadFailed,
        "a value cannot be converted to the type that the source asks for, or is out of its range",
    ),
    "write": (SegmentReadFailed, "it would write, and warehouses are only read"),
    "names": (
        SegmentReadFailed,
        "it refers to something that is not there, or that its user may not see; a view may be older than its tables",
    ),
    "query": (SegmentReadFailed, "its SQL is not valid there; a view may be older than its tables"),
    "resources": (
        SegmentReadFailed,
        "the server has no memory, disk or connection left for it. Run again later",
    ),
    "conflict": (SegmentReadFailed, "it collided with what others write. Run again"),
    "busy": (
        WarehouseBusy,
        "another program is writing to the database file. Run again when it has finished",
    ),
    "not a database": (WarehouseUnreadable, "the file is damaged, or is no database"),
}


def failure_to_connect(fault: DatabaseFault, name: str, *, login: str, joins: bool) -> WarehouseError:
    """Our own error for a failure to connect.

    Args:
        fault: What went wrong.
        name: Of the kind of database.
        login: Where its credentials are.
        joins: Whether it was to join what is being read already, which is lost then.
    """
    if joins and fault.kind not in {"resources", "access"}:
        return WarehouseConnectionLost(
            f"The connection to the warehouse was lost between two reads ({fault.tag}): run again."
        )
    kind, words = _CONNECTING.get(
        fault.kind, (WarehouseUnreachable, "check WAREHOUSE_URL, and that the server runs")
    )
    return kind(f"{name} cannot be connected to: {words.format(login=login)} ({fault.tag}).")


def failure_to_read(fault: DatabaseFault, name: str, source: str) -> WarehouseError:
    """Our own error for a failure to read a source."""
    if fault.kind == "lost":
        return WarehouseConnectionLost(
            f"The connection to the warehouse was lost while {source} was read ({fault.tag}): run again."
        )
    kind, words = _READING.get(fault.kind, (SegmentReadFailed, f"{name} gave no reason that may be shown"))
    return kind(f"Reading {source} failed: {words} ({fault.tag}).")
