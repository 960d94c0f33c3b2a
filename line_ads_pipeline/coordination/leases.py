"""Having something alone, among all processes."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from line_ads_pipeline.coordination.claims import Claim, Queue
from line_ads_pipeline.coordination.errors import CoordinationError, LeaseHeld, LeaseLost, Overtaken
from line_ads_pipeline.coordination.register import Register

_log = logging.getLogger(__name__)

_TELL_EVERY = 300.0


class Lease:
    """The right to something, as long as it is renewed.

    Args:
        register: Where it is entered.
        claim: Its entry, which has a slot.
    """

    def __init__(self, register: Register, claim: Claim) -> None:
        self._register = register
        self._claim = claim

    def renew(self) -> None:
        """Prolong the lease, before each act that it permits.

        Raises:
            LeaseLost: It was taken over, since nothing was heard of its holder for too long.
            CoordinationUnavailable: The database fails.
        """
        if not self._register.renew(self._claim):
            raise LeaseLost(
                f"The lease {self._claim.name!r} is no longer held: nothing was heard of this process for "
                f"{self._claim.time_to_live:g} seconds, so that another may have taken it over. Run it again."
            )

    @contextmanager
    def kept_alive(self, *, every: float) -> Iterator[None]:
        """Renew it in the background, for work that takes long between two acts.

        Args:
            every: Seconds between two renewals.
        """
        finished = threading.Event()

        def beat() -> None:
            while not finished.wait(every):
                try:
                    held = self._register.renew(self._claim, patient=False)
                except CoordinationError as error:
                    _log.warning(
                        "the lease %r could not be renewed: %s", self._claim.name, type(error).__name__
                    )
                    continue
                if not held:
                    _log.warning("the lease %r was lost", self._claim.name)
                    return

        thread = threading.Thread(target=beat, daemon=True, name=f"heartbeat of {self._claim.name}")
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()


@dataclass(frozen=True)
class WaitingRoom:
    """Where those who want a lease wait for it.

    Attributes:
        register: Where they are entered.
        heartbeat: Seconds between two signs of life.
        poll: Seconds between two looks of those who are next; the others look less often.
        sleep: Waits the given seconds.
        monotonic: A clock in seconds that never goes back.
    """

    register: Register
    heartbeat: float
    poll: float
    sleep: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic

    def try_for(self, claim: Claim, *, slots: int) -> None:
        """Take a slot, if one is free and nobody waits for it.

        Raises:
            LeaseHeld: It is not so.
        """
        queue = self.register.attend(claim, slots=slots, waiting=False)
        if queue.find(claim.owner) is None:
            first = queue.claims[0]
            raise LeaseHeld(f"The lease {claim.name!r} is not free: {_described(first)}. Try again later.")

    def wait_for(self, claim: Claim, *, slots: int) -> None:
        """Wait until a slot is this claim's.

        Raises:
            Overtaken: Somebody newer waits, and the claim gives way to such.
        """
        told, attended = float("-inf"), self.monotonic()
        queue = self.register.attend(claim, slots=slots)
        mine = queue.find(claim.owner) or claim
        while mine.slot is None:
            _give_way(mine, queue)
            if self.monotonic() - told >= _TELL_EVERY:
                told = self.monotonic()
                _tell(mine, queue, slots=slots)
            self.sleep(self._pause(mine, queue, slots=slots))
            queue = self.register.queue(claim.name)
            due = self.monotonic() - attended >= self.heartbeat
            if due or queue.find(claim.owner) is None or queue.blocker(mine, slots=slots) is None:
                attended = self.monotonic()
                queue = self.register.attend(mine, slots=slots)
                mine = queue.find(claim.owner) or mine

    def _pause(self, mine: Claim, queue: Queue, *, slots: int) -> float:
        """Give those at the end of a long queue more rest, so that hundreds cost no more than a few."""
        return min(self.poll * (1 + queue.waiting_before(mine) // slots), max(self.heartbeat, self.poll))


def _give_way(mine: Claim, queue: Queue) -> None:
    newer = queue.overtaker(mine)
    if newer is not None:
        raise Overtaken(
            f"The lease {mine.name!r} goes to somebody newer, so that there is nothing left to do here: "
            f"{_described(newer)}."
        )


def _tell(mine: Claim, queue: Queue, *, slots: int) -> None:
    blocker = queue.blocker(mine, slots=slots)
    if blocker is not None:
        _log.info("waiting for the lease %r: %s", mine.name, _described(blocker))


def _described(claim: Claim) -> str:
    verb = "waits for it" if claim.slot is None else "has it"
    since = datetime.fromtimestamp(claim.since, UTC)
    return (
        f"process {claim.process.pid} of {claim.process.host_name} {verb} since {since:%Y-%m-%d %H:%M:%S} UTC"
    )
