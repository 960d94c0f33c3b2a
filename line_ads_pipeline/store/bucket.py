"""An object store as a place."""

import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError

from line_ads_pipeline.object_stores import Refusal, connect, without_credentials
from line_ads_pipeline.store.disk import Bytes, Disk, WorkFile
from line_ads_pipeline.store.errors import StoreUnavailable
from line_ads_pipeline.store.place import Entry

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Bucket:
    """Objects below an address; an object appears whole or not at all.

    Credentials come from the environment, as each platform names them. Uploads that are cut off by a kill leave
    invisible parts in S3, which a lifecycle rule of the bucket ("abort incomplete multipart uploads") removes.

    Args:
        url: `s3://bucket/prefix`, `gs://…`, `az://account/container/prefix`, or `memory://`, which is forgotten with
            this object.

    Raises:
        StoreUnavailable: The URL is of no known kind.
    """

    def __init__(self, url: str) -> None:
        self._label = without_credentials(url)
        self._store = _connected(url, self._label)
        self._disk = Disk(
            Path(tempfile.gettempdir()), label="the folder for temporary files", setting="TMPDIR"
        )

    def scratch(self) -> WorkFile:
        """Open a file without a name in the folder for temporary files."""
        return self._disk.scratch()

    @contextmanager
    def new_file(self) -> Iterator["_BucketFile"]:
        """Begin an object in a local file without a name: its address is known only when it is whole."""
        with self._disk.scratch() as work:
            yield _BucketFile(self, work)

    def publish(self, work: WorkFile, path: str) -> None:
        """Upload a whole file."""
        work.file.seek(0)
        with self._failing_clearly():
            obstore.put(self._store, path, work.file)

    def open(self, path: str, *, stop: int | None = None) -> "_BucketReader | None":
        """Find an object."""
        with self._failing_clearly(), suppress(FileNotFoundError):
            size = obstore.head(self._store, path)["size"]
            return _BucketReader(self, path, size=size, stop=size if stop is None else min(stop, size))
        return None

    def read(self, path: str) -> bytes | None:
        """Give a whole object."""
        with self._failing_clearly(), suppress(FileNotFoundError):
            return obstore.get(self._store, path).bytes().to_bytes()
        return None

    def read_range(self, path: str, start: int, end: int) -> bytes:
        """Give the bytes of an object from `start` to before `end`; none when it is gone."""
        with self._failing_clearly(), suppress(FileNotFoundError):
            return obstore.get_range(self._store, path, start=start, end=end).to_bytes()
        return b""

    def entries(self, folder: str) -> Iterator[Entry]:
        """Give every object below a prefix."""
        with self._failing_clearly():
            found = obstore.list(self._store, folder).collect()
        return (Entry(meta["path"], meta["last_modified"]) for meta in found)

    def delete(self, path: str) -> None:
        """Remove an object, if it is there."""
        with self._failing_clearly(), suppress(FileNotFoundError):
            obstore.delete(self._store, path)

    def delete_abandoned(self) -> None:
        """Do nothing: unfinished objects are local files without a name, or invisible."""

    @contextmanager
    def _failing_clearly(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            # Its text may hold a signed URL.
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> StoreUnavailable:
        refusal = Refusal.of(error)
        if refusal.reason == "denied":
            return StoreUnavailable(
                f"no permission for the store at {self._label} ({refusal.shown}): check the credentials in the "
                "environment and what they may read, write, list and delete there"
            )
        if refusal.reason == "no credentials":
            return StoreUnavailable(
                f"there are no credentials for the store at {self._label}: set those of its platform in the "
                "environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if refusal.reason == "absent":
            return StoreUnavailable(
                f"the store at {self._label} was not found: create the bucket, or correct LINE_ADS_STORE"
            )
        return StoreUnavailable(
            f"the store at {self._label} does not answer as it should ({refusal.shown}): check LINE_ADS_STORE, the "
            "network and the region and endpoint in the environment; then run again"
        )


class _BucketFile:
    def __init__(self, bucket: Bucket, work: WorkFile) -> None:
        self._bucket = bucket
        self._work = work

    def write(self, data: Bytes) -> None:
        self._work.write(data)

    def publish(self, path: str) -> None:
        self._bucket.publish(self._work, path)


class _BucketReader:
    """Fetches the next ranges while the last one is used: a request takes long compared to its bytes."""

    block_bytes = 1 << 20
    blocks_ahead = 4

    def __init__(self, bucket: Bucket, path: str, *, size: int, stop: int) -> None:
        self.size = size
        self._bucket = bucket
        self._path = path
        self._stop = stop
        self._pool = ThreadPoolExecutor(max_workers=self.blocks_ahead, thread_name_prefix="read-ahead")
        self._ahead: deque[tuple[int, int, Future[bytes]]] = deque()

    def read_at(self, offset: int, size: int) -> bytes:
        end = offset + size
        fetched = None
        if self._ahead and self._ahead[0][:2] == (offset, end):
            *_, fetched = self._ahead.popleft()
        else:
            self._forget()
        self._fetch_after(end, size)
        # what failed while it was not needed yet may have passed; if not, the error is raised here and now
        if fetched is not None and fetched.exception() is None:
            return fetched.result()
        return self._bucket.read_range(self._path, offset, end)

    def close(self) -> None:
        self._forget()
        self._pool.shutdown(wait=False)

    def _fetch_after(self, end: int, size: int) -> None:
        start = self._ahead[-1][1] if self._ahead else end
        while start < self._stop and len(self._ahead) < self.blocks_ahead:
            stop = min(start + size, self._stop)
            future = self._pool.submit(self._bucket.read_range, self._path, start, stop)
            self._ahead.append((start, stop, future))
            start = stop

    def _forget(self) -> None:
        for *_, future in self._ahead:
            future.cancel()
        self._ahead.clear()


def _connected(url: str, label: str) -> "ObjectStore":
    with suppress(ValueError):
        return connect(url)
    raise StoreUnavailable(
        f"{label} is no place for a store: let LINE_ADS_STORE name a folder, or an address of an object store such as "
        "s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix"
    )
