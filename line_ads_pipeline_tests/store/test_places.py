"""Where files are kept: permissions, failures, kills, several writers at once."""

import errno
import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest

from line_ads_pipeline.store import DIGEST_WIDTH, IFA_WIDTH, Store, StoreFull, StoreUnavailable

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def frame(count):
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(count)]
    return pl.LazyFrame(
        {"identifier": digests, "outcome": pl.Series(["valid"] * count, dtype=pl.Enum(["valid"]))}
    )


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@contextmanager
def file_size_limit(size):
    """Lets writes beyond a size fail as on a full disk; no longer than needed, since it holds for pytest's own too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_folders_and_files_are_for_their_owner_only_whatever_the_umask(tmp_path, umask):
    root = tmp_path / "data" / "store"
    before = os.umask(umask)
    try:
        store = Store(root)
        store.write_snapshot("vip", frame(3), record_width=DIGEST_WIDTH)
        store.write_document({}, "audiences", "vip")
    finally:
        os.umask(before)
    modes = {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in (root, *root.rglob("*"))
    }
    assert {mode for path, mode in modes.items() if (root / path).is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if (root / path).is_file()} == {0o600}


def test_reading_makes_no_folder(tmp_path):
    store = Store(tmp_path / "store")
    assert store.read_document("one") is None
    assert store.list_documents() == ()
    assert not (tmp_path / "store").exists()


def test_a_folder_may_be_given_as_text(tmp_path):
    Store(str(tmp_path)).write_document({"a": 1}, "one")
    assert Store(tmp_path).read_document("one") == {"a": 1}


@pytest.mark.parametrize(
    "limit", [pytest.param(1_000, id="while splitting"), pytest.param(100_000, id="while merging")]
)
def test_a_full_disk_is_said_and_nothing_half_written_stays(tmp_path, limit):
    store = Store(tmp_path)
    full = pytest.raises(StoreFull, match=r"no space left in the store in .*LINE_ADS_STORE")
    with full, file_size_limit(limit):
        store.write_snapshot("vip", frame(5_000), record_width=DIGEST_WIDTH)
    assert files(tmp_path) == []


def test_a_full_disk_leaves_the_old_document(tmp_path):
    store = Store(tmp_path)
    store.write_document({"old": True}, "one")
    with pytest.raises(StoreFull), file_size_limit(10):
        store.write_document({"new": "x" * 100}, "one")
    assert store.read_document("one") == {"old": True}
    assert files(tmp_path) == ["documents/one.json"]


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        pytest.param(errno.EACCES, StoreUnavailable, "no permission for the store in", id="permission"),
        pytest.param(errno.EROFS, StoreUnavailable, "no permission for the store in", id="read-only"),
        pytest.param(errno.ENOSPC, StoreFull, "no space left in the store in", id="full"),
        pytest.param(
            errno.EIO, StoreUnavailable, r"the store in .* fails \(Input/output error\): check", id="broken"
        ),
    ],
)
def test_what_the_system_refuses_is_said_with_the_remedy(tmp_path, monkeypatch, number, error, words):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(error, match=f"{words}.*LINE_ADS_STORE"):
        Store(tmp_path).write_document({}, "one")
    assert files(tmp_path) == []


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreUnavailable, match="names a folder"):
        Store(tmp_path / "store").write_document({}, "one")


KILLED = """
import os, sys, time, uuid
import polars as pl
from polars.io.plugins import register_io_source
from line_ads_pipeline.store import Store

def wait(*_):
    print("here", flush=True)
    time.sleep(60)

def ids(*_):
    frame = pl.DataFrame({"identifier": [str(uuid.UUID(int=n << 96 | n)).encode() for n in range(1_000)]})
    frame = frame.with_columns(outcome=pl.lit("valid").cast(pl.Enum(["valid"])))
    yield frame
    if sys.argv[2] == "reading":
        wait()

if sys.argv[2] == "written":
    os.fsync = lambda descriptor: wait() if os.fstat(descriptor).st_size == 36_000 else None
source = register_io_source(ids, schema={"identifier": pl.Binary, "outcome": pl.Enum(["valid"])})
Store(sys.argv[1]).write_snapshot("vip", source, record_width=36)
"""


@pytest.mark.parametrize(
    ("moment", "left"), [pytest.param("reading", 0, id="reading"), pytest.param("written", 1, id="written")]
)
def test_a_kill_leaves_no_snapshot_and_at_most_one_file_that_pruning_removes(tmp_path, moment, left):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path, moment], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "here\n"
        writer.send_signal(signal.SIGKILL)
    remains = files(tmp_path)
    assert len(remains) == left
    assert all(path.startswith("unfinished/") and path.endswith(".partial") for path in remains)

    store = Store(tmp_path)
    store.prune_snapshots("vip", keep=[], older_than=LONG_AGO)
    assert files(tmp_path) == remains, "it might be a live writer's"
    for path in remains:
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o600
        os.utime(tmp_path / path, (0, 0))
    store.prune_snapshots("vip", keep=[], older_than=LONG_AGO)
    assert files(tmp_path) == []


def test_writers_at_the_same_time_do_no_harm(store):
    with ThreadPoolExecutor(4) as pool:
        written = list(
            pool.map(
                lambda _: store.write_snapshot("vip", frame(2_000), record_width=DIGEST_WIDTH)[0], range(8)
            )
        )
    assert len(set(written)) == 1
    store.verify("vip", written[0])


def test_readers_see_whole_documents_only(store):
    store.write_document({"values": [0] * 2_000}, "one")
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            store.write_document({"values": [number] * 2_000}, "one")

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = [store.read_document("one")["values"] for _ in range(200)]
        stop.set()
        writing.result()
    assert all(values == [values[0]] * 2_000 for values in seen)


def test_an_object_store_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Store("memory://").write_snapshot("vip", frame(10), record_width=DIGEST_WIDTH)
    assert files(tmp_path) == []


@pytest.mark.parametrize("url", ["s3x://bucket/prefix", "ftp://someone:hunter2@host/path", "s3://"])
def test_an_address_of_no_known_kind_is_refused_without_its_password(url):
    with pytest.raises(StoreUnavailable, match="is no place for a store: let LINE_ADS_STORE name") as raised:
        Store(url)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__context__ is None


@pytest.fixture
def refusing_bucket(monkeypatch):
    """An S3 server that answers every request with `status`, and echoes the credentials it was sent."""
    answers = {"status": 403}

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = (
                b"" if self.command == "HEAD" else f"<Error>{self.headers['Authorization']}</Error>".encode()
            )
            self.send_response(answers["status"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names http.server calls

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "ap-northeast-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    yield answers
    server.shutdown()
    server.server_close()


CALLS = {
    "write snapshot": lambda store: store.write_snapshot("vip", frame(3), record_width=DIGEST_WIDTH),
    "write document": lambda store: store.write_document({}, "one"),
    "read document": lambda store: store.read_document("one"),
    "list documents": lambda store: store.list_documents(),
    "prune": lambda store: store.prune_snapshots("vip", keep=[], older_than=LONG_AGO),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("status", [401, 403, 400])
def test_what_an_object_store_refuses_is_said_without_its_words(refusing_bucket, call, status):
    refusing_bucket["status"] = status
    words = {400: r"does not answer as it should \(HTTP 400\)"}.get(
        status, "no permission .*check the credentials"
    )
    with pytest.raises(StoreUnavailable, match=words) as raised:
        call(Store("s3://bucket/prefix"))
    assert "s3://bucket/prefix" in str(raised.value)
    assert "AKIAEXAMPLE" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_a_bucket_that_does_not_exist_is_said_when_something_is_written(refusing_bucket):
    refusing_bucket["status"] = 404
    with pytest.raises(StoreUnavailable, match="was not found: create the bucket, or correct LINE_ADS_STORE"):
        Store("s3://bucket/prefix").write_document({}, "one")


def test_plain_mobile_ad_ids_are_in_no_named_file_but_the_snapshot(tmp_path):
    """Raw identifiers on their way are in files without a name."""
    seen = []

    store = Store(tmp_path)
    ids = pl.LazyFrame(
        {
            "identifier": [b"00000000-0000-0000-0000-00000000000a"],
            "outcome": pl.Series(["valid"], dtype=pl.Enum(["valid"])),
        }
    )
    watched = ids.with_columns(
        pl.col("identifier").map_batches(
            lambda column: seen.extend(files(tmp_path)) or column, return_dtype=pl.Binary
        )
    )
    snapshot, _ = store.write_snapshot("vip", watched, record_width=IFA_WIDTH)
    assert seen == []
    assert files(tmp_path) == [f"snapshots/vip/{snapshot.digest}"]
