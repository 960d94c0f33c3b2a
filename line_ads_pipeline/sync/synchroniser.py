"""Which sync an audience needs now: one that goes on, a new one, or none."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.sync.carrier import Carrier, Plan
from line_ads_pipeline.sync.confirmed import Hold
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import GuardrailsStopped, OlderThanConfirmed, OnHold, RollbackOfAdd
from line_ads_pipeline.sync.guardrails import Finding, Guardrails, hold_finding
from line_ads_pipeline.sync.increments import Increments
from line_ads_pipeline.sync.inspection import Inspection
from line_ads_pipeline.sync.leftovers import Leftovers
from line_ads_pipeline.sync.lookup import AudienceLookup
from line_ads_pipeline.sync.manifest import Sync, SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.request import SyncRequest, SyncResult
from line_ads_pipeline.sync.target import Target
from line_ads_pipeline.sync.turns import Turns
from line_ads_pipeline.sync.uploader import Patience, Uploader

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
        with self._turns.take(partition, rollback=rollback, gives_way=gives_way, wait=wait) as lease:
            yield replace(self, records=self.records.fenced(lease))

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
        hold = self.records.hold()
        if hold is not None and not (request.rollback or request.release_hold):
            self._leftovers.complete_rollback(hold, unfinished, request.opted_out)
            raise OnHold(hold)
        found = hold_finding(hold, rolled_back_to=request.partition if request.rollback else None)
        if not request.rollback:
            self._check_is_not_older(request.partition, unfinished)
        if unfinished is None and self._sends_nobody(request):
            return self._sent_nobody(request, [found])
        target = self._carrier.target_of(unfinished, recreate=request.recreate_audience)
        with self._turns.only_writer_to(target):
            return self._sync_to(target, request, unfinished, found)

    def _sync_to(
        self, target: Target, request: SyncRequest, unfinished: Sync | None, found: Finding
    ) -> SyncResult:
        """Go on with what is unfinished, finish it first, or begin in its place."""
        sends_nobody = self._sends_nobody(request)
        given_up = unfinished if "unfinished_sync" in request.override else None
        own = [
            found,
            self._inspection.destination_finding(target, request),
            self._inspection.unfinished_finding(unfinished, given_up),
        ]
        if given_up is not None:
            self._carrier.give_up(given_up, target, for_nothing=sends_nobody)
        elif unfinished is not None and self._carrier.goes_on(
            unfinished, snapshot=request.snapshot, mode=self.mode, target=target
        ):
            return self._go_on(unfinished, request, target, own)
        elif unfinished is not None and self.mode == "add":
            target = self._leftovers.finish_first(unfinished, request, target)
        try:
            return self._sent_nobody(request, own) if sends_nobody else self._start(request, target, own)
        except GuardrailsStopped:
            self._leftovers.complete(request, target)
            raise

    def _go_on(
        self, unfinished: Sync, request: SyncRequest, target: Target, own: Sequence[Finding]
    ) -> SyncResult:
        """Carry out what an earlier run began, and left."""
        if unfinished.would_replace:
            self._leftovers.guard_again(unfinished, request, target, own)
        self._apply_hold(request)
        unfinished.partition = request.partition
        sync = self._carrier.carry_out(unfinished)
        return SyncResult.of(sync, audience=self._lookup.listed(sync), findings=own, resumed=True)

    def _start(self, request: SyncRequest, target: Target, own: Sequence[Finding]) -> SyncResult:
        """Begin a sync, if the guardrails let it, in place of a mirror that is unfinished."""
        idle = self._carrier.when_idle(target)
        findings = self._inspection.check(request, idle, own)
        self._apply_hold(request)
        if request.snapshot.count == 0:
            self._lookup.delete(idle.audience, request.snapshot, request.partition)
            return SyncResult(deleted_audience_id=idle.audience_id, findings=(*own, *findings))
        plan = Plan(
            snapshot=request.snapshot,
            partition=request.partition,
            mode=self.mode,
            findings=tuple(findings),
            all_because="it is a rollback" if request.rollback else None,
        )
        sync = self._carrier.carry_out(self._carrier.begin(plan, idle))
        return SyncResult.of(
            sync, audience=self._lookup.listed(sync), findings=own, created=idle.audience is None
        )

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
        if not self._carrier.confirm_if_processed(sync):
            return None
        return SyncResult.of(sync, audience=self._lookup.listed(sync))

    @property
    def _turns(self) -> Turns:
        return Turns(
            coordination=self.coordination,
            records=self.records,
            destination=self.destination,
            mode=self.mode,
        )

    @property
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

    @property
    def _carrier(self) -> Carrier:
        return Carrier(
            records=self.records,
            destination=self.destination,
            lookup=self._lookup,
            uploader=self._uploader,
            increments=self._increments,
            max_records=self.max_records,
            wait_for_processing=self.wait_for_processing,
        )

    @property
    def _leftovers(self) -> Leftovers:
        return Leftovers(
            records=self.records,
            destination=self.destination,
            mode=self.mode,
            lookup=self._lookup,
            inspection=self._inspection,
            carrier=self._carrier,
        )

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

    def _sends_nobody(self, request: SyncRequest) -> bool:
        """Nobody is no file; only a mirror may do something else about it."""
        may_delete = self.mode == "mirror" and self.when_empty == "delete_audience"
        return request.snapshot.count == 0 and not may_delete

    def _sent_nobody(self, request: SyncRequest, findings: Sequence[Finding]) -> SyncResult:
        """The end of a run that has nobody to send."""
        self._inspection.check_nobody(request, findings)
        return SyncResult(findings=tuple(findings))
