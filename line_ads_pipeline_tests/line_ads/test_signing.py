import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from line_ads_pipeline.line_ads import LineAdsAuth

VECTORS = json.loads((Path(__file__).parent / "signing_vectors.json").read_text())


def auth(*, clock=lambda: parsedate_to_datetime(VECTORS["date"])):
    return LineAdsAuth(access_key=VECTORS["access_key"], secret_key=VECTORS["secret_key"], clock=clock)


def signed(request, by=None):
    return next((by or auth()).sync_auth_flow(request))


def token(request):
    scheme, _, text = request.headers["Authorization"].partition(" ")
    assert scheme == "Bearer"
    return text


def payload_lines(request):
    return base64.urlsafe_b64decode(token(request).split(".")[1]).decode().split("\n")


def vector_id(vector):
    return f"{vector['kind']} {vector['content_type'] or 'no body'}"


@pytest.mark.parametrize("vector", [v for v in VECTORS["vectors"] if "token" in v], ids=vector_id)
def test_the_worked_examples_of_line_are_reproduced_bit_for_bit(vector):
    request = httpx.Request(
        "POST" if vector["body"] else "GET",
        f"https://ads.line.me{vector['path']}?page=1&name=a%2Fb",
        content=vector["body"] or None,
        headers={"Content-Type": vector["content_type"]} if vector["content_type"] else {},
    )
    assert token(signed(request)) == vector["token"]
    assert request.headers["Date"] == VECTORS["date"]
    assert base64.urlsafe_b64decode(token(request).split(".")[0]).decode() == VECTORS["header"]


class Unreadable:
    """A file that must not be touched."""

    def read(self, *_):
        raise AssertionError("signing has read the file")

    def seek(self, *_):
        return 10

    def tell(self):
        return 0


@pytest.mark.parametrize("vector", [v for v in VECTORS["vectors"] if "signature" in v], ids=vector_id)
def test_a_multipart_body_is_signed_without_reading_it_and_without_its_boundary(vector):
    request = httpx.Request(
        "POST",
        f"https://ads.line.me{vector['path']}",
        data={"action": "ADD"},
        files={"file": ("a.txt", Unreadable(), "text/plain")},
    )
    assert token(signed(request)).split(".")[2] == vector["signature"]
    assert "; boundary=" in request.headers["Content-Type"]


def test_date_header_and_signed_day_are_utc_and_come_from_one_reading_of_the_clock():
    """Two readings around midnight would name two days, which LINE refuses."""
    start = datetime(2026, 1, 1, 8, 59, 59, 900_000, tzinfo=timezone(timedelta(hours=9)))
    readings = iter(start + timedelta(milliseconds=200 * n) for n in range(10))
    request = signed(httpx.Request("GET", "https://ads.line.me/api/v3/x"), auth(clock=lambda: next(readings)))
    assert request.headers["Date"] == "Wed, 31 Dec 2025 23:59:59 GMT"
    assert payload_lines(request)[2] == "20251231"


def test_the_path_is_signed_as_it_is_sent_with_that_of_the_base_url():
    with httpx.Client(base_url="https://proxy.example/line/api/") as client:
        request = signed(client.build_request("GET", "v3/adaccounts/A%2F1", params={"page": 1}))
    assert request.url.raw_path == b"/line/api/v3/adaccounts/A%2F1?page=1"
    assert payload_lines(request)[3] == "/line/api/v3/adaccounts/A%2F1"


def test_every_part_keeps_its_padding():
    parts = token(signed(httpx.Request("GET", "https://ads.line.me/api/v3/x"))).split(".")
    assert [len(part) % 4 for part in parts] == [0, 0, 0]
    assert parts[2].endswith("=")


def test_a_request_sent_again_is_signed_anew():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    moments = iter([now, now + timedelta(days=1)])
    clocked = auth(clock=lambda: next(moments))
    request = httpx.Request("GET", "https://ads.line.me/api/v3/x")
    first = (token(signed(request, clocked)), request.headers["Date"])
    second = (token(signed(request, clocked)), request.headers["Date"])
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_its_repr_hides_both_keys():
    assert VECTORS["access_key"] not in repr(auth())
    assert VECTORS["secret_key"] not in repr(auth())
