"""A project of many audience files, as a company may have them: made up from a seed, always the same."""

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import dagster as dg
import yaml

from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

PACKAGE = "audience_project"
SEED = 20260101

_TEAMS = ("crm", "growth", "loyalty", "retail", "travel", "finance", "games", "media", "beauty", "grocery")
_ZONES = ("Asia/Tokyo",) * 6 + ("Asia/Taipei", "Asia/Bangkok", "Asia/Jakarta", "UTC", "Europe/London")
_COUNTRIES = {"Asia/Tokyo": "JP", "Asia/Taipei": "TW", "Asia/Bangkok": "TH", "Asia/Jakarta": "ID"}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_IDENTIFIERS = ("email",) * 5 + ("phone",) * 3 + ("ifa",) * 2
_FREQUENCIES = ("daily",) * 6 + ("weekly",) * 3 + ("monthly",)


def audiences(count: int) -> list[dict[str, Any]]:
    """The attributes of `count` audience files: the first of a larger count are those of a smaller one."""
    return [_audience(number, Random(f"{SEED}/{number}")) for number in range(count)]


def _audience(number: int, chance: Random) -> dict[str, Any]:
    team, zone = chance.choice(_TEAMS), chance.choice(_ZONES)
    name = f"{team}_segment_{number:04}"
    source: dict[str, Any] = {"table": f"marts.{name}"}
    watched = _happens(chance, 0.4)
    if watched or _happens(chance, 0.5):
        source["updated_at"] = "updated_at"
    if _happens(chance, 0.3):
        source["depends_on"] = [f"marts/{name}"]
    audience = {
        "name": name,
        "description": f"Segment {number} of the {team} team",
        "owners": [f"team:{team}"],
        "source": source,
        "identifier": _identifier(chance, zone),
        "destination": {
            "ad_account_id": f"A{10_000_000_001 + _TEAMS.index(team)}",
            "audience_name": f"{team.capitalize()} {number}",
            "sync_mode": chance.choice(("mirror", "mirror", "mirror", "add")),
        },
        "run_frequency": _frequency(chance, zone),
        "keep_updated": _happens(chance, 0.9),
    }
    if watched:
        audience["update_on_change"] = chance.choice((True, {"check_every": "15m", "at_most_every": "12h"}))
    return audience


def _identifier(chance: Random, zone: str) -> dict[str, Any]:
    kind = chance.choice(_IDENTIFIERS)
    identifier = {"type": kind}
    if kind == "phone":
        identifier["default_country"] = _COUNTRIES.get(zone, "JP")
    elif _happens(chance, 0.5):
        identifier["column"] = {"email": "mail_address", "ifa": "gaid"}[kind]
    return identifier


def _frequency(chance: Random, zone: str) -> dict[str, Any]:
    every = chance.choice(_FREQUENCIES)
    frequency = {"every": every}
    if every == "weekly":
        frequency["day_of_week"] = chance.choice(_DAYS)
    elif every == "monthly":
        frequency["day_of_month"] = chance.choice(("1", "15", "last"))
    time_of_day = f"{chance.randrange(24):02}:{chance.choice((0, 15, 30, 45)):02}"
    return frequency | {"time_of_day": time_of_day, "time_zone": zone}


def _happens(chance: Random, share: float) -> bool:
    return chance.random() < share


def write_project(
    folder: Path,
    project: Sequence[dict[str, Any]],
    *,
    component: str = "line_ads_pipeline.components.LineAudience",
) -> None:
    """Write a Dagster project with a `defs.yaml` for each audience, in a folder for each team.

    Args:
        folder: Where to; the package within is `PACKAGE`.
        project: The attributes of each file.
        component: The type that each file names.
    """
    defs = folder / PACKAGE / "defs"
    defs.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(_PYPROJECT)
    (folder / PACKAGE / "__init__.py").touch()
    (folder / PACKAGE / "definitions.py").write_text(_DEFINITIONS)
    (defs / "resources.py").write_text(_RESOURCES)
    for audience in project:
        file = defs / "audiences" / audience["name"].partition("_")[0] / audience["name"] / "defs.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump({"type": component, "attributes": audience}, sort_keys=False))


_PYPROJECT = f"""\
[tool.dg]
directory_type = "project"
project.root_module = "{PACKAGE}"
"""
_DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from line_ads_pipeline.components import load_audiences


@dg.definitions
def defs():
    return load_audiences(Path(__file__).parent)
"""
_RESOURCES = """\
from pathlib import Path

import dagster as dg

from benchmarks.audiences import resources


@dg.definitions
def defs():
    return resources(Path(__file__).parents[2])
"""


def resources(root: Path) -> dg.Definitions:
    """The resources that the audiences name, with warehouse and store in the project's folder."""
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={
            "line_ads": LineAdsResource(),
            "warehouse": WarehouseResource(url="duckdb:///warehouse.duckdb", root=str(root)),
            "snapshots": SnapshotStoreResource(location="store", root=str(root)),
        },
    )
