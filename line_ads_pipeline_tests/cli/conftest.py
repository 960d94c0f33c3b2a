"""A Dagster project with one audience, its warehouse, and the simulator as its LINE."""

import re

import duckdb
import pytest
from click.testing import CliRunner

from line_ads_pipeline.cli import main

AUDIENCE = """\
type: line_ads_pipeline.components.LineAudience
attributes:
  name: fans
  source: {table: marts.fans}
  identifier: {type: email}
  destination: {ad_account_id: A10000000001, audience_name: Fans}
"""

ENVIRONMENT = "from line_ads_pipeline.defs.resources import resources\n"


@pytest.fixture
def line_ads(monkeypatch, tmp_path):
    """Runs `line-ads` in a folder and with a store of its own, without credentials."""
    for name in ("LINE_ADS_ACCESS_KEY", "LINE_ADS_SECRET_KEY", "LINE_ADS_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LINE_ADS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("WAREHOUSE_URL", f"duckdb:///{tmp_path}/warehouse.duckdb")
    monkeypatch.setattr("line_ads_pipeline.check.PATIENCE", 0.0)
    monkeypatch.chdir(tmp_path)
    return lambda *typed: CliRunner().invoke(main, typed, catch_exceptions=False)


@pytest.fixture
def connected(line_ads, monkeypatch, simulator):
    """The same with the simulator's keys."""
    monkeypatch.setenv("LINE_ADS_ACCESS_KEY", "demo-access-key")
    monkeypatch.setenv("LINE_ADS_SECRET_KEY", "demo-secret-key")
    monkeypatch.setenv("LINE_ADS_BASE_URL", simulator.base_url)
    return line_ads


@pytest.fixture
def table(tmp_path):
    """Makes the table `marts.fans`."""

    def make(select: str) -> None:
        with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
            connection.execute("CREATE SCHEMA marts")
            connection.execute(f"CREATE TABLE marts.fans AS {select}")

    return make


@pytest.fixture
def audience_file():
    """The audience file of the project, right as it is."""
    return AUDIENCE


@pytest.fixture
def project(tmp_path, monkeypatch, request):
    """Makes a project around an audience file; by default its resources are those of this project."""
    name = "checked_" + re.sub(r"\W", "_", request.node.name)[-60:]

    def make(audience_file: str | None = AUDIENCE, *, resources: str = ENVIRONMENT) -> str:
        package = tmp_path / "projects" / name
        (package / "defs" / "audiences" / "fans").mkdir(parents=True)
        (package / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
        )
        (package / "__init__.py").touch()
        (package / "definitions.py").write_text(
            "from pathlib import Path\nimport dagster as dg\nfrom line_ads_pipeline.components import load_audiences\n"
            "@dg.definitions\ndef defs():\n    return load_audiences(Path(__file__).parent)\n"
        )
        (package / "defs" / "resources.py").write_text(resources)
        if audience_file is not None:
            (package / "defs" / "audiences" / "fans" / "defs.yaml").write_text(audience_file)
        monkeypatch.syspath_prepend(str(tmp_path / "projects"))
        return f"{name}.definitions"

    return make
