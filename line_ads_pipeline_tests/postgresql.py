"""A PostgreSQL server of the test session's own."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

PASSWORD = "s3cret-pa55word"


def find_programs() -> Path | None:
    """The folder of PostgreSQL's programs: in PATH, or where Debian has them, the newest first."""
    in_path = [Path(found).parent for found in [shutil.which("postgres")] if found]
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    complete = (path for path in [*in_path, *packaged] if (path / "initdb").exists())
    return next(complete, None)


@dataclass
class Cluster:
    """A PostgreSQL server that listens on a socket in its own folder only."""

    folder: Path
    programs: Path
    identity: Mapping[str, Any]
    server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str, *, user: str = "tester", password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@/{database}?host={self.folder}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements, each by itself, and give the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        info = f"host={self.folder} user=tester password={PASSWORD} dbname={database}"
        with psycopg.connect(info, autocommit=True) as connection:
            for statement in statements:
                result = connection.execute(statement)
                rows = result.fetchall() if result.description else []
        return rows

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "50",
            "autovacuum": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self.folder / "log").open("ab") as log:
            self.server = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self.identity,
            )
        for _ in range(600):
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                assert self.server.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
            else:
                return
        pytest.fail("PostgreSQL does not answer")

    def stop(self, *, immediately: bool = False) -> None:
        """End all sessions and the server; immediately, as a crash would."""
        if self.server is not None:
            self.server.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self.server.wait(timeout=30)
            self.server = None


@contextmanager
def private_cluster() -> Iterator[Cluster]:
    """A server without durability, run by another user where the tests run as root."""
    programs = find_programs()
    if programs is None:
        reason = "PostgreSQL's initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    cluster = Cluster(folder, programs, identity)
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
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder)
