"""An incremental sync that is killed at any request or write is brought to an exact end by the next run."""

import itertools
from functools import partial

import pytest

from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords
from line_ads_pipeline_tests.sync.killer import Killed, Killer

FIRST, KILLED = range(3), range(8)
NEXT = {"the same": KILLED, "more": range(10), "others": range(2, 9)}
MOST_CALLS = 80


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("then", NEXT)
@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_an_increment_killed_at_any_point_is_finished_exactly_by_the_next(
    simulator, synchroniser, snapshot_of, bring, members_of, monkeypatch, mode, then, when
):
    store = Store("memory://")
    records = AudienceRecords(store, "vip")
    make = partial(synchroniser, mode=mode, incremental=True, settle=0.0, records=records)
    new = NEXT[then]
    snapshots = {people: snapshot_of(people, into=store) for people in (FIRST, KILLED, new)}

    def sync(people, *, day):
        result = bring(make(), snapshots[people], partition=f"2026-11-{day}")
        records.prune(snapshots[people])
        return result

    for call in itertools.count(1):
        simulator.reset()
        for document in store._place.entries("documents"):
            store._place.delete(document.path)
        for people in snapshots:
            snapshot_of(people, into=store)
        sync(FIRST, day=19)
        with monkeypatch.context() as patched:
            killer = Killer(patched, call=call, when=when)
            # after a call that only reads is the same moment as before the next call
            reads = ["list_audiences", "upload_jobs"] if when == "before" else []
            for name in ["upload", *reads]:
                killer.watch(make().client, name)
            for name in ("write_document", "write_difference", "write_union"):
                killer.watch(store, name)
            try:
                sync(KILLED, day=20)
            except Killed:
                began = began_sync(records) == "2026-11-20"
                half_sent = records.running_sync() is not None and len(uploads(simulator)) == 2
        if not killer.killed:
            assert MOST_CALLS > call > 10
            break
        for people in snapshots:
            snapshot_of(people, into=store)
        result = sync(new, day=20 if then == "the same" else 21)

        place = f"killed {when} call {call}"
        held = {*FIRST, *(KILLED if began else ()), *new} if mode == "add" else set(new)
        assert simulator.members(result.audience_id) == members_of(held), place
        assert not simulator.broken_rules, place
        confirmed = records.confirmed(make().destination)
        if mode == "add":
            assert sent_members(store, confirmed.sent) == members_of(held), place
            rows = sum(count for _, count in uploads(simulator)[1:])
            assert rows == len(held) - len(FIRST), f"{place}: nobody is sent twice"
        elif then == "the same":
            assert uploads(simulator)[1:] == [("ADD", 3), ("ADD", 2)], place
        elif half_sent:
            assert result.kind == "full replace", place
        for needed in (confirmed.snapshot, confirmed.sent):
            assert needed is None or store.holds("vip", needed), place
        assert bring(make(), snapshots[new], partition="2026-11-25").kind == "nothing new", place


def began_sync(records):
    """The run date of the latest sync, whatever became of it."""
    current = records.read("current_sync")
    return current and records.read("syncs", current["sync_id"])["partition"]


def uploads(simulator):
    """Action and rows of the uploads that took effect."""
    return [(request.action, request.row_count) for request in simulator.requests if request.job_id]


def sent_members(store, snapshot):
    with store.open_chunk("vip", snapshot) as chunk:
        return set(chunk.read().decode().split())
