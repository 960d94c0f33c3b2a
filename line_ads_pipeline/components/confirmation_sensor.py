"""The sensor `<name>_confirmation`: a sync whose run did not wait for LINE is confirmed when LINE has processed it."""

from dataclasses import dataclass

import dagster as dg

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.failures import in_plain_words
from line_ads_pipeline.components.kept_snapshot import SNAPSHOT_STORE, records_of
from line_ads_pipeline.coordination import LeaseHeld
from line_ads_pipeline.sync import AudienceContended, Sync, SyncError, SyncResult, UploadJobFailed

LOOK_EVERY = 300
"""Seconds: as seldom as a waiting run looks in the end."""

PATIENCE = 10.0
"""Seconds for which a call is repeated."""

_RUN_KEY_TAG = "dagster/run_key"


@dataclass(frozen=True)
class ConfirmationSensor:
    """Looks whether LINE has processed what was sent.

    Attributes:
        audience: With `wait_for_processing: false`.
    """

    audience: Audience

    def definition(self, *, running: bool) -> dg.SensorDefinition:
        """The sensor `<name>_confirmation` for the job `sync_<name>`, running from the first load or not."""
        return dg.SensorDefinition(
            name=f"{self.audience.name}_confirmation",
            evaluation_fn=self.tick,
            job_name=f"sync_{self.audience.name}",
            minimum_interval_seconds=LOOK_EVERY,
            default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
            required_resource_keys={self.audience.destination.credentials, SNAPSHOT_STORE},
            description=f"Confirms the syncs of {self.audience.name} when LINE has processed them.",
        )

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """Look once; a sync that LINE could not process is sent on by a run.

        Raises:
            dagster.Failure: LINE or the store could not be asked: the tick fails, and the next one asks again.
        """
        with in_plain_words(self.audience):
            records = records_of(self.audience, context.resources)
            if records.running_sync() is None:
                return dg.SkipReason("All that was sent is confirmed.")
            resource = getattr(context.resources, self.audience.destination.credentials)
            # Dagster gives a tick a minute, and the next one asks again
            line_ads = resource.model_copy(update={"retry_seconds": min(resource.retry_seconds, PATIENCE)})
            failure: SyncError | None = None
            try:
                with (
                    line_ads.connect() as connection,
                    self.audience.to_synchroniser(records, connection).alone(wait=False) as mine,
                ):
                    most_attempts = connection.patience.job_attempts
                    result = mine.confirm()
            except LeaseHeld:
                return dg.SkipReason("A run is at work on the audience.")
            except (UploadJobFailed, AudienceContended) as error:
                failure, result = error, None
            sync = records.running_sync()
        if result is not None:
            return self._confirmed(result)
        if sync is not None and (failure is not None or sync.waits_to_be_sent):
            return self._sent_on(context.instance, sync, failure, most_attempts=most_attempts)
        return dg.SkipReason("LINE has not processed what was sent yet.")

    @property
    def _asset(self) -> dg.AssetKey:
        return dg.AssetKey([self.audience.name, "line_custom_audience"])

    def _confirmed(self, result: SyncResult) -> dg.SensorResult:
        (finding,) = (finding for finding in result.findings if finding.check == "confirmation")
        evaluation = dg.AssetCheckEvaluation(
            asset_key=self._asset,
            check_name=finding.check,
            passed=finding.verdict == "passed",
            severity=dg.AssetCheckSeverity.WARN,
            description=finding.message,
            metadata=dict(finding.numbers),
        )
        return dg.SensorResult(asset_events=[evaluation])

    def _sent_on(
        self, instance: dg.DagsterInstance, sync: Sync, failure: SyncError | None, *, most_attempts: int
    ) -> dg.SensorResult | dg.SkipReason:
        """Request a run, once, unless LINE has failed the upload as often as one run may send it.

        Whether it was requested is asked of Dagster: a tick may be lost after the failure was written down.
        """
        key = f"{sync.id}/{sum(chunk.attempts for chunk in sync.chunks)}"
        started = instance.get_runs(dg.RunsFilter(tags={_RUN_KEY_TAG: key}), limit=1)
        if started:
            return dg.SkipReason(f"Run {started[0].run_id} was started to send on what LINE did not process.")
        is_worth_a_run = isinstance(failure, AudienceContended) or sync.chunks[-1].attempts < most_attempts
        if failure is None and not is_worth_a_run:
            return dg.SkipReason("LINE fails what was sent again and again: see the check confirmation.")
        events = []
        if failure is not None:
            description = f"{failure} A run is started for it." if is_worth_a_run else str(failure)
            events.append(
                dg.AssetCheckEvaluation(
                    asset_key=self._asset,
                    check_name="confirmation",
                    passed=False,
                    severity=dg.AssetCheckSeverity.ERROR,
                    description=description,
                )
            )
        request = dg.RunRequest(run_key=key, partition_key=sync.partition, asset_selection=[self._asset])
        return dg.SensorResult(run_requests=[request] if is_worth_a_run else [], asset_events=events)
