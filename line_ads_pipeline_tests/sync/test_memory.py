"""How much memory an upload costs beyond the idle process: of a chunk of 60 MiB, in a process of its own."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from line_ads_pipeline.line_ads import FILE_SIZE_LIMIT
from line_ads_pipeline.store import DIGEST_WIDTH, IFA_WIDTH

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from /proc, which only Linux has"
)

MEBIBYTE = 1 << 20
DIGEST = "5a" * 32
SENDER = """
import json, re, sys
from pathlib import Path
from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.store import ChunksAhead, Snapshot, Store

def kibibytes(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

base_url, location, width, count, id_type = sys.argv[1:]
count = int(count)
snapshot = Snapshot(digest="5a" * 32, record_width=int(width), count=2 * count)
keys = {"access_key": "a-key", "secret_key": "a-secret"}
with (
    LineAdsClient(**keys, base_url=base_url, requests_per_second=1e6) as client,
    ChunksAhead(Store(location), "vip", snapshot) as files,
):
    def send(offset, count):
        with files.open(offset=offset, count=count) as file:
            client.upload(
                "A1", action="ADD", id_type=id_type, file=file, file_name="a.txt", audience_id="77"
            )
            return len(file)

    send(0, 100)
    idle = kibibytes("VmRSS")
    sent = send(0, count)
    files.prepare(offset=count, count=count)
    client.upload_jobs("A1", "77")
    sent += send(count, count)
print(json.dumps({"sent": sent, "kibibytes": kibibytes("VmHWM") - idle}))
"""


class Server(ThreadingHTTPServer):
    """LINE, which throws uploads away, and below `/bucket` an S3 whose one object is a file."""

    daemon_threads = True

    def __init__(self, file):
        self.file, self.received = file, 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        room = memoryview(bytearray(MEBIBYTE))
        while left:
            taken = self.rfile.readinto(room[: min(left, MEBIBYTE)])
            left -= taken
            self.server.received += taken
        audience = {"id": "77", "name": "VIP", "functionType": "UPLOAD", "status": "READY"}
        self._answer(202, json.dumps(audience).encode())

    def do_HEAD(self):
        self._answer(200, length=self.server.file.stat().st_size)

    def do_GET(self):
        if not self.path.startswith("/bucket/"):
            self._answer(200, b'{"jobs": []}')
            return
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        with self.server.file.open("rb") as file:
            file.seek(first)
            block = file.read(last + 1 - first)
        self._answer(206, block, first=first)

    def _answer(self, status, body=b"", *, length=None, first=None):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
        if first is not None:
            last = first + len(body) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{self.server.file.stat().st_size}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(params=["HASHED_EMAIL", "IFA"])
def segment(request, tmp_path):
    """A snapshot of two full chunks in a folder, whose content no one looks at: its type, width and chunk size."""
    width, line = (DIGEST_WIDTH, 65) if request.param == "HASHED_EMAIL" else (IFA_WIDTH, 37)
    count = FILE_SIZE_LIMIT // line
    file = tmp_path / "store" / "snapshots" / "vip" / DIGEST
    file.parent.mkdir(parents=True)
    with file.open("wb") as opened:
        opened.writelines(b"7" * width * 10_000 for _ in range(-(-2 * count // 10_000)))
        opened.truncate(2 * count * width)
    return request.param, width, count, file


@pytest.mark.parametrize("kind", ["folder", "object store"])
def test_a_chunk_of_60_mib_costs_far_less_memory_than_it_has_bytes(segment, tmp_path, kind):
    """The second of two full chunks is prepared while the first is waited for. Below 64 MiB is what is promised."""
    id_type, width, count, file = segment
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with Server(file) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        environment |= {"AWS_ENDPOINT": server.url, "AWS_ALLOW_HTTP": "true", "AWS_SKIP_SIGNATURE": "true"}
        location = str(tmp_path / "store") if kind == "folder" else "s3://bucket"
        done = subprocess.run(
            [sys.executable, "-c", SENDER, server.url, location, str(width), str(count), id_type],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert done.returncode == 0
    cost = json.loads(done.stdout)
    assert 2 * FILE_SIZE_LIMIT - 2 * 65 < cost["sent"] < server.received
    assert cost["kibibytes"] < {"folder": 16, "object store": 40}[kind] * 1024, cost
