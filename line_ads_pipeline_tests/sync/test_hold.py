"""Going back to an older run date, and staying there until the audience is released."""

import os
from datetime import UTC, datetime

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import (
    AudienceRecords,
    GuardrailsStopped,
    Hold,
    OlderThanConfirmed,
    OnHold,
    PassedOver,
    RollbackOfAdd,
)

OLDER, NEWER = range(8), range(4, 12)


def hold_finding(result):
    (finding,) = (finding for finding in result.findings if finding.check == "hold")
    return finding


@pytest.fixture
def rolled_back(sync):
    """The result of a rollback from the 20th to the 19th."""
    sync(OLDER, partition="2026-11-19")
    sync(NEWER, partition="2026-11-20")
    return sync(OLDER, partition="2026-11-19", rollback=True)


def test_an_older_run_date_is_passed_over_without_a_request_and_without_a_failure(simulator, sync):
    sync(NEWER, partition="2026-11-20")
    before = len(simulator.requests)

    with pytest.raises(PassedOver, match=r"2026-11-19 is older than 2026-11-20.*rollback: true") as passed:
        sync(OLDER, partition="2026-11-19")

    assert isinstance(passed.value, OlderThanConfirmed)
    assert len(simulator.requests) == before


def test_a_rollback_sends_an_older_run_date(simulator, rolled_back, members_of):
    assert simulator.members(rolled_back.audience_id) == members_of(OLDER)


def test_a_rollback_says_that_the_audience_is_on_hold_now(rolled_back):
    finding = hold_finding(rolled_back)

    assert finding.verdict == "warning"
    assert finding.message == "Rolled back to the run date 2026-11-19, and on hold until release_hold."


@pytest.mark.parametrize("partition", ["2026-11-19", "2026-11-20", "2026-11-21"])
def test_every_run_after_a_rollback_is_passed_over_without_a_request(
    simulator, sync, rolled_back, members_of, partition
):
    before = len(simulator.requests)

    with pytest.raises(PassedOver, match=r"rolled back to the run date 2026-11-19\. .*release_hold") as held:
        sync(NEWER, partition=partition)

    assert isinstance(held.value, OnHold)
    assert len(simulator.requests) == before
    assert simulator.members(rolled_back.audience_id) == members_of(OLDER)


@pytest.mark.usefixtures("rolled_back")
def test_the_hold_outlives_the_process_and_the_runs_that_it_stopped(sync, tmp_path):
    for day in (21, 22):
        with pytest.raises(OnHold, match="2026-11-19"):
            sync(
                NEWER,
                partition=f"2026-11-{day}",
                records=AudienceRecords(Store(tmp_path / "store"), "vip"),
            )


def test_a_release_sends_the_run_date_and_ends_the_hold(simulator, sync, rolled_back, members_of):
    released = sync(NEWER, partition="2026-11-21", release_hold=True)
    members = simulator.members(rolled_back.audience_id)
    afterwards = sync(OLDER, partition="2026-11-22")

    assert members == members_of(NEWER)
    assert hold_finding(released).verdict == "warning"
    assert "2026-11-19 is released" in hold_finding(released).message
    assert hold_finding(afterwards).verdict == "passed"


@pytest.mark.usefixtures("rolled_back")
def test_a_release_by_an_older_run_date_than_the_one_on_hold_releases_nothing(sync):
    with pytest.raises(OlderThanConfirmed):
        sync(NEWER, partition="2026-11-18", release_hold=True)
    with pytest.raises(OnHold):
        sync(NEWER, partition="2026-11-21")


@pytest.mark.usefixtures("rolled_back")
def test_a_release_that_a_guardrail_stops_releases_nothing(sync):
    with pytest.raises(GuardrailsStopped):
        sync(NEWER, partition="2026-11-21", release_hold=True, min_identifiers=100)
    with pytest.raises(OnHold):
        sync(NEWER, partition="2026-11-21")


def test_a_release_where_nothing_is_on_hold_changes_nothing(sync):
    assert hold_finding(sync(OLDER, release_hold=True)).verdict == "passed"


def test_a_rollback_goes_further_back_although_the_audience_is_on_hold(simulator, sync, members_of):
    for day, people in ((18, range(3)), (19, OLDER), (20, NEWER)):
        sync(people, partition=f"2026-11-{day}")
    sync(OLDER, partition="2026-11-19", rollback=True)

    result = sync(range(3), partition="2026-11-18", rollback=True)

    assert simulator.members(result.audience_id) == members_of(range(3))
    with pytest.raises(OnHold, match="2026-11-18"):
        sync(NEWER, partition="2026-11-21")


def test_a_rollback_of_an_add_is_refused_before_any_request(simulator, sync):
    with pytest.raises(RollbackOfAdd, match="an add removes nobody"):
        sync(OLDER, mode="add", rollback=True)
    assert not simulator.requests


def test_a_rollback_that_a_guardrail_stops_leaves_no_hold(simulator, sync, members_of):
    sync(range(2), partition="2026-11-19")
    sync(NEWER, partition="2026-11-20")

    with pytest.raises(GuardrailsStopped, match="max_shrink"):
        sync(range(2), partition="2026-11-19", rollback=True, max_shrink=0.5)
    result = sync(OLDER)

    assert hold_finding(result).verdict == "passed"
    assert simulator.members(result.audience_id) == members_of(OLDER)


def test_a_rollback_that_a_guardrail_stops_does_not_finish_what_it_was_to_undo(simulator, sync, members_of):
    first = sync(range(2), partition="2026-11-19", max_records=2)
    sync(OLDER, partition="2026-11-20")
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(RejectedRequest):
        sync(NEWER, partition="2026-11-21")
    half = simulator.members(first.audience_id)

    with pytest.raises(GuardrailsStopped, match="max_shrink"):
        sync(range(2), partition="2026-11-19", rollback=True, max_shrink=0.5)

    assert simulator.members(first.audience_id) == half != members_of(NEWER)


def test_a_rollback_takes_the_place_of_a_newer_mirror_that_is_half_sent(simulator, sync, members_of):
    first = sync(OLDER, partition="2026-11-19")
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(RejectedRequest):
        sync(NEWER, partition="2026-11-20")

    sync(OLDER, partition="2026-11-19", rollback=True)

    assert simulator.members(first.audience_id) == members_of(OLDER)
    with pytest.raises(OnHold):
        sync(NEWER, partition="2026-11-20")


def test_a_rollback_that_failed_in_the_middle_is_completed_by_the_runs_that_it_holds(
    simulator, sync, members_of
):
    sync(OLDER, partition="2026-11-19")
    first = sync(NEWER, partition="2026-11-20")
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(RejectedRequest):
        sync(OLDER, partition="2026-11-19", rollback=True)

    with pytest.raises(OnHold):
        sync(NEWER, partition="2026-11-21")

    assert simulator.members(first.audience_id) == members_of(OLDER)


def test_an_unfinished_rollback_to_the_very_people_of_a_half_sent_mirror_is_completed(
    simulator, sync, members_of
):
    """The segment had not changed between the two run dates."""
    first = sync(OLDER, partition="2026-11-19")
    for partition, rollback in (("2026-11-20", False), ("2026-11-19", True)):
        simulator.inject(Fault(call="upload", skip=0 if rollback else 1, status=400))
        with pytest.raises(RejectedRequest):
            sync(NEWER, partition=partition, rollback=rollback)

    with pytest.raises(OnHold):
        sync(OLDER, partition="2026-11-21")

    assert simulator.members(first.audience_id) == members_of(NEWER)


def test_the_snapshot_of_a_rollback_that_has_only_begun_is_not_removed(
    sync, synchroniser, snapshot_of, store
):
    older = snapshot_of(OLDER)
    sync(NEWER, partition="2026-11-20")
    records = synchroniser().records
    records.set_hold(Hold(partition="2026-11-19", snapshot=older, since=datetime.now(UTC)))
    for file in (store._place._root / "snapshots").rglob("*"):
        os.utime(file, (0, 0))

    records.prune(snapshot_of(range(30, 33)))

    assert store.holds("vip", older)
