"""What audience files promise is kept by Dagster's real daemon, in real time."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.scheduler.instigation import TickStatus

from line_ads_pipeline.simulator import Fault


def test_a_change_of_the_table_is_synced_once_and_shown(deployment, hashed):
    before = len(deployment.runs("changing"))
    changed_at = datetime.now(UTC).timestamp()
    deployment.people("changing", "cat")

    run = deployment.settled("changing", runs=before + 1)

    assert run.is_success
    assert deployment.members("changing") == hashed("ann", "bob", "cat")
    observed = deployment.instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey(["changing", "source_segment"]), after_timestamp=changed_at),
        limit=10,
    ).records
    (change,) = (record.asset_observation for record in observed)
    assert change.description.startswith("The source has changed: its version is ")
    assert change.metadata["version_before"].value.endswith("/2")
    assert change.metadata["source_version"].value.endswith("/3")


def test_an_upstream_asset_of_another_code_location_and_time_zone_is_followed(deployment, hashed):
    before = len(deployment.runs("buyers"))
    deployment.people("buyers", "cat")
    deployment.tick("buyers", lambda _: True)
    assert len(deployment.runs("buyers")) == before

    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    materialize = f"dagster asset materialize --select marts/orders --partition {yesterday} -m models"
    deployment.run_commands(materialize.split())

    run = deployment.settled("buyers", runs=before + 1)
    assert run.is_success
    assert deployment.members("buyers") == hashed("ann", "bob", "cat")
    errors = [tick.error.to_string() for tick in deployment.ticks("buyers_source_updated") if tick.error]
    assert not [error for error in errors if "imezone" in error or "PartitionMapping" in error]


def test_the_asset_graph_leads_from_the_upstream_asset_to_line(deployment):
    query = """{
      assetNodes { assetKey { path } dependencyKeys { path } repository { location { name } } }
      workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } }
    }"""
    (answer,) = deployment.run_commands(["dagster-graphql", "-w", deployment.workspace, "-t", query])

    data = json.loads(answer)["data"]
    kinds = {
        entry["locationOrLoadError"]["__typename"] for entry in data["workspaceOrError"]["locationEntries"]
    }
    assert kinds == {"RepositoryLocation"}
    nodes = {"/".join(node["assetKey"]["path"]): node for node in data["assetNodes"]}
    assert nodes["marts/orders"]["repository"]["location"]["name"] == "models"
    assert nodes["buyers/source_segment"]["dependencyKeys"] == [{"path": ["marts", "orders"]}]
    assert nodes["changing/source_segment"]["dependencyKeys"] == []


def test_a_source_that_fails_fails_the_tick_and_is_asked_again(deployment, hashed):
    def failed_saying(text):
        return deployment.tick(
            "failing",
            lambda tick: tick.status is TickStatus.FAILURE and f"failing: {text}" in tick.error.to_string(),
        )

    before = len(deployment.runs("failing"))
    deployment.change("failing", "ALTER TABLE people RENAME TO people_away")
    failed_saying("There is no table or view people in the warehouse.")

    deployment.change(
        "failing",
        "CREATE VIEW people AS SELECT email, CAST(email AS TIMESTAMPTZ) AS updated_at FROM people_away",
    )
    failed = failed_saying("Reading table people failed: a value cannot be converted")
    assert "people-of-the-shop" not in failed.error.to_string()

    deployment.change("failing", "DROP VIEW people", "ALTER TABLE people_away RENAME TO people")
    deployment.people("failing", "cat")
    run = deployment.settled("failing", runs=before + 1)
    assert run.is_success
    assert deployment.members("failing") == hashed("ann", "bob", "cat")
    assert "people-of-the-shop" not in deployment.story()


def test_a_schedule_due_soon_runs_by_itself_and_the_audience_changes(deployment, hashed):
    deployment.eventually(lambda: deployment.synced("scheduled"), "the scheduled run")

    (run,) = deployment.runs("scheduled")
    assert run.tags["dagster/schedule_name"] == "scheduled_schedule"
    assert run.tags["dagster/partition"] == deployment.promise.date().isoformat()
    assert datetime.fromisoformat(run.tags[".dagster/scheduled_execution_time"]) == deployment.promise
    assert deployment.members("scheduled") == hashed("ann", "bob")


def materialized(deployment, audience: str) -> dict[str, int]:
    """How often each run date of an audience was materialised in LINE."""
    asset = dg.AssetKey([audience, "line_custom_audience"])
    records = deployment.instance.fetch_materializations(asset, limit=100).records
    return Counter(record.asset_materialization.partition for record in records)


def latest_check(deployment, audience: str, name: str) -> dg.AssetCheckEvaluation:
    """The latest result of a check, whether or not a later run has it planned."""
    key = dg.AssetCheckKey(dg.AssetKey([audience, "line_custom_audience"]), name)
    records = deployment.instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    return next(one.evaluation for one in records if isinstance(one.evaluation, dg.AssetCheckEvaluation))


def test_two_runs_of_one_audience_started_together_both_end_well(deployment, hashed):
    """No chunk of the one is sent between two of the other."""
    deployment.people("together", *"abcde")
    deployment.simulator.inject(Fault(call="upload", action="ADD", times=4, job_seconds=0.5))

    deployment.run_commands(deployment.materialize("together"), deployment.materialize("together"))

    assert deployment.members("together") == hashed("ann", "bob", *"abcde")
    (audience,) = (each for each in deployment.simulator.audiences() if each.name == "together")
    syncs = [job.name.split("-")[2] for job in deployment.simulator.jobs(audience.id)]
    in_a_row = [sync for sync, _ in groupby(syncs)]
    assert len(in_a_row) == len(set(in_a_row)), syncs
    assert not deployment.simulator.broken_rules


def test_run_config_of_the_command_line_overrides_a_guardrail(deployment, hashed):
    deployment.change("together", "DELETE FROM people WHERE email NOT LIKE 'ann%'")
    deployment.run_commands(deployment.materialize("together"), exit_code=1)
    assert len(deployment.members("together")) == 7
    assert latest_check(deployment, "together", "max_shrink").severity is dg.AssetCheckSeverity.ERROR

    deployment.run_commands(deployment.materialize("together", override=["max_shrink"]))

    assert deployment.members("together") == hashed("ann")
    overridden = latest_check(deployment, "together", "max_shrink")
    assert (overridden.passed, overridden.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert overridden.metadata["was"].value == 7


def test_a_sync_that_no_run_waits_for_is_confirmed_or_mended_by_the_daemon(deployment, hashed):
    deployment.simulator.inject(Fault(call="upload", action="REPLACE", job_failed_type="INTERNAL_ERROR"))
    deployment.run_commands(deployment.materialize("unwaited"))
    before = len(deployment.runs("unwaited"))

    failed = deployment.look_now("unwaited_confirmation")

    assert len(failed.run_ids) == 1
    assert latest_check(deployment, "unwaited", "confirmation").severity is dg.AssetCheckSeverity.ERROR
    deployment.eventually(lambda: deployment.synced("unwaited"), "the run that mends")
    confirmed = deployment.look_now("unwaited_confirmation")
    assert not confirmed.run_ids
    assert latest_check(deployment, "unwaited", "confirmation").passed
    assert latest_check(deployment, "unwaited", "confirmation").metadata["processed"].value == 2
    assert deployment.members("unwaited") == hashed("ann", "bob")
    assert deployment.look_now("unwaited_confirmation").status is TickStatus.SKIPPED
    assert len(deployment.runs("unwaited")) == before + 1


def test_a_backfill_sends_the_newest_run_date_and_comes_to_an_end(deployment, hashed):
    """Dagster calls the run dates without a materialisation failed there, though their runs succeed."""
    ended = deployment.eventually(
        lambda: deployment.ended_backfill(deployment.backfill), "the end of the backfill"
    )

    runs = deployment.instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": ended.backfill_id}))
    assert [run.is_success for run in runs] == [True] * 3
    assert materialized(deployment, "backfilled") == {deployment.run_date(): 1}
    assert deployment.members("backfilled") == hashed("ann", "bob")
    assert ended.status is BulkActionStatus.COMPLETED_FAILED


def test_a_backfill_of_the_job_ends_well(deployment):
    before = materialized(deployment, "backfilled")[deployment.run_date()]
    repository = {"repositoryLocationName": "shop", "repositoryName": "__repository__"}
    backfill = deployment.launch_backfill(
        selector={
            "partitionSetName": "sync_backfilled_partition_set",
            "repositorySelector": repository,
        },
        partitionNames=[deployment.run_date(days_ago=days) for days in (2, 1, 0)],
    )

    ended = deployment.eventually(lambda: deployment.ended_backfill(backfill), "the end of the backfill")

    assert ended.status is BulkActionStatus.COMPLETED_SUCCESS
    assert materialized(deployment, "backfilled") == {deployment.run_date(): before + 1}


@pytest.mark.parametrize(
    "killed",
    [("daemon",), ("daemon", "shop", "models")],
    ids=["the daemon", "the daemon, the code servers and their runs"],
)
def test_a_kill_neither_loses_nor_repeats_an_update(deployment, hashed, killed):
    """While idle, right after a change, and while LINE works on the upload."""
    # nothing repeats a scheduled run that is killed
    deployment.eventually(lambda: deployment.synced("scheduled"), "the scheduled run")
    before, members = len(deployment.runs("interrupted")), deployment.members("interrupted")
    (audience,) = (each for each in deployment.simulator.audiences() if each.name == "interrupted")
    uploads = len(deployment.simulator.jobs(audience.id))

    deployment.kill(*killed)
    deployment.start()
    deployment.tick("interrupted", lambda _: True)

    deployment.simulator.inject(Fault(call="upload", action="ADD", job_seconds=10))
    deployment.people("interrupted", f"cat-{before}")
    deployment.kill(*killed)
    deployment.start()
    deployment.eventually(lambda: len(deployment.simulator.jobs(audience.id)) > uploads, "the upload")

    deployment.kill(*killed)
    (run_under_way,) = (run for run in deployment.runs("interrupted") if not run.is_finished)
    run_died = "shop" in killed
    if run_died:
        deployment.put_back(run_under_way, hours=1)
    deployment.start()
    last = deployment.settled("interrupted", runs=before + 1 + run_died)

    assert last.is_success
    assert (last.run_id != run_under_way.run_id) == run_died
    assert len(deployment.simulator.jobs(audience.id)) == uploads + 1
    assert deployment.members("interrupted") == members | hashed(f"cat-{before}")


@pytest.mark.parametrize("switch", ["on", "off"])
def test_dagster_lists_what_the_audience_files_promise(deployment, switch):
    schedules, sensors = deployment.run_commands(
        ["dagster", "schedule", "list", "-m", "shop.definitions"],
        ["dagster", "sensor", "list", "-m", "shop.definitions"],
        LINE_ADS_SCHEDULES=switch,
    )

    running = "RUNNING" if switch == "on" else "STOPPED"
    time_of_day = f"{deployment.promise.minute} {deployment.promise.hour}"
    assert f"Schedule: scheduled_schedule [{running}]\nCron Schedule: {time_of_day} * * *\n" in schedules
    assert f"Schedule: buyers_schedule [{running}]\nCron Schedule: 0 6 * * *\n" in schedules
    assert "Schedule: paused_schedule [STOPPED]\n" in schedules
    assert schedules.count("\nCron Schedule: ") == 9
    assert f"Sensor: changing_source_updated [{running}]\n" in sensors
    assert "Sensor: paused_source_updated [STOPPED]\n" in sensors
    assert sensors.count("Sensor: ") == 6
    assert f"Sensor: unwaited_confirmation [{running}]\n" in sensors
