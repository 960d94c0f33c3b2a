"""A part of a snapshot as the text that LINE is sent."""

import io
from typing import TYPE_CHECKING

from line_ads_pipeline.store.place import Reader, read_exactly
from line_ads_pipeline.store.records import line_bytes, rendered

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SnapshotChunk(io.BufferedReader):
    """A read-only, seekable binary file of lines that are rendered as they are read.

    It holds one block in memory, and from an object store the next one besides, whatever is read or sought.
    `len()` is its size in bytes.

    Args:
        reader: The snapshot's file, closed with the chunk.
        record_width: Bytes of a record.
        offset: Of the first record.
        count: Of records.
    """

    def __init__(self, reader: Reader, *, record_width: int, offset: int, count: int) -> None:
        self._size = count * line_bytes(record_width)
        super().__init__(_Lines(reader, record_width, offset, count), buffer_size=1 << 16)

    def __len__(self) -> int:
        return self._size


class _Lines(io.RawIOBase):
    def __init__(self, reader: Reader, width: int, offset: int, count: int) -> None:
        self._reader = reader
        self._width = width
        self._start = offset * width
        self._stop = (offset + count) * width
        self._block_records = reader.block_bytes // width
        self._block_lines_bytes = self._block_records * line_bytes(width)
        self._size = count * line_bytes(width)
        self._position = 0
        self._block_number = -1
        self._lines = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise ValueError("a position before the start of the chunk")
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer).cast("B")
        if self._position >= self._size:
            return 0
        number, within = divmod(self._position, self._block_lines_bytes)
        if number != self._block_number:
            self._lines = memoryview(self._block(number))
            self._block_number = number
        part = self._lines[within : within + len(target)]
        target[: len(part)] = part
        self._position += len(part)
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
            self._lines = memoryview(b"")
        super().close()

    def _block(self, number: int) -> bytes:
        start = self._start + number * self._block_records * self._width
        size = min(self._block_records * self._width, self._stop - start)
        return rendered(read_exactly(self._reader, start, size), width=self._width)
