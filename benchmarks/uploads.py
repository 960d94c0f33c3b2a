"""What safety costs an upload: the whole sync beside a script that sends the same chunks and remembers nothing."""

import argparse
import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from benchmarks.harness import MEBIBYTE, Stopwatch, race, table
from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator
from line_ads_pipeline.store import DIGEST_WIDTH, Snapshot, Store, Tally
from line_ads_pipeline.sync import AudienceRecords, Destination, Patience, Synchroniser, SyncRequest
from line_ads_pipeline.sync.manifest import plan_chunks

TITLE = "What safety costs an upload"

ACCOUNT = "A10000000001"
UNPACED = 1e6
SIZES = ((20, 50_000), (100, 100))
"""Chunks, and identifiers of each."""

SCRIPT = "a script without memory"
SYNC = "the sync"


def script(stopwatch: Stopwatch, base_url: str, chunks: str, rows: str) -> dict[str, int]:
    """List the audiences, then send each chunk and wait for its job: what a careful script does."""
    with _setting(base_url, int(chunks) * int(rows)) as (client, store, snapshot, sent), stopwatch:
        name = f"Script {secrets.token_hex(4)}"
        held = [audience.id for audience in client.list_audiences(ACCOUNT, name=name)]
        audience_id = held[0] if held else None
        for chunk in plan_chunks(
            snapshot.count, line_bytes=snapshot.line_bytes, mode="mirror", max_records=int(rows)
        ):
            with store.open_chunk("script", snapshot, offset=chunk.offset, count=chunk.count) as file:
                audience_id = client.upload(
                    ACCOUNT,
                    action=chunk.action,
                    id_type="HASHED_EMAIL",
                    file=file,
                    file_name=f"{chunk.number}.txt",
                    audience_id=audience_id,
                    name=None if audience_id else name,
                ).id
            while any(job.is_running for job in client.upload_jobs(ACCOUNT, audience_id)):
                time.sleep(0.01)
    return {"requests": sent.count}


def sync(stopwatch: Stopwatch, base_url: str, chunks: str, rows: str) -> dict[str, int]:
    """The same with manifest, leases, guardrails and confirmation; the second mirror of the audience."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Coordination(f"sqlite:///{Path(folder, 'coordination.sqlite')}") as coordination,
        _setting(base_url, int(chunks) * int(rows)) as (client, store, snapshot, sent),
    ):
        synchroniser = Synchroniser(
            client=client,
            records=AudienceRecords(store, "script"),
            destination=Destination(
                audience="script",
                ad_account_id=ACCOUNT,
                id_type="HASHED_EMAIL",
                audience_name=f"Sync {secrets.token_hex(4)}",
            ),
            coordination=coordination,
            mode="mirror",
            max_records=int(rows),
            patience=Patience(first_poll=0.01),
        )
        tally = Tally(rows=snapshot.count, outcomes={}, distinct=snapshot.count, duplicates=0)
        first, second = (
            SyncRequest(snapshot=snapshot, tally=tally, partition=partition)
            for partition in ("2026-11-20", "2026-11-21")
        )
        with synchroniser.alone(first.partition) as mine:
            mine.sync(first)
        sent.count = 0
        with stopwatch, synchroniser.alone(second.partition) as mine:
            mine.sync(second)
    return {"requests": sent.count}


class _Counter(logging.Handler):
    """Counts requests by the client's own log, which has a line for each."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.levelno == logging.INFO


@contextmanager
def _setting(base_url: str, count: int) -> Iterator[tuple[LineAdsClient, Store, Snapshot, _Counter]]:
    folder = Path(tempfile.mkdtemp())
    counter = _Counter()
    log = logging.getLogger("line_ads_pipeline.line_ads")
    log.setLevel(logging.INFO)
    log.addHandler(counter)
    try:
        store = Store(folder / "store")
        people = pl.LazyFrame(
            {"identifier": pl.Series([secrets.token_bytes(DIGEST_WIDTH) for _ in range(count)])}
        )
        snapshot, _ = store.write_snapshot(
            "script",
            people.with_columns(outcome=pl.lit("hashed", dtype=pl.Enum(["hashed"]))),
            record_width=DIGEST_WIDTH,
        )
        with LineAdsClient(
            access_key=DEMO_ACCESS_KEY,
            secret_key=DEMO_SECRET_KEY,
            base_url=base_url,
            requests_per_second=UNPACED,
        ) as client:
            yield client, store, snapshot, counter
    finally:
        shutil.rmtree(folder)


def run(options: argparse.Namespace) -> str:
    """Let both upload, and tell requests and times."""
    rows = []
    told = []
    for chunks, size in SIZES:
        with Simulator(job_seconds=0, requests_per_second_limit=None) as simulator:
            size_of = [simulator.base_url, str(chunks), str(size)]
            measured = race(
                {SCRIPT: ["script", *size_of], SYNC: ["sync", *size_of]},
                section="benchmarks.uploads",
                rounds=options.rounds,
            )
            assert not simulator.broken_rules, simulator.broken_rules[0]
        for name, taken in measured.items():
            rows.append(
                [
                    f"{chunks} chunks of {size:,}: {name}",
                    f"{taken.found['requests']:,}",
                    f"{taken.wall:.2f}",
                    f"{taken.cpu:.2f}",
                    f"{1000 * taken.wall / chunks:.1f}",
                    f"{taken.peak_bytes / MEBIBYTE:.0f}",
                ]
            )
        limit = chunks * 2 + 3
        assert measured[SYNC].found["requests"] <= limit, measured[SYNC].found
        told.append(
            f"{chunks} chunks cost {measured[SYNC].found['requests']} requests, at most {limit} are wanted, and "
            f"**{measured[SYNC].wall / measured[SCRIPT].wall:.2f}** times the script's time"
        )
    header = ["mirror of an audience", "requests", "wall s", "CPU s", "wall ms a chunk", "peak MiB"]
    return (
        f"{table(header, rows)}\n\n{'; '.join(told)}. Against the simulator in another process, whose jobs end at once; "
        "requests are not paced here, 8 a second are the default. The sync writes its manifest to disk at each step "
        "of a chunk and holds leases in SQLite; the script keeps nothing, and cannot go on after a crash."
    )
