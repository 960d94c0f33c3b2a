"""The claims on all leases, as the database keeps them."""

from collections.abc import Iterable
from dataclasses import asdict, replace

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)

from line_ads_pipeline.coordination.claims import Claim, Queue
from line_ads_pipeline.coordination.database import Database, Transaction, metadata
from line_ads_pipeline.coordination.processes import Process

_CLAIMS = Table(
    "line_ads_claims",
    metadata,
    Column("owner", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("slot", Integer),
    Column("rank", Text, nullable=False),
    Column("overtaking", Boolean, nullable=False),
    Column("arrival", BigInteger, nullable=False),
    Column("since", Double, nullable=False),
    Column("beat", Double, nullable=False),
    Column("time_to_live", Double, nullable=False),
    Column("host", Text, nullable=False),
    Column("host_name", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Text, nullable=False),
    UniqueConstraint("name", "slot"),
)


class Register:
    """Reads and writes claims; writers of one lease take turns.

    Args:
        database: Where the claims are.
        host: The host of this process.
    """

    def __init__(self, database: Database, *, host: str) -> None:
        self._database = database
        self._host = host

    def queue(self, name: str) -> Queue:
        """Look at the claims on a lease."""
        return self._database.read(lambda transaction: self._queue(transaction, name))

    def attend(self, claim: Claim, *, slots: int, waiting: bool = True) -> Queue:
        """Give a sign of life of a claim, and the slot if it is its turn; dead claims are removed.

        Args:
            claim: To be entered if it is not there: new, or taken for dead meanwhile.
            slots: How many claims may have one.
            waiting: Whether to enter it when it is not its turn.

        Returns:
            The claims as they are now.
        """

        def work(transaction: Transaction) -> Queue:
            queue = self._tidy(transaction, claim)
            known = queue.find(claim.owner)
            mine = replace(known or _arriving(claim, queue), beat=transaction.now)
            others = [other for other in queue.claims if other.owner != claim.owner]
            queue = self._view(transaction, [*others, mine])
            if (
                mine.slot is None
                and queue.overtaker(mine) is None
                and queue.blocker(mine, slots=slots) is None
            ):
                mine = replace(mine, slot=queue.free_slot(), since=transaction.now)
            elif known is None and not waiting:
                return self._view(transaction, others)
            change = (
                insert(_CLAIMS) if known is None else update(_CLAIMS).where(_CLAIMS.c.owner == claim.owner)
            )
            transaction.connection.execute(change.values(_row(mine)))
            return self._view(transaction, [*others, mine])

        return self._database.write(work, lock=_lock(claim.name))

    def renew(self, claim: Claim, *, patient: bool = True) -> bool:
        """Give a sign of life of a claim; False if it is no longer there."""
        mine = _CLAIMS.c.owner == claim.owner

        def work(transaction: Transaction) -> bool:
            done = transaction.connection.execute(update(_CLAIMS).where(mine).values(beat=transaction.now))
            return done.rowcount == 1

        return self._database.write(work, lock=_lock(claim.name), patient=patient)

    def leave(self, claim: Claim) -> None:
        """Remove a claim, if it is still there."""

        def work(transaction: Transaction) -> None:
            transaction.connection.execute(delete(_CLAIMS).where(_CLAIMS.c.owner == claim.owner))

        self._database.write(work, lock=_lock(claim.name), patient=False)

    def _queue(self, transaction: Transaction, name: str) -> Queue:
        rows = transaction.connection.execute(select(_CLAIMS).where(_CLAIMS.c.name == name)).mappings()
        return self._view(transaction, map(_claim, rows))

    def _tidy(self, transaction: Transaction, mine: Claim) -> Queue:
        """Remove the claims of others that are dead.

        A sign of life from the future was given before the clock was set back: it counts as given now, so that a live
        holder has its time to give another, and a dead one is gone after that time.
        """
        queue = self._queue(transaction, mine.name)
        dead = [claim for claim in queue.claims if claim.owner != mine.owner and not queue.is_alive(claim)]
        if dead:
            owners = [claim.owner for claim in dead]
            transaction.connection.execute(delete(_CLAIMS).where(_CLAIMS.c.owner.in_(owners)))
        if any(claim.beat > transaction.now for claim in queue.claims):
            ahead = (_CLAIMS.c.name == mine.name) & (_CLAIMS.c.beat > transaction.now)
            transaction.connection.execute(update(_CLAIMS).where(ahead).values(beat=transaction.now))
        return self._view(transaction, (claim for claim in queue.claims if claim not in dead))

    def _view(self, transaction: Transaction, claims: Iterable[Claim]) -> Queue:
        in_order = sorted(claims, key=lambda claim: claim.arrival)
        return Queue(claims=in_order, now=transaction.now, seen_from=self._host)


def _arriving(claim: Claim, queue: Queue) -> Claim:
    """Give a claim its place in the order of arrival, which it keeps if it has one from before."""
    if claim.arrival:
        return replace(claim, slot=None)
    latest = max((other.arrival for other in queue.claims), default=0)
    # the clock keeps the order when nobody is left from whom to count on
    return replace(claim, arrival=max(latest + 1, round(queue.now * 1_000_000)), since=queue.now)


def _row(claim: Claim) -> dict[str, object]:
    row = asdict(claim)
    return {**row.pop("process"), **row}


def _claim(row: RowMapping) -> Claim:
    values = dict(row)
    process = Process(**{field: values.pop(field) for field in ("host", "host_name", "pid", "started")})
    return Claim(process=process, **values)


def _lock(name: str) -> str:
    return f"lease {name}"
