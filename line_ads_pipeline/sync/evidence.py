"""What LINE's job list proves: which jobs are a chunk's, and whether somebody else uploaded.

A job with a file name is a chunk's by that name alone. Where LINE gives no names, a job that is new, of the chunk's
type and of its size counts; one whose size LINE does not tell yet may be the chunk's, which proves nothing. The list
may leave out all but the newest jobs, so what was seen once is kept in the manifest.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from line_ads_pipeline.line_ads import UploadJob
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.manifest import Chunk, Sync

_JOB_TYPES = {"ADD": "DIFF_ADD", "REPLACE": "DIFF_REPLACE"}


@dataclass(frozen=True)
class ChunkJobs:
    """The jobs of one chunk, as far as LINE's list tells.

    Attributes:
        proven: Its jobs, by file name or else by size.
        possible: Jobs without a name that still run, so that their size is not known.
    """

    proven: tuple[UploadJob, ...]
    possible: tuple[UploadJob, ...]

    @property
    def have_ended(self) -> bool:
        """All there is to wait for is finished or failed."""
        return bool(self.proven) and not any(job.is_running for job in (*self.proven, *self.possible))


def jobs_of(chunk: Chunk, jobs: Iterable[UploadJob], *, sync: Sync, destination: Destination) -> ChunkJobs:
    """Find the jobs of a chunk; more than one where an attempt that was thought lost arrived after all."""
    names = {
        destination.file_name(sync_id=sync.id, chunk=chunk.number, attempt=attempt)
        for attempt in range(1, chunk.attempts + 1)
    }
    elsewhere = {job_id for other in sync.chunks if other is not chunk for job_id in other.job_ids}
    elsewhere.update(sync.known_job_ids)
    named, sized, others, running = [], [], [], []
    for job in jobs:
        if (
            job.name in names and job.id not in sync.known_job_ids
        ):  # a failed attempt tells nothing of the next
            named.append(job)
        elif job.id in chunk.job_ids:
            sized.append(job)
        elif (
            job.name in {None, "", sync.audience_name}
            and job.id not in elsewhere
            and job.type in {None, _JOB_TYPES[chunk.action]}
            and not _is_from_before(job, sync)
        ):
            if job.audience_count == chunk.count or (job.audience_count is None and not job.is_running):
                sized.append(job)
            elif job.is_running:
                running.append(job)
            else:
                others.append(job)
    if not (named or sized or running) and chunk.state == "accepted" and len(others) == 1:
        sized = others  # LINE took the chunk, and processed fewer or more than were sent: nothing else is new
    return ChunkJobs(proven=tuple(named or sized), possible=() if named else tuple(running))


def newest_creation(jobs: Iterable[UploadJob]) -> datetime | None:
    """When the newest of the jobs was created, by LINE's clock."""
    return max((job.created for job in jobs if job.created is not None), default=None)


def is_replaced(sync: Sync, jobs: Iterable[UploadJob]) -> bool:
    """Whether a `REPLACE` that is not this sync's first chunk touched the audience since the sync began.

    Somebody else's, or an attempt at the first chunk that was given up for lost: either way what the sync sent is
    gone, or will be.
    """
    accounted = sync.accounted_job_ids
    return any(
        job.type == _JOB_TYPES["REPLACE"] and not job.is_failed and job.id not in accounted for job in jobs
    )


def would_wipe(sync: Sync, jobs: Iterable[UploadJob]) -> bool:
    """Whether to finish the sync would remove what others uploaded since it began: its `REPLACE` is still to come."""
    return sync.would_replace or sync.replaced or is_replaced(sync, jobs)


def foreign_jobs(
    latest: Sync,
    jobs: Iterable[UploadJob],
    *,
    destination: Destination,
    is_own_sync: Callable[[str], bool],
) -> list[UploadJob]:
    """The jobs since the latest sync to an audience that no sync of this store brought about.

    Args:
        latest: The latest sync to the audience, whatever became of it.
        jobs: As LINE lists them now.
        destination: Where it went.
        is_own_sync: Whether this store knows a sync of an id.
    """
    jobs = list(jobs)
    own = latest.accounted_job_ids
    for chunk in latest.chunks:
        if chunk.attempts:
            found = jobs_of(chunk, jobs, sync=latest, destination=destination)
            own |= {job.id for job in found.proven}

    def is_own(job: UploadJob) -> bool:
        sync_id = destination.sync_of(job.name or "")
        return job.id in own or (sync_id is not None and is_own_sync(sync_id))

    return [job for job in jobs if not (job.is_failed or _is_from_before(job, latest) or is_own(job))]


def unexplained_jobs(sync: Sync, jobs: Iterable[UploadJob]) -> list[UploadJob] | None:
    """The jobs since a finished sync that it does not know of, whoever's; None if the list may not show them all.

    LINE's list may leave out all but the newest: as long as it shows one that the sync knows of, none after that is missing.
    """
    jobs, known = list(jobs), sync.accounted_job_ids
    if not any(job.id in known for job in jobs):
        return None
    return [job for job in jobs if not (job.is_failed or job.id in known or _is_from_before(job, sync))]


def may_remove(job: UploadJob) -> bool:
    """Whether a job may have removed members."""
    return job.type not in {"DIFF_ADD", "DIFF_AUTO_ADD"}


def _is_from_before(job: UploadJob, sync: Sync) -> bool:
    """Created before the newest job that was there when the sync began, both by LINE's clock."""
    if job.created is None or sync.known_until is None:
        return False
    return job.created < datetime.fromisoformat(sync.known_until)
