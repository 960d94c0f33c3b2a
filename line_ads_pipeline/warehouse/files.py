"""The files that a path or a glob names, and their version."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from line_ads_pipeline.warehouse.errors import FileNotFound, SegmentReadFailed, WarehouseError, raise_alone
from line_ads_pipeline.warehouse.names import nearest

KINDS = (".parquet", ".csv")
_GLOB_MARKS = "*?["


def find_files(path: str, *, root: Path) -> list[Path]:
    """Give the files that a path or glob names, sorted, without opening one.

    Raises:
        FileNotFound: There is none, it is a folder, or it is of a kind that cannot be read.
        SegmentReadFailed: The system does not let us look.
    """
    full = root / path
    with _system_errors_replaced(path):
        if full.is_dir():
            raise FileNotFound(
                f"{path} is a folder. Name a file in it, or all of a kind: {Path(path) / '*.parquet'}."
            )
        if full.suffix.casefold() not in KINDS:
            raise FileNotFound(
                f"{path} does not end in {' or '.join(KINDS)}, the kinds of file that can be read."
            )
        if full.is_file():
            return [full]
        if any(mark in path for mark in _GLOB_MARKS):
            names = glob.glob(str(full), recursive=True)  # noqa: PTH207 - takes absolute patterns
            files = sorted(file for file in map(Path, names) if file.is_file())
            if files:
                return files
        folder = full.parent
        while any(mark in folder.name for mark in _GLOB_MARKS):
            folder = folder.parent
        if not folder.is_dir():
            raise FileNotFound(
                f"There is no file {path}: its folder does not exist. Paths are relative to the project."
            )
        there = [file.name for file in folder.iterdir() if file.suffix.casefold() == full.suffix.casefold()]
    raise FileNotFound(
        f"There is no file {path}. The {full.suffix} files in its folder are: {nearest(full.name, there)}. "
        "Correct `path` in the audience file."
    )


def files_version(files: Sequence[Path], *, root: Path) -> str:
    """Give a digest of the files' names, sizes and modification times, without opening one.

    A name is relative to the root where the file is under it: a project that is mounted elsewhere keeps its versions.

    Raises:
        FileNotFound: A file is gone since it was found.
        SegmentReadFailed: The system does not let us look.
    """
    digest = hashlib.sha256()
    for file in files:
        with _system_errors_replaced(file.name):
            status = file.stat()
        name = file.relative_to(root) if file.is_relative_to(root) else file
        digest.update(os.fsencode(name) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


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
