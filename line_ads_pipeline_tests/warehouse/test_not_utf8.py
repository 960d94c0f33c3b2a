"""Text that is not UTF-8 fails a read cleanly, wherever it comes from: Polars would take it on trust."""

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_ads_pipeline.warehouse import SegmentReadFailed, TableSource, Warehouse
from line_ads_pipeline.warehouse.arrow_batches import frame_of

PLANTED = b"0903141592\xe3"


def text(values, kind=None):
    """Arrow's text of any bytes, which it does not look at."""
    data = pa.array(values, pa.binary_view() if kind == pa.string_view() else pa.binary())
    if kind == pa.large_string():
        data = data.cast(pa.large_binary())
    return pa.Array.from_buffers(kind or pa.string(), len(values), data.buffers())


WRONG = text([b"ann@example.jp", PLANTED])


@pytest.mark.parametrize(
    "column",
    [
        WRONG,
        text([b"ann@example.jp", PLANTED], pa.large_string()),
        text([b"a", PLANTED * 2], pa.string_view()),
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), WRONG),
        pa.ListArray.from_arrays([0, 1, 2], WRONG),
        pa.StructArray.from_arrays([WRONG], ["email"]),
    ],
    ids=lambda column: str(column.type).partition("<")[0],
)
def test_it_never_reaches_polars(column):
    with pytest.raises(UnicodeError) as raised:
        frame_of(pa.record_batch({"id": pa.array([1] * len(column)), "email": column}))
    assert str(raised.value) == "a value is not UTF-8"


def test_what_is_valid_reaches_polars_as_it_is():
    batch = pa.record_batch({"id": [1, None], "email": ["顧客@example.jp", None], "list": [["a"], None]})
    assert frame_of(batch).to_dict(as_series=False) == batch.to_pydict()


VALUES = st.lists(
    st.none()
    | st.lists(st.sampled_from([b"a", "\u00e9".encode(), b"\xe3", b"\x81", b"\x82"]), max_size=4).map(
        b"".join
    ),
    max_size=6,
)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
@given(values=VALUES, data=st.data())
def test_each_value_counts_by_itself_even_where_all_together_are_valid(kind, values, data):
    start, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(values))] * 2)))
    batch = pa.record_batch({"email": text(values, kind).slice(start, stop - start)})
    try:
        expected = [value if value is None else value.decode() for value in values[start:stop]]
    except UnicodeDecodeError:
        with pytest.raises(UnicodeError):
            frame_of(batch)
    else:
        assert frame_of(batch)["email"].to_list() == expected


@pytest.mark.parametrize(
    "ends",
    [
        pytest.param([0, 3, 1, 2, 5], id="backwards"),
        pytest.param([0, 2**31 - 1, -(2**31), -1, 5], id="once around all numbers"),
    ],
)
def test_values_that_end_before_they_begin_are_refused(ends):
    offsets = pa.py_buffer(np.array(ends, dtype=np.int32))
    column = pa.Array.from_buffers(pa.string(), 4, [None, offsets, pa.py_buffer(b"abcde")])
    with pytest.raises(pa.ArrowInvalid):
        frame_of(pa.record_batch({"email": column}))


READER = """
    import sys
    from pathlib import Path
    from line_ads_pipeline.warehouse import FileSource, SegmentReadFailed, TableSource, Warehouse
    url, path = sys.argv[1:]
    with Warehouse(url, root=Path.cwd()) as warehouse:
        source = FileSource(path) if path else TableSource("people")
        try:
            with warehouse.reading():
                frame = warehouse.scan(source, "email").collect()
            print(frame.to_series().str.len_chars().sum())
        except SegmentReadFailed as error:
            print(error, error.__context__)
"""


@pytest.fixture
def read(root):
    """Reads in a process of its own, which would not survive what is tested here."""

    def read(url, path=""):
        command = [sys.executable, "-c", textwrap.dedent(READER), url, path]
        done = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, check=False)
        assert b"0903141592" not in done.stdout + done.stderr
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    return read


@pytest.fixture
def sqlite(root):
    with closing(sqlite3.connect(root / "shop.db")) as connection:
        connection.execute("CREATE TABLE people (email TEXT, updated_at TEXT)")
        connection.execute(
            f"INSERT INTO people VALUES (CAST(x'{PLANTED.hex()}' AS TEXT), CAST(x'{PLANTED.hex()}' AS TEXT))"
        )
        connection.commit()
    return "sqlite:///shop.db"


@pytest.mark.usefixtures("sqlite")
def test_in_sqlite(read):
    assert "Reading table people failed: a value is not UTF-8" in read("sqlite:///shop.db")


def test_in_the_newest_value_of_sqlite(sqlite, root):
    with (
        Warehouse(sqlite, root=root) as warehouse,
        pytest.raises(SegmentReadFailed, match="not UTF-8") as raised,
    ):
        warehouse.version(TableSource("people"), identifier_columns=["email"], updated_at="updated_at")
    assert raised.value.__context__ is None


def test_in_parquet_of_an_object_store(read, root, put):
    pq.write_table(pa.table({"email": WRONG}), root / "people.parquet")
    path = put((root / "people.parquet").read_bytes(), "people.parquet")
    assert "people.parquet failed: a value is not UTF-8" in read("duckdb:///absent.duckdb", path)
    assert "people.parquet" in read("duckdb:///absent.duckdb", "people.parquet")
