"""URLs of object stores: where requests go, and what is made of refusals."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest

from line_ads_pipeline.object_stores import Refusal, connect, without_credentials


@pytest.fixture
def asked(monkeypatch):
    """The paths and credentials of the requests that reached a server which is all three platforms."""
    requests = []

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append((self.path, (self.headers.get("Authorization") or "").split(":")[0]))
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_SKIP_SIGNATURE": "true",
        "GOOGLE_BASE_URL": url,
        "GOOGLE_ALLOW_HTTP": "true",
        "GOOGLE_SKIP_SIGNATURE": "true",
        "AZURE_ENDPOINT": url,
        "AZURE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "another",
        "AZURE_STORAGE_ACCOUNT_KEY": "c2VudGluZWw=",
    }.items():
        monkeypatch.setenv(name, value)
    yield requests
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "request_of_it"),
    [
        ("s3://bucket", ("/bucket/x", "")),
        ("s3://bucket/a/b", ("/bucket/a/b/x", "")),
        ("gs://bucket", ("/bucket/x", "")),
        ("gs://bucket/a", ("/bucket/a%2Fx", "")),
        ("az://account/container", ("/container/x", "SharedKey account")),
        ("az://account/container/a/b", ("/container/a/b/x", "SharedKey account")),
    ],
)
def test_the_bucket_and_the_folder_are_those_of_the_url(asked, url, request_of_it):
    with pytest.raises(FileNotFoundError):
        obstore.head(connect(url), "x")
    assert asked == [request_of_it]


@pytest.mark.parametrize(
    "url",
    ["s3://", "gs://", "az://", "az://account", "az:///container", "ftp://hunter2@host/x", "file:///x", "x"],
)
def test_other_urls_are_refused_without_their_words(url):
    with pytest.raises(ValueError, match=r"^no URL of an object store$") as raised:
        connect(url)
    assert raised.value.__context__ is None


def test_memory_is_a_store_of_its_own():
    store = connect("memory://")
    obstore.put(store, "x", b"1")
    with pytest.raises(FileNotFoundError):
        obstore.head(connect("memory://"), "x")


@pytest.mark.parametrize(
    ("url", "shown"),
    [("s3://key:hunter2@bucket/a", "s3://bucket/a"), ("az://account/c/a?sig=hunter2", "az://account/c/a")],
)
def test_a_url_is_shown_without_credentials(url, shown):
    assert without_credentials(url) == shown


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (OSError("… status code: 403 Forbidden: hunter2"), Refusal("denied", "HTTP 403")),
        (OSError("… status code: 401 …"), Refusal("denied", "HTTP 401")),
        (OSError("… status code: 404 …"), Refusal("absent", "HTTP 404")),
        (FileNotFoundError("x"), Refusal("absent", "FileNotFoundError")),
        (OSError("… status code: 412 …"), Refusal("changed", "HTTP 412")),
        (OSError("… status code: 503 …"), Refusal("other", "HTTP 503")),
        (OSError("… status code: 400 … AuthorizationHeaderMalformed"), Refusal("other region", "HTTP 400")),
        (
            OSError("GET http://169.254.169.254/latest/api/token … HTTP error"),
            Refusal("no credentials", "OSError"),
        ),
        (OSError("… HTTP error: error sending request"), Refusal("unreachable", "OSError")),
        (OSError("hunter2"), Refusal("other", "OSError")),
    ],
    ids=lambda value: value.reason if isinstance(value, Refusal) else "",
)
def test_an_error_is_told_by_its_reason_without_its_words(error, refusal):
    assert Refusal.of(error) == refusal
