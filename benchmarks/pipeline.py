"""The pipeline's own way from a Parquet file to a snapshot, as the asset `hashed_identifiers` goes it."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import polars as pl

from benchmarks.harness import Stopwatch
from benchmarks.people import Kind
from line_ads_pipeline.identifiers import EmailRules, IfaRules, PhoneRules, Rules, identify, new_threads
from line_ads_pipeline.store import Store
from line_ads_pipeline.warehouse import FileSource, Warehouse

RULES: Final[Mapping[Kind, Rules]] = MappingProxyType(
    {"email": EmailRules(), "phone": PhoneRules(default_country="JP"), "ifa": IfaRules()}
)


def hash_people(stopwatch: Stopwatch, kind: str, people: str) -> dict[str, Any]:
    """Contender: from a file of one column `kind` to a snapshot on disk; tells its members and its digest."""
    kind = cast("Kind", kind)
    rules = RULES[kind]
    with tempfile.TemporaryDirectory(dir=Path(people).parent) as folder:
        with stopwatch, new_threads() as threads, segment_of(people, kind) as segment:
            snapshot, tally = Store(folder).write_snapshot(
                "people", identify(segment, kind, rules, threads=threads), record_width=rules.record_width
            )
        return {"members": snapshot.count, "digest": snapshot.digest, "duplicates": tally.duplicates}


@contextmanager
def segment_of(people: str, column: Kind) -> Iterator[pl.LazyFrame]:
    """A file as the warehouse gives it, to be read within the `with` block."""
    with (
        Warehouse("duckdb:///no.duckdb", root=Path(people).parent) as warehouse,
        warehouse.reading(),
    ):
        yield warehouse.scan(FileSource(people), column)


def digest_of(members: pl.LazyFrame, folder: Path) -> str:
    """The digest of the snapshot that members would have, which are digests as bytes in a column `identifier`."""
    hashed = members.with_columns(outcome=pl.lit("hashed", dtype=pl.Enum(["hashed"])))
    return Store(folder).write_snapshot("members", hashed, record_width=32)[0].digest
