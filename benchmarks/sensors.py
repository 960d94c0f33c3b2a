"""The sensors of many audiences, each looking once at its source, as Dagster's daemon has them look."""

import argparse
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorType
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

from benchmarks.audiences import PACKAGE, audiences, write_project
from benchmarks.harness import MEBIBYTE, Measured, Stopwatch, race, table
from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.source_state import SOURCE_STATE, SourceState, latest_materializations
from line_ads_pipeline.warehouse import Warehouse

TITLE = "Sensors of many audiences"
CHECK_EVERY = 600
RUN_DATE = "2026-11-20"
"""Seconds: the default of `check_every`, within which all must have had their turn."""
ROWS = 10_000

IDLE = "sensors that open the instance and skip"
ONE = "one at a time, as Dagster does by default"
THREADS = "4 threads, as dagster.yaml of this project says"


class IdleAudience(LineAudience):
    """The same component, with a sensor that looks at nothing: what Dagster takes for a tick.

    It opens the instance, as every sensor does that reads the event log, for that is most of what Dagster takes.
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """All but what the sensor does."""
        built = super().build_defs(context)
        (job,) = built.jobs or []
        sensor = dg.SensorDefinition(
            name=f"{self.audience.name}_source_updated",
            evaluation_fn=_skip,
            job=job,
            minimum_interval_seconds=CHECK_EVERY,
            default_status=dg.DefaultSensorStatus.RUNNING,
        )
        return dg.Definitions(
            assets=built.assets, jobs=built.jobs, schedules=built.schedules, sensors=[sensor]
        )


def _skip(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    return dg.SkipReason(f"Nothing was looked at in {type(context.instance).__name__}.")


def look(stopwatch: Stopwatch, folder: str, threads: str) -> dict[str, int]:
    """One iteration of the sensor daemon over all sensors, all due; how often each outcome.

    Daemon and code server share the process, so that what both take is counted.
    """
    logging.getLogger("dagster").setLevel(logging.ERROR)
    sys.path.insert(0, folder)
    with (
        tempfile.TemporaryDirectory() as temporary,
        _instance(shutil.copytree(Path(folder, "dagster"), Path(temporary, "dagster"))) as instance,
        WorkspaceProcessContext(instance, _Project(Path(folder))) as workspace,
        ThreadPoolExecutor(max(int(threads), 1)) as pool,
    ):
        futures: dict[str, Future[Any]] = {}
        logger = logging.getLogger("sensors")
        logger.setLevel(logging.ERROR)
        with stopwatch:
            for _ in execute_sensor_iteration(
                workspace, logger, pool if int(threads) else None, None, sensor_tick_futures=futures
            ):
                pass
            for future in futures.values():
                future.result()
        outcomes = Counter(
            f"{tick.status.value}: {tick.skip_reason}"
            for state in instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)
        )
    return dict(outcomes)


class _Project(WorkspaceLoadTarget):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create_origins(self) -> Sequence[InProcessCodeLocationOrigin]:
        file = self._folder / PACKAGE / "definitions.py"
        target = LoadableTargetOrigin(python_file=str(file), working_directory=str(self._folder))
        return [InProcessCodeLocationOrigin(target, location_name=PACKAGE)]


@contextmanager
def _instance(folder: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield instance


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown.

    Raises:
        ValueError: A sensor did not look, or found other than what was there.
    """
    count: int = options.audiences
    project = [
        audience
        | {"update_on_change": True, "keep_updated": True}
        | {"source": audience["source"] | {"updated_at": "updated_at"}}
        for audience in audiences(count)
    ]
    with tempfile.TemporaryDirectory() as temporary:
        watching, idle = Path(temporary, "watching"), Path(temporary, "idle")
        write_project(watching, project)
        write_project(idle, project, component=f"{__name__}.{IdleAudience.__name__}")
        _fill_warehouse(watching, project)
        _sync_all(watching, project)
        (idle / "dagster").mkdir()
        measured = race(
            {
                IDLE: ["look", str(idle), "0"],
                ONE: ["look", str(watching), "0"],
                THREADS: ["look", str(watching), "4"],
            },
            section=__name__,
            rounds=1,  # which is many ticks already, and minutes
        )
    for name in (ONE, THREADS):
        if measured[name].found != {"SKIPPED: The last sync has seen this state of the source.": count}:
            raise ValueError(
                f"the {count} sensors did not find their sources unchanged: {measured[name].found}"
            )
    return _told(measured, count)


def _fill_warehouse(folder: Path, project: Sequence[Mapping[str, Any]]) -> None:
    with duckdb.connect(folder / "warehouse.duckdb") as connection:
        connection.execute("CREATE SCHEMA marts")
        for audience in project:
            identifier = audience["identifier"]
            column = identifier.get("column", identifier["type"])
            connection.execute(
                f"CREATE TABLE {audience['source']['table']} AS SELECT 'customer-' || n AS {column}, "
                f"TIMESTAMP '2026-01-01' + INTERVAL (n) SECOND AS updated_at FROM range({ROWS}) AS numbers(n)"
            )


def _sync_all(folder: Path, project: Sequence[Mapping[str, Any]]) -> None:
    """Record that each audience holds its source as it is now, which is how its sensor finds it most of the time."""
    (folder / "dagster").mkdir()
    with (
        _instance(folder / "dagster") as instance,
        Warehouse("duckdb:///warehouse.duckdb", root=folder) as warehouse,
    ):
        for values in project:
            audience = Audience.model_validate(values)
            for key in audience.source.depends_on:
                instance.report_runless_asset_event(
                    dg.AssetMaterialization(dg.AssetKey.from_user_string(key))
                )
            version = warehouse.version(
                audience.source.to_source(RUN_DATE),
                identifier_columns=audience.identifier.columns,
                updated_at=audience.source.updated_at,
            )
            state = SourceState(version, latest_materializations(instance, audience.source.depends_on))
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    [audience.name, "line_custom_audience"],
                    metadata={SOURCE_STATE: dg.MetadataValue.json(state.to_document())},
                )
            )


def _told(measured: Mapping[str, Measured], count: int) -> str:
    rows = [
        [
            name,
            f"{one.wall:.1f}",
            f"{one.cpu:.1f}",
            f"{one.wall / count * 1000:.1f}",
            f"{one.peak_bytes / MEBIBYTE:.0f}",
        ]
        for name, one in measured.items()
    ]
    header = [f"{count} sensors, one tick each", "wall s", "CPU s", "wall ms each", "peak MiB"]
    slowest = max(measured[ONE].wall, measured[THREADS].wall)
    return (
        f"{table(header, rows)}\n\n"
        f"All sensors are due at once: one iteration of Dagster's sensor daemon, with SQLite, in one process with the "
        f"definitions. Each asks one DuckDB file for the newest `updated_at` of its own table of {ROWS:,} rows, and "
        f"finds what the last sync has seen. A round takes {slowest / CHECK_EVERY:.0%} of the "
        f"{CHECK_EVERY // 60} minutes that are the default of `check_every`."
    )
