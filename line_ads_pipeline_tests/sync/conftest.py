"""A store with snapshots of made-up digests, and a synchroniser that never really waits."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace

import polars as pl
import pytest

from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.store import Snapshot, Store
from line_ads_pipeline.sync import AudienceRecords, Destination, Patience, Synchroniser

AUDIENCE = "vip"
DESTINATION = Destination(
    audience=AUDIENCE, ad_account_id="A10000000001", id_type="HASHED_EMAIL", audience_name="VIP customers"
)


@pytest.fixture
def members_of() -> Callable[[Iterable[int]], frozenset[str]]:
    """The members that a snapshot of these people stands for."""

    def digests(people: Iterable[int]) -> frozenset[str]:
        return frozenset(hashlib.sha256(f"{person}@example.com".encode()).hexdigest() for person in people)

    return digests


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def snapshot_of(store, members_of) -> Callable[[Iterable[int]], Snapshot]:
    def write(people: Iterable[int], *, into: Store = store) -> Snapshot:
        members = [bytes.fromhex(digest) for digest in members_of(people)]
        frame = pl.LazyFrame(
            {"identifier": pl.Series(members, dtype=pl.Binary)},
        ).with_columns(outcome=pl.lit("hashed", dtype=pl.Enum(["hashed"])))
        snapshot, _ = into.write_snapshot(AUDIENCE, frame, record_width=32)
        return snapshot

    return write


@pytest.fixture
def synchroniser(line_ads_client: LineAdsClient, store) -> Callable[..., Synchroniser]:
    """Makes a synchroniser; the keywords are its fields, or those of its destination or patience."""

    def make(**changes: object) -> Synchroniser:
        destination = {k: v for k, v in changes.items() if k in Destination.__dataclass_fields__}
        patience = {k: v for k, v in changes.items() if k in Patience.__dataclass_fields__}
        others = {k: v for k, v in changes.items() if k not in destination | patience}
        fields = {
            "client": line_ads_client,
            "records": AudienceRecords(store, AUDIENCE),
            "mode": "mirror",
            "max_records": 3,
        }
        return Synchroniser(
            **(fields | {"sleep": lambda _seconds: None} | others),
            destination=replace(DESTINATION, **destination),
            patience=Patience(**patience),
        )

    return make


@pytest.fixture
def sync(synchroniser, snapshot_of):
    def run(people=range(8), *, rows=None, partition="2026-11-21", recreate=False, **changes):
        snapshot = snapshot_of(people)
        return synchroniser(**changes).sync(
            snapshot,
            rows=len(people) if rows is None else rows,
            partition=partition,
            recreate_audience=recreate,
        )

    return run
