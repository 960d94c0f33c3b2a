"""What the pipeline adds to the transfer of an audience: the client and the whole sync beside a bare POST.

The server is a process of its own that throws bodies away and finishes every job at once, so that the client is all
there is to measure.
"""

import argparse
import json
import multiprocessing
import os
import re
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import polars as pl
import pyarrow as pa

from benchmarks.harness import MEBIBYTE, Stopwatch, race, table
from line_ads_pipeline.coordination import Coordination
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.line_ads.client import PIECE_BYTES
from line_ads_pipeline.store import DIGEST_WIDTH, Snapshot, Store, Tally
from line_ads_pipeline.sync import AudienceRecords, Destination, Patience, Synchroniser, SyncRequest
from line_ads_pipeline.sync.manifest import plan_chunks

TITLE = "Transfer of an audience"

ACCOUNT = "A10000000001"
AUDIENCE = "transferred"
UNPACED = 1e6
LINES_AT_MOST = 1_500_000

_FORM_BYTES = 4096
"""Of an upload's body, with all but the lines in them."""

BARE = "a bare POST of the same bytes, from files"
FORM = "the same as a multipart form"
RENDERING = "rendering the text, nothing sent"
CLIENT = "this client, from a snapshot"
SYNC = "the whole sync"
PACED = "the whole sync at 8 requests a second"


def bare_post(stopwatch: Stopwatch, base_url: str, folder: str) -> dict[str, int]:
    """Post each file as it is, over one connection."""
    with httpx.Client() as http:
        with stopwatch:
            for path in _files(folder):
                with path.open("rb") as file:
                    headers = {"Content-Length": str(path.stat().st_size)}
                    http.post(f"{base_url}/bare", content=file, headers=headers).raise_for_status()
        return _received(http, base_url)


def bare_form(stopwatch: Stopwatch, base_url: str, folder: str) -> dict[str, int]:
    """Post each file as LINE wants it, over one connection."""
    with httpx.Client() as http:
        with stopwatch:
            for path in _files(folder):
                with path.open("rb") as file:
                    form = {"data": {"action": "ADD", "idType": "HASHED_EMAIL"}, "files": {"file": file}}
                    http.post(f"{base_url}/bare", **form).raise_for_status()  # type: ignore[arg-type]
        return _received(http, base_url)


def rendering(stopwatch: Stopwatch, folder: str) -> dict[str, int]:
    """Read each chunk of the snapshot as the text that is sent, in the pieces that are sent."""
    store, snapshot = _kept(folder)
    rendered = 0
    with stopwatch, store.open_chunk(AUDIENCE, snapshot) as file:
        while piece := file.read1(PIECE_BYTES):
            rendered += len(piece)
    return {"bytes": rendered}


def client(stopwatch: Stopwatch, base_url: str, folder: str) -> dict[str, int]:
    """Upload each chunk of the snapshot, and look at its job."""
    store, snapshot = _kept(folder)
    with _client(base_url, UNPACED) as line_ads, stopwatch:
        audience_id = None
        for chunk in plan_chunks(
            snapshot.count, line_bytes=snapshot.line_bytes, mode="mirror", max_records=LINES_AT_MOST
        ):
            with store.open_chunk(AUDIENCE, snapshot, offset=chunk.offset, count=chunk.count) as file:
                audience_id = line_ads.upload(
                    ACCOUNT,
                    action=chunk.action,
                    id_type="HASHED_EMAIL",
                    file=file,
                    file_name=f"{chunk.number}.txt",
                    audience_id=audience_id,
                    name=None if audience_id else "Client",
                ).id
            assert not line_ads.upload_jobs(ACCOUNT, audience_id)[-1].is_running
    return _received(httpx, base_url)


def sync(stopwatch: Stopwatch, base_url: str, folder: str, requests_per_second: str) -> dict[str, int]:
    """Mirror the snapshot with manifest, leases, guardrails and confirmation."""
    store, snapshot = _kept(folder)
    with (
        tempfile.TemporaryDirectory() as own,
        Coordination(f"sqlite:///{Path(own, 'coordination.sqlite')}") as coordination,
        _client(base_url, float(requests_per_second)) as line_ads,
    ):
        synchroniser = Synchroniser(
            client=line_ads,
            records=AudienceRecords(store, f"{AUDIENCE}_{secrets.token_hex(4)}"),
            destination=Destination(
                audience=AUDIENCE,
                ad_account_id=ACCOUNT,
                id_type="HASHED_EMAIL",
                audience_name=f"Sync {secrets.token_hex(4)}",
            ),
            coordination=coordination,
            mode="mirror",
            max_records=LINES_AT_MOST,
            patience=Patience(first_poll=0.01),
        )
        tally = Tally(rows=snapshot.count, outcomes={}, distinct=snapshot.count, duplicates=0)
        request = SyncRequest(snapshot=snapshot, tally=tally, partition="2026-11-20")
        with stopwatch, synchroniser.alone(request.partition) as mine:
            mine.sync(request)
    return _received(httpx, base_url)


def _client(base_url: str, requests_per_second: float) -> LineAdsClient:
    return LineAdsClient(
        access_key="an-access-key",
        secret_key=secrets.token_hex(8),
        base_url=base_url,
        requests_per_second=requests_per_second,
    )


def _received(http: Any, base_url: str) -> dict[str, int]:  # noqa: ANN401 - httpx, or a client of it
    return {"bytes": http.get(f"{base_url}/received").json()}


def _files(folder: str) -> list[Path]:
    return sorted(Path(folder, "text").iterdir())


def _kept(folder: str) -> tuple[Store, Snapshot]:
    store = Store(Path(folder, "store"))
    document = store.read_document("benchmark")
    assert document is not None
    return store, Snapshot.from_document(document)


def _keep(folder: Path, rows: int) -> int:
    """Write random digests as a snapshot and as the files that LINE is sent; give the bytes of these."""
    store = Store(folder / "store")
    digests = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(DIGEST_WIDTH), rows, [None, pa.py_buffer(os.urandom(rows * DIGEST_WIDTH))]
    )
    people = pl.LazyFrame({"identifier": pl.Series(pl.from_arrow(digests))})
    snapshot, _ = store.write_snapshot(
        AUDIENCE,
        people.with_columns(outcome=pl.lit("hashed", dtype=pl.Enum(["hashed"]))),
        record_width=DIGEST_WIDTH,
    )
    store.write_document(snapshot.to_document(), "benchmark")
    text = folder / "text"
    text.mkdir()
    for chunk in plan_chunks(
        snapshot.count, line_bytes=snapshot.line_bytes, mode="mirror", max_records=LINES_AT_MOST
    ):
        with store.open_chunk(AUDIENCE, snapshot, offset=chunk.offset, count=chunk.count) as file:
            (text / f"{chunk.number:05}.txt").write_bytes(file.read())
    return snapshot.count * snapshot.line_bytes


@dataclass
class DiscardingLine:
    """A LINE that forgets what it is sent, but for how much it was and the names of the files."""

    audiences: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    received: int = 0

    def answer(self, method: str, path: str, form: bytes) -> tuple[int, object]:
        """Answer a request whose body, of which `form` is the beginning, has been thrown away."""
        *_, audience_id, call = path.split("/")
        if method == "POST" and call == "upload":
            return 202, self._upload(form.decode())
        if call == "upload-job":
            return 200, {"jobs": self.jobs[audience_id]}
        if call == "custom-audiences":
            return 200, {"audienceGroups": list(self.audiences.values()), "hasNextPage": False}
        if call == "received":
            received, self.received = self.received, 0
            return 200, received
        return 200, {}

    def _upload(self, form: str) -> dict[str, str]:
        fields = dict(re.findall(r' name="(\w+)"\r\n\r\n([^\r]*)', form))
        audience_id = fields.get("id") or f"{len(self.audiences) + 1:013}"
        if audience_id not in self.audiences:
            self.audiences[audience_id] = {
                "id": audience_id,
                "name": fields["name"],
                "functionType": "HASHED_EMAIL_UPLOAD",
                "status": "READY",
            }
            self.jobs[audience_id] = []
        self.jobs[audience_id].append(
            {
                "audienceGroupId": audience_id,
                "audienceGroupJobId": secrets.token_hex(8),
                "name": re.findall(r'filename="([^"]*)"', form)[0],
                "type": f"DIFF_{fields['action']}",
                "jobStatus": "FINISHED",
            }
        )
        return self.audiences[audience_id]


def _listen(port: Connection) -> None:
    line = DiscardingLine()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port.send(listener.getsockname()[1])
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_converse, args=(connection, line), daemon=True).start()


def _converse(connection: socket.socket, line: DiscardingLine) -> None:
    room = memoryview(bytearray(MEBIBYTE))
    with connection:
        while head := _until_blank_line(connection):
            head, _, form = head.partition(b"\r\n\r\n")
            method, target, *_ = head.decode().split(" ", 2)
            found = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            while len(form) < min(length, _FORM_BYTES):
                form += connection.recv(_FORM_BYTES)
            left = length - len(form)
            while left:
                left -= connection.recv_into(room, min(left, len(room)), socket.MSG_TRUNC)
            line.received += length
            status, answer = line.answer(method, urlsplit(target).path, form)
            body = json.dumps(answer).encode()
            connection.sendall(f"HTTP/1.1 {status} OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def _until_blank_line(connection: socket.socket) -> bytes:
    """Give a request's head and what of its body came along; nothing at the connection's end."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(_FORM_BYTES)
        if not piece:
            return b""
        head += piece
    return head


@contextmanager
def discarding_line() -> Iterator[str]:
    """Run the server in a process of its own; give the base URL of its API."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=_listen, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/api"
    finally:
        process.kill()
        process.join()


def run(options: argparse.Namespace) -> str:
    """Let all send the same identifiers, and tell times beside the bare POST's."""
    rows: int = options.rows
    with tempfile.TemporaryDirectory() as folder, discarding_line() as base_url:
        size = _keep(Path(folder), rows)
        where = [base_url, folder]
        measured = race(
            {
                BARE: ["bare_post", *where],
                FORM: ["bare_form", *where],
                RENDERING: ["rendering", folder],
                CLIENT: ["client", *where],
                SYNC: ["sync", *where, f"{UNPACED}"],
                PACED: ["sync", *where, "8"],
            },
            section="benchmarks.transfer",
            rounds=options.rounds,
        )
    bare = measured[BARE]
    lines = []
    for name, taken in measured.items():
        assert taken.found["bytes"] >= size, f"{name} sent {taken.found['bytes']:,} of {size:,} bytes"
        lines.append(
            [
                name,
                f"{taken.wall:.2f}",
                f"{size / 1e6 / taken.wall:,.0f}",
                f"{taken.cpu:.2f}",
                f"{taken.peak_bytes / MEBIBYTE:.0f}",
                f"{taken.wall / bare.wall:.2f}",
                f"{taken.cpu / bare.cpu:.2f}",
            ]
        )
    header = [
        f"{rows:,} digests, {size / 1e6:,.0f} MB",
        "wall s",
        "MB/s",
        "CPU s",
        "peak MiB",
        "times the bare POST's wall",
        "times its CPU",
    ]
    return (
        f"{table(header, lines)}\n\nThe whole sync takes **{measured[SYNC].wall / bare.wall:.2f}** times as long as the "
        "bare POST of the same bytes, at most 2 are wanted; it renders the text that is sent from binary digests as it "
        f"goes, which alone takes {measured[RENDERING].wall / bare.wall:.2f} times as long as the bare POST, who finds it "
        "in files. The server is another process, throws bodies away and finishes jobs "
        "at once; it and the client share the loopback interface. httpx sends files in pieces of 64 KiB, the client in "
        "pieces of 520 KiB that a thread renders ahead. CPU is that of the client alone, of both its threads. At 8 "
        "requests a "
        "second, the default, a chunk of 60 MiB waits for its turn longer than it travels here."
    )
