"""Files of this machine."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from line_ads_pipeline.warehouse.errors import FileNotFound, SegmentReadFailed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.files import GLOB_MARKS, Files, FoundFile, nothing_found, suffix_of


@dataclass(frozen=True)
class LocalFiles(Files):
    """Files in folders of this machine, or mounted there.

    A name is relative to the root where the file is under it: a project that is mounted elsewhere keeps its versions.

    Attributes:
        root: What relative paths start from.
        paths: Those of the files found.
    """

    root: Path
    paths: tuple[Path, ...]

    @classmethod
    def find(cls, path: str, *, root: Path) -> Self:
        """Find what a path or glob names, without opening a file.

        Raises:
            FileNotFound: Nothing, a folder, or what is of a kind that cannot be read.
            SegmentReadFailed: The system does not let us look.
        """
        with _system_errors_replaced(path):
            paths = _find(path, root=root)
        found = []
        for file in paths:
            with _system_errors_replaced(file.name):
                status = file.stat()
            name = file.relative_to(root) if file.is_relative_to(root) else file
            found.append(FoundFile(str(name), status.st_size, str(status.st_mtime_ns)))
        return cls(path, tuple(found), root, tuple(paths))

    def find_again(self) -> Self:
        """Find what the path names now."""
        return self.find(self.path, root=self.root)

    def open(self, file: int) -> BinaryIO:
        """Open a file."""
        return self.paths[file].open("rb")


def _find(path: str, *, root: Path) -> list[Path]:
    full = root / path
    if full.is_dir():
        raise FileNotFound(
            f"{path} is a folder. Name a file in it, or all of a kind: {Path(path) / '*.parquet'}."
        )
    suffix = suffix_of(path)
    if full.is_file():
        return [full]
    if any(mark in path for mark in GLOB_MARKS):
        names = glob.glob(str(full), recursive=True)  # noqa: PTH207 - takes absolute patterns
        files = sorted(file for file in map(Path, names) if file.is_file())
        if files:
            return files
    folder = full.parent
    while any(mark in folder.name for mark in GLOB_MARKS):
        folder = folder.parent
    if not folder.is_dir():
        raise FileNotFound(
            f"There is no file {path}: its folder does not exist. Paths are relative to the project."
        )
    raise nothing_found(path, [file.name for file in folder.iterdir() if file.suffix.casefold() == suffix])


@contextmanager
def _system_errors_replaced(name: str) -> Iterator[None]:
    failure: WarehouseError | None = None
    try:
        yield
    except FileNotFoundError:
        failure = FileNotFound(
            f"The file {name} went away while it was looked at. Run again when what replaces it has finished."
        )
    except OSError as error:
        failure = SegmentReadFailed(f"{name} cannot be looked at: {error.strerror or type(error).__name__}.")
    if failure is not None:
        raise_alone(failure)
