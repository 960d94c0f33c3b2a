"""Request signatures of the LINE Ads API: a JWS with HS256 whose parts keep their base64 padding.

The scheme is that of LINE's "Authentication" chapter for the LINE Ads API v3. JWT libraries do not fit:
they strip the padding, which changes the text that is signed.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

_MULTIPART = "multipart/form-data"


class LineAdsAuth(httpx.Auth):
    """Signs each request with the moment at which it is sent.

    What is signed covers the body, the content type, the UTC day and the path of the full URL without its
    query. Of a multipart body LINE signs neither the content nor the boundary, so it is never read here.

    Args:
        access_key: Travels in the token, readable.
        secret_key: Never leaves this object.
        clock: The current time, with a time zone.
    """

    def __init__(self, *, access_key: str, secret_key: str, clock: Callable[[], datetime]) -> None:
        self._header = json.dumps(
            {"alg": "HS256", "kid": access_key, "typ": "text/plain"}, separators=(",", ":")
        )
        self._secret_key = secret_key.encode()
        self._clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}(access_key=<hidden>, secret_key=<hidden>)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set the `Date` and `Authorization` headers."""
        now = self._clock().astimezone(UTC)
        content_type = request.headers.get("Content-Type", "")
        if content_type.startswith(_MULTIPART):
            content_type, body = _MULTIPART, b""
        else:
            body = request.read()
        path, _, _ = request.url.raw_path.decode("ascii").partition("?")
        request.headers["Date"] = format_datetime(now, usegmt=True)
        request.headers["Authorization"] = f"Bearer {self._token(body, content_type, now, path)}"
        yield request

    def _token(self, body: bytes, content_type: str, now: datetime, path: str) -> str:
        payload = "\n".join((hashlib.sha256(body).hexdigest(), content_type, f"{now:%Y%m%d}", path))
        signed = f"{_base64url(self._header.encode())}.{_base64url(payload.encode())}"
        signer = HMAC(self._secret_key, SHA256())
        signer.update(signed.encode())
        return f"{signed}.{_base64url(signer.finalize())}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")
