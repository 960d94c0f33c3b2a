"""The real command in a process of its own, with everything it may write below one folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from line_ads_pipeline.simulator import Simulator

REPOSITORY = Path(__file__).parents[3]
ACCESS_KEY = "access-key-of-a-test"
# Half a day from the next tick, so that the newest run date does not change while a test runs.
LAST_TICK = datetime.now(UTC) - timedelta(hours=12)
RUN_DATE = LAST_TICK.date().isoformat()
LONGEST_WAIT = 300.0

DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from line_ads_pipeline.components import load_audiences


@dg.definitions
def defs():
    return load_audiences(Path(__file__).parent)
"""
RESOURCES = """\
import dagster as dg

from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

{code}

@dg.definitions
def resources():
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={{
            "line_ads": LineAdsResource(
                access_key=dg.EnvVar("LINE_ADS_ACCESS_KEY"),
                secret_key=dg.EnvVar("LINE_ADS_SECRET_KEY"),
                base_url=dg.EnvVar("LINE_ADS_BASE_URL"),
                retry_seconds=0,
                first_poll_seconds=0.05,
                slowest_poll_seconds=0.5,
                settle_seconds=0,
                coordination_url=dg.EnvVar("LINE_ADS_COORDINATION_URL"),
            ),
            "warehouse": {warehouse}(url=dg.EnvVar("WAREHOUSE_URL"), root=dg.EnvVar("SEGMENTS")),
            "snapshots": SnapshotStoreResource(location=dg.EnvVar("LINE_ADS_STORE")),
        }},
    )
"""
# Every library's debug messages in the event log: more than anybody should keep.
TALKATIVE_INSTANCE = """\
telemetry: {enabled: false}
python_logs:
  managed_python_loggers: [root]
  python_log_level: DEBUG
"""


@dataclass(frozen=True)
class Command:
    """A command that was started."""

    process: subprocess.Popen[bytes]
    outputs: tuple[Path, Path]

    def finish(self) -> tuple[int, str]:
        """Wait for its end; its exit code and everything it printed."""
        try:
            code = self.process.wait(LONGEST_WAIT)
        finally:
            self._kill()
        return code, self._printed()

    def kill_when(self, happened: Callable[[], bool]) -> None:
        """Kill it, and what it started, with a signal that it cannot handle, once something has happened."""
        give_up = time.monotonic() + LONGEST_WAIT
        try:
            while not happened():
                assert self.process.poll() is None, self._printed()[-5000:]
                assert time.monotonic() < give_up, self._printed()[-5000:]
                time.sleep(0.02)
        finally:
            self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _printed(self) -> str:
        """The output, and what Dagster captured of it: it copies a step's output to its own only as time allows."""
        folder = self.outputs[0].parent
        captured = [file for kind in ("*.out", "*.err") for file in sorted(folder.rglob(kind))]
        return "".join(
            file.read_text(encoding="utf-8", errors="replace") for file in (*self.outputs, *captured)
        )


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A warehouse, a project and the folders that a run may write to.

    Attributes:
        root: Of everything.
        simulator: What the run takes for LINE.
        secret_key: What the run signs with.
        access_key: What it signs as.
        environment: What is set besides, or otherwise.
    """

    root: Path
    simulator: Simulator
    secret_key: str
    access_key: str = ACCESS_KEY
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> Path:
        """Where the raw people are: the warehouse's file and other segments."""
        return self.root / "inputs"

    @property
    def left(self) -> Path:
        """What is searched: all that a run may write to."""
        return self.root / "left"

    @property
    def store(self) -> Path:
        """The one place for hashes."""
        return self.left / "store"

    @property
    def coordination(self) -> Path:
        """The database of leases and of the request rate."""
        return self.left / "data" / "coordination.sqlite"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.inputs / "warehouse.duckdb"

    @cached_property
    def listing(self) -> set[str]:
        """The names of the inputs, before the first run."""
        return {file.name for file in self.inputs.iterdir()}

    def project(
        self, *, code: str = "", warehouse: str = "WarehouseResource", assets: str = "", **audiences: Any
    ) -> None:
        """Write the Dagster project `shop` with one audience for each keyword.

        Args:
            code: Python code before its resources.
            warehouse: The class of its warehouse resource.
            assets: Python code of further assets.
            audiences: `source`, `identifier`, and what differs in `destination`.
        """
        root = self.root / "project" / "shop"
        (root / "defs").mkdir(parents=True)
        (root / "__init__.py").touch()
        (root / "pyproject.toml").write_text(
            '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shop"\n'
        )
        (root / "definitions.py").write_text(DEFINITIONS)
        (root / "defs" / "resources.py").write_text(RESOURCES.format(code=code, warehouse=warehouse))
        (root / "defs" / "further_assets.py").write_text(assets)
        for name, audience in audiences.items():
            folder = root / "defs" / "audiences" / name
            folder.mkdir(parents=True)
            attributes = {
                "name": name,
                "source": audience["source"],
                "identifier": audience.get("identifier", {"type": "email"}),
                "destination": {"ad_account_id": "A10000000001", "audience_name": name}
                | audience.get("destination", {}),
                "run_frequency": {"time_of_day": f"{LAST_TICK:%H:%M}"},
            }
            document = {"type": "line_ads_pipeline.components.LineAudience", "attributes": attributes}
            (folder / "defs.yaml").write_text(yaml.safe_dump(document, allow_unicode=True))
        (self.left / "dagster_home" / "dagster.yaml").write_text(TALKATIVE_INSTANCE)

    def start(
        self,
        *audiences: str,
        module: str = "shop.definitions",
        partition: str = RUN_DATE,
        also: str = "",
        config: Mapping[str, Any] | None = None,
    ) -> Command:
        """Start `dagster asset materialize` of audiences up to LINE.

        Args:
            audiences: Their names.
            module: The code location; the project's by default.
            partition: The run date.
            also: What to select besides.
            config: Run config.
        """
        assert self.listing
        selected = [f'+key:"{name}/line_custom_audience"' for name in audiences]
        arguments = ["--select", " or ".join([*selected, also] if also else selected)]
        arguments += ["--partition", partition, "-m", module]
        arguments += ["--config-json", json.dumps(config)] if config else []
        outputs = self.left / "stdout", self.left / "stderr"
        with outputs[0].open("ab") as stdout, outputs[1].open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "dagster", "asset", "materialize", *arguments],
                cwd=self.left / "working_directory",
                env=self._environment(),
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return Command(process, outputs)

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return inherited | {
            "HOME": str(self.left / "home"),
            "TMPDIR": str(self.left / "tmp"),
            "DAGSTER_HOME": str(self.left / "dagster_home"),
            "LINE_ADS_STORE": str(self.store),
            "LINE_ADS_BASE_URL": self.simulator.base_url,
            "LINE_ADS_ACCESS_KEY": ACCESS_KEY,
            "LINE_ADS_SECRET_KEY": self.secret_key,
            "LINE_ADS_COORDINATION_URL": f"sqlite:///{self.coordination}",
            "WAREHOUSE_URL": f"duckdb:///{self.warehouse}",
            "SEGMENTS": str(self.inputs),
            "PYTHONPATH": str(self.root / "project"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.environment,
        }


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory, secret_key) -> Callable[..., Any]:
    """Makes the surroundings of one run; the simulator knows the secret key unless another is given."""

    @contextmanager
    def make(**simulated: Any) -> Iterator[Surroundings]:
        root = tmp_path_factory.mktemp("run")
        for folder in (
            "inputs",
            "project",
            "left/home",
            "left/tmp",
            "left/dagster_home",
            "left/working_directory",
        ):
            (root / folder).mkdir(parents=True)
        shutil.copy(REPOSITORY / "dagster.yaml", root / "left" / "dagster_home")
        settings = {"access_key": ACCESS_KEY, "secret_key": secret_key, "requests_per_second_limit": None}
        with Simulator(**(settings | simulated)) as simulator:
            yield Surroundings(root=root, simulator=simulator, secret_key=secret_key)

    return make


@pytest.fixture(scope="module")
def fill() -> Callable[..., None]:
    """Makes a database: a table of one text column `value` for each keyword, then statements of SQL."""

    def run(database: Path, *statements: str, **columns: Any) -> None:
        with closing(duckdb.connect(str(database))) as connection:
            for name, values in columns.items():
                connection.execute(f"CREATE TABLE {name} (value VARCHAR)")
                connection.executemany(f"INSERT INTO {name} VALUES (?)", [[value] for value in values])
            for statement in statements:
                connection.execute(statement)

    return run
