"""A real deployment: the daemon, a code server for each of two code locations, and the simulator as its LINE."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pytest
import yaml
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, TickStatus

from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 300.0
"""Seconds until a test gives up: far more than a slow machine needs."""

T = TypeVar("T")

SHOP = {
    "shop/__init__.py": "",
    "shop/pyproject.toml": """\
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "shop"
""",
    "shop/definitions.py": """\
from pathlib import Path

import dagster as dg

from line_ads_pipeline.components import load_audiences


@dg.definitions
def defs():
    return load_audiences(Path(__file__).parent)
""",
    # A warehouse for each audience: who writes to a DuckDB file locks out whoever reads it, and would fail their runs.
    "shop/defs/resources.py": """\
import os
from pathlib import Path

import dagster as dg

from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource


@dg.definitions
def resources():
    folder = Path(os.environ["WAREHOUSES"])
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={
            "line_ads": LineAdsResource(
                access_key=dg.EnvVar("LINE_ADS_ACCESS_KEY"),
                secret_key=dg.EnvVar("LINE_ADS_SECRET_KEY"),
                base_url=dg.EnvVar("LINE_ADS_BASE_URL"),
                first_poll_seconds=0.1,
                slowest_poll_seconds=1,
                settle_seconds=0,
            ),
            "snapshots": SnapshotStoreResource(location=dg.EnvVar("LINE_ADS_STORE")),
            **{
                f"warehouse_of_{file.stem}": WarehouseResource(url=f"duckdb:///{file}")
                for file in folder.glob("*.duckdb")
            },
        },
    )
""",
}
MODELS = {
    "models.py": """\
import dagster as dg


@dg.asset(
    key=["marts", "orders"],
    partitions_def=dg.DailyPartitionsDefinition("2026-01-01", timezone="Asia/Kolkata"),
)
def orders():
    pass


defs = dg.Definitions(assets=[orders])
""",
}
UPDATED = {
    "changing": {"source": {"updated_at": "updated_at"}},
    "failing": {"source": {"updated_at": "updated_at"}},
    # what it holds depends on nothing but orders: its table cannot be asked for changes
    "buyers": {"source": {"depends_on": ["marts/orders"]}},
    "interrupted": {"source": {"updated_at": "updated_at"}, "destination": {"sync_mode": "add"}},
}
BY_HAND = {
    "backfilled": {"destination": {"max_records_per_upload": 1}},
    "unwaited": {"destination": {"wait_for_processing": False}},
    "together": {"destination": {"max_records_per_upload": 2}},
}
AUDIENCES = {
    "scheduled": {},
    **{name: attributes | {"keep_updated": False} for name, attributes in BY_HAND.items()},
    "paused": {"keep_updated": False, "update_on_change": True, "source": {"updated_at": "updated_at"}},
    **{
        name: attributes | {"update_on_change": {"check_every": "5s", "at_most_every": "1s"}}
        for name, attributes in UPDATED.items()
    },
}
LOCATIONS = {"shop": "shop.definitions", "models": "models"}


def noon_zone() -> str:
    """A time zone in which it is about noon, so that no date changes while a test runs."""
    ahead = (12 - datetime.now(UTC).hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"


@dataclass(kw_only=True)
class Deployment:
    """Processes of Dagster with everything that they use, below one folder.

    Attributes:
        root: The folder.
        sockets: Another one, since the paths of sockets must be short.
        simulator: What they take for LINE.
        zone: Of the audiences.
        instance: To look at what they did.
        promise: When `scheduled` is due.
        backfill: The id of the backfill of three run dates of `backfilled`, which takes Dagster a while.
    """

    root: Path
    sockets: Path
    simulator: Simulator
    zone: str
    instance: dg.DagsterInstance
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    groups: list[int] = field(default_factory=list)
    promise: datetime | None = None
    backfill: str = ""

    def write_project(self, audiences: Mapping[str, Mapping[str, Any]]) -> None:
        """Write both code locations; of an audience, give what differs from a table `people` that is mirrored."""
        for name, text in (SHOP | MODELS).items():
            file = self.root / "project" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for name, attributes in audiences.items():
            document = {
                "type": "line_ads_pipeline.components.LineAudience",
                "attributes": {
                    "name": name,
                    "identifier": {"type": "email"},
                    "run_frequency": {"time_of_day": "06:00", "time_zone": self.zone},
                    **attributes,
                    "source": {
                        "table": "people",
                        "warehouse": f"warehouse_of_{name}",
                        **attributes.get("source", {}),
                    },
                    "destination": {
                        "ad_account_id": "A10000000001",
                        "audience_name": name,
                        **attributes.get("destination", {}),
                    },
                },
            }
            file = self.root / "project" / "shop" / "defs" / "audiences" / name / "defs.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(yaml.safe_dump(document))
        grpc_servers = [
            {"grpc_server": {"socket": str(self._socket(location)), "location_name": location}}
            for location in LOCATIONS
        ]
        self.workspace.write_text(yaml.safe_dump({"load_from": grpc_servers}))

    @property
    def workspace(self) -> Path:
        """The workspace of both code locations."""
        return self.root / "workspace.yaml"

    def _socket(self, location: str) -> Path:
        return self.sockets / location

    def change(self, audience: str, *statements: str) -> None:
        """Change the warehouse of an audience, as soon as nobody reads it."""

        def changed() -> bool:
            try:
                connection = duckdb.connect(str(self.root / "warehouses" / f"{audience}.duckdb"))
            except duckdb.IOException:
                return False
            with connection:
                for statement in statements:
                    connection.execute(statement)
            return True

        self.eventually(changed, f"a change of the warehouse of {audience}")

    def people(self, audience: str, *names: str) -> None:
        """Add people to the table of an audience, which is made if need be."""
        values = ", ".join(f"('{address(name)}', current_timestamp)" for name in names)
        self.change(
            audience,
            "CREATE TABLE IF NOT EXISTS people (email VARCHAR, updated_at TIMESTAMPTZ)",
            f"INSERT INTO people VALUES {values}",
        )

    def start(self) -> None:
        """Start what does not run: first the code servers, and the daemon once they answer."""
        for location, module in LOCATIONS.items():
            if location not in self.processes:
                socket = self._socket(location)
                socket.unlink(missing_ok=True)
                self._spawn(
                    location, "dagster", "api", "grpc", "--socket", socket, "-m", module, "--location-name", location
                )  # fmt: skip
        self.eventually(
            lambda: all(self._socket(location).exists() for location in LOCATIONS), "code servers"
        )
        if "daemon" not in self.processes:
            self._spawn("daemon", "dagster._daemon", "run", "-w", self.workspace)

    def start_before_the_promise(self) -> None:
        """Write the project with `scheduled` due within two minutes, and start; again if that took longer."""
        for seconds in (100, 250):
            soon = datetime.now(ZoneInfo(self.zone)) + timedelta(seconds=seconds)
            self.promise = soon.replace(second=0, microsecond=0)
            frequency = {"time_of_day": f"{self.promise:%H:%M}", "time_zone": self.zone}
            self.write_project(AUDIENCES | {"scheduled": {"run_frequency": frequency}})
            self.start()
            cron = f"{self.promise.minute} {self.promise.hour} * * *"
            seen = self.eventually(
                lambda cron=cron: self._instigator("scheduled_schedule", cron), "the scheduler's first look"
            )
            if seen.instigator_data.start_timestamp < self.promise.timestamp():
                return
            self.kill(*self.processes)
        pytest.fail(f"Dagster takes longer than {seconds} seconds to start\n{self.story()}")

    def kill(self, *names: str) -> None:
        """End processes at once, and with each whatever it has started."""
        for name in names:
            _kill_group(self.processes.pop(name))

    def run_date(self, *, days_ago: int = 0) -> str:
        """The newest run date of the audiences that are due at six in the morning, or one before it."""
        return f"{datetime.now(ZoneInfo(self.zone)) - timedelta(days=days_ago):%Y-%m-%d}"

    def materialize(self, audience: str, **config: object) -> list[str]:
        """The command that syncs an audience, as the README has it, with run config of its last step."""
        given = json.dumps({"ops": {f"{audience}__line_custom_audience": {"config": config}}})
        command = ["dagster", "asset", "materialize", "--select", f'+key:"{audience}/line_custom_audience"']
        command += ["--partition", self.run_date(), "-m", "shop.definitions"]
        return [*command, "--config-json", given] if config else command

    def launch_backfill(self, **parameters: object) -> str:
        """Launch a backfill as the UI does; its id."""
        mutation = """mutation($parameters: LaunchBackfillParams!) {
          launchPartitionBackfill(backfillParams: $parameters) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
          }
        }"""
        variables = json.dumps({"parameters": parameters})
        (answer,) = self.run_commands(
            ["dagster-graphql", "-w", self.workspace, "-t", mutation, "-v", variables]
        )
        return json.loads(answer)["data"]["launchPartitionBackfill"]["backfillId"]

    def ended_backfill(self, backfill_id: str) -> PartitionBackfill | None:
        """A backfill, once it has ended."""
        backfill = self.instance.get_backfill(backfill_id)
        return backfill if backfill and backfill.backfill_end_timestamp else None

    def look_now(self, sensor: str) -> InstigatorTick:
        """Let a sensor look again at once, instead of waiting for its interval; the tick."""
        before = {tick.tick_id for tick in self.ticks(sensor)}
        state = self.eventually(lambda: self._instigator(sensor), sensor)
        data = state.instigator_data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
        self.instance.update_instigator_state(state.with_data(data))
        return self.eventually(
            lambda: next((tick for tick in self.ticks(sensor) if tick.tick_id not in before), None),
            f"a tick of {sensor}",
        )

    def run_commands(self, *commands: Sequence[object], exit_code: int = 0, **environment: str) -> list[str]:
        """Run commands of this environment side by side to their ends; what each printed."""
        processes = []
        try:
            for number, (name, *arguments) in enumerate(commands):
                with self._log(f"command-{number}").open("wb") as log:
                    process = subprocess.Popen(
                        [f"{sysconfig.get_path('scripts')}/{name}", *map(str, arguments)],
                        cwd=self.root,
                        env=self.environment | environment,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                        start_new_session=True,
                    )
                processes.append(process)
                self.groups.append(process.pid)
            printed = [process.communicate(timeout=PATIENCE)[0] for process in processes]
        finally:
            for process in processes:
                _kill_group(process)
        assert {process.returncode for process in processes} == {exit_code}, self.story()
        return printed

    def _spawn(self, name: str, *arguments: object) -> None:
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *map(str, arguments)],
                cwd=self.root,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self.groups.append(process.pid)

    def _log(self, name: str) -> Path:
        return self.root / f"{name}.log"

    @property
    def environment(self) -> dict[str, str]:
        """What the processes see of the world."""
        inherited = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "TZ", "PYTHONDONTWRITEBYTECODE")
            if name in os.environ
        }
        return inherited | {
            "HOME": str(self.root),
            "DAGSTER_HOME": str(self.root / "dagster_home"),
            "LINE_ADS_ACCESS_KEY": DEMO_ACCESS_KEY,
            "LINE_ADS_SECRET_KEY": DEMO_SECRET_KEY,
            "LINE_ADS_BASE_URL": self.simulator.base_url,
            "LINE_ADS_STORE": str(self.root / "store"),
            "WAREHOUSES": str(self.root / "warehouses"),
            "PYTHONPATH": str(self.root / "project"),
            "PYTHONUNBUFFERED": "1",
        }

    def eventually(self, happened: Callable[[], T], what: str) -> T:
        """Wait until something has happened; what it gives."""
        give_up = time.monotonic() + PATIENCE
        while not (found := happened()):
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended by itself\n{self.story()}"
            assert time.monotonic() < give_up, f"waited in vain for {what}\n{self.story()}"
            time.sleep(0.1)
        return found

    def story(self) -> str:
        """The runs, the latest ticks, and the ends of the logs, for whoever has to find out what went wrong."""
        runs = [
            f"{run.job_name} {run.run_id} {run.status.value} {run.tags}" for run in self.instance.get_runs()
        ]
        ticks = [
            f"{state.name}: {tick.status.value} {tick.tick_data.skip_reason or ''} {tick.error.message if tick.error else ''}"
            for state in self.instance.all_instigator_state()
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=3)
        ]
        logs = [
            f"=== {file.name}\n{file.read_text(errors='replace')[-3000:]}"
            for file in sorted(self.root.glob("*.log"))
        ]
        return "\n".join(["=== runs", *runs, "=== ticks", *ticks, *logs])

    def runs(self, audience: str) -> list[dg.DagsterRun]:
        """Its runs, the latest first."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name=f"sync_{audience}")))

    def ticks(self, instigator: str) -> list[InstigatorTick]:
        """The ticks of a schedule or sensor that have ended, the latest first."""
        state = self._instigator(instigator)
        if state is None:
            return []
        ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id)
        return [tick for tick in ticks if tick.status is not TickStatus.STARTED]

    def _instigator(self, name: str, cron: str | None = None) -> InstigatorState | None:
        for state in self.instance.all_instigator_state():
            if state.name == name and cron in {None, getattr(state.instigator_data, "cron_schedule", None)}:
                return state
        return None

    def tick(self, audience: str, wanted: Callable[[InstigatorTick], bool]) -> InstigatorTick:
        """Wait for a new tick of the sensor of an audience that is as wanted."""
        sensor = f"{audience}_source_updated"
        before = {tick.tick_id for tick in self.ticks(sensor)}

        def found() -> InstigatorTick | None:
            new = [tick for tick in self.ticks(sensor) if tick.tick_id not in before]
            return next(filter(wanted, new), None)

        return self.eventually(found, f"a tick of {sensor}")

    def settled(self, audience: str, *, runs: int) -> dg.DagsterRun:
        """Wait for so many runs, and then for two looks at the source that request no further one; the latest run."""
        self.eventually(
            lambda: len(self.runs(audience)) >= runs and self.runs(audience)[0].is_finished,
            f"{runs} runs of {audience}",
        )
        for _ in range(2):
            self.tick(audience, lambda _: True)
        found = self.runs(audience)
        assert len(found) == runs, self.story()
        return found[0]

    def synced(self, audience: str) -> bool:
        """Whether it has runs, all have ended, and the latest succeeded."""
        runs = self.runs(audience)
        return bool(runs) and runs[0].is_success and all(run.is_finished for run in runs)

    def put_back(self, run: dg.DagsterRun, *, hours: int) -> None:
        """Put back all that a run logged, instead of waiting until it has been silent for so long."""
        database = self.root / "dagster_home" / "history" / "runs" / f"{run.run_id}.db"
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(
                "UPDATE event_logs SET event = json_set(event, '$.timestamp', event ->> '$.timestamp' - ?)",
                [hours * 3600],
            )

    def members(self, audience: str) -> frozenset[str]:
        """The identifiers that LINE holds."""
        (held,) = (each for each in self.simulator.audiences() if each.name == audience)
        return self.simulator.members(held.id)


def _kill_group(process: subprocess.Popen[Any]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def address(name: str) -> str:
    """The e-mail address of a person."""
    return f"{name}@people-of-the-shop.example"


def hashed(*names: str) -> frozenset[str]:
    """What LINE should hold of people."""
    return frozenset(sha256(address(name).encode()).hexdigest() for name in names)


def _instance_settings() -> str:
    """This project's own, as the file itself says to use them elsewhere, and a queue that need not be waited for."""
    settings = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    for name in ("storage", "local_artifact_storage", "compute_logs"):
        del settings[name]
    run_queue = {
        "module": "dagster",
        "class": "QueuedRunCoordinator",
        "config": {"dequeue_interval_seconds": 1},
    }
    return yaml.safe_dump(settings | {"run_coordinator": run_queue})


@contextmanager
def deploy(root: Path) -> Iterator[Deployment]:
    """A deployment that has not been started, and whose processes are gone afterwards whatever happened."""
    for folder in ("project", "warehouses", "dagster_home"):
        (root / folder).mkdir()
    (root / "dagster_home" / "dagster.yaml").write_text(_instance_settings())
    with (
        tempfile.TemporaryDirectory() as sockets,
        # before any process: they would race for creating the databases
        dg.DagsterInstance.from_config(str(root / "dagster_home")) as instance,
        Simulator(requests_per_second_limit=None) as simulator,
    ):
        instance.all_instigator_state()
        deployment = Deployment(
            root=root, sockets=Path(sockets), simulator=simulator, zone=noon_zone(), instance=instance
        )
        try:
            yield deployment
        finally:
            deployment.kill(*deployment.processes)
    give_up = time.monotonic() + PATIENCE
    while left := _still_running(deployment.groups):
        assert time.monotonic() < give_up, f"left running: {left}"
        time.sleep(0.1)


def _still_running(groups: Sequence[int]) -> list[str]:
    """The processes of these groups that have not ended, where the system has /proc."""
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            state, _parent, group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(group) in groups and state != "Z":
                left.append((process / "cmdline").read_text().replace("\0", " "))
    return left


@pytest.fixture(scope="module")
def deployment(tmp_path_factory) -> Iterator[Deployment]:
    """All audiences, started, with the first sync of each that is updated on change."""
    with deploy(tmp_path_factory.mktemp("deployment")) as made:
        for name in AUDIENCES:
            made.people(name, "ann", "bob")
        made.start_before_the_promise()
        made.backfill = made.launch_backfill(
            assetSelection=[
                {"path": ["backfilled", asset]}
                for asset in ("source_segment", "hashed_identifiers", "line_custom_audience")
            ],
            partitionNames=[made.run_date(days_ago=days) for days in range(3)],
            runConfigData={
                "ops": {"backfilled__hashed_identifiers": {"config": {"allow_late_snapshot": True}}}
            },
        )
        for name in UPDATED:
            made.eventually(lambda name=name: made.synced(name), f"the first sync of {name}")
        yield made


@pytest.fixture(name="hashed", scope="session")
def hashed_fixture() -> Callable[..., frozenset[str]]:
    """What LINE should hold of people, by their names."""
    return hashed
