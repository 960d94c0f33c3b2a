"""The files that a path or a glob names, and their version."""

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from line_ads_pipeline.warehouse.errors import FileNotFound
from line_ads_pipeline.warehouse.names import nearest

KINDS = (".parquet", ".csv")
_GLOB_MARKS = "*?["


def find_files(path: str, *, root: Path) -> list[Path]:
    """Give the files that a path or glob names, sorted.

    Raises:
        FileNotFound: There is none, it is a folder, or it is of a kind that cannot be read.
    """
    full = root / path
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
        files = sorted(Path(name) for name in glob.glob(str(full), recursive=True) if Path(name).is_file())  # noqa: PTH207
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


def files_version(files: Sequence[Path]) -> str:
    """Give a digest of the files' names, sizes and modification times."""
    digest = hashlib.sha256()
    for file in files:
        status = file.stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]
