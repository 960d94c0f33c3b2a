"""Chunks: a part of a snapshot as a file of the lines that LINE is sent."""

import io
import random
import threading
import tracemalloc
import uuid

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from line_ads_pipeline.store import (
    DIGEST_WIDTH,
    IFA_WIDTH,
    SnapshotDamaged,
    SnapshotNotFound,
    Store,
    StoreUnavailable,
    bucket,
)
from line_ads_pipeline.store.chunk import SnapshotChunk
from line_ads_pipeline.store.records import Renderer

BLOCK = 1 << 20


def frame(identifiers):
    return pl.LazyFrame(
        {
            "identifier": pl.Series(identifiers, dtype=pl.Binary),
            "outcome": pl.Series(["valid"] * len(identifiers), dtype=pl.Enum(["valid"])),
        }
    )


def digests(count):
    data = random.Random(count).randbytes(32 * count)
    return [data[start : start + 32] for start in range(0, len(data), 32)]


class RecordedReader:
    """A reader over bytes that notes the ranges it is asked for."""

    def __init__(self, data, block_bytes):
        self.data, self.size, self.block_bytes = data, len(data), block_bytes
        self.ranges = []
        self.closed = False

    def read_at(self, offset, size):
        self.ranges.append((offset, size))
        return self.data[offset : offset + size]

    def close(self):
        self.closed = True


def test_digests_are_lower_case_hex_one_to_a_line(store):
    members = sorted(digests(100))
    snapshot, _ = store.write_snapshot("vip", frame(members), record_width=DIGEST_WIDTH)
    with store.open_chunk("vip", snapshot) as chunk:
        assert chunk.read() == "".join(f"{member.hex()}\n" for member in members).encode()
        assert len(chunk) == 100 * snapshot.line_bytes == 6_500


def test_mobile_ad_ids_are_themselves_one_to_a_line(store):
    members = [str(uuid.UUID(int=number << 100 | number)).upper().encode() for number in range(1, 101)]
    snapshot, _ = store.write_snapshot("vip", frame(members), record_width=IFA_WIDTH)
    with store.open_chunk("vip", snapshot) as chunk:
        assert chunk.read() == b"".join(member + b"\n" for member in members)
        assert len(chunk) == 100 * snapshot.line_bytes == 3_700


@pytest.mark.parametrize(
    ("offset", "count", "expected"),
    [
        pytest.param(0, None, slice(0, 10), id="all"),
        pytest.param(4, None, slice(4, 10), id="from the fifth"),
        pytest.param(0, 4, slice(0, 4), id="the first four"),
        pytest.param(8, 4, slice(8, 10), id="fewer than asked for"),
        pytest.param(10, None, slice(10, 10), id="nothing at the end"),
        pytest.param(12, 3, slice(10, 10), id="nothing beyond the end"),
        pytest.param(3, 0, slice(3, 3), id="none"),
    ],
)
def test_a_chunk_holds_the_records_asked_for(store, offset, count, expected):
    members = sorted(digests(10))
    snapshot, _ = store.write_snapshot("vip", frame(members), record_width=DIGEST_WIDTH)
    with store.open_chunk("vip", snapshot, offset=offset, count=count) as chunk:
        assert chunk.read().decode().split() == [member.hex() for member in members[expected]]


@pytest.mark.parametrize(("offset", "count"), [(-1, None), (0, -1)])
def test_negative_ranges_are_refused(store, offset, count):
    snapshot, _ = store.write_snapshot("vip", frame(digests(1)), record_width=DIGEST_WIDTH)
    with pytest.raises(ValueError, match="not negative"):
        store.open_chunk("vip", snapshot, offset=offset, count=count)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 900)),
        st.tuples(st.just("readinto"), st.integers(0, 900)),
        st.tuples(st.just("set"), st.integers(0, 1_500)),
        st.tuples(st.just("cur"), st.integers(0, 300)),
        st.tuples(st.just("end"), st.integers(-1_200, 100)),
        st.tuples(st.just("readline"), st.none()),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(
    width=st.sampled_from([DIGEST_WIDTH, IFA_WIDTH]),
    offset=st.integers(0, 5),
    count=st.integers(0, 18),
    block_records=st.integers(1, 7),
    steps=steps,
)
def test_a_chunk_reads_and_seeks_like_a_file_of_its_lines(width, offset, count, block_records, steps):
    data = bytes(32 + number % 90 for number in range(width * 23))
    records = [data[start : start + width] for start in range(0, len(data), width)][offset : offset + count]
    lines = b"".join((record if width == IFA_WIDTH else record.hex().encode()) + b"\n" for record in records)
    reader = RecordedReader(data, block_bytes=block_records * width + 3)
    chunk = SnapshotChunk(reader, record_width=width, offset=offset, count=count)
    file = io.BytesIO(lines)
    assert len(chunk) == len(lines)
    for step, number in steps:
        match step:
            case "read":
                assert chunk.read(number) == file.read(number)
            case "readinto":
                got, expected = bytearray(number), bytearray(number)
                assert chunk.readinto(got) == file.readinto(expected)
                assert got == expected
            case "readline":
                assert chunk.readline() == file.readline()
            case "end" if number < -len(lines):
                with pytest.raises((ValueError, OSError)):
                    chunk.seek(number, io.SEEK_END)
            case _:
                whence = {"set": io.SEEK_SET, "cur": io.SEEK_CUR, "end": io.SEEK_END}[step]
                assert chunk.seek(number, whence) == file.seek(number, whence)
        assert chunk.tell() == file.tell()
    chunk.close()
    assert reader.closed


def test_a_chunk_is_read_once_and_only_its_own_range():
    reader = RecordedReader(bytes(32 * 100), block_bytes=320)
    with SnapshotChunk(reader, record_width=32, offset=5, count=25) as chunk:
        while chunk.read(64):
            pass
    assert reader.ranges == [(160, 320), (480, 320), (800, 160)]


def test_reading_holds_a_block_and_not_the_chunk(tmp_path):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", frame(digests(200_000)), record_width=DIGEST_WIDTH)
    tracemalloc.start()
    with store.open_chunk("vip", snapshot) as chunk:
        while chunk.read(1 << 16):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 13_000_000 == len(chunk) > 1.5 * 8 * BLOCK > peak


def test_it_is_read_in_the_pieces_that_were_rendered():
    """Each block of eight records is rendered in four pieces of two lines; who asks for less gets less of one."""
    reader = RecordedReader(bytes(range(32)) * 21, block_bytes=32 * 8)
    line = bytes(range(32)).hex().encode() + b"\n"
    with SnapshotChunk(reader, record_width=32, offset=0, count=21) as chunk:
        assert chunk.read1(10_000) == line * 2
        assert chunk.read1(30) == line[:30]
        assert chunk.read1(10_000) == line[30:] + line
        assert chunk.read1() == line * 2
        assert chunk.read1(0) == b""
        assert [len(chunk.read1()) // 65 for _ in range(8)] == [2, 2, 2, 2, 2, 2, 2, 1]
        assert chunk.read1(10_000) == b""


def test_the_next_block_is_rendered_by_another_thread_while_one_is_read(monkeypatch):
    """Two pieces of one line to a block: the third and fourth are there before anybody asks for them."""
    threads, rendered = [], threading.Semaphore(0)
    render = Renderer.__call__

    def noted(self, records):
        text = render(self, records)
        threads.append(threading.current_thread())
        rendered.release()
        return text

    monkeypatch.setattr(Renderer, "__call__", noted)
    reader = RecordedReader(bytes(32 * 6), block_bytes=64)
    with SnapshotChunk(reader, record_width=32, offset=0, count=6) as chunk:
        chunk.read(65)
        assert all(rendered.acquire(timeout=10) for _ in range(4))
        assert not rendered.acquire(blocking=False), "no further than the next block"
    assert set(threads).isdisjoint({threading.current_thread()})
    assert not threads[0].is_alive(), "it ends with the chunk"


class SlowGets:
    """Stands between the store and its objects: notes the ranges of records, and fails some at their first try."""

    def __init__(self, monkeypatch, *, failing=(), failures=1):
        self.ranges, self._left = [], dict.fromkeys(failing, failures)
        self._lock, self._noted = threading.Lock(), threading.Semaphore(0)
        self._get_range = bucket.obstore.get_range
        monkeypatch.setattr(bucket.obstore, "get_range", self)
        monkeypatch.setattr(bucket._BucketReader, "block_bytes", 3_200)
        monkeypatch.setattr(bucket._BucketReader, "blocks_ahead", 2)

    def __call__(self, store, path, *, start, end):
        with self._lock:
            self.ranges.append((start // 32, end // 32))
            fails = self._left.get(start // 32, 0) > 0
            self._left[start // 32] = self._left.get(start // 32, 0) - 1
        self._noted.release()
        if fails:
            raise OSError("the network is away")
        return self._get_range(store, path, start=start, end=end)

    def wait_for(self, count):
        assert all(self._noted.acquire(timeout=10) for _ in range(count))


@pytest.fixture
def bucket_snapshot():
    store = Store("memory://")
    members = sorted(digests(1_000))
    snapshot, _ = store.write_snapshot("vip", frame(members), record_width=DIGEST_WIDTH)
    return store, snapshot, [member.hex().encode() + b"\n" for member in members]


def test_an_object_store_is_read_ahead_within_the_chunk(monkeypatch, bucket_snapshot):
    """The next blocks are on their way before they are asked for, two beyond the one that is rendered ahead, and
    nothing beyond the chunk ever is.
    """
    store, snapshot, lines = bucket_snapshot
    gets = SlowGets(monkeypatch)
    with store.open_chunk("vip", snapshot, offset=100, count=450) as chunk:
        text = chunk.read(65)
        gets.wait_for(4)
        assert sorted(gets.ranges) == [(100, 200), (200, 300), (300, 400), (400, 500)]
        text += chunk.read(65 * 100)
        gets.wait_for(1)
        assert sorted(gets.ranges)[4:] == [(500, 550)]
        text += chunk.read()
        assert text == b"".join(lines[100:550])
        assert sorted(gets.ranges) == [(100, 200), (200, 300), (300, 400), (400, 500), (500, 550)]
        chunk.seek(65 * 250)
        assert chunk.readline() == lines[350]


def test_a_read_ahead_that_failed_is_tried_again_when_it_is_needed(monkeypatch, bucket_snapshot):
    store, snapshot, lines = bucket_snapshot
    gets = SlowGets(monkeypatch, failing=[200])
    with store.open_chunk("vip", snapshot, offset=100, count=450) as chunk:
        assert chunk.read() == b"".join(lines[100:550])
    assert gets.ranges.count((200, 300)) == 2


def test_what_cannot_be_read_ahead_nor_later_is_an_error_only_when_it_is_needed(monkeypatch, bucket_snapshot):
    store, snapshot, lines = bucket_snapshot
    gets = SlowGets(monkeypatch, failing=[200], failures=4)
    with store.open_chunk("vip", snapshot, offset=100, count=450) as chunk:
        text = chunk.read(65 * 50)
        gets.wait_for(5)
        assert text + chunk.read(65 * 50) == b"".join(lines[100:200])
        with pytest.raises(StoreUnavailable, match="does not answer as it should"):
            chunk.read(1)


def test_a_chunk_cannot_be_written(store):
    snapshot, _ = store.write_snapshot("vip", frame(digests(1)), record_width=DIGEST_WIDTH)
    with store.open_chunk("vip", snapshot) as chunk:
        assert not chunk.writable()
        with pytest.raises(io.UnsupportedOperation):
            chunk.write(b"x")


def test_a_snapshot_that_is_not_there_is_said_to_be_missing(store, tmp_path):
    snapshot, _ = Store(tmp_path / "elsewhere").write_snapshot(
        "vip", frame(digests(1)), record_width=DIGEST_WIDTH
    )
    with pytest.raises(SnapshotNotFound, match=f"{snapshot.digest} of audience vip: materialise"):
        store.open_chunk("vip", snapshot)


def test_a_snapshot_of_another_size_is_not_sent(tmp_path):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", frame(digests(3)), record_width=DIGEST_WIDTH)
    path = tmp_path / "snapshots" / "vip" / snapshot.digest
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotDamaged, match="has 95 bytes"):
        store.open_chunk("vip", snapshot)


def test_a_snapshot_cut_short_while_it_is_read_is_an_error():
    reader = RecordedReader(bytes(32 * 10), block_bytes=64)
    with SnapshotChunk(reader, record_width=32, offset=0, count=10) as chunk:
        chunk.read(130)
        reader.data = reader.data[:100]
        with pytest.raises(SnapshotDamaged, match="while it was read"):
            chunk.read()


@pytest.mark.parametrize(
    "use", [lambda chunk: chunk.read(100), lambda chunk: chunk.read1(100), lambda chunk: chunk.seek(0)]
)
def test_a_closed_chunk_is_not_read(store, use):
    snapshot, _ = store.write_snapshot("vip", frame(digests(3)), record_width=DIGEST_WIDTH)
    chunk = store.open_chunk("vip", snapshot)
    chunk.read(1)
    chunk.close()
    with pytest.raises(ValueError, match="the chunk is closed"):
        use(chunk)
