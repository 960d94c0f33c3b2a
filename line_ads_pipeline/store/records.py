"""Identifiers as binary records of one width: packing, splitting, ordering, rendering.

Two digests are the same member when their bytes are equal, two mobile ad ids when they are equal but for case.
"""

import binascii
import struct
from collections.abc import Iterator
from typing import cast

import polars as pl
import pyarrow as pa

from line_ads_pipeline.store.disk import Bytes
from line_ads_pipeline.store.errors import InvalidRecords

DIGEST_WIDTH = 32
"""Bytes of a SHA-256 digest."""

IFA_WIDTH = 36
"""Bytes of a mobile ad id: a UUID in its text form, in ASCII."""

PARTS = 64
"""Members are split into so many parts that one after the other fits into memory and much of it into caches."""

_BLOCK_RECORDS = 1 << 15
_CACHED_RECORDS = 1 << 11
"""So few at a time stay in the processor's caches: twice as fast as a whole block."""
_UUID = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"


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
    packed = _packed(identifiers, width)
    if packed is None:
        form = "SHA-256 digests of 32 bytes" if width == DIGEST_WIDTH else "mobile ad ids in UUID form"
        raise InvalidRecords(
            f"not all identifiers are {form}: check the identifier's type in the audience file"
        )
    for (part,), group in packed.partition_by("part", as_dict=True, include_key=False).items():
        yield cast("int", part), _bytes(group["record"])


def in_order(records: bytes, *, width: int) -> Iterator[Bytes]:
    """Sort records by member and keep one of each: of several spellings the one with the smallest bytes.

    Members are compared by their first eight bytes as one integer, and in full only where those tie.
    """
    record = pl.col("record")
    identity = {"record": record} if width == DIGEST_WIDTH else {"member": _member(width), "record": record}
    first, *_ = identity
    distinct = (
        _frame(records, width)
        .select(
            **identity, head=_member(width).bin.head(8).bin.reinterpret(dtype=pl.UInt64, endianness="big")
        )
        .sort("head", *identity)
        .select(record.filter(pl.col(first).ne_missing(pl.col(first).shift())))
        .to_series()
    )
    for start in range(0, len(distinct), _BLOCK_RECORDS):
        block = distinct.slice(start, _BLOCK_RECORDS)
        yield _bytes(block.bin.reinterpret(dtype=pl.Array(pl.UInt8, width)))


def is_ascending(records: bytes, *, width: int) -> bool:
    """Tell whether each member comes after the one before; bytes that are no text are no mobile ad ids."""
    try:
        return bool(_frame(records, width).select((_member(width) > _member(width).shift()).all()).item())
    except pl.exceptions.ComputeError:
        return False


def members(records: bytes, *, width: int) -> bytes:
    """Give records in the form in which equal members have equal bytes."""
    return records if width == DIGEST_WIDTH else records.lower()


def count_members(records: bytes, *, width: int) -> int:
    """Count the distinct ones of records that `members` gave."""
    return _frame(records, width)["record"].n_unique()


def rendered(records: bytes, *, width: int) -> bytes:
    r"""Give records as LINE reads them: lower-case hex of digests, mobile ad ids as they are, each with `\n`."""
    if not records:
        return b""
    if width == DIGEST_WIDTH:
        return binascii.hexlify(records, b"\n", DIGEST_WIDTH) + b"\n"
    step = _CACHED_RECORDS * width
    parts = (records[start : start + step] for start in range(0, len(records), step))
    lines = (b"\n".join(struct.unpack(f"{width}s" * (len(part) // width), part)) for part in parts)
    return b"\n".join((*lines, b""))


def _packed(identifiers: pl.Series, width: int) -> pl.DataFrame | None:
    """Arrays of bytes and the part each belongs to, or None if one identifier has another form."""
    identifier = pl.col("identifier")
    try:
        packed = pl.DataFrame({"identifier": identifiers}).select(
            record=identifier.bin.reinterpret(dtype=pl.Array(pl.UInt8, width)),
            part=_leading_byte(identifier, width) // (256 // PARTS),
        )
    except pl.exceptions.ComputeError:
        return None
    return None if any(column.has_nulls() for column in packed) else packed


def _member(width: int) -> pl.Expr:
    record = pl.col("record")
    if width == DIGEST_WIDTH:
        return record
    return record.cast(pl.String).str.to_lowercase().cast(pl.Binary)


def _leading_byte(identifier: pl.Expr, width: int) -> pl.Expr:
    """The first byte of what an identifier stands for; null when a mobile ad id is no UUID."""
    if width == DIGEST_WIDTH:
        return identifier.bin.get(0, null_on_oob=True)
    uuid = pl.when(identifier.cast(pl.String).str.contains(_UUID)).then(identifier)
    return uuid.bin.head(2).bin.decode("hex").bin.get(0)


def _frame(records: bytes, width: int) -> pl.DataFrame:
    """One column of records, over the same memory."""
    count = len(records) // width
    array = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, pa.py_buffer(records)])
    return pl.DataFrame({"record": pl.from_arrow(array)})


def _bytes(records: pl.Series) -> Bytes:
    """The memory of a column of arrays of bytes."""
    values = records.to_arrow().flatten()
    return memoryview(values.buffers()[1])[values.offset : values.offset + len(values)]
