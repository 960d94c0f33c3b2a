"""The small documents of one audience in the store: what its run dates point to, and how its syncs stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from line_ads_pipeline.coordination import Lease
from line_ads_pipeline.store import DIGEST_WIDTH, Snapshot, Store
from line_ads_pipeline.sync.confirmed import Confirmed, Hold
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.manifest import Sync

KEPT_FOR = timedelta(days=30)
KEPT_AT_LEAST = 3

_UNLISTED_FOR = timedelta(minutes=15)
"""How long a process may take at most between two steps: a snapshot is made, and listed as made."""

_LOOKED_BACK = (
    40  # run dates: enough, as every run prunes, and a bound for stores where each look is a request
)


@dataclass(frozen=True)
class AudienceRecords:
    """Documents below `audiences/<name>/`, and the retention of the snapshots they point to.

        segments/<run date>     the description of the segment
        partitions/<run date>   the snapshot, and how the rows became it
        destination             where the latest sync went
        syncs/<sync id>         the manifest of a sync
        current_sync            which of them is the latest
        confirmed               the run date and snapshot that LINE has processed, and all that was ever sent
        derived                 the snapshots that were made of others: increments, and what was ever sent
        hold                    the run date that the audience was rolled back to, while it is held there
        deletion                the audience that was deleted, since nobody was left

    Beside them, below `destinations/`, all audiences of the store share which LINE audience a destination is: so one
    that this pipeline made stays its own when the audience file is renamed, or another file adds to it too.

    Attributes:
        store: Where the documents are.
        audience: The name of the audience file.
        lease: Prolonged before each write, so that a process that was taken for dead writes nothing any more.
    """

    store: Store
    audience: str
    lease: Lease | None = None

    def read(self, *parts: str) -> Mapping[str, Any] | None:
        """A document, if it is there."""
        return self.store.read_document("audiences", self.audience, *parts)

    def write(self, document: Mapping[str, Any], *parts: str) -> None:
        """Replace a document.

        Raises:
            LeaseLost: Another process has taken the audience over.
        """
        self.check_lease()
        self.store.write_document(document, "audiences", self.audience, *parts)

    def record_audience(
        self, destination: Destination, audience_id: str | None, *, sync_id: str | None = None
    ) -> None:
        """Note which audience in LINE the syncs to a destination go to, and the latest that sent something.

        Args:
            destination: What the audience file names.
            audience_id: None if it is gone, so that the next sync makes a new one.
            sync_id: Of this audience file.
        """
        self.check_lease()
        document = {"destination": destination.key, "audience_id": audience_id}
        self.store.write_document(document | {"sync_id": sync_id}, "destinations", destination.digest)
        self.write(document, "destination")

    def recorded_audience(self, destination: Destination) -> str | None:
        """The audience that syncs to this very destination go to, once one has been found or made."""
        recorded = self.store.read_document("destinations", destination.digest)
        return recorded["audience_id"] if recorded else None

    def latest_sync_to(self, destination: Destination) -> Sync | None:
        """The latest sync of this audience file that sent something to a destination, whatever became of it."""
        recorded = self.store.read_document("destinations", destination.digest)
        return self.sync(recorded.get("sync_id")) if recorded else None

    def sync(self, sync_id: str | None) -> Sync | None:
        """A sync of this audience file, whatever became of it, if its manifest is there."""
        document = self.read("syncs", sync_id) if sync_id else None
        return Sync.from_document(document) if document else None

    def save(self, sync: Sync) -> None:
        """Write a sync's manifest down."""
        self.write(sync.to_document(), "syncs", sync.id)

    def latest_sync(self) -> Sync | None:
        """The sync that began last, whatever became of it."""
        current = self.read("current_sync")
        return self.sync(current["sync_id"]) if current else None

    def running_sync(self) -> Sync | None:
        """The latest sync, if it was neither confirmed nor superseded."""
        sync = self.latest_sync()
        return sync if sync is not None and sync.state == "running" else None

    def unfinished_sync(self, destination: Destination) -> Sync | None:
        """The running sync, if it goes to this destination, however that was named."""
        sync = self.running_sync()
        if sync is None:
            return None
        known_ids = {destination.audience_id, self.recorded_audience(destination)} - {None}
        return sync if sync.destination == destination.key or sync.audience_id in known_ids else None

    def conclude(self, sync: Sync, state: Literal["confirmed", "superseded"]) -> None:
        """Note how a sync ended."""
        sync.state = state
        self.save(sync)

    def confirm(self, destination: Destination, confirmed: Confirmed) -> None:
        """Note what LINE has processed."""
        self.write({"destination": destination.key} | confirmed.to_document(), "confirmed")

    def confirmed(self, destination: Destination) -> Confirmed | None:
        """What LINE has processed last for this very destination."""
        document = self.read("confirmed")
        if document is None or document["destination"] != destination.key:
            return None
        return Confirmed.from_document(document)

    def write_difference(self, new: Snapshot, *, without: Snapshot) -> Snapshot:
        """Write the snapshot of the members of one that are not in another, to be removed when nothing needs it."""
        return self._derived(self.store.write_difference(self.audience, new, without=without))

    def without(self, snapshot: Snapshot, others: Snapshot) -> Snapshot:
        """Give the snapshot of those members who are not in another; the same one, with nothing written, if all are left.

        Raises:
            SnapshotNotFound: One of them is not in the store.
            ValueError: Their widths differ.
        """
        if self.store.count_common(self.audience, snapshot, others) == 0:
            return snapshot
        return self.write_difference(snapshot, without=others)

    def write_union(self, one: Snapshot, other: Snapshot) -> Snapshot:
        """Write the snapshot of the members of either, to be removed when nothing needs it."""
        return self._derived(self.store.write_union(self.audience, one, other))

    def _derived(self, snapshot: Snapshot) -> Snapshot:
        known = self._derived_digests()
        if snapshot.digest not in known:
            self.write({"digests": sorted({*known, snapshot.digest})}, "derived")
        return snapshot

    def _derived_digests(self) -> set[str]:
        document = self.read("derived")
        return set(document["digests"]) if document else set()

    def run_dates(self) -> list[str]:
        """Those that a segment was hashed for, the oldest first."""
        parts = self.store.list_documents("audiences", self.audience, "partitions")
        return sorted(run_date for *_, run_date in parts)

    def hold(self) -> Hold | None:
        """Why nothing is to be sent, if so."""
        document = self.read("hold")
        if not document or document["partition"] is None:
            return None
        return Hold(
            partition=document["partition"],
            snapshot=Snapshot.from_document(document["snapshot"]),
            since=datetime.fromisoformat(document["since"]),
        )

    def set_hold(self, hold: Hold | None) -> None:
        """Hold the audience, or release it."""
        if hold is None:
            self.write({"partition": None}, "hold")
            return
        snapshot, since = hold.snapshot.to_document(), hold.since.isoformat()
        self.write({"partition": hold.partition, "snapshot": snapshot, "since": since}, "hold")

    def fenced(self, lease: Lease) -> Self:
        """The same records for the holder of a lease."""
        return type(self)(self.store, self.audience, lease)

    def check_lease(self) -> None:
        """Prolong the lease, before an act that no document precedes.

        Raises:
            LeaseLost: Another process has taken the audience over.
        """
        if self.lease is not None:
            self.lease.renew()

    def prune(self, current: Snapshot) -> None:
        """Remove the snapshots that nothing needs any more.

        The current one stays, as do the last confirmed one, all that was ever sent, those of an unfinished sync and a
        hold, and who has opted out by the newest run date. Of the others, what was made of snapshots goes at once if
        the lease is held, digests stay for 30 days, the newest three run dates longer; plain mobile ad ids, being
        personal data as they are, go at once but for the newest run date's, also those from before the identifier
        type was changed; without the lease not what no run date has and was written a moment ago.
        """
        confirmed, running, hold = self.read("confirmed"), self.running_sync(), self.hold()
        needed = {current.digest}
        needed |= {confirmed["snapshot"]["digest"]} if confirmed else set()
        needed |= {confirmed["sent"]["digest"]} if confirmed and confirmed.get("sent") else set()
        needed |= {each.digest for each in running.needed_snapshots} if running else set()
        needed |= {hold.snapshot.digest} if hold else set()

        documents = [
            kept
            for run_date in self.run_dates()[-_LOOKED_BACK:]
            if (kept := self.read("partitions", run_date))
        ]
        snapshots = [Snapshot.from_document(kept["snapshot"]) for kept in documents]
        opted_out = [kept.get("tally", {}).get("opted_out") for kept in documents]
        needed |= {snapshot.digest for snapshot in snapshots[-1:]}
        needed |= {each["digest"] for each in opted_out[-1:] if each}
        named = {snapshot.digest for snapshot in snapshots} | {each["digest"] for each in opted_out if each}
        now = datetime.now(UTC)
        derived = self._derived_digests()
        if self.lease is None:  # a sync may be about to write down that it needs them
            needed |= derived
        obsolete = derived - needed - named
        if obsolete:
            self.store.prune_snapshots(self.audience, keep=(), older_than=now, among=obsolete)
            self.write({"digests": sorted(derived - obsolete)}, "derived")
        if all(snapshot.record_width == DIGEST_WIDTH for snapshot in (*snapshots, current)):
            recent = {snapshot.digest for snapshot in snapshots[-KEPT_AT_LEAST:]}
            self.store.prune_snapshots(self.audience, keep=needed | recent, older_than=now - KEPT_FOR)
        else:
            digests = {snapshot.digest for snapshot in snapshots if snapshot.record_width == DIGEST_WIDTH}
            keep = needed | digests
            if self.lease is None:
                # what no run date has may just have been made by whoever holds it, and not be listed yet
                self.store.prune_snapshots(self.audience, keep=keep, older_than=now, among=named)
                now -= _UNLISTED_FOR
            self.store.prune_snapshots(self.audience, keep=keep, older_than=now)
