"""The three assets of an audience, materialised by Dagster against a real DuckDB file and the simulator."""

import hashlib
import stat
from datetime import UTC, datetime

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import freeze_time

from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource
from line_ads_pipeline.simulator import Fault

ACCOUNT = "A10000000001"
TODAY = "2026-11-21"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Project:
    """A warehouse, a store and a Dagster instance around one audience file."""

    def __init__(self, folder, simulator, instance):
        self.folder, self.instance = folder, instance
        self.line_ads = {
            "access_key": "demo-access-key",
            "secret_key": "demo-secret-key",
            "base_url": simulator.base_url,
            "requests_per_second": 1000.0,
            "first_poll_seconds": 0.001,
            "retry_seconds": 0.0,
        }
        self.resources = {
            "warehouse": WarehouseResource(url="duckdb:///warehouse.duckdb", root=str(folder)),
            "snapshots": SnapshotStoreResource(location=str(folder / "store")),
        }
        self.attributes = {
            "name": "vip",
            "source": {"table": "customers"},
            "identifier": {"type": "email"},
            "destination": {"ad_account_id": ACCOUNT, "audience_name": "VIP customers"},
        }

    def execute(self, sql: str) -> None:
        with duckdb.connect(self.folder / "warehouse.duckdb") as connection:
            connection.execute(sql)

    def customers(self, *emails: str | None) -> None:
        self.execute("CREATE OR REPLACE TABLE customers (email VARCHAR, updated_at TIMESTAMP)")
        with duckdb.connect(self.folder / "warehouse.duckdb") as connection:
            for email in emails:
                connection.execute("INSERT INTO customers VALUES (?, TIMESTAMP '2026-11-01')", [email])

    def definitions(self) -> dg.Definitions:
        component = LineAudience(Audience.model_validate(self.attributes))
        context = dg.ComponentTree.for_test().load_context
        return component.build_defs(context)

    def run(self, *selection: str, run_date: str = TODAY, now: datetime = NOW, config: dict | None = None):
        """Materialise; the whole audience, or the assets named."""
        with freeze_time(now):
            return dg.materialize(
                list(self.definitions().assets),
                instance=self.instance,
                partition_key=run_date,
                resources=self.resources | {"line_ads": LineAdsResource(**self.line_ads)},
                selection=[dg.AssetKey(["vip", name]) for name in selection] or None,
                run_config={"ops": {f"vip__{op}": {"config": c} for op, c in (config or {}).items()}},
                raise_on_error=False,
            )

    def metadata(self, result, name: str) -> dict:
        (event,) = result.asset_materializations_for_node(f"vip__{name}")
        return {key: value.value for key, value in event.metadata.items()}


def failure(result) -> str:
    """What the user reads of the step that failed."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    return event.step_failure_data.error.message


@pytest.fixture
def project(tmp_path, simulator):
    with dg.DagsterInstance.ephemeral() as instance:
        made = Project(tmp_path, simulator, instance)
        made.customers("Taro@Example.com ", "taro@example.com", "hanako@example.co.jp", "nobody", "", None)
        yield made


def changed_nothing(simulator) -> bool:
    return all(request.method == "GET" for request in simulator.requests)


def test_an_audience_holds_exactly_the_valid_identifiers(project, simulator):
    result = project.run()

    (audience,) = simulator.audiences()
    assert result.success
    assert simulator.members(audience.id) == {sha256("taro@example.com"), sha256("hanako@example.co.jp")}
    assert not simulator.broken_rules


def test_materialisations_count_what_became_of_the_rows(project, simulator):
    project.customers(
        "Taro@Example.com ", "taro@example.com", "nobody", "", None, sha256("x@example.com").upper()
    )
    result = project.run()

    assert project.metadata(result, "source_segment")["dagster/row_count"] == 6
    assert project.metadata(result, "source_segment")["nulls"] == 1
    hashed = project.metadata(result, "hashed_identifiers")
    assert {key: hashed[key] for key in hashed if key != "snapshot"} == {
        "rows": 6,
        "identifiers": 2,
        "already_hashed": 1,
        "duplicates": 1,
        "skipped": 3,
        "skipped_null": 1,
        "skipped_blank": 1,
        "skipped_not_an_email_address": 1,
    }
    sent = project.metadata(result, "line_custom_audience")
    (audience,) = simulator.audiences()
    assert sent | {"sync_id": None} == {
        "audience_id": audience.id,
        "audience_name": "VIP customers",
        "identifiers_sent": 2,
        "identifiers_processed": 2,
        "chunks": 1,
        "bytes": 130,
        "status": "READY",
        "estimated_size_as_shown": "100 or fewer",
        "audience_was_created": True,
        "sync_was_resumed": False,
        "sync_id": None,
    }


def test_keys_group_job_and_schedule_are_named_after_the_audience(project):
    definitions = dg.Definitions.merge(
        project.definitions(), dg.Definitions(resources=project.resources | {"line_ads": LineAdsResource()})
    )
    specs = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}

    assert sorted(specs) == ["vip/hashed_identifiers", "vip/line_custom_audience", "vip/source_segment"]
    assert {spec.group_name for spec in specs.values()} == {"vip"}
    assert [job.name for job in definitions.jobs] == ["sync_vip"]
    assert [schedule.name for schedule in definitions.schedules] == ["vip_schedule"]


def test_nothing_of_the_members_is_in_the_event_log(project):
    result = project.run()

    events = "\n".join(str(event) for event in result.all_events)
    assert sha256("taro@example.com") not in events
    assert "hanako" not in events


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"line_ads": {"secret_key": "wrong"}}, ["authentication failed", "LINE_ADS_SECRET_KEY"]),
        ({"line_ads": {"secret_key": None}}, ["LINE_ADS_SECRET_KEY", "environment variables"]),
        ({"destination": {"ad_account_id": "A99999999999"}}, ["ad account A99999999999 not found"]),
        ({"destination": {"audience_id": "5343822743474"}}, ["audience 5343822743474 not found"]),
        ({"source": {"table": "custommers"}}, ["custommers", "customers"]),
        ({"identifier": {"column": "mail"}}, ["mail", "email"]),
        ({"identifier": {"type": "ifa", "column": "email"}}, ["no valid identifiers"]),
    ],
    ids=[
        "wrong keys",
        "no keys",
        "unknown ad account",
        "unknown audience id",
        "missing table",
        "missing column",
        "no valid identifiers",
    ],
)
def test_a_failing_run_changes_nothing_and_says_what_to_do(project, simulator, change, words):
    project.line_ads |= change.pop("line_ads", {})
    for block, fields in change.items():
        project.attributes[block] |= fields

    result = project.run()

    assert not result.success
    assert [word for word in words if word not in failure(result)] == [], failure(result)
    assert failure(result).count("vip: ") == 1
    assert changed_nothing(simulator)


def test_an_audience_of_another_type_is_refused(project, simulator):
    given = simulator.add_audience(ACCOUNT, name="VIP customers", function_type="HASHED_PHONE_NUMBER_UPLOAD")
    project.attributes["destination"]["audience_id"] = given

    assert "identifier type" in failure(project.run())
    assert changed_nothing(simulator)


def test_somebody_elses_audience_of_the_name_is_refused_unless_adopted(project, simulator):
    simulator.add_audience(ACCOUNT, name="VIP customers", members=["a" * 64])

    assert "adopt: true" in failure(project.run())
    assert changed_nothing(simulator)

    project.attributes["destination"]["adopt"] = True
    assert project.run().success


def test_a_deleted_audience_is_made_anew_when_the_run_config_says_so(project, simulator):
    project.run()
    (first,) = simulator.audiences()
    simulator.remove_audience(first.id)

    assert "recreate_audience" in failure(project.run())
    assert project.run(config={"line_custom_audience": {"recreate_audience": True}}).success


def test_a_past_run_date_without_a_snapshot_is_refused(project):
    result = project.run(run_date="2026-11-20")

    assert "allow_late_snapshot" in failure(result)


def test_a_past_run_date_may_be_hashed_when_the_run_config_says_so(project):
    config = {"hashed_identifiers": {"allow_late_snapshot": True}}

    assert project.run(run_date="2026-11-20", config=config).success


def test_a_past_run_date_keeps_the_snapshot_it_has(project):
    first = project.metadata(project.run(), "hashed_identifiers")
    project.customers("somebody.else@example.com")

    again = project.run("hashed_identifiers", now=datetime(2026, 11, 22, 12, tzinfo=UTC))

    assert project.metadata(again, "hashed_identifiers") == first


def test_a_mirror_of_an_older_run_date_is_refused(project, simulator):
    project.run()
    project.run(run_date="2026-11-22", now=datetime(2026, 11, 22, 12, tzinfo=UTC))
    before = len(simulator.requests)

    result = project.run("line_custom_audience", now=datetime(2026, 11, 22, 13, tzinfo=UTC))

    assert "older than 2026-11-22" in failure(result)
    assert len(simulator.requests) == before


@pytest.mark.parametrize("asset", ["hashed_identifiers", "line_custom_audience"])
def test_a_step_whose_input_is_missing_says_what_to_materialise(project, asset):
    result = project.run(asset)

    assert "Materialise" in failure(result)
    assert TODAY in failure(result)


def test_a_segment_that_changed_in_between_is_warned_of(project):
    project.attributes["source"]["updated_at"] = "updated_at"
    project.run("source_segment")
    project.customers("taro@example.com", "hanako@example.com")

    result = project.run("hashed_identifiers")

    log = "\n".join(entry.user_message for entry in project.instance.all_logs(result.run_id))
    assert "row count was 6 when source_segment looked, and 2 after hashing" in log
    assert "version was 2026-11-01" in log


def test_an_add_of_an_empty_segment_succeeds_without_a_request(project, simulator):
    project.attributes["destination"]["sync_mode"] = "add"
    project.customers()

    result = project.run()

    assert project.metadata(result, "line_custom_audience") == {
        "identifiers_sent": 0,
        "chunks": 0,
        "bytes": 0,
    }
    assert not simulator.requests


def test_uploads_hold_at_most_the_rows_that_the_file_says(project, simulator):
    project.attributes["destination"]["max_records_per_upload"] = 2
    project.customers(*(f"person{number}@example.com" for number in range(5)))

    assert project.metadata(project.run(), "line_custom_audience")["chunks"] == 3
    assert [request.row_count for request in simulator.requests if request.call == "upload"] == [2, 2, 1]


@pytest.mark.parametrize(
    ("identifier", "value", "member"),
    [
        ({"type": "email", "strict_line_characters": False}, "a+b@example.com", sha256("a+b@example.com")),
        ({"type": "phone", "default_country": "JP"}, "090-1234-5678", sha256("819012345678")),
        ({"type": "phone", "default_country": "JP", "phone_format": "national"}, "+81 90-1234-5678", sha256("09012345678")),
        ({"type": "phone", "phone_format": "as_given"}, "090-1234", sha256("0901234")),
        ({"type": "phone", "default_country": "JP", "phone_validation": "possible"}, "02-1234-5678", sha256("81212345678")),
        ({"type": "ifa"}, "EA7583CD-A667-48BC-B806-42ECB2B48606", "EA7583CD-A667-48BC-B806-42ECB2B48606"),
        ({"type": "ifa", "ifa_case": "lower"}, "EA7583CD-A667-48BC-B806-42ECB2B48606", "ea7583cd-a667-48bc-b806-42ecb2b48606"),
    ],
    ids=["email", "phone", "national", "as given", "possible", "ifa", "ifa in lower case"],
)  # fmt: skip
def test_each_identifier_field_has_its_effect(project, simulator, identifier, value, member):
    project.attributes["identifier"] = identifier | {"column": "email"}
    project.customers(value)

    assert project.run().success
    (audience,) = simulator.audiences()
    assert simulator.members(audience.id) == {member}


@pytest.mark.parametrize(
    "identifier",
    [
        {"type": "email", "strict_line_characters": True},
        {"type": "phone", "default_country": "JP", "phone_validation": "valid"},
    ],
    ids=["strict characters", "valid phones"],
)
def test_a_stricter_rule_skips_what_a_looser_one_sends(project, identifier):
    project.attributes["identifier"] = identifier | {"column": "email"}
    project.customers("a+b@example.com", "02-1234-5678")

    assert "no valid identifiers" in failure(project.run())


def test_the_snapshots_of_plain_mobile_ad_ids_are_private_and_few(project):
    project.attributes["identifier"] = {"type": "ifa", "column": "email"}
    for day, last_digit in ((21, "1"), (22, "2"), (23, "3")):
        project.customers(f"ea7583cd-a667-48bc-b806-42ecb2b4860{last_digit}")
        project.run(run_date=f"2026-11-{day}", now=datetime(2026, 11, day, 12, tzinfo=UTC))

    snapshots = [file for file in (project.folder / "store" / "snapshots").rglob("*") if file.is_file()]
    assert len(snapshots) == 1
    assert stat.S_IMODE(snapshots[0].stat().st_mode) == 0o600


def test_a_rejected_upload_says_what_line_said(project, simulator):
    simulator.inject(Fault(call="upload", status=400, reasons=("INVALID_FILE_CONTENT",)))

    assert "INVALID_FILE_CONTENT" in failure(project.run())
