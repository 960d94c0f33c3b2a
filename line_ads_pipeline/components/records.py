"""What the assets of an audience keep in the store for each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from line_ads_pipeline.store import DIGEST_WIDTH, Snapshot, Store

KEPT_FOR = timedelta(days=30)
KEPT_AT_LEAST = 3


@dataclass(frozen=True)
class AudienceRecords:
    """The documents and snapshots of one audience."""

    store: Store
    audience: str

    def read(self, kind: str, run_date: str) -> Mapping[str, Any] | None:
        """The document of a run date, if there is one."""
        return self.store.read_document("audiences", self.audience, kind, run_date)

    def write(self, document: Mapping[str, Any], kind: str, run_date: str) -> None:
        """Replace the document of a run date."""
        self.store.write_document(document, "audiences", self.audience, kind, run_date)

    def prune(self, *, confirmed: Snapshot) -> None:
        """Remove old snapshots, but the confirmed one: of hashes after 30 days, of plain mobile ad ids at once."""
        keep = {confirmed.digest}
        older_than = datetime.now(UTC)
        if confirmed.record_width == DIGEST_WIDTH:
            older_than -= KEPT_FOR
            run_dates = sorted(self.store.list_documents("audiences", self.audience, "partitions"))
            for *_, run_date in run_dates[-KEPT_AT_LEAST:]:
                kept = self.read("partitions", run_date)
                keep |= {kept["snapshot"]["digest"]} if kept else set()
        self.store.prune_snapshots(self.audience, keep=keep, older_than=older_than)
