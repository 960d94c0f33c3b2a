"""A part of a snapshot as the text that LINE is sent."""

import io
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from line_ads_pipeline.store.errors import StoreError
from line_ads_pipeline.store.place import Reader, read_exactly
from line_ads_pipeline.store.records import Renderer, line_bytes

_PIECES = 4
"""A block is rendered in so many: each of about half a MiB stays in the processor's caches until it is sent."""


class SnapshotChunk(io.BufferedIOBase):
    """A read-only, seekable binary file of lines; while one block of them is read, a thread renders the next.

    It holds two blocks in memory, and from an object store the next ones besides, whatever is read or sought. `len()`
    is its size in bytes.

    Args:
        reader: The snapshot's file, closed with the chunk.
        record_width: Bytes of a record.
        offset: Of the first record.
        count: Of records.
    """

    def __init__(self, reader: Reader, *, record_width: int, offset: int, count: int) -> None:
        super().__init__()
        self._reader = reader
        self._width = record_width
        self._line_bytes = line_bytes(record_width)
        self._render = Renderer(record_width)
        self._start = offset * record_width
        self._stop = (offset + count) * record_width
        block_records = reader.block_bytes // record_width
        self._block_bytes = block_records * record_width
        self._block_text_bytes = block_records * self._line_bytes
        self._piece_lines = -(-block_records // _PIECES)
        self._size = count * self._line_bytes
        self._position = 0
        self._block = -1
        self._pieces: dict[int, list[Future[bytes]]] = {}
        # one thread keeps up with the network, two would keep each other and the sending from the interpreter
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render-ahead")

    def __len__(self) -> int:
        return self._size

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position in the text, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a position in the text, also beyond its end; nothing is read.

        Raises:
            ValueError: It is before the start, or the chunk is closed.
        """
        self._check_open()
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("a position before the start of the chunk")
        self._position = origin + offset
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Give the next `size` bytes of the text, all that is left if negative; fewer only at its end.

        Raises:
            SnapshotDamaged: The snapshot is shorter than it was when the chunk was opened.
            StoreUnavailable: The place cannot be read.
            ValueError: The chunk is closed.
        """
        self._check_open()
        end = self._size if size is None or size < 0 else min(self._position + size, self._size)
        parts = []
        while self._position < end:
            parts.append(self.read1(end - self._position))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """Give at most `size` bytes that are at hand, if it is large enough a piece as it was rendered, not cut or joined.

        Raises:
            SnapshotDamaged: The snapshot is shorter than it was when the chunk was opened.
            StoreUnavailable: The place cannot be read.
            ValueError: The chunk is closed.
        """
        self._check_open()
        if self._position >= self._size or size == 0:
            return b""
        number, within = divmod(self._position, self._block_text_bytes)
        piece_number, start = divmod(within, self._piece_lines * self._line_bytes)
        piece = self._pieces_of(number)[piece_number].result()
        text = piece[start : None if size < 0 else start + size]  # the piece itself if all of it is wanted
        self._position += len(text)
        return text

    def close(self) -> None:
        """Release the snapshot's file."""
        if not self.closed:
            self._pool.shutdown(cancel_futures=True)
            self._reader.close()
            self._pieces = {}
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the chunk is closed")

    def _pieces_of(self, number: int) -> list[Future[bytes]]:
        """Give the pieces of a block, and have those of the next one rendered meanwhile."""
        if self._block != number:
            self._pieces = {number: self._pieces.get(number) or self._begin(number)}
            self._block = number
            if self._start + (number + 1) * self._block_bytes < self._stop:
                # what fails while it is not needed yet may pass; if not, it is met again and raised
                with suppress(StoreError):
                    self._pieces[number + 1] = self._begin(number + 1)
        return self._pieces[number]

    def _begin(self, number: int) -> list[Future[bytes]]:
        start = self._start + number * self._block_bytes
        records = memoryview(read_exactly(self._reader, start, min(self._block_bytes, self._stop - start)))
        step = self._piece_lines * self._width
        return [
            self._pool.submit(self._render, records[first : first + step])
            for first in range(0, len(records), step)
        ]
