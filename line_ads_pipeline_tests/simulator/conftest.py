"""A client written from the documented rules alone, sharing no code with the package; a settable clock."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from line_ads_pipeline.simulator import Simulator

AD_ACCOUNT = "A10000000001"
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def hashed(*people: object) -> tuple[str, ...]:
    return tuple(hashlib.sha256(str(person).encode()).hexdigest() for person in people)


def rows(*identifiers: str) -> bytes:
    return "".join(f"{identifier}\n" for identifier in identifiers).encode()


@dataclass
class Clock:
    now: datetime = datetime(2026, 8, 3, 1, 2, 3, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does; five seconds are far more than it takes."""
    pause = threading.Event()
    for _ in range(500):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within five seconds")


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii")


def rfc_1123(moment: datetime) -> str:
    day, month = DAYS[moment.weekday()], MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year} {moment:%H:%M:%S} GMT"


def sign(header: str, payload: str, *, secret_key: str) -> str:
    """A token of a header and payload given as text, whatever they are."""
    text = f"{base64url(header.encode())}.{base64url(payload.encode())}"
    return f"{text}.{base64url(hmac.digest(secret_key.encode(), text.encode(), hashlib.sha256))}"


@dataclass
class SpecAuth(httpx.Auth):
    """Signs by the documented rules."""

    clock: Clock
    access_key: str = "demo-access-key"
    secret_key: str = "demo-secret-key"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        content_type = request.headers.get("Content-Type", "")
        if content_type.startswith("multipart/form-data"):
            content_type, body = "multipart/form-data", b""
        else:
            body = request.read()
        path = request.url.raw_path.decode().partition("?")[0]
        payload = f"{hashlib.sha256(body).hexdigest()}\n{content_type}\n{self.clock():%Y%m%d}\n{path}"
        header = json.dumps({"alg": "HS256", "kid": self.access_key, "typ": "text/plain"})
        request.headers["Authorization"] = f"Bearer {sign(header, payload, secret_key=self.secret_key)}"
        request.headers["Date"] = rfc_1123(self.clock())
        yield request


@dataclass
class Line:
    """The calls of the API as a client makes them, each returning the response as it is."""

    simulator: Simulator
    clock: Clock
    http: httpx.Client

    def url(self, path: str = "", *, ad_account: str = AD_ACCOUNT) -> str:
        return f"{self.simulator.base_url}/v3/adaccounts/{ad_account}/custom-audiences{path}"

    def listing(self, **query: Any) -> httpx.Response:
        return self.http.get(self.url(), params=query)

    def names(self, **query: Any) -> list[str]:
        return [audience["name"] for audience in self.listing(**query).json()["audienceGroups"]]

    def upload(
        self,
        file: bytes = rows(*hashed("a")),
        *,
        file_name: str = "people.txt",
        ad_account: str = AD_ACCOUNT,
        **fields: str,
    ) -> httpx.Response:
        data = {"action": "ADD", "idType": "HASHED_EMAIL"} | fields
        files = {"file": (file_name, file, "text/plain")}
        return self.http.post(self.url("/upload", ad_account=ad_account), data=data, files=files)

    def create(self, *identifiers: str, name: str = "people", **fields: str) -> str:
        response = self.upload(rows(*identifiers or hashed("a")), name=name, **fields)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def jobs(self, audience_id: str) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = self.http.get(self.url(f"/{audience_id}/upload-job")).json()["jobs"]
        return jobs

    def job_statuses(self, audience_id: str) -> list[str]:
        return [job["jobStatus"] for job in self.jobs(audience_id)]

    def rules(self) -> list[str]:
        return [broken.rule for broken in self.simulator.broken_rules]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Line]]:
    """Starts a simulator with the given settings on the test's clock, and a client for it."""
    with ExitStack() as stack:

        def started(**settings: Any) -> Line:
            settings = {"clock": clock, "requests_per_second_limit": None} | settings
            simulator = stack.enter_context(Simulator(**settings))
            http = stack.enter_context(
                httpx.Client(auth=SpecAuth(clock), trust_env=False, verify=False, timeout=20)
            )
            return Line(simulator, clock, http)

        yield started


@pytest.fixture
def line(start: Callable[..., Line]) -> Line:
    return start()


@pytest.fixture
def spec() -> SimpleNamespace:
    """The functions above, since tests cannot import one another."""
    return SimpleNamespace(
        hashed=hashed,
        rows=rows,
        sign=sign,
        base64url=base64url,
        rfc_1123=rfc_1123,
        wait_until=wait_until,
        auth=SpecAuth,
    )
