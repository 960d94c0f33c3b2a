"""Who is in the snapshots of one audience, who opts out, and whom the audience must hold in the end."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from line_ads_pipeline.sync import SyncMode

_STRANGERS = range(10_000)


@dataclass(kw_only=True)
class Crowd:
    """People, as numbers, that come and go at random.

    Attributes:
        mode: What the syncs mean.
        grows: Most snapshots of a mirror have all of the one before and some more, and those of an add few of them, so
            that increments are to be sent; else each is drawn anew.
        chunk: How many people one upload takes.
        draws: Decides.
        expected: Whom the audience must hold, once LINE has all of the snapshots.
        may_lack: Those of them whom it may hold or not: they opted out when it was not certain who had been sent.
        opted_out: Whom no later snapshot has.
    """

    mode: SyncMode
    grows: bool
    chunk: int
    draws: random.Random
    expected: set[int] = field(default_factory=set)
    may_lack: set[int] = field(default_factory=set)
    opted_out: set[int] = field(default_factory=set)
    _held: frozenset[int] = frozenset()

    def draw(self) -> list[int]:
        """The people of the next snapshot."""
        if not self.grows:  # four to eight chunks, most of whom are not in the audience yet
            others = [person for person in _STRANGERS if person not in self.opted_out]
            return self.draws.sample(others[:100], k=self.draws.randint(3 * self.chunk + 1, 8 * self.chunk))
        stay = sorted(self.expected - self.opted_out)
        if self.mode == "add" or len(stay) > 8 * self.chunk or self.draws.random() < 0.1:
            stay = self.draws.sample(stay, k=min(len(stay), 2 * self.chunk))
        if stay and self.draws.random() < 0.15:
            return stay
        return [*stay, *self.draw_new(self.draws.randint(self.chunk, 4 * self.chunk))]

    def draw_new(self, count: int) -> list[int]:
        """People who are not in the audience."""
        return self.draws.sample(sorted({*_STRANGERS} - self.expected - self.opted_out), k=count)

    def expect(self, people: Iterable[int]) -> None:
        """Take a snapshot, all of which LINE has or will have, into whom the audience must hold."""
        self.expected = {*people} if self.mode == "mirror" else self.expected | {*people}

    def settle(self) -> None:
        """Note that the audience holds whom it must."""
        self._held = frozenset(self.expected)

    def let_opt_out(self, *, chance: float) -> None:
        """Perhaps let a few opt out for good: of those who are to be in the audience and are not yet, if there are."""
        unsent = self.expected - self._held - self.opted_out
        those = sorted(unsent or self.expected - self.opted_out)
        if self.draws.random() < chance:
            leaving = self.draws.sample(those, k=min(len(those), self.draws.randint(1, self.chunk)))
            self.opted_out.update(leaving)
            self.may_lack.update(unsent.intersection(leaving))
