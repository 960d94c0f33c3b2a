"""Files on a local disk that say clearly why they fail."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from line_ads_pipeline.store.errors import StoreError, StoreFull, StoreUnavailable

Bytes = bytes | bytearray | memoryview

UNFINISHED_SUFFIX = ".partial"

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS}


class Disk:
    """A folder for unfinished files.

    Args:
        folder: Where the files are made.
        label: How the folder is called in errors.
        setting: The environment variable that names another one.
    """

    def __init__(self, folder: Path, *, label: str, setting: str) -> None:
        self.folder = folder
        self._label = label
        self._setting = setting

    def scratch(self) -> "WorkFile":
        """Open a file without a name, gone when it is closed or its process dies."""
        with self.failing_clearly():
            file = tempfile.TemporaryFile(buffering=0, suffix=UNFINISHED_SUFFIX, dir=self.folder)  # noqa: SIM115 - the caller's
            return WorkFile(self, file)

    def partial(self) -> tuple["WorkFile", Path]:
        """Open a file that is to be renamed, readable by its owner only."""
        with self.failing_clearly():
            descriptor, name = tempfile.mkstemp(suffix=UNFINISHED_SUFFIX, dir=self.folder)
            return WorkFile(self, FileIO(descriptor, "w+")), Path(name)

    @contextmanager
    def failing_clearly(self) -> Iterator[None]:
        """Turn an `OSError` of the body into a `StoreError` with the remedy."""
        try:
            yield
        except OSError as error:
            raise self._explained(error) from error

    def _explained(self, error: OSError) -> StoreError:
        if error.errno in _NO_SPACE:
            return StoreFull(
                f"no space left in {self._label}: free some, or let {self._setting} name a larger disk"
            )
        reason = error.strerror or type(error).__name__
        if error.errno in _NO_PERMISSION:
            return StoreUnavailable(
                f"no permission for {self._label} ({reason}): give it to the user who runs the pipeline, or let "
                f"{self._setting} name another folder"
            )
        return StoreUnavailable(
            f"{self._label} fails ({reason}): check that {self._setting} names a folder on a healthy disk"
        )


class WorkFile:
    """A file that is written from its start to its end, unbuffered, so that closing it cannot fail.

    Args:
        disk: Where it is.
        file: Open for writing and reading.
    """

    def __init__(self, disk: Disk, file: FileIO) -> None:
        self._disk = disk
        self.file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def write(self, data: Bytes) -> None:
        """Append all of `data`."""
        rest = memoryview(data)
        with self._disk.failing_clearly():
            while rest:
                rest = rest[self.file.write(rest) :]

    def read_back(self) -> bytes:
        """Give everything that was written."""
        with self._disk.failing_clearly():
            self.file.seek(0)
            return self.file.readall()

    def sync(self) -> None:
        """Bring it to the disk, so that a power cut cannot lose it."""
        with self._disk.failing_clearly():
            os.fsync(self.file.fileno())
