"""Loading a project of many audience files, as a code server does when it starts."""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import dagster as dg
from pydantic import BaseModel, RootModel

from benchmarks.audiences import PACKAGE, audiences, resources, write_project
from benchmarks.harness import MEBIBYTE, Measured, Stopwatch, race, table
from benchmarks.plain_definitions import plain_deadlines, plain_definitions
from line_ads_pipeline.components import LineAudience, load_audiences

TITLE = "Loading many audiences"
GOAL = 1.3

FILES = "audience files"
EMPTY = "same files, empty build_defs"
UNREAD = "same files, attributes not even read"
PLAIN = "same definitions, written in Python"

_OF_COMPONENTS = {"dagster/component_origin", "dagster/code_references"}
"""Metadata that Dagster itself adds to what a component builds."""


class EmptyAudience(LineAudience):
    """The same component, which builds nothing."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """Nothing."""
        return dg.Definitions()


class UnreadAudience(dg.Component):
    """Another component, which looks at nothing: what Dagster takes for a file whatever is in it."""

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Any attributes."""
        return RootModel[dict[str, Any]]

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:  # noqa: ARG003 - Dagster's signature
        """A component, whatever the attributes."""
        return cls()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - Dagster's signature
        """Nothing."""
        return dg.Definitions()


def load_files(stopwatch: Stopwatch, folder: str) -> dict[str, Any]:
    """The project, as its definitions.py loads it."""
    sys.path.insert(0, folder)
    with stopwatch:
        repository = load_audiences(Path(folder) / PACKAGE).get_repository_def()
    return inventory(repository)


def load_empty(stopwatch: Stopwatch, folder: str) -> dict[str, Any]:
    """The project with components that build nothing, as Dagster loads it."""
    sys.path.insert(0, folder)
    with stopwatch:
        definitions = dg.load_from_defs_folder(path_within_project=Path(folder) / PACKAGE)
        repository = definitions.get_repository_def()
    return inventory(repository)


def load_plain(stopwatch: Stopwatch, count: str) -> dict[str, Any]:
    """No files: all definitions from Python."""
    project = audiences(int(count))
    deadlines = plain_deadlines(project)
    with stopwatch:
        definitions = dg.Definitions.merge(plain_definitions(project, deadlines), resources(Path()))
        repository = definitions.get_repository_def()
    return inventory(repository)


def inventory(repository: dg.RepositoryDefinition) -> dict[str, Any]:
    """All that a repository promises, as text: of assets, jobs, schedules and sensors, by their names."""
    assets = {}
    for node in repository.asset_graph.asset_nodes:
        spec = node.to_asset_spec()
        own = {name: value for name, value in spec.metadata.items() if name not in _OF_COMPONENTS}
        assets[node.key.to_user_string()] = repr(spec.replace_attributes(metadata=own))
    return {
        "assets": assets,
        "needed by assets": {
            key.to_user_string(): sorted(definition.required_resource_keys)
            for definition in repository.asset_graph.assets_defs
            if definition.is_executable
            for key in definition.keys
        },
        "checks": {
            key.to_user_string(): str(repository.asset_graph.get_check_spec(key).description)
            for key in repository.asset_graph.asset_check_keys
        },
        "jobs": {
            job.name: [
                str(job.description),
                sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys),
                repr(job.partitions_def),
            ]
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: [
                schedule.job_name,
                schedule.cron_schedule,
                schedule.execution_timezone,
                schedule.default_status.value,
            ]
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: [
                sensor.job_name,
                sensor.description,
                sensor.minimum_interval_seconds,
                sensor.default_status.value,
                sorted(sensor.required_resource_keys),
            ]
            for sensor in repository.sensor_defs
        },
        "resources": sorted(repository.get_top_level_resources()),
    }


def run(options: argparse.Namespace) -> str:
    """Measure, and say it in Markdown.

    Raises:
        ValueError: The definitions of the audience files are not those that were written in Python.
    """
    count: int = options.audiences
    with tempfile.TemporaryDirectory() as temporary:
        files, empty, unread = (Path(temporary, name) for name in ("files", "empty", "unread"))
        write_project(files, audiences(count))
        write_project(empty, audiences(count), component=f"{__name__}.{EmptyAudience.__name__}")
        write_project(unread, audiences(count), component=f"{__name__}.{UnreadAudience.__name__}")
        measured = race(
            {
                FILES: ["load_files", str(files)],
                EMPTY: ["load_empty", str(empty)],
                UNREAD: ["load_empty", str(unread)],
                PLAIN: ["load_plain", str(count)],
            },
            section=__name__,
            rounds=options.rounds,
        )
    _check_same(measured[FILES].found, measured[PLAIN].found)
    return _told(measured, count)


def _check_same(files: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    for kind in sorted(files.keys() | plain.keys()):
        if files[kind] == plain[kind]:
            continue
        one, two = dict(enumerate(files[kind])), dict(enumerate(plain[kind]))
        if isinstance(files[kind], dict):
            one, two = files[kind], plain[kind]
        name = next(name for name in sorted({*one, *two}) if one.get(name) != two.get(name))
        raise ValueError(
            f"of the {kind}, {name} differs:\n  audience file: {one.get(name)}\n  Python: {two.get(name)}"
        )


def _told(measured: Mapping[str, Measured], count: int) -> str:
    rows = [
        [
            name,
            f"{one.cpu:.2f}",
            f"{one.wall:.2f}",
            f"{one.cpu / count * 1000:.1f}",
            f"{one.peak_bytes / MEBIBYTE:.0f}",
            f"{one.startup_cpu:.2f}",
        ]
        for name, one in measured.items()
    ]
    header = [f"{count} audiences", "CPU s", "wall s", "CPU ms each", "peak MiB", "imports, CPU s"]
    found = measured[FILES].found
    return (
        f"{table(header, rows)}\n\n"
        f"Audience files take **{_ratio(measured, 'cpu', EMPTY):.2f}** times the CPU time of the same files with empty "
        f"`build_defs` and the definitions in Python together ({_ratio(measured, 'wall', EMPTY):.2f} on the clock); the "
        f"goal is at most {GOAL}. Beside files whose attributes are not even read it is "
        f"{_ratio(measured, 'cpu', UNREAD):.2f}. Each contender ends with a repository; imports come before and are not "
        f"in its time. Audience files and Python code give the same {len(found['assets'])} assets, "
        f"{len(found['jobs'])} jobs, {len(found['schedules'])} schedules and {len(found['sensors'])} sensors, which is "
        "compared in every run of the benchmark."
    )


def _ratio(measured: Mapping[str, Measured], quantity: Literal["cpu", "wall"], bare: str) -> float:
    files, empty, plain = (getattr(measured[name], quantity) for name in (FILES, bare, PLAIN))
    return float(files / (empty + plain))
