"""Who has a lease and who waits for it, and what follows from that."""

from collections.abc import Sequence
from dataclasses import dataclass

from line_ads_pipeline.coordination.processes import Process


@dataclass(frozen=True)
class Claim:
    """Somebody who has a lease, or waits for it.

    Attributes:
        owner: A random id.
        name: Of the lease.
        process: Whose claim it is.
        time_to_live: Seconds without a sign of life after which the claim is void.
        rank: How new the work is, before the arrival.
        overtaking: Whether it gives way to newer ones.
        arrival: Its place in the order of arrival, among the claims of that name.
        slot: The slot that it has; None while it waits.
        since: Since when it has its slot or waits, in seconds since 1970.
        beat: When it gave its last sign of life.
    """

    owner: str
    name: str
    process: Process
    time_to_live: float
    rank: str = ""
    overtaking: bool = False
    arrival: int = 0
    slot: int | None = None
    since: float = 0.0
    beat: float = 0.0

    def is_alive(self, *, now: float, seen_from: str) -> bool:
        """Whether it still counts: its process may be there, and was heard of lately."""
        return now - self.beat <= self.time_to_live and not self.process.is_known_dead(seen_from=seen_from)

    def is_newer_than(self, other: "Claim") -> bool:
        """Whether the work of `other` is no longer wanted, as far as this one goes."""
        return (self.rank, self.arrival) > (other.rank, other.arrival)


@dataclass(frozen=True)
class Queue:
    """All claims on one lease at one moment.

    Attributes:
        claims: In the order of arrival.
        now: The moment, in seconds since 1970.
        seen_from: The host of the process that looks.
    """

    claims: Sequence[Claim]
    now: float
    seen_from: str

    def find(self, owner: str) -> Claim | None:
        """The claim of that owner."""
        return next((claim for claim in self.claims if claim.owner == owner), None)

    def is_alive(self, claim: Claim) -> bool:
        """Whether the claim counts."""
        return claim.is_alive(now=self.now, seen_from=self.seen_from)

    def overtaker(self, claim: Claim) -> Claim | None:
        """A live waiter that `claim` has to give way to; None for a holder, which gives way to nobody."""
        if claim.slot is not None or not claim.overtaking:
            return None
        newer = (other for other in self._waiting() if other.is_newer_than(claim))
        return next(filter(self.is_alive, newer), None)

    def blocker(self, claim: Claim, *, slots: int) -> Claim | None:
        """Whom `claim` has to wait for: a holder, or somebody that came before; None if a slot is its own to take."""
        holders = [other for other in self.claims if other.slot is not None and self.is_alive(other)]
        if len(holders) >= slots:
            return holders[0]
        before = [
            other
            for other in self._waiting()
            if other.arrival < claim.arrival and self.is_alive(other) and self.overtaker(other) is None
        ]
        return before[0] if len(before) >= slots - len(holders) else None

    def free_slot(self) -> int:
        """The lowest slot that no claim has."""
        taken = {claim.slot for claim in self.claims}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def waiting_before(self, claim: Claim) -> int:
        """How many came before `claim` and still wait, whether alive or not."""
        return sum(other.arrival < claim.arrival for other in self._waiting())

    def _waiting(self) -> list[Claim]:
        return [claim for claim in self.claims if claim.slot is None]
