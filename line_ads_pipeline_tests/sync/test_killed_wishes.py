"""A rollback or a deletion that is killed at any point is completed by the next run, or has not begun."""

import contextlib
import itertools
from functools import partial

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords, OnHold
from line_ads_pipeline_tests.sync.killer import Killed, Killer

NOBODY, OLDER, NEWER, HALF_SENT, LATER = range(0), range(4), range(2, 6), range(3, 10), range(20, 24)
CALLS = {"before": ["list_audiences", "upload_jobs", "upload", "delete"], "after": ["upload", "delete"]}
"""After a call that only reads is the same moment as before the next call."""
LEAST_CALLS = {"before": 6, "after": 3}


@pytest.fixture
def killing_at_each_call(simulator, synchroniser, snapshot_of, bring, monkeypatch):
    """Tells a story again and again, in which one run is killed one call later each time.

    Gives, for each time, the records, what brings people to LINE, and what does so until it is killed.
    """
    store = Store("memory://")
    records = AudienceRecords(store, "vip")
    make = partial(synchroniser, records=records, settle=0.0)
    snapshots = {
        people: snapshot_of(people, into=store) for people in (NOBODY, OLDER, NEWER, HALF_SENT, LATER)
    }

    def sync(people, *, partition, when_empty="refuse", **wishes):
        return bring(make(when_empty=when_empty), snapshots[people], partition=partition, **wishes)

    def story(when):
        for call in itertools.count(1):
            simulator.reset()
            for document in store._place.entries("documents"):
                store._place.delete(document.path)
            killers = []

            def sync_killed(people, *, call=call, killers=killers, **wishes):
                with monkeypatch.context() as patched:
                    killer = Killer(patched, call=call, when=when)
                    killers.append(killer)
                    for name in CALLS[when]:
                        killer.watch(make().client, name)
                    killer.watch(store, "write_document")
                    with contextlib.suppress(Killed):
                        sync(people, **wishes)

            yield f"killed {when} call {call}", records, sync, sync_killed
            if not killers[0].killed:
                assert call > LEAST_CALLS[when]
                return

    return story


def leave_half_sent(simulator, sync, people, *, partition):
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(RejectedRequest):
        sync(people, partition=partition)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("newest", "then"),
    [
        ("confirmed", "a later run date"),
        ("half sent", "a later run date"),
        ("half sent", "the same rollback"),
    ],
)
def test_a_rollback_killed_at_any_point_is_completed_or_has_not_begun(
    simulator, killing_at_each_call, members_of, when, newest, then
):
    for place, records, sync, sync_killed in killing_at_each_call(when):
        sync(OLDER, partition="2026-11-19")
        audience = sync(NEWER, partition="2026-11-20").audience_id
        if newest == "half sent":
            leave_half_sent(simulator, sync, HALF_SENT, partition="2026-11-21")

        sync_killed(OLDER, partition="2026-11-19", rollback=True)
        if then == "the same rollback":
            sync(OLDER, partition="2026-11-19", rollback=True)
        if records.hold() is None:
            expected = LATER
            sync(LATER, partition="2026-11-22")
        else:
            expected = OLDER
            with pytest.raises(OnHold):
                sync(LATER, partition="2026-11-22")

        assert records.hold() is not None or then == "a later run date", place
        assert simulator.members(audience) == members_of(expected), place
        assert not simulator.broken_rules, place


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("newest", ["confirmed", "half sent"])
@pytest.mark.parametrize("then", ["nobody", "somebody"])
def test_a_deletion_killed_at_any_point_leaves_nobody_behind_and_nothing_in_the_way(
    simulator, killing_at_each_call, members_of, when, newest, then
):
    for place, _records, sync, sync_killed in killing_at_each_call(when):
        audience = sync(NEWER, partition="2026-11-20").audience_id
        if newest == "half sent":
            leave_half_sent(simulator, sync, HALF_SENT, partition="2026-11-21")
        nobody = {"rows": 0, "when_empty": "delete_audience"}

        sync_killed(NOBODY, partition="2026-11-22", **nobody)
        survived = [each.id for each in simulator.audiences()] == [audience]
        if then == "nobody":
            result = sync(NOBODY, partition="2026-11-22", **nobody)
            assert not simulator.audiences(), place
            assert result.deleted_audience_id == (audience if survived else None), place
        else:
            result = sync(LATER, partition="2026-11-23")
            assert (result.audience_id == audience) == survived, place
            assert [each.id for each in simulator.audiences()] == [result.audience_id], place
            assert simulator.members(result.audience_id) == members_of(LATER), place
        assert not simulator.broken_rules, place
