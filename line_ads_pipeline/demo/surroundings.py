"""What the demo runs in: the project, its own folder, and the environment variables that point Dagster there."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dotenv import dotenv_values

from line_ads_pipeline.components import AudienceFileError, LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.definitions import defs
from line_ads_pipeline.defs.resources import PROJECT_ROOT
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator

AUDIENCE = "vip_customers"
TABLE = "marts.vip_customers"

LINE_VARIABLES = ("LINE_ADS_BASE_URL", "LINE_ADS_ACCESS_KEY", "LINE_ADS_SECRET_KEY", "LINE_ADS_STORE")
"""Those that belong together: a store remembers which audiences of which LINE are its own."""

WAREHOUSE_VARIABLE = "WAREHOUSE_URL"


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class DemoFolder:
    """Where the demo keeps its files, apart from what may be the user's."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.root / "warehouse.duckdb"

    @property
    def log(self) -> Path:
        """What the Dagster run printed."""
        return self.root / "run.log"

    @property
    def coordination(self) -> Path:
        """The leases and the request rate of the demo's runs."""
        return self.root / "coordination.sqlite"

    def store(self, *, serving: bool) -> Path:
        """The snapshots and manifests; a store never outlives the simulator that it knows audiences of."""
        return self.root / ("store_of_dev" if serving else "store")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second demo out of the folder.

        Raises:
            DemoError: One is running.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DemoError(
                    f"a demo is running in {self.root} already: wait until it has ended"
                ) from None
            yield


@dataclass(frozen=True)
class Project:
    """The audiences of the project, read from their files."""

    audiences: tuple[Audience, ...]

    @classmethod
    def load(cls) -> "Project":
        """Read the audience files.

        Raises:
            DemoError: A file has a mistake.
        """
        try:
            tree = defs().component_tree
        except AudienceFileError as error:
            raise DemoError(f"an audience file has a mistake:\n{error}") from error
        components = [] if tree is None else tree.get_all_components(of_type=LineAudience)
        return cls(tuple(component.audience for component in components))

    @property
    def ad_account_ids(self) -> tuple[str, ...]:
        """The ad accounts of the audiences, and those that the simulator has by default."""
        named = [audience.destination.ad_account_id for audience in self.audiences]
        return tuple(dict.fromkeys(["A10000000001", "A10000000002", *named]))

    def demo_audience(self) -> Audience:
        """The audience that the demo runs.

        Raises:
            DemoError: It is gone, or changed such that made-up customers could go elsewhere than to the simulator.
        """
        for audience in self.audiences:
            if audience.name == AUDIENCE:
                break
        else:
            raise DemoError(f"the demo runs the audience {AUDIENCE}, whose file is gone: restore it from git")
        expected = (TABLE, "warehouse", "email", "line_ads")
        found = (
            audience.source.table,
            audience.source.warehouse,
            audience.identifier.type,
            audience.destination.credentials,
        )
        if found != expected:
            raise DemoError(
                f"the audience {AUDIENCE} was changed: the demo needs the e-mails of the table {TABLE} in the resource "
                "warehouse, and the credentials line_ads. Restore its file from git, or try your own audience with "
                "`make dev`"
            )
        return audience


def own_settings(names: tuple[str, ...]) -> Mapping[str, str]:
    """The variables among `names` that the user has set, and where: Dagster reads .env over the environment."""
    in_file = dotenv_values(PROJECT_ROOT / ".env")
    places = {name: "the environment" for name in names if os.environ.get(name)}
    return places | {name: ".env" for name in names if in_file.get(name)}


def refuse_env_file() -> None:
    """Keep made-up customers from the LINE of the user.

    Raises:
        DemoError: The file .env sets what the demo has to set; no environment of a process goes before it.
    """
    places = own_settings((*LINE_VARIABLES, WAREHOUSE_VARIABLE))
    in_file = [name for name, place in places.items() if place == ".env"]
    if in_file:
        raise DemoError(
            f"the file .env sets {', '.join(in_file)}, which Dagster takes before what the demo sets, so that made-up "
            "customers would go to your LINE. Move .env away while the demo runs"
        )


def demo_environment(simulator: Simulator, folder: DemoFolder, *, serving: bool) -> dict[str, str]:
    """The environment for Dagster: this process's own, but with the simulator and the demo's folder."""
    return {
        **os.environ,
        "LINE_ADS_BASE_URL": simulator.base_url,
        "LINE_ADS_ACCESS_KEY": DEMO_ACCESS_KEY,
        "LINE_ADS_SECRET_KEY": DEMO_SECRET_KEY,
        "LINE_ADS_STORE": str(folder.store(serving=serving)),
        "LINE_ADS_COORDINATION_URL": f"sqlite:///{folder.coordination}",
        WAREHOUSE_VARIABLE: f"duckdb:///{quote(str(folder.warehouse))}",
        "PYTHONUNBUFFERED": "1",
    }
