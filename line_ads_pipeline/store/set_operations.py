"""Sorted files of records as sets, two at a time: what one has beyond another, and what both have together.

One block of each file is held at a time. Files are in ascending order of members without duplicates, and so is what
comes out. Which bytes stand for a member that both files hold, spelled in two ways, is said at each operation.
"""

from collections.abc import Iterator

from line_ads_pipeline.store.disk import Bytes
from line_ads_pipeline.store.overlap import end_of
from line_ads_pipeline.store.records import in_order, members, without


def difference(one: Iterator[bytes], other: Iterator[bytes], *, width: int) -> Iterator[Bytes]:
    """The records of one file whose members are not in the other, as they are; the other is read as far as needed.

    Args:
        one: Its blocks, of whole records.
        other: Those of the other.
        width: Of a record.
    """
    for left, right in _ranges(one, other, width=width):
        if left:
            yield without(left, right, width=width) if right else left


def union(one: Iterator[bytes], other: Iterator[bytes], *, width: int) -> Iterator[Bytes]:
    """The records of both files; of a member that both hold, the spelling with the smallest bytes.

    Args:
        one: Its blocks, of whole records.
        other: Those of the other.
        width: Of a record.
    """
    for left, right in _ranges(one, other, width=width):
        yield in_order(left + right, width=width) if left and right else left or right
    yield from other


def _ranges(one: Iterator[bytes], other: Iterator[bytes], *, width: int) -> Iterator[tuple[bytes, bytes]]:
    """Cut both files at the same members, up to the end of the first; what the second still holds then is left in it.

    Of two blocks, the one that ends first is used up, and from the other what is no further than its last member.
    """
    left = right = b""
    while left := left or next(one, b""):
        right = right or next(other, b"")
        if not right:
            yield left, b""
            left = b""
            continue
        last = min(members(left[-width:], width=width), members(right[-width:], width=width))
        left_end, right_end = (
            end_of(members(block, width=width), last, width=width) for block in (left, right)
        )
        yield left[:left_end], right[:right_end]
        left, right = left[left_end:], right[right_end:]
    if right:
        yield b"", right
