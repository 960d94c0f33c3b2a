"""Columns of lists and of JSON in DuckDB: each element is a row, JSON is refused."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from line_ads_pipeline.warehouse import QuerySource, UnsupportedColumn


def described(warehouse, source, **options):
    return warehouse.describe(source, identifier_columns=["email"], **options)


def values(warehouse, source):
    with warehouse.reading():
        return warehouse.scan(source, "email").collect().to_series().to_list()


@pytest.mark.parametrize(
    ("sql", "kind", "expected"),
    [
        ("['a', '', NULL, 'B']", "VARCHAR[]", ["a", "", None, "B"]),
        ("[819012345678, 7]", "BIGINT[]", ["819012345678", "7"]),
        (
            "['0B3C3F6E-3A3F-4C55-9D0E-0C4B1F0A6D11'::UUID]",
            "UUID[]",
            ["0b3c3f6e-3a3f-4c55-9d0e-0c4b1f0a6d11"],
        ),
        ("['red'::ENUM('red', 'green')]", "ENUM[]", ["red"]),
        ("array_value('a', 'b')", "VARCHAR[2]", ["a", "b"]),
        ("[]::VARCHAR[]", "VARCHAR[]", [None]),
        ("NULL::VARCHAR[]", "VARCHAR[]", [None]),
    ],
)
def test_each_element_of_a_list_is_a_row_and_no_element_one_null(warehouse, sql, kind, expected):
    source = QuerySource(f"SELECT {sql} AS email UNION ALL SELECT NULL")
    found = described(warehouse, source, checksum=True)
    assert found.columns == (("email", kind),)
    assert sorted(values(warehouse, source), key=str) == sorted([*expected, None], key=str)
    assert (found.row_count, found.null_count) == (len(expected) + 1, expected.count(None) + 1)
    assert found.data_version == warehouse.version(source, identifier_columns=["email"], checksum=True)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("'{}'::JSON", "type JSON, .*select the text in it, such as profile->>'email' AS email"),
        ("{'mail': 'x'}", "type STRUCT.*select the text"),
        ("MAP {'mail': 'x'}", "type MAP.*select the text"),
        ("['{}'::JSON]", r"type JSON\[\], .*select the text"),
        ("[1.5::DOUBLE]", r"type DOUBLE\[\], .*BIGINT"),
        ("[['a']]", r"type VARCHAR\[\]\[\], .*one list per row"),
    ],
)
def test_what_cannot_hold_identifiers_is_refused_with_the_remedy(warehouse, sql, words):
    source = QuerySource(f"SELECT {sql} AS email")
    with pytest.raises(UnsupportedColumn, match=words):
        described(warehouse, source)
    with pytest.raises(UnsupportedColumn, match=words):
        warehouse.scan(source, "email")


def test_other_columns_of_such_a_table_are_read(warehouse):
    assert described(warehouse, QuerySource("SELECT 'x' AS email, '{}'::JSON AS profile")).row_count == 1


_READ = r"""
    import re, sys
    from pathlib import Path
    import polars as pl
    from line_ads_pipeline.warehouse import QuerySource, Warehouse
    source = QuerySource(
        "SELECT [repeat('x', 150) || i, repeat('y', 150) || i] AS email FROM range(%s) t(i)" % sys.argv[2]
    )
    with Warehouse("duckdb:///data/shop.duckdb", root=Path(sys.argv[1]), memory_limit="200MB") as warehouse:
        with warehouse.reading():
            frame = warehouse.scan(source, "email").select(pl.col("email").str.len_bytes().sum(), rows=pl.len())
            assert frame.collect(engine="streaming")["rows"].item() == 2 * int(sys.argv[2])
    print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.usefixtures("database")
def test_memory_does_not_grow_with_lists(tmp_path):
    """300 MB pass through in two million elements."""
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-W", "error", "-c", textwrap.dedent(_READ), str(tmp_path), str(rows)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for rows in (20_000, 1_000_000)
    ]
    assert peaks[1] - peaks[0] < 150 * 1024 * 1024
