"""How many members two snapshots share, found block by block."""

from bisect import bisect_right
from collections.abc import Iterator

from line_ads_pipeline.store.records import count_members, members


def count_common(one: Iterator[bytes], other: Iterator[bytes], *, width: int) -> int:
    """Count the members that are in both of two files of records, each in ascending order without duplicates.

    One block of each file is held at a time. Of the two, the one that ends first is used up, and from the other
    what is no further than its last member; so neither is read beyond the end of the other.

    Args:
        one: The blocks of one file, of whole records.
        other: Those of the other.
        width: Of a record.
    """
    common = 0
    left = right = b""
    while (left := left or members(next(one, b""), width=width)) and (
        right := right or members(next(other, b""), width=width)
    ):
        last = min(left[-width:], right[-width:])
        left_end, right_end = (end_of(block, last, width=width) for block in (left, right))
        if left_end and right_end:
            both = left[:left_end] + right[:right_end]
            common += len(both) // width - count_members(both, width=width)
        left, right = left[left_end:], right[right_end:]
    return common


def end_of(block: bytes, last: bytes, *, width: int) -> int:
    """Where the records end that are no further than a member; `members` gave both."""
    if block.endswith(last):
        return len(block)
    starts = range(0, len(block), width)
    return width * bisect_right(starts, last, key=lambda start: block[start : start + width])
