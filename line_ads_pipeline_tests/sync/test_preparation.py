"""While LINE works on a chunk the next one is made ready, and what is sent stays the same whatever comes of that."""

import threading

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import StoreUnavailable

RECORD = 32


class WatchedPlace:
    """Notes in order what is opened, read and closed of snapshots; may fail beside the thread of the sync."""

    def __init__(self, monkeypatch, store):
        self.events, self.noted = [], threading.Condition()
        self.fails_in_background = False
        self.open_readers = 0
        self._open = store._place.open
        self._syncs_thread = threading.current_thread()
        monkeypatch.setattr(store._place, "open", self)

    def __call__(self, path, *, stop=None):
        reader = self._open(path, stop=stop)
        if reader is None or stop == 0:
            return reader
        if self.fails_in_background and threading.current_thread() is not self._syncs_thread:
            reader.close()
            self.note("failed")
            raise StoreUnavailable("the network is away")
        with self.noted:
            self.open_readers += 1
        self._watch(reader, stop // RECORD)
        return reader

    def _watch(self, reader, end):
        read_at, close = reader.read_at, reader.close

        def note_read(offset, size):
            block = read_at(offset, size)
            self.note(f"read {offset // RECORD}-{(offset + size) // RECORD}")
            return block

        def note_close():
            close()
            with self.noted:
                self.open_readers -= 1
            self.note(f"closed -{end}")

        reader.read_at, reader.close = note_read, note_close

    def note(self, event):
        with self.noted:
            self.events.append(event)
            self.noted.notify_all()

    def wait_for(self, *events):
        with self.noted:
            assert self.noted.wait_for(lambda: set(events) <= set(self.events), timeout=10), self.events


@pytest.fixture
def place(monkeypatch, store):
    return WatchedPlace(monkeypatch, store)


@pytest.fixture
def slow_jobs(simulator):
    """LINE's jobs run for two looks each."""
    simulator.inject(Fault(call="upload", times=None, job_polls=2))


@pytest.mark.usefixtures("slow_jobs")
def test_the_next_chunk_is_read_while_line_works_on_the_last(simulator, sync, sent, place, members_of):
    uploads_at_read = {}
    expected = {1: "read 3-6", 2: "read 6-8"}

    def sleep(_seconds):
        uploads = len(sent())
        if uploads in expected:
            place.wait_for(expected[uploads])
            uploads_at_read.setdefault(expected[uploads], uploads)

    result = sync(range(8), sleep=sleep)

    assert uploads_at_read == {"read 3-6": 1, "read 6-8": 2}
    assert [event for event in place.events if event.startswith("read")] == [
        "read 0-3",
        "read 3-6",
        "read 6-8",
    ]
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert not simulator.broken_rules
    assert place.open_readers == 0


@pytest.mark.usefixtures("slow_jobs")
def test_a_preparation_that_fails_fails_neither_the_waiting_nor_the_sync(simulator, sync, place, members_of):
    place.fails_in_background = True

    result = sync(range(8))

    assert place.events.count("failed") == 2
    assert result.confirmed
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_store_that_stays_away_ends_the_run_before_the_next_chunk_is_sent(
    simulator, sync, synchroniser, store, sent, members_of, monkeypatch
):
    """The chunk is still planned, so that the next run sends it, and the chunk before it not again."""
    original = store._place.open

    def away(path, *, stop=None):
        if sent() and stop != 0:
            raise StoreUnavailable("the network is away")
        return original(path, stop=stop)

    with monkeypatch.context() as patched:
        patched.setattr(store._place, "open", away)
        with pytest.raises(StoreUnavailable, match="the network is away"):
            sync(range(8))
    states = [chunk.state for chunk in synchroniser().records.running_sync().chunks]
    assert states == ["finished", "planned", "planned"]

    result = sync(range(8))

    assert result.resumed
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_a_chunk_that_line_gave_up_on_is_read_again_and_the_prepared_one_closed(
    simulator, sync, place, members_of
):
    simulator.inject(Fault(call="upload", job_polls=1, job_failed_type="INTERNAL_ERROR"))
    first_wait = []

    def sleep(_seconds):
        if not first_wait:
            first_wait.append(True)
            place.wait_for("read 3-6")

    result = sync(range(8), job_attempts=2, sleep=sleep)

    reads = [event for event in place.events if event.startswith("read")]
    assert reads[:3] == ["read 0-3", "read 3-6", "read 0-3"]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert place.open_readers == 0


def test_a_run_that_ends_while_it_waits_leaves_nothing_open_and_the_next_one_goes_on(
    simulator, sync, sent, place, members_of
):
    class Killed(BaseException):
        pass

    def die(_seconds):
        place.wait_for("read 3-6")
        raise Killed

    simulator.inject(Fault(call="upload", job_polls=1))
    with pytest.raises(Killed):
        sync(range(8), sleep=die)
    place.wait_for("closed -3", "closed -6")
    assert place.open_readers == 0

    result = sync(range(8))

    assert result.resumed
    assert sent() == [("REPLACE", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_nothing_is_prepared_after_the_last_chunk_nor_before_an_upload_is_accepted(simulator, sync, place):
    simulator.inject(Fault(call="upload", status=400, reasons=("REQUIRED",)))
    with pytest.raises(RejectedRequest):
        sync(range(8))
    assert "read 3-6" not in place.events

    simulator.inject(Fault(call="upload", times=None, job_polls=1))
    sync(range(3), partition="2026-11-22")
    assert not [event for event in place.events if event.startswith("read") and event != "read 0-3"]
