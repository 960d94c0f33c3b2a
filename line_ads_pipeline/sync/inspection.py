"""What is to be said of a sync before it sends anything, with what the store and LINE know of the audience."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from line_ads_pipeline.line_ads import CustomAudience, UploadJob
from line_ads_pipeline.store import Snapshot, SnapshotNotFound
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import GuardrailsStopped, NoValidIdentifiers
from line_ads_pipeline.sync.evidence import foreign_jobs
from line_ads_pipeline.sync.guardrails import (
    Finding,
    Guardrails,
    Shrinkage,
    foreign_finding,
    identifiers_finding,
    shrink_finding,
    shrinkage_of_line_size,
    skipped_finding,
)
from line_ads_pipeline.sync.manifest import Sync, SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.request import SyncRequest
from line_ads_pipeline.sync.target import IdleTarget, Target

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Looks at what a sync would do.

    Args:
        records: Of the audience file.
        destination: The audience in LINE.
        mode: What the sync means.
        limits: Of a mirror.
    """

    records: AudienceRecords
    destination: Destination
    mode: SyncMode
    limits: Guardrails

    @property
    def _at_least(self) -> int:
        """How many identifiers have to be left."""
        return self.limits.min_identifiers if self.mode == "mirror" else 1

    def check_nobody(self, request: SyncRequest, others: Sequence[Finding]) -> None:
        """Let a run end without sending anybody, which is right for an add of no rows, or of opt-outs, alone.

        Args:
            request: Of an empty snapshot.
            others: What else was found, to be told if the run may not end so.

        Raises:
            NoValidIdentifiers: It may not.
        """
        tally = request.tally
        if self.mode == "add" and not tally.rows > 0 == tally.held_back:
            return
        findings = [*others, identifiers_finding(request.snapshot, tally, at_least=self._at_least)]
        if self.mode == "mirror":
            findings.append(skipped_finding(tally, at_most=self.limits.max_skipped))
        raise NoValidIdentifiers(
            rows=tally.rows,
            held_back=tally.held_back,
            may_delete=self.mode == "mirror" and self.destination.audience_id is None,
            findings=findings,
        )

    def check(self, request: SyncRequest, target: IdleTarget, others: Sequence[Finding]) -> list[Finding]:
        """What the guardrails find.

        Args:
            request: What the run asks for.
            target: The audience.
            others: What else was found, to be told with the guardrails if one of them stops the sync.

        Raises:
            GuardrailsStopped: One of them stops the sync, and is not overridden.
        """
        findings = [
            finding.overridden_by(request.override) for finding in self._guardrail_findings(request, target)
        ]
        if any(finding.verdict == "stopped" for finding in findings):
            raise GuardrailsStopped([*others, *findings])
        return findings

    def _guardrail_findings(self, request: SyncRequest, target: IdleTarget) -> Iterator[Finding]:
        """What the guardrails find; of an add only whether it holds anybody."""
        snapshot, tally = request.snapshot, request.tally
        if snapshot.count > 0:
            yield identifiers_finding(snapshot, tally, at_least=self._at_least)
        if self.mode == "add":
            return
        yield skipped_finding(tally, at_most=self.limits.max_skipped)
        if snapshot.count > 0:
            yield shrink_finding(
                self._shrinkage(snapshot, target.audience),
                now=snapshot.count,
                at_most=self.limits.max_shrink,
            )
        else:
            why = f", as all {tally.held_back:,} have opted out" if tally.held_back else ""
            deleted = f"Nobody is left{why}: the audience is deleted (when_empty: delete_audience)."
            if tally.rows > 0 == tally.held_back:  # a join that broke gives rows of NULLs: that is not nobody
                yield identifiers_finding(snapshot, tally, at_least=self._at_least)
            else:
                yield Finding(check="min_identifiers", verdict="warning", message=deleted)
            yield Finding(check="max_shrink", verdict="warning", message=deleted)
        yield foreign_finding(self.foreign_jobs(target), is_new=target.audience is None)

    def opt_outs_finding(self, before: Snapshot, left: Snapshot, *, partition: str) -> Finding:
        """Whether a mirror may do without those of its snapshot who have opted out since it was made."""
        shrinkage = Shrinkage(was=before.count, left=before.count - left.count, since=f"run date {partition}")
        finding = shrink_finding(shrinkage, now=left.count, at_most=self.limits.max_shrink)
        return (
            finding
            if left.count >= max(1, self.limits.min_identifiers)
            else replace(finding, verdict="stopped")
        )

    def _shrinkage(self, snapshot: Snapshot, audience: CustomAudience | None) -> Shrinkage | None:
        """What the mirror takes away; exact where the last confirmed snapshot is known."""
        confirmed = self.records.confirmed(self.destination)
        if confirmed is None or confirmed.mode == "add":  # what adds have brought together is in no snapshot
            return None if audience is None else shrinkage_of_line_size(audience, now=snapshot.count)
        before = confirmed.snapshot
        try:
            left = before.count - self.records.store.count_common(self.records.audience, before, snapshot)
        except (SnapshotNotFound, ValueError):  # gone from the store, or of another form
            left = max(0, before.count - snapshot.count)
        return Shrinkage(was=before.count, left=left, since=f"run date {confirmed.partition}")

    def foreign_jobs(self, target: IdleTarget) -> list[UploadJob] | None:
        """The uploads since the latest sync that are not of this store; None if no sync is known to count from."""
        latest = self.records.latest_sync_to(self.destination)
        if target.audience is None or latest is None or latest.audience_id != target.audience.id:
            return None
        return foreign_jobs(
            latest,
            target.jobs,
            destination=self.destination,
            is_own_sync=lambda sync_id: self.records.read("syncs", sync_id) is not None,
        )

    def destination_finding(self, target: Target, request: SyncRequest) -> Finding:
        """Which audience the sync goes to, and whether it is another one than before."""
        previous = self.records.read("destination") or {}
        was, was_id = previous.get("destination"), previous.get("audience_id")
        named = f'{target.audience.id} "{target.audience.name}"' if target.audience else "a new one"
        if was is not None and was != self.destination.key:
            message = (
                f"The destination has changed: audience {was_id} in ad account {was['ad_account_id']} stays as it is, "
                f"unless it is the same. The audience is {named} now."
            )
            _log.warning("%s", message)
        elif request.recreate_audience and was_id is not None and target.audience_id != was_id:
            message = (
                f"recreate_audience: audience {was_id} cannot be used any more; the audience is {named} now."
            )
        else:
            return Finding(check="destination", verdict="passed", message=f"The audience is {named}.")
        return Finding(check="destination", verdict="warning", message=message)

    def unfinished_finding(self, unfinished: Sync | None, given_up: Sync | None) -> Finding:
        """`unfinished_sync`: what an earlier run left is finished, unless it is given up, or of another destination."""
        left = given_up or (self.records.running_sync() if unfinished is None else None)
        if left is None or not left.is_under_way:
            named = "No sync was" if unfinished is None else f"The sync {unfinished.id} was"
            return Finding(check="unfinished_sync", verdict="passed", message=f"{named} unfinished.")
        unsent = sum(chunk.count for chunk in left.chunks if chunk.state != "finished")
        why = (
            "overridden for this run"
            if given_up is not None
            else f"audience {left.audience_id or 'that was being made'} is not the destination any more"
        )
        return Finding(
            check="unfinished_sync",
            verdict="warning",
            message=f"The sync {left.id} of the run date {left.partition} is given up: of its "
            f"{left.snapshot.count:,} identifiers, {unsent:,} may not be in the audience ({why}).",
            numbers={"identifiers": left.snapshot.count, "unfinished": unsent},
        )
