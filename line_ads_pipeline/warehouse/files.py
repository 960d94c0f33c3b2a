"""The files that a path or a glob names, wherever they are: their version, and whether they are still the same."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Literal, Self

from line_ads_pipeline.warehouse.errors import FileNotFound, SegmentReadFailed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.names import nearest

Kind = Literal["parquet", "csv", "ndjson"]

KINDS: dict[str, Kind] = {".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
"""The kinds of file that can be read, by the end of their names."""

GLOB_MARKS = "*?["
"""What makes a path a glob."""


@dataclass(frozen=True)
class FoundFile:
    """A file as it was when it was found.

    Attributes:
        name: Where it is, in the project if it is there, or in its bucket.
        size: In bytes.
        stamp: Changes when it is written anew: its time of change, or what its object store gives for that.
    """

    name: str
    size: int
    stamp: str

    @property
    def short_name(self) -> str:
        """Its name without its folders."""
        return PurePosixPath(self.name).name


@dataclass(frozen=True)
class Files(ABC):
    """The files of one source, at the moment they were found.

    Attributes:
        path: As the audience file has it.
        found: At least one, sorted by name.
    """

    path: str
    found: tuple[FoundFile, ...]

    @property
    def label(self) -> str:
        """How they are called in an error."""
        return f"file {self.path}"

    @property
    def kind(self) -> Kind:
        """What they hold, by the end of the path."""
        return KINDS[suffix_of(self.path)]

    @property
    def version(self) -> str:
        """A digest of the files' names, sizes and stamps."""
        digest = hashlib.sha256()
        for file in self.found:
            digest.update(os.fsencode(file.name) + f"\0{file.size}\0{file.stamp}\n".encode())
        return digest.hexdigest()[:32]

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Surround a read, and make sure afterwards that it was of the files as they were found.

        Raises:
            SegmentReadFailed: One was written, added or removed meanwhile, or they cannot be looked at again.
        """
        failure: SegmentReadFailed | None = None
        try:
            yield
        except SegmentReadFailed as error:
            failure = error  # may well be what a change looks like to a reader
        try:
            unchanged = self.find_again().found == self.found
        except FileNotFound:
            unchanged = False
        if not unchanged:
            raise_alone(changed(self.path))
        if failure is not None:
            raise_alone(failure)

    def take_failure(self) -> WarehouseError | None:
        """Give what went wrong in reading, once, if it is known better than by the exception."""
        return None

    @abstractmethod
    def find_again(self) -> Self:
        """Find what the path names now.

        Raises:
            FileNotFound: Nothing any more.
            SegmentReadFailed: It cannot be looked at.
        """

    @abstractmethod
    def open(self, file: int) -> BinaryIO:
        """Open a file by its place among them for reading; its errors are SegmentReadFailed or OSError."""


def changed(path: str) -> SegmentReadFailed:
    """The error that files were written while they were read."""
    return SegmentReadFailed(f"{path} changed while it was read: run again when its writer has finished.")


def suffix_of(path: str) -> str:
    """Give the end of a path that tells its kind, in small letters.

    Raises:
        FileNotFound: Files of that kind cannot be read.
    """
    suffix = PurePosixPath(path).suffix.casefold()
    if suffix not in KINDS:
        *most, last = KINDS
        raise FileNotFound(
            f"{path} does not end in {', '.join(most)} or {last}, the kinds of file that can be read."
        )
    return suffix


def nothing_found(path: str, there: Sequence[str]) -> FileNotFound:
    """The error that a folder has no such file, with the names of those of its kind that it has."""
    name = PurePosixPath(path)
    return FileNotFound(
        f"There is no file {path}. The {name.suffix} files in its folder are: {nearest(name.name, there)}. "
        "Correct `path` in the audience file."
    )
