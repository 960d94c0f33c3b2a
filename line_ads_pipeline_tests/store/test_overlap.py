"""How many members two snapshots share: exactly, whatever the sizes and blocks, and read only as far as needed."""

import hashlib
import random
import uuid
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from line_ads_pipeline.store import (
    DIGEST_WIDTH,
    IFA_WIDTH,
    InvalidName,
    Snapshot,
    SnapshotDamaged,
    SnapshotNotFound,
    Store,
    bucket,
    folder,
)

READERS = (folder._FolderReader, bucket._BucketReader)

# of few values, so that two sets share many, and with heads and tails that tie
digests = st.sets(
    st.tuples(st.sampled_from(b"\x00\x7f\xff"), st.sampled_from(b"\x00\x7f\xff"), st.integers(0, 9)).map(
        lambda drawn: bytes([drawn[0]]) * 16 + bytes([drawn[1]]) * 15 + bytes([drawn[2]])
    ),
    max_size=60,
)
ifas = st.lists(
    st.tuples(
        st.sampled_from([uuid.UUID(int=number << 120 | number) for number in (*range(20), *range(160, 180))]),
        st.sampled_from([str.lower, str.upper, str.title]),
    ).map(lambda drawn: drawn[1](str(drawn[0])).encode()),
    max_size=60,
)


def write(store, members, *, width=DIGEST_WIDTH):
    members = list(members)
    frame = pl.LazyFrame(
        {
            "identifier": pl.Series(members, dtype=pl.Binary),
            "outcome": pl.Series(["valid"] * len(members), dtype=pl.Enum(["valid"])),
        }
    )
    return store.write_snapshot("vip", frame, record_width=width)[0]


def put(root, members, *, width=DIGEST_WIDTH):
    """A snapshot's file as the store documents it, in a fraction of the time that writing one takes."""
    distinct = {member if width == DIGEST_WIDTH else member.lower(): member for member in members}
    records = b"".join(distinct[member] for member in sorted(distinct))
    snapshot = Snapshot(hashlib.sha256(records).hexdigest(), width, len(distinct))
    path = root / "snapshots" / "vip" / snapshot.digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(records)
    return snapshot


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("store")


def some_digests(count, seed=0):
    source = random.Random(seed)
    return [source.randbytes(32) for _ in range(count)]


@contextmanager
def reading(*, block_records=None):
    """Let stores read blocks of so many records; gives the reads, as file size, offset and size."""
    reads = []

    def noting(read_at):
        def read(reader, offset, size):
            reads.append((reader.size, offset, size))
            return read_at(reader, offset, size)

        return read

    with ExitStack() as stack:
        for reader in READERS:
            stack.enter_context(patch.object(reader, "read_at", noting(reader.read_at)))
            if block_records is not None:
                # not a multiple of a record, as in a real store
                stack.enter_context(patch.object(reader, "block_bytes", block_records * 37))
        yield reads


@settings(max_examples=100, deadline=None)
@given(one=digests, other=digests, block_records=st.integers(1, 9))
def test_digests_are_counted_as_by_a_set(root, one, other, block_records):
    with reading(block_records=block_records):
        assert Store(root).count_common("vip", put(root, one), put(root, other)) == len(one & other)


@settings(max_examples=100, deadline=None)
@given(one=ifas, other=ifas, block_records=st.integers(1, 9))
def test_mobile_ad_ids_are_the_same_member_whatever_their_case(root, one, other, block_records):
    snapshots = (put(root, members, width=IFA_WIDTH) for members in (one, other))
    expected = {member.lower() for member in one} & {member.lower() for member in other}
    with reading(block_records=block_records):
        assert Store(root).count_common("vip", *snapshots) == len(expected)


def test_mobile_ad_ids_are_counted_as_the_store_writes_them(store):
    ids = [str(uuid.UUID(int=number << 120 | number)) for number in range(150, 200)]
    one = write(store, [text.upper().encode() for text in ids[:30]], width=IFA_WIDTH)
    other = write(store, [text.encode() for text in ids[20:]], width=IFA_WIDTH)
    with reading(block_records=4):
        assert store.count_common("vip", one, other) == 10


def test_blocks_of_the_real_size_meet_wherever_they_end(store):
    """Of the folder's 1 MiB and the bucket's 4 MiB: several of one file, and a part of another."""
    pool = some_digests(200_000)
    one, other = write(store, pool[:150_000]), write(store, pool[40_000:])

    assert store.count_common("vip", one, other) == 110_000
    assert store.count_common("vip", other, one) == 110_000


@pytest.mark.parametrize("block_records", [1, 7, 8, 9, 100])
@pytest.mark.parametrize("shared", [[0], [7, 8], [15], [23], [0, 7, 8, 15, 16, 23]])
def test_a_member_at_the_border_of_blocks_is_counted_once(store, block_records, shared):
    members = sorted(some_digests(24))
    one, other = write(store, members), write(store, [members[place] for place in shared])
    with reading(block_records=block_records):
        assert store.count_common("vip", one, other) == len(shared)
        assert store.count_common("vip", other, one) == len(shared)


@pytest.mark.parametrize("width", [DIGEST_WIDTH, IFA_WIDTH])
def test_nobody_is_shared_with_an_empty_snapshot(store, width):
    members = some_digests(3) if width == DIGEST_WIDTH else [str(uuid.UUID(int=7)).encode()]
    nobody, somebody = write(store, [], width=width), write(store, members, width=width)

    assert store.count_common("vip", nobody, somebody) == 0
    assert store.count_common("vip", somebody, nobody) == 0
    assert store.count_common("vip", nobody, nobody) == 0


def test_snapshots_may_share_nobody(store):
    members = sorted(some_digests(1000))
    with reading(block_records=10):
        assert store.count_common("vip", write(store, members[::2]), write(store, members[1::2])) == 0


def test_a_snapshot_shares_all_with_itself_without_being_read(store):
    snapshot = write(store, some_digests(100))
    with reading() as reads:
        assert store.count_common("vip", snapshot, snapshot) == 100
    assert reads == []


def test_a_large_snapshot_is_read_no_further_than_the_end_of_a_small_one(store):
    members = sorted(some_digests(10_000))
    large, small = write(store, members), write(store, members[:2])
    with reading(block_records=100) as reads:
        assert store.count_common("vip", large, small) == 2
    assert [offset for size, offset, _ in reads if size == 10_000 * 32] == [0]


def test_both_files_are_read_once_and_block_by_block(store):
    members = some_digests(5_000)
    one, other = write(store, members[:4_000]), write(store, members[1_000:])
    with reading(block_records=100) as reads:
        assert store.count_common("vip", one, other) == 3_000
    assert max(size for *_, size in reads) <= 100 * 37
    assert sum(size for *_, size in reads) <= (one.count + other.count) * DIGEST_WIDTH


def test_other_widths_cannot_be_compared(store):
    digests_of = write(store, some_digests(1))
    ifas_of = write(store, [str(uuid.UUID(int=7)).encode()], width=IFA_WIDTH)
    with pytest.raises(ValueError, match="32 and 36 bytes share no member"):
        store.count_common("vip", digests_of, ifas_of)


def test_an_absent_snapshot_is_named(store):
    present, absent = write(store, some_digests(1)), Snapshot("0" * 64, DIGEST_WIDTH, 3)
    for pair in ((present, absent), (absent, present)):
        with pytest.raises(SnapshotNotFound, match="0000 of audience vip: materialise hashed_identifiers"):
            store.count_common("vip", *pair)
    with pytest.raises(InvalidName):
        store.count_common("../vip", present, absent)


def test_a_snapshot_of_another_size_is_damaged(store):
    one, other = write(store, some_digests(3)), write(store, some_digests(3, seed=1))
    more = Snapshot(other.digest, DIGEST_WIDTH, 4)
    with pytest.raises(SnapshotDamaged, match="has 96 bytes, not 4 members"):
        store.count_common("vip", one, more)


def test_a_snapshot_that_is_cut_short_while_it_is_read_is_damaged(store):
    one, other = write(store, some_digests(3)), write(store, some_digests(3, seed=1))
    with ExitStack() as stack:
        for reader in READERS:
            stack.enter_context(patch.object(reader, "read_at", lambda *_: b""))
        with pytest.raises(SnapshotDamaged, match="cut short or removed while it was read"):
            store.count_common("vip", one, other)


def test_files_are_closed_whatever_happens(tmp_path):
    store = Store(tmp_path)
    one, other = write(store, some_digests(3)), write(store, some_digests(3, seed=1))
    closed = []
    with patch.object(folder._FolderReader, "close", lambda reader: closed.append(reader._file.close())):
        store.count_common("vip", one, other)
        assert len(closed) == 2
        (tmp_path / "snapshots" / "vip" / other.digest).unlink()
        with pytest.raises(SnapshotNotFound):
            store.count_common("vip", one, other)
        assert len(closed) == 3
