"""What LINE's job list proves: which jobs are a chunk's, and whether somebody replaced what a sync sent.

A job with a file name is a chunk's by that name alone. Where LINE gives no names, a job that is new, of the chunk's
type and of its size counts; one whose size LINE does not tell yet may be the chunk's, which proves nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
    named, sized, running = [], [], []
    for job in jobs:
        if job.name in names:
            named.append(job)
        elif (
            job.name in {None, "", sync.audience_name}
            and job.id not in elsewhere
            and job.type in {None, _JOB_TYPES[chunk.action]}
        ):
            if job.audience_count == chunk.count or (job.audience_count is None and not job.is_running):
                sized.append(job)
            elif job.is_running:
                running.append(job)
    return ChunkJobs(proven=tuple(named or sized), possible=() if named else tuple(running))


def is_replaced(sync: Sync, jobs: Iterable[UploadJob]) -> bool:
    """Whether a `REPLACE` that is not this sync's first chunk touched the audience since the sync began.

    Somebody else's, or an attempt at the first chunk that was given up for lost: either way what the sync sent is
    gone, or will be.
    """
    accounted = {job_id for chunk in sync.chunks for job_id in chunk.job_ids}.union(sync.known_job_ids)
    return any(
        job.type == _JOB_TYPES["REPLACE"] and not job.is_failed and job.id not in accounted for job in jobs
    )
