"""SQLite files as warehouses, in which each value has a type of its own."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import polars as pl
import pytest
from adbc_driver_manager import ProgrammingError

from line_ads_pipeline.warehouse import (
    QueryFailed,
    QuerySource,
    SegmentReadFailed,
    TableNotFound,
    TableSource,
    UnsupportedColumn,
    Warehouse,
    WarehouseError,
    WarehouseNotFound,
    WarehouseUnreadable,
)
from line_ads_pipeline.warehouse.adbc_database import AdbcDatabase, Session
from line_ads_pipeline.warehouse.sqlite import SQLite

ROWS = 50_000
PEOPLE = TableSource("people")


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "data" / "shop 100%.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("""
            CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, phone, updated_at TIMESTAMP, profile JSON);
            CREATE VIEW "odd "" na.me" AS SELECT email FROM people;
        """)
        rows = ((None, None, None, "{}") for _ in range(ROWS - 2))
        connection.executemany(
            "INSERT INTO people(email, phone, updated_at, profile) VALUES (?, ?, ?, ?)", rows
        )
        connection.execute("INSERT INTO people(email, updated_at) VALUES ('', '2026-01-03 10:00:00')")
        connection.execute("INSERT INTO people(email, phone) VALUES ('ann@example.jp', 819012345678.0)")
        connection.commit()
    return path


@pytest.fixture
def warehouse(database, tmp_path):
    with Warehouse(f"sqlite:///data/{database.name.replace('%', '%25')}", root=tmp_path) as warehouse:
        yield warehouse


def described(warehouse, source, column="email", **options):
    return warehouse.describe(source, identifier_columns=[column], **options)


def values(warehouse, source, column="email"):
    with warehouse.reading():
        return warehouse.scan(source, column).collect().to_series().to_list()


def test_it_counts_rows_and_nulls_apart_from_blanks(warehouse):
    found = described(warehouse, PEOPLE, updated_at="updated_at")
    assert (found.row_count, found.null_count) == (ROWS, ROWS - 2)
    assert found.data_version == f"2026-01-03 10:00:00/{ROWS}"
    assert found.columns == (
        ("id", "INTEGER"),
        ("email", "TEXT"),
        ("phone", "ANY"),
        ("updated_at", "TIMESTAMP"),
        ("profile", "JSON"),
    )


def test_values_that_come_after_many_nulls_are_read(warehouse):
    assert [value for value in values(warehouse, PEOPLE) if value is not None] == ["", "ann@example.jp"]
    assert values(warehouse, PEOPLE, "phone")[-1] == "819012345678"
    assert values(warehouse, TableSource('"odd "" na.me"'))[-1] == "ann@example.jp"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("819012345678", "819012345678"),
        ("819012345678.0", "819012345678"),
        ("8190123456.78", "(a number with a fraction)"),
        ("1e300", "(a number with a fraction)"),
        ("'0901'", "0901"),
        ("''", ""),
        ("NULL", None),
        (f"x'{'AB' * 32}'", "ab" * 32),
        ("x'30393031'", "(bytes that are no SHA-256)"),
        ("'顧客@example.jp'", "顧客@example.jp"),
    ],
)
def test_a_value_is_read_by_its_own_type(warehouse, sql, expected):
    source = QuerySource(f"SELECT 'x' AS email UNION ALL SELECT {sql} UNION ALL SELECT NULL")
    assert warehouse.scan(source, "email").collect_schema() == {"email": pl.String}
    assert values(warehouse, source) == ["x", expected, None]


@pytest.mark.parametrize("column", ["profile", "updated_at"])
def test_a_column_of_json_or_times_is_refused_with_the_remedy(warehouse, column):
    with pytest.raises(UnsupportedColumn, match=f"'{column}' of table people has the type"):
        described(warehouse, PEOPLE, column)
    with pytest.raises(UnsupportedColumn):
        warehouse.scan(PEOPLE, column)


def test_a_checksum_sees_every_change_of_the_identifiers_and_no_other(warehouse, database):
    def ask():
        return warehouse.version(PEOPLE, identifier_columns=["email"], checksum=True)

    before = ask()
    assert before == described(warehouse, PEOPLE, checksum=True).data_version
    seen = [before]
    for change in ("UPDATE people SET email = 'bob' WHERE email = ''", "DELETE FROM people WHERE id = 1"):
        write(database, change)
        seen.append(ask())
    assert len(set(seen)) == 3
    write(database, "UPDATE people SET phone = 7")
    assert ask() == seen[-1]


def write(database, statement):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement)
        connection.commit()


def test_all_that_an_open_warehouse_reads_is_of_one_moment(warehouse, database):
    write(database, "PRAGMA journal_mode = WAL")
    assert described(warehouse, PEOPLE).row_count == ROWS
    write(database, "DELETE FROM people")
    assert len(values(warehouse, PEOPLE)) == ROWS


def test_an_abandoned_read_keeps_no_writer_out(database, tmp_path):
    with Warehouse(
        f"sqlite:///{str(database).replace('%', '%25')}", root=tmp_path / "elsewhere"
    ) as warehouse:
        batches = iter(warehouse.scan(PEOPLE, "email").collect_batches(chunk_size=1000))
        assert next(batches).height > 0
    write(database, "DELETE FROM people")
    del batches


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS email; DROP TABLE people",
        "DROP TABLE people",
        "INSERT INTO people(email) VALUES ('x') RETURNING email",
        "WITH x AS (SELECT 1) DELETE FROM people RETURNING email",
        "SELECT 1 AS email) AS x; DELETE FROM people; SELECT * FROM (SELECT 1",
        "PRAGMA journal_mode",
        "ATTACH 'x.db' AS x",
        "SELECT emial FROM people",
        "SELECT 1 FROM nowhere",
        "SELECT :day AS email",
        "",
    ],
)
def test_anything_but_one_valid_select_is_refused(warehouse, query):
    with pytest.raises(WarehouseError):
        described(warehouse, QuerySource(query))
    assert described(warehouse, PEOPLE).row_count == ROWS


def test_the_run_date_is_text_as_sqlite_keeps_dates(warehouse):
    source = QuerySource("SELECT date(:run_date, '-1 day') AS email", "2026-03-01")
    assert values(warehouse, source) == ["2026-02-28"]
    with pytest.raises(QueryFailed, match="run date"):
        described(warehouse, QuerySource("SELECT :run_date AS email"))


@pytest.mark.parametrize("query", ["SELECT :rundate AS email", "SELECT 1 AS email WHERE 1 = ?"])
def test_a_parameter_that_is_none_is_told(warehouse, query):
    with pytest.raises(QueryFailed, match=":run_date is the run date"):
        described(warehouse, QuerySource(query, "2026-03-01"))


def test_a_session_that_comes_back_to_a_closed_database_is_closed(database):
    lender = AdbcDatabase(SQLite(database))
    late = Session(SQLite(database).connect(), SQLite(database))
    lender.close()
    lender.give_back(late, clean=True)
    with pytest.raises(ProgrammingError):
        late.rows("SELECT 1")


def test_a_file_that_is_not_there_is_not_created(tmp_path):
    with (
        Warehouse("sqlite:///none.db", root=tmp_path) as warehouse,
        pytest.raises(WarehouseNotFound, match=r"none\.db.*WAREHOUSE_URL"),
    ):
        described(warehouse, PEOPLE)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "bad.db").write_bytes(b"ann@example.jp" * 1000)
    with (
        Warehouse("sqlite:///bad.db", root=tmp_path) as warehouse,
        pytest.raises(WarehouseUnreadable) as raised,
    ):
        described(warehouse, PEOPLE)
    assert "example" not in str(raised.value)


def test_an_absent_table_is_named_with_those_there(warehouse):
    with pytest.raises(TableNotFound, match=r"peopel in .* are: people, "):
        described(warehouse, TableSource("peopel"))


def test_a_failing_read_quotes_nothing(warehouse):
    source = QuerySource("SELECT json_extract(email, '$.a') AS email FROM people WHERE email LIKE 'ann%'")
    for read in (lambda: values(warehouse, source), lambda: described(warehouse, source)):
        with pytest.raises(WarehouseError) as raised:
            read()
        assert "ann" not in str(raised.value)
        assert raised.value.__context__ is None
        assert isinstance(raised.value, SegmentReadFailed | WarehouseUnreadable)


def test_an_absent_driver_is_an_error_that_says_what_to_install(database):
    code = """if True:
        import sys
        from pathlib import Path
        sys.modules["adbc_driver_sqlite"] = sys.modules["adbc_driver_postgresql"] = None
        from line_ads_pipeline.warehouse import DriverMissing, TableSource, Warehouse
        for url in ("sqlite:///" + sys.argv[1].replace("%", "%25"), "postgresql://me:hunter2@127.0.0.1:1/x"):
            with Warehouse(url, root=Path()) as warehouse:
                try:
                    warehouse.describe(TableSource("people"), identifier_columns=["email"])
                except DriverMissing as error:
                    print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", code, str(database)], capture_output=True, text=True, check=True
    )
    assert 'pip install "line-ads-pipeline[sqlite]"' in done.stdout
    assert 'pip install "line-ads-pipeline[postgres]"' in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_drivers_are_imported_only_where_they_are_used():
    code = "import sys, line_ads_pipeline.warehouse; print([name for name in sys.modules if 'adbc' in name.split('.')[0]])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
