"""Verifying a request's signature, from the documented rules alone and not from the client's code.

The token is a JWS (RFC 7515) signed with HS256, each of its three parts base64url **with** padding. Its
payload has four lines: hex SHA-256 of the body, content type, UTC day, path.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from line_ads_pipeline.simulator.records import Refusal

CLOCK_TOLERANCE = timedelta(minutes=15)
MULTIPART = "multipart/form-data"

_BEARER = re.compile(r"Bearer ([A-Za-z0-9_=-]+)\.([A-Za-z0-9_=-]+)\.([A-Za-z0-9_=-]+)")


def media_type(headers: Mapping[str, str]) -> str:
    """The content type without its parameters, in lower case; empty when there is none."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def verify_signature(  # noqa: PLR0913  # what is signed has this many parts
    headers: Mapping[str, str], *, path: str, body: bytes, access_key: str, secret_key: str, now: datetime
) -> None:
    """Check `Authorization` and `Date` of one request.

    Args:
        headers: The request's headers, by lower-case name.
        path: The path as received, with `/api`, without the query string.
        body: The whole body. That of a multipart request is not signed, so it may be left out.
        access_key: The only key that is known.
        secret_key: Its secret.
        now: The server's clock.

    Raises:
        Refusal: 401 `AUTHORIZATION_FAILED`, with what was wrong.
    """
    bearer = _BEARER.fullmatch(headers.get("authorization", ""))
    if bearer is None:
        raise _refused("the Authorization header is not `Bearer` and three base64url parts")
    header_part, payload_part, signature_part = bearer.groups()
    header = _decode_header(header_part)
    if header.get("alg") != "HS256" or header.get("typ") != "text/plain":
        raise _refused("the token's header must have alg HS256 and typ text/plain")
    if header.get("kid") != access_key:
        raise _refused("the token's kid is not a known access key")
    signed = f"{header_part}.{payload_part}".encode("ascii")
    expected = hmac.new(secret_key.encode(), signed, hashlib.sha256).digest()
    if not hmac.compare_digest(expected, _decode(signature_part, "signature")):
        raise _refused("the signature does not match: another secret key, or another text was signed")

    multipart = media_type(headers) == MULTIPART
    lines = _decode(payload_part, "payload").split(b"\n")
    wanted = {
        "hash of the body": hashlib.sha256(b"" if multipart else body).hexdigest(),
        "content type": MULTIPART if multipart else headers.get("content-type", "") if body else "",
        "UTC day": _check_date(headers.get("date", ""), now).strftime("%Y%m%d"),
        "path": path,
    }
    if len(lines) != len(wanted):
        raise _refused(f"the payload has {len(lines)} lines instead of four")
    for line, (name, value) in zip(lines, wanted.items(), strict=True):
        if line != value.encode():
            raise _refused(f"the payload's {name} is not {value!r}")


def _decode(part: str, name: str) -> bytes:
    if len(part) % 4:
        raise _refused(f"the token's {name} is base64url without its `=` padding")
    try:
        return base64.b64decode(part, altchars=b"-_", validate=True)
    except ValueError:
        raise _refused(f"the token's {name} is not base64url") from None


def _decode_header(part: str) -> dict[str, object]:
    try:
        header = json.loads(_decode(part, "header"))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise _refused("the token's header is not a JSON object")
    return header


def _check_date(text: str, now: datetime) -> datetime:
    try:
        date = parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        date = None
    # The parser takes many forms of a date; only RFC 1123 survives being written again.
    if date is None or format_datetime(date, usegmt=True) != text:
        raise _refused("the Date header is missing or not in RFC 1123 form")
    if abs(date - now) > CLOCK_TOLERANCE:
        raise _refused("the Date header is more than 15 minutes away from this clock")
    return date


def _refused(detail: str) -> Refusal:
    return Refusal(401, "AUTHORIZATION_FAILED", rule="signature", detail=detail)
