"""Other people's uploads, lost answers and changed audience files never cost anybody their place, nor bring others in."""

import os

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import (
    AudienceContended,
    AudienceNotOurs,
    NameTaken,
    OlderThanConfirmed,
    UploadJobFailed,
)

ACCOUNT = "A10000000001"


def refused(*, skip: int = 0) -> Fault:
    return Fault(call="upload", skip=skip, status=400, reasons=("INVALID_VALUE",))


def once(action):
    """A sleep that acts the first time."""
    pending = [action]

    def sleep(_seconds):
        if pending:
            pending.pop()()

    return sleep


def test_an_add_that_was_refused_at_its_very_first_upload_is_finished_into_one_audience(
    simulator, sync, members_of
):
    simulator.inject(refused())
    with pytest.raises(RejectedRequest):
        sync(range(4), mode="add", partition="2026-11-20")

    sync(range(10, 14), mode="add")

    (audience,) = simulator.audiences()
    assert simulator.members(audience.id) == members_of([*range(4), *range(10, 14)])


def test_an_audience_that_a_colleague_makes_meanwhile_is_not_taken_for_ours(
    simulator, sync, colleague, members_of
):
    simulator.inject(Fault(call="upload", drop="before"))

    with pytest.raises(AudienceNotOurs):
        sync(range(3), sleep=once(lambda: colleague(range(50, 53), name="VIP customers")))

    (audience,) = simulator.audiences()
    assert simulator.members(audience.id) == members_of(range(50, 53))


def test_an_audience_that_a_colleague_made_meanwhile_may_be_adopted_by_the_next_run(
    simulator, sync, colleague, members_of
):
    simulator.inject(Fault(call="upload", drop="before"))
    with pytest.raises(AudienceNotOurs):
        sync(range(3), sleep=once(lambda: colleague(range(50, 53), name="VIP customers")))

    result = sync(range(3), adopt=True)

    assert len(simulator.audiences()) == 1
    assert simulator.members(result.audience_id) == members_of(range(3))


@pytest.mark.parametrize("file_name", ["colleague.csv.txt", "lap-000000000000-0123456789abcdef-00001-1.txt"])
def test_the_job_of_another_file_is_not_taken_for_a_chunk_whose_answer_was_lost(
    simulator, sync, colleague, members_of, file_name
):
    first = sync(range(2), mode="add", partition="2026-11-20")
    simulator.inject(Fault(call="upload", drop="before"))
    meddling = once(lambda: colleague(range(50, 53), audience_id=first.audience_id, file_name=file_name))

    sync(range(10, 13), mode="add", sleep=meddling)

    assert simulator.members(first.audience_id) == members_of([0, 1, *range(10, 13), *range(50, 53)])


def test_without_file_names_a_job_of_another_size_is_not_taken_for_a_chunk(
    simulator, sync, colleague, members_of
):
    first = sync(range(2), mode="add", partition="2026-11-20")
    simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
    simulator.inject(Fault(call="upload", drop="before"))
    meddling = once(lambda: colleague(range(50, 57), audience_id=first.audience_id))

    sync(range(10, 13), mode="add", sleep=meddling)

    assert simulator.members(first.audience_id) >= members_of(range(10, 13))


def test_a_replace_that_lands_late_is_noticed_and_the_snapshot_sent_again(simulator, sync, members_of):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(Fault(call="upload", action="REPLACE", drop="after", appears_after_polls=4))

    result = sync(range(8), settle=0.0)

    assert result.audience_id == first.audience_id
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_colleague_who_replaces_the_members_meanwhile_is_noticed(simulator, sync, colleague, members_of):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(Fault(call="upload", job_polls=1))
    meddling = once(lambda: colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id))

    sync(range(8), sleep=meddling)

    assert simulator.members(first.audience_id) == members_of(range(8))


def test_a_colleague_who_never_stops_replacing_fails_the_run(simulator, sync, colleague):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(Fault(call="upload", action="REPLACE", times=None, job_polls=1))

    with pytest.raises(AudienceContended, match="who else uploads"):
        sync(
            range(3),
            sleep=lambda _: colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id),
        )


def test_a_colleague_who_replaced_the_members_between_two_runs_is_noticed(
    simulator, sync, colleague, members_of
):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8))
    colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id)

    sync(range(8))

    assert simulator.members(first.audience_id) == members_of(range(8))


def test_a_colleagues_running_job_is_waited_for_when_a_sync_goes_on(simulator, sync, colleague):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8))
    simulator.inject(Fault(call="upload", job_polls=2))
    colleague(range(50, 53), audience_id=first.audience_id)

    sync(range(8))

    assert not simulator.broken_rules


def test_a_recreated_audience_is_never_the_expired_one(simulator, sync, members_of):
    expired = simulator.add_audience(ACCOUNT, name="VIP customers", status="EXPIRED", members=["a" * 64])
    simulator.inject(Fault(call="upload", drop="after"))

    result = sync(range(8), recreate_audience=True)

    assert result.audience_id != expired
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert simulator.members(expired) == {"a" * 64}


def test_an_unfinished_add_is_finished_when_the_file_names_its_audience_by_id(simulator, sync, members_of):
    first = sync(range(2), mode="add", partition="2026-11-19")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(10, 18), mode="add", partition="2026-11-20")

    sync(range(30, 33), mode="add", audience_id=first.audience_id)

    assert simulator.members(first.audience_id) == members_of([0, 1, *range(10, 18), *range(30, 33)])


def test_an_id_and_a_name_that_looks_like_it_are_two_destinations(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="Old")
    sync(range(3), audience_id=given, audience_name=None)

    assert sync(range(3), audience_name=given).audience_id != given


def test_an_unfinished_mirror_is_finished_before_an_add(simulator, sync, members_of):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), partition="2026-11-20")

    result = sync(range(30, 33), mode="add")

    assert simulator.members(result.audience_id) == members_of([*range(8), *range(30, 33)])


def test_an_unfinished_add_is_finished_although_the_segment_is_empty_now(simulator, sync, members_of):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), mode="add", partition="2026-11-20")

    assert sync([], rows=0, mode="add").audience_id is None

    (audience,) = simulator.audiences()
    assert simulator.members(audience.id) == members_of(range(8))


def test_an_unfinished_add_reaches_the_audience_that_is_made_anew(simulator, sync, members_of):
    first = sync(range(2), mode="add", partition="2026-11-19")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(10, 18), mode="add", partition="2026-11-20")
    simulator.set_status(first.audience_id, "EXPIRED")

    result = sync(range(30, 33), mode="add", recreate_audience=True)

    assert result.audience_id != first.audience_id
    assert simulator.members(result.audience_id) == members_of([*range(10, 18), *range(30, 33)])


def test_an_older_run_date_does_not_supersede_a_newer_one_that_is_unfinished(simulator, sync):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), partition="2026-11-22")

    with pytest.raises(OlderThanConfirmed, match="2026-11-22"):
        sync(range(4), partition="2026-11-21")


def test_an_unfinished_add_whose_snapshot_is_gone_blocks_nobody(simulator, sync, store, members_of, caplog):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), mode="add", partition="2026-11-20")
    (digest,) = {file.name for file in store_files(store)}
    store_file(store, digest).unlink()

    result = sync(range(30, 33), mode="add")

    assert simulator.members(result.audience_id) >= members_of(range(30, 33))
    assert "2026-11-20 cannot be sent any more" in caplog.text


def test_a_failed_first_job_is_sent_again_to_the_same_audience(simulator, sync, members_of):
    simulator.inject(Fault(call="upload", job_failed_type="INTERNAL_ERROR"))
    with pytest.raises(UploadJobFailed):
        sync(range(8))

    result = sync(range(8))

    assert [audience.id for audience in simulator.audiences()] == [result.audience_id]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_audience_is_not_renamed_to_a_name_that_another_has(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="Old")
    other = simulator.add_audience(ACCOUNT, name="VIP customers")

    with pytest.raises(NameTaken, match=other):
        sync(range(3), audience_id=given)
    assert all(request.method == "GET" for request in simulator.requests)


def test_an_audience_stays_ours_when_its_name_in_the_file_is_changed_and_changed_back(simulator, sync):
    simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
    first = sync(range(3))
    sync(range(3), audience_name="Best customers")

    assert sync(range(3)).audience_id == first.audience_id


def test_an_audience_stays_ours_for_another_audience_file_of_the_same_store(sync, synchroniser):
    """The file was renamed, or two files add to one audience."""
    first = sync(range(3), mode="add")
    other = synchroniser(mode="add", audience="another_file")

    assert other.records.recorded_audience(other.destination) == first.audience_id


def test_a_confirmed_sync_stays_confirmed_when_the_audience_cannot_be_listed(simulator, sync):
    sync(range(3), partition="2026-11-20")
    simulator.inject(Fault(call="list", skip=1, times=None, status=503))

    result = sync(range(4))

    assert result.audience is None
    assert result.processed == 4


def test_a_snapshot_that_cannot_be_read_leaves_nothing_to_settle(sync, bring, simulator, store, synchroniser):
    simulator.inject(refused())
    with pytest.raises(RejectedRequest):
        sync(range(3))
    for file in store_files(store):
        file.unlink()
    running = synchroniser().records.running_sync()

    with pytest.raises(Exception, match="hashed_identifiers"):
        bring(synchroniser(), running.snapshot, partition="2026-11-21")

    assert synchroniser().records.running_sync().chunks[0].state == "planned"


def store_files(store):
    """The snapshot files of a store in a folder."""
    return [file for file in (store_folder(store) / "snapshots").rglob("*") if file.is_file()]


def store_file(store, digest):
    return next(file for file in store_files(store) if file.name == digest)


def store_folder(store):
    return store._place._root


def test_a_colleagues_replace_that_failed_changed_nothing_and_is_passed_over(
    simulator, sync, colleague, members_of
):
    first = sync(range(20, 22), partition="2026-11-20")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8))
    simulator.inject(Fault(call="upload", job_failed_type="INTERNAL_ERROR"))
    colleague(range(50, 53), action="REPLACE", audience_id=first.audience_id)
    before = len(simulator.requests)

    result = sync(range(8))

    actions = [request.action for request in simulator.requests[before:] if request.job_id]
    assert actions == ["ADD", "ADD"]
    assert result.resumed
    assert simulator.members(first.audience_id) == members_of(range(8))


def test_without_file_names_a_running_job_may_be_ours_until_its_size_is_known(
    simulator, sync, colleague, members_of
):
    first = sync(range(2), mode="add", partition="2026-11-20")
    simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
    simulator.inject(Fault(call="upload", job_polls=2))

    def meddling():
        simulator.inject(Fault(call="upload", job_polls=8))
        colleague(range(50, 57), audience_id=first.audience_id)

    sync(range(10, 13), mode="add", sleep=once(meddling))

    assert simulator.members(first.audience_id) == members_of([0, 1, *range(10, 13), *range(50, 57)])


def test_the_expired_audience_of_the_name_does_not_stand_in_the_way_of_a_lost_answer(
    simulator, sync, members_of
):
    simulator.add_audience(ACCOUNT, name="VIP customers", status="EXPIRED")
    simulator.inject(Fault(call="upload", drop="before"))

    result = sync(range(8), recreate_audience=True)

    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_unfinished_add_does_not_go_on_as_a_mirror_of_the_same_snapshot(simulator, sync, members_of):
    sync(range(20, 22), mode="add", partition="2026-11-19")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), mode="add")

    result = sync(range(8), mode="mirror")

    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_sync_that_goes_on_counts_for_the_run_date_that_asked_for_it(simulator, sync):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), partition="2026-11-20")
    sync(range(8), partition="2026-11-22")

    with pytest.raises(OlderThanConfirmed, match="2026-11-22"):
        sync(range(4), partition="2026-11-21")


def test_finishing_an_earlier_add_does_not_turn_the_confirmed_run_date_back(simulator, sync):
    sync(range(3), mode="add", partition="2026-11-21")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8), mode="add", partition="2026-11-22")
    sync(range(20, 22), mode="add", partition="2026-11-23")

    with pytest.raises(OlderThanConfirmed, match="2026-11-23"):
        sync(range(4), mode="add", partition="2026-11-22")


def test_a_snapshot_that_an_unfinished_sync_needs_is_not_removed(
    simulator, sync, synchroniser, snapshot_of, store
):
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8))
    records = synchroniser().records
    needed = records.running_sync().snapshot

    age(store)
    records.prune(snapshot_of(range(30, 33)))

    assert store.holds("vip", needed)


def test_a_snapshot_that_was_confirmed_is_not_removed(sync, synchroniser, snapshot_of, store):
    confirmed = snapshot_of(range(8))
    sync(range(8))
    age(store)

    synchroniser().records.prune(snapshot_of(range(30, 33)))

    assert store.holds("vip", confirmed)


def age(store):
    """Make every snapshot older than any is kept for its age alone."""
    for file in store_files(store):
        os.utime(file, (0, 0))
