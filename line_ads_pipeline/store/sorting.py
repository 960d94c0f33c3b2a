"""From rows to one file in order: spread over parts that fit into memory, then sorted part by part."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import polars as pl

from line_ads_pipeline.store.disk import Bytes, WorkFile
from line_ads_pipeline.store.place import NewFile
from line_ads_pipeline.store.records import in_order, split, without

_BATCH_ROWS = 1 << 16


def spread(identified: pl.LazyFrame, parts: Sequence[WorkFile], *, width: int) -> dict[str, int]:
    """Stream identifiers into parts, by their members' leading bits.

    Args:
        identified: The columns `identifier`, binary, and `outcome`, an enum.
        parts: As many as `records.PARTS`.
        width: Of a record.

    Returns:
        The rows of each outcome.

    Raises:
        InvalidRecords: An identifier has another form.
        StoreUnavailable: A part cannot be written.
        TypeError: The lazy frame has other columns.
    """
    schema = identified.collect_schema()
    outcome = schema.get("outcome")
    if schema.get("identifier") != pl.Binary or not isinstance(outcome, pl.Enum):
        raise TypeError("a snapshot is made of a binary column identifier and an enum column outcome")
    counts = np.zeros(len(outcome.categories), dtype=np.int64)
    rows = identified.select("identifier", "outcome")
    for batch in rows.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=False, engine="streaming"):
        counts += np.bincount(batch["outcome"].to_physical().to_numpy(), minlength=len(counts))
        for part, records in split(batch["identifier"].drop_nulls(), width=width):
            parts[part].write(records)
    return dict(zip(outcome.categories, counts.tolist(), strict=True))


@dataclass(frozen=True)
class Merged:
    """What became of the records of all parts.

    Attributes:
        digest: SHA-256 of what was written, in hex.
        identifiers: Records there were.
        distinct: Of them.
        written: Of these, those that were not unwanted.
    """

    digest: str
    identifiers: int
    distinct: int
    written: int


def merge(
    parts: Sequence[WorkFile], file: NewFile, *, width: int, unwanted: Sequence[WorkFile] = ()
) -> Merged:
    """Write the distinct members of each part, in order, after those of the one before.

    Args:
        parts: In the order of their members.
        file: Written to its end, not published.
        width: Of a record.
        unwanted: Parts of the members that are left out, as many as `parts`, or none.

    Raises:
        StoreUnavailable: A part cannot be read, or the file not written.
    """
    digest = hashlib.sha256()
    identifiers = distinct = written = 0
    pairs = [(part, unwanted[number] if unwanted else None) for number, part in enumerate(parts)]
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="sort-ahead") as pool:
        ahead = pool.submit(_sorted_part, *pairs[0], width)
        for following in [*pairs[1:], None]:
            part = ahead.result()
            if following is not None:
                ahead = pool.submit(_sorted_part, *following, width)
            digest.update(part.wanted)
            file.write(part.wanted)
            identifiers += part.identifiers
            distinct += part.distinct
            written += len(part.wanted) // width
    return Merged(digest.hexdigest(), identifiers, distinct, written)


@dataclass(frozen=True)
class _SortedPart:
    identifiers: int
    distinct: int
    wanted: Bytes


def _sorted_part(part: WorkFile, unwanted: WorkFile | None, width: int) -> _SortedPart:
    records = part.read_back()
    members = in_order(records, width=width)
    wanted = members
    if unwanted is not None:
        wanted = without(members, in_order(unwanted.read_back(), width=width), width=width)
    return _SortedPart(len(records) // width, len(members) // width, wanted)
