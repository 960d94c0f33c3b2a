"""The same tests on both databases: a SQLite file, and a PostgreSQL server."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.coordination.engines import engine_for
from line_ads_pipeline_tests.postgresql import Cluster

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def postgresql_url(cluster: Cluster) -> Iterator[str]:
    """A database without any table."""
    cluster.run("DROP DATABASE IF EXISTS shared WITH (FORCE)", "CREATE DATABASE shared")
    yield cluster.url_of("shared")
    cluster.run("DROP DATABASE shared WITH (FORCE)")


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database that several processes can use."""
    if request.param == "SQLite":
        return f"sqlite:///{tmp_path}/shared/coordination.db"
    return request.getfixturevalue("postgresql_url")


class Worker:
    """A process that waits for `go`."""

    def __init__(self, url: str, task: str, argument: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, WORKER, url, task, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.complaints = ""

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def says(self) -> str:
        return self.process.stdout.readline().strip()

    def finish(self) -> str:
        """Wait for its end and give what it still printed; `complaints` are its warnings then."""
        printed, self.complaints = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, self.complaints
        return printed


@pytest.fixture
def workers() -> Iterator[Callable[..., list[Worker]]]:
    """Starts processes, and returns when all of them are ready to go."""
    started: list[Worker] = []

    def start(url: str, task: str, argument: str, *, count: int = 1) -> list[Worker]:
        fresh = [Worker(url, task, argument) for _ in range(count)]
        started.extend(fresh)
        assert [worker.says() for worker in fresh] == ["ready"] * count
        return fresh

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.communicate()


@pytest.fixture
def sql(url: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Runs a statement on the database behind the back of the code."""
    engine = engine_for(url, root=Path())

    def run(statement: str) -> list[tuple[Any, ...]]:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    yield run
    engine.dispose()


@pytest.fixture
def coordination(url: str) -> Iterator[Coordination]:
    """An impatient one, which never beats in the background."""
    with Coordination(url, poll=0.01, heartbeat=3600) as opened:
        yield opened
