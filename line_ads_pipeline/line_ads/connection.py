"""One signed, paced, logged and patient way to send requests to the LINE Ads API."""

import logging
import random
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import httpx

from line_ads_pipeline.line_ads.errors import (
    AudienceNotFound,
    InvalidBaseUrl,
    LineAdsError,
    NetworkError,
    RateLimited,
    ServerError,
    UnexpectedResponse,
)
from line_ads_pipeline.line_ads.models import FieldError
from line_ads_pipeline.line_ads.pace import Pace
from line_ads_pipeline.line_ads.refusals import Subject, refusal, request_id

T = TypeVar("T")

# LINE may work on 60 MiB for minutes before it answers, and an upload without an answer is costly to settle.
DEFAULT_TIMEOUT = httpx.Timeout(connect=10.0, write=60.0, read=180.0, pool=60.0)
"""Seconds for the parts of a single request."""

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)

_log = logging.getLogger("line_ads_pipeline.line_ads")


class Connection:
    """The connection pool behind a `LineAdsClient`, whose arguments it shares.

    Attributes:
        url: The root of the API.
    """

    def __init__(  # noqa: PLR0913 - the settings of the client
        self,
        *,
        base_url: str,
        auth: httpx.Auth,
        timeout: float | httpx.Timeout,
        pace: Pace,
        retry_for: float,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self.url = _base_url(base_url)
        self._auth = auth
        self._timeout = timeout
        self._pace = pace
        self._retry_for = retry_for
        self._clock = clock
        self._sleep = sleep
        self._http: httpx.Client | None = None

    def open(self) -> None:
        """Allow calls; nothing is sent yet."""
        self._http = httpx.Client(
            verify=_trust(),
            auth=self._auth,
            base_url=self.url,
            headers={"User-Agent": "line-ads-pipeline"},
            timeout=self._timeout,
            follow_redirects=False,
        )

    def close(self) -> None:
        """Close the sockets; may be called again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def call(  # noqa: PLR0913 - how to send and how to read
        self,
        method: str,
        path: str,
        subject: Subject,
        parse: Callable[[object], T],
        *,
        repeatable: bool = True,
        before_each_attempt: Callable[[], None] | None = None,
        **content: Any,  # noqa: ANN401 - handed on to httpx
    ) -> T:
        """Send a request until LINE answers or refuses it, or `retry_for` seconds have passed.

        Args:
            method: The HTTP method; a repeated `DELETE` that finds nothing left has succeeded.
            path: Relative to the root of the API.
            subject: What the request is about.
            parse: Reads the decoded JSON of an answer, `None` where its body is empty.
            repeatable: Sending it twice does the same as once.
            before_each_attempt: Called when all waiting is over; what it raises goes to the caller.
            content: What httpx sends: `params`, `json`, `data` and `files`. A file is sent from its start
                each time.
        """
        left = self._retry_for
        in_doubt = False
        attempt = 0
        while True:
            started = time.monotonic()
            try:
                self._pace.wait()
                if before_each_attempt is not None:
                    before_each_attempt()
                return self._attempt(method, path, subject, parse, content)
            except LineAdsError as error:
                if method == "DELETE" and in_doubt and isinstance(error, AudienceNotFound):
                    return parse(None)
                left -= time.monotonic() - started
                pause = max(_backoff(attempt), error.retry_after or 0.0)
                if not _worth_repeating(error, repeatable=repeatable) or pause > left:
                    raise
                in_doubt = in_doubt or error.may_have_taken_effect
                _log.warning("Next attempt in %.1f seconds: %s", pause, error)
            self._sleep(pause)
            left -= pause
            attempt += 1

    def _attempt(
        self,
        method: str,
        path: str,
        subject: Subject,
        parse: Callable[[object], T],
        content: Mapping[str, Any],
    ) -> T:
        response = self._send(method, path, subject, content)
        if not response.is_success:
            raise refusal(response, subject, now=self._clock())
        try:
            return parse(response.json() if response.content else None)
        except ValueError as error:
            cause = str(error) if isinstance(error, FieldError) else "it is not JSON"
        # Outside the handler: the decoder's error carries the whole body.
        raise UnexpectedResponse(
            f"the answer to a request for {subject} cannot be read: {cause}",
            status_code=response.status_code,
            request_id=request_id(response),
            may_have_taken_effect=True,
        )

    def _send(self, method: str, path: str, subject: Subject, content: Mapping[str, Any]) -> httpx.Response:
        if self._http is None:
            raise RuntimeError("the client is not open: use it as `with LineAdsClient(...) as client:`")
        request = self._http.build_request(method, path, **content)
        moment = self._clock().isoformat(timespec="milliseconds")
        try:
            response = self._http.send(request)
        except httpx.RequestError as error:
            failure = _network_error(error, subject)
        else:
            _log.info("%s %s %s %d", moment, method, request.url.path, response.status_code)
            return response
        _log.info("%s %s %s no answer", moment, method, request.url.path)
        # Outside the handler: httpx's error carries the request with its token.
        raise failure


@cache  # it takes longer to read than a request
def _trust() -> ssl.SSLContext:
    """The authorities of this machine's settings, or else those that httpx brings."""
    return httpx.create_ssl_context()


def _worth_repeating(error: LineAdsError, *, repeatable: bool) -> bool:
    if isinstance(error, UnexpectedResponse) and not error.may_have_taken_effect:
        return False  # a redirect stays one
    passing = isinstance(error, RateLimited | ServerError | NetworkError | UnexpectedResponse)
    return passing and (repeatable or not error.may_have_taken_effect)


def _backoff(attempt: int) -> float:
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 16))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the clients, guards nothing


def _network_error(error: httpx.RequestError, subject: Subject) -> NetworkError:
    # The text of a protocol error quotes what was received.
    quoting = isinstance(error, httpx.ProtocolError | httpx.DecodingError)
    words = type(error).__name__ if quoting else f"{type(error).__name__}: {error}"
    if isinstance(error, _NOT_SENT):
        return NetworkError(f"no connection to LINE for {subject}: {words}")
    return NetworkError(f"the connection to LINE broke for {subject}: {words}", may_have_taken_effect=True)


def _base_url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.query:
        raise InvalidBaseUrl("the base URL of the LINE Ads API is not a URL with https:// and a host name")
    return url
