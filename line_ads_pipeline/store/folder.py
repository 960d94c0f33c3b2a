"""A folder, local or mounted, as a place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from line_ads_pipeline.store.disk import Bytes, Disk, WorkFile
from line_ads_pipeline.store.place import Entry

_UNFINISHED = "unfinished"
_ABANDONED_AFTER = timedelta(hours=1)
_OWNER_ONLY = 0o700


class Folder:
    """Files below a root folder, for the eyes of their owner.

    The root is made at the first write. A file is written below `unfinished/`, brought to the disk and renamed.

    Args:
        root: Where the files are.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._disk = Disk(
            self._root / _UNFINISHED, label=f"the store in {self._root}", setting="LINE_ADS_STORE"
        )

    def scratch(self) -> WorkFile:
        """Open a file without a name, on the disk that the result will need as well."""
        self._make_unfinished()
        return self._disk.scratch()

    @contextmanager
    def new_file(self) -> Iterator["_FolderFile"]:
        """Begin a file below `unfinished/`."""
        self._make_unfinished()
        work, partial = self._disk.partial()
        try:
            with work:
                yield _FolderFile(self, work, partial)
        finally:
            partial.unlink(missing_ok=True)

    def publish(self, work: WorkFile, partial: Path, path: str) -> None:
        """Rename a file only once its bytes are on the disk: neither a kill nor a power cut shows half of it."""
        work.sync()
        target = self._root / path
        with self._disk.failing_clearly():
            _make(target.parent)
            partial.replace(target)
            _sync(target.parent)

    def open(self, path: str, *, stop: int | None = None) -> "_FolderReader | None":  # noqa: ARG002 - the system reads ahead
        """Open a file."""
        with self._disk.failing_clearly(), suppress(FileNotFoundError):
            return _FolderReader(self._disk, FileIO(self._root / path))
        return None

    def read(self, path: str) -> bytes | None:
        """Give a whole file."""
        with self._disk.failing_clearly(), suppress(FileNotFoundError):
            return (self._root / path).read_bytes()
        return None

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give every file below a folder."""
        with self._disk.failing_clearly():
            files = [path for path in (self._root / folder).rglob("*") if path.is_file()]
        for path in files:
            with self._disk.failing_clearly(), suppress(FileNotFoundError):
                modified = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                yield Entry(path.relative_to(self._root).as_posix(), modified)

    def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        with self._disk.failing_clearly():
            (self._root / path).unlink(missing_ok=True)

    def delete_abandoned(self) -> None:
        """Remove unfinished files that nobody has written to for an hour: a live writer never pauses that long."""
        abandoned_before = datetime.now(UTC) - _ABANDONED_AFTER
        for entry in self.entries(_UNFINISHED):
            if entry.modified < abandoned_before:
                self.delete(entry.path)

    def _make_unfinished(self) -> None:
        with self._disk.failing_clearly():
            self._root.parent.mkdir(parents=True, exist_ok=True)
            _make(self._disk.folder)


class _FolderFile:
    def __init__(self, folder: Folder, work: WorkFile, partial: Path) -> None:
        self._folder = folder
        self._work = work
        self._partial = partial

    def write(self, data: Bytes) -> None:
        self._work.write(data)

    def publish(self, path: str) -> None:
        self._folder.publish(self._work, self._partial, path)


class _FolderReader:
    block_bytes = 1 << 20

    def __init__(self, disk: Disk, file: FileIO) -> None:
        self._disk = disk
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read_at(self, offset: int, size: int) -> bytes:
        with self._disk.failing_clearly():
            return os.pread(self._file.fileno(), size, offset)

    def close(self) -> None:
        self._file.close()


def _make(folder: Path) -> None:
    """Make a folder and the missing ones above it, each for its owner only and brought to the disk."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(_OWNER_ONLY, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
