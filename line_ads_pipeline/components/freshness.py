"""Freshness: when a promised sync that did not happen counts as late.

Dagster judges by a deadline: a cron of its own, and how long before each tick a sync still counts for it. At a tick,
whatever was not synced within that window or since is late, until it is. So the window must reach back to the
promised moment, or a punctual sync would be late; and the tick must not come before `late_after` has passed.

Both are local times, and between them the clock may change or a month may end. Therefore a deadline is

* exact (`late_after` behind the promised moment, rounded up to a whole minute) where neither can happen;
* up to two clock changes later (2 hours in most zones) where the clock may change between the two; a sync of up to
  that long before the promised moment then counts as the promised one;
* up to three days later where a day of the month would pass the 28th: since not every month has a 29th, it moves to
  the next month, to the day that it would be after a February of 28 days. A sync of up to three days before the
  promised moment then counts. Day 28 at 20:00 with `late_after: 6h`, for example, is noticed on the 1st at 02:00.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import dagster as dg

_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)
_YEARS = range(2026, 2054)
"""The calendar repeats after 28 years, so all that clock changes by weekday can do to a run frequency is in here."""
_MODEL_MONTH = date(2026, 2, 1)
"""28 days, as many as every month has, and the first is a Sunday, which is day 0 in cron."""
_LONG_MONTH = date(2026, 1, 1)
_LENGTHS = tuple(timedelta(hours=n) for n in range(1, 24)) + tuple(timedelta(days=n) for n in range(1, 28))
"""What is offered instead of a `late_after` that is too long."""


@dataclass(frozen=True)
class Deadline:
    """By when a promised sync must be there.

    Attributes:
        cron: Ticks once for each promised moment, in the zone of the run frequency: at the earliest `late_after`
            behind the moment, at the latest `window`.
        window: How long before a tick a sync counts for it.
    """

    cron: str
    window: timedelta


def freshness_policy(cron: str, *, time_zone: str, late_after: timedelta) -> dg.FreshnessPolicy:
    """The policy by which an audience is late when not synced `late_after` past its promised moment.

    Args:
        cron: The run frequency, as `RunFrequencyBlock` writes it.
        time_zone: Its IANA name.
        late_after: At most what `longest_late_after` allows.

    Raises:
        ValueError: `late_after` is too long for this run frequency.
    """
    return _policy(cron, time_zone, late_after)


def deadline(cron: str, *, time_zone: str, late_after: timedelta) -> Deadline:
    """The deadline behind the policy.

    Raises:
        ValueError: `late_after` is too long for this run frequency.
    """
    found = _deadline(cron, time_zone, late_after)
    if found is None:
        longest = longest_late_after(cron, time_zone=time_zone, wanted=late_after)
        raise ValueError(f"late_after of {late_after} is too long: at most {longest}")
    return found


def longest_late_after(cron: str, *, time_zone: str, wanted: timedelta) -> timedelta:
    """`wanted` where it fits the run frequency, else the longest in whole hours or days that does.

    A deadline must come before the next promised moment, and Dagster takes no window longer than the shortest time
    between two ticks of its cron: a day, a week, or the 28 days of February.
    """
    if _deadline(cron, time_zone, wanted) is not None:
        return wanted
    return next(length for length in reversed(_LENGTHS) if _deadline(cron, time_zone, length) is not None)


# cached, since Dagster draws up to a thousand ticks to validate a policy, and audiences share their run frequencies
@lru_cache(maxsize=1024)
def _policy(cron: str, time_zone: str, late_after: timedelta) -> dg.FreshnessPolicy:
    found = deadline(cron, time_zone=time_zone, late_after=late_after)
    return dg.FreshnessPolicy.cron(found.cron, lower_bound_delta=found.window, timezone=time_zone)


@lru_cache(maxsize=1024)
def _deadline(cron: str, time_zone: str, late_after: timedelta) -> Deadline | None:
    """The earliest deadline that is never early; None where it would not come before the next promised moment."""
    promise = _Promise.read(cron)
    shift = _whole_minutes(late_after)
    while shift < promise.interval:
        delays = {shift, *_delays(promise, shift, ZoneInfo(time_zone))}
        if min(delays) >= late_after:
            window = max(delays)
            return Deadline(promise.later(shift), window) if window <= promise.interval else None
        shift += _whole_minutes(late_after - min(delays))
    return None


def _whole_minutes(length: timedelta) -> timedelta:
    return -(-length // _MINUTE) * _MINUTE


@dataclass(frozen=True)
class _Promise:
    """A run frequency in local time; `day` and `weekday` are those of its cron string."""

    time_of_day: time
    day: str
    weekday: str

    @classmethod
    def read(cls, cron: str) -> "_Promise":
        minute, hour, day, _month, weekday = cron.split()
        return cls(time(int(hour), int(minute)), day, weekday)

    @property
    def interval(self) -> timedelta:
        """The shortest time between two promised moments, clock changes aside."""
        if self.day != "*":
            return 28 * _DAY
        return _DAY if self.weekday == "*" else _WEEK

    def later(self, shift: timedelta) -> str:
        """The cron string that ticks once, `shift` or more later, for each promised moment."""
        moved = self._in_model_month() + shift
        day, weekday = self.day, self.weekday
        if self.day.isdecimal() or (self.day == "L" and moved.month > _MODEL_MONTH.month):
            day = str(moved.day)
        if self.weekday != "*":
            weekday = str(moved.isoweekday() % 7)
        return f"{moved.minute} {moved.hour} {day} * {weekday}"

    def deadline(self, promised: datetime, shift: timedelta) -> datetime:
        """The tick of `later` for one promised moment, in local time."""
        moved = self._in_model_month() + shift
        if self.day.isdecimal() and moved.month > _MODEL_MONTH.month:
            next_month = promised.replace(day=1) + 32 * _DAY
            return datetime.combine(next_month.replace(day=moved.day), moved.time())
        return promised + shift

    def is_on(self, day: date) -> bool:
        """Whether a sync is promised on this day."""
        if self.weekday != "*":
            return day.isoweekday() % 7 == int(self.weekday)
        if self.day == "L":
            return (day + _DAY).day == 1
        return self.day in {"*", str(day.day)}

    def _in_model_month(self) -> datetime:
        if self.day == "L":
            day = _MODEL_MONTH.replace(day=28)
        elif self.day != "*":
            day = _MODEL_MONTH.replace(day=int(self.day))
        else:
            day = _MODEL_MONTH + _DAY * int(self.weekday.replace("*", "0"))
        return datetime.combine(day, self.time_of_day)


def _delays(promise: _Promise, shift: timedelta, zone: ZoneInfo) -> Iterator[timedelta]:
    """The shortest and longest times between promised moment and deadline, for all moments that may be out of line."""
    for day in filter(promise.is_on, _days_out_of_line(shift, zone)):
        promised = datetime.combine(day, promise.time_of_day)
        moments = _readings(promised, zone)
        deadlines = _readings(promise.deadline(promised, shift), zone)
        yield min(deadlines) - max(moments)
        yield max(deadlines) - min(moments)


def _days_out_of_line(shift: timedelta, zone: ZoneInfo) -> Iterator[date]:
    """All days with a clock change before their deadline, and those of a month that is longer than February."""
    yield from (_LONG_MONTH + n * _DAY for n in range(31))
    for change in _clock_changes(zone):
        yield from (change + n * _DAY for n in range(-shift.days - 5, 2))


def _readings(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The earliest and latest moment a local time may mean, in UTC.

    They differ where a clock change makes it missing or doubled; which one Dagster takes depends on the hour and on
    the kind of cron.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return min(first, second), max(first, second)


@lru_cache
def _clock_changes(zone: ZoneInfo) -> tuple[date, ...]:
    """The days, in UTC, in the course of which the zone's clock changes, over `_YEARS`."""
    start, end = (datetime(year, 1, 1, tzinfo=UTC) for year in (_YEARS[0], _YEARS[-1] + 1))
    weeks = [start + n * _WEEK for n in range((end - start) // _WEEK + 1)]
    return tuple(
        day.date()
        for week in weeks
        if _offset(week, zone) != _offset(week + _WEEK, zone)
        for day in (week + n * _DAY for n in range(7))
        if _offset(day, zone) != _offset(day + _DAY, zone)
    )


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()
