"""What can go wrong in the store.

    StoreError
    ├── InvalidName         an audience or document name that is no path segment
    ├── InvalidRecords      identifiers that do not have the form of the snapshot
    ├── SnapshotNotFound
    ├── SnapshotDamaged     a snapshot whose bytes are not those that were written
    ├── DocumentDamaged     a document that is no JSON object
    └── StoreUnavailable    no permission, no network, no such bucket
        └── StoreFull       no space left

Each message names what failed and the remedy; none holds an identifier.
"""


class StoreError(Exception):
    """The store could not do what was asked."""


class InvalidName(StoreError, ValueError):
    """A name that cannot be part of a path in the store."""


class InvalidRecords(StoreError, ValueError):
    """Identifiers of another form than the snapshot's; nothing was written."""


class SnapshotNotFound(StoreError):
    """No snapshot of this digest is in the store."""


class SnapshotDamaged(StoreError):
    """The bytes of a snapshot are not those that were written."""


class DocumentDamaged(StoreError):
    """A document does not hold a JSON object."""


class StoreUnavailable(StoreError):
    """The folder or object store refuses or does not answer."""


class StoreFull(StoreUnavailable):
    """No space left for what was to be written; nothing half-written stays."""
