"""Reads of PostgreSQL: of one moment, streamed, ended at once, and whole or failed."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    QuerySource,
    SegmentReadFailed,
    TableSource,
    Warehouse,
    WarehouseBusy,
    WarehouseClosed,
    WarehouseConnectionLost,
    WarehouseUnreachable,
)
from line_ads_pipeline.warehouse import warehouse as warehouse_module

ROWS = 300_000
PEOPLE = TableSource("people")
ENDLESS = QuerySource("SELECT generate_series(1, 1000000000000)::text AS email")
SLEEPING = QuerySource("SELECT pg_sleep(600)::text AS email")


@pytest.fixture
def url(cluster):
    """A database that each test may write to."""
    cluster.run("DROP DATABASE IF EXISTS reads WITH (FORCE)", "CREATE DATABASE reads")
    cluster.run(
        f"CREATE TABLE people AS SELECT 'user' || i || '@example.jp' AS email FROM generate_series(1, {ROWS}) AS t(i)",
        "CREATE TABLE optouts AS SELECT email FROM people LIMIT 10",
        database="reads",
    )
    yield cluster.url_of("reads")
    assert connected(cluster) == 0
    cluster.run("DROP DATABASE reads WITH (FORCE)")


@pytest.fixture
def warehouse(url, tmp_path):
    with Warehouse(url, root=tmp_path) as warehouse:
        yield warehouse


def connected(cluster, *, patience=10.0):
    """How many sessions the pipeline has; a backend takes a moment to notice that its client is gone."""
    deadline = time.monotonic() + patience
    while True:
        [(count,)] = cluster.run(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'line-ads-pipeline'"
        )
        if count == 0 or time.monotonic() > deadline:
            return count
        time.sleep(0.02)


def described(warehouse, source):
    return warehouse.describe(source, identifier_columns=["email"])


def height(warehouse, source):
    with warehouse.reading():
        return warehouse.scan(source, "email").select(pl.len()).collect(engine="streaming").item()


def begun(warehouse, source=PEOPLE):
    """The batches of a read of which one has arrived."""
    batches = iter(warehouse.scan(source, "email").collect_batches(chunk_size=1000, maintain_order=True))
    assert next(batches).height > 0
    return batches


class TestOneMoment:
    def test_a_read_does_not_see_what_is_written_meanwhile(self, cluster, warehouse):
        batches = begun(warehouse)
        cluster.run(
            "DELETE FROM people WHERE email LIKE '%7@%'",
            "INSERT INTO people SELECT 'late@example.jp' FROM generate_series(1, 50000)",
            database="reads",
        )
        emails = pl.concat([pl.DataFrame({"email": []}, schema={"email": pl.String}), *batches])["email"]
        assert emails.n_unique() > ROWS - 200_000
        assert "late@example.jp" not in emails
        assert height(warehouse, PEOPLE) == ROWS

    def test_all_that_an_open_warehouse_reads_is_of_the_moment_it_first_read(
        self, cluster, warehouse, url, tmp_path
    ):
        assert described(warehouse, PEOPLE).row_count == ROWS
        cluster.run("DELETE FROM people", "DELETE FROM optouts", database="reads")
        assert height(warehouse, PEOPLE) == ROWS
        assert height(warehouse, TableSource("optouts")) == 10
        with Warehouse(url, root=tmp_path) as other:
            assert described(other, PEOPLE).row_count == 0
        assert warehouse.version(PEOPLE, identifier_columns=["email"], updated_at="email").endswith("/0")

    def test_reads_at_the_same_time_do_not_wait_for_each_other(self, warehouse):
        first = begun(warehouse, ENDLESS)
        frames = [warehouse.scan(PEOPLE, "email").select(pl.len()) for _ in range(3)]
        assert [frame.item() for frame in pl.collect_all(frames)] == [ROWS] * 3
        assert next(first).height > 0

    def test_reads_after_each_other_share_a_connection(self, cluster, warehouse):
        for _ in range(5):
            assert height(warehouse, PEOPLE) == ROWS
            described(warehouse, PEOPLE)
        assert connected(cluster, patience=0) == 2


class TestEnding:
    @pytest.mark.parametrize("source", [ENDLESS, PEOPLE], ids=["endless", "table"])
    def test_an_abandoned_read_ends_with_its_warehouse(self, cluster, url, tmp_path, source, capfd):
        for _ in range(3):
            with Warehouse(url, root=tmp_path) as warehouse:
                batches = begun(warehouse, source)
            assert connected(cluster) == 0
            del batches
        gc.collect()
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("engine", ["streaming", "in-memory"])
    def test_a_cut_frame_ends_the_read(self, warehouse, engine):
        with warehouse.reading():
            assert warehouse.scan(ENDLESS, "email").head(200_000).collect(engine=engine).height == 200_000
        assert described(warehouse, PEOPLE).row_count == ROWS

    @pytest.mark.parametrize(
        "read",
        [
            lambda warehouse: described(warehouse, SLEEPING),
            lambda warehouse: warehouse.scan(SLEEPING, "email").collect(),
        ],
        ids=["describe", "collect"],
    )
    def test_a_read_is_ended_from_another_thread(self, cluster, url, tmp_path, read):
        warehouse = Warehouse(url, root=tmp_path)
        ends = threading.Timer(1.0, warehouse.__exit__, (None, None, None))
        with warehouse:
            ends.start()
            with pytest.raises(WarehouseClosed), warehouse.reading():
                read(warehouse)
        ends.join()
        assert connected(cluster) == 0

    def test_a_frame_outside_its_with_block_is_refused(self, url, tmp_path):
        with Warehouse(url, root=tmp_path) as warehouse:
            frame = warehouse.scan(PEOPLE, "email")
        with pytest.raises(WarehouseClosed), warehouse.reading():
            frame.collect()

    def test_a_question_for_the_version_that_takes_too_long_is_ended(self, cluster, warehouse, monkeypatch):
        monkeypatch.setattr(warehouse_module, "_VERSION_SECONDS", 0.5)
        with pytest.raises(SegmentReadFailed, match=r"within 0\.5 seconds\. Give it an updated_at") as raised:
            warehouse.version(SLEEPING, identifier_columns=["email"], checksum=True)
        assert raised.value.__context__ is None
        assert connected(cluster) == 0

    def test_connections_are_closed_after_the_version(self, cluster, warehouse):
        assert warehouse.version(PEOPLE, identifier_columns=["email"], checksum=True)
        assert connected(cluster) == 0


class TestLosing:
    @pytest.mark.parametrize("immediately", [True, False], ids=["crash", "shutdown"])
    def test_a_restart_fails_the_read_and_another_one_is_whole(self, cluster, url, tmp_path, immediately):
        with Warehouse(url, root=tmp_path) as warehouse:
            batches = begun(warehouse, ENDLESS)
            cluster.stop(immediately=immediately)
            try:
                with pytest.raises(
                    WarehouseConnectionLost, match=r"lost while the query was read.*run again"
                ) as raised:
                    for _ in batches:
                        pass
                with pytest.raises(WarehouseConnectionLost, match="between two reads"):
                    described(warehouse, TableSource("people"))
                with (
                    Warehouse(url, root=tmp_path) as other,
                    pytest.raises(WarehouseUnreachable, match="the server runs"),
                ):
                    described(other, PEOPLE)
            finally:
                cluster.start()
            with pytest.raises(WarehouseConnectionLost):
                described(warehouse, PEOPLE)
        assert raised.value.__context__ is None
        with Warehouse(url, root=tmp_path) as warehouse:
            assert height(warehouse, PEOPLE) == ROWS

    def test_a_session_that_is_ended_fails_the_read(self, cluster, warehouse):
        batches = begun(warehouse, ENDLESS)
        cluster.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'line-ads-pipeline'"
        )
        with pytest.raises(WarehouseConnectionLost, match="lost while the query was read"):
            for _ in batches:
                pass

    @pytest.mark.usefixtures("url")
    def test_a_server_that_takes_no_more_connections(self, cluster, tmp_path):
        cluster.run("CREATE ROLE single LOGIN PASSWORD 'single-pass' CONNECTION LIMIT 1")
        single = cluster.url_of("reads", user="single", password="single-pass")
        with (
            Warehouse(single, root=tmp_path) as warehouse,
            pytest.raises(WarehouseBusy, match="no more connections"),
        ):
            described(warehouse, PEOPLE)
        cluster.run("DROP ROLE single")


_READ = r"""
    import re, sys
    from pathlib import Path
    import polars as pl
    from line_ads_pipeline.warehouse import QuerySource, Warehouse
    query = "SELECT repeat('x', 300) || generate_series(1, %d) AS email"
    arrays = "SELECT ARRAY[repeat('x', 150), repeat('y', 150) || generate_series(1, %d)] AS email"
    column = eval(sys.argv[2])
    with Warehouse(sys.argv[1], root=Path()) as warehouse:
        with warehouse.reading():
            for source in (query, arrays):
                frame = warehouse.scan(QuerySource(source % int(sys.argv[3])), "email").select(column)
                size = frame.collect(engine="streaming").to_series().sum()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024)
"""


def peak_memory(url, rows):
    """The peak of a process, in bytes, that reads rows of 300 bytes; it must leave no warning."""
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            textwrap.dedent(_READ),
            url,
            "pl.col('email').str.len_bytes()",
            str(rows),
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "_ADBC_DRIVER_MANAGER_WARN_UNCLOSED_RESOURCE": "1"},
    )
    assert done.stderr == ""
    return int(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_rows(url):
    """180 MB pass through; held whole they would show."""
    assert peak_memory(url, 300_000) - peak_memory(url, 20_000) < 80 * 1024 * 1024
