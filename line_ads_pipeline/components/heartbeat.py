"""Signs of life of a run, so that one whose process is gone is not under way for ever.

Dagster itself notices a process that died only as long as the code server lives that started it; a run that went down
with its machine stays as started.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import dagster as dg

BEAT = timedelta(minutes=5)
LONGEST_SILENCE = 6 * BEAT
"""Clocks of machines may differ, and a database may be away for a while."""


@contextmanager
def signs_of_life(context: dg.AssetExecutionContext, *, beat: timedelta = BEAT) -> Iterator[None]:
    """Log a line every now and then, whatever the step is waiting for: the warehouse or LINE may take hours."""
    finished = Event()

    def log() -> None:
        while not finished.wait(beat.total_seconds()):
            context.log.info("Still at work.")

    thread = Thread(target=log, daemon=True, name="signs of life")
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def is_silent(instance: dg.DagsterInstance, record: dg.RunRecord, *, now: datetime) -> bool:
    """Whether an unfinished run of our assets has shown no sign of life for too long: its process is gone.

    A run in the queue has no process yet, and waits as long as it must.
    """
    run = record.dagster_run
    if run.status is dg.DagsterRunStatus.QUEUED:
        return False
    events = instance.get_records_for_run(run.run_id, limit=1, ascending=False).records
    latest = events[0].timestamp if events else record.create_timestamp.timestamp()
    return now.timestamp() - latest > LONGEST_SILENCE.total_seconds()
