"""An incremental sync that is killed at any request or write is brought to an exact end by the next run."""

import itertools
from functools import partial

import pytest

from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords
from line_ads_pipeline_tests.sync.killer import Killed, Killer

FIRST, KILLED = range(3), range(8)
NEXT = {"the same": KILLED, "a newer": range(10)}
ACTS = {
    "before": ["write_difference", "write_union", "write_document"],
    "after": ["write_difference", "write_union"],
}
"""After a document is written is the same moment as before the next act."""
LEAST_CALLS = {"before": 15, "after": 3}
MOST_CALLS = 80


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("next_snapshot", NEXT)
@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_an_increment_killed_at_any_point_is_finished_exactly_by_the_next(  # noqa: C901 - one story, told in one place
    simulator, synchroniser, snapshot_of, bring, prune, members_of, monkeypatch, mode, next_snapshot, when
):
    store = Store("memory://")
    records = AudienceRecords(store, "vip")
    make = partial(synchroniser, mode=mode, incremental=True, settle=0.0, records=records)
    new = NEXT[next_snapshot]
    snapshots = {people: snapshot_of(people, into=store) for people in (FIRST, KILLED, new)}

    def sync(people, *, day):
        result = bring(make(), snapshots[people], partition=f"2026-11-{day}")
        prune(snapshots[people], records=records)
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
            killer.watch(make().client, "upload")  # calls that only read change nothing
            for name in ACTS[when]:
                killer.watch(store, name)
            try:
                sync(KILLED, day=20)
            except Killed:
                began = began_sync(records) == "2026-11-20"
                half_sent = records.running_sync() is not None and len(uploads(simulator)) == 2
        if not killer.killed:
            assert LEAST_CALLS[when] <= call < MOST_CALLS
            break
        for people in snapshots:
            snapshot_of(people, into=store)
        result = sync(new, day=20 if next_snapshot == "the same" else 21)

        place = f"killed {when} call {call}"
        held = {*FIRST, *(KILLED if began else ()), *new} if mode == "add" else set(new)
        assert simulator.members(result.audience_id) == members_of(held), place
        assert not simulator.broken_rules, place
        confirmed = records.confirmed(make().destination)
        if mode == "add":
            assert sent_members(store, confirmed.sent) == members_of(held), place
            rows = sum(count for _, count in uploads(simulator)[1:])
            assert rows == len(held) - len(FIRST), f"{place}: nobody is sent twice"
        elif next_snapshot == "the same":
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
