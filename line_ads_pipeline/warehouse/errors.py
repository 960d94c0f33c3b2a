"""What can go wrong between a source and its lazy frame.

    WarehouseError
    ├── UnsupportedWarehouse     the URL names a warehouse that cannot be read
    │   └── DriverMissing        what it takes is not installed
    ├── WarehouseNotFound        there is no such database
    ├── WarehouseAccessDenied    the user or the password is wrong, or may not read
    ├── WarehouseUnreachable     the server does not answer
    ├── WarehouseBusy            another program writes to the database file
    ├── WarehouseUnreadable      the database file cannot be opened
    ├── WarehouseClosed          used outside its `with` block
    ├── TableNotFound
    ├── FileNotFound
    ├── MissingColumn
    ├── UnsupportedColumn        a column's type cannot hold identifiers
    ├── QueryFailed              the query itself is wrong
    └── SegmentReadFailed        reading the data failed
        ├── WarehouseConnectionLost
        └── WarehouseOutOfMemory

Drivers quote values in their messages ("could not convert 'taro@…'"), so an error here holds our own words, the
driver's error category or SQLSTATE and line numbers, never a driver's message, and no driver exception is chained to it.
"""

from typing import NoReturn


class WarehouseError(Exception):
    """A source could not be described or read; the message says why and what to do, and holds no data."""


class UnsupportedWarehouse(WarehouseError):
    """The URL of the warehouse is not of a kind that can be read."""


class DriverMissing(UnsupportedWarehouse):
    """The driver of this kind of warehouse is not installed; the message says how to install it."""


class WarehouseNotFound(WarehouseError):
    """The database does not exist."""


class WarehouseAccessDenied(WarehouseError):
    """The warehouse does not let us in, or not read."""


class WarehouseUnreachable(WarehouseError):
    """The warehouse's server does not answer, or takes no connection."""


class WarehouseBusy(WarehouseError):
    """The database file is locked by a program that writes to it."""


class WarehouseUnreadable(WarehouseError):
    """The database file exists and cannot be opened."""


class WarehouseClosed(WarehouseError):
    """The warehouse, or a lazy frame of it, was used outside the warehouse's `with` block."""


class TableNotFound(WarehouseError):
    """No table or view of this name; the message lists the closest names there are."""


class FileNotFound(WarehouseError):
    """No such file; the message lists the files of its kind in that folder."""


class MissingColumn(WarehouseError):
    """The source lacks a column; the message holds its name and the names there are."""


class UnsupportedColumn(WarehouseError):
    """Identifiers cannot be read safely from a column of this type; the message holds its name and type."""


class QueryFailed(WarehouseError):
    """The query is not one SELECT, or does not fit the warehouse."""


class SegmentReadFailed(WarehouseError):
    """The data could not be read: a failing cast, a malformed file, a driver's failure."""


class WarehouseConnectionLost(SegmentReadFailed):
    """The server went away in the middle of a read."""


class WarehouseOutOfMemory(SegmentReadFailed):
    """The source needs more than `memory_limit`, and nothing is ever spilled to disk."""


def raise_alone(failure: WarehouseError) -> NoReturn:
    """Raise a failure that carries no other exception, also where one is being handled.

    `from None` alone hides the driver's exception from print but leaves it, and the values it quotes, within reach
    in `__context__`.
    """
    try:
        raise failure from None
    finally:
        failure.__context__ = None
