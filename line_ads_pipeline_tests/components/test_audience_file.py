"""What is typed in an audience file is what is meant, whatever YAML makes of it."""

from datetime import UTC, date, datetime

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time

from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.reading import read_audience
from line_ads_pipeline.components.schedule import run_partitions
from line_ads_pipeline.components.yaml_document import YamlDocument

MINIMAL = """\
name: vip
source: {table: customers}
identifier: {type: email}
destination: {ad_account_id: A1, audience_name: VIP}
"""


def read(tmp_path, *, text: str = MINIMAL, **blocks: str) -> Audience:
    """The audience of a file whose blocks, as flow YAML, replace those of `text`."""
    kept = [line for line in text.splitlines() if line.partition(":")[0] not in blocks]
    lines = [*kept, *(f"{name}: {value}" for name, value in blocks.items())]
    file = tmp_path / "defs.yaml"
    file.write_text("type: x\nattributes:\n" + "".join(f"  {line}\n" for line in lines))
    (document,) = YamlDocument.read_all(file, shown_as="defs.yaml")
    return read_audience(document.values()["attributes"], document=document)


@pytest.mark.parametrize("typed", ["5343822743474", '"5343822743474"', "'5343822743474'"])
def test_an_id_is_the_text_that_was_typed(tmp_path, typed):
    audience = read(tmp_path, destination=f"{{ad_account_id: A1, audience_id: {typed}}}")

    assert audience.destination.audience_id == "5343822743474"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("2026", "2026"), ('"2026"', "2026"), ("010", "010"), ("1e5", "1e5"), ("on", "on"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("NO", "NO")],
)  # fmt: skip
def test_a_name_is_the_text_that_was_typed(tmp_path, typed, meant):
    audience = read(tmp_path, destination=f"{{ad_account_id: A1, audience_name: {typed}}}")

    assert audience.destination.audience_name == meant


def test_norway_is_a_country(tmp_path):
    audience = read(tmp_path, identifier="{type: phone, default_country: NO}")

    assert audience.identifier.default_country == "NO"


@pytest.mark.parametrize("typed", ["9:30", "09:30", '"09:30"', "'9:30'"])
def test_a_time_of_day_means_the_same_however_it_is_quoted(tmp_path, typed):
    audience = read(tmp_path, run_frequency=f"{{time_of_day: {typed}}}")

    assert audience.run_frequency.cron == "30 9 * * *"


@pytest.mark.parametrize("typed", ["2026-03-01", '"2026-03-01"'])
def test_a_start_date_may_be_quoted_or_not(tmp_path, typed):
    assert read(tmp_path, run_frequency=f"{{start_date: {typed}}}").run_frequency.start_date == date(
        2026, 3, 1
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False)],
)
def test_truth_values_are_those_of_yaml(tmp_path, typed, meant):
    assert read(tmp_path, keep_updated=typed).keep_updated is meant


def test_anchors_and_merge_keys_work(tmp_path):
    text = "x-common: &common {ad_account_id: A1, sync_mode: add}\n" + MINIMAL
    file = tmp_path / "defs.yaml"
    file.write_text(text.replace("destination: {ad_account_id: A1, ", "destination: {<<: *common, "))
    (document,) = YamlDocument.read_all(file, shown_as="defs.yaml")

    assert document.values()["destination"] == {
        "ad_account_id": "A1",
        "sync_mode": "add",
        "audience_name": "VIP",
    }


@pytest.mark.parametrize(
    ("frequency", "cron"),
    [
        ("{}", "0 0 * * *"),
        ("{every: daily, time_of_day: 23:59}", "59 23 * * *"),
        ("{every: weekly, day_of_week: monday, time_of_day: 9:30}", "30 9 * * 1"),
        ("{every: weekly, day_of_week: sunday}", "0 0 * * 0"),
        ("{every: monthly, day_of_month: 28}", "0 0 28 * *"),
        ("{every: monthly, day_of_month: last}", "0 0 L * *"),
    ],
)
def test_the_frequency_is_one_cron_string(tmp_path, frequency, cron):
    assert read(tmp_path, run_frequency=frequency).run_frequency.cron == cron


@pytest.mark.parametrize(
    ("frequency", "now", "run_date"),
    [
        ("{}", "2026-11-21T00:00+00:00", "2026-11-21"),
        ("{time_zone: Asia/Tokyo}", "2026-11-20T15:00+00:00", "2026-11-21"),
        ("{time_zone: Asia/Tokyo, time_of_day: 9:30}", "2026-11-21T00:29+00:00", "2026-11-20"),
        ("{time_zone: Asia/Tokyo, time_of_day: 9:30}", "2026-11-21T00:30+00:00", "2026-11-21"),
        ("{every: weekly, day_of_week: monday}", "2026-11-22T23:59+00:00", "2026-11-16"),
        ("{every: monthly, day_of_month: last}", "2026-03-01T00:00+00:00", "2026-02-28"),
    ],
)
def test_the_newest_run_date_is_the_local_date_of_the_last_promised_moment(
    tmp_path, frequency, now, run_date
):
    partitions = run_partitions(read(tmp_path, run_frequency=frequency).run_frequency)

    with freeze_time(datetime.fromisoformat(now)):
        assert partitions.get_last_partition_key() == run_date


def schedule_of(audience: Audience) -> dg.ScheduleDefinition:
    component = LineAudience(audience)
    definitions = dg.Definitions.merge(
        component.build_defs(dg.ComponentTree.for_test().load_context),
        dg.Definitions(resources={key: object() for key in ("warehouse", "line_ads", "snapshots")}),
    )
    return definitions.resolve_schedule_def("vip_schedule")


# Dagster's own schedules call what it deprecates
@pytest.mark.filterwarnings("ignore:Function `JobDefinition.run_request_for_partition`:DeprecationWarning")
def test_the_schedule_asks_for_the_run_date_of_its_tick(tmp_path):
    schedule = schedule_of(read(tmp_path, run_frequency="{time_zone: Asia/Tokyo, time_of_day: 9:30}"))
    tick = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)

    with freeze_time(tick), dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=tick)
        (request,) = schedule.evaluate_tick(context).run_requests

    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 9 * * *", "Asia/Tokyo")
    assert request.partition_key == "2026-11-21"


@pytest.mark.parametrize(
    ("keep_updated", "switch", "status"),
    [
        ("true", None, dg.DefaultScheduleStatus.RUNNING),
        ("false", None, dg.DefaultScheduleStatus.STOPPED),
        ("true", "off", dg.DefaultScheduleStatus.STOPPED),
        ("true", "on", dg.DefaultScheduleStatus.RUNNING),
    ],
)
def test_a_schedule_runs_from_the_start_unless_the_file_or_the_environment_says_no(
    tmp_path, monkeypatch, keep_updated, switch, status
):
    monkeypatch.delenv("LINE_ADS_SCHEDULES", raising=False)
    if switch is not None:
        monkeypatch.setenv("LINE_ADS_SCHEDULES", switch)

    assert schedule_of(read(tmp_path, keep_updated=keep_updated)).default_status == status


def test_the_component_shows_the_fields_to_editors():
    schema = LineAudience.get_model_cls().model_json_schema()

    assert set(schema["properties"]) == set(Audience.model_fields)


def test_the_component_can_be_made_from_python():
    audience = LineAudience.from_attributes_dict(
        attributes={
            "name": "vip",
            "source": {"path": "customers.csv"},
            "identifier": {"type": "phone", "default_country": "JP"},
            "destination": {"ad_account_id": "A1", "audience_id": 5343822743474},
        }
    ).audience

    assert audience.destination.audience_id == "5343822743474"


def test_templates_are_filled_as_text(monkeypatch):
    monkeypatch.setenv("AUDIENCE_ID", "5343822743474")
    monkeypatch.setenv("PRICE", "1e5")
    audience = LineAudience.from_attributes_dict(
        attributes={
            "name": "vip",
            "description": "{{ env.PRICE }}",
            "source": {"table": "{{ env('TABLE', 'customers') }}"},
            "identifier": {"type": "email"},
            "destination": {"ad_account_id": "A1", "audience_id": "{{ env.AUDIENCE_ID }}"},
        }
    ).audience

    assert (audience.description, audience.source.table) == ("1e5", "customers")
    assert audience.destination.audience_id == "5343822743474"
