"""An object that is read by ranges, some of them ahead of their reader: a request takes long compared to its bytes."""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

_BLOCK_BYTES = 4 << 20
MOST_AHEAD = 3
"""How many blocks are fetched at a time."""
_GAP_BYTES = 1 << 16

Range = tuple[int, int]
"""The first byte, and the one after the last."""

Fetch = Callable[[int, int], memoryview]
"""Gives the bytes from a first to before a last."""


@dataclass(frozen=True)
class _Block:
    start: int
    stop: int
    content: Future[memoryview]


class RangeReader:
    """Reads the bytes of one object for any number of threads, in order and ahead of them as far as it knows the way.

    Memory holds at most five blocks of 4 MiB.
    """

    def __init__(
        self, fetch: Fetch, *, size: int, pool: Executor, on_failure: Callable[[Exception], None]
    ) -> None:
        """Read whole objects from their beginning on.

        Args:
            fetch: Gives the bytes from a first to before a last.
            size: Of the object, in bytes.
            pool: Calls `fetch` ahead; few threads shared by all objects, since each leaves large holes in the heap.
            on_failure: Told of what is raised to whoever reads; a block that nobody waits for may fail unnoticed.
        """
        self.size = size
        self._on_failure = on_failure
        self._fetch = fetch
        self._way: Sequence[Range] = [(0, size)]
        self._is_known = False
        self._coming: Iterator[Range] = iter(())
        self._ahead: deque[_Block] = deque()
        self._width = 1
        self._next = 0
        self._lock = threading.Lock()
        self._pool = pool

    def follow(self, ranges: Iterable[Range]) -> None:
        """Read ahead along these ranges alone, which will be read in this order; ranges close together become one."""
        way: list[Range] = []
        for start, stop in ranges:
            if way and 0 <= start - way[-1][1] <= _GAP_BYTES:
                way[-1] = (way[-1][0], stop)
            else:
                way.append((start, stop))
        with self._lock:
            self._way, self._is_known = way, True

    def read_at(self, start: int, size: int) -> bytes:
        """Give the bytes of a range, fewer at the end of the object; what `fetch` raises is raised."""
        stop = min(start + size, self.size)
        data = io.BytesIO()  # unlike a join, it gives its bytes without holding them twice
        # One reader at a time, or two at different places would throw away what the other has ahead.
        with self._lock:
            while start < stop:
                try:
                    piece = self._piece(start, stop)
                except Exception as error:
                    self._on_failure(error)
                    raise
                data.write(piece)
                start += len(piece)
        return data.getvalue()

    def close(self) -> None:
        """Forget what was read ahead, without waiting for what is under way."""
        self._forget()

    def _piece(self, start: int, stop: int) -> memoryview:
        while self._ahead and self._ahead[0].stop <= start:
            self._ahead.popleft()
        if not (self._ahead and self._ahead[0].start <= start):
            if not any(first <= start < end for first, end in self._way):
                return self._fetch(start, stop)
            if start != self._next:
                self._width = 1
            self._turn_to(start)
        self._look_ahead()
        block = self._ahead[0]
        if stop >= block.stop:
            # Whoever wants the header alone need not pay for three blocks, and a file that was read keeps none.
            self._ahead.popleft()
            self._next, self._width = block.stop, min(2 * self._width, MOST_AHEAD)
        return block.content.result()[start - block.start : stop - block.start]

    def _turn_to(self, start: int) -> None:
        self._forget()
        self._coming = (
            (at, min(at + _BLOCK_BYTES, end))
            for first, end in self._way
            for at in range(max(first, start), end, _BLOCK_BYTES)
        )

    def _forget(self) -> None:
        for block in self._ahead:
            block.content.cancel()
        self._ahead.clear()

    def _look_ahead(self) -> None:
        width = MOST_AHEAD if self._is_known else self._width
        while len(self._ahead) < width:
            block = next(self._coming, None)
            if block is None:
                return
            self._ahead.append(_Block(*block, self._pool.submit(self._fetch, *block)))


class ObjectFile(io.RawIOBase):
    """A reader of an object as a file, closed apart from it.

    Each thread has its own position, so that one which seeks and then reads gets what it sought whatever others do.
    """

    def __init__(self, reader: RangeReader, *, on_close: Callable[[], None]) -> None:
        """Begin at the first byte; `on_close` is called once."""
        self._reader = reader
        self._on_close = on_close
        self._position = threading.local()

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Give the position of this thread."""
        return int(getattr(self._position, "at", 0))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position of this thread."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._reader.size}[whence]
        self._position.at = origin + offset
        return origin + offset

    def read(self, size: int | None = -1, /) -> bytes:
        """Give as many bytes as asked for, fewer only at the end."""
        wanted = self._reader.size if size is None or size < 0 else size
        data = self._reader.read_at(self.tell(), wanted)
        self.seek(len(data), io.SEEK_CUR)
        return data

    def readall(self) -> bytes:
        """Give the rest."""
        return self.read()

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Fill a buffer, at the end less of it."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close it, once."""
        if not self.closed:
            super().close()
            self._on_close()
