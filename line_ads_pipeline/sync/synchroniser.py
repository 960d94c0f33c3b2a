"""Carrying out a sync, so that another process can go on wherever this one stops.

Before and after each request the manifest says what is known of a chunk. A chunk is `planned`, then `sending`, then
`accepted`, then `finished`; only an answer from LINE moves it on. Whoever finds a chunk `sending` asks LINE's lists
whether it arrived before anything else is sent.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from line_ads_pipeline.line_ads import CustomAudience, LineAdsClient, LineAdsError, UploadJob
from line_ads_pipeline.store import Snapshot, SnapshotNotFound
from line_ads_pipeline.sync.destination import Destination, audiences_of_our_name, find_audience
from line_ads_pipeline.sync.errors import (
    AudienceBusy,
    AudienceContended,
    AudienceNotOurs,
    NameTaken,
    NoValidIdentifiers,
    OlderThanConfirmed,
    UploadJobFailed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.evidence import ChunkJobs, is_replaced, jobs_of
from line_ads_pipeline.sync.manifest import Chunk, Sync, SyncMode, plan_chunks
from line_ads_pipeline.sync.records import AudienceRecords

_log = logging.getLogger(__name__)

_BEGINNINGS = 3


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a sync waits for LINE; all in seconds.

    Attributes:
        first_poll: Before the second look at a job; later looks are half as far apart again, each.
        slowest_poll: The longest time between two looks.
        settle: How long an upload whose answer was lost may take to show in LINE's lists.
        job_deadline: How long one chunk may be processed.
        attempts: How often a chunk is sent at most when its answers are lost.
    """

    first_poll: float = 1.0
    slowest_poll: float = 300.0
    settle: float = 60.0
    job_deadline: float = 24 * 3600.0
    attempts: int = 5

    def pauses(self, total: float) -> Iterator[float]:
        """The pauses between looks, `total` seconds in all."""
        pause = self.first_poll
        while total > 0:
            yield min(pause, total)
            total -= pause
            pause = min(pause * 1.5, self.slowest_poll)


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """A confirmed sync.

    Attributes:
        sync_id: Part of the names of the uploaded files.
        audience_id: `None` when there was nothing to send.
        audience: As LINE lists it afterwards; `None` where it does not yet.
        created: The sync made the audience.
        resumed: The sync went on where an earlier run stopped.
        chunks: Uploads.
        records: Identifiers sent.
        uploaded_bytes: Of text sent.
        processed: Identifiers that LINE says it processed; `None` where it does not say.
    """

    sync_id: str | None = None
    audience_id: str | None = None
    audience: CustomAudience | None = None
    created: bool = False
    resumed: bool = False
    chunks: int = 0
    records: int = 0
    uploaded_bytes: int = 0
    processed: int | None = None


@dataclass(kw_only=True)
class Synchroniser:
    """Brings snapshots of one audience file to LINE.

    Args:
        client: Open.
        records: Where snapshots and manifests are.
        destination: The audience in LINE.
        mode: `mirror` makes the audience hold exactly the snapshot, `add` only ever adds.
        max_records: Rows in one upload.
        patience: How long to wait.
        sleep: Takes seconds.
    """

    client: LineAdsClient
    records: AudienceRecords
    destination: Destination
    mode: SyncMode
    max_records: int
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep
    _seen: tuple[UploadJob, ...] = field(default=(), init=False, repr=False)

    def sync(
        self, snapshot: Snapshot, *, rows: int, partition: str, recreate_audience: bool = False
    ) -> SyncResult:
        """Bring the snapshot to LINE and wait until LINE has processed all of it.

        Args:
            snapshot: In the store.
            rows: Of the source segment, valid or not.
            partition: The run date.
            recreate_audience: Make a new audience when the recorded one is gone, expired or failed.

        Raises:
            OlderThanConfirmed: A newer run date is in LINE already, or on its way.
            NoValidIdentifiers: The snapshot is empty, unless it is an add from a segment without rows.
            SyncError: See `line_ads_pipeline.sync.errors`.
            LineAdsError: A call failed for good.
            StoreError: The store failed.
        """
        if snapshot.count == 0 and not (self.mode == "add" and rows == 0):
            raise NoValidIdentifiers(rows=rows)
        unfinished = self._unfinished()
        self._check_is_not_older(partition, unfinished)
        if snapshot.count == 0 and unfinished is None:
            return SyncResult()
        if unfinished is not None and unfinished.audience_id is None:
            # an audience may have been made by a request whose answer was lost: a second one must not be made
            self._land(unfinished)
        audience, same_name = self._find(unfinished, recreate=recreate_audience)
        if unfinished is not None:
            if self._goes_on(unfinished, snapshot, audience):
                unfinished.partition = partition
                return self._result(self._carry_out(unfinished), resumed=True)
            if self.mode == "add":
                self._finish_first(unfinished, audience, same_name)
                audience, same_name = self._find(None)
            else:
                _log.info("sync %s is superseded by a newer snapshot", unfinished.id)
                self._conclude(unfinished, "superseded")
        if snapshot.count == 0:
            return SyncResult()
        sync = self._begin(snapshot, partition, self.mode, audience, same_name)
        return self._result(self._carry_out(sync), created=audience is None)

    def _unfinished(self) -> Sync | None:
        """The sync that an earlier run left unfinished, if it goes to this destination, however that was named."""
        sync = self.records.running_sync()
        if sync is None:
            return None
        known_ids = {self.destination.audience_id, self.records.recorded_audience(self.destination)} - {None}
        return sync if sync.destination == self.destination.key or sync.audience_id in known_ids else None

    def _check_is_not_older(self, partition: str, unfinished: Sync | None) -> None:
        newest = max(self._confirmed_partition(), unfinished.partition if unfinished else "")
        if partition < newest:
            raise OlderThanConfirmed(partition, newest)

    def _confirmed_partition(self) -> str:
        """The newest run date that this destination holds; empty, which is before all, when there is none."""
        confirmed = self.records.read("confirmed")
        if confirmed is None or confirmed["destination"] != self.destination.key:
            return ""
        return str(confirmed["partition"])

    def _find(
        self, unfinished: Sync | None, *, recreate: bool = False
    ) -> tuple[CustomAudience | None, tuple[str, ...]]:
        unfinished_id = unfinished.audience_id if unfinished else None
        previous = self.records.read("destination") or {}
        was = previous.get("destination")
        if was is not None and was != self.destination.key:
            _log.warning(
                "the destination of %s has changed: audience %s in ad account %s stays as it is, unless it is the same",
                self.destination.audience,
                previous["audience_id"],
                was["ad_account_id"],
            )
        audience, same_name = find_audience(
            self.client,
            self.destination,
            recorded_id=unfinished_id or self.records.recorded_audience(self.destination),
            unfinished_id=unfinished_id,
            recreate=recreate,
        )
        return (self._renamed(audience) if audience else None), same_name

    def _renamed(self, audience: CustomAudience) -> CustomAudience:
        """An audience given by id gets the name that the file gives beside it."""
        name = self.destination.audience_name
        if self.destination.audience_id is None or name is None or name == audience.name:
            return audience
        for other in audiences_of_our_name(self.client, self.destination):
            raise NameTaken(audience.id, name, other.id)
        _log.info('audience %s "%s" is renamed to "%s"', audience.id, audience.name, name)
        self.client.rename(self.destination.ad_account_id, audience.id, name=name)
        return replace(audience, name=name)

    def _goes_on(self, unfinished: Sync, snapshot: Snapshot, audience: CustomAudience | None) -> bool:
        """Whether the unfinished sync brings this snapshot to this audience; what LINE has of it is waited for."""
        if unfinished.audience_id != (audience.id if audience else None):
            return False
        self._land(unfinished)
        if unfinished.snapshot != snapshot or unfinished.mode != self.mode:
            return False
        _log.info("sync %s goes on where it stopped", unfinished.id)
        return True

    def _finish_first(
        self, unfinished: Sync, audience: CustomAudience | None, same_name: tuple[str, ...]
    ) -> None:
        """Send what an earlier sync left unsent: an add leaves nobody out, and neither does what comes before it."""
        _log.info("sync %s of an earlier snapshot is finished first", unfinished.id)
        try:
            if unfinished.audience_id == (audience.id if audience else None):
                self._carry_out(unfinished)
                return
            self._conclude(unfinished, "superseded")
            again = self._begin(
                unfinished.snapshot, unfinished.partition, unfinished.mode, audience, same_name
            )
            self._carry_out(again)
        except SnapshotNotFound as error:
            _log.warning("the people of run date %s cannot be sent any more: %s", unfinished.partition, error)
            self._conclude(unfinished, "superseded")

    def _begin(
        self,
        snapshot: Snapshot,
        partition: str,
        mode: SyncMode,
        audience: CustomAudience | None,
        same_name: tuple[str, ...] = (),
    ) -> Sync:
        sync = Sync(
            id=secrets.token_hex(8),
            destination=self.destination.key,
            ad_account_id=self.destination.ad_account_id,
            id_type=self.destination.id_type,
            audience_name=self.destination.audience_name,
            audience_id=audience.id if audience else None,
            mode=mode,
            partition=partition,
            snapshot=snapshot,
            chunks=plan_chunks(
                snapshot.count, line_bytes=snapshot.line_bytes, mode=mode, max_records=self.max_records
            ),
            known_audience_ids=list(same_name),
        )
        if audience is not None:
            sync.known_job_ids = [job.id for job in self._wait_until_idle(audience.id)]
        self._save(sync)
        self.records.write({"sync_id": sync.id}, "current_sync")
        if audience is not None:
            self.records.record_audience(self.destination, audience.id)
        _log.info(
            "sync %s of %s begins: %s identifiers in %s chunks, %s",
            sync.id,
            self.destination.audience,
            f"{snapshot.count:,}",
            len(sync.chunks),
            mode,
        )
        return sync

    def _carry_out(self, sync: Sync) -> Sync:
        """Send and await all chunks, and begin anew where somebody replaced the members meanwhile."""
        for _ in range(_BEGINNINGS):
            for chunk in sync.chunks:
                self._finish(sync, chunk)
            if not is_replaced(sync, self._seen or self._jobs(sync)):
                if self.records.recorded_audience(self.destination) != sync.audience_id:
                    self.records.record_audience(self.destination, sync.audience_id or "")
                self._conclude(sync, "confirmed")
                return sync
            _log.warning("the members of audience %s were replaced meanwhile; sent again", sync.audience_id)
            self._conclude(sync, "superseded")
            audience, same_name = self._find(sync)
            sync = self._begin(sync.snapshot, sync.partition, sync.mode, audience, same_name)
        raise AudienceContended(sync.audience_id or "", times=_BEGINNINGS)

    def _finish(self, sync: Sync, chunk: Chunk) -> None:
        lost_answers: list[LineAdsError] = []
        while chunk.state != "finished":
            lost = self._step(sync, chunk)
            if lost is not None:
                lost_answers.append(lost)
            elif chunk.state == "planned" and len(lost_answers) >= self.patience.attempts:
                raise UploadUnsettled(
                    chunk=chunk.number,
                    chunks=len(sync.chunks),
                    attempts=len(lost_answers),
                    last=lost_answers[-1],
                )

    def _step(self, sync: Sync, chunk: Chunk) -> LineAdsError | None:
        """Move the chunk on by one state; gives the failure that leaves its arrival unknown."""
        match chunk.state:
            case "planned":
                return self._send(sync, chunk)
            case "sending":
                self._settle(sync, chunk)
            case "accepted":
                self._await_jobs(sync, chunk)
        return None

    def _land(self, sync: Sync) -> None:
        """Wait until LINE has processed all that it holds of the sync, without sending anything."""
        chunk = sync.chunk_under_way
        while chunk is not None and chunk.state in {"sending", "accepted"}:
            self._step(sync, chunk)
        if sync.audience_id is not None:
            self._wait_until_idle(sync.audience_id)

    def _send(self, sync: Sync, chunk: Chunk) -> LineAdsError | None:
        with self.records.store.open_chunk(
            self.destination.audience, sync.snapshot, offset=chunk.offset, count=chunk.count
        ) as file:
            chunk.attempts += 1
            chunk.state = "sending"
            self._save(sync)
            try:
                audience = self.client.upload(
                    sync.ad_account_id,
                    action=chunk.action,
                    id_type=sync.id_type,
                    file=file,
                    file_name=self.destination.file_name(
                        sync_id=sync.id, chunk=chunk.number, attempt=chunk.attempts
                    ),
                    audience_id=sync.audience_id,
                    name=sync.audience_name if sync.audience_id is None else None,
                )
            except LineAdsError as error:
                if not error.may_have_taken_effect:
                    chunk.state = "planned"
                    self._save(sync)
                    raise
                _log.warning("chunk %s: no answer (%s); looking whether it arrived", chunk.number, error)
                return error
        self._accepted(sync, chunk, audience.id)
        return None

    def _accepted(self, sync: Sync, chunk: Chunk, audience_id: str) -> None:
        """Note that LINE has the chunk, and from the first one on which audience is ours."""
        is_new = sync.audience_id is None
        sync.audience_id = audience_id
        chunk.state = "accepted"
        self._save(sync)
        if is_new:
            _log.info("LINE created audience %s", audience_id)
            self.records.record_audience(self.destination, audience_id)

    def _settle(self, sync: Sync, chunk: Chunk) -> None:
        """Find out whether a chunk whose answer is unknown arrived; if it does not show in time, plan it anew."""
        if sync.audience_id is None:
            self._settle_creation(sync, chunk)
            return
        for _ in self._looks(self.patience.settle):
            if self._chunk_jobs(sync, chunk).proven:
                self._accepted(sync, chunk, sync.audience_id)
                return
        # a job without a name may be ours: its size, once it has ended, tells
        self._wait_until_idle(sync.audience_id)
        if self._chunk_jobs(sync, chunk).proven:
            self._accepted(sync, chunk, sync.audience_id)
            return
        self._plan_anew(sync, chunk)

    def _settle_creation(self, sync: Sync, chunk: Chunk) -> None:
        """The same for the first chunk of a new audience: look for an audience that holds its job.

        Raises:
            AudienceNotOurs: Somebody else made one of this name meanwhile.
        """
        strangers: set[str] = set()
        for _ in self._looks(self.patience.settle):
            for audience in audiences_of_our_name(self.client, self.destination):
                if audience.id in sync.known_audience_ids:
                    continue
                jobs = self.client.upload_jobs(sync.ad_account_id, audience.id)
                if jobs_of(chunk, jobs, sync=sync, destination=self.destination).proven:
                    self._accepted(sync, chunk, audience.id)
                    return
                strangers.add(audience.id)
        if strangers and not self.destination.adopt:
            raise AudienceNotOurs(sync.audience_name or "", min(strangers))
        self._plan_anew(sync, chunk)

    def _plan_anew(self, sync: Sync, chunk: Chunk) -> None:
        _log.info("chunk %s did not arrive; it is sent again", chunk.number)
        chunk.state = "planned"
        self._save(sync)

    def _await_jobs(self, sync: Sync, chunk: Chunk) -> None:
        for _ in self._looks(self.patience.job_deadline):
            found = self._chunk_jobs(sync, chunk)
            if not found.have_ended:
                continue
            chunk.job_ids = [job.id for job in found.proven]
            finished = [job for job in found.proven if job.is_finished]
            if finished:
                chunk.state, chunk.processed = "finished", finished[0].audience_count
                self._save(sync)
                _log.info("chunk %s of %s is finished", chunk.number, len(sync.chunks))
                return
            chunk.state = "planned"
            sync.known_job_ids = [*sync.known_job_ids, *chunk.job_ids]
            self._save(sync)
            raise UploadJobFailed(
                chunk=chunk.number,
                chunks=len(sync.chunks),
                audience_id=sync.audience_id or "",
                failed_type=found.proven[0].failed_type,
            )
        raise UploadJobUnfinished(
            chunk=chunk.number,
            chunks=len(sync.chunks),
            audience_id=sync.audience_id or "",
            hours=self.patience.job_deadline / 3600,
        )

    def _chunk_jobs(self, sync: Sync, chunk: Chunk) -> ChunkJobs:
        return jobs_of(chunk, self._jobs(sync), sync=sync, destination=self.destination)

    def _jobs(self, sync: Sync) -> tuple[UploadJob, ...]:
        self._seen = self.client.upload_jobs(sync.ad_account_id, sync.audience_id or "")
        return self._seen

    def _wait_until_idle(self, audience_id: str) -> tuple[UploadJob, ...]:
        """The audience's jobs, once none is running: LINE takes one upload at a time."""
        for _ in self._looks(self.patience.job_deadline):
            jobs = self.client.upload_jobs(self.destination.ad_account_id, audience_id)
            if not any(job.is_running for job in jobs):
                return jobs
            _log.info("audience %s is still being processed; waiting", audience_id)
        raise AudienceBusy(audience_id, hours=self.patience.job_deadline / 3600)

    def _looks(self, seconds: float) -> Iterator[None]:
        """Look at once, and again after each pause, until so many seconds have been waited."""
        yield
        for pause in self.patience.pauses(seconds):
            self.sleep(pause)
            yield

    def _result(self, sync: Sync, *, created: bool = False, resumed: bool = False) -> SyncResult:
        processed = [chunk.processed for chunk in sync.chunks if chunk.processed is not None]
        return SyncResult(
            sync_id=sync.id,
            audience_id=sync.audience_id,
            audience=self._listed(sync),
            created=created,
            resumed=resumed,
            chunks=len(sync.chunks),
            records=sync.snapshot.count,
            uploaded_bytes=sync.snapshot.count * sync.snapshot.line_bytes,
            processed=sum(processed) if len(processed) == len(sync.chunks) else None,
        )

    def _listed(self, sync: Sync) -> CustomAudience | None:
        """The audience as LINE lists it; a failure to list it undoes nothing, so it is only warned of."""
        try:
            listed = list(self.client.list_audiences(sync.ad_account_id, name=self.destination.audience_name))
        except LineAdsError as error:
            _log.warning("the sync is confirmed, but the audience cannot be listed: %s", error)
            return None
        return next((audience for audience in listed if audience.id == sync.audience_id), None)

    def _conclude(self, sync: Sync, state: Literal["confirmed", "superseded"]) -> None:
        sync.state = state
        self._save(sync)
        if state == "confirmed" and sync.partition >= self._confirmed_partition():
            confirmed = {
                "destination": self.destination.key,
                "partition": sync.partition,
                "snapshot": sync.snapshot.to_document(),
                "sync_id": sync.id,
            }
            self.records.write(confirmed, "confirmed")

    def _save(self, sync: Sync) -> None:
        self.records.write(sync.to_document(), "syncs", sync.id)
