"""Identifiers as binary records of one width: packing, splitting, ordering, rendering.

Two digests are the same member when their bytes are equal, two mobile ad ids when they are equal but for case.
"""

import binascii
from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from line_ads_pipeline.store.disk import Bytes
from line_ads_pipeline.store.errors import InvalidRecords

DIGEST_WIDTH = 32
"""Bytes of a SHA-256 digest."""

IFA_WIDTH = 36
"""Bytes of a mobile ad id: a UUID in its text form, in ASCII."""

PARTS = 64
"""Members are split into so many parts that one after the other fits into memory and much of it into caches."""

_LOWER = 0x20
"""The bit that makes a letter small, and is set in digits and hyphens anyway."""

_HEX_OF_TWO_BYTES = pa.array(
    np.frombuffer(binascii.hexlify(np.arange(1 << 16, dtype=np.uint16).tobytes()), dtype=np.uint32)
)
"""Four hex digits by the two bytes they stand for, both in the byte order of this machine."""

_HYPHENS = (8, 13, 18, 23)
_NO_HEX_DIGIT = 255
_HEX_VALUES = np.array(
    [int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else _NO_HEX_DIGIT for byte in range(256)],
    dtype=np.uint8,
)

Rows = NDArray[np.uint8]
"""Records, one below the other, in memory that they share with what they were made from where that is possible."""


def line_bytes(width: int) -> int:
    """Give the length of a rendered record with its line end."""
    return (2 * width if width == DIGEST_WIDTH else width) + 1


def split(identifiers: pl.Series, *, width: int) -> Iterator[tuple[int, Bytes]]:
    """Pack identifiers into records and sort them apart by their members' leading bits.

    Args:
        identifiers: Binary, without nulls.
        width: Of each.

    Yields:
        The number of a part, from 0 to 63 in the order of members, and its records.

    Raises:
        InvalidRecords: An identifier is neither a digest nor a UUID, whichever the width calls for.
    """
    rows = _packed(identifiers, width)
    part = _leading_bytes(rows) // (256 // PARTS)
    apart = _taken(rows, np.argsort(part, kind="stable"))
    start = 0
    for number, count in enumerate(np.bincount(part, minlength=PARTS).tolist()):
        if count:
            yield number, apart[start : start + count].reshape(-1).data
        start += count


def in_order(records: Bytes, *, width: int) -> Bytes:
    """Sort records by member and keep one of each: of several spellings the one with the smallest bytes."""
    rows = _rows(records, width)
    members = _members(rows)
    head = np.ndarray(len(rows), dtype=">u8", buffer=members, strides=(width,)).astype(np.uint64)
    order = np.argsort(head)
    head = head[order]
    later = (
        np.flatnonzero(head[1:] == head[:-1]) + 1
    )  # whose first eight bytes are those of the record before
    if len(later) == 0:
        return _taken(rows, order).reshape(-1).data
    if not _equal(rows, order[later], order[later - 1]).all():
        # the rest of their bytes decides; these few, in order, take the places that they had
        tied = np.union1d(later, later - 1)
        candidates = order[tied]
        keys = _words(members[candidates]) + (() if members is rows else _words(rows[candidates]))
        order[tied] = candidates[np.lexsort(keys[::-1])]
    kept = np.ones(len(order), dtype=bool)
    kept[later] = ~_equal(members, order[later], order[later - 1])
    return _taken(rows, order[kept]).reshape(-1).data


def without(records: Bytes, others: Bytes, *, width: int) -> Bytes:
    """Give those of some records in order whose member is not among others, in order."""
    if not (len(records) and len(others)):
        return records
    rows = _rows(records, width)
    is_other = _series(_members(rows).data, width).is_in(
        _series(_members(_rows(others, width)).data, width).implode()
    )
    return _taken(rows, np.flatnonzero(~is_other.to_numpy())).reshape(-1).data if is_other.any() else records


def is_ascending(records: Bytes, *, width: int) -> bool:
    """Tell whether each member comes after the one before."""
    members = _members(_rows(records, width))
    below = np.zeros(max(len(members) - 1, 0), dtype=bool)
    equal = ~below
    for word in _words(members):
        below |= equal & (word[:-1] < word[1:])
        equal &= word[:-1] == word[1:]
    return bool(below.all())


def members(records: bytes, *, width: int) -> bytes:
    """Give records in the form in which equal members have equal bytes."""
    return records if width == DIGEST_WIDTH else records.lower()


def count_members(records: bytes, *, width: int) -> int:
    """Count the distinct ones of records that `members` gave."""
    return _series(records, width).n_unique()


class Renderer:
    r"""Gives records as LINE reads them: lower-case hex of digests, mobile ad ids as they are, each with `\n`.

    Most of its time is spent where other threads may run; it serves one at a time.

    Args:
        width: Of the records.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        line = np.dtype([("characters", f"V{line_bytes(width) - 1}"), ("end", np.uint8)])
        self._lines = np.empty(0, dtype=line)

    def __call__(self, records: Bytes) -> bytes:
        """Render whole records; memory for as many as ever at once is kept."""
        count = len(records) // self._width
        if count > len(self._lines):
            self._lines = np.empty(count, dtype=self._lines.dtype)
            self._lines["end"] = ord("\n")
        text = _hex(records) if self._width == DIGEST_WIDTH else records
        lines = self._lines[:count]
        lines["characters"] = np.frombuffer(text, dtype=lines.dtype["characters"], count=count)
        return lines.tobytes()


def _hex(digests: Bytes) -> pa.Buffer:
    """Hex by a table, in half the time of `binascii.hexlify`."""
    pairs = pa.Array.from_buffers(pa.uint16(), len(digests) // 2, [None, pa.py_buffer(digests)])
    return pc.take(_HEX_OF_TWO_BYTES, pairs, boundscheck=False).buffers()[1]


def _packed(identifiers: pl.Series, width: int) -> Rows:
    """Identifiers side by side.

    Raises:
        InvalidRecords: One has another width.
    """
    if len(identifiers) == 0:
        return np.empty((0, width), dtype=np.uint8)
    array = identifiers.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, values = array.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    if (np.diff(ends) != width).any():
        raise _invalid(width)
    return np.frombuffer(values, dtype=np.uint8)[ends[0] : ends[-1]].reshape(-1, width)


def _leading_bytes(rows: Rows) -> Rows:
    """The first byte of what each record stands for.

    Raises:
        InvalidRecords: A mobile ad id is no UUID.
    """
    if rows.shape[1] == DIGEST_WIDTH:
        return rows[:, 0]
    digits = np.delete(rows, _HYPHENS, axis=1)
    values = _HEX_VALUES[digits]
    if not ((rows[:, _HYPHENS] == ord("-")).all() and (values != _NO_HEX_DIGIT).all()):
        raise _invalid(IFA_WIDTH)
    return values[:, 0] * np.uint8(16) + values[:, 1]


def _series(records: Bytes, width: int) -> pl.Series:
    buffer = pa.py_buffer(records)
    return pl.Series(
        pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(buffer) // width, [None, buffer])
    )


def _rows(records: Bytes, width: int) -> Rows:
    return np.frombuffer(records, dtype=np.uint8).reshape(-1, width)


def _members(rows: Rows) -> Rows:
    """Records in the form in which equal members have equal bytes."""
    return rows if rows.shape[1] == DIGEST_WIDTH else rows | np.uint8(_LOWER)


def _words(rows: Rows) -> tuple[NDArray[np.unsignedinteger], ...]:
    """The columns of records as numbers that sort as their bytes do: eight bytes each, four at the end of an odd width."""
    whole = rows.shape[1] // 8 * 8
    words = list(np.ascontiguousarray(rows[:, :whole]).view(">u8").T)
    rest = list(np.ascontiguousarray(rows[:, whole:]).view(">u4").T) if whole < rows.shape[1] else []
    return tuple(column.astype(column.dtype.newbyteorder("=")) for column in words + rest)


def _taken(rows: Rows, order: NDArray[np.intp]) -> Rows:
    """Rows in another order: by words, since numpy would copy byte by byte."""
    return _wide(rows).take(order, axis=0).view(np.uint8)


def _equal(rows: Rows, some: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether rows are equal, pair by pair."""
    wide = _wide(rows)
    return np.asarray((wide.take(some, axis=0) == wide.take(others, axis=0)).all(axis=1))


def _wide(rows: Rows) -> NDArray[np.unsignedinteger]:
    return rows.view(np.uint64 if rows.shape[1] % 8 == 0 else np.uint32)


def _invalid(width: int) -> InvalidRecords:
    form = "SHA-256 digests of 32 bytes" if width == DIGEST_WIDTH else "mobile ad ids in UUID form"
    return InvalidRecords(f"not all identifiers are {form}: check the identifier's type in the audience file")
