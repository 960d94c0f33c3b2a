"""The simulator as an object: a real server on a loopback socket, in a thread of this process."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount

from line_ads_pipeline.simulator.app import api_routes
from line_ads_pipeline.simulator.audiences import AudienceState, AudienceStatus, JobState
from line_ads_pipeline.simulator.control import control_routes
from line_ads_pipeline.simulator.faults import Fault
from line_ads_pipeline.simulator.loopback import HOST, LoopbackServer, listen
from line_ads_pipeline.simulator.records import BrokenRule, RequestRecord
from line_ads_pipeline.simulator.state import LineState, Settings

DEMO_ACCESS_KEY = "demo-access-key"
DEMO_SECRET_KEY = "demo-secret-key"  # noqa: S105  # the key of a server that holds nothing secret


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Simulator:
    """A LINE Ads API on localhost that enforces what the real one documents.

    Entered again after its end, it goes on with what it holds, at the same address: an outage.

        with Simulator(job_seconds=0.5) as simulator:
            client = LineAdsClient(
                access_key=DEMO_ACCESS_KEY, secret_key=DEMO_SECRET_KEY, base_url=simulator.base_url
            )

    Args:
        port: Where to listen; 0 for any free port.
        access_key: The only access key that is known.
        secret_key: Its secret.
        ad_account_ids: The ad accounts that the key may use.
        job_seconds: How long an upload job takes.
        accept_hashed_ifa: Whether 64 lower-case hex digits pass as an `IFA`.
        clock: The time of everything, with a time zone: dates, limits, jobs. The real time by default.
        requests_per_second_limit: What LINE allows per access key; None for no limit.
        seed: Of what is drawn at random: which requests the faults with a `share` harm.

    Raises:
        PortInUseError: On entering, when something else listens on the port.
    """

    def __init__(  # noqa: PLR0913  # each one is a setting of its own
        self,
        *,
        port: int = 0,
        access_key: str = DEMO_ACCESS_KEY,
        secret_key: str = DEMO_SECRET_KEY,
        ad_account_ids: Iterable[str] = ("A10000000001", "A10000000002"),
        job_seconds: float = 0.0,
        accept_hashed_ifa: bool = False,
        clock: Callable[[], datetime] = _utc_now,
        requests_per_second_limit: int | None = 10,
        seed: int = 0,
    ) -> None:
        self._port = port
        self._state = LineState(
            Settings(
                access_key=access_key,
                secret_key=secret_key,
                ad_account_ids=tuple(ad_account_ids),
                job_seconds=job_seconds,
                accept_hashed_ifa=accept_hashed_ifa,
                clock=clock,
                requests_per_second_limit=requests_per_second_limit,
                seed=seed,
            )
        )
        self._server: LoopbackServer | None = None

    def __enter__(self) -> Self:
        listener = listen(self._port)
        self._port = listener.getsockname()[1]
        self._server = LoopbackServer(_application(self._state))
        self._server.start(listener)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """The index page, with the control endpoint below `/control`."""
        return f"http://{HOST}:{self._port}"

    @property
    def base_url(self) -> str:
        """The API's root, for a client's `base_url`."""
        return f"{self.url}/api"

    @property
    def requests(self) -> tuple[RequestRecord, ...]:
        """The requests to the API in the order of their arrival, the newest 100,000."""
        with self._state.lock:
            return self._state.log.records

    @property
    def broken_rules(self) -> tuple[BrokenRule, ...]:
        """Every breach of a rule, the newest 100,000; faults on request are none."""
        with self._state.lock:
            return self._state.log.broken

    def busiest_second(self) -> int:
        """How many rightly signed requests came within one second at most, of the newest 100,000.

        Those that the rate limit refused are counted too, so that 11 or more show a client that goes too fast.
        """
        with self._state.lock:
            return self._state.log.busiest_second()

    def most_replaces_at_once(self, ad_account_id: str) -> int:
        """How many `REPLACE`s of an ad account counted at the same time at most, since the start or last `reset`.

        Each counts from the arrival of its request until its job has ended, by the simulator's strict reading of
        the limit of 3; one that is refused counts as it arrives, so that 4 show a client that sends too many.
        """
        with self._state.lock:
            return self._state.most_replaces_at_once(ad_account_id)

    def audiences(self) -> tuple[AudienceState, ...]:
        """All audiences, oldest first."""
        with self._state.lock:
            return self._state.audiences()

    def members(self, audience_id: str) -> frozenset[str]:
        """The identifiers in an audience, as they were uploaded, after the jobs that are finished by now.

        Raises:
            KeyError: There is no such audience.
        """
        with self._state.lock:
            return self._state.members(audience_id)

    def jobs(self, audience_id: str) -> tuple[JobState, ...]:
        """An audience's upload jobs, oldest first; empty for an unknown audience."""
        with self._state.lock:
            return self._state.jobs(audience_id)

    def add_audience(  # noqa: PLR0913  # an audience has this many fields
        self,
        ad_account_id: str,
        *,
        name: str,
        function_type: str = "HASHED_EMAIL_UPLOAD",
        status: AudienceStatus = "READY",
        failed_type: str | None = None,
        members: Iterable[str] = (),
        created: datetime | None = None,
        job_file_names: Iterable[str] = (),
    ) -> str:
        """Add an audience as if it had long been there; returns its id.

        Args:
            ad_account_id: Where it is.
            name: Its name, which need not be unique.
            function_type: Also one that takes no uploads, such as `LOOKALIKE`.
            status: Also `EXPIRED` or `FAILED`.
            failed_type: Why it is `FAILED`.
            members: The identifiers it holds.
            created: Now by default.
            job_file_names: One finished job for each, the first a `REPLACE`.
        """
        with self._state.lock:
            return self._state.add(
                ad_account_id,
                name=name,
                function_type=function_type,
                status=status,
                failed_type=failed_type,
                members=members,
                created=created,
                job_file_names=job_file_names,
            )

    def remove_audience(self, audience_id: str) -> None:
        """Delete an audience behind the client's back.

        Raises:
            KeyError: There is no such audience.
        """
        with self._state.lock:
            self._state.remove(audience_id)

    def set_status(self, audience_id: str, status: AudienceStatus, failed_type: str | None = None) -> None:
        """Change an audience's status behind the client's back.

        `EXPIRED` stays, and refuses uploads; `FAILED` ends with the next upload, or with a job under way.

        Raises:
            KeyError: There is no such audience.
        """
        with self._state.lock:
            self._state.set_status(audience_id, status, failed_type=failed_type)

    def revoke_access(self, ad_account_id: str) -> None:
        """Withdraw the access key's permission for an ad account: 403 from now on.

        Raises:
            KeyError: The key may not use it anyway.
        """
        with self._state.lock:
            allowed = self._state.settings.ad_account_ids
            if ad_account_id not in allowed:
                raise KeyError(ad_account_id)
            self._state.change(ad_account_ids=tuple(each for each in allowed if each != ad_account_id))

    def grant_access(self, ad_account_id: str) -> None:
        """Let the access key use one more ad account, or one that was withdrawn."""
        with self._state.lock:
            allowed = self._state.settings.ad_account_ids
            self._state.change(ad_account_ids=tuple(dict.fromkeys((*allowed, ad_account_id))))

    def rotate_keys(self, *, access_key: str, secret_key: str) -> None:
        """Know only this pair of keys from now on; requests signed with the old one get 401."""
        with self._state.lock:
            self._state.change(access_key=access_key, secret_key=secret_key)

    def set_clock_offset(self, offset: timedelta) -> None:
        """Let LINE's clock differ by `offset` from the client's, as if somebody had set the client's clock.

        That moves what clients see, the `Date` and the times of answers, and what their own `Date` is compared
        with. Limits and jobs go on as before. Zero sets it right again.
        """
        with self._state.lock:
            self._state.change(clock_offset=offset)

    def inject(self, *faults: Fault) -> None:
        """Make something go wrong with requests to come."""
        with self._state.lock:
            for fault in faults:
                self._state.faults.inject(fault)

    def reset(self) -> None:
        """Forget all audiences, jobs, requests, broken rules and faults, but no change of keys, access or clock."""
        with self._state.lock:
            self._state.reset()


def run_simulator(simulator: Simulator, *, on_ready: Callable[[Simulator], object]) -> None:
    """Run a simulator in the main thread until SIGINT or SIGTERM, then return.

    Args:
        simulator: One that is not running yet.
        on_ready: Called once it listens, for instance to print its address.

    Raises:
        PortInUseError: Something else listens on its port.
    """
    stopped = threading.Event()
    with _on_signals(stopped.set), simulator:
        on_ready(simulator)
        stopped.wait()


@contextlib.contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    previous = {
        number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _application(state: LineState) -> Starlette:
    # A page of another origin must not read the simulator through a host name of its own.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(
        routes=[Mount("/api", routes=api_routes(state)), *control_routes(state)], middleware=[hosts]
    )
