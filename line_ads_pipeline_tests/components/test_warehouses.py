"""An audience whose segment is in PostgreSQL: a server that goes away in the middle of a run."""

import hashlib
import threading

import pytest

from line_ads_pipeline.resources import WarehouseResource
from line_ads_pipeline.warehouse.adbc_database import AdbcLoan

ROWS = 400_000


@pytest.fixture
def in_postgresql(project, cluster):
    """The audience of a table of 400,000 customers; a server of the tests' own."""
    cluster.run(
        "DROP TABLE IF EXISTS customers",
        f"CREATE TABLE customers AS SELECT 'person' || n || '@example.com' AS email FROM generate_series(1, {ROWS}) n",
    )
    project.resources["warehouse"] = WarehouseResource(url=cluster.url, root=str(project.folder))
    yield project
    cluster.run("DROP TABLE customers")


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def files(project):
    """All that the store has of snapshots, finished or not."""
    return [
        path for path in (project.folder / "store").rglob("*") if path.is_file() and path.suffix != ".json"
    ]


def test_a_server_that_restarts_in_the_middle_of_a_read_fails_the_run_and_the_next_succeeds(
    in_postgresql, cluster, simulator, monkeypatch
):
    """The first batch has arrived when the server crashes; nothing of it is ever seen."""
    batches, crashed = AdbcLoan.batches, threading.Event()

    def crash_after_the_first(loan, select):
        for batch in batches(loan, select):
            yield batch
            if not crashed.is_set():
                cluster.stop(immediately=True)
                crashed.set()

    with monkeypatch.context() as patched:
        patched.setattr(AdbcLoan, "batches", crash_after_the_first)
        try:
            result = in_postgresql.run()
        finally:
            cluster.start()

    assert crashed.is_set()
    assert not result.success
    words = in_postgresql.failure(result)
    assert "vip: The connection to the warehouse was lost while" in words
    assert "run again" in words
    assert files(in_postgresql) == []
    assert simulator.audiences() == ()

    again = in_postgresql.run()

    assert again.success
    assert in_postgresql.metadata(again, "hashed_identifiers")["identifiers"] == ROWS
    members = in_postgresql.members()
    assert len(members) == ROWS
    assert sha256("person1@example.com") in members
