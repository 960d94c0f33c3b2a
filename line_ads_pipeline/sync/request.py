"""What a run asks of a sync, and what it gets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from line_ads_pipeline.line_ads import CustomAudience
from line_ads_pipeline.store import Snapshot, Tally
from line_ads_pipeline.sync.guardrails import Finding, confirmation_finding
from line_ads_pipeline.sync.manifest import Sync, SyncKind


@dataclass(frozen=True, kw_only=True)
class SyncRequest:
    """What one run asks for.

    Attributes:
        snapshot: In the store.
        tally: How the rows of the segment became it.
        partition: The run date.
        override: Guardrails that may not stop this sync, and `unfinished_sync` to give up what is unfinished.
        rollback: Send it although a newer run date was sent, and hold the audience there.
        release_hold: Send although the audience is on hold.
        recreate_audience: Make a new audience when the recorded one is gone, expired or failed.
        opted_out: Those who have opted out by what is known now, in the store; none of them is in `snapshot`, and none of
            what an earlier run left unsent is sent to them. None where nobody is to be left out.
    """

    snapshot: Snapshot
    tally: Tally
    partition: str
    override: frozenset[str] = frozenset()
    rollback: bool = False
    release_hold: bool = False
    recreate_audience: bool = False
    opted_out: Snapshot | None = None


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """A sync that LINE has all of.

    Attributes:
        sync_id: Part of the names of the uploaded files.
        audience_id: `None` when there was nothing to send.
        audience: As LINE lists it afterwards; `None` where it does not yet.
        created: The sync made the audience.
        resumed: The sync went on where an earlier run stopped.
        confirmed: LINE has processed all of it.
        deleted_audience_id: The audience that was deleted, since nobody is left.
        chunks: Uploads.
        records: Identifiers sent.
        uploaded_bytes: Of text sent.
        processed: Identifiers that LINE says it processed; `None` where it does not say.
        kind: What was sent, in words; `None` when there was nothing that could be.
        reason: Why all was sent, where increments are wanted.
        members: How many the audience is to hold now, by what is known of it; `None` where that is not known.
        findings: Of the guardrails, and of everything that the run's own wishes changed.
    """

    sync_id: str | None = None
    audience_id: str | None = None
    audience: CustomAudience | None = None
    created: bool = False
    resumed: bool = False
    confirmed: bool = True
    deleted_audience_id: str | None = None
    chunks: int = 0
    records: int = 0
    uploaded_bytes: int = 0
    processed: int | None = None
    kind: SyncKind | None = None
    reason: str | None = None
    members: int | None = None
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(
        cls,
        sync: Sync,
        *,
        audience: CustomAudience | None,
        findings: Iterable[Finding] = (),
        created: bool = False,
        resumed: bool = False,
    ) -> Self:
        """What came of a sync.

        Args:
            sync: Confirmed, or accepted by LINE.
            audience: As LINE lists it.
            findings: Made before those of the guardrails, which the sync has.
            created: It made the audience.
            resumed: It went on where an earlier run stopped.
        """
        counts = [chunk.processed for chunk in sync.chunks if chunk.processed is not None]
        processed = sum(counts) if len(counts) == len(sync.chunks) else None
        confirmed = sync.state == "confirmed"
        guardrails = [Finding.from_document(document) for document in sync.findings]
        confirmation = (
            [confirmation_finding(sent=sync.payload.count, processed=processed)] if confirmed else []
        )
        return cls(
            sync_id=sync.id,
            audience_id=sync.audience_id,
            audience=audience,
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
