"""`line-ads check` tells what would go wrong before a run does, and changes nothing."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from line_ads_pipeline.simulator import Simulator
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords, Destination

PEOPLE = "SELECT * FROM (VALUES ('a@example.com'), ('b@example.com'), (NULL)) AS people(email)"
OUR_FILE = Destination(audience="fans", ad_account_id="A1", id_type="HASHED_EMAIL").file_name(
    sync_id="0", chunk=1, attempt=1
)


@pytest.fixture
def check(connected, project, table):
    """Runs the check of a project that is all right but for what the test changes; gives exit code and findings."""

    def run(*, select: str = PEOPLE, audience_file: str | None = None):
        if select:
            table(select)
        module = project() if audience_file is None else project(audience_file)
        result = connected("check", "-m", module, "--json")
        document = json.loads(result.stdout)
        assert document["ok"] is (result.exit_code == 0)
        return result.exit_code, {finding["topic"]: finding for finding in document["checks"]}

    return run


def outcomes(findings) -> dict[str, str]:
    return {topic: finding["outcome"] for topic, finding in findings.items()}


ALL_RIGHT = {
    "coordination": "ok",
    "credentials": "ok",
    "clock": "ok",
    "source": "ok",
    "ad account": "ok",
    "destination": "ok",
}


def test_all_is_right(check, simulator):
    exit_code, findings = check()

    assert exit_code == 0
    assert outcomes(findings) == ALL_RIGHT
    assert findings["credentials"]["found"] == f"accepted by {simulator.base_url}"
    assert findings["source"]["found"] == "3 rows, 2 with email"
    assert findings["destination"]["found"] == '"Fans" will be created'


def test_nothing_is_changed_and_no_rule_broken(check, simulator):
    simulator.add_audience("A10000000001", name="Fans", job_file_names=[OUR_FILE])
    check()

    assert {request.method for request in simulator.requests} == {"GET"}
    assert simulator.broken_rules == ()


def test_our_own_audience_is_found(check, simulator):
    audience_id = simulator.add_audience(
        "A10000000001", name="Fans", members=["0" * 64] * 2, job_file_names=[OUR_FILE]
    )
    exit_code, findings = check()

    assert exit_code == 0
    assert findings["destination"]["found"] == f'{audience_id} "Fans", READY, size 100 or fewer'


def colleagues_audience(simulator, _store):
    simulator.add_audience("A10000000001", name="Fans", job_file_names=["theirs.txt"])


def two_audiences(simulator, _store):
    for _ in range(2):
        simulator.add_audience("A10000000001", name="Fans", job_file_names=[OUR_FILE])


def expired_audience(simulator, _store):
    simulator.add_audience("A10000000001", name="Fans", status="EXPIRED", job_file_names=[OUR_FILE])


def record(store, audience_id):
    fans = Destination(
        audience="fans", ad_account_id="A10000000001", id_type="HASHED_EMAIL", audience_name="Fans"
    )
    AudienceRecords(store, "fans").record_audience(fans, audience_id)


def deleted_audience(_simulator, store):
    record(store, "5399999999999")


def audience_of_phones(simulator, store):
    record(
        store,
        simulator.add_audience("A10000000001", name="Fans", function_type="HASHED_PHONE_NUMBER_UPLOAD"),
    )


@pytest.mark.parametrize(
    ("prepare", "found", "remedy"),
    [
        (colleagues_audience, "not ours", "adopt: true"),
        (two_audiences, "several of this name", "destination.audience_id"),
        (expired_audience, "expired or failed", "recreate_audience: true"),
        (deleted_audience, "gone", "audience 5399999999999 not found"),
        (audience_of_phones, "wrong type", "identifier type"),
    ],
    ids=["not ours", "several", "expired", "gone", "wrong type"],
)
def test_a_destination_that_cannot_be_used(prepare, found, remedy, check, simulator, tmp_path):
    prepare(simulator, Store(tmp_path / "store"))
    exit_code, findings = check()

    assert exit_code == 1
    assert outcomes(findings) == ALL_RIGHT | {"destination": "failed"}
    assert findings["destination"]["found"] == found
    assert remedy in findings["destination"]["remedy"]


@pytest.mark.parametrize(
    ("select", "remedy"),
    [
        ("", "There is no DuckDB database"),
        ("SELECT 'a@example.com' AS mail", "email"),
        ("SELECT NULL::VARCHAR AS email FROM range(5)", "no valid identifiers"),
        (f"{PEOPLE} LIMIT 0", "no valid identifiers"),
        ("SELECT 1.5::DOUBLE AS email", "cannot hold identifiers"),
    ],
    ids=["no database", "no column", "only NULL", "no rows", "decimal numbers"],
)
def test_a_source_that_cannot_be_used(select, remedy, check):
    exit_code, findings = check(select=select)

    assert exit_code == 1
    assert outcomes(findings) == ALL_RIGHT | {"source": "failed"}
    assert remedy in findings["source"]["remedy"]


def test_an_add_may_have_no_rows(check, audience_file):
    exit_code, findings = check(
        select=f"{PEOPLE} LIMIT 0",
        audience_file=audience_file.replace("audience_name: Fans", "audience_name: Fans, sync_mode: add"),
    )

    assert exit_code == 0
    assert findings["source"]["found"] == "0 rows, 0 with email"


def test_an_ad_account_that_the_key_may_not_use(check, audience_file):
    exit_code, findings = check(audience_file=audience_file.replace("A10000000001", "A19999999999"))

    assert exit_code == 1
    assert outcomes(findings) == ALL_RIGHT | {"ad account": "failed", "destination": "not tried"}
    assert "ad account A19999999999 not found" in findings["ad account"]["remedy"]


def test_wrong_keys(check, monkeypatch):
    monkeypatch.setenv("LINE_ADS_SECRET_KEY", "a-wrong-secret")
    exit_code, findings = check()

    assert exit_code == 1
    assert outcomes(findings) == {
        "coordination": "ok",
        "credentials": "failed",
        "source": "ok",
        "ad account": "not tried",
        "destination": "not tried",
    }
    assert "authentication failed" in findings["credentials"]["remedy"]


def test_a_coordination_database_that_cannot_be_used(check, monkeypatch, simulator):
    monkeypatch.setenv("LINE_ADS_COORDINATION_URL", "mysql://user:sentinel@host/database")
    exit_code, findings = check()

    assert exit_code == 1
    assert outcomes(findings) == {
        "coordination": "failed",
        "source": "ok",
        "ad account": "not tried",
        "destination": "not tried",
    }
    assert "LINE_ADS_COORDINATION_URL" in findings["coordination"]["remedy"]
    assert "sentinel" not in findings["coordination"]["remedy"]
    assert not simulator.requests


def test_no_keys(check, monkeypatch):
    monkeypatch.delenv("LINE_ADS_SECRET_KEY")
    exit_code, findings = check()

    assert exit_code == 1
    assert findings["credentials"]["outcome"] == "failed"
    assert "LINE_ADS_SECRET_KEY" in findings["credentials"]["remedy"]
    assert findings["source"]["outcome"] == "ok"


def test_a_wrong_clock(check, monkeypatch):
    with Simulator(clock=lambda: datetime.now(UTC) + timedelta(hours=1)) as ahead:
        monkeypatch.setenv("LINE_ADS_BASE_URL", ahead.base_url)
        exit_code, findings = check()

    assert exit_code == 1
    assert findings["credentials"]["outcome"] == "not tried"
    assert findings["clock"]["outcome"] == "failed"
    assert "clock" in findings["clock"]["remedy"]


@pytest.mark.parametrize("url", ["ads.line.me/api", "https://"])
def test_a_base_url_that_is_none(check, monkeypatch, url):
    monkeypatch.setenv("LINE_ADS_BASE_URL", url)
    exit_code, findings = check()

    assert exit_code == 1
    assert "LINE_ADS_BASE_URL" in findings["credentials"]["remedy"]


def test_a_server_that_does_not_know_the_path_proves_nothing_about_the_keys(check, monkeypatch, simulator):
    monkeypatch.setenv("LINE_ADS_BASE_URL", f"{simulator.url}/elsewhere")
    exit_code, findings = check()

    assert exit_code == 1
    assert findings["credentials"]["outcome"] == "failed"
    assert "LINE_ADS_BASE_URL" in findings["credentials"]["remedy"]


def test_no_answer(check, monkeypatch):
    with Simulator() as gone:
        monkeypatch.setenv("LINE_ADS_BASE_URL", gone.base_url)
    exit_code, findings = check()

    assert exit_code == 1
    assert findings["credentials"]["found"] == "no answer that tells"
    assert "LINE_ADS_BASE_URL" in findings["credentials"]["remedy"]


def test_a_resource_whose_variable_is_not_set(connected, project, table):
    table(PEOPLE)
    other_keys = (
        "import dagster as dg\n"
        "from line_ads_pipeline.defs import resources as usual\n"
        "@dg.definitions\n"
        "def resources():\n"
        "    mine = usual.LineAdsResource(access_key=dg.EnvVar('NO_SUCH_KEY'), secret_key='s')\n"
        "    return dg.Definitions(resources={**usual.resources().resources, 'line_ads': mine})\n"
    )
    result = connected("check", "-m", project(resources=other_keys), "--json")

    assert result.exit_code == 1
    credentials, source, *_ = json.loads(result.stdout)["checks"]
    assert credentials["outcome"] == "failed"
    assert credentials["remedy"] == "the resource line_ads cannot be configured. Set NO_SUCH_KEY."
    assert source["outcome"] == "ok"


def test_a_project_without_a_store(connected, project, table):
    table(PEOPLE)
    no_store = (
        "import dagster as dg\n"
        "from line_ads_pipeline.defs import resources as usual\n"
        "@dg.definitions\n"
        "def resources():\n"
        "    own = dict(usual.resources().resources)\n"
        "    del own['snapshots']\n"
        "    return dg.Definitions(resources=own)\n"
    )
    result = connected("check", "-m", project(resources=no_store), "--json")

    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["checks"]
    assert finding["outcome"] == "failed"
    assert '"snapshots" is not a resource of this project' in finding["remedy"]


def test_a_mistake_in_an_audience_file(check, audience_file):
    exit_code, findings = check(audience_file=audience_file.replace("type: email", "type: mail"))

    assert exit_code == 1
    assert outcomes(findings) == {"audience file": "failed"}
    assert "identifier.type" in findings["audience file"]["remedy"]


def test_a_project_without_audiences(connected, project):
    result = connected("check", "-m", project(None))

    assert result.exit_code == 0
    assert "There is no audience yet" in result.stdout


def test_the_table_is_for_people(connected, project, table, simulator):
    table(PEOPLE)
    colleagues_audience(simulator, None)
    result = connected("check", "-m", project())

    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert any("✓" in line and "source" in line and "3 rows, 2 with email" in line for line in lines)
    assert any("✗" in line and "destination" in line and "not ours" in line for line in lines)
    assert lines[-1].startswith('fans, destination: the audience "Fans"')
    assert "Traceback" not in result.output


def test_by_default_it_checks_the_audiences_of_this_project(connected):
    result = connected("check", "--json")

    assert {"vip_customers", "line_ads"} <= {
        finding["subject"] for finding in json.loads(result.stdout)["checks"]
    }


def test_keys_are_read_from_the_env_file_as_dagster_reads_it(line_ads, project, table, simulator, tmp_path):
    table(PEOPLE)
    (tmp_path / ".env").write_text(
        "LINE_ADS_ACCESS_KEY=demo-access-key\nLINE_ADS_SECRET_KEY=demo-secret-key\n"
        f"LINE_ADS_BASE_URL={simulator.base_url}\n"
    )

    assert line_ads("check", "-m", project()).exit_code == 0


@pytest.mark.parametrize("module", ["no_such_module", "json"])
def test_a_module_without_definitions_is_a_mistake_of_typing(module, line_ads):
    result = line_ads("check", "-m", module)

    assert result.exit_code == 2
    assert module in result.stderr
