"""Each mistake in an audience file is one clear error of at most five lines."""

import logging
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from dagster._cli.definitions import definitions_validate_command

GOOD = """\
type: line_ads_pipeline.components.LineAudience
attributes:
  name: vip_customers
  description: Customers with three orders or more
  owners: ["team:crm"]
  source:
    table: marts.vip_customers
    updated_at: updated_at
  identifier:
    type: email
    column: email
  destination:
    ad_account_id: A10000000001
    audience_name: VIP customers
    sync_mode: mirror
  run_frequency:
    every: daily
    time_of_day: "09:30"
    time_zone: Asia/Tokyo
  keep_updated: true
"""

# what is replaced in GOOD, by what, and words that the error must hold; the last is what to write instead
MISTAKES = {
    "name with capitals": ("name: vip_customers", "name: VIP", ["line 3", "name:", '"VIP"', "name: vip_customers"]),
    "name missing": ("  name: vip_customers\n", "", ["name: is missing", "name: vip_customers"]),
    "name empty": ("name: vip_customers", "name:", ["name:", "empty"]),
    "unknown field": ("keep_updated: true", "keep_updatd: true", ["line 20", "keep_updatd", "keep_updated"]),
    "unknown field in a block": ("table: marts", "tabel: marts", ["line 7", "source.tabel", "table"]),
    "field twice": ("type: email", "type: email\n    type: phone", ["line 11", "type", "twice"]),
    "block missing": ("  identifier:\n    type: email\n    column: email\n", "", ["identifier", "is missing"]),
    "text for a block": ("  source:\n    table: marts.vip_customers\n    updated_at: updated_at\n", "  source: marts.vip\n", ["source", "not a block"]),
    "list for a text": ("column: email", "column: [email, mail]", ["identifier.column", "a list"]),
    "text for a list": ('owners: ["team:crm"]', "owners: crm", ["owners", "not a list", '["team:crm"]']),
    "owner is neither team nor person": ('["team:crm"]', '["crm"]', ["owners.0", '"crm"']),
    "no source": ("    table: marts.vip_customers\n    updated_at: updated_at\n", "    warehouse: warehouse\n", ["source", "exactly one", "table: marts"]),
    "two sources": ("    updated_at: updated_at", "    query: SELECT 1", ["source.query", "table and query", "exactly one"]),
    "blank table": ("table: marts.vip_customers", 'table: " "', ["source.table", "blank"]),
    "updated_at of a file": ("table: marts.vip_customers", "path: data/x.csv", ["source.updated_at", "leave"]),
    "identifier type": ("type: email", "type: mail", ["line 10", "identifier.type", '"mail"', "email, phone, ifa", "type: email"]),
    "field of another type": ("column: email", "default_country: JP", ["identifier.default_country", "phone only"]),
    "country by name": ("type: email\n    column: email", "type: phone\n    default_country: Japan", ["default_country", '"Japan"', "ISO 3166"]),
    "country in small letters": ("type: email\n    column: email", "type: phone\n    default_country: jp", ["default_country: JP"]),
    "phone format": ("type: email\n    column: email", "type: phone\n    phone_format: e164", ["phone_format", "international, national, as_given"]),
    "hash_ifa beside ifa_case": ("type: email\n    column: email", "type: ifa\n    hash_ifa: true\n    ifa_case: upper", ["identifier.ifa_case", "hash_ifa"]),
    "ad account missing": ("    ad_account_id: A10000000001\n", "", ["destination.ad_account_id", "is missing", "A10000000001"]),
    "ad account empty": ("ad_account_id: A10000000001", "ad_account_id:", ["destination.ad_account_id", "empty"]),
    "ad account with a slash": ("A10000000001", "A1/x", ["destination.ad_account_id", '"A1/x"']),
    "no audience": ("    audience_name: VIP customers\n", "", ["destination", "names no audience", "audience_name:"]),
    "audience name too long": ("VIP customers", "V" * 121, ["destination.audience_name", "121 characters", "120"]),
    "credentials": ("sync_mode: mirror", "credentials: line_adds", ["destination.credentials", "not a resource", "line_ads"]),
    "warehouse": ("updated_at: updated_at", "warehouse: snowflake", ["source.warehouse", "not a resource", "snapshots, warehouse"]),
    "sync mode": ("sync_mode: mirror", "sync_mode: replace", ["destination.sync_mode", "mirror, add"]),
    "rows per upload not a number": ("sync_mode: mirror", "max_records_per_upload: many", ["max_records_per_upload", "whole number"]),
    "too many rows per upload": ("sync_mode: mirror", "max_records_per_upload: 2000000", ["max_records_per_upload", "1500000"]),
    "no rows per upload": ("sync_mode: mirror", "max_records_per_upload: 0", ["max_records_per_upload", "less than 1"]),
    "frequency": ("every: daily", "every: hourly", ["run_frequency.every", "daily, weekly, monthly"]),
    "weekly without a day": ("every: daily", "every: weekly", ["run_frequency", "day_of_week: monday"]),
    "weekday of a daily run": ("every: daily", "every: daily\n    day_of_week: monday", ["day_of_week", "weekly only"]),
    "weekday misspelt": ("every: daily", "every: weekly\n    day_of_week: mon", ["day_of_week", "monday"]),
    "day that some months lack": ("every: daily", "every: monthly\n    day_of_month: 31", ["day_of_month", "1 to 28", "last"]),
    "time of day": ('"09:30"', '"24:30"', ["time_of_day", '"24:30"', '"09:30"']),
    "time zone": ("Asia/Tokyo", "Asia/Tokio", ["time_zone", "Asia/Tokyo"]),
    "time zone by abbreviation": ("Asia/Tokyo", "JST+9", ["time_zone", '"JST+9"', "time_zone:"]),
    "start date": ("every: daily", "every: daily\n    start_date: 01/02/2026", ["start_date", "YYYY-MM-DD"]),
    "neither true nor false": ("keep_updated: true", "keep_updated: maybe", ["keep_updated", "true nor false"]),
    "guardrails": ("keep_updated: true", "guardrails: {max_shrink: 0.5}", ["guardrails", "not supported yet"]),
    "update_on_change": ("keep_updated: true", "update_on_change: true", ["update_on_change", "not supported yet"]),
    "depends_on": ("updated_at: updated_at", "depends_on: [marts/vip]", ["source.depends_on", "not supported yet"]),
    "incremental": ("sync_mode: mirror", "incremental: true", ["destination.incremental", "not supported yet"]),
    "late_after": ("every: daily", "every: daily\n    late_after: 6h", ["run_frequency.late_after", "not supported yet"]),
    "template of an unset variable": ("A10000000001", '"{{ env.NO_SUCH_VARIABLE }}"', ["NO_SUCH_VARIABLE", "not set"]),
    "component type": ("LineAudience\n", "LineAudiense\n", ["line 1", "type", "LineAudience"]),
    "no component type": ("type: line_ads_pipeline.components.LineAudience\n", "", ["type", "is missing"]),
    "field at the top": ("attributes:", "name: x\nattributes:", ["line 2", "name", "attributes"]),
    "no attributes": (GOOD.split("\n", 1)[1], "", ["name", "is missing"]),
    "attributes are a list": (GOOD.split("\n", 1)[1], "attributes: [a]\n", ["attributes", "not a block"]),
    "tab": ("    table:", "\ttable:", ["line 7", "YAML"]),
    "unclosed quote": ('"09:30"', '"09:30', ["YAML"]),
    "empty file": (GOOD, "", ["is empty", "type:"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory):
    """One instance for the whole table: a new one takes longer than what is tested."""
    return tmp_path_factory.mktemp("dagster_home")


@pytest.fixture
def project(tmp_path, monkeypatch, request, dagster_home):
    """Makes a Dagster project around audience files, importable under a name of its own."""
    name = "project_" + re.sub(r"\W", "_", request.node.name)[-60:]

    def make(**files: str) -> str:
        root = tmp_path / "root" / name
        (root / "defs").mkdir(parents=True)
        (root / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "{name}"\n'
        )
        (root / "__init__.py").touch()
        (root / "definitions.py").write_text(
            "from pathlib import Path\nimport dagster as dg\nfrom line_ads_pipeline.components import load_audiences\n"
            "@dg.definitions\ndef defs():\n    return load_audiences(Path(__file__).parent)\n"
        )
        (root / "defs" / "resources.py").write_text(
            "import dagster as dg\n"
            "from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource\n"
            "@dg.definitions\ndef resources():\n    return dg.Definitions(resources={'line_ads': LineAdsResource(), "
            "'warehouse': WarehouseResource(url='duckdb:///x.duckdb'), 'snapshots': SnapshotStoreResource(location='x')})\n"
        )
        for folder, text in files.items():
            file = root / "defs" / "audiences" / folder / "defs.yaml"
            file.parent.mkdir(parents=True)
            file.write_text(text)
        return f"{name}.definitions"

    (tmp_path / "root").mkdir()
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    monkeypatch.syspath_prepend(str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path / "root")
    return make


def validate(module: str, caplog: pytest.LogCaptureFixture) -> tuple[int, str]:
    """The exit code of `dagster definitions validate`, and the error as it prints it."""
    logger = logging.getLogger("dagster")
    logger.addHandler(caplog.handler)
    try:
        with pytest.warns(Warning, match="superseded"):
            result = CliRunner().invoke(definitions_validate_command, ["-m", module])
    finally:
        logger.removeHandler(caplog.handler)
    failures = [
        record.getMessage() for record in caplog.records if "Validation failed" in record.getMessage()
    ]
    return result.exit_code, "".join(failures).partition("\n\n")[2].strip()


@pytest.mark.parametrize(("old", "new", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_clear_error(old, new, words, project, caplog):
    assert old in GOOD
    exit_code, error = validate(project(vip=GOOD.replace(old, new, 1)), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5, error
    assert "defs/audiences/vip/defs.yaml" in error
    assert "Instead: " in error
    assert [word for word in words if word not in error] == [], error


def test_a_file_without_mistakes_is_valid(project, caplog):
    assert validate(project(vip=GOOD), caplog) == (0, "")


def other(text: str, **changes: str) -> str:
    """GOOD with the values of some fields changed."""
    for field, value in changes.items():
        text = re.sub(rf"\b{field}: .*", f"{field}: {value}", text, count=1)
    return text


def test_two_files_of_one_name_are_a_mistake(project, caplog):
    exit_code, error = validate(project(a=GOOD, b=other(GOOD, audience_name="Others")), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5
    assert "b/defs.yaml" in error
    assert "a/defs.yaml" in error


def test_two_mirrors_of_one_audience_are_a_mistake(project, caplog):
    exit_code, error = validate(project(a=GOOD, b=other(GOOD, name="others")), caplog)

    assert exit_code == 1
    assert len(error.splitlines()) <= 5
    assert "b/defs.yaml" in error
    assert "sync_mode: add" in error


def test_two_files_may_add_to_one_audience(project, caplog):
    both = {"a": other(GOOD, sync_mode="add"), "b": other(GOOD, sync_mode="add", name="others")}

    assert validate(project(**both), caplog) == (0, "")


def test_the_command_itself_prints_the_error(project, tmp_path):
    """The same through a process of its own, as a user types it."""
    module = project(vip=GOOD.replace("type: email", "type: mail"))
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", module],
        cwd=tmp_path / "root",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    printed = (done.stdout + done.stderr).split("Validation failed", 1)[1].split("Validation for 1", 1)[0]
    error = printed.partition("\n\n")[2].strip().rsplit("\n", 1)[0]
    assert "identifier.type" in error
    assert "Traceback" not in printed
    assert "Stack Trace" not in printed


def test_the_projects_own_definitions_are_valid(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)

    assert validate("line_ads_pipeline.definitions", caplog) == (0, "")


def test_workspace_and_pyproject_name_one_code_location():
    root = Path(__file__).parents[2]
    workspace = yaml.safe_load((root / "workspace.yaml").read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["dg"]["project"]

    assert workspace == {"load_from": [{"python_module": project["code_location_target_module"]}]}
    assert project["code_location_name"] == project["code_location_target_module"]
