"""A run may end when LINE has the last chunk; whoever looks later confirms it, and the next run misses nothing."""

import pytest

from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import AudienceContended, UploadJobFailed


def checks(result):
    return {finding.check for finding in result.findings}


@pytest.fixture
def unawaited(simulator, sync):
    """Brings people to LINE, and ends when LINE has the last chunk, which it goes on processing."""

    def run(people=range(8), *, chunks=3, polls=3, **changes):
        last = {"job_failed_type": changes.pop("job_failed_type", None)}
        simulator.inject(Fault(call="upload", skip=chunks - 1, job_polls=polls, **last))
        return sync(people, wait_for_processing=False, **changes)

    return run


@pytest.fixture
def confirm(synchroniser):
    """Looks once, as a sensor does."""

    def look():
        with synchroniser(wait_for_processing=False).alone(wait=False) as mine:
            return mine.confirm()

    return look


def test_the_run_ends_when_the_last_chunk_is_accepted(simulator, unawaited, sent):
    result = unawaited()

    assert not result.confirmed
    assert result.processed is None
    assert "confirmation" not in checks(result)
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert [job.status for job in simulator.jobs(result.audience_id)].count("FINISHED") == 2


def test_the_chunks_before_the_last_are_waited_for(simulator, sync):
    simulator.inject(Fault(call="upload", times=None, job_polls=2))

    sync(range(8), wait_for_processing=False)

    assert not simulator.broken_rules


def test_while_line_is_at_work_there_is_nothing_to_tell(unawaited, confirm):
    unawaited(polls=2)

    assert confirm() is None
    assert confirm() is None
    assert confirm().confirmed


def test_when_line_has_finished_the_result_tells_what_it_processed(unawaited, confirm):
    sent = unawaited(polls=1, partition="2026-11-20")
    confirm()

    result = confirm()

    assert (result.sync_id, result.confirmed, result.processed) == (sent.sync_id, True, 8)
    assert "confirmation" in checks(result)


def test_what_is_confirmed_once_is_not_confirmed_again(unawaited, confirm):
    unawaited(polls=1)
    confirm()

    assert confirm() is not None
    assert confirm() is None


def test_where_nothing_was_sent_there_is_nothing_to_confirm(simulator, confirm):
    assert confirm() is None
    assert not simulator.requests


def test_a_sync_that_was_not_sent_completely_is_left_to_the_next_run(simulator, sync, confirm):
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(Exception, match="400"):
        sync(range(8), wait_for_processing=False)
    before = len(simulator.requests)

    assert confirm() is None
    assert len(simulator.requests) == before


def test_what_line_has_processed_unseen_is_confirmed_by_the_next_run(sync, unawaited):
    """The sensor may be off, or slower: what the audience holds is what the next mirror is measured against."""
    sync(range(8), partition="2026-11-19")
    unawaited(range(4, 16), chunks=4, partition="2026-11-20")

    result = sync(range(4, 10), max_shrink=0.5)

    (finding,) = (finding for finding in result.findings if finding.check == "max_shrink")
    assert (finding.numbers["was"], finding.numbers["left"]) == (12, 6)


def test_a_last_chunk_that_line_gave_up_on_is_told_and_sent_again_by_the_next_run(
    simulator, sync, sent, unawaited, confirm, members_of
):
    unawaited(polls=1, job_failed_type="INTERNAL_ERROR")
    confirm()
    with pytest.raises(UploadJobFailed, match=r"chunk 3 of 3.*INTERNAL_ERROR"):
        confirm()

    result = sync(range(8))

    assert result.resumed
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_members_that_somebody_replaced_meanwhile_are_told_and_sent_again_by_the_next_run(
    simulator, sync, unawaited, confirm, colleague, members_of
):
    first = unawaited(polls=1)
    colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id)
    assert confirm() is None
    with pytest.raises(AudienceContended, match="replaced from elsewhere while they were sent, once"):
        confirm()

    sync(range(8))

    assert simulator.members(first.audience_id) == members_of(range(8))


@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_the_next_run_of_the_same_snapshot_confirms_it_without_sending(
    simulator, sync, sent, unawaited, members_of, mode
):
    first = unawaited(mode=mode)
    before = len(simulator.requests)

    result = sync(range(8), mode=mode)

    assert not sent(after=before)
    assert (result.sync_id, result.resumed, result.confirmed) == (first.sync_id, True, True)
    assert simulator.members(result.audience_id) == members_of(range(8))


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("failed", [None, "INTERNAL_ERROR"], ids=["processed", "failed"])
def test_the_next_run_of_a_newer_mirror_takes_its_place(
    simulator, sync, unawaited, members_of, failed, waits
):
    first = unawaited(partition="2026-11-20", job_failed_type=failed)

    sync(range(30, 38), wait_for_processing=waits)

    assert simulator.members(first.audience_id) == members_of(range(30, 38))
    assert not simulator.broken_rules


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_the_next_run_of_a_newer_add_leaves_nobody_out(simulator, sync, unawaited, members_of, failures):
    """Not even when LINE gives up on what was not waited for, and once more on what is sent again."""
    if failures:
        unawaited(mode="add", partition="2026-11-20", job_failed_type="INTERNAL_ERROR")
    else:
        unawaited(mode="add", partition="2026-11-20")
    if failures > 1:
        simulator.inject(Fault(call="upload", job_failed_type="INTERNAL_ERROR"))

    result = sync(range(30, 38), mode="add", wait_for_processing=False, job_attempts=2)

    assert simulator.members(result.audience_id) == members_of([*range(8), *range(30, 38)])
    assert not simulator.broken_rules
