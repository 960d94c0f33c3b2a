"""A sync that is killed at any request or write is brought to an exact end by the next run."""

import itertools
from functools import partial

import pytest

from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import AudienceRecords
from line_ads_pipeline_tests.sync.killer import Killed, Killer


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("next_snapshot", ["the same", "a newer"])
@pytest.mark.parametrize("names", ["named jobs", "nameless jobs"])
@pytest.mark.parametrize("audience", ["new audience", "existing audience"])
@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_a_sync_killed_at_any_point_is_finished_exactly_by_the_next(  # noqa: C901 - one story, told in one place
    simulator,
    synchroniser,
    snapshot_of,
    bring,
    members_of,
    monkeypatch,
    mode,
    audience,
    names,
    next_snapshot,
    when,
):
    old, killed_people = range(20, 24), range(8)
    new = killed_people if next_snapshot == "the same" else range(6, 11)
    # after a call that only reads is the same moment as before the next call
    watched = ["upload"] if when == "after" else ["list_audiences", "upload", "upload_jobs"]

    store = Store("memory://")
    make = partial(synchroniser, mode=mode, settle=0.0, records=AudienceRecords(store, "vip"))
    snapshots = {people: snapshot_of(people, into=store) for people in (old, killed_people, new)}

    def sync(people, *, partition):
        return bring(make(), snapshots[people], partition=partition)

    for call in itertools.count(1):
        simulator.reset()
        for document in store._place.entries("documents"):
            store._place.delete(document.path)
        if names == "nameless jobs":
            simulator.inject(Fault(call="upload-job", times=None, hide_file_names=True))
        if audience == "existing audience":
            sync(old, partition="2026-11-19")
        before = len(uploads(simulator))
        began = False
        with monkeypatch.context() as patched:
            killer = Killer(patched, call=call, when=when)
            for name in watched:
                killer.watch(make().client, name)
            killer.watch(store, "write_document")
            try:
                sync(killed_people, partition="2026-11-20")
            except Killed:
                began = began_sync(make().records) == "2026-11-20"
                running = make().records.running_sync() is not None
        if not killer.killed:
            assert call > 10
            break

        result = sync(new, partition="2026-11-20" if new is killed_people else "2026-11-21")

        place = f"killed {when} call {call}"
        assert len(simulator.audiences()) == 1, place
        assert not simulator.broken_rules, place
        people = set(new)
        if mode == "add":
            people |= {*(old if audience == "existing audience" else ()), *(killed_people if began else ())}
        assert simulator.members(result.audience_id) == members_of(people), place
        if new is killed_people and began and running:
            first = "REPLACE" if mode == "mirror" else "ADD"
            assert uploads(simulator)[before:] == [(first, 3), ("ADD", 3), ("ADD", 2)], place


def began_sync(records):
    """The run date of the latest sync, whatever became of it."""
    current = records.read("current_sync")
    return current and records.read("syncs", current["sync_id"])["partition"]


def uploads(simulator):
    """Action and rows of the uploads that took effect."""
    return [(request.action, request.row_count) for request in simulator.requests if request.job_id]
