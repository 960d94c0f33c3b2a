"""A step that waits for long says so, as long as its process lives."""

import threading
import time
from datetime import timedelta

import dagster as dg

from line_ads_pipeline.components.heartbeat import signs_of_life


def lines(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if not entry.is_dagster_event]


def test_a_long_step_shows_signs_of_life(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:

        @dg.asset
        def slow(context: dg.AssetExecutionContext) -> None:
            with signs_of_life(context, beat=timedelta(seconds=0.01)):
                while len(lines(instance, context.run.run_id)) < 3:
                    time.sleep(0.01)

        result = dg.materialize([slow], instance=instance)

        assert lines(instance, result.run_id)[:3] == ["Still at work."] * 3


def test_nothing_is_left_behind(tmp_path):
    @dg.asset
    def failing(context: dg.AssetExecutionContext) -> None:
        with signs_of_life(context):
            raise dg.Failure("broken")

    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.materialize([failing], instance=instance, raise_on_error=False)

        assert lines(instance, result.run_id) == []
    assert "signs of life" not in {thread.name for thread in threading.enumerate()}
