"""The sensor `<name>_source_updated`: a sync when the source has changed.

What was synced, and which runs were tried, is read from Dagster's own event log and run storage, so that neither a
restart nor a lost cursor loses an update or repeats one: runs are requested until a sync has succeeded that saw what
is there now.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import AwareDatetime, BaseModel, ValidationError

from line_ads_pipeline.components.audience_file import Audience, UpdateBlock
from line_ads_pipeline.components.failures import in_plain_words
from line_ads_pipeline.components.heartbeat import LONGEST_SILENCE, LONGEST_SILENCE_OF_OTHERS, is_silent
from line_ads_pipeline.components.kept_snapshot import SNAPSHOT_STORE, records_of
from line_ads_pipeline.components.source_state import (
    SOURCE_STATE,
    SourceState,
    latest_materializations,
    source_version,
)
from line_ads_pipeline.sync import OnHold

UPDATE_TAG = "line_ads/update"
"""On the runs that the sensor requests: the audience's name."""

NEWS_TAG = "line_ads/news"
"""On the same runs: what they were requested for."""
LONGEST_TAG = 250

CHECKSUM_INTERVAL = timedelta(hours=1)
LONGEST_RETRY_PAUSE = timedelta(hours=1)
MOST_DOUBLINGS = 12
"""From a second to an hour."""

_AD_HOC_JOB = "__ASSET_JOB"  # what Dagster calls the job of a run that materialises a selection
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


class UpdateCursor(BaseModel):
    """What one look at the source leaves for the next. Without it, the source is only looked at once more."""

    format: Literal[1] = 1
    state: SourceState
    asked_at: AwareDatetime

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """The cursor of the look before; None if there was none, or it is of a form that is not known here."""
        try:
            return cls.model_validate_json(text or "")
        except ValidationError:
            return None


@dataclass(frozen=True)
class LastSync:
    """The latest materialisation of line_custom_audience.

    Attributes:
        event_id: The event log's id of it.
        run_date: The partition.
        at: When it was confirmed.
        state: The state of the source that was sent; None if that was not recorded.
    """

    event_id: int
    run_date: str
    at: datetime
    state: SourceState | None


@dataclass(frozen=True)
class UpdateSensor:
    """Looks at an audience's source, and requests a run when it has changed.

    Attributes:
        audience: Has `update_on_change`.
        update: The intervals of it.
        partitions: Its run dates, of which the newest is synced.
        clock: Gives the time, in any time zone.
    """

    audience: Audience
    update: UpdateBlock
    partitions: dg.TimeWindowPartitionsDefinition
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def definition(self, *, running: bool) -> dg.SensorDefinition:
        """The sensor `<name>_source_updated` for the job `sync_<name>`, running from the first load or not."""
        return dg.SensorDefinition(
            name=f"{self.audience.name}_source_updated",
            evaluation_fn=self.tick,
            job_name=f"sync_{self.audience.name}",
            minimum_interval_seconds=int(self.update.check_every.total_seconds()),
            default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
            required_resource_keys={self.audience.source.warehouse, SNAPSHOT_STORE},
            description=f"Syncs {self.audience.name} to LINE Ads when its source has changed.",
        )

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """Look once.

        Raises:
            dagster.Failure: The source could not be asked: the tick fails, and the next one asks again.
        """
        now = self.clock()
        with dg.partition_loading_context(effective_dt=now):
            run_date = self.partitions.get_last_partition_key()
        if run_date is None:
            first = self.audience.run_frequency.start_date
            return dg.SensorResult(skip_reason=f"There is no run date yet: start_date is {first}.")
        before, synced = UpdateCursor.read(context.cursor), self._last_sync(context.instance)
        known = before.state if before else synced.state if synced else None
        with in_plain_words(self.audience):
            cursor = self._look(context, _latest_look(before, synced), run_date, now)
            hold = records_of(self.audience, context.resources).hold()
        state = cursor.state
        # a run while on hold would send nothing
        decision = str(OnHold(hold)) if hold else self._decide(context.instance, state, run_date, now)
        return dg.SensorResult(
            run_requests=[decision] if isinstance(decision, dg.RunRequest) else None,
            skip_reason=decision if isinstance(decision, str) else None,
            cursor=cursor.model_dump_json(),
            asset_events=[*self._observations(state, known)],
        )

    def _look(
        self, context: dg.SensorEvaluationContext, latest: UpdateCursor | None, run_date: str, now: datetime
    ) -> UpdateCursor:
        """The source as it is now. A checksum, which reads a column, is taken at most hourly."""
        source = self.audience.source
        # first, so that what is materialised while the source is asked is news to the next look
        upstream = latest_materializations(context.instance, source.depends_on)
        if latest is not None and source.checksum and abs(now - latest.asked_at) < CHECKSUM_INTERVAL:
            version, asked_at = latest.state.version, latest.asked_at
        else:
            version, asked_at = source_version(self.audience, context.resources, run_date=run_date), now
        return UpdateCursor(state=SourceState(version, upstream), asked_at=asked_at)

    def _decide(
        self,
        instance: dg.DagsterInstance,
        state: SourceState,
        run_date: str,
        now: datetime,
    ) -> dg.RunRequest | str:
        """A run of the newest run date, or why there is none."""
        # in this order, and after the look, which may take a minute: a run that began or ended meanwhile is seen
        if under_way := self._run_under_way(instance, now):
            return (
                f"Run {under_way} is under way; whether it has seen the latest change is looked at after it."
            )
        synced = self._last_sync(instance)
        news = "; ".join(state.news_since(synced.state if synced else None))
        if not news:
            return "The last sync has seen this state of the source."
        if synced is not None and run_date < synced.run_date:
            return (
                f"Changed: {news}. The newest run date, {run_date}, is older than that of the last sync, "
                f"{synced.run_date}, since the run frequency was edited; updates go on with the next run date."
            )
        if synced is not None and now < (earliest := synced.at + self.update.at_most_every):
            return (
                f"Changed: {news}. The last sync was {self._local(synced.at)}, so the next update is not before "
                f"{self._local(earliest)} (at_most_every)."
            )
        tried = instance.get_run_records(
            dg.RunsFilter(tags={UPDATE_TAG: self.audience.name}, created_after=synced.at if synced else None),
            limit=MOST_DOUBLINGS,
        )
        if tried and now < (again := self._next_attempt(tried)):
            last = tried[0].dagster_run
            return (
                f"Changed: {news}. Run {last.run_id} ended as {last.status.value} without a sync; the next attempt is "
                f"not before {self._local(again)}."
            )
        return dg.RunRequest(
            # the sync and the attempt before are parts of it: a source may come back to a state that was synced, and
            # a key that was used is never run again
            run_key="/".join(
                [
                    state.digest,
                    str(synced.event_id) if synced else "first",
                    tried[0].dagster_run.run_id if tried else "first",
                ]
            ),
            partition_key=run_date,
            tags={UPDATE_TAG: self.audience.name, NEWS_TAG: news[:LONGEST_TAG]},
        )

    def _next_attempt(self, tried: Sequence[dg.RunRecord]) -> datetime:
        """After twice as long each time, up to an hour: of any state, since some sources change with every look."""
        ended: float = max(record.end_time or record.update_timestamp.timestamp() for record in tried)
        first = self.update.check_every
        pause = min(first * (1 << (len(tried) - 1)), max(first, LONGEST_RETRY_PAUSE))
        return datetime.fromtimestamp(ended, UTC) + pause

    def _run_under_way(self, instance: dg.DagsterInstance, now: datetime) -> str | None:
        """A run that is going to sync, or is syncing, whoever started it; one whose process is gone is not."""
        own_job = f"sync_{self.audience.name}"
        for job in (own_job, _AD_HOC_JOB):
            for record in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY)):
                run = record.dagster_run
                if job == _AD_HOC_JOB and not self._selects(run):
                    continue
                longest = LONGEST_SILENCE if job == own_job else LONGEST_SILENCE_OF_OTHERS
                if not is_silent(instance, record, now=now, longest=longest):
                    return run.run_id
                if job == own_job:  # else it would hold its place in the queue for ever
                    instance.report_run_failed(run, "Its process is gone: no sign of life for half an hour.")
        return None

    def _selects(self, run: dg.DagsterRun) -> bool:
        """Whether an ad-hoc run syncs the audience: one without any selection is of all assets."""
        if run.asset_selection is None:
            return run.asset_check_selection is None
        return self._synced_asset in run.asset_selection

    @property
    def _synced_asset(self) -> dg.AssetKey:
        return dg.AssetKey([self.audience.name, "line_custom_audience"])

    def _last_sync(self, instance: dg.DagsterInstance) -> LastSync | None:
        records = instance.get_asset_records([self._synced_asset])
        event = records[0].asset_entry.last_materialization_record if records else None
        if event is None or event.asset_materialization is None:
            return None
        entry = event.asset_materialization.metadata.get(SOURCE_STATE)
        return LastSync(
            event_id=event.storage_id,
            run_date=event.asset_materialization.partition or "",
            at=datetime.fromtimestamp(event.timestamp, UTC),
            state=SourceState.from_document(entry.value) if isinstance(entry, dg.JsonMetadataValue) else None,
        )

    def _observations(self, state: SourceState, before: SourceState | None) -> Iterator[dg.AssetObservation]:
        """What is new since the look before: the UI shows when the source changed."""
        if news := state.news_since(before):
            yield dg.AssetObservation(
                dg.AssetKey([self.audience.name, "source_segment"]),
                description=f"The source has changed: {'; '.join(news)}." if before else "The first look.",
                metadata={
                    "source_version": state.version or "none",
                    "version_before": (before and before.version) or "none",
                },
            )

    def _local(self, moment: datetime) -> str:
        zone = ZoneInfo(self.audience.run_frequency.time_zone)
        return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def _latest_look(cursor: UpdateCursor | None, synced: LastSync | None) -> UpdateCursor | None:
    """What the source was when it was looked at last: by the sensor, or by the run that was synced since."""
    if synced is None or synced.state is None or (cursor is not None and cursor.asked_at > synced.at):
        return cursor
    return UpdateCursor(state=synced.state, asked_at=synced.at)
