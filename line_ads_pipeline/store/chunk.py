"""A part of a snapshot as the text that LINE is sent."""

import io

from line_ads_pipeline.store.place import Reader, read_exactly
from line_ads_pipeline.store.records import line_bytes, rendered


class SnapshotChunk(io.BufferedIOBase):
    """A read-only, seekable binary file of lines, rendered as they are read and as many as are asked for.

    It holds one block of records in memory, and from an object store the next ones besides, whatever is read or
    sought. `len()` is its size in bytes.

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
        self._start = offset * record_width
        self._stop = (offset + count) * record_width
        self._block_records = reader.block_bytes // record_width
        self._size = count * self._line_bytes
        self._position = 0
        self._block_number = -1
        self._block = b""

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
        """Give whole lines of one block of records, or what is left of a line that is longer than `size`.

        So text is sent as it was rendered, without being cut or joined.

        Raises:
            ValueError: The chunk is closed.
        """
        self._check_open()
        left = self._size - self._position
        if left <= 0 or size == 0:
            return b""
        wanted = left if size < 0 else min(size, left)
        line, within = divmod(self._position, self._line_bytes)
        number, first = divmod(line, self._block_records)
        self._go_to(number)
        lines = (within + wanted) // self._line_bytes
        records = self._block[first * self._width : (first + max(lines, 1)) * self._width]
        text = rendered(records, width=self._width)
        if within or not lines:
            text = text[within : within + wanted]
        self._position += len(text)
        return text

    def close(self) -> None:
        """Release the snapshot's file."""
        if not self.closed:
            self._reader.close()
            self._block = b""
        super().close()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("the chunk is closed")

    def _go_to(self, number: int) -> None:
        if number != self._block_number:
            start = self._start + number * self._block_records * self._width
            size = min(self._block_records * self._width, self._stop - start)
            self._block = read_exactly(self._reader, start, size)
            self._block_number = number
