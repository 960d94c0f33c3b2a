"""A request is answered only when its signature is exactly what LINE documents."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from line_ads_pipeline.simulator.records import Refusal
from line_ads_pipeline.simulator.signature import verify_signature

VECTORS = json.loads((Path(__file__).parent / "signing_vectors.json").read_text())
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
HEADER = '{"alg":"HS256","kid":"demo-access-key","typ":"text/plain"}'
PATH = "/api/v3/adaccounts/A10000000001/custom-audiences"


def vector_arguments(vector):
    return {
        "path": vector["path"],
        "body": (vector["body"] or "").encode(),
        "access_key": VECTORS["access_key"],
        "secret_key": VECTORS["secret_key"],
        "now": datetime(2021, 12, 22, tzinfo=UTC),
    }


@pytest.mark.parametrize("vector", [v for v in VECTORS["vectors"] if "token" in v], ids=["body", "no body"])
def test_accepts_lines_own_worked_examples(vector):
    headers = {"authorization": f"Bearer {vector['token']}", "date": VECTORS["date"]}
    if vector["content_type"]:
        headers["content-type"] = vector["content_type"]
    verify_signature(headers, **vector_arguments(vector))


def test_accepts_the_multipart_example(spec):
    """Multipart is signed as the empty string, and its content type without the boundary."""
    [vector] = [v for v in VECTORS["vectors"] if v["content_type"] == "multipart/form-data"]
    payload = f"{EMPTY_HASH}\nmultipart/form-data\n20211222\n{vector['path']}"
    token = spec.sign(VECTORS["header"], payload, secret_key=VECTORS["secret_key"])
    assert token.endswith(f".{vector['signature']}")
    headers = {
        "authorization": f"Bearer {token}",
        "date": VECTORS["date"],
        "content-type": "multipart/form-data; boundary=b",
    }
    verify_signature(headers, **(vector_arguments(vector) | {"body": b"--b--"}))


@pytest.mark.parametrize("vector", [v for v in VECTORS["vectors"] if "token" in v], ids=["body", "no body"])
@pytest.mark.parametrize(
    "change",
    [
        {"secret_key": "x"},
        {"access_key": "x"},
        {"path": "/api/v3"},
        {"body": b"{}"},
        {"now": datetime(2021, 12, 23, tzinfo=UTC)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_refuses_the_examples_with_one_thing_changed(vector, change):
    headers = {
        "authorization": f"Bearer {vector['token']}",
        "date": VECTORS["date"],
        "content-type": "application/json",
    }
    with pytest.raises(Refusal) as refused:
        verify_signature(headers, **(vector_arguments(vector) | change))
    assert (refused.value.status, refused.value.reason) == (401, "AUTHORIZATION_FAILED")


PAYLOAD = f"{EMPTY_HASH}\n\n20260803\n{PATH}"
BROKEN = {
    "no header": (None, ""),
    "not Bearer": ("Basic {token}", "three base64url parts"),
    "two parts": ("Bearer a.b", "three base64url parts"),
    "header is not JSON": (("nothing", PAYLOAD), "not a JSON object"),
    "header is a list": (("[]", PAYLOAD), "not a JSON object"),
    "another algorithm": ((HEADER.replace("HS256", "none"), PAYLOAD), "alg HS256"),
    "another type": ((HEADER.replace("text/plain", "JWT"), PAYLOAD), "typ text/plain"),
    "another access key": ((HEADER.replace("demo", "other"), PAYLOAD), "not a known access key"),
    "hash of another body": ((HEADER, PAYLOAD.replace(EMPTY_HASH, "0" * 64)), "hash of the body"),
    "upper-case hash": ((HEADER, PAYLOAD.replace(EMPTY_HASH, EMPTY_HASH.upper())), "hash of the body"),
    "content type without a body": (
        (HEADER, PAYLOAD.replace("\n\n", "\napplication/json\n")),
        "content type",
    ),
    "yesterday": ((HEADER, PAYLOAD.replace("20260803", "20260802")), "UTC day"),
    "path without /api": ((HEADER, PAYLOAD.replace("/api", "")), "path"),
    "path with the query": ((HEADER, f"{PAYLOAD}?page=1"), "path"),
    "three lines": ((HEADER, PAYLOAD.replace("\n\n", "\n")), "3 lines instead of four"),
    "last newline": ((HEADER, f"{PAYLOAD}\n"), "5 lines instead of four"),
}


@pytest.mark.parametrize(("authorization", "said"), BROKEN.values(), ids=BROKEN)
def test_refuses_any_other_token_with_401(line, clock, spec, authorization, said):
    headers = {"Date": spec.rfc_1123(clock())}
    if isinstance(authorization, tuple):
        authorization = f"Bearer {spec.sign(*authorization, secret_key='demo-secret-key')}"
    if authorization is not None:
        headers["Authorization"] = authorization
    response = line.http.get(line.url(), params={"page": 1}, headers=headers, auth=None)
    assert response.status_code == 401
    assert response.json() == {"errors": [{"reason": "AUTHORIZATION_FAILED"}]}
    [broken] = line.simulator.broken_rules
    assert broken.rule == "signature"
    assert said in broken.detail


def test_accepts_the_token_that_those_are_changed_from(line, clock, spec):
    token = spec.sign(HEADER, PAYLOAD, secret_key="demo-secret-key")
    headers = {"Date": spec.rfc_1123(clock()), "Authorization": f"Bearer {token}"}
    assert line.http.get(line.url(), params={"page": 1}, headers=headers, auth=None).status_code == 200


@pytest.mark.parametrize("part", ["header", "payload", "signature"])
def test_refuses_a_token_without_padding(line, clock, spec, part):
    """JWT libraries sign and send the parts without it."""
    payload = f"{EMPTY_HASH}\n\n20260803\n/api/v3/adaccounts/A1/custom-audiences"
    parts = {"header": spec.base64url(f"{HEADER} ".encode()), "payload": spec.base64url(payload.encode())}
    assert all(text.endswith("=") for text in parts.values())
    if part in parts:
        parts[part] = parts[part].rstrip("=")
    signed = ".".join(parts.values())
    signature = spec.base64url(hmac.digest(b"demo-secret-key", signed.encode(), hashlib.sha256))
    token = f"{signed}.{signature.rstrip('=') if part == 'signature' else signature}"
    headers = {"Date": spec.rfc_1123(clock()), "Authorization": f"Bearer {token}"}
    assert line.http.get(line.url(ad_account="A1"), headers=headers, auth=None).status_code == 401
    assert f"{part} is base64url without its `=` padding" in line.simulator.broken_rules[0].detail


def test_white_space_in_the_header_does_not_matter(line, clock, spec):
    """The text that was received is what is verified."""
    token = spec.sign(HEADER.replace(",", " , "), PAYLOAD, secret_key="demo-secret-key")
    headers = {"Date": spec.rfc_1123(clock()), "Authorization": f"Bearer {token}"}
    assert line.http.get(line.url(), headers=headers, auth=None).status_code == 200


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(899, 200), (900, 200), (901, 401), (-900, 200), (-901, 401)],
    ids=str,
)
def test_the_date_must_be_within_15_minutes_of_the_servers_clock(line, clock, spec, seconds, status):
    line.http.auth = spec.auth(lambda: clock() + timedelta(seconds=seconds))
    assert line.listing().status_code == status


def test_the_day_is_that_of_the_date_header_around_midnight(line, clock, spec):
    clock.now = datetime(2026, 8, 4, 0, 0, 30, tzinfo=UTC)
    line.http.auth = spec.auth(lambda: clock() - timedelta(minutes=1))
    assert line.listing().status_code == 200


@pytest.mark.parametrize(
    "date",
    [
        "2026-08-03T01:02:03Z",
        "Mon, 3 Aug 2026 01:02:03 GMT",
        "Mon, 03 Aug 2026 01:02:03 +0000",
        "Tue, 03 Aug 2026 01:02:03 GMT",
        "",
    ],
    ids=["ISO 8601", "one-digit day", "offset", "wrong weekday", "empty"],
)
def test_the_date_must_be_in_rfc_1123_form(line, spec, date):
    headers = {
        "Date": date,
        "Authorization": f"Bearer {spec.sign(HEADER, PAYLOAD, secret_key='demo-secret-key')}",
    }
    response = line.http.get(line.url(), headers=headers, auth=None)
    assert response.status_code == 401
    assert "RFC 1123" in line.simulator.broken_rules[0].detail


def test_every_answer_has_the_servers_own_date(line, clock, spec):
    """A client can learn from a refusal that its clock is wrong."""
    server_date = spec.rfc_1123(clock())
    line.http.auth = spec.auth(lambda: clock() + timedelta(minutes=20))
    response = line.listing()
    assert response.status_code == 401
    assert response.headers["Date"] == server_date


def test_the_simulators_keys_are_those_it_was_given(start, clock, spec):
    line = start(access_key="mine", secret_key="my-secret")
    assert line.listing().status_code == 401
    line.http.auth = spec.auth(clock, access_key="mine", secret_key="my-secret")
    assert line.listing().status_code == 200


def test_after_a_rotation_of_the_keys_only_the_new_ones_are_known(line, clock, spec):
    line.simulator.rotate_keys(access_key="new", secret_key="new-secret")
    assert line.listing().status_code == 401
    line.http.auth = spec.auth(clock, access_key="new", secret_key="demo-secret-key")
    assert line.listing().status_code == 401
    line.http.auth = spec.auth(clock, access_key="new", secret_key="new-secret")
    assert line.listing().status_code == 200
    line.simulator.reset()
    assert line.listing().status_code == 200
    assert "new-secret" not in repr(line.simulator._state.settings)


@pytest.mark.parametrize(
    ("minutes", "status"), [(-20, 401), (-15, 200), (0, 200), (15, 200), (20, 401)], ids=str
)
def test_the_clock_may_go_wrong_between_two_requests(line, clock, spec, minutes, status):
    assert line.listing().status_code == 200
    line.simulator.set_clock_offset(timedelta(minutes=minutes))
    answer = line.listing()
    assert answer.status_code == status
    assert answer.headers["Date"] == spec.rfc_1123(clock() + timedelta(minutes=minutes))
    line.simulator.set_clock_offset(timedelta())
    assert line.listing().status_code == 200


def test_a_wrong_clock_moves_what_is_told_but_neither_jobs_nor_limits(start, clock):
    line = start(job_seconds=60, requests_per_second_limit=4)
    audience_id = line.create()
    line.simulator.set_clock_offset(timedelta(minutes=10))
    [job] = line.jobs(audience_id)
    [audience] = line.listing().json()["audienceGroups"]
    assert (job["jobStatus"], job["created"]) == ("QUEUED", "2026-08-03T01:12:03Z")
    assert audience["created"] == "2026-08-03T01:12:03Z"
    assert [line.listing().status_code for _ in range(2)] == [200, 429]
    line.simulator.set_clock_offset(timedelta(minutes=-10))
    clock.advance(60)
    [job] = line.jobs(audience_id)
    assert (job["jobStatus"], job["created"]) == ("FINISHED", "2026-08-03T00:52:03Z")


def test_a_badly_signed_upload_is_refused_while_its_body_is_still_under_way(line, clock, spec):
    """The connection stays usable: the rest of the body is read and left out."""
    line.http.auth = spec.auth(clock, secret_key="wrong")
    assert line.upload(b"0" * 20_000_000, name="people").status_code == 401
    assert line.simulator.audiences() == ()
    line.http.auth = spec.auth(clock)
    assert line.listing().status_code == 200
