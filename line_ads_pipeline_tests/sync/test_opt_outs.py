"""What an earlier run left unsent is never sent to people who have opted out since."""

import itertools
from contextlib import suppress
from functools import partial

import pytest

from line_ads_pipeline.line_ads import LineAdsError, RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import SnapshotNotFound, Store
from line_ads_pipeline.sync import AudienceRecords, GuardrailsStopped, NoValidIdentifiers, OnHold
from line_ads_pipeline_tests.sync.killer import Killed, Killer

BEFORE, UNFINISHED = range(2), range(8)


@pytest.fixture
def late(members_of):
    """Those of `UNFINISHED` whom its last upload brings."""
    return sorted(UNFINISHED, key=lambda person: min(members_of([person])))[6:]


@pytest.fixture
def left_out(snapshot_of):
    """The wish of a run to leave people out."""
    return lambda people: {"opted_out": snapshot_of(people)}


@pytest.fixture
def half_sent(simulator, sync):
    """Leaves the sync of the 20th unfinished, one upload of three being in the audience."""

    def run(**changes):
        audience = sync(BEFORE, **{"partition": "2026-11-19"} | changes).audience_id
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            sync(UNFINISHED, **{"partition": "2026-11-20"} | changes)
        return audience

    return run


def without(people, others):
    return [person for person in people if person not in others]


@pytest.mark.parametrize("incremental", [False, True], ids=["all", "increments"])
class TestAdd:
    """It is finished first, without them."""

    def test_the_others_are_sent_also_if_they_left_the_segment(
        self, simulator, sync, half_sent, late, left_out, members_of, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        audience = half_sent(**add)

        sync(range(8, 10), **left_out([*late, 50]), **add)

        assert simulator.members(audience) == members_of(without(range(10), late))

    def test_those_who_were_sent_before_count_as_members_of_nothing(
        self, sync, half_sent, late, left_out, incremental
    ):
        """Whoever opts in again is sent again."""
        add = {"mode": "add", "incremental": incremental}
        half_sent(**add)
        sync(range(8, 10), **left_out(late), **add)

        result = sync(range(10), partition="2026-11-22", **add)

        assert result.records == (len(late) if incremental else 10)

    def test_who_is_left_is_not_sent_twice(
        self, simulator, sync, sent, half_sent, late, left_out, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        half_sent(**add)
        before = len(simulator.requests)

        sync(without(UNFINISHED, late), **left_out(late), **add)

        rows = sum(count for _, count in sent(after=before))
        assert rows == len(without(UNFINISHED, late)) - (len(without(BEFORE, late)) if incremental else 0)

    def test_nothing_is_sent_again_if_nobody_of_them_has_opted_out(
        self, simulator, sync, sent, half_sent, left_out, members_of, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        audience = half_sent(**add)
        before = len(simulator.requests)

        sync(range(8, 10), **left_out([50]), **add)

        unsent = [("ADD", 3)] if incremental else [("ADD", 3), ("ADD", 2)]
        assert sent(after=before) == [*unsent, ("ADD", 2)]
        assert simulator.members(audience) == members_of(range(10))

    def test_nothing_of_it_is_sent_if_all_have(
        self, simulator, sync, sent, half_sent, left_out, synchroniser, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        half_sent(**add)
        before = len(simulator.requests)

        sync([], **left_out(UNFINISHED), rows=0, **add)

        assert sent(after=before) == []
        assert synchroniser().records.running_sync() is None

    @pytest.mark.parametrize("arrived", [1, 3], ids=["some", "all"])
    def test_the_others_are_sent_to_an_audience_that_takes_the_place_of_the_unfinished_one(
        self, simulator, sync, late, left_out, members_of, arrived, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        if arrived == 1:
            simulator.inject(Fault(call="upload", skip=1, status=400))
            with pytest.raises(RejectedRequest):
                sync(UNFINISHED, partition="2026-11-20", **add)
        else:
            simulator.inject(Fault(call="upload", skip=2, job_polls=1))
            sync(UNFINISHED, partition="2026-11-20", wait_for_processing=False, **add)
        (audience,) = simulator.audiences()
        simulator.remove_audience(audience.id)

        result = sync(range(8, 10), **left_out(late), **add, recreate_audience=True)

        assert result.audience_id != audience.id
        assert simulator.members(result.audience_id) == members_of(without(range(10), late))

    def test_nothing_is_sent_while_it_cannot_be_told_who_has(
        self, simulator, sync, sent, half_sent, late, left_out, store, synchroniser, incremental
    ):
        add = {"mode": "add", "incremental": incremental}
        half_sent(**add)
        before = len(simulator.requests)
        lost = left_out(late)
        store._place.delete(f"snapshots/vip/{lost['opted_out'].digest}")

        with pytest.raises(SnapshotNotFound, match="materialise hashed_identifiers again"):
            sync(range(8, 10), **lost, **add)

        assert sent(after=before) == []
        assert synchroniser().records.running_sync() is not None

    def test_what_line_has_all_of_is_only_confirmed(self, simulator, sync, sent, late, left_out, incremental):
        add = {"mode": "add", "incremental": incremental}
        simulator.inject(Fault(call="upload", skip=2, job_polls=2))
        sync(UNFINISHED, partition="2026-11-20", wait_for_processing=False, **add)
        before = len(simulator.requests)

        sync(range(8, 10), **left_out(late), **add)

        assert sent(after=before) == [("ADD", 2)]


class TestMirror:
    """It is completed without them when a newer one is stopped."""

    @pytest.mark.parametrize(
        ("people", "changes", "error"),
        [
            (range(100, 103), {"max_shrink": 0.5}, GuardrailsStopped),
            ([], {"rows": 7}, NoValidIdentifiers),
        ],
        ids=["shrunk", "nobody"],
    )
    def test_it_is_replaced_by_who_is_left(
        self, simulator, sync, half_sent, late, left_out, members_of, synchroniser, people, changes, error
    ):
        audience = half_sent()

        with pytest.raises(error):
            sync(people, **left_out(late), **changes)

        assert simulator.members(audience) == members_of(without(UNFINISHED, late))
        confirmed = synchroniser().records.confirmed(synchroniser().destination)
        assert (confirmed.partition, confirmed.snapshot.count) == ("2026-11-20", 6)

    @pytest.mark.parametrize(
        "limits", [{"max_shrink": 0.5}, {"min_identifiers": 4}, {}], ids=["shrink", "least", "nobody"]
    )
    def test_it_is_left_as_it_is_if_too_many_have_opted_out(
        self, simulator, sync, sent, half_sent, left_out, synchroniser, limits
    ):
        """An exclude that is wrong all of a sudden wipes nothing."""
        audience = half_sent()
        before, members = len(simulator.requests), simulator.members(audience)

        with pytest.raises(NoValidIdentifiers):
            sync([], rows=7, **left_out(range(5 if limits else 8)), **limits)

        assert sent(after=before) == []
        assert simulator.members(audience) == members
        assert synchroniser().records.running_sync() is not None

    def test_it_does_not_wipe_what_others_sent(
        self, simulator, sync, half_sent, late, left_out, colleague, members_of
    ):
        audience = half_sent()
        colleague(range(50, 53), audience_id=audience)
        members = simulator.members(audience)

        with pytest.raises(NoValidIdentifiers):
            sync([], rows=7, **left_out(late))

        assert simulator.members(audience) == members
        assert members_of(range(50, 53)) <= members

    def test_a_rollback_is_completed_without_them_once(self, simulator, sync, late, left_out, members_of):
        audience = sync(UNFINISHED, partition="2026-11-19").audience_id
        sync(range(4, 12), partition="2026-11-20")
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            sync(UNFINISHED, partition="2026-11-19", rollback=True)

        with pytest.raises(OnHold):
            sync(range(4, 12), **left_out(late))

        assert simulator.members(audience) == members_of(without(UNFINISHED, late))
        before = len(simulator.requests)
        with pytest.raises(OnHold):
            sync(range(4, 12), partition="2026-11-22", **left_out(late))
        assert len(simulator.requests) == before

    def test_a_rollback_is_left_as_it_is_if_all_have_opted_out(self, simulator, sync, sent, left_out):
        sync(UNFINISHED, partition="2026-11-19")
        sync(range(4, 12), partition="2026-11-20")
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            sync(UNFINISHED, partition="2026-11-19", rollback=True)
        before = len(simulator.requests)

        with pytest.raises(OnHold):
            sync(range(8, 12), **left_out(UNFINISHED))

        assert sent(after=before) == []
        assert len(simulator.audiences()) == 1

    @pytest.mark.parametrize("hide_file_names", [False, True], ids=["named jobs", "nameless jobs"])
    def test_what_lands_while_a_rollback_is_completed_is_not_taken_for_its_own(
        self,
        simulator,
        sync,
        sent,
        left_out,
        members_of,
        line_ads_client,
        monkeypatch,
        hide_file_names,
    ):
        first = min(UNFINISHED, key=lambda person: min(members_of([person])))
        newer = without(range(4, 12), [first])
        if hide_file_names:
            simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
        sync(UNFINISHED, partition="2026-11-19")
        audience = sync(newer, partition="2026-11-20").audience_id
        simulator.inject(Fault(call="upload", drop="after", appears_after_polls=2))
        with monkeypatch.context() as patched:
            patched.setattr(line_ads_client, "upload", dying_after(line_ads_client.upload))
            with pytest.raises(Killed):
                sync(UNFINISHED, partition="2026-11-19", rollback=True)
        if hide_file_names:  # so that only its size could tell whose job is the new one
            simulator.inject(Fault(call="upload", drop="before"))
        before = len(simulator.requests)

        with pytest.raises(OnHold):
            sync(newer, **left_out([first]))

        assert simulator.members(audience) == members_of(without(UNFINISHED, [first]))
        assert sent(after=before) == [("REPLACE", 3), ("ADD", 3), ("ADD", 1)]


def dying_after(call):
    """The same call, whose answer the process does not live to see."""

    def die(*args, **kwargs):
        with suppress(LineAdsError):
            call(*args, **kwargs)
        raise Killed

    return die


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_a_run_that_is_killed_while_it_finishes_what_was_left_is_finished_exactly_by_the_next(
    simulator, synchroniser, snapshot_of, bring, members_of, late, monkeypatch, mode, when
):
    store = Store("memory://")
    records = AudienceRecords(store, "vip")
    make = partial(
        synchroniser, mode=mode, incremental=mode == "add", settle=0.0, records=records, max_shrink=0.5
    )
    newer = range(8, 10) if mode == "add" else range(100, 102)

    def sync(people, *, day, opted_out=None):
        excluded = None if opted_out is None else snapshot_of(opted_out, into=store)
        return bring(make(), snapshot_of(people, into=store), partition=f"2026-11-{day}", opted_out=excluded)

    def finish(day):
        if mode == "add":
            sync(newer, day=day, opted_out=late)
            return
        with pytest.raises(GuardrailsStopped):
            sync(newer, day=day, opted_out=late)

    for call in itertools.count(1):
        simulator.reset()
        for document in store._place.entries("documents"):
            store._place.delete(document.path)
        audience = sync(BEFORE, day=19).audience_id
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            sync(UNFINISHED, day=20)
        for people in (newer, late):
            snapshot_of(people, into=store)
        with monkeypatch.context() as patched:
            killer = Killer(patched, call=call, when=when)
            killer.watch(make().client, "upload")
            for name in ("write_difference", "write_union", "write_document"):
                killer.watch(store, name)
            with suppress(Killed):
                finish(21)
        if not killer.killed:
            assert 10 <= call < 60
            break
        assert not simulator.members(audience) & members_of(late), f"killed {when} call {call}"

        finish(22)

        expected = without(UNFINISHED, late) + (list(newer) if mode == "add" else [])
        assert simulator.members(audience) == members_of(expected), f"killed {when} call {call}"
        assert records.running_sync() is None
        assert not simulator.broken_rules
