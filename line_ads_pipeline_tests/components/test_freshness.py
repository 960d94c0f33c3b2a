"""Late means: not synced `late_after` past the promised moment. Never before, and not a week after.

Promised moments are computed with plain calendar and clock arithmetic, in conftest, and judged by Dagster's own functions.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.freshness_evaluator import CronFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time
from dagster._utils.schedules import cron_string_iterator, get_latest_completed_cron_tick
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from line_ads_pipeline.components.audience_file import RunFrequencyBlock
from line_ads_pipeline.components.freshness import deadline, freshness_policy, longest_late_after

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIX_HOURS = 6 * HOUR
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)

CLOCK_CHANGE = {
    "Asia/Tokyo": timedelta(),
    "Asia/Taipei": timedelta(),
    "Asia/Bangkok": timedelta(),
    "Asia/Jakarta": timedelta(),
    "America/New_York": HOUR,
    "Europe/London": HOUR,
    "Australia/Lord_Howe": 30 * MINUTE,
}
WITH_CLOCK_CHANGES = [zone for zone, change in CLOCK_CHANGE.items() if change]
FREQUENCIES = {
    "daily": {"every": "daily"},
    "weekly on saturday": {"every": "weekly", "day_of_week": "saturday"},
    "weekly on sunday": {"every": "weekly", "day_of_week": "sunday"},
    "monthly on day 1": {"every": "monthly", "day_of_month": "1"},
    "monthly on day 15": {"every": "monthly", "day_of_month": "15"},
    "monthly on day 28": {"every": "monthly", "day_of_month": "28"},
    "monthly on the last day": {"every": "monthly", "day_of_month": "last"},
}
TIMES = ["00:00", "00:30", "01:30", "01:45", "02:00", "02:30", "09:30", "20:00", "23:59"]
USUAL_TIMES = ["00:00", "09:30", "20:00", "23:59"]


def block(frequency: dict, time_of_day: str, time_zone: str, **fields: object) -> RunFrequencyBlock:
    return RunFrequencyBlock.model_validate(
        {"time_of_day": time_of_day, "time_zone": time_zone} | frequency | fields
    )


class Judge:
    """Dagster's verdict on an audience by its last sync, as `CronFreshnessPolicyEvaluator` comes to it."""

    def __init__(self, cron: str, *, time_zone: str, late_after: timedelta) -> None:
        self.deadline = deadline(cron, time_zone=time_zone, late_after=late_after)
        self.time_zone = time_zone

    def latest_deadline(self, now: datetime) -> datetime:
        return get_latest_completed_cron_tick(self.deadline.cron, now, self.time_zone).astimezone(UTC)

    def is_late(self, synced: datetime, latest_deadline: datetime) -> bool:
        return synced < latest_deadline - self.deadline.window


def check_every_moment(judge: Judge, moments: list[datetime], *, late_after: timedelta, slack: timedelta):
    """Between the two looks at each promised moment the verdict cannot change, as the latest deadline does not."""
    before = judge.latest_deadline(moments[1] + late_after - SECOND)
    for previous, promised, following in zip(moments, moments[1:], moments[2:], strict=False):
        assert not judge.is_late(previous, before), f"late before {late_after} past {promised}"

        after = judge.latest_deadline(promised + late_after + slack)
        assert promised + late_after <= after, f"early deadline of {promised}"
        assert judge.is_late(previous + SECOND, after), f"a missed {promised} is not noticed in time"
        assert judge.is_late(promised - slack - SECOND, after), f"a sync long before {promised} counts"
        for delay in (timedelta(), SECOND, min(HOUR, late_after), late_after - SECOND):
            assert not judge.is_late(promised + delay, after), f"the sync {delay} past {promised} is late"

        before = judge.latest_deadline(following + late_after - SECOND)
        assert before == after, f"a deadline of no promised moment, after {promised}"


def documented_slack(
    frequency: dict, time_of_day: str, time_zone: str, late_after: timedelta = SIX_HOURS
) -> timedelta:
    slack = 2 * CLOCK_CHANGE[time_zone]
    day = frequency.get("day_of_month", "last")
    if day != "last":
        at = time.fromisoformat(time_of_day)
        in_february = datetime(2026, 2, int(day), at.hour, at.minute, tzinfo=UTC) + late_after
        slack += 3 * DAY * (in_february.month > 2)
    return slack


@pytest.mark.parametrize("frequency", FREQUENCIES.values(), ids=FREQUENCIES)
@pytest.mark.parametrize("time_zone", CLOCK_CHANGE)
def test_a_punctual_sync_is_never_late_and_a_missed_one_is_noticed(promised_moments, time_zone, frequency):
    for time_of_day in TIMES if time_zone in {"Asia/Tokyo", *WITH_CLOCK_CHANGES} else USUAL_TIMES:
        cron = block(frequency, time_of_day, time_zone).cron
        check_every_moment(
            Judge(cron, time_zone=time_zone, late_after=SIX_HOURS),
            list(promised_moments(frequency, time_of_day, time_zone)),
            late_after=SIX_HOURS,
            slack=documented_slack(frequency, time_of_day, time_zone),
        )


@pytest.mark.parametrize("time_zone", WITH_CLOCK_CHANGES)
def test_near_a_clock_change_the_deadlines_stay_in_order(time_zone):
    """What the two looks at each promised moment rely on: Dagster never returns to an earlier deadline."""
    zone, start = ZoneInfo(time_zone), datetime(2027, 1, 1, tzinfo=UTC)
    hours = (start + n * HOUR for n in range(366 * 24))
    changes = [hour for hour in hours if _offset(hour, zone) != _offset(hour + HOUR, zone)]
    assert len(changes) == 2
    for name, time_of_day in [
        (name, at) for name in FREQUENCIES for at in ("00:30", "19:45", "20:00", "20:30")
    ]:
        cron = block(FREQUENCIES[name], time_of_day, time_zone).cron
        judge = Judge(cron, time_zone=time_zone, late_after=SIX_HOURS)
        for change in changes:
            looks = [change + n * 15 * MINUTE for n in range(-12, 20)]
            deadlines = [judge.latest_deadline(now) for now in looks]
            assert deadlines == sorted(deadlines), (name, time_of_day)
            assert all(found <= now for found, now in zip(deadlines, looks, strict=True)), (name, time_of_day)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


@pytest.mark.parametrize(
    ("cron", "time_zone", "expected"),
    [
        ("0 0 * * *", "UTC", "0 6 * * *"),
        ("30 9 * * *", "America/New_York", "30 15 * * *"),
        ("30 9 * * 0", "America/New_York", "30 15 * * 0"),
        ("0 20 * * 1", "America/New_York", "0 2 * * 2"),
        ("59 23 * * 6", "Asia/Tokyo", "59 5 * * 0"),
        ("0 20 15 * *", "Asia/Tokyo", "0 2 16 * *"),
        ("0 9 28 * *", "Asia/Tokyo", "0 15 28 * *"),
        ("0 9 L * *", "Asia/Tokyo", "0 15 L * *"),
        ("0 20 L * *", "Asia/Tokyo", "0 2 1 * *"),
    ],
)
def test_where_no_clock_changes_in_between_the_deadline_is_exact(cron, time_zone, expected):
    found = deadline(cron, time_zone=time_zone, late_after=SIX_HOURS)

    assert (found.cron, found.window) == (expected, SIX_HOURS)


@pytest.mark.parametrize(
    ("cron", "time_zone", "late_after", "expected", "window"),
    [
        ("0 0 * * *", "America/New_York", SIX_HOURS, "0 7 * * *", 8 * HOUR),
        ("0 20 * * 6", "Europe/London", SIX_HOURS, "0 3 * * 0", 8 * HOUR),
        ("0 0 * * *", "Australia/Lord_Howe", SIX_HOURS, "30 6 * * *", 7 * HOUR),
        ("0 20 28 * *", "Asia/Tokyo", SIX_HOURS, "0 2 1 * *", 3 * DAY + SIX_HOURS),
        ("0 9 15 * *", "Asia/Tokyo", 20 * DAY, "0 9 7 * *", 23 * DAY),
        ("0 9 * * 1", "Asia/Tokyo", 90 * SECOND, "2 9 * * 1", 2 * MINUTE),
        ("0 9 * * 1", "Asia/Tokyo", SECOND, "1 9 * * 1", MINUTE),
    ],
    ids=["daily", "weekly", "half an hour", "month end", "weeks", "part of a minute", "a second"],
)
def test_where_clock_or_month_may_change_in_between_the_deadline_is_later(
    cron, time_zone, late_after, expected, window
):
    found = deadline(cron, time_zone=time_zone, late_after=late_after)

    assert (found.cron, found.window) == (expected, window)


ODD_ZONES = [
    "UTC",
    "Africa/Cairo",  # at midnight
    "Africa/Casablanca",  # around Ramadan
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",  # two hours
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Atlantic/Azores",
    "Europe/Dublin",  # the clock stands back in winter by law
    "Pacific/Chatham",
    "Pacific/Easter",
    *WITH_CLOCK_CHANGES,
]
LATE_AFTER = st.one_of(
    st.integers(1, 86_400).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 27 * 24).map(lambda n: timedelta(hours=n)),
)


@settings(max_examples=60)
@given(
    time_zone=st.sampled_from(ODD_ZONES),
    frequency=st.sampled_from(list(FREQUENCIES.values())),
    time_of_day=st.times().map(lambda at: f"{at:%H:%M}"),
    late_after=LATE_AFTER,
)
def test_it_holds_for_every_zone_and_length_that_is_accepted(time_zone, frequency, time_of_day, late_after):
    """Here the promised moments are those at which Dagster runs the schedule."""
    cron = block(frequency, time_of_day, time_zone).cron
    assume(longest_late_after(cron, time_zone=time_zone, wanted=late_after) == late_after)
    judge = Judge(cron, time_zone=time_zone, late_after=late_after)
    ticks = cron_string_iterator(datetime(2027, 9, 1, tzinfo=UTC).timestamp(), cron, time_zone)
    count = {"daily": 366, "weekly": 53, "monthly": 24}[frequency["every"]]

    slack = judge.deadline.window - late_after
    moments = [tick.astimezone(UTC) for tick in islice(ticks, count)]
    check_every_moment(judge, moments, late_after=late_after, slack=slack)
    assert slack < 3 * DAY + 4 * HOUR + MINUTE


@pytest.mark.parametrize(
    ("frequency", "time_zone", "longest"),
    [
        ("daily", "Asia/Tokyo", 23 * HOUR),
        ("daily", "America/New_York", 22 * HOUR),
        ("daily", "Australia/Lord_Howe", 23 * HOUR),
        ("weekly on sunday", "Asia/Tokyo", 6 * DAY),
        ("weekly on saturday", "Europe/London", 6 * DAY),
        ("monthly on day 1", "Asia/Tokyo", 27 * DAY),
        ("monthly on day 28", "Asia/Tokyo", 25 * DAY),
        ("monthly on day 28", "America/New_York", 24 * DAY),
        ("monthly on the last day", "America/New_York", 27 * DAY),
    ],
)
def test_the_longest_late_after_ends_before_the_next_promised_moment(frequency, time_zone, longest):
    cron = block(FREQUENCIES[frequency], "20:00", time_zone).cron

    assert longest_late_after(cron, time_zone=time_zone, wanted=366 * DAY) == longest
    assert longest_late_after(cron, time_zone=time_zone, wanted=longest) == longest
    assert freshness_policy(cron, time_zone=time_zone, late_after=longest)
    with pytest.raises(ValueError, match="too long"):
        freshness_policy(cron, time_zone=time_zone, late_after=366 * DAY)


@pytest.mark.parametrize("time_zone", ODD_ZONES)
def test_the_default_fits_every_run_frequency(time_zone):
    for frequency in FREQUENCIES.values():
        for time_of_day in TIMES:
            cron = block(frequency, time_of_day, time_zone).cron
            assert longest_late_after(cron, time_zone=time_zone, wanted=SIX_HOURS) == SIX_HOURS
    assert RunFrequencyBlock().late_after == SIX_HOURS


@pytest.mark.parametrize("frequency", FREQUENCIES.values(), ids=FREQUENCIES)
def test_dagster_takes_the_policy_and_keeps_it_as_it_is(frequency):
    for time_of_day in ("02:30", "20:00"):
        cron = block(frequency, time_of_day, "America/New_York").cron
        policy = freshness_policy(cron, time_zone="America/New_York", late_after=SIX_HOURS)
        found = deadline(cron, time_zone="America/New_York", late_after=SIX_HOURS)
        assert (policy.deadline_cron, policy.lower_bound_delta) == (found.cron, found.window)
        assert policy.timezone == "America/New_York"
        assert dg.deserialize_value(dg.serialize_value(policy)) == policy


def test_an_audience_is_late_only_between_the_deadline_and_the_next_sync():
    """Through Dagster's own evaluator and event log: Monday 09:30 in Tokyo, late six hours after."""
    tokyo = ZoneInfo("Asia/Tokyo")

    @dg.asset(freshness_policy=freshness_policy("30 9 * * 1", time_zone=tokyo.key, late_after=SIX_HOURS))
    def line_custom_audience() -> None: ...

    node = dg.Definitions([line_custom_audience]).resolve_asset_graph().get(line_custom_audience.key)
    with dg.DagsterInstance.ephemeral() as instance:

        def state(*now: int) -> str:
            with freeze_time(datetime(2026, 11, *now, tzinfo=tokyo)):
                evaluation = CronFreshnessPolicyEvaluator().evaluate_freshness(
                    LoadingContextForTest(instance), node
                )
                return asyncio.run(evaluation).value

        def sync(*now: int) -> None:
            with freeze_time(datetime(2026, 11, *now, tzinfo=tokyo)):
                assert dg.materialize([line_custom_audience], instance=instance).success

        assert state(16, 15, 30) == "UNKNOWN"
        sync(16, 9, 30)
        assert [state(16, 9, 31), state(16, 15, 29), state(16, 15, 30)] == ["PASS"] * 3
        assert [state(23, 9, 30), state(23, 15, 29), state(23, 15, 29, 59)] == ["PASS"] * 3
        assert [state(23, 15, 30), state(27, 12)] == ["FAIL"] * 2
        sync(27, 12)
        assert [state(27, 12), state(30, 15, 29)] == ["PASS"] * 2
        assert state(30, 15, 30) == "FAIL"
