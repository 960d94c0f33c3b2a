"""What must be true of what LINE holds after syncs, by its own records alone."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from line_ads_pipeline.simulator import Simulator
from line_ads_pipeline_tests.kills.people import members_of

_FILE_NAME = re.compile(r"lap-[0-9a-f]{12}-(?P<sync>[0-9a-f]{16})-(?P<chunk>[0-9]{5})-[0-9]+\.txt")


def chunk_of(file_name: str) -> tuple[str, int] | None:
    """The sync and the chunk that an uploaded file is; None for somebody else's file."""
    match = _FILE_NAME.fullmatch(file_name)
    return match and (match["sync"], int(match["chunk"]))


def syncs_in_order(simulator: Simulator, audience_id: str) -> list[str]:
    """The syncs whose uploads LINE took into an audience, in the order of arrival; one that is interrupted twice."""
    taken = [
        request for request in simulator.requests if request.job_id and request.audience_id == audience_id
    ]
    chunks = [chunk for request in taken if (chunk := chunk_of(request.file_name or ""))]
    return [sync for sync, _ in groupby(sync for sync, _ in chunks)]


def violations(
    simulator: Simulator, *, audience_name: str, people: Iterable[int], may_lack: Iterable[int] = ()
) -> Iterator[str]:
    """Everything that is not as it must be after a sync that is done.

    Args:
        simulator: What LINE holds.
        audience_name: Of the audience.
        people: Whom it must hold.
        may_lack: Those of them whom it may hold or not.
    """
    audiences = [audience for audience in simulator.audiences() if audience.name == audience_name]
    if len(audiences) != 1:
        yield f"{len(audiences)} audiences are named {audience_name}"
        return
    (audience,) = audiences
    held, wanted = simulator.members(audience.id), members_of(people)
    missing, surplus = wanted - held - members_of(may_lack), held - wanted
    if missing or surplus:
        yield f"{len(missing)} members are missing, {len(surplus)} are too many"
    yield from (f"broken rule: {broken.rule}, {broken.detail}" for broken in simulator.broken_rules)
    jobs = [
        (*chunk, job.type)
        for job in simulator.jobs(audience.id)
        if job.status != "FAILED" and (chunk := chunk_of(job.name))
    ]
    for (sync, chunk), count in Counter((sync, chunk) for sync, chunk, _ in jobs).items():
        if count > 1:
            yield f"chunk {chunk} of sync {sync} was processed {count} times"
    began = set()
    for sync, _, kind in jobs:
        if kind == "DIFF_REPLACE" and sync in began:
            yield f"a REPLACE of sync {sync} landed after another upload of it"
        began.add(sync)
    order = syncs_in_order(simulator, audience.id)
    yield from (f"sync {sync} was interrupted by another" for sync in set(order) if order.count(sync) > 1)
