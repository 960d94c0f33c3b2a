"""Files in an object store."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Self, cast

import obstore
from obstore.exceptions import BaseError

from line_ads_pipeline.object_stores import Reason, Refusal, connect
from line_ads_pipeline.warehouse.errors import (
    FileNotFound,
    SegmentReadFailed,
    WarehouseAccessDenied,
    WarehouseError,
    WarehouseUnreachable,
    raise_alone,
)
from line_ads_pipeline.warehouse.files import (
    GLOB_MARKS,
    Files,
    FoundFile,
    changed,
    nothing_found,
    suffix_of,
)
from line_ads_pipeline.warehouse.object_file import MOST_AHEAD, ObjectFile, RangeReader

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

# Dagster gives a sensor a minute.
_RETRY_FOR = timedelta(seconds=15)
_URL = re.compile(
    r"(?P<container>(?:s3|gs)://[A-Za-z0-9._-]+|az://[a-z0-9]+/[A-Za-z0-9$-]+)/(?P<key>.*)", re.DOTALL
)
_PARAMETER = re.compile(r"\?[\w.-]+=")  # a signature may be among them
_FAILURES: dict[Reason, tuple[type[WarehouseError], str]] = {
    "denied": (
        WarehouseAccessDenied,
        "no permission ({}). Check the credentials in the environment, and that they may list and read there",
    ),
    "absent": (
        FileNotFound,
        "there is no such bucket or container ({}). Correct `path` in the audience file",
    ),
    "no credentials": (
        WarehouseAccessDenied,
        "there are no credentials. Set those of its platform in the environment, as its own tools take them",
    ),
    "unreachable": (
        WarehouseUnreachable,
        "its object store does not answer ({}). Check the network, and the endpoint and region in the environment",
    ),
    "other region": (WarehouseAccessDenied, "its bucket is in another region ({}). Set AWS_REGION to that"),
}
_ANY_FAILURE = (
    SegmentReadFailed,
    "its object store does not answer as it should ({}). Check the region and endpoint in the environment; run again",
)


def _new_pool() -> Executor:
    return ThreadPoolExecutor(max_workers=MOST_AHEAD, thread_name_prefix="read-ahead")


@dataclass(frozen=True)
class StoredFiles(Files):
    """Objects of a bucket or container.

    Attributes:
        store: The bucket, its root.
        pool: Reads ahead; its threads end with this object.
        failures: What was raised to readers, since not every reader in between lets our own exceptions through.
    """

    store: "ObjectStore"
    failures: list[WarehouseError] = field(default_factory=list, compare=False)
    pool: Executor = field(default_factory=_new_pool, compare=False, repr=False)

    @classmethod
    def find(cls, path: str) -> Self:
        """Find what a URL, which may be a glob, names, by HEAD and list requests.

        Globs are those of local files: `*` stays within a folder, `**` does not, and neither takes a name or folder
        that begins with a dot.

        Raises:
            FileNotFound: Nothing, or what is of a kind that cannot be read, or it is no URL of an object store.
            SegmentReadFailed: The object store refuses or does not answer.
        """
        store, key = _parts(path)
        with _failing_clearly(path):
            objects = _find(store, key)
        if not objects:
            folder = _fixed_folder(key)
            with _failing_clearly(path):
                beside = obstore.list_with_delimiter(store, folder)["objects"]
            there = [meta["path"].rpartition("/")[2] for meta in beside]
            raise nothing_found(path, [name for name in there if name.casefold().endswith(suffix_of(path))])
        return cls(path, tuple(map(_found, objects)), store)

    def find_again(self) -> Self:
        """Find what the URL names now."""
        return self.find(self.path)

    def take_failure(self) -> WarehouseError | None:
        """Give what went wrong in reading, once."""
        failure = self.failures[0] if self.failures else None
        self.failures.clear()
        return failure

    def reader(self, file: int) -> RangeReader:
        """Read an object by ranges, each as it was when it was found."""
        found = self.found[file]
        return RangeReader(
            partial(self._fetch, found), size=found.size, pool=self.pool, on_failure=self._keep_failure
        )

    def _keep_failure(self, error: Exception) -> None:
        if isinstance(error, WarehouseError):
            self.failures.append(error)

    def open(self, file: int) -> BinaryIO:
        """Open an object."""
        reader = self.reader(file)
        return cast("BinaryIO", ObjectFile(reader, on_close=reader.close))

    def _fetch(self, file: FoundFile, start: int, stop: int) -> memoryview:
        options: GetOptions = {"range": (start, stop)}
        if file.stamp.startswith('"'):
            options["if_match"] = file.stamp
        with _failing_clearly(self.path, moved=("changed", "absent")):
            data = memoryview(obstore.get(self.store, file.name, options=options).bytes())
        if len(data) != stop - start:
            raise changed(self.path)
        return data


def _parts(path: str) -> tuple["ObjectStore", str]:
    found = _URL.fullmatch(path)
    if found is None or _PARAMETER.search(path):
        scheme = path.partition("://")[0]
        raise FileNotFound(
            f"`path` is a URL of the kind {scheme}: that names no file that can be read. Write s3://bucket/key, "
            "gs://bucket/key or az://account/container/key, with credentials in the environment alone, or the path of "
            "a local file without file://."
        )
    suffix_of(path)
    try:
        return connect(found["container"], retry_for=_RETRY_FOR), found["key"]
    except ValueError:
        pass
    raise FileNotFound(f"{path} names no bucket or container. Correct `path` in the audience file.")


def _find(store: "ObjectStore", key: str) -> Sequence["ObjectMeta"]:
    try:
        return [obstore.head(store, key)]
    except FileNotFoundError:
        pass
    if not any(mark in key for mark in GLOB_MARKS):
        return []
    folder = _fixed_folder(key)
    pattern = key.split("/")
    if len(pattern) == folder.count("/") + 2 - (not folder):
        there = obstore.list_with_delimiter(store, folder)["objects"]
    else:
        there = obstore.list(store, folder).collect()
    return sorted(
        (meta for meta in there if _matches(meta["path"].split("/"), pattern)), key=lambda meta: meta["path"]
    )


def _fixed_folder(key: str) -> str:
    """Give the folder of a key, or the part of it before the first segment of a pattern."""
    folders = key.split("/")[:-1]
    fixed = [place for place, name in enumerate(folders) if any(mark in name for mark in GLOB_MARKS)]
    return "/".join(folders[: fixed[0]] if fixed else folders)


def _matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern or not names:
        return not pattern and not names
    if pattern[0] == "**":
        deeper = not names[0].startswith(".") and len(names) > 1 and _matches(names[1:], pattern)
        return deeper or _matches(names, pattern[1:])
    hidden = names[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatchcase(names[0], pattern[0]) and _matches(names[1:], pattern[1:])


def _found(meta: "ObjectMeta") -> FoundFile:
    tag = meta["e_tag"]
    if tag and not tag.startswith(('"', "W/")):
        tag = f'"{tag}"'  # Azure lists them without their quotes
    return FoundFile(meta["path"], meta["size"], tag or meta["last_modified"].isoformat())


@contextmanager
def _failing_clearly(path: str, *, moved: Sequence[Reason] = ()) -> Iterator[None]:
    """Raise what an object store refuses as our own error: its text may hold a signed URL."""
    refusal: Refusal | None = None
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        refusal = Refusal.of(error)
    if refusal is None:
        return
    if refusal.reason in moved:
        raise_alone(changed(path))
    failure, words = _FAILURES.get(refusal.reason, _ANY_FAILURE)
    raise_alone(failure(f"{path} cannot be read: {words.format(refusal.shown)}."))
