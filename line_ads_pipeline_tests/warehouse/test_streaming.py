"""A segment is read in batches, never held whole, never spilled."""

import gc
import subprocess
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from line_ads_pipeline.warehouse import FileSource, QuerySource, TableSource, Warehouse

PEOPLE = """
    SELECT i AS id, md5(i::VARCHAR) || '.' || md5((i + 7)::VARCHAR) || sha256(i::VARCHAR)[:26] || '@example.example.example.jp'
        AS email
    FROM range(200000) t(i)
"""
COPIES = 15
ROWS = 200_000 * COPIES
_MIB = 1024 * 1024
_ENOUGH = 420 * _MIB

_READ = r"""
    import re, sys
    from pathlib import Path
    import polars as pl
    from line_ads_pipeline.warehouse import FileSource, QuerySource, TableSource, Warehouse
    root, source, column = Path(sys.argv[1]), eval(sys.argv[2]), eval(sys.argv[3])
    with Warehouse("duckdb:///big.duckdb", root=root, memory_limit="100MB") as warehouse:
        found = warehouse.describe(source, identifier_columns=["email"])
        with warehouse.reading():
            frame = warehouse.scan(source, "email").select(column).collect(engine="streaming")
    size = frame.to_series().str.len_bytes().sum() if frame.height > 1 else frame.item()
    # Not ru_maxrss: a child begins with its parent's.
    print(found.row_count, size, int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A segment of 340 MiB in each kind of source, made of the same 23 MiB again and again."""
    root = tmp_path_factory.mktemp("big")
    with duckdb.connect(str(root / "big.duckdb"), config={"temp_directory": ""}) as connection:
        connection.execute(f"CREATE TABLE people AS {PEOPLE}")
        connection.execute(f"CREATE VIEW crowd AS SELECT email FROM people, range({COPIES})")
        for kind in ("parquet", "csv"):
            connection.execute(f"COPY people TO '{root / 'people0'}.{kind}'")
            for copy in range(1, COPIES):
                (root / f"people{copy}.{kind}").hardlink_to(root / f"people0.{kind}")
    return root


def peak_memory(root, source, column):
    """Read a source in a process of its own, which must leave no file and no warning; give its peak in bytes."""
    before = set(root.iterdir())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(_READ), str(root), source, column],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, size, peak = map(int, done.stdout.split())
    assert rows == ROWS
    assert size > 330 * _MIB
    assert done.stderr == ""
    assert set(root.iterdir()) == before
    return peak


on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")


@on_linux
@pytest.mark.parametrize(
    "source",
    [
        "TableSource('crowd')",
        "QuerySource('SELECT lower(email) AS email FROM crowd')",
        "FileSource('people*.csv')",
        "FileSource('people*.parquet')",
    ],
)
def test_a_read_takes_less_memory_than_the_segment(big, source):
    """The column has more than 330 MiB; the whole process with all its libraries stays near that."""
    assert peak_memory(big, source, "pl.col('email').str.len_bytes().sum()") < _ENOUGH


@on_linux
def test_a_segment_held_whole_would_not_pass_for_streamed(big):
    assert peak_memory(big, "TableSource('crowd')", "pl.col('email')") > _ENOUGH


def test_a_checksum_holds_no_rows(big):
    """340 MiB pass through a DuckDB that may hold 50."""
    with Warehouse("duckdb:///big.duckdb", root=big, memory_limit="50MB") as warehouse:
        assert warehouse.version(TableSource("crowd"), identifier_columns=["email"], checksum=True)


ENDLESS = QuerySource("SELECT i::VARCHAR AS email FROM range(1000000000000) t(i)")


@pytest.fixture
def endless(big):
    """A column that no machine could read to its end."""
    with Warehouse("duckdb:///big.duckdb", root=big) as warehouse:
        yield warehouse.scan(ENDLESS, "email")


def test_batches_arrive_while_the_source_is_read(endless):
    batches = iter(endless.collect_batches(chunk_size=1000))
    assert next(batches).height > 0
    assert next(batches).height > 0


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_a_cut_frame_ends_the_read(endless, engine):
    assert endless.head(200_000).collect(engine=engine).height == 200_000


def test_a_reader_abandoned_midway_is_cancelled_with_its_warehouse(big, capfd):
    """Other threads may be reading at that moment; nothing is printed, warned of, or left open."""
    for _ in range(5):
        with Warehouse("duckdb:///big.duckdb", root=big) as warehouse:
            readers = [
                iter(warehouse.scan(source, "email").collect_batches(chunk_size=1000))
                for source in (ENDLESS, TableSource("crowd"), FileSource("people*.csv"))
            ]
            assert all(next(reader).height for reader in readers)
        del readers
    gc.collect()
    with duckdb.connect(str(big / "big.duckdb")) as connection:
        connection.execute("CHECKPOINT")
    assert capfd.readouterr() == ("", "")
