"""What LINE's job list leaves out is remembered from when it was seen, and what it counts is compared with what was sent."""

from datetime import UTC, datetime, timedelta

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault

NAMELESS = Fault(call="upload-job", times=None, hide_file_names=True)
NEWEST_ONLY = {"call": "upload-job", "times": None, "job_list_limit": 1}


@pytest.fixture(params=["named", "nameless"])
def names(request):
    """Whether the list has file names; tests that need more faults of the list set them in one."""
    return {"hide_file_names": request.param == "nameless"}


def confirmation(result):
    (finding,) = (finding for finding in result.findings if finding.check == "confirmation")
    return finding


@pytest.mark.parametrize("existing", [False, True], ids=["new audience", "existing audience"])
def test_a_list_that_shows_the_newest_job_alone_is_enough(simulator, sync, sent, members_of, names, existing):
    simulator.inject(Fault(**NEWEST_ONLY, **names))
    if existing:
        sync(range(20, 24), partition="2026-11-20")
    before = len(simulator.requests)

    result = sync(range(8))

    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_with_a_short_list_a_sync_goes_on_where_it_stopped(simulator, sync, sent, members_of, names):
    simulator.inject(Fault(**NEWEST_ONLY, **names))
    sync(range(20, 24), partition="2026-11-20")
    before = len(simulator.requests)
    simulator.inject(Fault(call="upload", skip=2, status=400, reasons=("INVALID_VALUE",)))
    with pytest.raises(RejectedRequest):
        sync(range(8))

    result = sync(range(8))

    assert result.resumed
    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_the_jobs_that_were_seen_are_remembered(simulator, sync, synchroniser, names):
    simulator.inject(Fault(**NEWEST_ONLY, **names))
    result = sync(range(8))

    chunks = synchroniser().records.latest_sync().chunks

    jobs = [job.id for job in simulator.jobs(result.audience_id)]
    assert [chunk.job_ids for chunk in chunks] == [[job] for job in jobs]


def test_a_foreign_replace_that_was_seen_and_then_left_out_is_not_forgotten(
    simulator, sync, colleague, members_of, names
):
    """It replaced the first chunks; before the last one was sent, so many others uploaded that the list shows it no more."""
    first = sync(range(20, 24), partition="2026-11-20")
    simulator.inject(
        Fault(call="upload-job", times=None, job_list_limit=2, **names),
        Fault(call="upload", skip=1, job_polls=1),
        Fault(call="upload", skip=3, status=400, reasons=("INVALID_VALUE",)),
    )
    pending = [lambda: colleague(range(50, 55), action="REPLACE", audience_id=first.audience_id)]
    with pytest.raises(RejectedRequest):
        sync(range(8), sleep=lambda _seconds: pending and pending.pop()())
    for people in (range(60, 66), range(60, 67)):
        colleague(people, audience_id=first.audience_id)

    sync(range(8))

    assert simulator.members(first.audience_id) == members_of(range(8))


def test_jobs_without_names_are_told_apart_by_their_size(simulator, sync, sent, colleague, members_of):
    first = sync(range(20, 24), partition="2026-11-20")
    simulator.inject(NAMELESS, Fault(call="upload", skip=1, drop="before"))
    before = len(simulator.requests)
    pending = [lambda: colleague(range(50, 57), audience_id=first.audience_id)]

    sync(range(8), sleep=lambda _seconds: pending and pending.pop()())

    ours = [upload for upload in sent(after=before) if upload != ("ADD", 7)]
    assert ours == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(first.audience_id) == members_of([*range(8), *range(50, 57)])


def test_jobs_without_names_are_told_apart_by_their_type(simulator, sync, colleague, members_of):
    """A replacement of the very size of the missing chunk is none of it."""
    first = sync(range(20, 24), partition="2026-11-20")
    simulator.inject(NAMELESS, Fault(call="upload", skip=1, drop="before"))
    pending = [lambda: colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id)]

    sync(range(8), sleep=lambda _seconds: pending and pending.pop()())

    assert simulator.members(first.audience_id) == members_of(range(8))


def test_jobs_without_names_are_told_apart_by_their_time(simulator, sync, sent, members_of):
    """An old job of the very size of the missing chunk is none of it, although the list left it out at first."""
    theirs = simulator.add_audience(
        "A10000000001",
        name="VIP customers",
        members=members_of(range(3)),
        created=datetime.now(UTC) - timedelta(days=9),
        job_file_names=["a.txt", "b.txt"],
    )
    sync(range(20, 22), adopt=True, partition="2026-11-20")
    before = len(simulator.requests)
    simulator.inject(
        Fault(call="upload-job", hide_file_names=True, job_list_limit=1),
        Fault(call="upload-job", times=None, hide_file_names=True, job_list_limit=3),
        Fault(call="upload", skip=1, drop="before"),
    )

    sync(range(8))

    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(theirs) == members_of(range(8))


@pytest.mark.parametrize("processed", [1, 5], ids=["fewer", "more"])
def test_a_chunk_of_which_line_processed_another_number_is_finished_with_a_warning(
    simulator, sync, sent, names, processed
):
    simulator.inject(
        Fault(call="upload-job", times=None, **names) if names["hide_file_names"] else Fault(**NEWEST_ONLY),
        Fault(call="upload", skip=1, job_processed=processed),
    )

    result = sync(range(8))

    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert result.processed == 5 + processed
    assert confirmation(result).verdict == "warning"
    assert confirmation(result).message == f"8 identifiers sent, {5 + processed} processed by LINE."
    assert confirmation(result).numbers == {"sent": 8, "processed": 5 + processed}


def test_as_many_processed_as_sent_is_no_warning(sync):
    finding = confirmation(sync(range(8)))

    assert (finding.verdict, finding.numbers) == ("passed", {"sent": 8, "processed": 8})
