"""An audience file with a real DuckDB file, a store, a Dagster instance and the simulator around it.

Also the moments that a run frequency promises, computed without Dagster.
"""

import logging
import sqlite3
import threading
import time as clock
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from io import BytesIO
from operator import or_
from zoneinfo import ZoneInfo

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import freeze_time

from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource
from line_ads_pipeline.sync import AudienceRecords

TODAY = "2026-11-21"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def attributes() -> dict:
    """Those of an audience file, few as they can be."""
    return {
        "name": "vip",
        "source": {"table": "customers"},
        "identifier": {"type": "email"},
        "destination": {"ad_account_id": "A10000000001", "audience_name": "VIP customers"},
    }


def definitions_of(values: dict) -> dg.Definitions:
    component = LineAudience(Audience.model_validate(values))
    return component.build_defs(dg.ComponentTree.for_test().load_context)


@pytest.fixture
def define():
    """Makes the definitions of an audience file, few fields as there can be but for what is changed."""
    return lambda **changed: definitions_of(attributes() | changed)


class Project:
    """A warehouse, a store and a Dagster instance around one audience file."""

    def __init__(self, folder, simulator, instance):
        self.folder, self.instance, self.simulator = folder, instance, simulator
        self.line_ads = {
            "access_key": "demo-access-key",
            "secret_key": "demo-secret-key",
            "base_url": simulator.base_url,
            "requests_per_second": 1000.0,
            "first_poll_seconds": 0.001,
            "retry_seconds": 0.0,
            "coordination_url": f"sqlite:///{folder / 'coordination.sqlite'}",
        }
        self.resources = {
            "warehouse": WarehouseResource(url="duckdb:///warehouse.duckdb", root=str(folder)),
            "snapshots": SnapshotStoreResource(location=str(folder / "store")),
        }
        self.attributes = attributes()

    def execute(self, sql: str) -> None:
        with duckdb.connect(self.folder / "warehouse.duckdb") as connection:
            connection.execute(sql)

    def customers(self, *emails: str | None) -> None:
        self.execute("CREATE OR REPLACE TABLE customers (email VARCHAR, updated_at TIMESTAMP)")
        with duckdb.connect(self.folder / "warehouse.duckdb") as connection:
            for email in emails:
                connection.execute("INSERT INTO customers VALUES (?, TIMESTAMP '2026-11-01')", [email])

    def definitions(self) -> dg.Definitions:
        return definitions_of(self.attributes)

    def run(
        self,
        *selection: str | dg.AssetSelection,
        run_date: str | None = TODAY,
        now: datetime = NOW,
        config: dict | None = None,
        tags: dict | None = None,
    ):
        """Materialise; the whole audience, or the assets named."""
        chosen = [
            dg.AssetSelection.assets(["vip", one]) if isinstance(one, str) else one for one in selection
        ]
        with freeze_time(now):
            return dg.materialize(
                list(self.definitions().assets),
                instance=self.instance,
                partition_key=run_date,
                resources=self.all_resources(),
                selection=reduce(or_, chosen) if chosen else None,
                run_config={"ops": {f"vip__{op}": {"config": c} for op, c in (config or {}).items()}},
                tags=tags,
                raise_on_error=False,
            )

    def sync(self, *emails: str, day: int = 21, **config: object):
        """Materialise the whole audience of these people at noon of a day, with run config of its last step."""
        if emails:
            self.customers(*emails)
        return self.run(
            run_date=f"2026-11-{day}", now=self.noon(day), config={"line_custom_audience": config}
        )

    @staticmethod
    def noon(day: int) -> datetime:
        """Of a day of November 2026."""
        return datetime(2026, 11, day, 12, tzinfo=UTC)

    @contextmanager
    def alone(self, run_date: str) -> Iterator[None]:
        """Be the one run of the audience that may write to it, as another process would."""
        audience = Audience.model_validate(self.attributes)
        records = AudienceRecords(self.resources["snapshots"].open(), audience.name)
        with (
            LineAdsResource(**self.line_ads).connect() as connection,
            audience.to_synchroniser(records, connection).alone(run_date),
        ):
            yield

    def wait_for_claims(self, count: int) -> None:
        """Wait until so many leases are had or waited for."""
        give_up = clock.monotonic() + 60
        while self._claims() != count:
            assert clock.monotonic() < give_up
            clock.sleep(0.02)

    def _claims(self) -> int:
        with (
            suppress(sqlite3.OperationalError),
            closing(
                sqlite3.connect(f"file:{self.folder / 'coordination.sqlite'}?mode=ro", uri=True)
            ) as database,
        ):
            return database.execute("SELECT count(*) FROM line_ads_claims").fetchone()[0]
        return 0  # nobody has made it yet

    @contextmanager
    def leases_lost_when(self, happened: Callable[[], bool]) -> Iterator[None]:
        """Take away whatever leases there are, once something has happened, as if their holder had been silent."""

        def take() -> None:
            give_up = clock.monotonic() + 60
            while not happened() and clock.monotonic() < give_up:
                clock.sleep(0.01)
            with (
                closing(sqlite3.connect(self.folder / "coordination.sqlite", timeout=30)) as database,
                database,
            ):
                database.execute("DELETE FROM line_ads_claims")

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield
        thread.join(60)
        assert not thread.is_alive()

    def upload_from_elsewhere(self, *, action: str = "ADD") -> None:
        """Somebody else sends one person to the audience."""
        (audience,) = self.simulator.audiences()
        with LineAdsClient(
            access_key="demo-access-key",
            secret_key="demo-secret-key",
            base_url=self.simulator.base_url,
            requests_per_second=1000,
        ) as client:
            client.upload(
                "A10000000001",
                action=action,
                id_type="HASHED_EMAIL",
                file=BytesIO(b"f" * 64 + b"\n"),
                file_name="somebody-else.txt",
                audience_id=audience.id,
            )

    def members(self) -> set[str]:
        """What LINE holds of the one audience that there is."""
        (audience,) = self.simulator.audiences()
        return set(self.simulator.members(audience.id))

    def failure(self, result) -> str:
        """What the user reads of the step that failed."""
        (event,) = (event for event in result.all_events if event.is_step_failure)
        return event.step_failure_data.user_failure_data.description

    def warned(self, result) -> list[str]:
        """The warnings in the log of a run."""
        entries = self.instance.all_logs(result.run_id)
        return [entry.user_message for entry in entries if entry.level == logging.WARNING]

    def all_resources(self) -> dict:
        return self.resources | {"line_ads": LineAdsResource(**self.line_ads)}

    def retries(self) -> int:
        """How often a failing step is tried again under a policy of one retry."""
        assets = list(self.definitions().assets)
        job = dg.define_asset_job("patient", op_retry_policy=dg.RetryPolicy(max_retries=1))
        definitions = dg.Definitions(assets=assets, jobs=[job], resources=self.all_resources())
        with freeze_time(NOW):
            result = definitions.resolve_job_def("patient").execute_in_process(
                instance=self.instance, partition_key=TODAY, raise_on_error=False
            )
        assert not result.success
        return sum(event.is_step_up_for_retry for event in result.all_events)

    def event(self, result, name: str) -> dg.AssetMaterialization:
        (event,) = result.asset_materializations_for_node(f"vip__{name}")
        return event

    def metadata(self, result, name: str) -> dict:
        return {key: value.value for key, value in self.event(result, name).metadata.items()}

    def data_version(self, result, name: str) -> str:
        return self.event(result, name).tags["dagster/data_version"]

    def snapshots(self) -> list:
        """The snapshot files in the store."""
        return [file for file in (self.folder / "store" / "snapshots").rglob("*") if file.is_file()]


@pytest.fixture
def project(tmp_path, simulator):
    with dg.DagsterInstance.ephemeral() as instance:
        made = Project(tmp_path, simulator, instance)
        made.customers("Taro@Example.com ", "taro@example.com", "hanako@example.co.jp", "nobody", "", None)
        yield made


MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FIRST_DAY, DAYS = date(2026, 12, 1), 2 * 366 + 31
"""Two years and a month, with the 29th of February 2028."""


def is_promised_on(day: date, *, every: str, day_of_week: str = "", day_of_month: str = "") -> bool:
    if every == "daily":
        return True
    if every == "weekly":
        return f"{day:%A}".lower() == day_of_week
    return (day + DAY).day == 1 if day_of_month == "last" else day.day == int(day_of_month)


def moment_of(local: datetime, zone: ZoneInfo) -> datetime:
    """In UTC: a missing time is over when the clock has moved on, a doubled one counts the second time."""
    while (moment := local.replace(tzinfo=zone, fold=1).astimezone(UTC)).astimezone(zone).replace(
        tzinfo=None, fold=0
    ) != local:
        local += MINUTE
    return moment


def promised_moments(frequency: dict, time_of_day: str, time_zone: str) -> dict[datetime, str]:
    """In UTC, each with its run date."""
    at, zone = time.fromisoformat(time_of_day), ZoneInfo(time_zone)
    days = (FIRST_DAY + n * DAY for n in range(DAYS))
    return {
        moment_of(datetime.combine(day, at), zone): f"{day}"
        for day in days
        if is_promised_on(day, **frequency)
    }


@pytest.fixture(name="promised_moments", scope="session")
def promised_moments_fixture() -> Callable[[dict, str, str], dict[datetime, str]]:
    """What a frequency, a time of day and a time zone promise."""
    return promised_moments
