import json
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from line_ads_pipeline.line_ads import LineAdsClient


@dataclass(frozen=True)
class Answer:
    status: int | None
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class ScriptedServer(ThreadingHTTPServer):
    """A real socket that answers in the given order: for headers and broken answers no API would give."""

    def __init__(self):
        self.answers: deque[Answer] = deque()
        self.received: list[Received] = []
        self.keeps_bodies = True
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/api"

    def say(self, status, body=b"", **headers):
        """Append an answer; JSON unless the body is bytes. A status of None drops the connection."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Answer(status, content, names))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.server.connections += 1
        super().setup()

    def _answer(self):
        body, left = b"", int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read(min(left, 64 * 1024))
            body += piece if self.server.keeps_bodies else b""
            left -= len(piece)
        self.server.received.append(Received(self.command, self.path, dict(self.headers), body))
        answer = self.server.answers.popleft()
        if answer.status is None:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = datetime(2026, 8, 1, 12, 0, 0, tzinfo=UTC)
        self.pauses: list[float] = []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)


class NoPace:
    def wait(self):
        pass


@pytest.fixture
def server():
    with ScriptedServer() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


@pytest.fixture
def fake_time():
    return FakeTime()


@pytest.fixture
def client_of(fake_time):
    """Opens clients that never really wait."""
    with ExitStack() as opened:

        def open_client(base_url, **changes):
            settings = {
                "access_key": "an-access-key",
                "secret_key": "a-secret-key",
                "clock": fake_time.clock,
                "sleep": fake_time.sleep,
                "pace": NoPace(),
            }
            return opened.enter_context(LineAdsClient(base_url=base_url, **(settings | changes)))

        yield open_client


@pytest.fixture
def scripted_client(server, client_of):
    return client_of(server.base_url)
