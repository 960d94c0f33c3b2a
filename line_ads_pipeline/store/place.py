"""What the store needs of a place to keep files in; a folder and an object store both have it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from line_ads_pipeline.store.disk import Bytes, WorkFile
from line_ads_pipeline.store.errors import SnapshotDamaged


@dataclass(frozen=True)
class Entry:
    """A file of a place.

    Attributes:
        path: Its segments joined by `/`, from the root of the place.
        modified: When it was last written, with a zone.
    """

    path: str
    modified: datetime


class NewFile(Protocol):
    """A file under construction, which nobody sees until it is published."""

    def write(self, data: Bytes) -> None:
        """Append all of `data`."""

    def publish(self, path: str) -> None:
        """Show the whole file under `path`, in one step, in place of what was there."""


class Reader(Protocol):
    """An open file that is read by ranges.

    Attributes:
        size: Bytes of the whole file.
        block_bytes: How much is best asked for at a time.
    """

    size: int
    block_bytes: int

    def read_at(self, offset: int, size: int) -> bytes:
        """Give the bytes of a range; fewer when the file has fewer."""

    def close(self) -> None:
        """Release the file."""


def read_exactly(reader: Reader, offset: int, size: int) -> bytes:
    """Give all the bytes of a range of a snapshot's file.

    Raises:
        SnapshotDamaged: There are fewer.
        StoreUnavailable: The place cannot be read.
    """
    block = reader.read_at(offset, size)
    if len(block) != size:
        raise SnapshotDamaged(
            "the snapshot was cut short or removed while it was read: materialise hashed_identifiers again"
        )
    return block


class Place(Protocol):
    """Files by path. Failures are `StoreUnavailable` or `StoreFull`; an absent file is None, not a failure."""

    def scratch(self) -> WorkFile:
        """Open a local file without a name, gone when it is closed or its process dies."""

    def new_file(self) -> AbstractContextManager[NewFile]:
        """Begin a file; left without `publish`, nothing of it stays."""

    def open(self, path: str, *, stop: int | None = None) -> Reader | None:
        """Open a file, of which nothing from the byte `stop` on will be wanted."""

    def read(self, path: str) -> bytes | None:
        """Give a whole file."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give every file below a folder, in no order."""

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""

    def delete_abandoned(self) -> None:
        """Remove what killed writers left behind."""
