"""Immutable snapshots of identifiers, and the documents that point to them, in a folder or an object store."""

from line_ads_pipeline.store.ahead import ChunksAhead
from line_ads_pipeline.store.chunk import SnapshotChunk
from line_ads_pipeline.store.errors import (
    DocumentDamaged,
    InvalidName,
    InvalidRecords,
    SnapshotDamaged,
    SnapshotNotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from line_ads_pipeline.store.records import DIGEST_WIDTH, IFA_WIDTH
from line_ads_pipeline.store.snapshot import Snapshot, Tally
from line_ads_pipeline.store.store import Store

__all__ = [
    "DIGEST_WIDTH",
    "IFA_WIDTH",
    "ChunksAhead",
    "DocumentDamaged",
    "InvalidName",
    "InvalidRecords",
    "Snapshot",
    "SnapshotChunk",
    "SnapshotDamaged",
    "SnapshotNotFound",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "Tally",
]
