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

from line_ads_pipeline.line_ads import FUNCTION_TYPES, CustomAudience, LineAdsClient, LineAdsError, UploadJob
from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync.destination import Destination, find_audience
from line_ads_pipeline.sync.errors import (
    NoValidIdentifiers,
    OlderThanConfirmed,
    UploadJobFailed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.manifest import Chunk, Sync, SyncMode, plan_chunks
from line_ads_pipeline.sync.records import AudienceRecords

_log = logging.getLogger(__name__)

_JOB_TYPES = {"ADD": "DIFF_ADD", "REPLACE": "DIFF_REPLACE"}


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
            OlderThanConfirmed: A newer run date is in LINE already.
            NoValidIdentifiers: The snapshot is empty, unless it is an add from a segment without rows.
            SyncError: See `line_ads_pipeline.sync.errors`.
            LineAdsError: A call failed for good.
            StoreError: The store failed.
        """
        if snapshot.count == 0:
            if self.mode == "add" and rows == 0:
                return SyncResult()
            raise NoValidIdentifiers(rows=rows)
        self._check_is_not_older(partition)
        unfinished = self._unfinished()
        if unfinished is not None and unfinished.audience_id is None:
            # an audience may have been made by a request whose answer was lost: a second one must not be made
            self._land_chunk_under_way(unfinished)
        audience, same_name = find_audience(
            self.client,
            self.destination,
            recorded_id=(unfinished.audience_id if unfinished else None) or self._recorded_audience(),
            recreate=recreate_audience,
        )
        if audience is not None:
            audience = self._renamed(audience)
        if unfinished is not None:
            unfinished = self._taken_up(unfinished, snapshot, partition, audience)
        sync = unfinished or self._begin(snapshot, partition, audience, same_name)
        created = sync.audience_id is None
        self._carry_out(sync)
        return self._result(sync, created=created, resumed=unfinished is not None)

    def _taken_up(
        self, unfinished: Sync, snapshot: Snapshot, partition: str, audience: CustomAudience | None
    ) -> Sync | None:
        """The unfinished sync, if this snapshot is what it brings; otherwise it is brought to an end first."""
        if unfinished.audience_id != (audience.id if audience else None):
            self._conclude(unfinished, "superseded")
            return None
        self._land_chunk_under_way(unfinished)
        if unfinished.snapshot == snapshot and unfinished.mode == self.mode:
            _log.info("sync %s goes on where it stopped", unfinished.id)
            unfinished.partition = partition
            return unfinished
        if unfinished.mode == self.mode == "add":
            _log.info(
                "sync %s of an earlier snapshot is finished first: an add leaves nobody out", unfinished.id
            )
            self._carry_out(unfinished)
        else:
            _log.info("sync %s is superseded by a newer snapshot", unfinished.id)
            self._conclude(unfinished, "superseded")
        return None

    def _begin(
        self, snapshot: Snapshot, partition: str, audience: CustomAudience | None, same_name: tuple[str, ...]
    ) -> Sync:
        sync = Sync(
            id=secrets.token_hex(8),
            destination=self.destination.key,
            ad_account_id=self.destination.ad_account_id,
            id_type=self.destination.id_type,
            audience_name=self.destination.audience_name,
            audience_id=audience.id if audience else None,
            mode=self.mode,
            partition=partition,
            snapshot=snapshot,
            chunks=plan_chunks(
                snapshot.count, line_bytes=snapshot.line_bytes, mode=self.mode, max_records=self.max_records
            ),
            known_audience_ids=list(same_name),
        )
        if audience is not None:
            sync.known_job_ids = [job.id for job in self._wait_until_idle(audience.id)]
        self._save(sync)
        self.records.write({"sync_id": sync.id}, "current_sync")
        _log.info(
            "sync %s of %s begins: %s identifiers in %s chunks, %s",
            sync.id,
            self.destination.audience,
            f"{snapshot.count:,}",
            len(sync.chunks),
            self.mode,
        )
        return sync

    def _carry_out(self, sync: Sync) -> None:
        for chunk in sync.chunks:
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
        self._conclude(sync, "confirmed")

    def _step(self, sync: Sync, chunk: Chunk) -> LineAdsError | None:
        """Move the chunk on by one state; gives the failure that leaves its arrival unknown."""
        match chunk.state:
            case "planned":
                return self._send(sync, chunk)
            case "sending":
                self._settle(sync, chunk)
            case "accepted":
                self._await_job(sync, chunk)
        return None

    def _send(self, sync: Sync, chunk: Chunk) -> LineAdsError | None:
        chunk.attempts += 1
        chunk.state = "sending"
        self._save(sync)
        try:
            with self.records.store.open_chunk(
                self.destination.audience, sync.snapshot, offset=chunk.offset, count=chunk.count
            ) as file:
                audience = self.client.upload(
                    sync.ad_account_id,
                    action=chunk.action,
                    id_type=sync.id_type,
                    file=file,
                    file_name=self._file_name(sync, chunk),
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
        if sync.audience_id is None:
            sync.audience_id = audience_id
            _log.info("LINE created audience %s", audience_id)
        chunk.state = "accepted"
        self._save(sync)
        self.records.record_audience(self.destination, audience_id)

    def _settle(self, sync: Sync, chunk: Chunk) -> None:
        """Find out whether a chunk whose answer is unknown arrived; if it does not show in time, plan it anew."""
        for _ in self._looks(self.patience.settle):
            audience_id = sync.audience_id or self._audience_made_by(sync, chunk)
            if audience_id is not None and (sync.audience_id is None or self._job(sync, chunk) is not None):
                self._accepted(sync, chunk, audience_id)
                return
        _log.info("chunk %s did not arrive; it is sent again", chunk.number)
        chunk.state = "planned"
        self._save(sync)

    def _audience_made_by(self, sync: Sync, chunk: Chunk) -> str | None:
        """The audience that the first chunk of this sync created, by its name and the file in its jobs."""
        made = [
            audience.id
            for audience in self.client.list_audiences(sync.ad_account_id, name=sync.audience_name)
            if audience.name == sync.audience_name
            and audience.function_type == FUNCTION_TYPES[sync.id_type]
            and audience.id not in sync.known_audience_ids
        ]
        for audience_id in made:
            jobs = self.client.upload_jobs(sync.ad_account_id, audience_id)
            if any(job.name == self._file_name(sync, chunk) for job in jobs):
                return audience_id
        return made[0] if len(made) == 1 else None

    def _await_job(self, sync: Sync, chunk: Chunk) -> None:
        for _ in self._looks(self.patience.job_deadline):
            job = self._job(sync, chunk)
            if job is not None and job.is_finished:
                chunk.state, chunk.job_id, chunk.processed = "finished", job.id, job.audience_count
                sync.known_job_ids = sorted({*sync.known_job_ids, job.id})
                self._save(sync)
                _log.info("chunk %s of %s is finished", chunk.number, len(sync.chunks))
                return
            if job is not None and job.is_failed:
                chunk.state = "planned"
                sync.known_job_ids = sorted({*sync.known_job_ids, job.id})
                self._save(sync)
                raise UploadJobFailed(
                    chunk=chunk.number,
                    chunks=len(sync.chunks),
                    audience_id=job.audience_id,
                    failed_type=job.failed_type,
                )
        raise UploadJobUnfinished(
            chunk=chunk.number,
            chunks=len(sync.chunks),
            audience_id=sync.audience_id or "",
            hours=self.patience.job_deadline / 3600,
        )

    def _job(self, sync: Sync, chunk: Chunk) -> UploadJob | None:
        """The chunk's job in LINE's list: by its file's name, else the one that is new and of its type."""
        jobs = self.client.upload_jobs(sync.ad_account_id, sync.audience_id or "")
        names = {self._file_name(sync, chunk, attempt) for attempt in range(1, chunk.attempts + 1)}
        new = [job for job in jobs if job.id not in sync.known_job_ids]
        named = [job for job in new if job.name in names]
        if named:
            return named[0]
        unnamed = [
            job
            for job in new
            if job.type in {_JOB_TYPES[chunk.action], None}
            and not (job.name or "").startswith(self.destination.file_prefix)
        ]
        return unnamed[0] if len(unnamed) == 1 else None

    def _wait_until_idle(self, audience_id: str) -> tuple[UploadJob, ...]:
        """The audience's jobs, once none is running: LINE takes one upload at a time."""
        for _ in self._looks(self.patience.job_deadline):
            jobs = self.client.upload_jobs(self.destination.ad_account_id, audience_id)
            if not any(job.is_running for job in jobs):
                return jobs
            _log.info("audience %s is still being processed; waiting", audience_id)
        raise UploadJobUnfinished(
            chunk=1, chunks=1, audience_id=audience_id, hours=self.patience.job_deadline / 3600
        )

    def _looks(self, seconds: float) -> Iterator[None]:
        """Look at once, and again after each pause, until so many seconds have been waited."""
        yield
        for pause in self.patience.pauses(seconds):
            self.sleep(pause)
            yield

    def _land_chunk_under_way(self, sync: Sync) -> None:
        """Wait until LINE holds no chunk of the sync unprocessed, without sending anything."""
        chunk = sync.chunk_under_way
        while chunk is not None and chunk.state in {"sending", "accepted"}:
            self._step(sync, chunk)

    def _renamed(self, audience: CustomAudience) -> CustomAudience:
        """An audience given by id gets the name that the file gives beside it."""
        name = self.destination.audience_name
        if self.destination.audience_id is None or name is None or name == audience.name:
            return audience
        _log.info('audience %s "%s" is renamed to "%s"', audience.id, audience.name, name)
        self.client.rename(self.destination.ad_account_id, audience.id, name=name)
        return replace(audience, name=name)

    def _result(self, sync: Sync, *, created: bool, resumed: bool) -> SyncResult:
        listed = self.client.list_audiences(sync.ad_account_id, name=self.destination.audience_name)
        processed = [chunk.processed for chunk in sync.chunks if chunk.processed is not None]
        return SyncResult(
            sync_id=sync.id,
            audience_id=sync.audience_id,
            audience=next((audience for audience in listed if audience.id == sync.audience_id), None),
            created=created,
            resumed=resumed,
            chunks=len(sync.chunks),
            records=sync.snapshot.count,
            uploaded_bytes=sync.snapshot.count * sync.snapshot.line_bytes,
            processed=sum(processed) if len(processed) == len(sync.chunks) else None,
        )

    def _file_name(self, sync: Sync, chunk: Chunk, attempt: int | None = None) -> str:
        return self.destination.file_name(
            sync_id=sync.id, chunk=chunk.number, attempt=chunk.attempts if attempt is None else attempt
        )

    def _recorded_audience(self) -> str | None:
        recorded = self.records.recorded_audience(self.destination)
        if recorded is None and (other := self.records.read("destination")):
            _log.warning(
                "the destination of %s has changed: audience %s in ad account %s stays as it is",
                self.destination.audience,
                other["audience_id"],
                other["ad_account_id"],
            )
        return recorded

    def _check_is_not_older(self, partition: str) -> None:
        confirmed = self.records.read("confirmed")
        if (
            confirmed
            and confirmed["destination"] == self.destination.key
            and partition < confirmed["partition"]
        ):
            raise OlderThanConfirmed(partition, confirmed["partition"])

    def _unfinished(self) -> Sync | None:
        """The current sync, if an earlier run left it unfinished and it goes to this destination."""
        current = self.records.read("current_sync")
        document = current and self.records.read("syncs", current["sync_id"])
        if not document:
            return None
        sync = Sync.from_document(document)
        return sync if sync.state == "running" and sync.destination == self.destination.key else None

    def _conclude(self, sync: Sync, state: Literal["confirmed", "superseded"]) -> None:
        sync.state = state
        self._save(sync)
        if state == "confirmed":
            confirmed = {
                "destination": sync.destination,
                "partition": sync.partition,
                "snapshot": sync.snapshot.to_document(),
                "sync_id": sync.id,
            }
            self.records.write(confirmed, "confirmed")

    def _save(self, sync: Sync) -> None:
        self.records.write(sync.to_document(), "syncs", sync.id)
