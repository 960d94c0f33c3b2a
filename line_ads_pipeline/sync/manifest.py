"""What is written down of an audience's syncs, so that another process can go on where one stopped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from line_ads_pipeline.line_ads import FILE_SIZE_LIMIT, IdType, UploadAction
from line_ads_pipeline.store import Snapshot

SyncMode = Literal["mirror", "add"]
SyncKind = Literal["full replace", "everything", "additions only", "nothing new"]
"""What is sent: `full replace` is all of a mirror, `everything` all of an add."""

ChunkState = Literal["planned", "sending", "accepted", "finished"]


@dataclass
class Chunk:
    """A part of the snapshot, one upload.

    Attributes:
        number: From 1.
        offset: Of its first record in the snapshot.
        count: Of its records.
        action: What the upload does to the audience.
        state: `planned`; `sending`, when a request went out whose answer is not known yet; `accepted`, when LINE
            has it; `finished`, when its job is.
        attempts: Requests that went out.
        job_ids: LINE's jobs for it, as soon as they are seen; more than one where an attempt thought lost arrived.
        processed: Identifiers that LINE says it processed.
    """

    number: int
    offset: int
    count: int
    action: UploadAction
    state: ChunkState = "planned"
    attempts: int = 0
    job_ids: list[str] = field(default_factory=list)
    processed: int | None = None


def plan_chunks(count: int, *, line_bytes: int, mode: SyncMode, max_records: int) -> list[Chunk]:
    """Cut `count` records into uploads of at most `max_records` rows and LINE's largest upload.

    A mirror's first chunk replaces what the audience holds, all others add to it.
    """
    size = min(max_records, FILE_SIZE_LIMIT // line_bytes)
    return [
        Chunk(
            number=number,
            offset=offset,
            count=min(size, count - offset),
            action="REPLACE" if mode == "mirror" and number == 1 else "ADD",
        )
        for number, offset in enumerate(range(0, count, size), start=1)
    ]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much of its snapshot a sync sends, decided when it begins.

    Attributes:
        increment: What is sent, where that is not all of the snapshot.
        built_on: The confirmed sync to whose members the increment is added.
        replaced_at: When the latest full replace began, of a mirror; with a time zone.
        sent: All that confirmed syncs will have sent when this one is confirmed too, where that is kept: of an add.
        sent_before: What of that was sent before this one, where that is known.
        reason: Why all is sent, where increments are wanted.
    """

    increment: Snapshot | None = None
    built_on: str | None = None
    replaced_at: datetime | None = None
    sent: Snapshot | None = None
    sent_before: Snapshot | None = None
    reason: str | None = None

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self) | {
            "increment": self.increment and self.increment.to_document(),
            "replaced_at": self.replaced_at and self.replaced_at.isoformat(),
            "sent": self.sent and self.sent.to_document(),
            "sent_before": self.sent_before and self.sent_before.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` wrote, also where it knew fewer fields."""
        return cls(
            increment=read_snapshot(document["increment"]),
            built_on=document["built_on"],
            replaced_at=read_moment(document["replaced_at"]),
            sent=read_snapshot(document["sent"]),
            sent_before=read_snapshot(document.get("sent_before")),
            reason=document["reason"],
        )


def read_snapshot(document: Mapping[str, Any] | None) -> Snapshot | None:
    """A snapshot that may not be there."""
    return None if document is None else Snapshot.from_document(document)


def read_moment(text: str | None) -> datetime | None:
    """A moment in ISO 8601 that may not be there."""
    return None if text is None else datetime.fromisoformat(text)


@dataclass
class Sync:
    """One attempt to bring one snapshot to LINE.

    Attributes:
        id: Random; part of every file name.
        destination: The key of what the audience file named when the sync began.
        ad_account_id: Where it goes.
        id_type: Of the identifiers.
        audience_name: The name to create the audience with.
        audience_id: The audience, once known.
        mode: What the sync means.
        partition: The run date of the snapshot.
        snapshot: What a mirror holds afterwards, and an add holds too.
        chunks: The uploads, of what is sent of it.
        state: `superseded` when another sync took its place.
        known_audience_ids: Audiences of this name before the first upload: none of them was made by it.
        known_job_ids: Jobs of the audience that are no chunk's: those before the first upload, and what failed.
        known_until: When the newest of the jobs before the first upload was created, by LINE's clock; ISO 8601.
        replaced: Somebody replaced the members after the first chunk, or an attempt thought lost did.
        findings: What the guardrails said before the first upload.
        extent: How much of the snapshot is sent; all of it unless it says otherwise.
    """

    id: str
    destination: dict[str, str | None]
    ad_account_id: str
    id_type: IdType
    audience_name: str | None
    audience_id: str | None
    mode: SyncMode
    partition: str
    snapshot: Snapshot
    chunks: list[Chunk]
    state: Literal["running", "confirmed", "superseded"] = "running"
    known_audience_ids: list[str] = field(default_factory=list)
    known_job_ids: list[str] = field(default_factory=list)
    known_until: str | None = None
    replaced: bool = False
    findings: list[dict[str, Any]] = field(default_factory=list)
    extent: Extent = Extent()

    @property
    def payload(self) -> Snapshot:
        """What is sent, which the chunks are parts of."""
        return self.snapshot if self.extent.increment is None else self.extent.increment

    @property
    def kind(self) -> SyncKind:
        """What is sent, in words."""
        if self.extent.increment is None:
            return "full replace" if self.mode == "mirror" else "everything"
        return "additions only" if self.extent.increment.count else "nothing new"

    @property
    def members(self) -> int | None:
        """How many the audience holds afterwards, by what is known of it: not all that an add was brought."""
        if self.mode == "mirror":
            return self.snapshot.count
        return None if self.extent.sent is None else self.extent.sent.count

    @property
    def needed_snapshots(self) -> list[Snapshot]:
        """What must stay in the store until it has ended."""
        extent = self.extent
        snapshots = (self.snapshot, extent.increment, extent.sent, extent.sent_before)
        return [each for each in snapshots if each is not None]

    @property
    def accounted_job_ids(self) -> set[str]:
        """LINE's jobs that are no surprise: the chunks', and those from before."""
        return {job_id for chunk in self.chunks for job_id in chunk.job_ids}.union(self.known_job_ids)

    @property
    def is_finished(self) -> bool:
        """LINE has processed all of it."""
        return all(chunk.state == "finished" for chunk in self.chunks)

    @property
    def is_done(self) -> bool:
        """LINE has processed all of it, and nothing has to be sent again."""
        return self.is_finished and not self.replaced

    @property
    def is_processed_as_sent(self) -> bool:
        """LINE says of no chunk that it processed another number of identifiers than were sent."""
        return all(chunk.processed in {None, chunk.count} for chunk in self.chunks)

    @property
    def would_replace(self) -> bool:
        """Its `REPLACE` is still to come."""
        return any(chunk.action == "REPLACE" and chunk.state != "finished" for chunk in self.chunks)

    @property
    def waits_to_be_sent(self) -> bool:
        """LINE gave up on a chunk, or its request failed, and nobody has sent it since."""
        return any(chunk.state == "planned" and chunk.attempts for chunk in self.chunks)

    @property
    def is_under_way(self) -> bool:
        """Something of it may have reached LINE."""
        return any(chunk.attempts for chunk in self.chunks)

    @property
    def chunk_under_way(self) -> Chunk | None:
        """The chunk that LINE may have, and has not finished as far as is known."""
        return next((chunk for chunk in self.chunks if chunk.state in {"sending", "accepted"}), None)

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self) | {
            "snapshot": self.snapshot.to_document(),
            "chunks": [vars(chunk) for chunk in self.chunks],
            "extent": self.extent.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` wrote, also before there were extents."""
        extent = document.get("extent")
        return cls(
            **{
                **document,
                "snapshot": Snapshot.from_document(document["snapshot"]),
                "chunks": [Chunk(**chunk) for chunk in document["chunks"]],
                "extent": Extent() if extent is None else Extent.from_document(extent),
            }
        )
