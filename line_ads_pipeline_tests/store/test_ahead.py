"""Preparing a chunk while another one is waited for."""

import hashlib
import threading

import polars as pl
import pytest

from line_ads_pipeline.store import DIGEST_WIDTH, ChunksAhead, SnapshotNotFound, Store, StoreUnavailable

MEMBERS = sorted(hashlib.sha256(str(number).encode()).digest() for number in range(100))


def lines(offset, count):
    return b"".join(member.hex().encode() + b"\n" for member in MEMBERS[offset : offset + count])


class WatchedReader:
    """A reader that notes when it is read and closed, and lets nobody read while the gate is shut."""

    def __init__(self, reader, gate):
        self.size, self.block_bytes = reader.size, reader.block_bytes
        self.read, self.closed = threading.Event(), threading.Event()
        self._reader, self._gate = reader, gate

    def read_at(self, offset, size):
        self.read.set()
        assert self._gate.wait(timeout=10)
        return self._reader.read_at(offset, size)

    def close(self):
        self._reader.close()
        self.closed.set()


class WatchedPlace:
    """Hands out watched readers, or fails."""

    def __init__(self, monkeypatch, store):
        self.readers, self.gate, self.failures = [], threading.Event(), []
        self._opened = threading.Semaphore(0)
        self.gate.set()
        self._open = store._place.open
        monkeypatch.setattr(store._place, "open", self)

    def __call__(self, path, *, stop=None):
        if self.failures:
            raise self.failures.pop()
        reader = WatchedReader(self._open(path, stop=stop), self.gate)
        self.readers.append(reader)
        self._opened.release()
        return reader

    def next_reader(self):
        assert self._opened.acquire(timeout=10)
        return self.readers[-1]


@pytest.fixture
def snapshot(store):
    people = pl.LazyFrame({"identifier": MEMBERS}).with_columns(
        outcome=pl.lit("valid", dtype=pl.Enum(["valid"]))
    )
    written, _ = store.write_snapshot("vip", people, record_width=DIGEST_WIDTH)
    return written


@pytest.fixture
def place(monkeypatch, store, snapshot):  # noqa: ARG001 - written before the place is watched
    return WatchedPlace(monkeypatch, store)


@pytest.fixture
def ahead(store, snapshot, place):  # noqa: ARG001 - watched from its first chunk on
    with ChunksAhead(store, "vip", snapshot) as opened:
        yield opened


def test_a_chunk_is_prepared_without_being_waited_for(ahead, place):
    """The caller goes on while its first block is on its way."""
    place.gate.clear()
    ahead.prepare(offset=30, count=30)
    place.gate.set()
    with ahead.open(offset=30, count=30) as chunk:
        (reader,) = place.readers
        assert reader.read.is_set()
        assert chunk.tell() == 0
        assert chunk.read() == lines(30, 30)
    assert reader.closed.is_set()


def test_a_chunk_that_was_not_prepared_is_opened(ahead):
    with ahead.open(offset=10, count=5) as chunk:
        assert chunk.read() == lines(10, 5)


@pytest.mark.parametrize("shut", [False, True], ids=["when it is ready", "while it is being read"])
@pytest.mark.parametrize(
    "instead",
    [
        pytest.param(lambda ahead: ahead.open(offset=0, count=30).close(), id="another is opened"),
        pytest.param(lambda ahead: ahead.prepare(offset=0, count=30), id="another is prepared"),
        pytest.param(lambda ahead: ahead.__exit__(None, None, None), id="the sync ends"),
    ],
)
def test_a_prepared_chunk_that_is_not_sent_is_closed(ahead, place, instead, shut):
    if shut:
        place.gate.clear()
    ahead.prepare(offset=30, count=30)
    reader = place.next_reader()
    assert reader.read.wait(timeout=10)

    instead(ahead)

    place.gate.set()
    assert reader.closed.wait(timeout=10)


def test_one_that_waits_for_its_turn_is_never_opened(ahead, place):
    place.gate.clear()
    ahead.prepare(offset=0, count=30)
    place.next_reader()
    ahead.prepare(offset=30, count=30)
    ahead.prepare(offset=60, count=30)
    place.gate.set()
    with ahead.open(offset=60, count=30) as chunk:
        assert chunk.read() == lines(60, 30)
    assert len(place.readers) == 2


def test_its_thread_ends_with_it(store, snapshot):
    before = set(threading.enumerate())
    with ChunksAhead(store, "vip", snapshot) as ahead:
        ahead.prepare(offset=0, count=30)
        started = {thread for thread in threading.enumerate() if thread not in before}
        assert started
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_a_sync_of_one_chunk_starts_no_thread(store, snapshot):
    before = set(threading.enumerate())
    with ChunksAhead(store, "vip", snapshot) as ahead, ahead.open(offset=0, count=100):
        assert set(threading.enumerate()) <= before


def test_a_failure_that_has_passed_harms_nobody(ahead, place):
    place.failures = [StoreUnavailable("the network is away")]
    ahead.prepare(offset=30, count=30)
    with ahead.open(offset=30, count=30) as chunk:
        assert chunk.read() == lines(30, 30)
    assert not place.failures, "it was met by the preparation"


def test_a_failure_that_lasts_is_raised_when_the_chunk_is_opened(ahead, place):
    place.failures = [StoreUnavailable("the network is away") for _ in range(2)]
    ahead.prepare(offset=30, count=30)
    with pytest.raises(StoreUnavailable, match="the network is away"):
        ahead.open(offset=30, count=30)
    with ahead.open(offset=30, count=30) as chunk:
        assert chunk.read() == lines(30, 30)


def test_a_block_that_cannot_be_read_leaves_no_file_open(ahead, place, monkeypatch):
    def fail(*_):
        raise StoreUnavailable("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(WatchedReader, "read_at", fail)
        ahead.prepare(offset=30, count=30)
        assert place.next_reader().closed.wait(timeout=10)
    with ahead.open(offset=30, count=30) as chunk:
        assert chunk.read() == lines(30, 30)


def test_a_snapshot_that_is_not_there_is_said_when_a_chunk_is_opened(snapshot, tmp_path):
    with ChunksAhead(Store(tmp_path / "another"), "vip", snapshot) as ahead:
        ahead.prepare(offset=0, count=10)
        with pytest.raises(SnapshotNotFound, match="materialise hashed_identifiers"):
            ahead.open(offset=0, count=10)
