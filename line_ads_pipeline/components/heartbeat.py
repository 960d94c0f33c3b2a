"""Signs of life of a run, so that one whose process is gone is not under way for ever.

Dagster itself notices a process that died only as long as the code server lives that started it; a run that went down
with its machine stays as started.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import dagster as dg

_log = logging.getLogger(__name__)

BEAT = timedelta(minutes=5)
LONGEST_SILENCE = timedelta(minutes=30)
"""Many beats: clocks of machines may differ, and a database may be away for a while."""
LONGEST_SILENCE_OF_OTHERS = timedelta(hours=24)
"""Of a run that also materialises assets which show no signs of life."""


@contextmanager
def signs_of_life(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Report an event every now and then, whatever the step is waiting for: the warehouse or LINE may take hours."""
    finished = Event()

    def report() -> None:
        while not finished.wait(BEAT.total_seconds()):
            try:
                # an event and not a log line, which a deployment's log level may drop
                context.instance.report_engine_event("Still at work.", context.run)
            except Exception as error:  # noqa: BLE001 - the database may be away for a while, and the heart beats on
                _log.warning("a sign of life could not be kept: %s", type(error).__name__)

    thread = Thread(target=report, daemon=True, name="signs of life")
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def is_silent(
    instance: dg.DagsterInstance,
    record: dg.RunRecord,
    *,
    now: datetime,
    longest: timedelta,
) -> bool:
    """Whether an unfinished run has shown no sign of life for too long: its process is gone.

    A run in the queue has no process yet, and waits as long as it must.
    """
    run = record.dagster_run
    if run.status is dg.DagsterRunStatus.QUEUED:
        return False
    events = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    latest = events[0].timestamp if events else record.create_timestamp.timestamp()
    return now.timestamp() - latest > longest.total_seconds()
