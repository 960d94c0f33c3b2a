"""Which sync an audience needs now: one that goes on, a new one, or none."""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, Self

from line_ads_pipeline import coordination as leases
from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import (
    CustomAudience,
    LineAdsClient,
    LineAdsError,
    UploadJob,
)
from line_ads_pipeline.store import Snapshot, SnapshotNotFound
from line_ads_pipeline.sync.confirmed import Confirmed, Hold
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import (
    AudienceContended,
    GuardrailsStopped,
    NoValidIdentifiers,
    OlderThanConfirmed,
    OnHold,
    Overtaken,
    RollbackOfAdd,
    SyncError,
)
from line_ads_pipeline.sync.evidence import newest_creation, would_wipe
from line_ads_pipeline.sync.guardrails import Finding, Guardrails, confirmation_finding
from line_ads_pipeline.sync.increments import Increments
from line_ads_pipeline.sync.inspection import Inspection
from line_ads_pipeline.sync.lookup import AudienceLookup
from line_ads_pipeline.sync.manifest import Extent, Sync, SyncMode, plan_chunks
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.request import SyncRequest, SyncResult
from line_ads_pipeline.sync.uploader import Patience, Uploader

_log = logging.getLogger(__name__)

_BEGINNINGS = 3

WhenEmpty = Literal["refuse", "delete_audience"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Synchroniser:
    """Brings snapshots of one audience file to LINE.

    Args:
        client: Open.
        records: Where snapshots and manifests are.
        destination: The audience in LINE.
        coordination: Shared with all processes that use the same ad accounts.
        mode: `mirror` makes the audience hold exactly the snapshot, `add` only ever adds.
        max_records: Rows in one upload.
        guardrails: Of a mirror.
        incremental: Send only what is new where it is certain what the audience holds.
        full_replace_every: How old the latest full replace of an incremental mirror may be.
        when_empty: What a mirror of nobody does.
        wait_for_processing: End only when LINE has processed the last chunk, not when it has accepted it.
        replaces_at_once: How many `REPLACE`s LINE takes per ad account.
        patience: How long to wait.
        sleep: Takes seconds.
        now: Gives the time with a zone.
    """

    client: LineAdsClient
    records: AudienceRecords
    destination: Destination
    coordination: Coordination
    mode: SyncMode
    max_records: int
    guardrails: Guardrails = field(default_factory=Guardrails)
    incremental: bool = False
    full_replace_every: timedelta = timedelta(days=30)
    when_empty: WhenEmpty = "refuse"
    wait_for_processing: bool = True
    replaces_at_once: int = 3
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = _utc_now

    @contextmanager
    def alone(
        self, partition: str = "", *, rollback: bool = False, gives_way: bool = True, wait: bool = True
    ) -> Iterator[Self]:
        """Keep everybody else from writing to the audience, and give the synchroniser that may.

        Runs of one audience file take turns. A waiting mirror gives way to a newer one, by run date and then by time;
        adds wait in the order in which they came.

        Args:
            partition: The run date.
            rollback: Goes before all that is no rollback; of two the later one.
            gives_way: To newer runs; one that somebody started with a wish of his own does not.
            wait: Until nobody else is at it.

        Raises:
            Overtaken: A newer run is waiting, too.
            LeaseHeld: Somebody else is at it, and this run does not wait.
            CoordinationError: The database cannot be used.
        """
        try:
            with (
                self.coordination.lease(
                    f"audience file {self.records.audience} in {self.records.store.identity}",
                    rank="1" if rollback else f"0 {partition}",
                    overtaking=self.mode == "mirror" and gives_way,
                    wait=wait,
                ),
                self.coordination.lease(f"audience {self.destination.digest}", wait=wait) as lease,
            ):
                yield replace(self, records=self.records.fenced(lease))
        except leases.Overtaken:
            raise Overtaken from None

    def sync(self, request: SyncRequest) -> SyncResult:
        """Bring the snapshot to LINE and wait until LINE has processed all of it.

        Raises:
            PassedOver: There is nothing to do for this run.
            GuardrailsStopped: The snapshot looks wrong.
            SyncError: See `line_ads_pipeline.sync.errors`.
            LineAdsError: A call failed for good.
            CoordinationError: Another process has taken the audience over, or the database is away.
            StoreError: The store failed.
        """
        if request.rollback and self.mode == "add":
            raise RollbackOfAdd
        unfinished = self.records.unfinished_sync(self.destination)
        hold = self._hold(request, unfinished)
        if not request.rollback:
            self._check_is_not_older(request.partition, unfinished)
        if unfinished is None and self._sends_nobody(request):
            return self._sent_nobody(request, [hold])
        if unfinished is not None and unfinished.audience_id is None:
            # an audience may have been made by a request whose answer was lost: a second one must not be made
            self._uploader.settle(unfinished)
        audience, same_name = self._lookup.find(unfinished, recreate=request.recreate_audience)
        with self._only_writer_to(audience):
            return self._sync_to(audience, same_name, request, unfinished, hold)

    def _only_writer_to(self, audience: CustomAudience | None) -> AbstractContextManager[object]:
        """A lease by the audience's id: audience files may name one audience by id and by name."""
        if audience is None:
            return nullcontext()
        return self.coordination.lease(f"audience {self.destination.ad_account_id} {audience.id}")

    def _sync_to(
        self,
        audience: CustomAudience | None,
        same_name: tuple[str, ...],
        request: SyncRequest,
        unfinished: Sync | None,
        hold: Finding,
    ) -> SyncResult:
        """Go on with what is unfinished, finish it first, or begin in its place."""
        sends_nobody = self._sends_nobody(request)
        given_up = unfinished if "unfinished_sync" in request.override else None
        own = [
            hold,
            self._inspection.destination_finding(audience, request),
            self._inspection.unfinished_finding(unfinished, given_up),
        ]
        if given_up is not None:
            self._give_up(given_up, audience, for_nothing=sends_nobody)
        elif unfinished is not None and self._goes_on(unfinished, request.snapshot, audience):
            if unfinished.would_replace:
                self._guard_again(request, audience, unfinished, own)
            self._apply_hold(request)
            unfinished.partition = request.partition
            return self._result(self._carry_out(unfinished), resumed=True, findings=own)
        elif unfinished is not None and self.mode == "add":
            if self._finish_first(unfinished, request, audience, same_name):
                audience, same_name = self._lookup.find(None)
        elif unfinished is not None and sends_nobody and not request.rollback:
            self._complete(unfinished, request, audience)
        return (
            self._sent_nobody(request, own)
            if sends_nobody
            else self._start(request, audience, same_name, own)
        )

    def _start(
        self,
        request: SyncRequest,
        audience: CustomAudience | None,
        same_name: tuple[str, ...],
        own: Sequence[Finding],
    ) -> SyncResult:
        """Begin a sync, if the guardrails let it, in place of a mirror that is unfinished."""
        jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
        findings = self._guard(request, audience, jobs, own)
        self._apply_hold(request)
        if request.snapshot.count == 0:
            self._lookup.delete(audience, request.snapshot, request.partition)
            return SyncResult(
                deleted_audience_id=audience.id if audience else None, findings=(*own, *findings)
            )
        if request.rollback:
            extent = self._increments.everything(request.snapshot, mode=self.mode, reason="it is a rollback")
        else:
            extent = self._increments.of(request.snapshot, mode=self.mode, audience=audience, jobs=jobs)
        sync = self._begin(
            request.snapshot, request.partition, self.mode, audience, jobs, same_name, findings, extent
        )
        return self._result(self._carry_out(sync), created=audience is None, findings=own)

    def confirm(self) -> SyncResult | None:
        """Look whether LINE has processed what a run ended without waiting for; None if there is nothing to tell.

        Raises:
            UploadJobFailed: LINE gave up on the last chunk; the next run sends it again.
            AudienceContended: Somebody replaced the members; the next run sends everything again.
            LineAdsError: A call failed for good.
        """
        sync = self.records.unfinished_sync(self.destination)
        if sync is None or any(chunk.state not in {"accepted", "finished"} for chunk in sync.chunks):
            return None
        if not self._uploader.look(sync):
            return None
        if sync.replaced:
            raise AudienceContended(sync.audience_id or "", times=1)
        self._confirm(sync)
        return self._result(sync)

    @cached_property
    def _uploader(self) -> Uploader:
        return Uploader(
            client=self.client,
            records=self.records,
            destination=self.destination,
            coordination=self.coordination,
            replaces_at_once=self.replaces_at_once,
            patience=self.patience,
            sleep=self.sleep,
        )

    @property
    def _lookup(self) -> AudienceLookup:
        return AudienceLookup(client=self.client, records=self.records, destination=self.destination)

    @property
    def _increments(self) -> Increments:
        return Increments(
            records=self.records,
            destination=self.destination,
            wanted=self.incremental,
            full_replace_every=self.full_replace_every,
            now=self.now,
        )

    @property
    def _inspection(self) -> Inspection:
        return Inspection(
            records=self.records, destination=self.destination, mode=self.mode, limits=self.guardrails
        )

    def _hold(self, request: SyncRequest, unfinished: Sync | None) -> Finding:
        """Whether the audience is on hold, and what the run does about it."""
        hold = self.records.hold()
        if request.rollback:
            message = f"Rolled back to the run date {request.partition}, and on hold until release_hold."
        elif hold is None:
            return Finding(check="hold", verdict="passed", message="The audience is not on hold.")
        elif request.release_hold:
            message = f"The hold at the run date {hold.partition} is released."
        else:
            self._complete_rollback(hold, unfinished, request)
            raise OnHold(hold)
        return Finding(check="hold", verdict="warning", message=message)

    def _apply_hold(self, request: SyncRequest) -> None:
        if request.rollback:
            hold = Hold(partition=request.partition, snapshot=request.snapshot, since=datetime.now(UTC))
            self.records.set_hold(hold)
        elif self.records.hold() is not None:
            self.records.set_hold(None)

    def _check_is_not_older(self, partition: str, unfinished: Sync | None) -> None:
        confirmed = self.records.confirmed(self.destination)
        newest = max(confirmed.partition if confirmed else "", unfinished.partition if unfinished else "")
        if partition < newest:
            raise OlderThanConfirmed(partition, newest, mode=self.mode)

    def _complete_rollback(self, hold: Hold, unfinished: Sync | None, request: SyncRequest) -> None:
        """Bring the audience to where it is held, if the run that was to do so did not come to its end.

        Who has opted out since is left out, and then the audience is held without them.
        """
        confirmed = self.records.confirmed(self.destination)
        if unfinished is None and (confirmed is None or hold.is_reached_by(confirmed)):
            return
        _log.warning("the rollback to the run date %s is completed first", hold.partition)
        if unfinished is not None and unfinished.audience_id is None:
            self._uploader.settle(unfinished)
        audience, same_name = self._lookup.find(unfinished)
        jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
        if self._inspection.foreign_jobs(audience, jobs) and (
            unfinished is None or would_wipe(unfinished, jobs)
        ):
            _log.warning("the rollback is not completed, since others have uploaded to the audience")
            return
        if hold.snapshot.count == 0:
            self._lookup.delete(audience, hold.snapshot, hold.partition)
            return
        goes_on = unfinished is not None and self._goes_on(unfinished, hold.snapshot, audience)
        people = self._wanted_still(hold.snapshot, hold.partition, request)
        if unfinished is not None and goes_on and (people == hold.snapshot or unfinished.is_done):
            unfinished.partition = hold.partition
            sync = unfinished
        elif self._may_replace(hold.snapshot, people, hold.partition, audience, jobs):
            if people != hold.snapshot:
                self.records.set_hold(replace(hold, snapshot=people))
            sync = self._begin(people, hold.partition, "mirror", audience, jobs, same_name)
        else:
            return
        self._carry_out(sync)

    def _wanted_still(self, snapshot: Snapshot, partition: str, request: SyncRequest) -> Snapshot:
        """Those of an earlier snapshot who have not opted out by what the run knows; the snapshot itself if all.

        Raises:
            SnapshotNotFound: One of them, or who has opted out, is not in the store.
        """
        if request.opted_out is None:
            return snapshot
        left = self.records.store.count_common(self.records.audience, snapshot, request.opted_out)
        if left == 0:
            return snapshot
        _log.warning("%s people of run date %s have opted out since", f"{left:,}", partition)
        return self.records.write_difference(snapshot, without=request.opted_out)

    def _may_replace(
        self,
        before: Snapshot,
        people: Snapshot,
        partition: str,
        audience: CustomAudience | None,
        jobs: Sequence[UploadJob],
    ) -> bool:
        """Whether a full replace may bring those who are left of a snapshot, when others of it have opted out."""
        if people == before:
            return True
        finding = self._inspection.opt_outs_finding(before, people, partition=partition)
        if finding.verdict == "stopped":
            _log.warning("what is left of run date %s is not sent: %s", partition, finding.message)
        elif self._inspection.foreign_jobs(audience, jobs):
            _log.warning("run date %s is not sent, since others have uploaded to the audience", partition)
        else:
            return True
        return False

    def _sends_nobody(self, request: SyncRequest) -> bool:
        """Nobody is no file; only a mirror may do something else about it."""
        may_delete = self.mode == "mirror" and self.when_empty == "delete_audience"
        return request.snapshot.count == 0 and not may_delete

    def _sent_nobody(self, request: SyncRequest, findings: Sequence[Finding]) -> SyncResult:
        """The end of a run that has nobody to send, which is right for an add of no rows, or of opt-outs, alone."""
        tally = request.tally
        if self.mode == "mirror" or tally.rows > 0 == tally.held_back:
            raise NoValidIdentifiers(
                rows=tally.rows,
                held_back=tally.held_back,
                may_delete=self.mode == "mirror" and self.destination.audience_id is None,
                findings=[*findings, *self._inspection.of_nobody(request)],
            )
        return SyncResult(findings=tuple(findings))

    def _give_up(self, unfinished: Sync, audience: CustomAudience | None, *, for_nothing: bool) -> None:
        """Let go of a sync, once it is known what of it arrived: what lands later would mix with what comes now."""
        if audience is not None and audience.id == unfinished.audience_id:
            self._uploader.settle(unfinished)
        if for_nothing:
            self.records.conclude(unfinished, "superseded")

    def _goes_on(self, unfinished: Sync, snapshot: Snapshot, audience: CustomAudience | None) -> bool:
        """Whether the unfinished sync brings this snapshot to this audience; what LINE has of it is waited for."""
        if unfinished.audience_id != (audience.id if audience else None):
            return False
        jobs = self._uploader.land(unfinished)
        is_wanted = unfinished.snapshot == snapshot and unfinished.mode == self.mode
        if is_wanted and self._increments.can_go_on(unfinished, jobs):
            _log.info("sync %s goes on where it stopped", unfinished.id)
            return True
        if unfinished.is_finished and not unfinished.replaced:  # all that was left to do was to write it down
            self._confirm(unfinished)
        return False

    def _guard_again(
        self,
        request: SyncRequest,
        audience: CustomAudience | None,
        unfinished: Sync,
        own: Sequence[Finding],
    ) -> None:
        """Look once more at what a `REPLACE` that is still to come would remove.

        Raises:
            GuardrailsStopped: Such as somebody else's upload since the sync began.
        """
        jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
        findings = self._guard(request, audience, jobs, own)
        unfinished.findings = [finding.to_document() for finding in findings]
        unfinished.known_job_ids = list(dict.fromkeys([*unfinished.known_job_ids, *(job.id for job in jobs)]))

    def _finish_first(
        self,
        unfinished: Sync,
        request: SyncRequest,
        audience: CustomAudience | None,
        same_name: tuple[str, ...],
    ) -> bool:
        """Send what an earlier sync left unsent: an add leaves nobody out, and neither does what comes before it.

        But for those who have opted out since: the others are sent by a sync of their own then.

        Returns:
            Whether it was tried; not if nobody is left, or those who are left are just who the run asks for.
        """
        _log.info("sync %s of an earlier snapshot is finished first", unfinished.id)
        snapshot, store = unfinished.snapshot, self.records.store
        is_there = unfinished.audience_id == (audience.id if audience else None)
        try:
            people = (
                snapshot
                if is_there and unfinished.is_done
                else self._wanted_still(snapshot, unfinished.partition, request)
            )
            can_go_on = unfinished.is_done or store.holds(self.records.audience, unfinished.payload)
            if is_there and people == snapshot and can_go_on:
                self._carry_out(unfinished, wait=True)
                return True
            if people.count == 0:
                self.records.conclude(unfinished, "superseded")
                return False
            if people == request.snapshot:
                return False
            mode = unfinished.mode if people == snapshot else self.mode
            jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
            extent = self._increments.of(people, mode=mode, audience=audience, jobs=jobs)
            again = self._begin(people, unfinished.partition, mode, audience, jobs, same_name, extent=extent)
            self._carry_out(again, wait=True)
        except SnapshotNotFound as error:
            if store.holds(self.records.audience, snapshot):  # so it is not known who has opted out
                raise
            _log.warning("the people of run date %s cannot be sent any more: %s", unfinished.partition, error)
            self.records.conclude(unfinished, "superseded")
        return True

    def _guard(
        self,
        request: SyncRequest,
        audience: CustomAudience | None,
        jobs: Sequence[UploadJob],
        own: Sequence[Finding],
    ) -> list[Finding]:
        """What the guardrails find.

        Raises:
            GuardrailsStopped: One of them stops the sync, and is not overridden.
        """
        findings = [
            finding.overridden_by(request.override)
            for finding in self._inspection.guardrail_findings(request, audience, jobs)
        ]
        if all(finding.verdict != "stopped" for finding in findings):
            return findings
        unfinished = self.records.unfinished_sync(self.destination)
        given_up = request.rollback or "unfinished_sync" in request.override
        if unfinished is not None and not given_up and unfinished.snapshot != request.snapshot:
            self._complete(unfinished, request, audience)
        raise GuardrailsStopped([*own, *findings])

    def _complete(self, unfinished: Sync, request: SyncRequest, audience: CustomAudience | None) -> None:
        """Finish what passed its own guardrails, when nothing may take its place: no audience is left half sent.

        Not if that would remove what others have uploaded since; and without those who have opted out since.
        """
        latest = self.records.latest_sync_to(self.destination)
        is_half_sent = unfinished.is_under_way or (latest is not None and latest.state != "confirmed")
        if not is_half_sent:
            return
        jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
        if would_wipe(unfinished, jobs) and self._inspection.foreign_jobs(audience, jobs):
            _log.warning("sync %s is not finished, since others have uploaded to the audience", unfinished.id)
            return
        _log.warning("sync %s of run date %s is finished first", unfinished.id, unfinished.partition)
        snapshot, partition, mode = unfinished.snapshot, unfinished.partition, unfinished.mode
        try:
            people = snapshot if unfinished.is_done else self._wanted_still(snapshot, partition, request)
            if people == snapshot:
                self._carry_out(unfinished)
            elif self._may_replace(snapshot, people, partition, audience, jobs):
                findings = [Finding.from_document(document) for document in unfinished.findings]
                audience, same_name = self._lookup.find(unfinished)
                self._carry_out(self._begin(people, partition, mode, audience, jobs, same_name, findings))
        except (SnapshotNotFound, SyncError, LineAdsError) as error:  # the run fails for a reason of its own
            _log.warning("sync %s could not be finished: %s", unfinished.id, error)

    def _begin(  # noqa: PLR0913, PLR0917 - what a manifest is made of
        self,
        snapshot: Snapshot,
        partition: str,
        mode: SyncMode,
        audience: CustomAudience | None,
        jobs: Sequence[UploadJob],
        same_name: tuple[str, ...] = (),
        findings: Sequence[Finding] = (),
        extent: Extent | None = None,
    ) -> Sync:
        if extent is None:
            extent = self._increments.everything(
                snapshot, mode=mode, reason="what was sent before is uncertain"
            )
        payload = snapshot if extent.increment is None else extent.increment
        newest = newest_creation(jobs)
        superseded = self.records.running_sync()
        sync = Sync(
            id=secrets.token_hex(8),
            destination=self.destination.key,
            ad_account_id=self.destination.ad_account_id,
            id_type=self.destination.id_type,
            audience_name=self.destination.audience_name,
            audience_id=audience.id if audience else None,
            mode=mode,
            partition=partition,
            snapshot=snapshot,
            chunks=plan_chunks(
                payload.count,
                line_bytes=payload.line_bytes,
                mode=mode if extent.increment is None else "add",
                max_records=self.max_records,
            ),
            known_audience_ids=list(same_name),
            known_job_ids=[job.id for job in jobs],
            known_until=newest.isoformat() if newest else None,
            findings=[finding.to_document() for finding in findings],
            extent=extent,
        )
        self.records.save(sync)
        self.records.write({"sync_id": sync.id}, "current_sync")
        if superseded is not None:  # only now: whoever is killed leaves one of them to go on with
            _log.info("sync %s takes the place of sync %s", sync.id, superseded.id)
            self.records.conclude(superseded, "superseded")
        if audience is not None:
            # what others sent is known to a sync only once it has sent something itself
            before = self.records.latest_sync_to(self.destination)
            self.records.record_audience(self.destination, audience.id, sync_id=before.id if before else None)
        _log.info(
            "sync %s of %s begins: %s identifiers in %s chunks, %s, %s%s",
            sync.id,
            self.destination.audience,
            f"{payload.count:,}",
            len(sync.chunks),
            mode,
            sync.kind,
            f" ({extent.reason})" if extent.reason else "",
        )
        return sync

    def _carry_out(self, sync: Sync, *, wait: bool = False) -> Sync:
        """Send and await all chunks, and begin anew where somebody replaced the members meanwhile."""
        for _ in range(_BEGINNINGS):
            self._uploader.send(sync, wait_for_last=wait or self.wait_for_processing)
            if not sync.replaced:
                if sync.is_finished:
                    self._confirm(sync)
                return sync
            _log.warning("the members of audience %s were replaced meanwhile; sent again", sync.audience_id)
            audience, same_name = self._lookup.find(sync)
            jobs = self._uploader.wait_until_idle(audience.id) if audience else ()
            findings = [Finding.from_document(document) for document in sync.findings]
            sync = self._begin(sync.snapshot, sync.partition, sync.mode, audience, jobs, same_name, findings)
        raise AudienceContended(sync.audience_id or "", times=_BEGINNINGS)

    def _result(
        self, sync: Sync, *, created: bool = False, resumed: bool = False, findings: Sequence[Finding] = ()
    ) -> SyncResult:
        counts = [chunk.processed for chunk in sync.chunks if chunk.processed is not None]
        processed = sum(counts) if len(counts) == len(sync.chunks) else None
        confirmed = sync.state == "confirmed"
        guardrails = [Finding.from_document(document) for document in sync.findings]
        confirmation = (
            [confirmation_finding(sent=sync.payload.count, processed=processed)] if confirmed else []
        )
        return SyncResult(
            sync_id=sync.id,
            audience_id=sync.audience_id,
            audience=self._listed(sync),
            created=created,
            resumed=resumed,
            confirmed=confirmed,
            chunks=len(sync.chunks),
            records=sync.payload.count,
            uploaded_bytes=sync.payload.count * sync.payload.line_bytes,
            processed=processed,
            kind=sync.kind,
            reason=sync.extent.reason,
            members=sync.members,
            findings=(*findings, *guardrails, *confirmation),
        )

    def _listed(self, sync: Sync) -> CustomAudience | None:
        """The audience as LINE lists it; a failure to list it undoes nothing, so it is only warned of."""
        try:
            listed = list(self.client.list_audiences(sync.ad_account_id, name=self.destination.audience_name))
        except LineAdsError as error:
            _log.warning("the upload is done, but the audience cannot be listed: %s", error)
            return None
        return next((audience for audience in listed if audience.id == sync.audience_id), None)

    def _confirm(self, sync: Sync) -> None:
        if self.records.recorded_audience(self.destination) != sync.audience_id:
            self.records.record_audience(self.destination, sync.audience_id, sync_id=sync.id)
        # in this order: whoever is killed in between goes on with a sync that has nothing left to send
        self.records.confirm(self.destination, Confirmed.by(sync))
        self.records.conclude(sync, "confirmed")
