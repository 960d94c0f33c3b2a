"""The store in a real S3 server."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime

import obstore
import polars as pl
import pytest

from line_ads_pipeline.object_stores import connect
from line_ads_pipeline.store import DIGEST_WIDTH, SnapshotDamaged, SnapshotNotFound, Store, StoreUnavailable

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SOON = datetime(3000, 1, 1, tzinfo=UTC)


def frame(count, *, first=0):
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(first, first + count)]
    return pl.LazyFrame(
        {
            "identifier": pl.Series(digests, dtype=pl.Binary),
            "outcome": pl.Series(["valid"] * count, dtype=pl.Enum(["valid"])),
        }
    )


@pytest.fixture
def store(s3):
    return Store(f"{s3}/line ads/store")


def names(s3):
    return sorted(meta["path"] for meta in obstore.list(connect(s3)).collect())


def test_a_snapshot_is_the_same_as_in_a_folder(store, tmp_path, s3):
    folder = Store(tmp_path)
    for count in (0, 1, 5_000):
        snapshot, tally = store.write_snapshot("vip", frame(count), record_width=DIGEST_WIDTH)
        assert (snapshot, tally) == folder.write_snapshot("vip", frame(count), record_width=DIGEST_WIDTH)
        store.verify("vip", snapshot)
        assert store.holds("vip", snapshot)
        assert f"line ads/store/snapshots/vip/{snapshot.digest}" in names(s3)
        with store.open_chunk("vip", snapshot) as here, folder.open_chunk("vip", snapshot) as there:
            assert here.read() == there.read()


def test_a_snapshot_beyond_one_part_of_an_upload_arrives_whole(store):
    """Uploads of more than 5 MiB are made in parts."""
    snapshot, _ = store.write_snapshot("vip", frame(400_000), record_width=DIGEST_WIDTH)
    store.verify("vip", snapshot)
    with store.open_chunk("vip", snapshot, offset=399_998, count=5) as chunk:
        assert len(chunk.read().split()) == 2


def test_two_snapshots_are_compared(store):
    one, _ = store.write_snapshot("vip", frame(3_000), record_width=DIGEST_WIDTH)
    other, _ = store.write_snapshot("vip", frame(3_000, first=1_000), record_width=DIGEST_WIDTH)
    assert store.count_common("vip", one, other) == 2_000


def test_documents(store):
    assert store.read_document("audiences", "vip") is None
    store.write_document({"name": "顧客"}, "audiences", "vip")
    store.write_document({"name": "new"}, "audiences", "vip")
    assert store.read_document("audiences", "vip") == {"name": "new"}
    assert store.list_documents("audiences") == (("audiences", "vip"),)


def test_pruning(store, s3):
    kept, _ = store.write_snapshot("vip", frame(3), record_width=DIGEST_WIDTH)
    gone, _ = store.write_snapshot("vip", frame(4), record_width=DIGEST_WIDTH)
    assert store.prune_snapshots("vip", keep=[], older_than=LONG_AGO) == ()
    assert store.prune_snapshots("vip", keep=[kept.digest], older_than=SOON) == (gone.digest,)
    assert names(s3) == [f"line ads/store/snapshots/vip/{kept.digest}"]
    with pytest.raises(SnapshotNotFound):
        store.verify("vip", gone)


def test_damage_is_found(store, s3):
    snapshot, _ = store.write_snapshot("vip", frame(3), record_width=DIGEST_WIDTH)
    obstore.put(connect(s3), names(s3)[0], b"\0" * 96)
    with pytest.raises(SnapshotDamaged):
        store.verify("vip", snapshot)


def test_a_failed_read_leaves_nothing(store, s3):
    def fail(_):
        raise ValueError("the source failed")

    failing = frame(10).with_columns(pl.col("identifier").map_batches(fail, return_dtype=pl.Binary))
    with pytest.raises(Exception, match="the source failed"):
        store.write_snapshot("vip", failing, record_width=DIGEST_WIDTH)
    assert names(s3) == []


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there():
    with pytest.raises(StoreUnavailable, match="was not found: create the bucket"):
        Store("s3://nowhere/x").write_document({}, "one")
    with pytest.raises(StoreUnavailable, match="was not found: create the bucket"):
        Store("s3://nowhere/x").list_documents()


def test_what_another_process_wrote_is_seen_at_once(store):
    code = "import sys; from line_ads_pipeline.store import Store; Store(sys.argv[1]).write_document({'a': 1}, 'one')"
    subprocess.run([sys.executable, "-c", code, "s3://crm/line ads/store"], check=True)
    assert store.read_document("one") == {"a": 1}
