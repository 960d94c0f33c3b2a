"""The section of the kinds of sources: all give the same people, and what is told of it."""

import psycopg
import pytest

from benchmarks import sources
from benchmarks.harness import MEBIBYTE, Measured, Stopwatch
from benchmarks.pipeline import hash_people
from benchmarks.transfer import discarding_line
from benchmarks.whole_run import whole_run
from line_ads_pipeline_tests.benchmarks.conftest import ROWS


@pytest.fixture
def places(people, cluster, s3, s3_server, tmp_path):  # noqa: ARG001 - s3 sets what reaches the server
    yield sources.fill(people("email"), tmp_path, postgresql=cluster.url, s3=s3_server)
    with psycopg.connect(cluster.url) as session:
        session.execute(f"DROP TABLE {sources.TABLE}")


def test_each_kind_of_source_has_the_same_people(places, people):
    expected = hash_people(Stopwatch(), "email", str(people("email")))
    for kind, place in places.items():
        assert sources.read(Stopwatch(), kind, place) == {"rows": ROWS}, kind
        assert sources.read_and_hash(Stopwatch(), kind, place)["rows"] > 0.9 * ROWS, kind
        found = sources.pipeline(Stopwatch(), kind, place)
        assert found == {name: expected[name] for name in ("members", "digest")}, kind


def test_a_whole_run_sends_them(places, people):
    expected = hash_people(Stopwatch(), "email", str(people("email")))
    with discarding_line() as base_url:
        found = whole_run(Stopwatch(), "duckdb:///none.duckdb", "path", places["Parquet"], base_url)
    assert found == {name: expected[name] for name in ("members", "digest")}


def test_ratios_and_peaks_are_told_with_their_goals():
    walls = {
        "the driver's read": 1,
        "read and SHA-256": 2,
        "read and a loop over hashlib": 6,
        "the pipeline": 3,
        "a whole run": 9,
    }
    measured = {
        f"{kind}: {what}": Measured(
            wall=wall + number, cpu=wall, startup_cpu=0, peak_bytes=(400 + number) * MEBIBYTE, found={}
        )
        for number, kind in enumerate(sources.KINDS)
        for what, wall in walls.items()
    }
    told = sources.told(measured, rows=1000)
    assert "**0.50** to **0.67** times as long as the driver's read of the column and hashlib's" in told
    assert "**1.20** to **1.50** times as long as the read and the vectorised SHA-256" in told
    assert "at most 2.5 is wanted" in told
    assert "at most **403** MiB (at most 512 is wanted)" in told
