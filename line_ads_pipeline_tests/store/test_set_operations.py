"""What two snapshots have apart and together: exactly as sets have it, whatever the sizes and blocks."""

import hashlib
import random
import re
import uuid
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from line_ads_pipeline.store import (
    DIGEST_WIDTH,
    IFA_WIDTH,
    Snapshot,
    SnapshotDamaged,
    SnapshotNotFound,
    Store,
    bucket,
    folder,
)

READERS = (folder._FolderReader, bucket._BucketReader)
OPERATIONS = {
    "difference": lambda store, one, other: store.write_difference("vip", one, without=other),
    "union": lambda store, one, other: store.write_union("vip", one, other),
}

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


def in_order(members):
    """One spelling of each member, in the order of a snapshot."""
    distinct = {member.lower() if len(member) == IFA_WIDTH else member: member for member in members}
    return [distinct[key] for key in sorted(distinct)]


def put(root, members, *, width=DIGEST_WIDTH):
    """A snapshot's file as the store documents it, in a fraction of the time that writing one takes."""
    members = in_order(members)
    records = b"".join(members)
    snapshot = Snapshot(hashlib.sha256(records).hexdigest(), width, len(members))
    path = root / "snapshots" / "vip" / snapshot.digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(records)
    return snapshot


def members_of(root, snapshot):
    records = (root / "snapshots" / "vip" / snapshot.digest).read_bytes()
    width = snapshot.record_width
    return [records[start : start + width] for start in range(0, len(records), width)]


def some_digests(count, seed=0):
    source = random.Random(seed)
    return [source.randbytes(32) for _ in range(count)]


@contextmanager
def blocks_of(records):
    """Let stores read blocks of so many records, and not a multiple of a record, as in a real store."""
    with ExitStack() as stack:
        for reader in READERS:
            stack.enter_context(patch.object(reader, "block_bytes", records * 37))
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One folder for all examples of a property."""
    return tmp_path_factory.mktemp("store")


@settings(max_examples=80, deadline=None)
@given(one=digests, other=digests, block_records=st.integers(1, 9))
def test_digests_are_told_apart_and_brought_together_as_by_sets(root, one, other, block_records):
    store, pair = Store(root), (put(root, one), put(root, other))
    with blocks_of(block_records):
        written = {name: operation(store, *pair) for name, operation in OPERATIONS.items()}

    assert written == {"difference": put(root, one - other), "union": put(root, one | other)}
    for snapshot in written.values():
        store.verify("vip", snapshot)


@settings(max_examples=80, deadline=None)
@given(one=ifas, other=ifas, block_records=st.integers(1, 9))
def test_mobile_ad_ids_are_the_same_member_whatever_their_case(root, one, other, block_records):
    one, other = in_order(one), in_order(other)
    store = Store(root)
    pair = [put(root, members, width=IFA_WIDTH) for members in (one, other)]
    with blocks_of(block_records):
        written = {name: operation(store, *pair) for name, operation in OPERATIONS.items()}

    beyond = {member.lower() for member in one} - {member.lower() for member in other}
    smallest = {}
    for member in (*one, *other):
        smallest[member.lower()] = min(member, smallest.get(member.lower(), member))
    assert members_of(root, written["difference"]) == [member for member in one if member.lower() in beyond]
    assert members_of(root, written["union"]) == [smallest[member] for member in sorted(smallest)]


def test_blocks_of_the_real_size_meet_wherever_they_end(store, snapshots_of):
    """Several MiB of each, so that many blocks of the one end within those of the other."""
    pool = some_digests(200_000)
    one, other = snapshots_of(store, pool[:150_000]), snapshots_of(store, pool[40_000::3])
    beyond = {*pool[:150_000]} - {*pool[40_000::3]}
    together = {*pool[:150_000]} | {*pool[40_000::3]}

    assert store.write_difference("vip", one, without=other) == snapshots_of(store, beyond)
    assert store.write_union("vip", one, other) == snapshots_of(store, together)
    assert store.write_union("vip", other, one) == snapshots_of(store, together)


@pytest.mark.parametrize("width", [DIGEST_WIDTH, IFA_WIDTH])
def test_an_empty_snapshot_takes_nothing_away_and_adds_nothing(tmp_path, width):
    store = Store(tmp_path)
    members = some_digests(3) if width == DIGEST_WIDTH else [str(uuid.UUID(int=7)).encode()]
    nobody, somebody = put(tmp_path, [], width=width), put(tmp_path, members, width=width)

    assert store.write_difference("vip", somebody, without=nobody) == somebody
    assert store.write_difference("vip", nobody, without=somebody) == nobody
    assert store.write_difference("vip", somebody, without=somebody) == nobody
    assert store.write_union("vip", nobody, somebody) == somebody
    assert store.write_union("vip", somebody, nobody) == somebody
    assert store.write_union("vip", nobody, nobody) == nobody


def test_what_is_written_is_for_the_eyes_of_its_owner(tmp_path):
    store = Store(tmp_path)
    pair = [put(tmp_path, [str(uuid.UUID(int=n)).encode()], width=IFA_WIDTH) for n in (1, 2)]

    written = store.write_union("vip", *pair)

    assert (tmp_path / "snapshots" / "vip" / written.digest).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("location", ["a folder", "memory://"])
def test_what_is_written_is_read_as_any_snapshot(tmp_path, snapshots_of, location):
    store = Store(tmp_path if location == "a folder" else location)
    one, other = snapshots_of(store, some_digests(10)), snapshots_of(store, some_digests(12)[5:])

    for operation in OPERATIONS.values():
        snapshot = operation(store, one, other)
        store.verify("vip", snapshot)
        with store.open_chunk("vip", snapshot) as chunk:
            assert len(re.findall(rb"[0-9a-f]{64}\n", chunk.read())) == snapshot.count


@pytest.fixture
def snapshots_of():
    """Writes the snapshot of digests to any store."""

    def write(store, members):
        with store._place.new_file() as file:
            records = b"".join(sorted(members))
            file.write(records)
            digest = hashlib.sha256(records).hexdigest()
            file.publish(f"snapshots/vip/{digest}")
        return Snapshot(digest, DIGEST_WIDTH, len(members))

    return write


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_nothing_is_written_where_something_is_wrong(tmp_path, operation):
    store = Store(tmp_path)
    present = put(tmp_path, some_digests(3))
    absent, longer = Snapshot("0" * 64, DIGEST_WIDTH, 3), Snapshot(present.digest, DIGEST_WIDTH, 4)
    ifa = put(tmp_path, [str(uuid.UUID(int=7)).encode()], width=IFA_WIDTH)
    files = sorted(tmp_path.rglob("*"))

    for pair in ((present, absent), (absent, present)):
        with pytest.raises(SnapshotNotFound):
            operation(store, *pair)
    with pytest.raises(SnapshotDamaged):
        operation(store, present, longer)
    with pytest.raises(ValueError, match="share no member"):
        operation(store, present, ifa)
    assert sorted(tmp_path.rglob("*")) == files


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_a_snapshot_that_is_cut_short_while_it_is_read_leaves_nothing_behind(tmp_path, operation):
    store = Store(tmp_path)
    pair = [put(tmp_path, some_digests(3, seed=seed)) for seed in (1, 2)]
    with patch.object(folder._FolderReader, "read_at", lambda *_: b""), pytest.raises(SnapshotDamaged):
        operation(store, *pair)

    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
