"""A sync from its manifest to its confirmation, by whichever runs carry it there."""

import logging
import secrets
from dataclasses import dataclass
from typing import Self

from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync.confirmed import Confirmed
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import AudienceContended
from line_ads_pipeline.sync.evidence import newest_creation
from line_ads_pipeline.sync.guardrails import Finding
from line_ads_pipeline.sync.increments import Increments
from line_ads_pipeline.sync.lookup import AudienceLookup
from line_ads_pipeline.sync.manifest import Sync, SyncMode, plan_chunks
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.target import IdleTarget, Target
from line_ads_pipeline.sync.uploader import Uploader

_log = logging.getLogger(__name__)

_BEGINNINGS = 3

_UNCERTAIN = "what was sent before is uncertain"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a new sync is to bring.

    Attributes:
        snapshot: In the store.
        partition: Its run date.
        mode: What the sync means.
        findings: What the guardrails said of it.
        all_because: Why all of it is sent, which is always safe; None to let increments decide how much.
    """

    snapshot: Snapshot
    partition: str
    mode: SyncMode
    findings: tuple[Finding, ...] = ()
    all_because: str | None = _UNCERTAIN

    @classmethod
    def again(cls, sync: Sync, *, people: Snapshot | None = None) -> Self:
        """To bring all that a sync was to bring, or those who are left of it."""
        return cls(
            snapshot=sync.snapshot if people is None else people,
            partition=sync.partition,
            mode=sync.mode,
            findings=tuple(Finding.from_document(document) for document in sync.findings),
        )


@dataclass(frozen=True, kw_only=True)
class Carrier:
    """Begins syncs, sends and awaits their chunks, and writes down that LINE has processed them.

    Args:
        records: Where snapshots and manifests are.
        destination: The audience in LINE.
        lookup: Finds it.
        uploader: Sends to it.
        increments: Says how much.
        max_records: Rows in one upload.
        wait_for_processing: Until LINE has processed the last chunk, not only accepted it.
    """

    records: AudienceRecords
    destination: Destination
    lookup: AudienceLookup
    uploader: Uploader
    increments: Increments
    max_records: int
    wait_for_processing: bool

    def target_of(self, unfinished: Sync | None, *, recreate: bool = False) -> Target:
        """The audience that a sync goes to.

        Args:
            unfinished: The sync to go on with or to take the place of, if there is one.
            recreate: Pass over an audience that is gone, expired or failed.

        Raises:
            SyncError: The audience may not be used.
            LineAdsError: A call failed for good.
        """
        if unfinished is not None and unfinished.audience_id is None:
            # an audience may have been made by a request whose answer was lost: a second one must not be made
            self.uploader.settle(unfinished)
        return self.lookup.find(unfinished, recreate=recreate)

    def when_idle(self, target: Target) -> IdleTarget:
        """Wait until LINE is at work on nothing there.

        Raises:
            AudienceBusy: A job does not end.
        """
        return target.idle(self.uploader.wait_until_idle(target.audience.id) if target.audience else ())

    def begin(self, plan: Plan, target: IdleTarget) -> Sync:
        """Write the manifest of a sync down, in place of the one that is running.

        Raises:
            SnapshotNotFound: The plan's snapshot is not in the store, where an increment is to be made of it.
            LeaseLost: Another process has taken the audience over.
            StoreError: The store failed.
        """
        sync = self._planned(plan, target)
        superseded = self.records.running_sync()
        self.records.save(sync)
        self.records.write({"sync_id": sync.id}, "current_sync")
        if superseded is not None:  # only now: whoever is killed leaves one of them to go on with
            _log.info("sync %s takes the place of sync %s", sync.id, superseded.id)
            self.records.conclude(superseded, "superseded")
        if target.audience is not None:
            # what others sent is known to a sync only once it has sent something itself
            before = self.records.latest_sync_to(self.destination)
            self.records.record_audience(
                self.destination, target.audience.id, sync_id=before.id if before else None
            )
        _log.info(
            "sync %s of %s begins: %s identifiers in %s chunks, %s, %s%s",
            sync.id,
            self.destination.audience,
            f"{sync.payload.count:,}",
            len(sync.chunks),
            sync.mode,
            sync.kind,
            f" ({sync.extent.reason})" if sync.extent.reason else "",
        )
        return sync

    def _planned(self, plan: Plan, target: IdleTarget) -> Sync:
        extent = (
            self.increments.of(plan.snapshot, mode=plan.mode, target=target)
            if plan.all_because is None
            else self.increments.everything(plan.snapshot, mode=plan.mode, reason=plan.all_because)
        )
        payload = plan.snapshot if extent.increment is None else extent.increment
        newest = newest_creation(target.jobs)
        return Sync(
            id=secrets.token_hex(8),
            destination=self.destination.key,
            ad_account_id=self.destination.ad_account_id,
            id_type=self.destination.id_type,
            audience_name=self.destination.audience_name,
            audience_id=target.audience_id,
            mode=plan.mode,
            partition=plan.partition,
            snapshot=plan.snapshot,
            chunks=plan_chunks(
                payload.count,
                line_bytes=payload.line_bytes,
                mode=plan.mode if extent.increment is None else "add",
                max_records=self.max_records,
            ),
            known_audience_ids=list(target.same_name),
            known_job_ids=[job.id for job in target.jobs],
            known_until=newest.isoformat() if newest else None,
            findings=[finding.to_document() for finding in plan.findings],
            extent=extent,
        )

    def carry_out(self, sync: Sync, *, wait: bool = False) -> Sync:
        """Send and await all chunks, and begin anew where somebody replaced the members meanwhile.

        Args:
            sync: New, or one that an earlier run left.
            wait: Until LINE has processed the last chunk, whatever the audience file says.

        Returns:
            The sync that LINE has all of: the given one, or what was begun in its place.

        Raises:
            AudienceContended: Somebody keeps replacing the members.
            SyncError: A chunk could not be brought to its end.
            LineAdsError: A call failed for good.
            CoordinationError: Another process has taken the audience over, or the database is away.
            StoreError: The store failed.
        """
        for _ in range(_BEGINNINGS):
            self.uploader.send(sync, wait_for_last=wait or self.wait_for_processing)
            if not sync.replaced:
                if sync.is_finished:
                    self._confirm(sync)
                return sync
            _log.warning("the members of audience %s were replaced meanwhile; sent again", sync.audience_id)
            sync = self.begin(Plan.again(sync), self.when_idle(self.target_of(sync)))
        raise AudienceContended(sync.audience_id or "", times=_BEGINNINGS)

    def goes_on(self, unfinished: Sync, *, snapshot: Snapshot, mode: SyncMode, target: Target) -> bool:
        """Whether the unfinished sync brings this snapshot to this audience, once LINE has processed what it has of it.

        If it does not, and LINE has all of it, that is written down.

        Raises:
            SyncError: What LINE has of it does not come to an end.
            LineAdsError: A call failed for good.
        """
        if unfinished.audience_id != target.audience_id:
            return False
        jobs = self.uploader.land(unfinished)
        is_wanted = unfinished.snapshot == snapshot and unfinished.mode == mode
        if is_wanted and self.increments.can_go_on(unfinished, jobs):
            _log.info("sync %s goes on where it stopped", unfinished.id)
            return True
        if unfinished.is_done:  # all that was left to do was to write it down
            self._confirm(unfinished)
        return False

    def give_up(self, unfinished: Sync, target: Target, *, for_nothing: bool) -> None:
        """Let go of a sync, once it is known what of it arrived: what lands later would mix with what comes now.

        Args:
            unfinished: The sync.
            target: The audience that the run goes to.
            for_nothing: No other sync takes its place.
        """
        if target.audience_id is not None and target.audience_id == unfinished.audience_id:
            self.uploader.settle(unfinished)
        if for_nothing:
            self.records.conclude(unfinished, "superseded")

    def confirm_if_processed(self, sync: Sync) -> bool:
        """Look once whether LINE has processed what it has accepted of a sync, and if that is all, write it down.

        Raises:
            UploadJobFailed: LINE gave up on a chunk, which is planned anew.
            AudienceContended: Somebody replaced the members.
            LineAdsError: A call failed for good.
        """
        if not self.uploader.look(sync):
            return False
        if sync.replaced:
            raise AudienceContended(sync.audience_id or "", times=1)
        self._confirm(sync)
        return True

    def _confirm(self, sync: Sync) -> None:
        if self.records.recorded_audience(self.destination) != sync.audience_id:
            self.records.record_audience(self.destination, sync.audience_id, sync_id=sync.id)
        # in this order: whoever is killed in between goes on with a sync that has nothing left to send
        self.records.confirm(self.destination, Confirmed.by(sync))
        self.records.conclude(sync, "confirmed")
