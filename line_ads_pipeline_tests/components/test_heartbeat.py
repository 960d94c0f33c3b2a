"""A step that waits for long says so, as long as its process lives."""

import threading
import time
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEventType

from line_ads_pipeline.components import heartbeat
from line_ads_pipeline.components.heartbeat import signs_of_life
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import Synchroniser
from line_ads_pipeline.warehouse import Warehouse


def beats(instance: dg.DagsterInstance, run_id: str) -> int:
    events = instance.get_records_for_run(run_id, of_type=DagsterEventType.ENGINE_EVENT).records
    return sum(record.event_log_entry.dagster_event.message == "Still at work." for record in events)


@pytest.fixture
def instance(tmp_path):
    """One that, as a deployment may, keeps no log lines but warnings."""
    overrides = {"python_logs": {"python_log_level": "WARNING"}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as made:
        yield made


def test_a_long_step_shows_signs_of_life(instance, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", timedelta(seconds=0.01))

    @dg.asset
    def slow(context: dg.AssetExecutionContext) -> None:
        with signs_of_life(context):
            while beats(instance, context.run.run_id) < 3:
                time.sleep(0.01)

    assert dg.materialize([slow], instance=instance).success


def test_the_heart_beats_on_when_the_database_was_away(instance, monkeypatch, caplog):
    monkeypatch.setattr(heartbeat, "BEAT", timedelta(seconds=0.01))
    works = dg.DagsterInstance.report_engine_event
    failed = []

    def away_at_first(*arguments, **keywords):
        if arguments[1:2] == ("Still at work.",) and not failed:
            failed.append(arguments)
            raise OSError("no route to host")
        return works(*arguments, **keywords)

    monkeypatch.setattr(dg.DagsterInstance, "report_engine_event", away_at_first)

    @dg.asset
    def slow(context: dg.AssetExecutionContext) -> None:
        with signs_of_life(context):
            while not beats(instance, context.run.run_id):
                time.sleep(0.01)

    assert dg.materialize([slow], instance=instance).success
    assert failed
    assert "could not be kept: OSError" in caplog.text


def test_nothing_is_left_behind(instance):
    @dg.asset
    def failing(context: dg.AssetExecutionContext) -> None:
        with signs_of_life(context):
            raise dg.Failure("broken")

    result = dg.materialize([failing], instance=instance, raise_on_error=False)

    assert not beats(instance, result.run_id)
    assert "signs of life" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("step", "place", "method"),
    [
        ("source_segment", Warehouse, "describe"),
        ("hashed_identifiers", Store, "write_snapshot"),
        ("line_custom_audience", Synchroniser, "sync"),
    ],
)
def test_each_step_of_an_audience_shows_signs_of_life(project, instance, monkeypatch, step, place, method):
    """What it waits for takes until its heart has beaten."""
    project.instance = instance
    assert project.run().success
    works = getattr(place, method)
    beaten = []

    def waits(*arguments, **keywords):
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        deadline = time.monotonic() + 60
        while not beats(instance, run.run_id) and time.monotonic() < deadline:
            time.sleep(0.01)
        beaten.append(beats(instance, run.run_id))
        return works(*arguments, **keywords)

    monkeypatch.setattr(heartbeat, "BEAT", timedelta(seconds=0.01))
    monkeypatch.setattr(place, method, waits)

    assert project.run(step).success
    assert all(beaten)
    assert beaten
