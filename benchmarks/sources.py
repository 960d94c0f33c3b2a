"""The same segment from each kind of source: the pipeline beside the bare read of the driver, and a whole run."""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import duckdb
import httpx
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
from adbc_driver_postgresql import dbapi

from benchmarks.emails import check_same
from benchmarks.harness import MEBIBYTE, Measured, Stopwatch, race, table
from benchmarks.people import write_people
from benchmarks.transfer import discarding_line
from line_ads_pipeline.identifiers import EmailRules, identify, new_threads
from line_ads_pipeline.identifiers.digests import sha256
from line_ads_pipeline.store import Store
from line_ads_pipeline.warehouse import FileSource, Source, TableSource, Warehouse
from line_ads_pipeline_tests.postgresql import private_cluster

TITLE = "Kinds of sources"

ROWS = 1_000_000
TABLE = "people"
BATCH_ROWS = 65_536
MOST_PEAK_MIB = 512
MOST_TIMES = 2.5

KINDS = ("DuckDB", "PostgreSQL", "Parquet", "Parquet in S3")
"""Of sources, as the arguments of contenders name them; beside them goes where the source is."""


def read(stopwatch: Stopwatch, kind: str, place: str) -> dict[str, int]:
    """The driver alone: the column in its batches, which are let go."""
    rows = 0
    with stopwatch:
        for batch in _batches(kind, place):
            rows += len(batch)
    return {"rows": rows}


def read_and_hash(stopwatch: Stopwatch, kind: str, place: str) -> dict[str, int]:
    """The driver, and the SHA-256 of each value as it is: nothing normalised, nothing kept."""
    sha256(pl.Series(["an import that a run makes before"]))
    rows = 0
    with stopwatch:
        for batch in _batches(kind, place):
            rows += len(sha256(batch.drop_nulls()))
    return {"rows": rows}


def read_and_loop(stopwatch: Stopwatch, kind: str, place: str) -> dict[str, int]:
    """The driver, and hashlib's SHA-256 of each value in a loop."""
    rows = 0
    with stopwatch:
        for batch in _batches(kind, place):
            rows += len([hashlib.sha256(value.encode()).digest() for value in batch.drop_nulls()])
    return {"rows": rows}


def pipeline(stopwatch: Stopwatch, kind: str, place: str) -> dict[str, Any]:
    """From the source to a snapshot, as `hashed_identifiers` goes it."""
    sha256(pl.Series(["an import that a run makes before"]))
    url, source = source_of(kind, place)
    rules = EmailRules()
    with tempfile.TemporaryDirectory() as folder, Warehouse(url, root=Path(folder)) as warehouse:
        with stopwatch, new_threads() as threads, warehouse.reading():
            snapshot, _ = Store(Path(folder, "store")).write_snapshot(
                "people",
                identify(warehouse.scan(source, "email"), "email", rules, threads=threads),
                record_width=rules.record_width,
            )
        return {"members": snapshot.count, "digest": snapshot.digest}


def source_of(kind: str, place: str) -> tuple[str, Source]:
    """The warehouse's URL and the source, as an audience file would have them."""
    match kind:
        case "DuckDB":
            return f"duckdb:///{place}", TableSource(TABLE)
        case "PostgreSQL":
            return place, TableSource(TABLE)
        case _:
            return "duckdb:///none.duckdb", FileSource(place)


def _batches(kind: str, place: str) -> Iterator[pl.Series]:
    """What the driver alone makes of the column, without anything of this project."""
    match kind:
        case "DuckDB":
            with duckdb.connect(place, read_only=True) as connection:
                query = f"SELECT email FROM {TABLE}"
                yield from map(_series, connection.sql(query).to_arrow_reader(BATCH_ROWS))
        case "PostgreSQL":
            with dbapi.connect(place) as connection, connection.cursor() as cursor:
                cursor.execute(f"SELECT email FROM {TABLE}")
                yield from map(_series, cursor.fetch_record_batch())
        case "Parquet":
            for frame in pl.scan_parquet(place).select("email").collect_batches(maintain_order=False):
                yield frame["email"]
        case _:
            url = urlsplit(place)
            store = pyarrow.fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], scheme="http")
            with store.open_input_file(url.netloc + url.path) as file, pq.ParquetFile(file) as parquet:
                yield from map(_series, parquet.iter_batches(BATCH_ROWS, columns=["email"]))


def _series(batch: pa.RecordBatch) -> pl.Series:
    return pl.Series(batch.column(0))


@contextmanager
def _places(people: Path, folder: Path) -> Iterator[dict[str, str]]:
    """The same people in a source of each kind; servers run as long as the `with` block."""
    with private_cluster() as cluster, _s3_server() as endpoint, patch.dict(os.environ, _reach(endpoint)):
        yield fill(people, folder, postgresql=cluster.url, s3=endpoint)


def fill(people: Path, folder: Path, *, postgresql: str, s3: str) -> dict[str, str]:
    """Bring people to a source of each kind, and tell where they are there.

    Args:
        people: A Parquet file with the column `email`.
        folder: For the DuckDB file.
        postgresql: The URL of a database.
        s3: The URL of an S3 server without authentication.
    """
    database = folder / "people.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM read_parquet('{people}')")
    with psycopg.connect(postgresql) as session, session.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (email text)")
        with cursor.copy(f"COPY {TABLE} FROM STDIN") as copy:
            for row in pl.read_parquet(people).iter_rows():
                copy.write_row(row)
    httpx.put(f"{s3}/benchmark").raise_for_status()
    httpx.put(f"{s3}/benchmark/people.parquet", content=people.read_bytes(), timeout=60).raise_for_status()
    places = (str(database), postgresql, str(people), "s3://benchmark/people.parquet")
    return dict(zip(KINDS, places, strict=True))


def _reach(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "made-up",
        "AWS_SECRET_ACCESS_KEY": "made-up",
    }


@contextmanager
def _s3_server() -> Iterator[str]:
    """An S3 server in a process of its own."""
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        try:
            yield found[0] if found else ""
        finally:
            server.kill()


def run(options: argparse.Namespace) -> str:
    """Measure each kind, and say it in Markdown.

    Raises:
        ValueError: Two kinds gave other members.
    """
    rows = min(options.rows, ROWS)
    people = write_people("email", options.folder, rows=rows)
    contenders: dict[str, list[str]] = {}
    with discarding_line() as base_url, _places(people, options.folder) as places:
        for kind, place in places.items():
            url, source = source_of(kind, place)
            named = ["table", TABLE] if isinstance(source, TableSource) else ["path", place]
            contenders |= {
                f"{kind}: the driver's read": ["read", kind, place],
                f"{kind}: read and SHA-256": ["read_and_hash", kind, place],
                f"{kind}: read and a loop over hashlib": ["read_and_loop", kind, place],
                f"{kind}: the pipeline": ["pipeline", kind, place],
                f"{kind}: a whole run": ["benchmarks.whole_run.whole_run", url, *named, base_url],
            }
        measured = race(contenders, section=__name__, rounds=options.rounds)
    check_same({name: one for name, one in measured.items() if "members" in one.found})
    return told(measured, rows=rows)


def told(measured: dict[str, Measured], *, rows: int) -> str:
    """The table, and how the pipeline compares with the reads."""
    lines = [
        [
            name,
            f"{one.wall:.2f}",
            f"{one.cpu:.2f}",
            f"{one.peak_bytes / MEBIBYTE:,.0f}",
            _times(measured, name),
        ]
        for name, one in measured.items()
    ]
    header = [f"{rows:,} e-mail addresses", "wall s", "CPU s", "peak MiB", "times read and SHA-256"]
    to_vectorised, to_loop = (
        [measured[f"{kind}: the pipeline"].wall / measured[f"{kind}: {contender}"].wall for kind in KINDS]
        for contender in ("read and SHA-256", "read and a loop over hashlib")
    )
    peaks = [measured[f"{kind}: a whole run"].peak_bytes / MEBIBYTE for kind in KINDS]
    return (
        f"{table(header, lines)}\n\nAll kinds give the same snapshot. From the source to the snapshot the pipeline takes "
        f"**{min(to_loop):.2f}** to **{max(to_loop):.2f}** times as long as the driver's read of the column and hashlib's "
        f"SHA-256 of each value as it is, and **{min(to_vectorised):.2f}** to **{max(to_vectorised):.2f}** times as long as "
        f"the read and the vectorised SHA-256 that it uses itself (at most {MOST_TIMES} is wanted); normalising, "
        "validating, de-duplicating and writing are the difference, on both cores as far as they are free. "
        "A whole run, Dagster, upload and all in one process, holds at most "
        f"**{max(peaks):,.0f}** MiB (at most {MOST_PEAK_MIB} is wanted). PostgreSQL and the S3 server run on the same "
        "cores."
    )


def _times(measured: dict[str, Measured], name: str) -> str:
    kind = name.partition(":")[0]
    return f"{measured[name].wall / measured[f'{kind}: read and SHA-256'].wall:.2f}"
