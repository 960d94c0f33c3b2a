"""A store with snapshots of made-up digests, and a synchroniser that never really waits."""

import hashlib
import io
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import polars as pl
import pytest

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.store import IFA_WIDTH, Snapshot, Store, Tally
from line_ads_pipeline.sync import (
    AudienceRecords,
    Destination,
    Guardrails,
    Patience,
    Synchroniser,
    SyncRequest,
    SyncResult,
)

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
    """Writes the snapshot of these people, once: half of the time of these tests would else be spent on it."""
    written: dict[object, Snapshot] = {}

    def write(people: Iterable[int], *, into: Store = store, audience: str = AUDIENCE) -> Snapshot:
        kept = written.get((tuple(people), id(into), audience))
        if kept is not None and into.holds(audience, kept):
            return kept
        members = [bytes.fromhex(digest) for digest in members_of(people)]
        frame = pl.LazyFrame(
            {"identifier": pl.Series(members, dtype=pl.Binary)},
        ).with_columns(outcome=pl.lit("hashed", dtype=pl.Enum(["hashed"])))
        snapshot, _ = into.write_snapshot(audience, frame, record_width=32)
        written[tuple(people), id(into), audience] = snapshot
        return snapshot

    return write


@pytest.fixture
def ifas(store) -> Callable[..., Snapshot]:
    """Writes the snapshot of the mobile ad ids of these numbers."""

    def write(numbers: Iterable[int], *, spelled: Callable[[str], str] = str.lower) -> Snapshot:
        ids = [spelled(str(uuid.UUID(int=number << 120 | 0xABC))).encode() for number in numbers]
        frame = pl.LazyFrame({"identifier": pl.Series(ids, dtype=pl.Binary)})
        outcome = pl.lit("valid", dtype=pl.Enum(["valid"]))
        return store.write_snapshot(AUDIENCE, frame.with_columns(outcome=outcome), record_width=IFA_WIDTH)[0]

    return write


@pytest.fixture
def coordination() -> Iterator[Coordination]:
    with Coordination("sqlite://") as coordination:
        yield coordination


@pytest.fixture
def synchroniser(line_ads_client: LineAdsClient, store, coordination) -> Callable[..., Synchroniser]:
    """Makes a synchroniser; the keywords are its fields, or those of its destination, patience or guardrails.

    Without a word, no guardrail stops a mirror that shrinks.
    """

    def make(**changes: object) -> Synchroniser:
        parts = {
            part: {k: v for k, v in changes.items() if k in part.__dataclass_fields__}
            for part in (Destination, Patience, Guardrails)
        }
        others = {k: v for k, v in changes.items() if not any(k in part for part in parts.values())}
        fields = {
            "client": line_ads_client,
            "records": AudienceRecords(store, parts[Destination].get("audience", AUDIENCE)),
            "coordination": coordination,
            "mode": "mirror",
            "max_records": 3,
        }
        return Synchroniser(
            **(fields | {"sleep": lambda _seconds: None} | others),
            destination=replace(DESTINATION, **parts[Destination]),
            patience=Patience(**{"job_attempts": 1} | parts[Patience]),
            guardrails=Guardrails(**{"max_shrink": 1.0, "max_skipped": 1.0} | parts[Guardrails]),
        )

    return make


@pytest.fixture
def bring() -> Callable[..., SyncResult]:
    """Lets a synchroniser bring a snapshot to LINE, with the wishes of a run."""

    def run(synchroniser: Synchroniser, snapshot: Snapshot, *, partition, rows=None, **wishes) -> SyncResult:
        tally = Tally(
            rows=snapshot.count if rows is None else rows, outcomes={}, distinct=snapshot.count, duplicates=0
        )
        request = SyncRequest(snapshot=snapshot, tally=tally, partition=partition, **wishes)
        with synchroniser.alone(partition, rollback=request.rollback) as mine:
            return mine.sync(request)

    return run


@pytest.fixture
def sync(synchroniser, snapshot_of, bring):
    """Brings people to LINE: the keywords are wishes of the run, or what `synchroniser` takes."""

    def run(people=range(8), *, rows=None, partition="2026-11-21", **changes):
        wishes = {k: changes.pop(k) for k in list(changes) if k in SyncRequest.__dataclass_fields__}
        return bring(synchroniser(**changes), snapshot_of(people), partition=partition, rows=rows, **wishes)

    return run


@pytest.fixture
def prune(synchroniser) -> Callable[..., None]:
    """Removes the snapshots that nothing needs any more, as a run does at its end."""

    def run(current: Snapshot, **changes: object) -> None:
        with synchroniser(**changes).alone() as mine:
            mine.records.prune(current)

    return run


@pytest.fixture
def colleague(line_ads_client: LineAdsClient, members_of) -> Callable[..., str]:
    """Uploads beside the pipeline, to an audience of an id or to a new one of a name."""

    def upload(people, *, action="ADD", audience_id=None, name=None, file_name="colleague.txt") -> str:
        text = "".join(f"{member}\n" for member in sorted(members_of(people)))
        return line_ads_client.upload(
            DESTINATION.ad_account_id,
            action=action,
            id_type="HASHED_EMAIL",
            file=io.BytesIO(text.encode()),
            file_name=file_name,
            audience_id=audience_id,
            name=name,
        ).id

    return upload


@pytest.fixture
def sent(simulator) -> Callable[..., list[tuple[str, int]]]:
    """Action and rows of the uploads that took effect, after so many requests."""

    def uploads(*, after: int = 0) -> list[tuple[str, int]]:
        return [
            (request.action, request.row_count) for request in simulator.requests[after:] if request.job_id
        ]

    return uploads
