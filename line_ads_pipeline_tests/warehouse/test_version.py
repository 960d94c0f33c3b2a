"""The data version of a source, asked for without describing it."""

import os
import subprocess
import sys
import threading
from contextlib import suppress

import duckdb
import polars as pl
import pytest

from line_ads_pipeline.warehouse import (
    FileNotFound,
    FileSource,
    MissingColumn,
    QueryFailed,
    QuerySource,
    SegmentReadFailed,
    TableNotFound,
    TableSource,
    Warehouse,
    WarehouseBusy,
    WarehouseClosed,
    WarehouseNotFound,
    local_files,
)
from line_ads_pipeline.warehouse import connections as connections_module
from line_ads_pipeline.warehouse import (
    warehouse as warehouse_module,
)
from line_ads_pipeline.warehouse.duckdb_segment import DuckDBConnection, Loan
from line_ads_pipeline.warehouse.file_segment import find_files
from line_ads_pipeline.warehouse.turns import Turns

VIP = TableSource("marts.vip_customers")
VIP_QUERY = QuerySource("SELECT * FROM marts.vip_customers WHERE id < 3")
URL = "duckdb:///data/shop.duckdb"
IDENTIFIER = ["e-mail", "email"]


def version(warehouse, source, **options):
    return warehouse.version(source, identifier_columns=IDENTIFIER, **options)


def described(warehouse, source, **options):
    return warehouse.describe(source, identifier_columns=IDENTIFIER, **options).data_version


def values(*emails):
    """A query of one column; each value is SQL."""
    return QuerySource(f"SELECT * FROM (VALUES {', '.join(f'({email})' for email in emails)}) AS t(email)")


@pytest.fixture
def change(database):
    """Write to the database, which DuckDB refuses while anybody, here or elsewhere, has it open for reading."""

    def change(*statements):
        with duckdb.connect(str(database)) as connection:
            for statement in statements:
                connection.execute(statement)

    return change


@pytest.fixture
def day(root):
    """Two files of each kind in a folder."""
    (root / "day").mkdir()
    for name in ("a", "b"):
        frame = pl.DataFrame({"id": [1], "email": [f"{name}@example.jp"], "at": [20260101]})
        frame.write_parquet(root / f"day/{name}.parquet")
        frame.write_csv(root / f"day/{name}.csv")
    return root / "day"


class TestEqualToTheDescription:
    @pytest.mark.parametrize(
        "source",
        [VIP, VIP_QUERY, TableSource("vip"), TableSource("empty_table")],
        ids=["table", "query", "view", "empty table"],
    )
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"updated_at": "updated_at"},
            {"updated_at": "UPDATED_AT"},
            {"updated_at": "email"},
            {"checksum": True},
            {"updated_at": "updated_at", "checksum": True},
        ],
        ids=str,
    )
    def test_of_tables_and_queries(self, warehouse, change, source, options):
        change("CREATE VIEW vip AS SELECT * FROM marts.vip_customers")
        found = version(warehouse, source, **options)
        assert found == described(warehouse, source, **options)
        assert (found is None) is (options == {})

    @pytest.mark.parametrize("path", ["day/a.csv", "day/a.parquet", "day/*.csv", "day/*.parquet", "**/*.csv"])
    @pytest.mark.parametrize(
        "options", [{}, {"updated_at": "at"}, {"updated_at": "email"}, {"checksum": True}], ids=str
    )
    @pytest.mark.usefixtures("day")
    def test_of_files(self, files, path, options):
        found = version(files, FileSource(path), **options)
        assert found is not None
        assert found == described(files, FileSource(path), **options)

    def test_the_newest_time_is_in_utc_whatever_its_zone(self, warehouse):
        assert version(warehouse, VIP, updated_at="seen_at") == "2026-01-01 01:00:00/3"

    def test_the_newest_time_is_shown_and_of_nothing_there_is_none(self, warehouse):
        assert version(warehouse, VIP, updated_at="updated_at") == "2026-01-03 10:00:00/3"
        assert version(warehouse, TableSource("empty_table"), updated_at="updated_at") == "never/0"

    def test_a_checksum_has_no_effect_beside_updated_at_and_on_files(self, warehouse, files, day):
        both = version(warehouse, VIP, updated_at="updated_at", checksum=True)
        assert both == version(warehouse, VIP, updated_at="updated_at")
        path = FileSource(str(day / "a.csv"))
        assert version(files, path, checksum=True) == version(files, path)


class TestChanges:
    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO marts.vip_customers (id, updated_at) VALUES (4, '2026-02-01')",
            "INSERT INTO marts.vip_customers (id) VALUES (4)",
            "UPDATE marts.vip_customers SET updated_at = '2026-02-01' WHERE id = 1",
            "DELETE FROM marts.vip_customers WHERE id = 1",
            "DELETE FROM marts.vip_customers WHERE id = 2",
        ],
    )
    def test_updated_at_sees_newer_times_and_other_counts(self, warehouse, change, statement):
        before = version(warehouse, VIP, updated_at="updated_at")
        change(statement)
        assert version(warehouse, VIP, updated_at="updated_at") != before

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO marts.vip_customers (id, email) VALUES (4, 'bob@example.jp')",
            "INSERT INTO marts.vip_customers (id, email) VALUES (4, 'ann@example.jp')",
            "INSERT INTO marts.vip_customers (id) VALUES (4)",
            "UPDATE marts.vip_customers SET email = 'anne@example.jp' WHERE id = 1",
            "UPDATE marts.vip_customers SET email = 'Ann@example.jp' WHERE id = 1",
            "UPDATE marts.vip_customers SET email = NULL WHERE id = 2",
            "DELETE FROM marts.vip_customers WHERE id = 1",
            "DELETE FROM marts.vip_customers WHERE id = 3",
        ],
    )
    def test_a_checksum_sees_every_change_of_the_identifiers(self, warehouse, change, statement):
        before = version(warehouse, VIP, checksum=True)
        change(statement)
        assert version(warehouse, VIP, checksum=True) != before

    def test_a_checksum_sees_no_other_change(self, warehouse, change):
        before = version(warehouse, VIP, checksum=True)
        change(
            "UPDATE marts.vip_customers SET updated_at = '2026-02-01'", "CREATE TABLE more AS SELECT 1 AS x"
        )
        assert version(warehouse, VIP, checksum=True) == before

    def test_a_checksum_is_that_of_the_values_whatever_holds_them_in_whatever_order(self, warehouse, change):
        """Several row groups, compressed as strings, as a dictionary and as numbers, and read by several threads."""
        numbers = "SELECT 819010000000 + i AS email FROM range(300000) t(i)"
        change(
            f"CREATE TABLE forwards AS {numbers}",
            "CREATE TABLE backwards AS SELECT email::VARCHAR AS email FROM forwards ORDER BY email DESC",
            "CREATE TABLE coded AS SELECT (email % 9)::VARCHAR AS email FROM forwards",
            "CREATE TABLE uncoded AS SELECT email % 9 AS email FROM forwards ORDER BY email",
        )
        sources = [TableSource("forwards"), TableSource("backwards"), QuerySource(numbers)]
        assert len({version(warehouse, source, checksum=True) for source in sources}) == 1
        coded = {version(warehouse, TableSource(name), checksum=True) for name in ("coded", "uncoded")}
        assert len(coded) == 1

    def test_multisets_of_equal_size_that_an_exclusive_or_confuses_differ(self, warehouse):
        sets = [("'a'", "'a'", "'c'"), ("'b'", "'b'", "'c'"), ("'c'", "'c'", "'c'"), ("NULL", "NULL", "'c'")]
        sets += [("''", "''", "'c'"), ("'NULL'", "'NULL'", "'c'")]
        assert len({version(warehouse, values(*emails), checksum=True) for emails in sets}) == len(sets)

    @pytest.mark.parametrize("column", ["email VARCHAR COLLATE NOCASE", "email VARCHAR COLLATE NOACCENT"])
    def test_a_checksum_sees_what_the_collation_of_the_column_does_not(self, warehouse, change, column):
        change(f"CREATE TABLE told ({column})", "INSERT INTO told VALUES ('Á')")
        before = version(warehouse, TableSource("told"), checksum=True)
        change("UPDATE told SET email = 'a'")
        assert version(warehouse, TableSource("told"), checksum=True) != before

    def test_a_checksum_is_of_the_identifier_column_that_was_found(self, warehouse):
        ids = warehouse.version(VIP, identifier_columns=["idfa", "id"], checksum=True)
        assert ids == version(warehouse, values("1", "2", "3"), checksum=True)
        assert ids != version(warehouse, VIP, checksum=True)

    def test_a_checksum_of_one_identifier_is_32_hex_digits_that_do_not_show_it(self, warehouse):
        found = version(warehouse, values("'819012345678'"), checksum=True)
        with duckdb.connect() as connection:
            [(hashed,)] = connection.execute("SELECT hash('819012345678')").fetchall()
        assert len(bytes.fromhex(found)) == 16
        assert str(hashed) not in found
        assert f"{hashed:x}" not in found

    @pytest.mark.parametrize("path", ["day/*.csv", "day/*.parquet"])
    def test_files_are_told_by_names_sizes_and_times(self, files, day, path):
        kind = path.rpartition(".")[2]
        seen = [version(files, FileSource(path))]
        os.utime(day / f"a.{kind}", ns=(1, 1))
        seen.append(version(files, FileSource(path)))
        (day / f"a.{kind}").write_bytes(b"longer" * 1000)
        os.utime(day / f"a.{kind}", ns=(1, 1))
        seen.append(version(files, FileSource(path)))
        (day / f"a.{kind}").rename(day / f"c.{kind}")
        seen.append(version(files, FileSource(path)))
        (day / f"c.{kind}").unlink()
        seen.append(version(files, FileSource(path)))
        assert len(set(seen)) == 5

    def test_a_project_that_is_mounted_elsewhere_keeps_the_versions_of_its_files(self, root, day):
        moved = root / "moved"
        moved.mkdir()
        source, outside = FileSource("day/*.csv"), FileSource(str(root / "outside.csv"))
        (root / "outside.csv").write_text("email\n")
        with Warehouse(URL, root=root) as here:
            before = version(here, source)
            assert version(here, FileSource(f"{day}/*.csv")) == before
            far = version(here, outside)
        day.rename(moved / "day")
        with Warehouse(URL, root=moved) as there:
            assert version(there, source) == before
            assert version(there, outside) != far

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems allow only names that are Unicode")
    def test_a_name_that_is_no_unicode_has_a_version(self, files, root):
        name = os.fsdecode(b"caf\xe9.csv")
        (root / name).write_text("email\n")
        assert version(files, FileSource("*.csv"))


class TestCheapness:
    def test_without_a_marker_no_row_is_read(self, warehouse, change):
        change("CREATE VIEW failing AS SELECT error('read') AS email FROM marts.vip_customers")
        assert version(warehouse, TableSource("failing")) is None
        assert version(warehouse, QuerySource("SELECT error('read') AS email FROM plain")) is None

    def test_with_updated_at_no_identifier_is_read(self, warehouse, change):
        change(
            "CREATE VIEW failing AS SELECT error(id::VARCHAR) AS email, updated_at FROM marts.vip_customers"
        )
        assert version(warehouse, TableSource("failing"), updated_at="updated_at") == "2026-01-03 10:00:00/3"
        with pytest.raises(SegmentReadFailed):
            described(warehouse, TableSource("failing"), updated_at="updated_at")

    @pytest.mark.parametrize(
        ("options", "asked"),
        [({}, 0), ({"updated_at": "updated_at"}, 1), ({"checksum": True}, 1)],
        ids=str,
    )
    def test_one_query_at_most_is_over_the_data_the_others_are_of_the_catalogue(
        self, warehouse, monkeypatch, options, asked
    ):
        statements = []
        rows = Loan.rows
        monkeypatch.setattr(
            Loan, "rows", lambda loan, statement: statements.append(statement) or rows(loan, statement)
        )
        version(warehouse, VIP, **options)
        over_data = [each for each in statements if "vip_customers" in each and "DESCRIBE" not in each]
        assert len(over_data) == asked
        assert len(statements) == 3 + asked

    @pytest.mark.parametrize("name", ["people.csv", "people.parquet"])
    def test_a_file_is_not_opened_so_what_it_holds_does_not_matter(self, files, root, name):
        (root / name).write_bytes(b"\xff\x00;garbage\n" * 99)
        found = version(files, FileSource(name))
        with pytest.raises(SegmentReadFailed):
            described(files, FileSource(name))
        assert found == find_files(name, root=root).version


class TestErrors:
    @pytest.mark.parametrize(
        ("source", "options", "error", "words"),
        [
            (TableSource("marts.vip_customer"), {}, TableNotFound, r"marts\.vip_customer "),
            (TableSource("marts.vip_orders"), {}, MissingColumn, "e-mail, email in table marts.vip_orders"),
            (VIP, {"updated_at": "changed"}, MissingColumn, "'changed' in table"),
            (TableSource("marts.vip_orders"), {"checksum": True}, MissingColumn, "e-mail, email"),
            (QuerySource("SELECT email FROM nowhere"), {}, QueryFailed, "Catalog error at line 1, column 19"),
            (QuerySource("DROP TABLE plain"), {"checksum": True}, QueryFailed, "one SELECT"),
            (TableSource("stale"), {}, SegmentReadFailed, "Catalog error"),
            (FileSource("none.csv"), {}, FileNotFound, r"no file none\.csv"),
            (FileSource("*.parquet"), {}, FileNotFound, r"no file \*\.parquet"),
            (FileSource("data"), {}, FileNotFound, "is a folder"),
            (
                FileSource("x" * 300 + ".csv"),
                {},
                SegmentReadFailed,
                "cannot be looked at: File name too long",
            ),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_what_is_missing_is_the_same_error_as_of_the_description(
        self, warehouse, source, options, error, words
    ):
        for ask in (version, described):
            with pytest.raises(error, match=words) as raised:
                ask(warehouse, source, **options)
            assert raised.value.__context__ is None

    @pytest.mark.parametrize("path", ["day/a.csv", "day/*.parquet"])
    def test_a_file_that_goes_away_between_being_found_and_looked_at(self, files, day, monkeypatch, path):
        find = local_files._find

        def find_then_lose(path, *, root):
            found = find(path, root=root)
            for file in day.iterdir():
                file.unlink()
            return found

        monkeypatch.setattr(local_files, "_find", find_then_lose)
        with pytest.raises(FileNotFound, match=r"The file a\.\w+ went away .* Run again") as raised:
            version(files, FileSource(path))
        assert raised.value.__context__ is None

    def test_a_file_that_the_system_refuses_to_tell_of(self, root, monkeypatch):
        (root / "loop.csv").symlink_to("loop.csv")
        monkeypatch.setattr(local_files, "_find", lambda path, *, root: [root / path])
        with pytest.raises(SegmentReadFailed, match=r"loop\.csv cannot be looked at"):
            find_files("loop.csv", root=root)

    def test_a_database_that_is_not_there(self, files):
        with pytest.raises(WarehouseNotFound):
            version(files, VIP)

    @pytest.mark.parametrize("source", [VIP, FileSource("none.csv")], ids=["table", "file"])
    def test_outside_the_with_block(self, root, source):
        with pytest.raises(WarehouseClosed):
            version(Warehouse(URL, root=root), source)

    def test_while_another_process_writes(self, warehouse, database):
        script = "import duckdb, sys\nwith duckdb.connect(sys.argv[1]): print('open', flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", script, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout.readline() == b"open\n"
            with pytest.raises(WarehouseBusy, match=f"process {writer.pid}"):
                version(warehouse, VIP, updated_at="updated_at")
            writer.stdin.close()
        assert version(warehouse, VIP, updated_at="updated_at") == "2026-01-03 10:00:00/3"


class TestManyAtOnce:
    def test_one_thread_at_a_time_has_the_file_by_whatever_path(self, database, root, monkeypatch):
        (root / "other.duckdb").symlink_to(database)
        urls = [URL, f"duckdb:///{database}", "duckdb:///data/../data/shop.duckdb", "duckdb:///other.duckdb"]
        now, most = [], []
        open_database, close = connections_module.open_database, DuckDBConnection.close

        def opened(path, *, memory_limit):
            now.append(path)
            most.append(len(now))
            return open_database(path, memory_limit=memory_limit)

        def closed(connection):
            close(connection)
            now.pop()

        monkeypatch.setattr(connections_module, "open_database", opened)
        monkeypatch.setattr(DuckDBConnection, "close", closed)
        results = []

        def ask(number):
            # Another memory limit than that of an open connection is refused by DuckDB.
            with Warehouse(urls[number % 4], root=root, memory_limit=f"{500 + number}MB") as one:
                results.append(version(one, VIP, checksum=True))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 16
        assert len(set(results)) == 1
        assert most == [1] * 16

    def test_a_writer_gets_in_while_many_ask_again_and_again(self, database, root):
        """Where askers overlap, the file is never free: then this writer finds no gap within its minute."""
        done = threading.Event()

        def keep_asking():
            while not done.is_set():
                with Warehouse(URL, root=root) as one, suppress(WarehouseBusy):
                    version(one, VIP, updated_at="updated_at")

        threads = [threading.Thread(target=keep_asking) for _ in range(8)]
        for thread in threads:
            thread.start()
        script = """if True:
            import duckdb, sys, time
            deadline = time.monotonic() + 60
            while True:
                try:
                    with duckdb.connect(sys.argv[1]) as connection:
                        connection.execute("UPDATE marts.vip_customers SET updated_at = '2026-02-01'")
                    break
                except duckdb.IOException:
                    if time.monotonic() > deadline: raise
                    time.sleep(0.005)
        """
        try:
            written = subprocess.run([sys.executable, "-c", script, str(database)], check=False)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert written.returncode == 0
        with Warehouse(URL, root=root) as one:
            assert version(one, VIP, updated_at="updated_at") == "2026-02-01 00:00:00/3"

    @pytest.mark.parametrize(
        "source",
        [
            VIP,
            TableSource("nowhere"),
            QuerySource("SELECT error('read') AS email"),
            QuerySource("SELECT FROM WHERE"),
        ],
        ids=["answered", "no table", "a failing read", "no query"],
    )
    def test_a_writer_gets_in_after_the_answer_or_the_error_though_the_warehouse_is_open(
        self, warehouse, change, source
    ):
        kept = None
        try:
            version(warehouse, source, checksum=True)
        except (TableNotFound, SegmentReadFailed, QueryFailed) as error:
            kept = error
        change("CREATE TABLE written (email VARCHAR)")
        assert version(warehouse, TableSource("written"), checksum=True)
        assert (kept is None) is (source is VIP)

    def test_a_look_that_takes_too_long_is_ended(self, warehouse, change, monkeypatch):
        """Else it would go on in its thread, and keep the turn and the writer's lock."""
        monkeypatch.setattr(warehouse_module, "_VERSION_SECONDS", 0.5)
        endless = QuerySource(
            "SELECT count(*)::VARCHAR AS email FROM range(10_000_000_000) a, range(1_000_000) b"
        )
        with pytest.raises(SegmentReadFailed, match=r"within 0\.5 seconds\. Give it an updated_at") as raised:
            version(warehouse, endless, checksum=True)

        assert raised.value.__context__ is None
        change("CREATE TABLE written (email VARCHAR)")
        monkeypatch.setattr(warehouse_module, "_VERSION_SECONDS", 60.0)
        assert version(warehouse, TableSource("written"), checksum=True)

    def test_asking_leaves_what_the_warehouse_has_open_as_it_is(self, warehouse):
        frame = warehouse.scan(VIP, "email")
        version(warehouse, VIP, checksum=True)
        with warehouse.reading():
            assert frame.collect().height == 3


class TestTurns:
    @pytest.fixture
    def held(self, tmp_path):
        """Turns of which another thread has one."""
        turns, taken, done = Turns(), threading.Event(), threading.Event()

        def hold():
            with turns.at(tmp_path / "shop.duckdb"):
                taken.set()
                done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait()
        yield turns
        done.set()
        thread.join()

    def test_who_waits_too_long_is_told_so(self, held, tmp_path):
        with (
            pytest.raises(WarehouseBusy, match=r"shop\.duckdb was being asked .* for 0\.01 seconds"),
            held.at(tmp_path / "shop.duckdb", patience=0.01),
        ):
            pytest.fail("the file was had twice")

    def test_another_file_is_free(self, held, tmp_path):
        with held.at(tmp_path / "other.duckdb", patience=0.01):
            pass

    def test_an_exception_ends_the_turn(self, tmp_path):
        turns = Turns()
        with suppress(KeyError), turns.at(tmp_path):
            raise KeyError
        with turns.at(tmp_path, patience=0.01):
            pass
