"""The same tests on both databases: a SQLite file, and a PostgreSQL server of the test session's own."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.coordination.engines import engine_for

PASSWORD = "s3cret-pa55word"
WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server that listens on a socket in its own folder only."""

    folder: Path

    @property
    def url(self) -> str:
        return f"postgresql://tester:{PASSWORD}@/postgres?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        info = f"host={self.folder} user=tester password={PASSWORD} dbname={database}"
        with psycopg.connect(info, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs: in PATH, or where Debian has them, the newest first."""
    in_path = [Path(found).parent for found in [shutil.which("postgres")] if found]
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    complete = (path for path in [*in_path, *packaged] if (path / "initdb").exists())
    return next(complete, None)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A private server without durability, run by another user where the tests run as root."""
    programs = find_programs()
    if programs is None:
        reason = "PostgreSQL's initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    identity = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    server = None
    try:
        subprocess.run(
            [
                programs / "initdb",
                "--pgdata", folder / "data",
                "--username", "tester",
                "--pwfile", password_file,
                "--auth", "scram-sha-256",
                "--encoding", "UTF8",
                "--no-locale",
                "--no-sync",
            ],
            cwd=folder, check=True, capture_output=True, **identity,
        )  # fmt: skip
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "50",
            "autovacuum": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *options],
                cwd=folder,
                stdout=log,
                stderr=log,
                **identity,
            )
        cluster = Cluster(folder)
        _wait_until_it_answers(cluster, server)
        yield cluster
    finally:
        if server is not None:
            server.send_signal(signal.SIGINT)  # ends sessions and stops
            server.wait(timeout=30)
        shutil.rmtree(folder)


def _wait_until_it_answers(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        try:
            cluster.run("SELECT 1")
        except psycopg.OperationalError:
            assert server.poll() is None, (cluster.folder / "log").read_text()
            time.sleep(0.05)
        else:
            return
    pytest.fail("PostgreSQL does not answer")


@pytest.fixture
def postgresql_url(cluster: Cluster) -> Iterator[str]:
    """A database without any table."""
    cluster.run("DROP DATABASE IF EXISTS shared WITH (FORCE)", "CREATE DATABASE shared")
    yield cluster.url.replace("/postgres?", "/shared?")
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
