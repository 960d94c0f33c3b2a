"""The small documents of one audience in the store: what its run dates point to, and how its syncs stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from line_ads_pipeline.store import DIGEST_WIDTH, Snapshot, Store
from line_ads_pipeline.sync.destination import Destination

KEPT_FOR = timedelta(days=30)
KEPT_AT_LEAST = 3


@dataclass(frozen=True)
class AudienceRecords:
    """Documents below `audiences/<name>/`, and the retention of the snapshots they point to.

    segments/<run date>     the description of the segment
    partitions/<run date>   the snapshot, and how the rows became it
    destination             the audience in LINE that syncs go to
    syncs/<sync id>         the manifest of a sync
    current_sync            which of them is the latest
    confirmed               the run date and snapshot that LINE has processed
    """

    store: Store
    audience: str

    def read(self, *parts: str) -> Mapping[str, Any] | None:
        """A document, if it is there."""
        return self.store.read_document("audiences", self.audience, *parts)

    def write(self, document: Mapping[str, Any], *parts: str) -> None:
        """Replace a document."""
        self.store.write_document(document, "audiences", self.audience, *parts)

    def record_audience(self, destination: Destination, audience_id: str) -> None:
        """Note which audience in LINE the syncs to a destination go to."""
        self.write({**destination.key, "audience_id": audience_id}, "destination")

    def recorded_audience(self, destination: Destination) -> str | None:
        """The audience that syncs to this very destination go to, once one has been found or made."""
        recorded = self.read("destination")
        if recorded is None or {name: recorded.get(name) for name in destination.key} != destination.key:
            return None
        return str(recorded["audience_id"])

    def prune(self, current: Snapshot) -> None:
        """Remove the snapshots that nothing needs any more.

        The current one stays, as do the last confirmed one and that of an unfinished sync. Of the others, digests stay
        for 30 days, the newest three run dates longer; plain mobile ad ids, being personal data as they are, go at
        once.
        """
        confirmed, latest = self.read("confirmed"), self.read("current_sync")
        sync = latest and self.read("syncs", latest["sync_id"])
        keep = {current.digest}
        keep |= {confirmed["snapshot"]["digest"]} if confirmed else set()
        keep |= {sync["snapshot"]["digest"]} if sync and sync["state"] == "running" else set()
        older_than = datetime.now(UTC)
        if current.record_width == DIGEST_WIDTH:
            older_than -= KEPT_FOR
            run_dates = sorted(self.store.list_documents("audiences", self.audience, "partitions"))
            for *_, run_date in run_dates[-KEPT_AT_LEAST:]:
                kept = self.read("partitions", run_date)
                keep |= {kept["snapshot"]["digest"]} if kept else set()
        self.store.prune_snapshots(self.audience, keep=keep, older_than=older_than)
