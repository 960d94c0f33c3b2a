"""People as numbers: the digests that stand for them, and snapshots of those."""

import hashlib
from collections.abc import Iterable

import polars as pl

from line_ads_pipeline.store import Snapshot, Store


def members_of(people: Iterable[int]) -> frozenset[str]:
    """The members that these people are."""
    return frozenset(hashlib.sha256(f"{person}@example.com".encode()).hexdigest() for person in people)


def snapshot_of(people: Iterable[int], *, store: Store, audience: str) -> Snapshot:
    """A snapshot of these people in a store."""
    digests = [bytes.fromhex(member) for member in members_of(people)]
    frame = pl.LazyFrame({"identifier": pl.Series(digests, dtype=pl.Binary)})
    outcome = pl.lit("hashed", dtype=pl.Enum(["hashed"]))
    snapshot, _ = store.write_snapshot(audience, frame.with_columns(outcome=outcome), record_width=32)
    return snapshot
