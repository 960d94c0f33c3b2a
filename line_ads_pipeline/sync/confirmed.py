"""What an audience holds by what LINE has processed, and where it is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync.manifest import Sync, SyncMode, read_moment, read_snapshot


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What LINE has processed last.

    Attributes:
        partition: The run date.
        snapshot: The members that were sent; none when the audience was deleted.
        mode: Whether the audience holds these alone.
        audience_id: Which audience; None where it was deleted, or is not known.
        sync_id: Of the sync that brought them there.
        replaced_at: When the latest full replace of a mirror began; with a time zone.
        sent: All that confirmed syncs have certainly sent, where that is kept: not that of which LINE processed another
            number than was sent.
    """

    partition: str
    snapshot: Snapshot
    mode: SyncMode = "mirror"
    audience_id: str | None = None
    sync_id: str | None = None
    replaced_at: datetime | None = None
    sent: Snapshot | None = None

    @classmethod
    def by(cls, sync: Sync) -> Self:
        """What LINE has processed when it has processed all of a sync."""
        return cls(
            partition=sync.partition,
            snapshot=sync.snapshot,
            mode=sync.mode,
            audience_id=sync.audience_id,
            sync_id=sync.id,
            replaced_at=sync.extent.replaced_at,
            sent=sync.extent.sent if sync.is_processed_as_sent else sync.extent.sent_before,
        )

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self) | {
            "snapshot": self.snapshot.to_document(),
            "replaced_at": self.replaced_at and self.replaced_at.isoformat(),
            "sent": self.sent and self.sent.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` wrote, also where it knew fewer fields."""
        return cls(
            partition=document["partition"],
            snapshot=Snapshot.from_document(document["snapshot"]),
            mode=document.get("mode", "mirror"),
            audience_id=document.get("audience_id"),
            sync_id=document.get("sync_id"),
            replaced_at=read_moment(document.get("replaced_at")),
            sent=read_snapshot(document.get("sent")),
        )


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A rolled-back audience is left alone until its hold is released.

    Attributes:
        partition: The run date it was rolled back to.
        snapshot: The members then, so that a later run can complete a rollback that was killed.
        since: When; with a time zone.
    """

    partition: str
    snapshot: Snapshot
    since: datetime

    def is_reached_by(self, confirmed: Confirmed) -> bool:
        """Whether the audience was brought to where it is held."""
        reached = (confirmed.partition, confirmed.snapshot, confirmed.mode)
        return reached == (self.partition, self.snapshot, "mirror")
