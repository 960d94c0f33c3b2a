"""What an earlier run left unfinished: finished before or instead of what is newer, or given up.

Whoever has opted out since is left out.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from line_ads_pipeline.line_ads import LineAdsError
from line_ads_pipeline.store import Snapshot, SnapshotNotFound
from line_ads_pipeline.sync.carrier import Carrier, Plan
from line_ads_pipeline.sync.confirmed import Hold
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import OptOutsNotComparable, SyncError
from line_ads_pipeline.sync.evidence import would_wipe
from line_ads_pipeline.sync.guardrails import Finding
from line_ads_pipeline.sync.inspection import Inspection
from line_ads_pipeline.sync.lookup import AudienceLookup
from line_ads_pipeline.sync.manifest import Sync, SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.request import SyncRequest
from line_ads_pipeline.sync.target import IdleTarget, Target

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Leftovers:
    """Sees to the unfinished syncs of an audience file.

    Args:
        records: Of the audience file.
        destination: The audience in LINE.
        mode: What a sync means now; it may have meant something else before.
        lookup: Finds the audience.
        inspection: Looks at what would be done to it.
        carrier: Does it.
    """

    records: AudienceRecords
    destination: Destination
    mode: SyncMode
    lookup: AudienceLookup
    inspection: Inspection
    carrier: Carrier

    def guard_again(
        self, unfinished: Sync, request: SyncRequest, target: Target, own: Sequence[Finding]
    ) -> None:
        """Look once more at what a `REPLACE` that is still to come would remove.

        Raises:
            GuardrailsStopped: Such as somebody else's upload since the sync began.
        """
        idle = self.carrier.when_idle(target)
        findings = self.inspection.check(request, idle, own)
        unfinished.findings = [finding.to_document() for finding in findings]
        known = [*unfinished.known_job_ids, *(job.id for job in idle.jobs)]
        unfinished.known_job_ids = list(dict.fromkeys(known))

    def finish_first(self, unfinished: Sync, request: SyncRequest, target: Target) -> Target:
        """Send what an earlier sync left unsent: an add leaves nobody out, and neither does what comes before it.

        But for those who have opted out since: the others are sent by a sync of their own then.

        Returns:
            The audience as it is now: looked up again, unless nothing had to be sent since nobody is left, or just
            those whom the run asks for.

        Raises:
            OptOutsNotComparable: It cannot be told who has opted out.
            SnapshotNotFound: Who has opted out is not in the store.
            SyncError: It could not be brought to its end.
            LineAdsError: A call failed for good.
            CoordinationError: Another process has taken the audience over, or the database is away.
        """
        _log.info("sync %s of an earlier snapshot is finished first", unfinished.id)
        snapshot, store = unfinished.snapshot, self.records.store
        is_there = unfinished.audience_id == target.audience_id
        try:
            people = (
                snapshot
                if is_there and unfinished.is_done
                else self._wanted_still(snapshot, unfinished.partition, request.opted_out)
            )
            can_go_on = unfinished.is_done or store.holds(self.records.audience, unfinished.payload)
            if is_there and people == snapshot and can_go_on:
                self.carrier.carry_out(unfinished, wait=True)
            elif people.count == 0:
                self.records.conclude(unfinished, "superseded")
                return target
            elif people == request.snapshot:
                return target
            else:
                mode = unfinished.mode if people == snapshot else self.mode
                plan = Plan(snapshot=people, partition=unfinished.partition, mode=mode, all_because=None)
                self.carrier.carry_out(self.carrier.begin(plan, self.carrier.when_idle(target)), wait=True)
        except SnapshotNotFound as error:
            if store.holds(self.records.audience, snapshot):  # so it is not known who has opted out
                raise
            _log.warning("the people of run date %s cannot be sent any more: %s", unfinished.partition, error)
            self.records.conclude(unfinished, "superseded")
        return self.carrier.target_of(None)

    def complete(self, request: SyncRequest, target: Target) -> None:
        """Finish what passed its own guardrails, when nothing may take its place: no audience is left half sent.

        Not if the run gave it up or asks for the same people, or that would remove what others have uploaded since; nor
        while it cannot be told who has opted out since. What goes wrong is only warned of.
        """
        unfinished = self.records.unfinished_sync(self.destination)
        is_given_up = request.rollback or "unfinished_sync" in request.override
        if unfinished is None or is_given_up or unfinished.snapshot == request.snapshot:
            return
        latest = self.records.latest_sync_to(self.destination)
        is_half_sent = unfinished.is_under_way or (latest is not None and latest.state != "confirmed")
        if not is_half_sent:
            return
        try:
            self._complete(unfinished, request, self.carrier.when_idle(target))
        except (SnapshotNotFound, SyncError, LineAdsError) as error:  # the run fails for a reason of its own
            _log.warning("sync %s could not be finished: %s", unfinished.id, error)

    def _complete(self, unfinished: Sync, request: SyncRequest, target: IdleTarget) -> None:
        if would_wipe(unfinished, target.jobs) and self.inspection.foreign_jobs(target):
            _log.warning("sync %s is not finished, since others have uploaded to the audience", unfinished.id)
            return
        _log.warning("sync %s of run date %s is finished first", unfinished.id, unfinished.partition)
        snapshot, partition = unfinished.snapshot, unfinished.partition
        people = (
            snapshot if unfinished.is_done else self._wanted_still(snapshot, partition, request.opted_out)
        )
        if people == snapshot:
            self.carrier.carry_out(unfinished)
        elif self._may_replace(snapshot, people, partition, target):
            found = self.carrier.when_idle(self.carrier.target_of(unfinished))
            self.carrier.carry_out(self.carrier.begin(Plan.again(unfinished, people=people), found))

    def complete_rollback(self, hold: Hold, unfinished: Sync | None, opted_out: Snapshot | None) -> None:
        """Bring the audience to where it is held, if the run that was to do so did not come to its end.

        Who has opted out since is left out, and then the audience is held without them; while that cannot be told, it is
        left as it is.
        """
        confirmed = self.records.confirmed(self.destination)
        if unfinished is None and (confirmed is None or hold.is_reached_by(confirmed)):
            return
        _log.warning("the rollback to the run date %s is completed first", hold.partition)
        target = self.carrier.when_idle(self.carrier.target_of(unfinished))
        if self.inspection.foreign_jobs(target) and (
            unfinished is None or would_wipe(unfinished, target.jobs)
        ):
            _log.warning("the rollback is not completed, since others have uploaded to the audience")
            return
        if hold.snapshot.count == 0:
            self.lookup.delete(target.audience, hold.snapshot, hold.partition)
            return
        goes_on = unfinished is not None and self.carrier.goes_on(
            unfinished, snapshot=hold.snapshot, mode=self.mode, target=target
        )
        target = self.carrier.when_idle(target)  # what has landed meanwhile is not of what begins now
        rollback = unfinished if goes_on else None
        try:
            people = (
                hold.snapshot
                if rollback is not None and rollback.is_done
                else self._wanted_still(hold.snapshot, hold.partition, opted_out)
            )
        except OptOutsNotComparable as error:
            _log.warning("the rollback is not completed: %s", error.problem)
            return
        if rollback is not None and people == hold.snapshot:
            rollback.partition = hold.partition
            self.carrier.carry_out(rollback)
        elif self._may_replace(hold.snapshot, people, hold.partition, target):
            if people != hold.snapshot:
                self.records.set_hold(replace(hold, snapshot=people))
            plan = Plan(snapshot=people, partition=hold.partition, mode="mirror")
            self.carrier.carry_out(self.carrier.begin(plan, target))

    def _wanted_still(self, snapshot: Snapshot, partition: str, opted_out: Snapshot | None) -> Snapshot:
        """Those of an earlier snapshot who have not opted out by what the run knows; the snapshot itself if all.

        Raises:
            OptOutsNotComparable: One has digests and the other mobile ad ids.
            SnapshotNotFound: One of them, or who has opted out, is not in the store.
        """
        if opted_out is None:
            return snapshot
        if opted_out.record_width != snapshot.record_width:
            if opted_out.count == 0:
                return snapshot
            raise OptOutsNotComparable(partition=partition)
        people = self.records.without(snapshot, opted_out)
        if people != snapshot:
            left = snapshot.count - people.count
            _log.warning("%s people of run date %s have opted out since", f"{left:,}", partition)
        return people

    def _may_replace(self, before: Snapshot, people: Snapshot, partition: str, target: IdleTarget) -> bool:
        """Whether a full replace may bring those who are left of a snapshot, when others of it have opted out."""
        if people == before:
            return True
        finding = self.inspection.opt_outs_finding(before, people, partition=partition)
        if finding.verdict == "stopped":
            _log.warning("what is left of run date %s is not sent: %s", partition, finding.message)
        elif self.inspection.foreign_jobs(target):
            _log.warning("run date %s is not sent, since others have uploaded to the audience", partition)
        else:
            return True
        return False
