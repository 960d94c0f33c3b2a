"""How a sync whose run did not wait for LINE is confirmed, or mended when LINE could not process it."""

import dagster as dg
import pytest

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.confirmation_sensor import ConfirmationSensor
from line_ads_pipeline.simulator import Fault

AUDIENCE = dg.AssetKey(["vip", "line_custom_audience"])


class Unwaited:
    """An audience with `wait_for_processing: false`, and a daemon's memory of its sensor."""

    def __init__(self, project):
        self.project, self.simulator = project, project.simulator
        project.attributes["destination"]["wait_for_processing"] = False
        self.run_keys: set[str] = set()

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        sensor = ConfirmationSensor(Audience.model_validate(self.project.attributes))
        with dg.build_sensor_context(
            instance=self.project.instance, resources=self.project.all_resources()
        ) as context:
            return sensor.tick(context)

    def skips_because(self, words: str) -> bool:
        result = self.tick()
        assert isinstance(result, dg.SkipReason), result
        return words in result.skip_message

    def evaluation(self, result: dg.SensorResult) -> dg.AssetCheckEvaluation:
        (evaluation,) = result.asset_events
        assert evaluation.asset_check_key == dg.AssetCheckKey(AUDIENCE, "confirmation")
        return evaluation

    def execute(self, request: dg.RunRequest):
        """What the daemon does with a request: nothing, when its key was used before."""
        if request.run_key in self.run_keys:
            return None
        self.run_keys.add(request.run_key)
        definitions = dg.Definitions.merge(
            self.project.definitions(),
            dg.Definitions(resources=self.project.all_resources(), executor=dg.in_process_executor),
        )
        return definitions.resolve_job_def("sync_vip").execute_in_process(
            instance=self.project.instance,
            partition_key=request.partition_key,
            tags={"dagster/run_key": request.run_key},
            asset_selection=list(request.asset_selection),
            raise_on_error=False,
        )

    def uploads(self) -> int:
        return sum(request.call == "upload" for request in self.simulator.requests)


@pytest.fixture
def unwaited(project):
    return Unwaited(project)


@pytest.fixture
def working(unwaited):
    """A sync that LINE has accepted, and has not processed at the next look."""
    unwaited.simulator.inject(Fault(call="upload", job_polls=1))
    assert unwaited.project.sync().success
    return unwaited


def lose_the_job(unwaited, **fault: object) -> None:
    """Sync, and let LINE fail to process what it has accepted."""
    unwaited.simulator.inject(Fault(call="upload", **({"job_failed_type": "INTERNAL_ERROR"} | fault)))
    assert unwaited.project.sync().success


def test_a_run_that_does_not_wait_ends_when_line_has_accepted_everything(working):
    (audience,) = working.simulator.audiences()

    assert working.uploads() == 1
    assert [job.status for job in working.simulator.jobs(audience.id)] != ["FINISHED"]
    (event,) = working.project.instance.fetch_materializations(AUDIENCE, limit=9).records
    metadata = event.asset_materialization.metadata
    assert metadata["confirmed"].value is False
    assert metadata["identifiers_sent"].value == 2
    assert "identifiers_processed" not in metadata


def test_a_run_that_does_not_wait_leaves_the_check_to_the_sensor(unwaited):
    unwaited.simulator.inject(Fault(call="upload", job_polls=1))

    names = {check.check_name for check in unwaited.project.sync().get_asset_check_evaluations()}

    assert "confirmation" not in names
    assert "max_shrink" in names


def test_the_sensor_waits_while_line_works_and_then_confirms_with_both_numbers(working):
    assert working.skips_because("LINE has not processed what was sent yet")

    result = working.tick()

    evaluation = working.evaluation(result)
    assert not result.run_requests
    assert evaluation.passed
    assert evaluation.description == "2 identifiers sent, 2 processed by LINE."
    assert {name: entry.value for name, entry in evaluation.metadata.items()} == {"sent": 2, "processed": 2}
    assert working.skips_because("All that was sent is confirmed.")


def test_what_the_sensor_confirmed_is_what_later_syncs_compare_with(working):
    working.tick()
    working.tick()

    stopped = working.project.sync("zoe@example.com", day=22)

    assert "max_shrink: Was 2 (run date 2026-11-21)" in working.project.failure(stopped)


def test_a_difference_is_a_warning_with_both_numbers(unwaited):
    unwaited.simulator.inject(Fault(call="upload", job_processed=1))
    unwaited.project.sync()

    evaluation = unwaited.evaluation(unwaited.tick())

    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert evaluation.description == "2 identifiers sent, 1 processed by LINE."


def test_nothing_is_asked_of_line_before_anything_was_sent(unwaited):
    assert unwaited.skips_because("All that was sent is confirmed.")
    assert not unwaited.simulator.requests


def test_the_sensor_sends_nothing_itself(working):
    before = len(working.simulator.requests)

    working.tick()
    working.tick()

    assert {request.method for request in working.simulator.requests[before:]} == {"GET"}


def test_the_sensor_leaves_the_audience_to_a_run_that_is_at_work(working):
    before = len(working.simulator.requests)

    with working.project.alone("2026-11-21"):
        assert working.skips_because("A run is at work on the audience.")

    assert len(working.simulator.requests) == before
    assert not working.skips_because("A run is at work")


def test_what_a_run_left_half_sent_is_sent_on_by_a_run_that_the_sensor_starts(unwaited):
    unwaited.project.attributes["destination"]["max_records_per_upload"] = 1
    unwaited.simulator.inject(Fault(call="upload", skip=1, status=400, reasons=("INVALID_FILE_CONTENT",)))
    assert not unwaited.project.sync().success

    (request,) = unwaited.tick().run_requests
    assert unwaited.execute(request).success
    assert len(unwaited.project.members()) == 2
    assert not unwaited.simulator.broken_rules


def test_a_sync_that_line_failed_is_an_error_of_the_check_and_one_run(unwaited):
    lose_the_job(unwaited)

    result = unwaited.tick()

    evaluation = unwaited.evaluation(result)
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "LINE failed to process chunk 1 of 1" in evaluation.description
    assert "INTERNAL_ERROR" in evaluation.description
    assert evaluation.description.endswith("A run is started for it.")
    (request,) = result.run_requests
    assert request.partition_key == "2026-11-21"
    assert request.asset_selection == [AUDIENCE]


def test_a_request_that_was_lost_is_made_again_and_only_until_its_run_exists(unwaited):
    """The tick that noted the failure may have died before its daemon kept the request."""
    lose_the_job(unwaited)
    (request,) = unwaited.tick().run_requests

    (again,) = unwaited.tick().run_requests
    assert (again.run_key, unwaited.tick().asset_events) == (request.run_key, [])
    unwaited.simulator.inject(Fault(call="upload", status=400, reasons=("INVALID_FILE_CONTENT",)))
    assert not unwaited.execute(again).success

    assert unwaited.tick().run_requests[0].run_key != request.run_key


def test_the_requested_run_mends_the_sync(unwaited):
    lose_the_job(unwaited)
    (request,) = unwaited.tick().run_requests

    run = unwaited.execute(request)

    assert run.success
    assert len(unwaited.project.members()) == 2
    assert unwaited.uploads() == 2
    assert unwaited.evaluation(unwaited.tick()).passed
    assert not unwaited.simulator.broken_rules


def test_a_second_failure_of_the_same_sync_is_followed_by_a_second_run(unwaited):
    """Each under a run key of its own: a key that was used is never run again."""
    lose_the_job(unwaited, times=2)
    (first,) = unwaited.tick().run_requests
    assert unwaited.execute(first).success

    (second,) = unwaited.tick().run_requests
    assert unwaited.execute(second).success

    assert first.run_key != second.run_key
    assert unwaited.evaluation(unwaited.tick()).passed
    assert len(unwaited.project.members()) == 2


def test_a_sync_that_line_fails_again_and_again_is_given_up_by_the_sensor(unwaited):
    """After as many attempts as one run makes that waits; the check says what is left to do."""
    unwaited.project.line_ads["job_attempts"] = 2
    lose_the_job(unwaited, times=None)
    (request,) = unwaited.tick().run_requests
    assert unwaited.execute(request).success

    result = unwaited.tick()

    assert not result.run_requests
    assert unwaited.evaluation(result).severity is dg.AssetCheckSeverity.ERROR
    assert unwaited.evaluation(result).description.endswith("override: [unfinished_sync].")
    assert unwaited.skips_because("again and again")
    assert unwaited.uploads() == 2


def test_members_that_somebody_replaced_are_sent_again_by_one_run(unwaited):
    unwaited.simulator.inject(Fault(call="upload", job_polls=1))
    unwaited.project.sync()
    assert unwaited.skips_because("LINE has not processed")
    unwaited.project.upload_from_elsewhere(action="REPLACE")

    results = [unwaited.tick(), unwaited.tick()]

    keys = {request.run_key for result in results for request in result.run_requests}
    assert len(keys) == 1
    assert "replaced from elsewhere" in unwaited.evaluation(results[0]).description
    assert unwaited.execute(results[0].run_requests[0]).success
    assert unwaited.evaluation(unwaited.tick()).passed
    assert len(unwaited.project.members()) == 2


def test_a_newer_run_that_came_first_leaves_nothing_to_mend(unwaited):
    """The run that was requested ends without materialising."""
    lose_the_job(unwaited)
    (request,) = unwaited.tick().run_requests
    assert unwaited.project.sync("ann@example.com", "bob@example.com", day=22).success

    run = unwaited.execute(request)

    assert run.success
    assert not run.asset_materializations_for_node("vip__line_custom_audience")
    assert unwaited.uploads() == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(call="upload-job", status=503), "LINE failed to process a request"),
        (Fault(call="upload-job", status=403, reasons=("ACCOUNT_NOT_ALLOWED",)), "A10000000001"),
    ],
    ids=["LINE is away", "access withdrawn"],
)
def test_a_look_that_fails_fails_the_tick_in_our_words_and_is_repeated(working, fault, words):
    working.simulator.inject(fault)
    with pytest.raises(dg.Failure) as failed:
        working.tick()
    assert failed.value.description.startswith("vip: ")
    assert words in failed.value.description

    working.tick()
    assert working.evaluation(working.tick()).passed


def names_of_sensors(definitions: dg.Definitions) -> list[str]:
    return [sensor.name for sensor in definitions.sensors or []]


DESTINATION = {"ad_account_id": "A10000000001", "audience_name": "VIP customers"}


@pytest.mark.parametrize(
    ("destination", "sensors"),
    [({}, []), ({"wait_for_processing": True}, []), ({"wait_for_processing": False}, ["vip_confirmation"])],
)
def test_the_sensor_is_there_only_for_runs_that_do_not_wait(define, destination, sensors):
    assert names_of_sensors(define(destination=DESTINATION | destination)) == sensors


def test_an_audience_may_have_both_sensors(define):
    definitions = define(
        destination=DESTINATION | {"wait_for_processing": False},
        source={"table": "customers", "updated_at": "updated_at"},
        update_on_change=True,
    )

    assert names_of_sensors(definitions) == ["vip_confirmation", "vip_source_updated"]


@pytest.mark.parametrize(
    ("switch", "keep_updated", "status"),
    [("on", True, "RUNNING"), ("on", False, "RUNNING"), ("off", True, "STOPPED"), ("off", False, "STOPPED")],
)
def test_the_sensor_runs_from_the_first_load_unless_the_environment_says_no(
    define, monkeypatch, switch, keep_updated, status
):
    """Also where no schedule does: a sync that somebody started by hand is to be confirmed too."""
    monkeypatch.setenv("LINE_ADS_SCHEDULES", switch)

    (sensor,) = define(
        destination=DESTINATION | {"wait_for_processing": False}, keep_updated=keep_updated
    ).sensors

    assert sensor.default_status.value == status
    assert sensor.minimum_interval_seconds == 300
    assert sensor.required_resource_keys == {"line_ads", "snapshots"}
    assert sensor.job_name == "sync_vip"


def test_the_sensor_takes_the_credentials_of_its_audience(define):
    (sensor,) = define(
        destination=DESTINATION | {"wait_for_processing": False, "credentials": "line_ads_of_crm"}
    ).sensors

    assert sensor.required_resource_keys == {"line_ads_of_crm", "snapshots"}
