"""LINE's limits for one access key: requests a second, and `REPLACE`s at the same time."""

from collections import Counter, deque
from dataclasses import dataclass
from datetime import datetime

from line_ads_pipeline.simulator.audiences import Job
from line_ads_pipeline.simulator.records import Refusal

MAX_SIMULTANEOUS_REPLACES = 3


class RequestRate:
    """A sliding window of one second over the admitted requests; refused ones do not count.

    Args:
        limit: How many requests any second may have; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._admitted: deque[datetime] = deque()

    def admit(self, now: datetime) -> int:
        """Count one request; returns how many the last second has admitted, with this one.

        Raises:
            Refusal: 429 without a body.
        """
        # A clock that was set back counts as a new second, so that it never locks a client out.
        while self._admitted and abs((now - self._admitted[0]).total_seconds()) >= 1:
            self._admitted.popleft()
        if self.limit is not None and len(self._admitted) >= self.limit:
            raise Refusal(429, rule="rate_limit", detail=f"more than {self.limit} requests within a second")
        self._admitted.append(now)
        return len(self._admitted)


@dataclass(kw_only=True, eq=False)
class ReplaceSlot:
    """One of the `REPLACE`s of an ad account: held until its request was answered and its job has ended.

    LINE does not say when a `REPLACE` stops counting; this is the strictest reading.
    """

    ad_account_id: str
    answered: bool = False
    job: Job | None = None

    @property
    def held(self) -> bool:
        """Whether it still counts."""
        return not self.answered or (self.job is not None and self.job.outcome is None)


class ReplaceSlots:
    """The slots of all ad accounts."""

    def __init__(self) -> None:
        self._slots: list[ReplaceSlot] = []
        self._most: Counter[str] = Counter()

    def open(self, ad_account_id: str) -> ReplaceSlot:
        """Take a slot for a `REPLACE` that is arriving.

        Raises:
            Refusal: 429 without a body.
        """
        self._slots = [slot for slot in self._slots if slot.held]
        held = sum(slot.ad_account_id == ad_account_id for slot in self._slots)
        self._most[ad_account_id] = max(self._most[ad_account_id], held + 1)
        if held >= MAX_SIMULTANEOUS_REPLACES:
            raise Refusal(
                429,
                rule="replace_limit",
                detail=f"more than {MAX_SIMULTANEOUS_REPLACES} REPLACE at once in ad account {ad_account_id}",
            )
        slot = ReplaceSlot(ad_account_id=ad_account_id)
        self._slots.append(slot)
        return slot

    def most_at_once(self, ad_account_id: str) -> int:
        """How many an ad account had at the same time at most, with those that were refused as they arrived."""
        return self._most[ad_account_id]
