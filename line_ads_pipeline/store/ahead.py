"""The next chunk of a snapshot made ready while something else is waited for."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Self

from line_ads_pipeline.store.chunk import SnapshotChunk
from line_ads_pipeline.store.snapshot import Snapshot
from line_ads_pipeline.store.store import Store


class ChunksAhead:
    """Opens the chunks of a snapshot, of which one may be prepared: found, opened and its first block read.

    At most one chunk is prepared at a time, in a thread, and it holds no more memory than any chunk that is being
    read: a block, and from an object store some blocks more. What was prepared and is not opened after all is closed
    with the next chunk that is opened or prepared, or at the end.

    Args:
        store: Where the snapshot is.
        audience: Whose it is.
        snapshot: In the store.
    """

    def __init__(self, store: Store, audience: str, snapshot: Snapshot) -> None:
        self._open_chunk = partial(store.open_chunk, audience, snapshot)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="chunk-ahead")
        self._ahead: tuple[int, int, Future[SnapshotChunk]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()
        self._pool.shutdown(wait=False)

    def prepare(self, *, offset: int, count: int) -> None:
        """Begin to make a chunk ready, and return at once; if that fails, `open` tries anew."""
        self._drop()
        self._ahead = (offset, count, self._pool.submit(self._ready, offset, count))

    def open(self, *, offset: int, count: int) -> SnapshotChunk:
        """Give a chunk, the prepared one if it is the same; the caller closes it.

        Raises:
            StoreError: As of `Store.open_chunk`.
        """
        if self._ahead is not None and self._ahead[:2] == (offset, count):
            future = self._ahead[2]
            # what failed while nobody needed it may have passed; if not, the error is raised here and now
            if future.exception() is None:
                self._ahead = None
                return future.result()
        self._drop()
        return self._open_chunk(offset=offset, count=count)

    def _ready(self, offset: int, count: int) -> SnapshotChunk:
        with ExitStack() as stack:
            chunk = stack.enter_context(self._open_chunk(offset=offset, count=count))
            chunk.read(1)
            chunk.seek(0)
            stack.pop_all()
        return chunk

    def _drop(self) -> None:
        if self._ahead is not None:
            *_, future = self._ahead
            self._ahead = None
            if not future.cancel():
                future.add_done_callback(_close)


def _close(future: Future[SnapshotChunk]) -> None:
    if future.exception() is None:
        future.result().close()
