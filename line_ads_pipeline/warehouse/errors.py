"""What can go wrong between a source and its lazy frame.

    WarehouseError
    ├── UnsupportedWarehouse     the URL names a warehouse that cannot be read
    ├── WarehouseNotFound        there is no database file
    ├── WarehouseBusy            another program writes to the database file
    ├── WarehouseUnreadable      the database file cannot be opened
    ├── WarehouseClosed          used outside its `with` block
    ├── TableNotFound
    ├── FileNotFound
    ├── MissingColumn
    ├── QueryFailed              the query itself is wrong
    └── SegmentReadFailed        reading the data failed
        └── WarehouseOutOfMemory

Drivers quote values in their messages ("could not convert 'taro@…'"), so an error here holds our own words, the
driver's error category and line numbers, never a driver's message, and no driver exception is chained to it.
"""

from typing import NoReturn


class WarehouseError(Exception):
    """A source could not be described or read; the message says why and what to do, and holds no data."""


class UnsupportedWarehouse(WarehouseError):
    """The URL of the warehouse is not of a kind that can be read."""


class WarehouseNotFound(WarehouseError):
    """The database file does not exist."""


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


class QueryFailed(WarehouseError):
    """The query is not one SELECT, or does not fit the warehouse."""


class SegmentReadFailed(WarehouseError):
    """The data could not be read: a failing cast, a malformed file, a driver's failure."""


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
