"""An upload job that fails, does not end or is not listed costs nobody a place, and no run more than its patience."""

import pytest

from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import UploadJobFailed, UploadJobNotListed, UploadJobUnfinished


class Pauses(list):
    """A sleep that only notes for how long."""

    def __call__(self, seconds):
        self.append(seconds)


def message_of(findings, check) -> str:
    (message,) = (finding.message for finding in findings if finding.check == check)
    return message


@pytest.mark.parametrize("chunk", [1, 2, 3])
@pytest.mark.parametrize("existing", [False, True], ids=["new audience", "existing audience"])
def test_a_failed_job_is_sent_again_within_the_run(simulator, sync, sent, members_of, chunk, existing):
    if existing:
        sync(range(20, 24), partition="2026-11-20")
    before = len(simulator.requests)
    simulator.inject(Fault(call="upload", skip=chunk - 1, times=2, job_failed_type="INTERNAL_ERROR"))

    result = sync(range(8), job_attempts=3)

    expected = [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert sent(after=before) == sorted(expected + [expected[chunk - 1]] * 2, key=expected.index)
    assert result.confirmed
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert not simulator.broken_rules


def test_a_job_that_fails_too_often_ends_the_run_with_its_chunk_and_reason(simulator, sync, sent, members_of):
    simulator.inject(Fault(call="upload", skip=1, times=3, job_failed_type="INTERNAL_ERROR"))

    with pytest.raises(UploadJobFailed, match=r"chunk 2 of 3 of audience \d+ \(INTERNAL_ERROR\)") as failed:
        sync(range(8), job_attempts=3)
    assert failed.value.failed_type == "INTERNAL_ERROR"
    assert sent() == [("REPLACE", 3), *[("ADD", 3)] * 3]

    result = sync(range(8), job_attempts=3)

    assert result.resumed
    assert sent()[4:] == [("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_between_two_attempts_at_a_job_the_pause_grows(simulator, sync):
    simulator.inject(Fault(call="upload", times=4, job_failed_type="INTERNAL_ERROR"))
    pauses = Pauses()

    sync(range(3), job_attempts=5, first_poll=1.0, slowest_poll=300.0, sleep=pauses)

    assert pauses == [10.0, 100.0, 300.0, 300.0]


def test_what_the_same_file_would_meet_again_is_not_tried_again(simulator, sync, sent):
    simulator.inject(Fault(call="upload", job_failed_type="AUDIENCE_GROUP_AUDIENCE_INSUFFICIENT"))

    with pytest.raises(UploadJobFailed, match="AUDIENCE_GROUP_AUDIENCE_INSUFFICIENT"):
        sync(range(8), job_attempts=3)
    assert sent() == [("REPLACE", 3)]


@pytest.mark.parametrize("names", ["named", "nameless"])
@pytest.mark.parametrize("existing", [False, True], ids=["new audience", "existing audience"])
def test_the_failed_job_of_one_attempt_is_not_taken_for_the_next_ones(
    simulator, sync, sent, members_of, existing, names
):
    """The list shows the new job only after a while, and the old one all the time."""
    if existing:
        sync(range(20, 24), partition="2026-11-20")
    if names == "nameless":
        simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
    before = len(simulator.requests)
    simulator.inject(
        Fault(call="upload", skip=1, job_failed_type="INTERNAL_ERROR"),
        Fault(call="upload", skip=1, appears_after_polls=2, job_polls=2),
    )

    result = sync(range(8), job_attempts=2)

    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert not simulator.broken_rules


def test_a_lost_answer_after_a_failed_job_is_settled_without_that_job(simulator, sync, sent, members_of):
    simulator.inject(
        Fault(call="upload", skip=1, job_failed_type="INTERNAL_ERROR"),
        Fault(call="upload", skip=1, drop="after", appears_after_polls=3),
    )

    result = sync(range(8), job_attempts=2)

    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_add_that_always_fails_may_be_given_up(simulator, sync, members_of):
    first = sync(range(2), mode="add", partition="2026-11-19")
    simulator.inject(Fault(call="upload", skip=1, times=2, job_failed_type="INTERNAL_ERROR"))
    with pytest.raises(UploadJobFailed, match=r"override: \[unfinished_sync\]"):
        sync(range(10, 18), mode="add", partition="2026-11-20")
    with pytest.raises(UploadJobFailed):
        sync(range(30, 33), mode="add")

    result = sync(range(30, 33), mode="add", override=frozenset({"unfinished_sync"}))

    assert simulator.members(first.audience_id) >= members_of([0, 1, *range(30, 33)])
    message = message_of(result.findings, "unfinished_sync")
    assert "run date 2026-11-20 is given up: of its 8 identifiers, 5 may not be in the audience" in message
    assert "overridden for this run" in message


def test_a_given_up_add_is_gone_for_good(simulator, sync, sent):
    sync(range(2), mode="add", partition="2026-11-19")
    simulator.inject(Fault(call="upload", job_failed_type="INTERNAL_ERROR"))
    with pytest.raises(UploadJobFailed):
        sync(range(8), mode="add", partition="2026-11-20")
    sync([], rows=0, mode="add", override=frozenset({"unfinished_sync"}))
    before = len(simulator.requests)

    sync(range(30, 32), mode="add", partition="2026-11-22")

    assert sent(after=before) == [("ADD", 2)]


def test_a_sync_that_is_given_up_for_one_that_a_guardrail_stops_keeps_its_place(
    simulator, sync, sent, members_of
):
    simulator.inject(Fault(call="upload", skip=1, job_failed_type="INTERNAL_ERROR"))
    with pytest.raises(UploadJobFailed):
        sync(range(8))
    with pytest.raises(Exception, match="min_identifiers"):
        sync(range(3), min_identifiers=5, override=frozenset({"unfinished_sync"}))

    result = sync(range(8))

    assert result.resumed
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 3), ("ADD", 2)]


def test_what_a_given_up_sync_still_has_on_its_way_is_waited_for(simulator, sync, members_of):
    """Landing later, it would be among the members of the mirror that takes its place."""
    sync(range(20, 24), partition="2026-11-19")
    simulator.inject(Fault(call="upload", skip=1, drop="after", appears_after_polls=3))

    class KilledError(BaseException):
        pass

    def kill(_seconds):
        raise KilledError

    with pytest.raises(KilledError):
        sync(range(8), partition="2026-11-20", sleep=kill)

    result = sync(range(30, 33), override=frozenset({"unfinished_sync"}))

    assert simulator.members(result.audience_id) == members_of(range(30, 33))


def test_an_accepted_chunk_that_is_not_listed_is_waited_for_ten_minutes(simulator, sync):
    sync(range(20, 24), partition="2026-11-20")
    simulator.inject(Fault(call="upload", skip=1, appears_after_polls=10_000))
    pauses = Pauses()

    with pytest.raises(UploadJobNotListed, match=r"chunk 2 of 3.*job list does not show it"):
        sync(range(8), sleep=pauses, slowest_poll=60.0)
    assert 600 <= sum(pauses) < 660


def test_an_accepted_chunk_that_is_not_listed_keeps_its_place(simulator, sync, sent, members_of):
    simulator.inject(Fault(call="upload", skip=1, appears_after_polls=20))
    with pytest.raises(UploadJobNotListed):
        sync(range(8))

    result = sync(range(8))

    assert result.resumed
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_a_sync_with_a_chunk_that_is_never_listed_may_be_given_up(simulator, sync, members_of, mode):
    simulator.inject(Fault(call="upload", skip=1, appears_after_polls=10_000))
    for people in (range(8), range(1, 9)):
        with pytest.raises(UploadJobNotListed, match=r"override: \[unfinished_sync\]"):
            sync(people, mode=mode)

    result = sync(range(8), mode=mode, override=frozenset({"unfinished_sync"}))

    assert not result.resumed
    assert "of its 8 identifiers, 5 may not be" in message_of(result.findings, "unfinished_sync")
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_without_anything_unfinished_there_is_nothing_to_give_up(sync):
    result = sync(range(3), override=frozenset({"unfinished_sync"}))

    assert message_of(result.findings, "unfinished_sync") == "No sync was unfinished."


def test_a_job_that_never_ends_meets_the_deadline_and_keeps_its_place(simulator, sync, sent, members_of):
    sync(range(20, 24), partition="2026-11-20")
    before = len(simulator.requests)
    simulator.inject(Fault(call="upload", skip=1, job_polls=40, job_status="PONDERING"))
    pauses = Pauses()

    with pytest.raises(UploadJobUnfinished, match=r"chunk 2 of 3.*within 2 hours"):
        sync(range(8), job_deadline=7_200.0, sleep=pauses)
    assert sum(pauses) == pytest.approx(7_200.0)

    result = sync(range(8), job_deadline=7_200.0)

    assert result.resumed
    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))
