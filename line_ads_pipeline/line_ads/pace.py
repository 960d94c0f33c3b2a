"""How fast requests may follow each other."""

import threading
import time
from collections.abc import Callable
from typing import Protocol


class Pace(Protocol):
    """Decides when the next request may be sent; shared by all threads of a client."""

    def wait(self) -> None:
        """Block until one more request may be sent."""


class EvenPace:
    """Requests at even intervals, without bursts, within this process.

    LINE counts requests per second as they arrive, where network jitter bunches them: an even pace below
    the limit stays below it, a bucket that fills up would not.

    Args:
        requests_per_second: Greater than 0.
        sleep: Waits the given seconds.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        requests_per_second: float,
        *,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not requests_per_second > 0:
            raise ValueError(f"requests_per_second must be greater than 0, not {requests_per_second}")
        self._interval = 1 / requests_per_second
        self._sleep = sleep
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Take the next free moment and sleep until it has come."""
        with self._lock:
            now = self._monotonic()
            moment = max(now, self._next)
            self._next = moment + self._interval
        if moment > now:
            self._sleep(moment - now)
