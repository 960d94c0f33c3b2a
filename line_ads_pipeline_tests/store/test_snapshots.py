"""Snapshots: what is written, under which address, and what is counted."""

import hashlib
import os
import random
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.io.plugins import register_io_source

from line_ads_pipeline.store import (
    DIGEST_WIDTH,
    IFA_WIDTH,
    InvalidName,
    InvalidRecords,
    Snapshot,
    SnapshotDamaged,
    SnapshotNotFound,
    Store,
    bucket,
    folder,
    sorting,
)

OUTCOMES = pl.Enum(["valid", "already_hashed", "blank", "null"])
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
FAR_AHEAD = datetime(2999, 1, 1, tzinfo=UTC)

digests = st.lists(
    # Few heads and few tails: many rows share their first eight bytes, and many are equal.
    st.one_of(
        st.binary(min_size=32, max_size=32),
        st.tuples(
            st.sampled_from([b"\x00" * 8, b"\x7f" * 8, b"\xff" * 8]), st.sampled_from(b"\x00\x80\xff")
        ).map(lambda drawn: drawn[0] + bytes(23) + bytes([drawn[1]])),
    ),
    max_size=40,
)
cases = st.sampled_from([str.lower, str.upper, str.title, str.swapcase])
ifas = st.lists(
    st.tuples(
        st.one_of(st.uuids(), st.sampled_from([uuid.UUID(int=n << 120 | n) for n in range(160, 176)])), cases
    ).map(lambda drawn: drawn[1](str(drawn[0])).encode()),
    max_size=40,
)


def rows(identifiers, outcomes=None):
    if outcomes is None:
        outcomes = ["null" if identifier is None else "valid" for identifier in identifiers]
    return pl.LazyFrame(
        {
            "identifier": pl.Series(identifiers, dtype=pl.Binary),
            "outcome": pl.Series(outcomes, dtype=OUTCOMES),
        }
    )


def content(store, audience, snapshot):
    with store.open_chunk(audience, snapshot) as chunk:
        return chunk.read()


def some_digests(count, seed=0):
    return [random.Random(f"{seed}/{number}").randbytes(32) for number in range(count)]


def test_a_snapshot_is_the_sorted_distinct_digests_under_the_sha256_of_its_bytes(tmp_path):
    members = some_digests(500)
    snapshot, _ = Store(tmp_path).write_snapshot(
        "vip", rows(members + members[:50]), record_width=DIGEST_WIDTH
    )
    expected = b"".join(sorted(members))
    assert (tmp_path / "snapshots" / "vip" / snapshot.digest).read_bytes() == expected
    assert snapshot == Snapshot(hashlib.sha256(expected).hexdigest(), 32, 500)


def test_an_empty_segment_has_the_snapshot_of_no_bytes(store):
    snapshot, tally = store.write_snapshot("vip", rows([]), record_width=DIGEST_WIDTH)
    assert snapshot == Snapshot(hashlib.sha256(b"").hexdigest(), 32, 0)
    assert (tally.rows, tally.distinct, tally.duplicates, tally.skipped) == (0, 0, 0, 0)
    store.verify("vip", snapshot)
    assert content(store, "vip", snapshot) == b""


def test_rows_are_counted_by_outcome_and_add_up(store):
    one, two, three = some_digests(3)
    identified = rows(
        [one, None, two, one, None, None, three, two],
        ["valid", "blank", "already_hashed", "already_hashed", "null", "null", "valid", "valid"],
    )
    _, tally = store.write_snapshot("vip", identified, record_width=DIGEST_WIDTH)
    assert tally.outcomes == {"valid": 3, "already_hashed": 2, "blank": 1, "null": 2}
    assert (tally.rows, tally.distinct, tally.duplicates, tally.skipped) == (8, 3, 2, 3)


def test_outcomes_that_did_not_occur_are_counted_as_none(store):
    _, tally = store.write_snapshot("vip", rows(some_digests(1)), record_width=DIGEST_WIDTH)
    assert list(tally.outcomes.items()) == [("valid", 1), ("already_hashed", 0), ("blank", 0), ("null", 0)]


@settings(max_examples=40, deadline=None)
@given(identifiers=digests, seed=st.integers(), batch_rows=st.integers(1, 45))
def test_the_same_digests_give_the_same_snapshot_whatever_the_order_and_the_batches(
    identifiers, seed, batch_rows
):
    store = Store("memory://")
    shuffled = random.Random(seed).sample(identifiers, k=len(identifiers)) + identifiers[:3]
    with patch("line_ads_pipeline.store.sorting._BATCH_ROWS", batch_rows):
        snapshot, tally = store.write_snapshot("vip", rows(shuffled), record_width=DIGEST_WIDTH)
    expected = sorted(set(identifiers))
    assert snapshot.digest == hashlib.sha256(b"".join(expected)).hexdigest()
    assert (tally.distinct, tally.duplicates) == (len(expected), len(shuffled) - len(expected))
    assert content(store, "vip", snapshot) == b"".join(digest.hex().encode() + b"\n" for digest in expected)
    store.verify("vip", snapshot)


@settings(max_examples=40, deadline=None)
@given(identifiers=ifas, seed=st.integers(), batch_rows=st.integers(1, 45))
def test_mobile_ad_ids_equal_but_for_case_are_one_member_spelt_with_the_smallest_bytes(
    identifiers, seed, batch_rows
):
    store = Store("memory://")
    shuffled = random.Random(seed).sample(identifiers, k=len(identifiers))
    with patch("line_ads_pipeline.store.sorting._BATCH_ROWS", batch_rows):
        snapshot, tally = store.write_snapshot("vip", rows(shuffled), record_width=IFA_WIDTH)
    kept = {}
    for identifier in sorted(identifiers, reverse=True):
        kept[identifier.lower()] = identifier
    expected = [kept[member] for member in sorted(kept)]
    assert content(store, "vip", snapshot) == b"".join(identifier + b"\n" for identifier in expected)
    assert (tally.distinct, tally.duplicates) == (len(kept), len(identifiers) - len(kept))
    store.verify("vip", snapshot)


@pytest.mark.parametrize("threads", ["1", "2", "5"])
def test_the_number_of_cores_does_not_change_the_snapshot(tmp_path, threads):
    program = (
        "import sys, hashlib, polars as pl\n"
        "from line_ads_pipeline.store import Store\n"
        "n = 20_000\n"
        "ids = [hashlib.sha256(str(i % 15_000).encode()).digest() for i in range(n)]\n"
        "frame = pl.LazyFrame({'identifier': ids, 'outcome': pl.Series(['valid'] * n, dtype=pl.Enum(['valid']))})\n"
        "print(Store(sys.argv[1]).write_snapshot('vip', frame, record_width=32)[0].digest)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env=os.environ | {"POLARS_MAX_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    members = sorted(hashlib.sha256(str(number).encode()).digest() for number in range(15_000))
    assert run.stdout.strip() == hashlib.sha256(b"".join(members)).hexdigest()


def test_writing_the_same_members_again_gives_the_same_snapshot_and_one_file(tmp_path):
    store = Store(tmp_path)
    members = some_digests(100)
    first, _ = store.write_snapshot("vip", rows(members), record_width=DIGEST_WIDTH)
    second, _ = store.write_snapshot("vip", rows(members[::-1]), record_width=DIGEST_WIDTH)
    assert first == second
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [first.digest]


def test_audiences_do_not_share_snapshots(store):
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(2)), record_width=DIGEST_WIDTH)
    with pytest.raises(SnapshotNotFound, match="of audience all: materialise hashed_identifiers"):
        store.open_chunk("all", snapshot)


def test_rows_are_streamed_and_not_collected(store):
    """While the first batches are split apart, the source has not been read to its end."""
    read = []

    def batches(*_):
        for number in range(200):
            read.append(number)
            yield rows(some_digests(10, seed=number)).collect()

    def split_noting_progress(present, *, width):
        progress.append(len(read))
        return original(present, width=width)

    original, progress = sorting.split, []
    schema = {"identifier": pl.Binary, "outcome": OUTCOMES}
    with (
        patch.object(sorting, "split", split_noting_progress),
        patch.object(sorting, "_BATCH_ROWS", 10),
    ):
        _, tally = store.write_snapshot(
            "vip", register_io_source(batches, schema=schema), record_width=DIGEST_WIDTH
        )
    assert tally.distinct == 2_000
    assert progress[0] < 100


def test_an_error_of_the_plan_is_raised_as_it_is_and_leaves_nothing(tmp_path):
    class SourceFailed(Exception):
        pass

    def batches(*_):
        yield rows(some_digests(10)).collect()
        raise SourceFailed("the source is gone")

    schema = {"identifier": pl.Binary, "outcome": OUTCOMES}
    with pytest.raises(SourceFailed, match="the source is gone"):
        Store(tmp_path).write_snapshot(
            "vip", register_io_source(batches, schema=schema), record_width=DIGEST_WIDTH
        )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("identifier", "width"),
    [
        pytest.param(b"x" * 31, DIGEST_WIDTH, id="short digest"),
        pytest.param(b"", DIGEST_WIDTH, id="empty digest"),
        pytest.param(b"a" * 64, DIGEST_WIDTH, id="digest in hex"),
        pytest.param(b"x" * 32, IFA_WIDTH, id="digest among mobile ad ids"),
        pytest.param(b"g" * 36, IFA_WIDTH, id="no hex digits"),
        pytest.param(b"12345-678-1234-1234-1234-123456789ab", IFA_WIDTH, id="hyphens elsewhere"),
        pytest.param(b"12345678-1234-1234-1234+123456789abc", IFA_WIDTH, id="no hyphen"),
        pytest.param(b"ab" + b"\xff" * 34, IFA_WIDTH, id="no text"),
        pytest.param(b"ab" + b"\n" * 34, IFA_WIDTH, id="line ends"),
    ],
)
def test_identifiers_of_another_form_are_refused_without_being_quoted(tmp_path, identifier, width):
    good = b"x" * 32 if width == DIGEST_WIDTH else str(uuid.UUID(int=7)).encode()
    with pytest.raises(InvalidRecords, match="check the identifier's type") as raised:
        Store(tmp_path).write_snapshot("vip", rows([good, identifier]), record_width=width)
    assert identifier == b"" or identifier.decode(errors="replace") not in str(raised.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pl.LazyFrame({"identifier": [b"x" * 32]}), id="no outcome"),
        pytest.param(rows([]).with_columns(pl.col("outcome").cast(pl.String)), id="outcome as text"),
        pytest.param(rows([]).with_columns(pl.lit("x").alias("identifier")), id="identifier as text"),
    ],
)
def test_other_columns_are_refused(store, frame):
    with pytest.raises(TypeError, match="binary column identifier and an enum column outcome"):
        store.write_snapshot("vip", frame, record_width=DIGEST_WIDTH)


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        pytest.param(lambda data: data[:-32], "has 288 bytes", id="cut short"),
        pytest.param(lambda data: data + bytes(32), "has 352 bytes", id="longer"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), "has other bytes", id="a flipped bit"),
        pytest.param(lambda data: data[32:64] + data[:32] + data[64:], "is not in order", id="swapped"),
        pytest.param(lambda data: data[:32] + data[:32] + data[64:], "is not in order", id="doubled"),
    ],
)
def test_a_damaged_snapshot_is_found(tmp_path, damage, finding):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(10)), record_width=DIGEST_WIDTH)
    path = tmp_path / "snapshots" / "vip" / snapshot.digest
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SnapshotDamaged, match=f"{finding}.*materialise hashed_identifiers again"):
        store.verify("vip", snapshot)


def test_disorder_between_two_blocks_is_found(tmp_path):
    store = Store(tmp_path)
    members = sorted(some_digests(3 * (1 << 15)))
    block = 1 << 15
    data = b"".join(members[block : 2 * block] + members[:block] + members[2 * block :])
    snapshot = Snapshot(hashlib.sha256(data).hexdigest(), DIGEST_WIDTH, len(members))
    path = tmp_path / "snapshots" / "vip" / snapshot.digest
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    with pytest.raises(SnapshotDamaged, match="is not in order"):
        store.verify("vip", snapshot)


def test_writing_the_same_members_heals_a_damaged_snapshot(tmp_path):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(10)), record_width=DIGEST_WIDTH)
    (tmp_path / "snapshots" / "vip" / snapshot.digest).write_bytes(b"")
    store.write_snapshot("vip", rows(some_digests(10)), record_width=DIGEST_WIDTH)
    store.verify("vip", snapshot)


def test_pruning_removes_old_snapshots_of_one_audience_that_are_not_kept(store):
    kept, removed = (
        store.write_snapshot("vip", rows(some_digests(3, seed)), record_width=DIGEST_WIDTH)[0]
        for seed in (1, 2)
    )
    other, _ = store.write_snapshot("other", rows(some_digests(3, 3)), record_width=DIGEST_WIDTH)
    assert store.prune_snapshots("vip", keep=[], older_than=LONG_AGO) == ()
    assert store.prune_snapshots("vip", keep=[kept.digest], older_than=FAR_AHEAD) == (removed.digest,)
    assert store.prune_snapshots("vip", keep=[kept.digest], older_than=FAR_AHEAD) == ()
    store.verify("vip", kept)
    store.verify("other", other)
    with pytest.raises(SnapshotNotFound):
        store.verify("vip", removed)


def test_pruning_an_audience_without_snapshots_removes_nothing(store):
    assert store.prune_snapshots("vip", keep=[], older_than=FAR_AHEAD) == ()


def test_writing_a_snapshot_again_renews_its_age(tmp_path):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(3)), record_width=DIGEST_WIDTH)
    os.utime(tmp_path / "snapshots" / "vip" / snapshot.digest, (0, 0))
    store.write_snapshot("vip", rows(some_digests(3)), record_width=DIGEST_WIDTH)
    assert store.prune_snapshots("vip", keep=[], older_than=LONG_AGO + timedelta(days=1)) == ()


def test_pruning_needs_a_moment_with_a_zone(store):
    with pytest.raises(ValueError, match="time zone"):
        store.prune_snapshots("vip", keep=[], older_than=datetime(2026, 1, 1))  # noqa: DTZ001 - refused


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "a..b", ".hidden", "a.", "a\n", "会員", "a\x00"]
)
def test_audience_names_that_are_no_path_segment_are_refused(store, name):
    with pytest.raises(InvalidName, match="cannot be a name in the store"):
        store.write_snapshot(name, rows([]), record_width=DIGEST_WIDTH)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"digest": "../../etc/passwd", "record_width": 32, "count": 1}, id="path as digest"),
        pytest.param({"digest": "0" * 64, "record_width": 20, "count": 1}, id="unknown width"),
        pytest.param({"digest": "0" * 64, "record_width": 32, "count": -1}, id="negative count"),
    ],
)
def test_a_document_that_describes_no_snapshot_is_refused(document):
    with pytest.raises(ValueError, match="no snapshot is like"):
        Snapshot.from_document(document)


def test_a_snapshot_survives_its_document():
    snapshot = Snapshot("0" * 64, 36, 12)
    assert Snapshot.from_document(snapshot.to_document()) == snapshot


def test_what_is_no_snapshot_is_not_pruned(tmp_path):
    note = tmp_path / "snapshots" / "vip" / "README"
    note.parent.mkdir(parents=True)
    note.write_text("ours")
    assert Store(tmp_path).prune_snapshots("vip", keep=[], older_than=FAR_AHEAD) == ()
    assert note.exists()


@pytest.mark.parametrize("width", [0, 20, 64])
def test_other_widths_are_refused(store, width):
    with pytest.raises(ValueError, match="a record has 32 or 36 bytes"):
        store.write_snapshot("vip", rows([]), record_width=width)


def test_a_snapshot_is_held_until_it_is_removed(store):
    """Of its audience alone, also when it has no members."""
    for members in (some_digests(2), []):
        snapshot, _ = store.write_snapshot("vip", rows(members), record_width=DIGEST_WIDTH)
        assert store.holds("vip", snapshot)
        assert not store.holds("all", snapshot)
        store.prune_snapshots("vip", keep=[], older_than=FAR_AHEAD)
        assert not store.holds("vip", snapshot)


def test_a_snapshot_that_was_cut_short_is_not_held(tmp_path):
    store = Store(tmp_path)
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(2)), record_width=DIGEST_WIDTH)
    os.truncate(tmp_path / "snapshots" / "vip" / snapshot.digest, DIGEST_WIDTH)
    assert not store.holds("vip", snapshot)


def test_whether_a_snapshot_is_held_is_told_without_reading_it(store, monkeypatch):
    snapshot, _ = store.write_snapshot("vip", rows(some_digests(2)), record_width=DIGEST_WIDTH)
    for reader in (folder._FolderReader, bucket._BucketReader):
        monkeypatch.delattr(reader, "read_at")
    assert store.holds("vip", snapshot)


def test_who_has_opted_out_is_left_out_and_counted_once(store):
    """Whatever of the opt-outs is no member, or no identifier, holds nobody back."""
    one, two, three, stranger = some_digests(4)
    snapshot, tally = store.write_snapshot(
        "vip",
        rows([one, two, two, three, None]),
        record_width=DIGEST_WIDTH,
        opt_outs=rows([two, two, stranger, None], ["valid", "already_hashed", "valid", "blank"]),
    )
    without, _ = store.write_snapshot("vip", rows([one, three]), record_width=DIGEST_WIDTH)
    assert snapshot == without
    assert (tally.rows, tally.distinct, tally.held_back, tally.duplicates, tally.skipped) == (5, 2, 1, 1, 1)
    assert tally.opt_outs == {"valid": 2, "already_hashed": 1, "blank": 1, "null": 0}
    opted_out = Snapshot.from_document(tally.opted_out)
    assert content(store, "vip", opted_out).split() == [
        each.hex().encode() for each in sorted([two, stranger])
    ]


def test_without_opt_outs_there_are_none_to_count(store):
    _, tally = store.write_snapshot("vip", rows(some_digests(1)), record_width=DIGEST_WIDTH)
    assert (tally.held_back, tally.opt_outs, tally.opted_out) == (0, {}, None)


def test_opt_outs_are_read_after_the_segment(store):
    read = []

    def noted(name, members):
        def batches(*_):
            read.append(name)
            yield rows(members).collect()

        return register_io_source(batches, schema=rows([]).collect_schema())

    store.write_snapshot(
        "vip",
        noted("segment", some_digests(1)),
        record_width=DIGEST_WIDTH,
        opt_outs=noted("opt-outs", some_digests(1)),
    )
    assert read == ["segment", "opt-outs"]


@settings(max_examples=60, deadline=None)
@given(identifiers=digests, unwanted=digests, both=digests)
def test_a_snapshot_is_the_difference_of_digests(identifiers, unwanted, both):
    store = Store("memory://")
    snapshot, tally = store.write_snapshot(
        "vip", rows(identifiers + both), record_width=DIGEST_WIDTH, opt_outs=rows(both + unwanted)
    )
    everybody, wanted = {*identifiers, *both}, {*identifiers, *both} - {*unwanted, *both}
    assert content(store, "vip", snapshot).split() == [digest.hex().encode() for digest in sorted(wanted)]
    assert tally.held_back == len(everybody) - len(wanted)
    store.verify("vip", snapshot)


@settings(max_examples=60, deadline=None)
@given(identifiers=ifas, unwanted=ifas, change=cases)
def test_a_mobile_ad_id_is_left_out_however_its_opt_out_is_spelt(identifiers, unwanted, change):
    store = Store("memory://")
    opt_outs = rows(unwanted + [change(each.decode()).encode() for each in identifiers[::2]])
    snapshot, _ = store.write_snapshot("vip", rows(identifiers), record_width=IFA_WIDTH, opt_outs=opt_outs)
    gone = {each.lower() for each in [*unwanted, *identifiers[::2]]}
    wanted = {each.lower() for each in identifiers} - gone
    assert {line.lower() for line in content(store, "vip", snapshot).split()} == wanted
