"""How much of a snapshot a sync has to send: all of it, what is new, or nothing.

An increment is right only if it is certain what the audience holds, or of an add what was sent to it: members that are
sent twice do no harm, members that nobody sends are missing. So whatever leaves a doubt makes a sync send everything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from line_ads_pipeline.line_ads import UploadJob
from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync.confirmed import Confirmed
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.evidence import may_remove, unexplained_jobs
from line_ads_pipeline.sync.manifest import Extent, Sync, SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.target import IdleTarget


@dataclass(frozen=True, kw_only=True)
class Increments:
    """Decides how much the syncs of an audience file send.

    Args:
        records: Of the audience file.
        destination: The audience in LINE.
        wanted: Send increments where that is right.
        full_replace_every: How old the latest full replace of a mirror may be.
        now: Gives the time with a zone.
    """

    records: AudienceRecords
    destination: Destination
    wanted: bool
    full_replace_every: timedelta
    now: Callable[[], datetime]

    def everything(self, snapshot: Snapshot, *, mode: SyncMode, reason: str) -> Extent:
        """All of the snapshot, and why; what was sent before counts no more."""
        return Extent(
            replaced_at=self.now() if mode == "mirror" else None,
            sent=snapshot if mode == "add" and self.wanted else None,
            reason=reason if self.wanted else None,
        )

    def of(self, snapshot: Snapshot, *, mode: SyncMode, target: IdleTarget) -> Extent:
        """What is to be sent so that an audience comes to hold a snapshot.

        Args:
            snapshot: In the store.
            mode: What the sync means.
            target: The audience.

        Raises:
            LeaseLost: Another process has taken the audience over.
            StoreError: The store failed.
        """
        confirmed = self.records.confirmed(self.destination)
        if not self.wanted or confirmed is None:
            reason = "no sync to this destination is confirmed yet"
            return self.everything(snapshot, mode=mode, reason=reason)
        held = confirmed.sent if mode == "add" and confirmed.sent is not None else confirmed.snapshot
        doubt = next(
            chain(
                self._doubts(confirmed, mode, target),
                self._doubts_of_mirror(confirmed) if mode == "mirror" else self._doubts_of_add(confirmed),
                self._obstacles(held, snapshot, mode),
            ),
            None,
        )
        if doubt is not None:
            return self.everything(snapshot, mode=mode, reason=doubt)
        increment = self.records.write_difference(snapshot, without=held)
        if mode == "add":
            sent = self.records.write_union(held, increment) if increment.count else held
            return Extent(increment=increment, built_on=confirmed.sync_id, sent=sent, sent_before=held)
        if snapshot.count - increment.count < held.count:
            return self.everything(snapshot, mode=mode, reason=_SOMEBODY_LEFT)
        return Extent(increment=increment, built_on=confirmed.sync_id, replaced_at=confirmed.replaced_at)

    def can_go_on(self, unfinished: Sync, jobs: Sequence[UploadJob]) -> bool:
        """Whether what is left of a sync can still be sent and brings the audience to where it is to be.

        Args:
            unfinished: The sync.
            jobs: All of its audience's that LINE lists; none of them is running.
        """
        increment = unfinished.extent.increment
        if increment is None or unfinished.is_finished:
            return True
        if not self.records.store.holds(self.records.audience, increment):
            return False
        return unfinished.mode == "add" or unexplained_jobs(unfinished, jobs) == []

    def _doubts(self, confirmed: Confirmed, mode: SyncMode, target: IdleTarget) -> Iterator[str]:
        """Why the audience may not hold what was confirmed: of a mirror exactly that, of an add at least that."""
        if target.audience is None:
            yield "the audience is new"
        elif confirmed.audience_id != target.audience.id:
            yield "the last confirmed sync went to another audience, or it is not known to which"
        sync = self.records.sync(confirmed.sync_id)
        if sync is None:
            yield "the manifest of the last confirmed sync is gone"
            return
        if not self._is_latest(sync, mode):
            yield "a later sync was given up, and something of it may have been sent"
        since = unexplained_jobs(sync, target.jobs)
        if since is None:
            yield "LINE's list of jobs does not reach back to the last confirmed sync"
        elif any(mode == "mirror" or may_remove(job) for job in since):
            yield "the audience was changed from elsewhere since the last confirmed sync"

    def _doubts_of_mirror(self, confirmed: Confirmed) -> Iterator[str]:
        """Why it may not hold exactly that, or has to be sent once more."""
        if confirmed.mode != "mirror":
            yield "the last confirmed sync was an add"
        yield from self._doubts_of_count(confirmed)
        if confirmed.replaced_at is None:
            yield "when all was replaced last is not known"
        elif not timedelta() <= self.now() - confirmed.replaced_at < self.full_replace_every:
            yield f"all was replaced last at {confirmed.replaced_at:%Y-%m-%d %H:%M} UTC (full_replace_every)"

    def _doubts_of_add(self, confirmed: Confirmed) -> Iterator[str]:
        """Why it may not hold even that; what is kept of all that was sent is certain already."""
        if confirmed.sent is None:
            yield from self._doubts_of_count(confirmed)

    def _doubts_of_count(self, confirmed: Confirmed) -> Iterator[str]:
        """Why some of what was sent last may be missing."""
        sync = self.records.sync(confirmed.sync_id)
        if sync is None or not sync.is_processed_as_sent:
            yield "LINE processed another number of identifiers than were sent last"

    def _is_latest(self, confirmed: Sync, mode: SyncMode) -> bool:
        """Whether nothing that a later sync may have sent changes what the confirmed one says."""
        latest = self.records.latest_sync()
        if latest is None or latest.id == confirmed.id:
            return True
        adds = mode == latest.mode == "add"
        return latest.extent.built_on == confirmed.id and (adds or not latest.is_under_way)

    def _obstacles(self, held: Snapshot, snapshot: Snapshot, mode: SyncMode) -> Iterator[str]:
        """Why what is new cannot be told, or is not all there is to do."""
        if held.record_width != snapshot.record_width:
            yield "the identifiers have another form than before"
        if mode == "mirror" and snapshot.count < held.count:
            yield _SOMEBODY_LEFT
        if not self.records.store.holds(self.records.audience, held):
            yield "the snapshot of what was sent is not in the store any more"


_SOMEBODY_LEFT = "members of the last confirmed sync have left"
