"""Sending a sync's chunks, so that another process can go on wherever this one stops.

Before and after each request the manifest says what is known of a chunk. A chunk is `planned`, then `sending`, then
`accepted`, then `finished`; only an answer from LINE moves it on. Whoever finds a chunk `sending` asks LINE's lists
whether it arrived before anything else is sent.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient, LineAdsError, UploadJob
from line_ads_pipeline.store import ChunksAhead
from line_ads_pipeline.sync.destination import Destination, audiences_of_our_name
from line_ads_pipeline.sync.errors import (
    AudienceBusy,
    AudienceNotOurs,
    UploadJobFailed,
    UploadJobNotListed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.evidence import ChunkJobs, is_replaced, jobs_of
from line_ads_pipeline.sync.manifest import Chunk, Sync
from line_ads_pipeline.sync.records import AudienceRecords

_log = logging.getLogger(__name__)

_HOPELESS = frozenset({"AUDIENCE_GROUP_AUDIENCE_INSUFFICIENT"})
"""Failures of a job that the same file would meet again."""

_UNLISTED_FOR = 600.0
"""Seconds after which a job that LINE accepted and does not list is not expected any more."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a sync waits for LINE; times in seconds.

    Attributes:
        first_poll: Before the second look at a job; later looks are half as far apart again, each.
        slowest_poll: The longest time between two looks.
        settle: How long an upload whose answer was lost may take to show in LINE's lists.
        job_deadline: How long one chunk may be processed.
        attempts: How often a chunk is sent at most in one run when its answers are lost.
        job_attempts: How often a chunk is sent at most in one run when LINE fails to process it.
    """

    first_poll: float = 1.0
    slowest_poll: float = 300.0
    settle: float = 60.0
    job_deadline: float = 24 * 3600.0
    attempts: int = 5
    job_attempts: int = 3

    def pauses(self, total: float) -> Iterator[float]:
        """The pauses between looks, `total` seconds in all."""
        pause = self.first_poll
        while total > 0:
            yield min(pause, total)
            total -= pause
            pause = min(pause * 1.5, self.slowest_poll)


@dataclass(kw_only=True)
class Uploader:
    """Brings the chunks of syncs to LINE, one after the other.

    Args:
        client: Open.
        records: Where snapshots and manifests are.
        destination: The audience in LINE.
        coordination: Shared with all processes that use the ad account.
        replaces_at_once: How many `REPLACE`s LINE takes per ad account.
        patience: How long to wait.
        sleep: Takes seconds.
    """

    client: LineAdsClient
    records: AudienceRecords
    destination: Destination
    coordination: Coordination
    replaces_at_once: int = 3
    patience: Patience = field(default_factory=Patience)
    sleep: Callable[[float], None] = time.sleep

    def send(self, sync: Sync, *, wait_for_last: bool = True) -> None:
        """Send all chunks that LINE has not processed yet.

        Args:
            sync: Its manifest; kept up to date here and in the store.
            wait_for_last: Wait until LINE has processed the last chunk, not only until it has it.

        Raises:
            SyncError: A chunk could not be brought to its end.
            LineAdsError: A call failed for good.
            CoordinationError: Another process has taken the audience over, or the database is away.
        """
        with ChunksAhead(self.records.store, self.destination.audience, sync.payload) as files:
            for chunk in sync.chunks:
                until_accepted = chunk is sync.chunks[-1] and not wait_for_last
                if chunk.state == "finished" or (until_accepted and chunk.state == "accepted"):
                    continue
                with self._room_for(chunk):
                    self._finish(sync, chunk, files, until_accepted=until_accepted)

    def settle(self, sync: Sync) -> None:
        """Find out whether the chunk whose answer is unknown arrived, without sending anything."""
        chunk = sync.chunk_under_way
        if chunk is not None and chunk.state == "sending":
            self._follow(sync, chunk)

    def land(self, sync: Sync) -> tuple[UploadJob, ...]:
        """Wait until LINE has processed all that it holds of a sync, without sending anything; gives its audience's jobs."""
        chunk = sync.chunk_under_way
        while chunk is not None and chunk.state in {"sending", "accepted"}:
            try:
                self._follow(sync, chunk)
            except UploadJobFailed as failure:  # then LINE holds nothing of the chunk
                _log.warning("%s", failure.problem)
        return () if sync.audience_id is None else self.wait_until_idle(sync.audience_id)

    def look(self, sync: Sync) -> bool:
        """Look once at the job of the chunk that LINE has; tell whether all chunks are finished now.

        Raises:
            UploadJobFailed: LINE gave up on the chunk, which is planned anew.
        """
        chunk = sync.chunk_under_way
        if chunk is not None and chunk.state == "accepted":
            found = self._chunk_jobs(sync, chunk)
            if found.have_ended:
                self._end(sync, chunk, found)
        return sync.is_finished

    def wait_until_idle(self, audience_id: str) -> tuple[UploadJob, ...]:
        """The audience's jobs, once none is running: LINE takes one upload at a time.

        Raises:
            AudienceBusy: A job does not end.
        """
        for waited in self._looks(self.patience.job_deadline):
            jobs = self._jobs(audience_id, again=waited > 0)
            if not any(job.is_running for job in jobs):
                return jobs
            _log.info("audience %s is still being processed; waiting", audience_id)
        raise AudienceBusy(audience_id, hours=self.patience.job_deadline / 3600)

    def _room_for(self, chunk: Chunk) -> AbstractContextManager[object]:
        """A place among the ad account's `REPLACE`s, from before the request until the job has ended."""
        if chunk.action != "REPLACE":
            return nullcontext()
        return self.coordination.lease(
            f"REPLACE in {self.destination.ad_account_id}", slots=self.replaces_at_once
        )

    def _finish(self, sync: Sync, chunk: Chunk, files: ChunksAhead, *, until_accepted: bool) -> None:
        lost_answers: list[LineAdsError] = []
        failures = 0
        while chunk.state != "finished" and not (until_accepted and chunk.state == "accepted"):
            lost = None
            try:
                if chunk.state == "planned":
                    lost = self._send(sync, chunk, files)
                else:
                    if chunk.state == "accepted" and chunk.number < len(sync.chunks):
                        following = sync.chunks[chunk.number]
                        files.prepare(offset=following.offset, count=following.count)
                    self._follow(sync, chunk)
            except UploadJobFailed as failure:
                failures += 1
                if failures >= self.patience.job_attempts or failure.failed_type in _HOPELESS:
                    raise
                _log.warning("%s It is sent again.", failure.problem)
                self.sleep(min(self.patience.first_poll * 10.0**failures, self.patience.slowest_poll))
                continue
            if lost is not None:
                lost_answers.append(lost)
            elif chunk.state == "planned" and len(lost_answers) >= self.patience.attempts:
                raise UploadUnsettled(
                    chunk=chunk.number,
                    chunks=len(sync.chunks),
                    attempts=len(lost_answers),
                    last=lost_answers[-1],
                )

    def _follow(self, sync: Sync, chunk: Chunk) -> None:
        """Find out what became of a chunk that was sent."""
        if chunk.state == "sending":
            self._settle(sync, chunk)
        else:
            self._await_jobs(sync, chunk)

    def _send(self, sync: Sync, chunk: Chunk, files: ChunksAhead) -> LineAdsError | None:
        """Send a chunk; gives the failure that leaves its arrival unknown."""
        with files.open(offset=chunk.offset, count=chunk.count) as file:
            chunk.attempts += 1
            chunk.state = "sending"
            self.records.save(sync)
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
                    before_each_attempt=self.records.check_lease,
                )
            except LineAdsError as error:
                if not error.may_have_taken_effect:
                    chunk.state = "planned"
                    self.records.save(sync)
                    raise
                _log.warning("chunk %s: no answer (%s); looking whether it arrived", chunk.number, error)
                return error
        self._accepted(sync, chunk, audience.id)
        return None

    def _accepted(self, sync: Sync, chunk: Chunk, audience_id: str) -> None:
        """Note that LINE has the chunk, and from the first one on which audience is ours and which sync is its latest."""
        is_new = sync.audience_id is None
        sync.audience_id = audience_id
        chunk.state = "accepted"
        self.records.save(sync)
        if is_new:
            _log.info("LINE created audience %s", audience_id)
        if chunk is sync.chunks[0]:
            self.records.record_audience(self.destination, audience_id, sync_id=sync.id)

    def _settle(self, sync: Sync, chunk: Chunk) -> None:
        """Find out whether a chunk whose answer is unknown arrived; if it does not show in time, plan it anew."""
        if sync.audience_id is None:
            self._settle_creation(sync, chunk)
            return
        for waited in self._looks(self.patience.settle):
            if self._chunk_jobs(sync, chunk, again=waited > 0).proven:
                self._accepted(sync, chunk, sync.audience_id)
                return
        # a job without a name may be ours: its size, once it has ended, tells
        jobs = self.wait_until_idle(sync.audience_id)
        if jobs_of(chunk, jobs, sync=sync, destination=self.destination).proven:
            self._accepted(sync, chunk, sync.audience_id)
            return
        self._plan_anew(sync, chunk)

    def _settle_creation(self, sync: Sync, chunk: Chunk) -> None:
        """The same for the first chunk of a new audience: look for an audience that holds its job.

        Raises:
            AudienceNotOurs: Somebody else made one of this name meanwhile, and it may not be adopted, or is not alone.
        """
        strangers: set[str] = set()
        for _ in self._looks(self.patience.settle):
            for audience in audiences_of_our_name(self.client, self.destination):
                if audience.id in sync.known_audience_ids:
                    continue
                if self._holds(audience.id, sync, chunk):
                    self._accepted(sync, chunk, audience.id)
                    return
                strangers.add(audience.id)
        if strangers and not (self.destination.adopt and len(strangers) == 1):
            raise AudienceNotOurs(sync.audience_name or "", min(strangers))
        sync.audience_id = next(
            iter(strangers), None
        )  # adopted: a second one of the name would be in the way
        self._plan_anew(sync, chunk)

    def _holds(self, audience_id: str, sync: Sync, chunk: Chunk) -> bool:
        """Whether an audience has a job of the chunk; one without a name is waited for until its size is known."""
        found = jobs_of(chunk, self._jobs(audience_id), sync=sync, destination=self.destination)
        if found.possible and not found.proven:
            jobs = self.wait_until_idle(audience_id)
            found = jobs_of(chunk, jobs, sync=sync, destination=self.destination)
        return bool(found.proven)

    def _plan_anew(self, sync: Sync, chunk: Chunk) -> None:
        _log.info("chunk %s did not arrive; it is sent again", chunk.number)
        chunk.state = "planned"
        self.records.save(sync)

    def _await_jobs(self, sync: Sync, chunk: Chunk) -> None:
        """Wait until LINE has processed the chunk.

        Raises:
            UploadJobFailed: LINE gave up on it; it is planned anew.
            UploadJobNotListed: LINE has accepted it, and lists no job of it.
            UploadJobUnfinished: Its job does not end.
        """
        for waited in self._looks(self.patience.job_deadline):
            found = self._chunk_jobs(sync, chunk, again=waited > 0)
            if found.have_ended:
                self._end(sync, chunk, found)
                return
            if waited >= _UNLISTED_FOR and not (found.proven or found.possible):
                raise UploadJobNotListed(
                    chunk=chunk.number, chunks=len(sync.chunks), audience_id=sync.audience_id or ""
                )
        raise UploadJobUnfinished(
            chunk=chunk.number,
            chunks=len(sync.chunks),
            audience_id=sync.audience_id or "",
            hours=self.patience.job_deadline / 3600,
        )

    def _end(self, sync: Sync, chunk: Chunk, found: ChunkJobs) -> None:
        """Note how the chunk's jobs ended."""
        finished = [job for job in found.proven if job.is_finished]
        if finished:
            chunk.state, chunk.processed = "finished", finished[0].audience_count
            self.records.save(sync)
            _log.info("chunk %s of %s is finished", chunk.number, len(sync.chunks))
            return
        chunk.state = "planned"
        sync.known_job_ids = [*sync.known_job_ids, *chunk.job_ids]
        chunk.job_ids = []
        self.records.save(sync)
        raise UploadJobFailed(
            chunk=chunk.number,
            chunks=len(sync.chunks),
            audience_id=sync.audience_id or "",
            failed_type=found.proven[0].failed_type,
        )

    def _chunk_jobs(self, sync: Sync, chunk: Chunk, *, again: bool = False) -> ChunkJobs:
        """Look at the chunk's jobs, and write down what the list may not show any more by the next look.

        Of jobs that have ended, that is left to who notes how they did.
        """
        jobs = self._jobs(sync.audience_id or "", again=again)
        found = jobs_of(chunk, jobs, sync=sync, destination=self.destination)
        before = (chunk.job_ids, sync.replaced)
        chunk.job_ids = list(dict.fromkeys([*chunk.job_ids, *(job.id for job in found.proven)]))
        sync.replaced = sync.replaced or is_replaced(sync, set(jobs) - set(found.possible))
        if before != (chunk.job_ids, sync.replaced) and not found.have_ended:
            self.records.save(sync)
        return found

    def _jobs(self, audience_id: str, *, again: bool = False) -> tuple[UploadJob, ...]:
        return self.client.upload_jobs(self.destination.ad_account_id, audience_id, again=again)

    def _looks(self, seconds: float) -> Iterator[float]:
        """Look at once, and again after each pause, until so many seconds have been waited; gives how many have."""
        waited = 0.0
        yield waited
        for pause in self.patience.pauses(seconds):
            self.sleep(pause)
            waited += pause
            yield waited
