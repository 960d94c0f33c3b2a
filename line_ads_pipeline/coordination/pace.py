"""How fast requests may follow each other, over all processes."""

import hashlib
import logging
import time
from collections.abc import Callable

from sqlalchemy import Column, Double, String, Table, insert, select, update

from line_ads_pipeline.coordination.database import Database, Transaction, metadata

_log = logging.getLogger(__name__)

_PACES = Table(
    "line_ads_paces",
    metadata,
    Column("key_digest", String(64), primary_key=True),
    Column("written", Double, nullable=False),
    Column("backlog", Double, nullable=False),
)
"""One row per key: how many seconds after it was written the next request may be sent."""

_ATTEMPTS = 10
_LONGEST_ANSWER = 1.0
_SHORTEST_TOLERANCE = 0.01  # above 50 a second, where even an idle machine oversleeps by half an interval


class SharedPace:
    """Requests at even intervals over all processes that share a database, without bursts.

    Each takes the next free moment and sleeps until it has come, so that hundreds may wait at no cost. A moment that
    was overslept by more than half an interval, because the machine is busy, is given up for another one: sent late,
    the request would bunch with those after it.

    Args:
        database: Where the moments are given out.
        key: What has the rate, such as an access key; only its SHA-256 is stored.
        per_second: How many requests, greater than 0.
        sleep: Waits the given seconds.
        monotonic: A clock in seconds that never goes back, the one that `database` has.
    """

    def __init__(
        self,
        database: Database,
        key: str,
        *,
        per_second: float,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"per_second must be greater than 0, not {per_second}")
        self._database = database
        self._digest = hashlib.sha256(key.encode()).hexdigest()
        self._interval = 1 / per_second
        self._tolerance = max(self._interval / 2, _SHORTEST_TOLERANCE)
        self._answer_takes = 0.0
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self) -> None:
        """Block until one more request may be sent.

        Raises:
            CoordinationUnavailable: The database fails.
        """
        for _ in range(_ATTEMPTS):
            read_at, pause = self._database.write(self._take_moment, lock=f"pace {self._digest}")
            moment = read_at + pause
            now = self._monotonic()
            self._answer_takes = min(now - read_at, _LONGEST_ANSWER)
            if moment > now:
                self._sleep(moment - now)
            if self._monotonic() - moment <= self._tolerance:
                return
        _log.warning(
            "this machine is too busy to send requests at an even pace: LINE may refuse some of them"
        )

    def _take_moment(self, transaction: Transaction) -> tuple[float, float]:
        """Give the monotonic time at which the next free moment was taken, and the seconds from there to it."""
        here = _PACES.c.key_digest == self._digest
        row = transaction.connection.execute(select(_PACES).where(here)).one_or_none()
        if row is None:
            backlog = 0.0
        else:
            # a clock that was set back does not tell how much time has passed
            passed = max(0.0, transaction.now - row.written)
            backlog = row.backlog - passed
        # a moment that is over before the answer of a distant database is here would be given up each time
        pause = max(backlog, self._answer_takes)
        values = {"written": transaction.now, "backlog": pause + self._interval}
        change = insert(_PACES).values(key_digest=self._digest) if row is None else update(_PACES).where(here)
        transaction.connection.execute(change.values(values))
        return transaction.read_at, pause
