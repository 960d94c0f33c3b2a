"""Which databases can be used, and what is said when one cannot."""

import logging
import sqlite3
import stat
import sys
import threading
import time
import traceback
from pathlib import Path
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from line_ads_pipeline.coordination import Coordination, CoordinationError, CoordinationUnavailable, LeaseHeld
from line_ads_pipeline.coordination.database import Database
from line_ads_pipeline.coordination.engines import _write_ahead


def assert_soon(condition) -> None:
    """The server notices a moment later that a connection was closed."""
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within ten seconds")


def use(url: str, **options) -> None:
    with Coordination(url, poll=0.01, **options) as coordination, coordination.lease("one"):
        pass


def all_of(error: BaseException) -> str:
    """What a log of the error shows."""
    assert error.__cause__ is None
    assert error.__context__ is None
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data/coordination.db",
        "sqlite://data/coordination.db",
        "sqlite:///file.db?mode=ro",
        "sqlite+aiosqlite:///file.db",
        "mysql://user:s3cret@host/database",
        "postgres://user:s3cret@host/database",
        "postgresql+psycopg2://user:s3cret@host/database",
        "postgresql://user:name@host:s3cret/database",
        "s3cret",
    ],
)
def test_another_url_is_an_error_that_says_what_to_write(url):
    with pytest.raises(
        CoordinationError, match=r"LINE_ADS_COORDINATION_URL must be sqlite:///.*postgresql://"
    ) as caught:
        Coordination(url)

    assert "cret" not in all_of(caught.value)


def test_a_missing_driver_is_an_error_that_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://user:s3cret@host/database"

    with pytest.raises(CoordinationError, match=r"pip install 'line-ads-pipeline\[postgres\]'") as caught:
        Coordination(url)
    assert "s3cret" not in all_of(caught.value)


def test_a_relative_path_starts_from_the_root_and_its_folder_is_private(tmp_path):
    use("sqlite:///some/folder/coordination.db", root=tmp_path)

    folder = tmp_path / "some" / "folder"
    assert (folder / "coordination.db").exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_absolute_path_stays_what_it_is(tmp_path):
    use(f"sqlite:///{tmp_path}/coordination.db", root=tmp_path / "elsewhere")

    assert [path.name for path in tmp_path.iterdir()] == ["coordination.db"]


def test_nothing_is_opened_before_the_first_use(tmp_path):
    with Coordination("sqlite:///folder/coordination.db", root=tmp_path):
        pass
    with Coordination("postgresql://user:s3cret@127.0.0.1:1/database"):
        pass

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_memory_is_shared_by_the_threads_of_a_process(url):
    inside = most = 0
    with Coordination(url, poll=0.001) as coordination:

        def enter() -> None:
            nonlocal inside, most
            for _ in range(3):
                with coordination.lease("one") as lease:
                    inside += 1
                    most = max(most, inside)
                    lease.renew()
                    inside -= 1

        threads = [threading.Thread(target=enter) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1


def test_a_file_that_is_no_database_is_an_error_that_says_so(tmp_path):
    (tmp_path / "notes.txt").write_text("no database " * 100)

    with pytest.raises(CoordinationUnavailable, match=r"file is not a database.*LINE_ADS_COORDINATION_URL"):
        use("sqlite:///notes.txt", root=tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path):
    (tmp_path / "notes.txt").write_text("no folder")

    with pytest.raises(
        CoordinationUnavailable, match=r"(Not a directory|File exists).*LINE_ADS_COORDINATION_URL"
    ):
        use("sqlite:///notes.txt/coordination.db", root=tmp_path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://user:s3cret@127.0.0.1:1/database", "Connection refused"),
        (
            "postgresql://user:s3cret@host.invalid/database",
            "failed to resolve host|could not translate host name",
        ),
        (
            "postgresql://user:one@s3cret.invalid/database",
            "failed to resolve host|could not translate host name",
        ),
        ("postgresql://user:s3cret@127.0.0.1/database?s3cret=1", "ProgrammingError"),
    ],
    ids=["nobody listens", "no such host", "a password with an at sign", "an unknown parameter"],
)
def test_a_server_that_cannot_be_reached_is_named_without_its_url(url, reason, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(CoordinationUnavailable, match=f"({reason}).*LINE_ADS_COORDINATION_URL") as caught:
        use(url)

    assert "s3cret" not in all_of(caught.value)
    assert caplog.text == ""


def test_a_wrong_password_is_said_but_not_shown(postgresql_url):
    url = postgresql_url.replace(":s3cret-pa55word@", ":s3cret-mistake@")

    with pytest.raises(CoordinationUnavailable, match="password authentication failed") as caught:
        use(url)
    assert "s3cret" not in all_of(caught.value)


def test_a_reader_of_the_database_is_told_that_it_must_write(postgresql_url, cluster):
    cluster.run("DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN PASSWORD 's3cret'")
    url = postgresql_url.replace("tester:s3cret-pa55word@", "reader:s3cret@")

    with pytest.raises(CoordinationUnavailable, match=r"permission denied, SQLSTATE 42501.*written to"):
        use(url)


def test_the_url_is_not_in_what_is_printed_of_it(postgresql_url):
    with Coordination(postgresql_url) as coordination:
        assert "s3cret" not in repr(coordination) + repr(coordination.pace("key", per_second=1))


def test_tables_that_were_dropped_are_made_again(url, sql):
    with Coordination(url, poll=0.01) as coordination:
        with coordination.lease("one"):
            pass
        sql("DROP TABLE line_ads_claims")

        with coordination.lease("one"):
            pass


@pytest.fixture
def connections(cluster):
    """Counts the connections that the server has of the users of the shared database."""

    def count() -> int:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shared'"
        with psycopg.connect(cluster.url) as connection:
            return connection.execute(query).fetchone()[0]

    return count


def test_a_server_keeps_no_connection_of_those_who_seldom_use_it(postgresql_url, connections, monkeypatch):
    monkeypatch.setattr("line_ads_pipeline.coordination.database._BUSY", -1)
    with Coordination(postgresql_url) as coordination, coordination.lease("one") as lease:
        lease.renew()
        assert_soon(lambda: connections() == 0)


def test_a_server_keeps_one_connection_of_those_who_use_it_often(postgresql_url, connections):
    with Coordination(postgresql_url) as coordination, coordination.lease("one") as lease:
        lease.renew()
        assert connections() == 1

    assert_soon(lambda: connections() == 0)


def test_a_sqlite_file_is_written_ahead_and_not_synced_at_each_commit(tmp_path):
    with Coordination("sqlite:///coordination.db", root=tmp_path) as coordination, coordination.lease("one"):
        with coordination._database._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 1

        with pytest.raises(LeaseHeld), coordination.lease("one", wait=False):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["coordination.db"]


def test_a_database_that_fails_is_tried_again_until_patience_ends(tmp_path):
    now, pauses = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    database = Database(
        "sqlite:///coordination.db", root=tmp_path, patience=2, pause=0.5, sleep=sleep, monotonic=lambda: now
    )
    database.read(lambda transaction: transaction.now)

    def fail(transaction) -> None:
        transaction.connection.exec_driver_sql("SELECT 1 FROM nowhere")

    with pytest.raises(CoordinationUnavailable, match="no such table: nowhere"):
        database.write(fail, lock="any")
    assert pauses == [0.5] * 4
    database.dispose()


def test_a_database_that_never_worked_is_not_tried_again(tmp_path):
    (tmp_path / "notes.txt").write_text("no database " * 100)
    database = Database("sqlite:///notes.txt", root=tmp_path, patience=60, sleep=pytest.fail)

    with pytest.raises(CoordinationUnavailable):
        database.read(lambda transaction: transaction.now)
    database.dispose()


def test_a_database_that_is_just_starting_is_tried_again_though_it_never_worked(tmp_path, monkeypatch):
    database = Database(
        "sqlite:///coordination.db", root=tmp_path, patience=60, sleep=lambda _: monkeypatch.undo()
    )

    def fail(*_, **__) -> None:
        raise OperationalError("SELECT", {}, Exception("FATAL: the database system is starting up"))

    monkeypatch.setattr(Database, "_transact", fail)

    assert database.read(lambda transaction: transaction.now) > 0
    database.dispose()


def test_writers_under_one_lock_take_turns(url, sql):
    sql("CREATE TABLE counted (number INTEGER)")
    sql("INSERT INTO counted VALUES (0)")

    def count_one_more(transaction) -> None:
        number = transaction.connection.execute(text("SELECT number FROM counted")).scalar_one()
        time.sleep(0.005)
        transaction.connection.execute(text(f"UPDATE counted SET number = {number + 1}"))

    def count() -> None:
        database = Database(url, root=Path(), patience=0)
        for _ in range(5):
            database.write(count_one_more, lock="counting")
        database.dispose()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sql("SELECT number FROM counted") == [(20,)]


def test_a_sqlite_file_whose_mode_another_process_changes_is_tried_again():
    """SQLite answers that at once, without regard to the timeout."""
    locked = sqlite3.OperationalError("database is locked")
    locked.sqlite_errorcode = sqlite3.SQLITE_BUSY
    answers = [locked, locked, [("wal",)]]
    statements = []

    class Connection:
        def execute(self, statement):
            statements.append(statement)
            answer = answers.pop(0) if answers else []
            if isinstance(answer, Exception):
                raise answer
            return Mock(fetchone=lambda: answer[0])

    _write_ahead(Connection(), None)

    assert statements == [*["PRAGMA journal_mode = WAL"] * 3, "PRAGMA synchronous = NORMAL"]
