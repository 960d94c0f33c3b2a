"""`make demo` and `make dev`: as commands, and what keeps made-up customers away from a real LINE."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO

import httpx
import pytest
from click.testing import CliRunner
from rich.console import Console

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.demo import report, serve, surroundings
from line_ads_pipeline.demo.__main__ import main
from line_ads_pipeline.demo.run import command, materialise, newest_run_date
from line_ads_pipeline.demo.surroundings import DemoError, DemoFolder, Project, demo_environment, own_settings
from line_ads_pipeline.line_ads import CustomAudience
from line_ads_pipeline.simulator import Simulator
from line_ads_pipeline.store import Snapshot, Tally

LINE_VARIABLES = (*surroundings.LINE_VARIABLES, surroundings.WAREHOUSE_VARIABLE)


@pytest.fixture
def environment(tmp_path):
    """A Dagster home of its own, and none of the project's variables."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    inherited = {name: value for name, value in os.environ.items() if name not in LINE_VARIABLES}
    return inherited | {"DAGSTER_HOME": str(tmp_path / "home"), "COLUMNS": "120"}


@pytest.fixture
def clean_settings(monkeypatch, tmp_path):
    """No variable of the project is set, and there is no .env but the one that a test writes."""
    for name in LINE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(surroundings, "PROJECT_ROOT", tmp_path)
    return tmp_path


def demo(*options):
    return [sys.executable, "-m", "line_ads_pipeline.demo", *options]


def test_the_demo_from_its_start_to_its_end(tmp_path, environment):
    """With keys of the user in the environment, which it must not use."""
    done = subprocess.run(
        demo("--rows", "500", "--folder", str(tmp_path / "demo")),
        env=environment | {"LINE_ADS_ACCESS_KEY": "own", "LINE_ADS_SECRET_KEY": "own-secret"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    held, exact = (
        re.search(pattern, done.stdout)[1]
        for pattern in (r"members that LINE holds +(\d+)", r"✓ Its (\d+) members are exactly the hashes")
    )
    assert held == exact
    assert re.search(r"rows in marts.vip_customers +500", done.stdout)
    assert "VIP customers" in done.stdout
    assert "no rule of the API was broken" in done.stdout
    assert "make dev" in done.stdout
    assert "superseded" not in done.stdout
    log = (tmp_path / "demo" / "run.log").read_text()
    assert log.startswith("dagster asset materialize --select '+key:\"vip_customers/line_custom_audience\"'")
    assert "RUN_SUCCESS" in log
    assert (tmp_path / "home" / "history").is_dir()


def test_a_process_that_fails_tells_why_and_where_the_log_is(tmp_path, environment):
    with pytest.raises(DemoError) as caught:
        materialise(
            ["no_such_module"], environment=environment, log=tmp_path / "run.log", on_step=lambda *_: None
        )

    assert "No module named no_such_module" in str(caught.value)
    assert str(tmp_path / "run.log") in str(caught.value)


def test_a_step_that_fails_is_told_in_the_words_of_the_asset(tmp_path, environment):
    """The warehouse is missing."""
    audience = Project.load().demo_audience()

    steps = []
    with Simulator() as simulator, pytest.raises(DemoError, match="There is no DuckDB database"):
        materialise(
            command(audience, newest_run_date(audience)),
            environment=environment
            | {
                name: value
                for name, value in demo_environment(simulator, DemoFolder(tmp_path), serving=False).items()
                if name in LINE_VARIABLES
            },
            log=tmp_path / "run.log",
            on_step=lambda *step: steps.append(step),
        )

    assert steps == [("source_segment", "START")]


def test_an_env_file_with_keys_stops_the_demo(clean_settings):
    (clean_settings / ".env").write_text("LINE_ADS_ACCESS_KEY=real\nLINE_ADS_SECRET_KEY=real-secret\n")
    result = CliRunner().invoke(main, ["--folder", str(clean_settings / "demo")])

    assert result.exit_code == 1
    assert ".env sets LINE_ADS_ACCESS_KEY, LINE_ADS_SECRET_KEY" in result.stderr
    assert "real-secret" not in result.output
    assert not (clean_settings / "demo").exists()


def test_settings_of_the_user_are_found_where_they_are(clean_settings, monkeypatch):
    monkeypatch.setenv("LINE_ADS_BASE_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("LINE_ADS_ACCESS_KEY", "a")
    (clean_settings / ".env").write_text("LINE_ADS_ACCESS_KEY=b\nOTHER=c\nLINE_ADS_STORE=\n")

    assert own_settings(surroundings.LINE_VARIABLES) == {
        "LINE_ADS_BASE_URL": "the environment",
        "LINE_ADS_ACCESS_KEY": ".env",
    }


def audience(**changes) -> Audience:
    fields = {
        "name": "vip_customers",
        "source": {"table": "marts.vip_customers"},
        "identifier": {"type": "email"},
        "destination": {"ad_account_id": "A10000000003", "audience_name": "VIP"},
    }
    return Audience.model_validate(fields | changes)


def test_the_simulator_knows_the_ad_accounts_of_the_audiences():
    assert Project((audience(),)).ad_account_ids == ("A10000000001", "A10000000002", "A10000000003")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "others"},
        {"source": {"table": "marts.others"}},
        {"source": {"table": "marts.vip_customers", "warehouse": "snowflake"}},
        {"identifier": {"type": "phone"}},
        {
            "destination": {
                "ad_account_id": "A10000000003",
                "audience_name": "VIP",
                "credentials": "line_ads_of_a_client",
            }
        },
    ],
    ids=["gone", "other table", "other warehouse", "other identifiers", "other credentials"],
)
def test_an_audience_that_was_changed_is_not_run_with_made_up_customers(changes):
    assert Project((audience(),)).demo_audience() == audience()
    with pytest.raises(DemoError, match=r"vip_customers.*[Rr]estore"):
        Project((audience(**changes),)).demo_audience()


def test_one_demo_at_a_time(tmp_path):
    folder = DemoFolder(tmp_path)
    with folder.alone(), pytest.raises(DemoError, match="running"), folder.alone():
        pass


@pytest.mark.parametrize(
    ("members", "verdict"),
    [
        ({"a", "b"}, "✓ Its 2 members are exactly"),
        (
            {"a"},
            "✗ LINE does not hold whom it should: of the 2 hashes made by hashlib alone 1 are missing, and 0",
        ),
        ({"a", "b", "c"}, "0 are missing, and 1 members are not among them"),
    ],
    ids=["exact", "one missing", "one too many"],
)
def test_the_verdict_is_honest(members, verdict):
    finished = report.Report(
        tally=Tally(rows=3, outcomes={"hashed": 2, "null": 1}, distinct=2, duplicates=0),
        snapshot=Snapshot(digest="0" * 64, record_width=32, count=2),
        audience=CustomAudience(id="1", name="VIP", function_type="HASHED_EMAIL_UPLOAD", status="READY"),
        chunks=[2],
        members=frozenset(members),
        expected=frozenset({"a", "b"}),
        broken_rules=0,
    )
    console = Console(width=200, record=True, file=StringIO())
    report.show(finished, console)

    assert verdict in console.export_text()
    assert finished.exact is (members == {"a", "b"})


def test_a_busy_port_is_one_clear_line(clean_settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(
            main, ["--serve", "--port", str(port), "--folder", str(clean_settings / "demo")]
        )

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}")
    assert len(result.stderr.splitlines()) == 1


@contextmanager
def serving(folder, environment):
    """`make dev` on ports of its own, and what it printed once both addresses are there."""
    with subprocess.Popen(
        demo("--serve", "--rows", "200", "--folder", str(folder), "--port", "0", "--dagster-port", "3900"),
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        printed = ""
        try:
            for line in process.stdout:
                printed += line
                if "Ctrl-C stops" in line:
                    break
            yield process, printed
        finally:
            process.terminate()


def test_dev_serves_both_pages_until_it_is_interrupted(tmp_path, environment):
    with serving(tmp_path / "demo", environment) as (process, printed):
        ui, page = (
            re.search(pattern, printed)[1]
            for pattern in (r"Dagster UI +(http\S+)", r"Simulated LINE +(http\S+)")
        )
        assert "dagster_webserver_version" in httpx.get(f"{ui}/server_info").text
        assert "LINE" in httpx.get(page).text
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.wait(timeout=60)

    assert process.returncode == 0, printed + rest
    assert "Traceback" not in printed + rest
    for address in (ui, page):
        with pytest.raises(httpx.ConnectError):
            httpx.get(address)


@pytest.fixture
def started(clean_settings, monkeypatch):
    """What `make dev` would start Dagster with: the environment, and the simulator's page or None."""
    calls = []
    monkeypatch.setattr(
        serve, "_run_dagster", lambda environment, *_, page: calls.append((environment, page))
    )

    def start() -> tuple[dict[str, str], str | None, str]:
        result = CliRunner().invoke(
            main, ["--serve", "--rows", "20", "--port", "0", "--folder", str(clean_settings / "demo")]
        )
        assert result.exit_code == 0, result.output
        return *calls.pop(), " ".join(result.stdout.split())

    return start


def test_dev_points_dagster_at_the_simulator_and_the_made_up_warehouse(started, clean_settings):
    environment, page, _ = started()

    assert environment["LINE_ADS_BASE_URL"] == f"{page}/api"
    assert environment["LINE_ADS_STORE"] == str(clean_settings / "demo" / "store_of_dev")
    assert environment["LINE_ADS_COORDINATION_URL"] == f"sqlite:///{clean_settings}/demo/coordination.sqlite"
    assert environment["WAREHOUSE_URL"] == f"duckdb:///{clean_settings}/demo/warehouse.duckdb"
    assert (clean_settings / "demo" / "warehouse.duckdb").is_file()


def test_dev_makes_the_warehouse_once_and_the_store_anew(started, clean_settings):
    started()
    made = (clean_settings / "demo" / "warehouse.duckdb").stat().st_mtime_ns
    remembered = clean_settings / "demo" / "store_of_dev" / "of the last simulator"
    remembered.mkdir(parents=True)
    started()

    assert (clean_settings / "demo" / "warehouse.duckdb").stat().st_mtime_ns == made
    assert not remembered.exists()


@pytest.mark.parametrize("place", ["the environment", ".env"])
@pytest.mark.parametrize("name", surroundings.LINE_VARIABLES)
def test_dev_uses_the_line_of_the_user_and_starts_no_simulator(
    name, place, started, clean_settings, monkeypatch
):
    if place == ".env":
        (clean_settings / ".env").write_text(f"{name}=own\n")
    else:
        monkeypatch.setenv(name, "own")
    environment, page, printed = started()

    assert page is None
    assert environment == dict(os.environ)
    assert f"{name} is set in {place}" in printed
    assert "no simulator is started" in printed
    assert "Schedules are on" in printed
    assert not (clean_settings / "demo").exists()


def test_dev_reads_the_warehouse_of_the_user_beside_the_simulator(started, clean_settings, monkeypatch):
    monkeypatch.setenv("WAREHOUSE_URL", "duckdb:///own.duckdb")
    environment, page, printed = started()

    assert environment["LINE_ADS_COORDINATION_URL"] == f"sqlite:///{clean_settings}/demo/coordination.sqlite"
    assert environment["WAREHOUSE_URL"] == "duckdb:///own.duckdb"
    assert environment["LINE_ADS_BASE_URL"] == f"{page}/api"
    assert "WAREHOUSE_URL is set in the environment" in printed
    assert not (clean_settings / "demo" / "warehouse.duckdb").exists()
