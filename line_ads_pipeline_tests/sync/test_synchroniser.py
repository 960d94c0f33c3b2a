"""After a sync the audience holds exactly what it should, whatever happened on the way."""

from dataclasses import asdict

import pytest

from line_ads_pipeline.line_ads import RejectedFile, ServerError
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import (
    NoValidIdentifiers,
    OlderThanConfirmed,
    UploadJobFailed,
    UploadJobUnfinished,
    UploadUnsettled,
)
from line_ads_pipeline.sync.manifest import plan_chunks


def uploads(simulator):
    """Action and rows of the uploads that took effect."""
    return [(request.action, request.row_count) for request in simulator.requests if request.job_id]


def test_a_mirror_replaces_with_its_first_chunk_and_adds_the_others(simulator, sync, members_of):
    result = sync(range(8))

    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert not simulator.broken_rules


def test_a_mirror_removes_who_left(simulator, sync, members_of):
    sync(range(8))
    result = sync(range(5, 9))

    assert simulator.members(result.audience_id) == members_of(range(5, 9))


def test_an_add_removes_nobody(simulator, sync, members_of):
    sync(range(4), mode="add")
    result = sync(range(6, 8), mode="add")

    assert {action for action, _ in uploads(simulator)} == {"ADD"}
    assert simulator.members(result.audience_id) == members_of([*range(4), 6, 7])


def test_the_result_tells_what_was_sent_and_what_line_answered(sync):
    result = sync(range(8))

    assert asdict(result) | {"sync_id": None, "audience": None, "audience_id": None, "findings": None} == {
        "sync_id": None,
        "audience_id": None,
        "audience": None,
        "created": True,
        "resumed": False,
        "confirmed": True,
        "deleted_audience_id": None,
        "findings": None,
        "chunks": 3,
        "records": 8,
        "uploaded_bytes": 8 * 65,
        "processed": 8,
        "kind": "full replace",
        "reason": None,
        "members": 8,
    }
    assert result.audience.status == "READY"


def test_each_chunk_is_processed_before_the_next_is_sent(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", times=None, job_polls=2, appears_after_polls=1))

    result = sync(range(8))

    assert simulator.members(result.audience_id) == members_of(range(8))
    assert not simulator.broken_rules


def test_a_sync_waits_for_what_others_have_under_way(simulator, sync):
    first = sync(range(2))
    simulator.inject(Fault(call="upload", job_polls=3))
    with pytest.raises(UploadJobUnfinished):
        sync(range(3), job_deadline=0.0)

    sync(range(4), audience_id=first.audience_id)

    assert not simulator.broken_rules


def test_a_sync_with_instant_jobs_costs_two_requests_a_chunk_and_three(simulator, sync):
    sync(range(8))
    before = len(simulator.requests)
    sync(range(1, 9))

    assert len(simulator.requests) - before <= 3 * 2 + 3


def test_a_confirmed_snapshot_is_sent_again_when_asked_for(simulator, sync):
    sync(range(2))
    sync(range(2))

    assert uploads(simulator) == [("REPLACE", 2)] * 2


@pytest.mark.parametrize("rows", [0, 5])
def test_a_mirror_of_nobody_is_refused_before_any_request(simulator, sync, rows):
    with pytest.raises(NoValidIdentifiers, match="no valid identifiers"):
        sync([], rows=rows)
    assert not simulator.requests


def test_an_add_of_an_empty_segment_is_done_without_a_request(simulator, sync):
    assert sync([], rows=0, mode="add").audience_id is None
    assert not simulator.requests


def test_an_add_of_rows_without_a_valid_identifier_is_refused(simulator, sync):
    with pytest.raises(NoValidIdentifiers, match="has 5 rows, none with one"):
        sync([], rows=5, mode="add")
    assert not simulator.requests


def test_an_older_run_date_than_the_confirmed_one_is_refused(simulator, sync):
    sync(range(3), partition="2026-11-21")
    before = len(simulator.requests)

    with pytest.raises(OlderThanConfirmed, match="2026-11-21"):
        sync(range(4), partition="2026-11-20")
    assert len(simulator.requests) == before


@pytest.mark.parametrize("chunk", [0, 1, 2], ids=["first", "middle", "last"])
@pytest.mark.parametrize(
    "fault",
    [
        {"drop": "before"},
        {"drop": "after"},
        {"status": 500},
        {"status": 500, "takes_effect": True},
        {"body": "<html>garbage"},
        {"drop": "after", "appears_after_polls": 3},
    ],
    ids=[
        "dropped before",
        "dropped after",
        "500 without effect",
        "500 with effect",
        "garbage",
        "appears late",
    ],
)
@pytest.mark.parametrize("existing", [False, True], ids=["new audience", "existing audience"])
def test_an_upload_whose_answer_was_lost_is_settled_by_lines_lists(
    simulator, sync, members_of, fault, chunk, existing
):
    if existing:
        sync(range(20, 22), partition="2026-11-20")
    before = len(uploads(simulator))
    simulator.inject(Fault(call="upload", skip=chunk, **fault))

    result = sync(range(8))

    assert uploads(simulator)[before:] == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert len(simulator.audiences()) == 1
    assert not simulator.broken_rules


def test_jobs_are_recognised_where_line_gives_no_file_names(simulator, sync, members_of):
    simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
    simulator.inject(Fault(call="upload", skip=1, drop="after"))

    result = sync(range(8))

    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_unknown_job_status_is_waited_for(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", times=None, job_polls=2, job_status="PONDERING"))

    assert simulator.members(sync(range(5)).audience_id) == members_of(range(5))


def test_a_rejected_upload_keeps_its_place(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", skip=1, status=400, reasons=("INVALID_FILE_CONTENT",)))

    with pytest.raises(RejectedFile):
        sync(range(8))
    result = sync(range(8))

    assert result.resumed
    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_failed_job_fails_the_run_and_the_next_run_sends_that_chunk_again(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", skip=1, job_failed_type="INTERNAL_ERROR"))

    with pytest.raises(UploadJobFailed, match=r"chunk 2 of 3.*INTERNAL_ERROR"):
        sync(range(8))
    result = sync(range(8))

    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_job_beyond_its_deadline_fails_the_run_without_losing_its_place(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", skip=1, job_polls=4))

    with pytest.raises(UploadJobUnfinished, match="chunk 2 of 3"):
        sync(range(8), job_deadline=0.0)
    result = sync(range(8))

    assert result.resumed
    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_upload_that_is_never_answered_fails_the_run_and_the_next_run_settles_it(
    simulator, sync, members_of
):
    simulator.inject(Fault(call="upload", skip=1, times=5, drop="before"))

    with pytest.raises(UploadUnsettled, match="chunk 2 of 3 was sent 5 times"):
        sync(range(8))
    result = sync(range(8))

    assert result.resumed
    assert uploads(simulator) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_unfinished_mirror_is_superseded_by_a_newer_snapshot(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(Exception, match="400"):
        sync(range(8), partition="2026-11-20")

    result = sync(range(4, 10))

    assert not result.resumed
    assert simulator.members(result.audience_id) == members_of(range(4, 10))


def test_an_unfinished_add_is_finished_before_a_newer_snapshot_is_sent(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(Exception, match="400"):
        sync(range(8), partition="2026-11-20", mode="add")

    result = sync(range(20, 22), mode="add")

    assert simulator.members(result.audience_id) == members_of([*range(8), 20, 21])


def test_a_server_error_of_a_list_is_raised_when_it_lasts(simulator, sync):
    simulator.inject(Fault(call="list", times=None, status=503))

    with pytest.raises(ServerError):
        sync(range(2))
    assert not uploads(simulator)


@pytest.mark.parametrize(
    ("count", "max_records", "sizes"),
    [
        (1, 10, [1]),
        (10, 10, [10]),
        (11, 10, [10, 1]),
        (967_916, 1_000_000, [967_916]),
        (1_000_000, 1_000_000, [967_916, 32_084]),
    ],
)
def test_chunks_hold_at_most_the_rows_asked_for_and_lines_largest_file(count, max_records, sizes):
    chunks = plan_chunks(count, line_bytes=65, mode="mirror", max_records=max_records)

    assert [chunk.count for chunk in chunks] == sizes
    assert [chunk.offset for chunk in chunks] == [sum(sizes[:number]) for number in range(len(sizes))]
    assert max(chunk.count for chunk in chunks) * 65 <= 62_914_560
