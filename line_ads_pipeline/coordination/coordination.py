"""The leases and paces of one database."""

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from line_ads_pipeline.coordination.claims import Claim
from line_ads_pipeline.coordination.database import Database
from line_ads_pipeline.coordination.errors import CoordinationError
from line_ads_pipeline.coordination.leases import Lease, WaitingRoom
from line_ads_pipeline.coordination.pace import SharedPace
from line_ads_pipeline.coordination.processes import Process
from line_ads_pipeline.coordination.register import Register

_log = logging.getLogger(__name__)


class Coordination:
    """Leases and paces that all processes share which use one database.

        with Coordination("sqlite:///data/coordination.db") as coordination:
            pace = coordination.pace(access_key, per_second=8)
            with coordination.lease("audience 42") as lease:
                lease.renew()
                pace.wait()
                ...  # a request

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, `sqlite://` (memory, for one process), or
            `postgresql://…`. No connection is made before the first use.
        root: The folder that a relative path starts from.
        time_to_live: Seconds of silence after which a holder of another host counts as dead.
        heartbeat: Seconds between two signs of life.
        poll: Seconds between two looks of a waiter that is next.
        sleep: Waits the given seconds.

    Raises:
        CoordinationError: The URL is of no such kind, or its driver is not installed.
    """

    def __init__(  # noqa: PLR0913 - keyword-only settings
        self,
        url: str,
        *,
        root: Path = Path(),
        time_to_live: float = 45.0,
        heartbeat: float = 10.0,
        poll: float = 0.5,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = Database(url, root=root, patience=time_to_live, pause=poll, sleep=sleep)
        self._time_to_live = time_to_live
        self._heartbeat = heartbeat
        self._poll = poll
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.dispose()

    def pace(self, key: str, *, per_second: float) -> SharedPace:
        """Give the common pace of all who have this key.

        Args:
            key: Any text, such as an access key; only its SHA-256 goes into the database.
            per_second: How many requests, evenly spaced.

        Raises:
            ValueError: `per_second` is not greater than 0.
        """
        return SharedPace(self._database, key, per_second=per_second, sleep=self._sleep)

    @contextmanager
    def lease(
        self, name: str, *, slots: int = 1, rank: str = "", overtaking: bool = False, wait: bool = True
    ) -> Iterator[Lease]:
        """Have one of the slots of that name, until the `with` block ends.

        Slots go to those who wait in the order of their arrival. A holder whose process is gone is replaced at once
        on its own host, and after `time_to_live` on others; it then finds out by `Lease.renew`.

        Args:
            name: What is to be had; not a secret.
            slots: How many may have it at the same time.
            rank: How new the work is: the greater text is the newer; among equals, who came later.
            overtaking: Give up waiting as soon as somebody newer waits for the same name.
            wait: Whether to wait at all.

        Raises:
            ValueError: `slots` is not greater than 0.
            Overtaken: Somebody newer waits.
            LeaseHeld: No slot is free, or others wait already, and `wait` is False.
            CoordinationUnavailable: The database fails.
        """
        if slots < 1:
            raise ValueError(f"slots must be greater than 0, not {slots}")
        process = Process.current()
        register = Register(self._database, host=process.host)
        room = WaitingRoom(register, heartbeat=self._heartbeat, poll=self._poll, sleep=self._sleep)
        claim = Claim(
            owner=uuid.uuid4().hex,
            name=name,
            process=process,
            time_to_live=self._time_to_live,
            rank=rank,
            overtaking=overtaking,
        )
        get = room.wait_for if wait else room.try_for
        try:
            get(claim, slots=slots)
            lease = Lease(register, claim)
            with lease.kept_alive(every=self._heartbeat):
                yield lease
        finally:
            if self._database.has_worked:
                _leave(register, claim)


def _leave(register: Register, claim: Claim) -> None:
    """Release a claim; one that cannot be released expires."""
    try:
        register.leave(claim)
    except CoordinationError as error:
        _log.warning(
            "the lease %r could not be released, and is free in %g seconds: %s",
            claim.name,
            claim.time_to_live,
            type(error).__name__,
        )
