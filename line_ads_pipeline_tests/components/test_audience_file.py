"""What is typed in an audience file is what is meant, whatever YAML makes of it."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
import yaml
from dagster._core.test_utils import freeze_time

from line_ads_pipeline.components import AudienceFileError, LineAudience
from line_ads_pipeline.components.audience_file import Audience, GuardrailsBlock, UpdateBlock
from line_ads_pipeline.components.reading import read_audience
from line_ads_pipeline.components.schedule import run_partitions
from line_ads_pipeline.components.yaml_document import YamlDocument
from line_ads_pipeline.identifiers import EmailRules, IfaRules, PhoneRules
from line_ads_pipeline.sync import Destination

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


@pytest.mark.parametrize(
    "name",
    ["VIP  customers", "ลูกค้า VIP", "優良顧客", "👩‍👩‍👧 families", "Ranges ♥️", "سوق\u200cها", "x" * 120],
)
def test_a_name_may_hold_what_can_be_seen(tmp_path, name):
    audience = read(tmp_path, destination=f'{{ad_account_id: A1, audience_name: "{name}"}}')

    assert audience.destination.audience_name == name


def test_norway_is_a_country(tmp_path):
    audience = read(tmp_path, identifier="{type: phone, default_country: NO}")

    assert audience.identifier.default_country == "NO"


@pytest.mark.parametrize("typed", ["9:30", "09:30", '"09:30"', "'9:30'"])
def test_a_time_of_day_means_the_same_however_it_is_quoted(tmp_path, typed):
    audience = read(tmp_path, run_frequency=f"{{time_of_day: {typed}}}")

    assert audience.run_frequency.cron == "30 9 * * *"


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("{}", "daily at 00:00 UTC"),
        (
            "{every: weekly, day_of_week: monday, time_of_day: 9:30, time_zone: Asia/Tokyo}",
            "weekly on monday at 09:30 Asia/Tokyo",
        ),
        ("{every: monthly, day_of_month: 28}", "monthly on day 28 at 00:00 UTC"),
        ("{every: monthly, day_of_month: last}", "monthly on the last day at 00:00 UTC"),
    ],
)
def test_the_schedule_says_when_it_runs(tmp_path, typed, words):
    schedule = schedule_of(read(tmp_path, run_frequency=typed))

    assert schedule.description == f"Syncs vip to LINE Ads: {words}."


@pytest.mark.parametrize("typed", ["2026-03-01", '"2026-03-01"'])
def test_a_start_date_may_be_quoted_or_not(tmp_path, typed):
    assert read(tmp_path, run_frequency=f"{{start_date: {typed}}}").run_frequency.start_date == date(
        2026, 3, 1
    )


@pytest.mark.parametrize("day", [date(2000, 1, 1), date(2100, 12, 31)])
def test_a_start_date_may_be_of_this_century(tmp_path, day):
    audience = read(tmp_path, run_frequency=f"{{start_date: {day}, time_zone: Asia/Tokyo}}")

    assert audience.run_frequency.start_date == day
    assert schedule_of(audience).name == "vip_schedule"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Argentina/Ushuaia", "Etc/GMT-9", "Japan"])
def test_a_time_zone_is_any_iana_name(tmp_path, zone):
    assert read(tmp_path, run_frequency=f"{{time_zone: {zone}}}").run_frequency.time_zone == zone


@pytest.mark.parametrize(
    ("identifier", "columns", "rules"),
    [
        ("{type: email}", ("email",), EmailRules()),
        ("{type: email, column: mail}", ("mail",), EmailRules()),
        ("{type: email, strict_line_characters: true}", ("email",), EmailRules(strict_line_characters=True)),
        ("{type: phone}", ("phone",), PhoneRules()),
        (
            "{type: phone, default_country: JP, phone_format: national, phone_validation: possible}",
            ("phone",),
            PhoneRules(default_country="JP", phone_format="national", phone_validation="possible"),
        ),
        ("{type: ifa}", ("ifa", "idfa", "gaid", "advertising_id"), IfaRules()),
        (
            "{type: ifa, ifa_case: upper}",
            ("ifa", "idfa", "gaid", "advertising_id"),
            IfaRules(ifa_case="upper"),
        ),
        ("{type: ifa, column: maid, hash_ifa: true}", ("maid",), IfaRules(hash_ifa=True)),
    ],
)
def test_the_identifier_block_gives_columns_and_rules(tmp_path, identifier, columns, rules):
    block = read(tmp_path, identifier=identifier).identifier

    assert (block.columns, block.to_rules()) == (columns, rules)


def test_the_destination_is_that_of_the_file(tmp_path):
    audience = read(
        tmp_path,
        identifier="{type: ifa}",
        destination="{ad_account_id: A2, audience_name: VIP, adopt: true}",
    )

    assert audience.to_destination() == Destination(
        audience="vip", ad_account_id="A2", id_type="IFA", audience_name="VIP", audience_id=None, adopt=True
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ('"10m"', timedelta(minutes=10)),
        ("36h", timedelta(hours=36)),
        ("30d", timedelta(days=30)),
        ("1 d", timedelta(days=1)),
        ("366d", timedelta(days=366)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(tmp_path, typed, meant):
    source = "{table: customers, updated_at: updated_at}"
    audience = read(tmp_path, source=source, update_on_change=f"{{at_most_every: {typed}}}")

    assert audience.update_on_change.at_most_every == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("true", UpdateBlock()),
        ("on", UpdateBlock()),
        ("{}", UpdateBlock()),
        ("{check_every: 10m, at_most_every: 24h}", UpdateBlock()),
        (
            "{check_every: 30s}",
            UpdateBlock(check_every=timedelta(seconds=30), at_most_every=timedelta(hours=24)),
        ),
        ("false", None),
        ("no", None),
    ],
)
def test_update_on_change_is_a_switch_or_a_block(tmp_path, typed, meant):
    source = "{table: customers, updated_at: updated_at}"

    assert read(tmp_path, source=source, update_on_change=typed).update_on_change == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("0", 0.0),
        ("1", 1.0),
        ("0.5", 0.5),
        ('"0.5"', 0.5),
        ("1e-3", 0.001),
        ("50%", 0.5),
        ('"50 %"', 0.5),
        ("0%", 0.0),
        ("100%", 1.0),
        ("12.5%", 0.125),
    ],
)
def test_a_share_is_a_number_or_a_percentage(tmp_path, typed, meant):
    guardrails = read(tmp_path, guardrails=f"{{max_shrink: {typed}, max_skipped: {typed}}}").guardrails

    assert guardrails == GuardrailsBlock(max_shrink=meant, max_skipped=meant)
    assert (guardrails.max_shrink, guardrails.max_skipped) == (meant, meant)


def test_guardrails_are_those_of_the_file(tmp_path):
    text = "{min_identifiers: 1000, max_shrink: 20%, max_skipped: 0.1}"

    assert read(tmp_path, guardrails=text).guardrails == GuardrailsBlock(
        min_identifiers=1000, max_shrink=0.2, max_skipped=0.1
    )


@pytest.mark.parametrize("blocks", [{}, {"guardrails": "{}"}], ids=["left out", "empty block"])
def test_a_mirror_without_guardrails_of_its_own_has_the_default_ones(tmp_path, blocks):
    guardrails = read(tmp_path, **blocks).guardrails

    assert (guardrails.min_identifiers, guardrails.max_shrink, guardrails.max_skipped) == (1, 0.5, 0.5)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ("refuse", True)),
        (", when_empty: refuse", ("refuse", True)),
        (", when_empty: delete_audience", ("delete_audience", True)),
        (", wait_for_processing: false", ("refuse", False)),
        (", sync_mode: add, wait_for_processing: off", ("refuse", False)),
        (', audience_id: "1", when_empty: refuse', ("refuse", True)),
    ],
)
def test_the_end_of_a_run_and_of_a_segment_is_that_of_the_file(tmp_path, typed, meant):
    destination = read(tmp_path, destination=f"{{ad_account_id: A1, audience_name: VIP{typed}}}").destination

    assert (destination.when_empty, destination.wait_for_processing) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", (False, timedelta(days=30))),
        (", incremental: true", (True, timedelta(days=30))),
        (", incremental: true, full_replace_every: 7d", (True, timedelta(days=7))),
        (", incremental: true, sync_mode: add", (True, timedelta(days=30))),
    ],
)
def test_how_much_is_sent_is_that_of_the_file(tmp_path, typed, meant):
    destination = read(tmp_path, destination=f"{{ad_account_id: A1, audience_name: VIP{typed}}}").destination

    assert (destination.incremental, destination.full_replace_every) == meant


def test_an_audience_may_depend_on_assets_that_share_its_name(tmp_path):
    audience = read(tmp_path, source="{table: customers, depends_on: [vip/orders, source_segment]}")

    assert audience.source.depends_on == ["vip/orders", "source_segment"]


@pytest.mark.parametrize(
    "source",
    [
        "{table: customers, updated_at: updated_at}",
        "{query: SELECT 1, updated_at: updated_at}",
        "{table: customers, checksum: true}",
        "{table: customers, depends_on: [marts/customers]}",
        "{path: customers.csv}",
    ],
)
def test_what_tells_changes_may_be_updated_on_change(tmp_path, source):
    assert read(tmp_path, source=source, update_on_change="true").update_on_change == UpdateBlock()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("true", True), ("yes", True), ("on", True), ("false", False), ("no", False), ("off", False)],
)
def test_truth_values_are_those_of_yaml(tmp_path, typed, meant):
    assert read(tmp_path, keep_updated=typed).keep_updated is meant


def test_a_file_may_hold_several_audiences(tmp_path):
    file = tmp_path / "defs.yaml"
    file.write_text("a: {b: [1, {c: 2}]}\n---\na:\n  b:\n    - 1\n    - c: 2\n")
    first, second = YamlDocument.read_all(file, shown_as="defs.yaml")

    assert first.values() == second.values() == {"a": {"b": ["1", {"c": "2"}]}}
    assert (first.line_of(["a", "b", 1, "c"]), second.line_of(["a", "b", 1, "c"])) == (1, 6)
    assert second.line_of(["a", "nothing"]) == 3


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader], ids=["Python", "C"])
def test_files_are_read_alike_with_and_without_the_reader_in_c(tmp_path, loader):
    file = tmp_path / "defs.yaml"
    file.write_text("é: [1, ~, null, 0x1F, '~', 9:30, on]\nc:\n  <<: {d: xy}\n")
    (document,) = YamlDocument.read_all(file, shown_as="defs.yaml", loader=loader)

    assert document.values() == {"é": ["1", None, None, "0x1F", "~", "9:30", "on"], "c": {"d": "xy"}}
    assert document.line_of(["c", "d"]) == 3
    for text, words in (
        ("a: !x y", "tag"),
        ("a: " + "[" * 30_000, "nests"),
        ("a: {{ b }}", '"{{ b }}"'),
        ("a: 'b", "YAML"),
    ):
        file.write_text(text)
        with pytest.raises(AudienceFileError, match=words):
            YamlDocument.read_all(file, shown_as="defs.yaml", loader=loader)


def test_the_line_of_a_merged_field_is_where_it_stands(tmp_path):
    file = tmp_path / "defs.yaml"
    file.write_text("x: &x\n  a: 1\n  b: 2\ny:\n  b: 3\n  <<: *x\n")
    (document,) = YamlDocument.read_all(file, shown_as="defs.yaml")

    assert document.values()["y"] == {"a": "1", "b": "3"}
    assert (document.line_of(["y", "a"]), document.line_of(["y", "b"])) == (2, 5)


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


def definitions_of(audience: Audience) -> dg.Definitions:
    component = LineAudience(audience)
    return dg.Definitions.merge(
        component.build_defs(dg.ComponentTree.for_test().load_context),
        dg.Definitions(resources={key: object() for key in ("warehouse", "line_ads", "snapshots")}),
    )


def schedule_of(audience: Audience) -> dg.ScheduleDefinition:
    return definitions_of(audience).resolve_schedule_def("vip_schedule")


def test_the_assets_show_owners_and_description(tmp_path):
    audience = read(tmp_path, owners='["team:crm", "ana@example.com"]', description="Our best customers")
    specs = definitions_of(audience).resolve_all_asset_specs()

    assert {spec.key.to_user_string() for spec in specs} == {
        "vip/source_segment",
        "vip/hashed_identifiers",
        "vip/line_custom_audience",
    }
    for spec in specs:
        assert list(spec.owners) == ["team:crm", "ana@example.com"]
        assert spec.group_name == "vip"
        assert spec.description.startswith("Our best customers. ")


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
    switch = schema["properties"]["update_on_change"]["anyOf"]
    assert {"type": "boolean"} in switch
    assert {"$ref": "#/$defs/UpdateBlock"} in switch
    assert set(schema["$defs"]["UpdateBlock"]["properties"]) == set(UpdateBlock.model_fields)
    shares = schema["$defs"]["GuardrailsBlock"]["properties"]["max_shrink"]["anyOf"]
    assert {kind["type"] for kind in shares} == {"number", "string"}


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
