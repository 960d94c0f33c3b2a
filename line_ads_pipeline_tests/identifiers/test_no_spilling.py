"""Polars writes to disk what waits in its blocking operators when memory is scarce: raw identifiers never wait there."""

import os
import subprocess
import sys

import polars as pl
import pytest

ROWS = 400_000

PLANS = {
    "sorted by Polars": 'warehouse.scan(FileSource(name), "raw").select(pl.col("raw").sort()).collect(engine="streaming")',
    "identified": (
        'Store(root / "store").write_snapshot('
        '"vip", identify(warehouse.scan(FileSource(name), "raw"), "raw", {rules}), record_width={rules}.record_width)'
    ),
}
PROGRAM = """
import sys
from pathlib import Path

import polars as pl

from line_ads_pipeline.identifiers import EmailRules, IfaRules, PhoneRules, identify
from line_ads_pipeline.store import Store
from line_ads_pipeline.warehouse import FileSource, Warehouse

root, name = Path(sys.argv[1]), sys.argv[2]
with Warehouse("duckdb:///absent.duckdb", root=root) as warehouse:
    {plan}
"""


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    root = tmp_path_factory.mktemp("segments")
    people = pl.DataFrame({"raw": pl.int_range(ROWS, eager=True)})
    number = pl.col("raw").cast(pl.String)
    people.select(raw=pl.lit("Person.") + number + "@Example.jp").write_parquet(root / "email.parquet")
    people.select(raw=pl.lit("+81 90-") + (pl.col("raw") + 10_000_000).cast(pl.String)).write_csv(
        root / "phone.csv"
    )
    people.select(raw=pl.lit("00000000-0000-4000-8000-") + number.str.zfill(12)).write_parquet(
        root / "ifa.parquet"
    )
    return root


def spills(root, name, plan):
    """What Polars logs of spilling, with hardly any memory to spend."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{plan}", plan), root, name],
        env=os.environ
        | {
            "POLARS_OOC_SPILL_DIR": str(root / "spilled"),
            "POLARS_OOC_MEMORY_BUDGET_MB": "1",
            "POLARS_OOC_SPILL_MIN_BYTES": "1",
            "POLARS_OOC_LOG_METRICS": "1",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in ended.stderr.splitlines() if "spill" in line]


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("email.parquet", "EmailRules()"),
        ("phone.csv", 'PhoneRules("JP")'),
        ("ifa.parquet", "IfaRules()"),
    ],
)
def test_nothing_is_spilled_on_the_way_to_the_snapshot(segments, name, rules):
    assert spills(segments, name, PLANS["identified"].replace("{rules}", rules)) == []


def test_a_blocking_operator_would_be_seen_to_spill(segments):
    assert spills(segments, "email.parquet", PLANS["sorted by Polars"])
