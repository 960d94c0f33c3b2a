"""When the sensor of an audience asks for a run: once per change, again after a failure, never twice at once."""

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test, freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.schedule import run_partitions
from line_ads_pipeline.components.update_sensor import UpdateSensor
from line_ads_pipeline.warehouse import Warehouse

ORDERS = "marts/orders"


class Watched:
    """An audience with `update_on_change`, and a daemon's memory of its sensor."""

    def __init__(self, project):
        self.project, self.instance = project, project.instance
        self.attributes = project.attributes
        self.attributes["source"]["updated_at"] = "updated_at"
        self.attributes["update_on_change"] = {"check_every": "10m", "at_most_every": "24h"}
        self.cursor: str | None = None
        self.now = datetime(2026, 11, 21, 12, tzinfo=UTC)

    def later(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def tick(self) -> dg.SensorResult:
        audience = Audience.model_validate(self.attributes)
        partitions = run_partitions(audience.run_frequency)
        sensor = UpdateSensor(audience, audience.update_on_change, partitions, clock=lambda: self.now)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=self.project.resources
        ) as context:
            result = sensor.tick(context)
        self.cursor = result.cursor or self.cursor
        return result

    def requests(self) -> list[dg.RunRequest]:
        return list(self.tick().run_requests or [])

    def skips_because(self, *words: str) -> bool:
        result = self.tick()
        assert not result.run_requests
        return all(word in result.skip_reason.skip_message for word in words)

    def execute(self, request: dg.RunRequest, *, succeeds: bool = True) -> None:
        """What the daemon does with a request."""
        resources = self.project.all_resources()
        definitions = dg.Definitions.merge(
            self.project.definitions(), dg.Definitions(resources=resources, executor=dg.in_process_executor)
        )
        with freeze_time(self.now):
            result = definitions.resolve_job_def("sync_vip").execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                tags=request.tags,
                raise_on_error=False,
            )
        assert result.success is succeeds

    def change(self, moment: str) -> None:
        self.project.execute(
            f"INSERT INTO customers VALUES ('{moment}@example.com', TIMESTAMP '2026-11-{moment}')"
        )

    def run_exists(self, job: str, status: str, asset: str | None = "vip") -> dg.DagsterRun:
        code = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(python_file="definitions.py"), location_name="x"
        )
        with freeze_time(self.now):
            return create_run_for_test(
                self.instance,
                job_name=job,
                status=dg.DagsterRunStatus(status),
                asset_selection=asset and frozenset({dg.AssetKey([asset, "line_custom_audience"])}),
                remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(code, "__repository__"), job),
            )

    def materialize_upstream(self, key: str = ORDERS) -> None:
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(dg.AssetKey.from_user_string(key), partition="2026-11-20")
        )


@pytest.fixture
def watched(project):
    return Watched(project)


@pytest.fixture
def synced(watched):
    """An audience whose first state has been synced by a run that its sensor requested."""
    (request,) = watched.requests()
    watched.execute(request)
    return watched


def test_a_source_that_was_never_synced_is_synced_for_the_newest_run_date(watched):
    (request,) = watched.requests()

    assert request.partition_key == f"{watched.now:%Y-%m-%d}"


def test_the_newest_run_date_is_that_of_the_time_zone_and_frequency(watched):
    watched.attributes["run_frequency"] = {
        "every": "weekly",
        "day_of_week": "monday",
        "time_of_day": "09:30",
        "time_zone": "Asia/Tokyo",
    }
    for now, run_date in (
        (datetime(2026, 11, 23, 0, 29, 59, tzinfo=UTC), "2026-11-16"),
        (datetime(2026, 11, 23, 0, 30, tzinfo=UTC), "2026-11-23"),
        (datetime(2026, 11, 25, 15, tzinfo=UTC), "2026-11-23"),
    ):
        watched.now = now
        assert [request.partition_key for request in watched.requests()] == [run_date]


def test_before_the_first_run_date_there_is_nothing_to_run(watched):
    watched.attributes["run_frequency"] = {"start_date": "2090-01-01"}

    assert watched.skips_because("no run date yet", "2090-01-01")


def test_nothing_is_run_when_the_last_run_saw_this_version(synced):
    synced.later(days=2)

    assert synced.skips_because("has seen this state")


def test_a_change_is_synced_once(synced):
    synced.change("02")
    synced.later(days=2)
    (request,) = synced.requests()
    synced.execute(request)

    synced.later(days=2)

    assert synced.skips_because("has seen this state")
    (audience,) = synced.project.simulator.audiences()
    assert len(synced.project.simulator.members(audience.id)) == 3


@pytest.mark.parametrize("source", ["query", "path", "checksum"])
def test_every_kind_of_source_tells_when_it_changed(watched, source):
    file = watched.project.folder / "customers.parquet"
    watched.attributes["source"] = {
        "query": {"query": "SELECT * FROM customers", "updated_at": "updated_at"},
        "path": {"path": str(file)},
        "checksum": {"table": "customers", "checksum": True},
    }[source]
    export = f"COPY customers TO '{file}' (FORMAT parquet)"
    watched.project.execute(export)
    (request,) = watched.requests()
    watched.execute(request)
    watched.later(days=2)
    assert watched.skips_because("has seen this state")

    watched.change("02")
    watched.project.execute(export)
    watched.later(days=2)

    assert len(watched.requests()) == 1


def test_a_sync_by_hand_or_schedule_counts(watched):
    """Whoever started it: the version that it read is known."""
    result = watched.project.run(run_date=f"{watched.now:%Y-%m-%d}", now=watched.now)
    assert result.success

    assert watched.skips_because("has seen this state")


def test_what_changes_while_a_run_reads_is_not_lost(watched):
    """The run described one version and hashed a later one: only the described one counts as seen."""
    run_date = f"{watched.now:%Y-%m-%d}"
    watched.project.run("source_segment", run_date=run_date, now=watched.now)
    watched.change("02")
    watched.project.run("hashed_identifiers", "line_custom_audience", run_date=run_date, now=watched.now)

    watched.later(days=2)

    assert len(watched.requests()) == 1


def test_an_update_waits_until_line_has_had_its_time(synced):
    synced.change("02")
    synced.later(hours=23, minutes=59)
    assert synced.skips_because("Changed", "at_most_every")

    synced.later(minutes=2)

    assert len(synced.requests()) == 1


def test_the_interval_between_updates_is_that_of_the_file(synced):
    synced.attributes["update_on_change"]["at_most_every"] = "1h"
    synced.change("02")
    synced.later(minutes=59)
    assert not synced.requests()

    synced.later(minutes=2)

    assert len(synced.requests()) == 1


def test_a_run_that_failed_is_retried_after_growing_pauses(watched):
    """Ten minutes, twenty, forty, then each hour; each under a run key of its own."""
    watched.project.line_ads["access_key"] = "revoked"
    keys = set()
    for pause in (0, 10, 20, 40, 60, 60):
        watched.later(minutes=pause, seconds=-1)
        assert not pause or watched.skips_because("ended as FAILURE", "not before")
        watched.later(seconds=1)
        (request,) = watched.requests()
        keys.add(request.run_key)
        watched.execute(request, succeeds=False)

    assert len(keys) == 6


def test_failures_before_the_last_sync_are_forgotten(watched):
    watched.attributes["update_on_change"] = {"check_every": "10m", "at_most_every": "1m"}
    watched.project.line_ads["access_key"] = "revoked"
    for _ in range(4):
        watched.execute(watched.requests()[0], succeeds=False)
        watched.later(hours=2)
    watched.project.line_ads["access_key"] = "demo-access-key"
    watched.execute(watched.requests()[0])

    watched.change("02")
    watched.later(minutes=1)

    assert len(watched.requests()) == 1


def test_a_new_version_does_not_hurry_a_run_that_fails(watched):
    """A source that changes with every look would otherwise fail at every look."""
    watched.project.line_ads["access_key"] = "revoked"
    watched.execute(watched.requests()[0], succeeds=False)
    watched.change("02")

    assert watched.skips_because("ended as FAILURE")


def test_a_run_key_is_never_used_twice_though_old_runs_are_deleted(watched):
    watched.project.line_ads["access_key"] = "revoked"
    keys = []
    for _ in range(4):
        (request,) = watched.requests()
        keys.append(request.run_key)
        watched.execute(request, succeeds=False)
        for run in watched.instance.get_runs()[1:]:
            watched.instance.delete_run(run.run_id)
        watched.later(hours=2)

    assert len(set(keys)) == 4


def test_an_edited_frequency_waits_for_its_next_run_date(watched):
    """LINE holds a later run date than the newest that the weekly audience has: runs of that are refused."""
    (request,) = watched.requests()
    watched.execute(request)
    watched.attributes["run_frequency"] = {"every": "weekly", "day_of_week": "monday"}
    watched.change("02")
    watched.now = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC)
    assert watched.skips_because("2026-11-16", "2026-11-21", "edited")

    watched.later(seconds=1)

    assert [request.partition_key for request in watched.requests()] == ["2026-11-23"]


def test_an_update_that_waited_past_its_run_date_is_asked_for_anew(watched):
    """Else the list of the morning would be sent again, and count as a sync."""
    watched.now = datetime(2026, 11, 21, 23, 59, 50, tzinfo=UTC)
    watched.execute(watched.requests()[0])
    watched.attributes["update_on_change"]["at_most_every"] = "1s"
    watched.change("02")
    watched.later(seconds=5)
    (request,) = watched.requests()
    watched.later(seconds=5)
    watched.execute(request, succeeds=False)
    watched.later(minutes=10)

    (request,) = watched.requests()
    watched.execute(request)

    assert request.partition_key == "2026-11-22"
    (audience,) = watched.project.simulator.audiences()
    assert len(watched.project.simulator.members(audience.id)) == 3


def test_a_run_that_began_during_the_look_is_seen(watched, monkeypatch):
    look = Warehouse.version

    def slow_look(*arguments, **keywords):
        watched.run_exists("sync_vip", "STARTED")
        return look(*arguments, **keywords)

    monkeypatch.setattr(Warehouse, "version", slow_look)

    assert watched.skips_because("under way")


def test_a_state_that_was_recorded_in_another_form_is_synced_anew(watched):
    with freeze_time(watched.now):
        watched.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                dg.AssetKey(["vip", "line_custom_audience"]),
                partition="2026-11-20",
                metadata={"source_state": dg.MetadataValue.json({"digest": "x"})},
            )
        )
    watched.later(days=1)

    assert len(watched.requests()) == 1


def test_the_same_request_has_the_same_run_key(watched):
    """A daemon that dies before it notes the tick repeats it: Dagster then finds the run by its key."""
    first, second = watched.requests(), watched.requests()

    assert first[0].run_key == second[0].run_key


def test_a_source_that_returns_to_an_earlier_state_is_synced_again(watched):
    """A run key that was used must not swallow it."""
    (first,) = watched.requests()
    watched.execute(first)
    watched.change("02")
    watched.later(days=1)
    (away,) = watched.requests()
    watched.execute(away)
    watched.project.execute("DELETE FROM customers WHERE updated_at = TIMESTAMP '2026-11-02'")
    watched.later(days=1)

    (back,) = watched.requests()

    assert len({first.run_key, away.run_key, back.run_key}) == 3
    watched.execute(back)
    (audience,) = watched.project.simulator.audiences()
    assert len(watched.project.simulator.members(audience.id)) == 2


@pytest.mark.parametrize("status", ["QUEUED", "STARTING", "STARTED", "CANCELING"])
@pytest.mark.parametrize("job", ["sync_vip", "__ASSET_JOB"])
def test_no_run_is_requested_while_one_is_under_way(watched, job, status):
    run = watched.run_exists(job, status)

    assert watched.skips_because(run.run_id, "under way")


@pytest.mark.parametrize(
    ("job", "asset"), [("sync_other", "vip"), ("__ASSET_JOB", "other")], ids=["job", "selection"]
)
def test_runs_of_other_audiences_are_no_hindrance(watched, job, asset):
    watched.run_exists(job, "STARTED", asset)

    assert len(watched.requests()) == 1


def test_a_run_of_all_assets_is_of_this_audience_too(watched):
    watched.run_exists("__ASSET_JOB", "STARTED", asset=None)

    assert watched.skips_because("under way")


def test_a_run_by_hand_is_of_the_job_that_is_looked_for(project):
    """Dagster's name for the job of an ad-hoc run is not public."""
    definitions = dg.Definitions.merge(
        project.definitions(), dg.Definitions(resources=project.all_resources())
    )

    job = definitions.resolve_implicit_job_def_def_for_assets([dg.AssetKey(["vip", "line_custom_audience"])])

    assert job.name == "__ASSET_JOB"


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_without_a_sign_of_life_is_no_hindrance(watched, status):
    """Its machine went down: Dagster leaves it as it was."""
    watched.run_exists("sync_vip", status)
    watched.later(minutes=29)
    assert watched.skips_because("under way")

    watched.later(minutes=2)

    assert len(watched.requests()) == 1
    (dead,) = watched.instance.get_runs()
    assert dead.status is dg.DagsterRunStatus.FAILURE


def test_a_run_that_shows_signs_of_life_is_under_way_however_long(watched):
    run = watched.run_exists("sync_vip", "STARTED")
    watched.later(hours=5)
    with freeze_time(watched.now):
        watched.instance.report_engine_event("Still at work.", run)
    watched.later(minutes=29)

    assert watched.skips_because("under way")


def test_a_silent_run_that_others_share_is_left_alone(watched):
    """Assets of others show no signs of life."""
    watched.run_exists("__ASSET_JOB", "STARTED")
    watched.later(hours=23)
    assert watched.skips_because("under way")

    watched.later(hours=2)

    assert len(watched.requests()) == 1
    (run,) = watched.instance.get_runs()
    assert run.status is dg.DagsterRunStatus.STARTED


def test_a_run_in_the_queue_is_under_way_however_long(watched):
    watched.run_exists("sync_vip", "QUEUED")
    watched.later(days=3)

    assert watched.skips_because("under way")


def test_a_source_that_fails_fails_the_tick_and_is_asked_again(synced):
    synced.project.execute("ALTER TABLE customers RENAME TO moved")
    synced.later(days=2)
    with pytest.raises(dg.Failure) as failed:
        synced.tick()
    assert failed.value.description.startswith("vip: There is no table or view customers")

    synced.project.execute("ALTER TABLE moved RENAME TO customers")
    synced.change("02")

    assert len(synced.requests()) == 1


@pytest.mark.parametrize(
    "cursor",
    [None, "", "2026-11-20", "[]", '{"format": 1, "state": {"version": "x", "upstream": {}}, "asked_at": "2026-11-21T11:00:00"}', '{"format": 2, "seen": {}}', '{"format": 1}', "null", '{"format": 1, "version": 5, "asked_at": "x"}'],
)  # fmt: skip
def test_a_cursor_of_another_form_neither_repeats_nor_loses(synced, cursor):
    synced.cursor = cursor
    synced.later(days=2)
    assert synced.skips_because("has seen this state")

    synced.change("02")
    synced.cursor = cursor

    assert len(synced.requests()) == 1


def test_a_cursor_of_a_later_version_with_more_fields_is_read(synced):
    synced.tick()
    synced.cursor = json.dumps({**json.loads(synced.cursor), "more": 1})

    assert not synced.tick().asset_events


def test_a_checksum_is_taken_at_most_hourly(watched):
    watched.attributes["source"] = {"table": "customers", "checksum": True}
    watched.tick()
    watched.change("02")
    watched.later(minutes=59)
    assert not watched.tick().asset_events

    watched.later(minutes=1)

    (observation,) = watched.tick().asset_events
    assert observation.metadata["version_before"] != observation.metadata["source_version"]


def test_a_checksum_that_a_run_has_taken_counts(watched):
    """Else the one that the sensor took before would look like a change."""
    watched.attributes["source"] = {"table": "customers", "checksum": True}
    watched.attributes["update_on_change"]["at_most_every"] = "1m"
    (request,) = watched.requests()
    watched.change("02")
    watched.later(minutes=1)
    watched.execute(request)

    watched.later(minutes=2)
    assert watched.skips_because("has seen this state")
    watched.change("03")
    watched.later(minutes=50)
    assert watched.skips_because("has seen this state")
    watched.later(minutes=10)

    assert len(watched.requests()) == 1


def test_the_ui_shows_when_the_source_changed(synced):
    assert not synced.tick().asset_events

    synced.change("02")

    (observation,) = synced.tick().asset_events
    assert observation.asset_key == dg.AssetKey(["vip", "source_segment"])
    assert observation.description == (
        "The source has changed: its version is 2026-11-02 00:00:00/7, was 2026-11-01 00:00:00/6."
    )
    assert {key: entry.value for key, entry in observation.metadata.items()} == {
        "source_version": "2026-11-02 00:00:00/7",
        "version_before": "2026-11-01 00:00:00/6",
    }
    assert not synced.tick().asset_events


class TestHold:
    @pytest.fixture
    def held(self, synced):
        """An audience that was rolled back to its first run date, and whose source has changed since."""
        synced.attributes["update_on_change"]["at_most_every"] = "1s"
        synced.change("02")
        synced.later(days=1)
        synced.execute(synced.requests()[0])
        self.send(synced, run_date="2026-11-21", rollback=True)
        synced.change("03")
        synced.later(days=1)
        return synced

    def send(self, watched, *, run_date: str, **config: object) -> None:
        result = watched.project.run(
            "line_custom_audience",
            run_date=run_date,
            now=watched.now,
            config={"line_custom_audience": config},
        )
        assert result.success

    def test_nothing_is_run_while_the_audience_is_on_hold_and_the_tick_says_how_to_go_on(self, held):
        assert held.skips_because("on hold", "rolled back to the run date 2026-11-21", "release_hold: true")

    def test_what_changed_is_shown_all_the_same(self, held):
        (observation,) = held.tick().asset_events

        assert "its version is 2026-11-03" in observation.description

    def test_updates_go_on_after_the_release(self, held):
        held.skips_because("on hold")
        held.project.run("source_segment", "hashed_identifiers", run_date="2026-11-23", now=held.now)
        self.send(held, run_date="2026-11-23", release_hold=True)
        held.later(hours=1)
        assert held.skips_because("has seen this state")

        held.change("04")

        (request,) = held.requests()
        held.execute(request)
        assert len(held.project.members()) == 5

    def test_a_change_from_before_the_release_is_not_lost(self, held):
        """The release sent an older snapshot."""
        held.project.run("source_segment", "hashed_identifiers", run_date="2026-11-23", now=held.now)
        held.change("04")
        self.send(held, run_date="2026-11-23", release_hold=True)
        held.later(hours=1)

        assert len(held.requests()) == 1

    def test_a_run_that_was_requested_before_the_rollback_sends_nothing(self, held):
        request = dg.RunRequest(partition_key="2026-11-23", tags={"line_ads/update": "vip"})
        before = held.project.members()

        held.execute(request)

        assert held.project.members() == before
        assert held.skips_because("on hold")


class TestUpstreamAssets:
    @pytest.fixture
    def synced(self, watched):
        """An audience of which only upstream assets tell when it changed, synced after one was materialised."""
        watched.attributes["source"] = {"table": "customers", "depends_on": [ORDERS, "marts/others"]}
        watched.materialize_upstream()
        (request,) = watched.requests()
        watched.execute(request)
        watched.later(days=1)
        return watched

    def test_what_was_materialised_before_the_last_sync_is_seen(self, synced):
        assert synced.skips_because("has seen this state")

    @pytest.mark.parametrize("key", [ORDERS, "marts/others"])
    def test_a_materialisation_is_followed_by_a_run(self, synced, key):
        synced.materialize_upstream(key)

        (request,) = synced.requests()
        synced.execute(request)

        synced.later(days=2)
        assert synced.skips_because("has seen this state")

    def test_what_is_materialised_while_a_run_describes_the_source_is_not_lost(self, watched, monkeypatch):
        watched.attributes["source"]["depends_on"] = [ORDERS]
        describe = Warehouse.describe

        def slow_describe(*arguments, **keywords):
            described = describe(*arguments, **keywords)
            watched.materialize_upstream()
            return described

        monkeypatch.setattr(Warehouse, "describe", slow_describe)
        watched.execute(watched.requests()[0])
        watched.later(days=1)

        assert len(watched.requests()) == 1

    def test_what_is_materialised_during_a_look_is_news_to_the_next(self, watched, monkeypatch):
        watched.attributes["source"]["depends_on"] = [ORDERS]
        watched.tick()
        look = Warehouse.version

        def slow_look(*arguments, **keywords):
            version = look(*arguments, **keywords)
            watched.materialize_upstream()
            return version

        with monkeypatch.context() as patched:
            patched.setattr(Warehouse, "version", slow_look)
            assert not watched.tick().asset_events

        assert len(watched.tick().asset_events) == 1

    def test_other_assets_do_not_matter(self, synced):
        synced.materialize_upstream("marts/unrelated")

        assert not synced.requests()

    def test_an_upstream_asset_less_is_no_change(self, synced):
        synced.attributes["source"]["depends_on"] = [ORDERS]

        assert not synced.requests()

    def test_the_ui_shows_what_was_materialised(self, synced):
        synced.materialize_upstream()

        result = synced.tick()

        (request,), (observation,) = result.run_requests, result.asset_events
        assert observation.description == "The source has changed: marts/orders was materialised."
        assert request.tags["line_ads/news"] == "marts/orders was materialised"

    def test_the_reason_names_the_asset(self, synced):
        synced.materialize_upstream()
        synced.later(seconds=-1)

        assert synced.skips_because("marts/orders was materialised", "at_most_every")

    def test_both_the_source_and_its_upstream_count(self, watched):
        watched.attributes["source"]["depends_on"] = [ORDERS]
        (request,) = watched.requests()
        watched.execute(request)
        watched.later(days=2)
        assert not watched.requests()
        watched.change("02")
        (request,) = watched.requests()
        watched.execute(request)
        watched.later(days=2)

        watched.materialize_upstream()

        assert len(watched.requests()) == 1

    def test_lineage_leads_to_them(self, define):
        definitions = define(source={"table": "customers", "depends_on": [ORDERS, "marts/others"]})
        specs = {spec.key: spec for asset in definitions.assets for spec in asset.specs}

        upstream = specs[dg.AssetKey(["vip", "source_segment"])].deps
        assert {dep.asset_key.to_user_string() for dep in upstream} == {ORDERS, "marts/others"}
        assert {dep.partition_mapping for dep in upstream} == {dg.AllPartitionMapping()}


@pytest.mark.parametrize(
    ("switch", "keep_updated", "status"),
    [("on", True, "RUNNING"), ("on", False, "STOPPED"), ("off", True, "STOPPED")],
)
def test_the_sensor_runs_when_the_schedule_does(define, monkeypatch, switch, keep_updated, status):
    monkeypatch.setenv("LINE_ADS_SCHEDULES", switch)

    (sensor,) = define(
        source={"table": "customers", "updated_at": "updated_at"},
        update_on_change={"check_every": "90s"},
        keep_updated=keep_updated,
    ).sensors

    assert sensor.default_status.value == status
    assert sensor.name == "vip_source_updated"
    assert sensor.minimum_interval_seconds == 90


def test_without_update_on_change_there_is_no_sensor(define):
    assert not define().sensors
