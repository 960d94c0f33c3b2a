"""Exactly one run per promised moment, keyed by its local date.

What is promised where the clock changes: a time of day that is missing that day means the moment the clock has moved
on (02:30 in New York is 03:00 then); one that comes twice means the second time.

Promised moments are computed with plain calendar and clock arithmetic, in conftest.
"""

from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from logging import getLogger
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.instance_for_test import instance_for_test
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.remote_representation.external import RemoteSchedule
from dagster._core.test_utils import (
    MockedRunLauncher,
    create_test_daemon_workspace_context,
    freeze_time,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._utils.schedules import schedule_execution_time_iterator

from line_ads_pipeline.components.audience_file import RunFrequencyBlock
from line_ads_pipeline.components.schedule import run_partitions

SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))

USUAL_TIMES = ["00:00", "09:30", "23:59"]
AROUND_CLOCK_CHANGES = ["00:00", "01:30", "01:45", "02:00", "02:15", "02:30", "09:30"]
ZONES = {
    "Asia/Tokyo": USUAL_TIMES,
    "Asia/Taipei": USUAL_TIMES,
    "Asia/Bangkok": USUAL_TIMES,
    "Asia/Jakarta": USUAL_TIMES,
    "America/New_York": AROUND_CLOCK_CHANGES,
    "Europe/London": AROUND_CLOCK_CHANGES,
    "Australia/Lord_Howe": AROUND_CLOCK_CHANGES,
}
FREQUENCIES = {
    "daily": {"every": "daily"},
    "weekly on sunday": {"every": "weekly", "day_of_week": "sunday"},
    "monthly on day 1": {"every": "monthly", "day_of_month": "1"},
    "monthly on day 28": {"every": "monthly", "day_of_month": "28"},
    "monthly on the last day": {"every": "monthly", "day_of_month": "last"},
}
FIRST_DAY = date(2026, 12, 1)


def is_at_an_edge(moment: datetime, zone: ZoneInfo) -> bool:
    """A clock change or a month's end is at most a day away."""
    months = {(moment + n * DAY).astimezone(zone).month for n in (-1, 1)}
    return len(months) > 1 or _clock_changes_near(moment, zone)


def _clock_changes_near(moment: datetime, zone: ZoneInfo) -> bool:
    return _offset(moment - DAY, zone) != _offset(moment + DAY, zone)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


class Scheduled:
    """The schedule and run dates of an audience, as the daemon sees them."""

    def __init__(self, define, frequency: dict, time_of_day: str, time_zone: str, **fields: str) -> None:
        values = {"time_of_day": time_of_day, "time_zone": time_zone} | frequency | fields
        self.zone = ZoneInfo(time_zone)
        self.partitions = run_partitions(RunFrequencyBlock.model_validate(values))
        resources = dict.fromkeys(
            ("warehouse", "snapshots", "line_ads"), dg.ResourceDefinition.none_resource()
        )
        definitions = dg.Definitions.merge(define(run_frequency=values), dg.Definitions(resources=resources))
        self.schedule = definitions.resolve_schedule_def("vip_schedule")
        self.definitions = definitions

    def ticks(self, start: datetime):
        """As `RemoteSchedule.execution_time_iterator`, which the scheduler iterates; in UTC."""
        schedule = self.schedule
        ticks = schedule_execution_time_iterator(
            start.timestamp(), schedule.cron_schedule, schedule.execution_timezone
        )
        return (tick.astimezone(UTC) for tick in ticks)

    def newest(self, now: datetime) -> str | None:
        with partition_loading_context(effective_dt=now):
            return self.partitions.get_last_partition_key()

    def evaluate(self, moment: datetime) -> dg.RunRequest | str:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=moment.astimezone(self.zone),
                repository_def=self.definitions.get_repository_def(),
            )
            result = self.schedule.evaluate_tick(context)
        if result.skip_message:
            return result.skip_message
        (request,) = result.run_requests
        return request


@pytest.mark.parametrize("frequency", FREQUENCIES.values(), ids=FREQUENCIES)
@pytest.mark.parametrize("time_zone", ZONES)
def test_each_promised_moment_is_one_tick_and_the_start_of_its_run_date(
    define, promised_moments, time_zone, frequency
):
    for time_of_day in ZONES[time_zone]:
        scheduled = Scheduled(define, frequency, time_of_day, time_zone)
        promised = promised_moments(frequency, time_of_day, time_zone)
        moments = list(promised)
        ticks = list(islice(scheduled.ticks(moments[0]), len(moments)))
        assert ticks == moments
        assert len(set(promised.values())) == len(moments)

        edges = [pair for pair in pairwise(moments) if is_at_an_edge(pair[1], scheduled.zone)]
        edges_of_the_clock = [pair for pair in edges if _clock_changes_near(pair[1], scheduled.zone)][:6]
        for previous, moment in edges:
            assert next(scheduled.ticks(previous + SECOND)) == moment, "after the tick before"
            assert next(scheduled.ticks(moment)) == moment, "retried"
        for previous, moment in edges[:: 1 + len(edges) // 4] + edges_of_the_clock:
            assert scheduled.newest(moment) == promised[moment]
            assert scheduled.newest(moment - SECOND) == promised[previous]


@pytest.mark.parametrize("time_zone", ["America/New_York", "Europe/London", "Australia/Lord_Howe"])
@pytest.mark.parametrize("frequency", ["daily", "weekly on sunday", "monthly on the last day"])
def test_wherever_the_daemon_takes_up_near_a_clock_change_the_next_tick_is_the_next_promised(
    define, promised_moments, time_zone, frequency
):
    for time_of_day in ("01:30", "02:15"):
        scheduled = Scheduled(define, FREQUENCIES[frequency], time_of_day, time_zone)
        promised = list(promised_moments(FREQUENCIES[frequency], time_of_day, time_zone))
        for day in (FIRST_DAY + n * DAY for n in range(366)):
            morning = datetime.combine(day, time(3), tzinfo=UTC)
            if _offset(morning, scheduled.zone) != _offset(morning + DAY, scheduled.zone):
                for start in (morning + n * 30 * MINUTE for n in range(49)):
                    expected = next(moment for moment in promised if moment >= start)
                    assert next(scheduled.ticks(start)) == expected, start


dagsters_own_deprecation = pytest.mark.filterwarnings(
    "ignore:Function `JobDefinition.run_request_for_partition` is deprecated",
    "ignore:Property `ScheduleDefinition.environment_vars` is deprecated",
)
"""What Dagster itself uses when it loads and evaluates a schedule of `build_schedule_from_partitioned_job`."""

MOMENTS = {
    "the morning of the 21st is keyed as the 21st": (
        "daily",
        "Asia/Tokyo",
        "00:00",
        "2026-11-20 15:00",
        "2026-11-21",
    ),
    "missing 02:30 runs at 03:00": ("daily", "America/New_York", "02:30", "2027-03-14 07:00", "2027-03-14"),
    "missing 01:45 runs at 02:00": ("daily", "Europe/London", "01:45", "2027-03-28 01:00", "2027-03-28"),
    "missing 02:15 runs at 02:30": (
        "daily",
        "Australia/Lord_Howe",
        "02:15",
        "2027-10-02 15:30",
        "2027-10-03",
    ),
    "doubled 01:30 runs the second time": (
        "daily",
        "America/New_York",
        "01:30",
        "2027-11-07 06:30",
        "2027-11-07",
    ),
    "doubled 01:45 runs the second time": (
        "daily",
        "Europe/London",
        "01:45",
        "2027-10-31 01:45",
        "2027-10-31",
    ),
    "doubled 01:45 by half an hour": (
        "daily",
        "Australia/Lord_Howe",
        "01:45",
        "2027-04-03 15:15",
        "2027-04-04",
    ),
    "missing, weekly": ("weekly on sunday", "America/New_York", "02:30", "2027-03-14 07:00", "2027-03-14"),
    "missing, month's last day": (
        "monthly on the last day",
        "Europe/London",
        "01:30",
        "2024-03-31 01:00",
        "2024-03-31",
    ),
    "doubled, month's last day": (
        "monthly on the last day",
        "Europe/London",
        "01:30",
        "2027-10-31 01:30",
        "2027-10-31",
    ),
    "doubled, first of the month": (
        "monthly on day 1",
        "America/New_York",
        "01:30",
        "2026-11-01 06:30",
        "2026-11-01",
    ),
    "leap day": ("monthly on the last day", "Asia/Tokyo", "23:59", "2028-02-29 14:59", "2028-02-29"),
    "last of february": ("monthly on the last day", "Asia/Taipei", "09:30", "2027-02-28 01:30", "2027-02-28"),
    "28th of a leap february": (
        "monthly on day 28",
        "Asia/Jakarta",
        "09:30",
        "2028-02-28 02:30",
        "2028-02-28",
    ),
}


@dagsters_own_deprecation
@pytest.mark.parametrize(
    ("frequency", "time_zone", "time_of_day", "moment", "run_date"), MOMENTS.values(), ids=MOMENTS
)
def test_the_tick_requests_one_run_of_its_local_date(
    define, frequency, time_zone, time_of_day, moment, run_date
):
    """Also when the daemon comes to it late; and from then on an ad-hoc run takes the same run date."""
    scheduled = Scheduled(define, FREQUENCIES[frequency], time_of_day, time_zone, start_date="2024-01-01")
    tick = next(scheduled.ticks(datetime.fromisoformat(f"{moment}+00:00") - 3 * HOUR))
    assert f"{tick:%Y-%m-%d %H:%M}" == moment

    with freeze_time(tick + 5 * HOUR):
        request = scheduled.evaluate(tick)
        assert (request.partition_key, request.run_key) == (run_date, run_date)
        assert scheduled.partitions.get_last_partition_key() == run_date
    with freeze_time(tick):
        assert scheduled.partitions.get_last_partition_key() == run_date
    with freeze_time(tick - SECOND):
        assert scheduled.partitions.get_last_partition_key() < run_date


@dagsters_own_deprecation
def test_no_run_is_requested_before_the_start_date(define):
    scheduled = Scheduled(define, FREQUENCIES["daily"], "09:30", "Asia/Tokyo", start_date="2026-12-01")
    ticks = list(islice(scheduled.ticks(datetime(2026, 11, 30, tzinfo=UTC)), 2))

    assert "no partitions" in scheduled.evaluate(ticks[0])
    assert scheduled.evaluate(ticks[1]).partition_key == "2026-12-01"


@pytest.mark.parametrize(
    "time_zone",
    [
        "Africa/Cairo",
        "America/Havana",
        "America/Santiago",
        "Asia/Beirut",
        "Atlantic/Azores",
        "Pacific/Chatham",
    ],
)
@pytest.mark.parametrize("frequency", ["daily", "monthly on the last day"])
def test_clock_changes_around_midnight_neither_skip_nor_double_a_run_date(
    define, promised_moments, time_zone, frequency
):
    """Which of two readings is taken is Dagster's choice there; that there is one a day, on that day, is not."""
    for time_of_day in ("00:30", "23:30"):
        scheduled = Scheduled(define, FREQUENCIES[frequency], time_of_day, time_zone)
        expected = promised_moments(FREQUENCIES[frequency], time_of_day, time_zone).values()
        first = datetime.combine(FIRST_DAY, time(), tzinfo=scheduled.zone)
        ticks = list(islice(scheduled.ticks(first), len(expected)))
        assert [f"{tick.astimezone(scheduled.zone):%Y-%m-%d}" for tick in ticks] == list(expected)
        for previous, tick in pairwise(ticks):
            assert next(scheduled.ticks(previous + SECOND)) == tick


CODE_LOCATION = """
import dagster as dg

from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience

audience = LineAudience(Audience.model_validate({values!r}))
resources = dict.fromkeys(("warehouse", "snapshots", "line_ads"), dg.ResourceDefinition.none_resource())
defs = dg.Definitions.merge(
    audience.build_defs(dg.ComponentTree.for_test().load_context), dg.Definitions(resources=resources)
)
"""


class Daemon:
    """Dagster's real scheduler over an audience file; each iteration is that of a daemon just started."""

    def __init__(self, folder, attributes: dict, instance: dg.DagsterInstance) -> None:
        self.folder, self.attributes, self.instance = folder, attributes, instance

    @contextmanager
    def workspace(self, frequency: dict, *, keep_updated: bool = True):
        values = self.attributes | {"run_frequency": frequency, "keep_updated": keep_updated}
        # a name of its own for each, since a process loads a file once
        file = self.folder / f"audience_{len(list(self.folder.iterdir()))}.py"
        file.write_text(CODE_LOCATION.format(values=values))
        origin = InProcessCodeLocationOrigin(
            LoadableTargetOrigin(python_file=str(file), working_directory=str(self.folder)),
            location_name="audiences",
        )
        target = InProcessWorkspaceLoadTarget(origin)
        with create_test_daemon_workspace_context(target, self.instance) as workspace:
            yield workspace

    def schedule(self, workspace) -> RemoteSchedule:
        location = workspace.create_request_context().get_code_location("audiences")
        (repository,) = location.get_repositories().values()
        (schedule,) = repository.get_schedules()
        return schedule

    def start(self, now: str, frequency: dict, *, keep_updated: bool = True) -> list[str]:
        """The run dates of the runs that the daemon launches when it is started at `now`, in Tokyo."""
        before = len(self.instance.get_runs())
        moment = datetime.fromisoformat(f"{now}+09:00").astimezone(UTC)
        with freeze_time(moment), self.workspace(frequency, keep_updated=keep_updated) as workspace:
            errors = launch_scheduled_runs(workspace, getLogger(__name__), moment, iteration_times={})
            assert not any(errors)
        runs = self.instance.get_runs()
        return sorted(run.tags["dagster/partition"] for run in runs[: len(runs) - before])

    def click(self, action: str, now: str, frequency: dict, *, keep_updated: bool = True) -> None:
        """What the switch of the schedule in the UI does."""
        moment = datetime.fromisoformat(f"{now}+09:00")
        with freeze_time(moment), self.workspace(frequency, keep_updated=keep_updated) as workspace:
            schedule = self.schedule(workspace)
            if action == "stop":
                self.instance.stop_schedule(schedule.get_remote_origin_id(), schedule.selector_id, schedule)
            else:
                getattr(self.instance, f"{action}_schedule")(schedule)


@pytest.fixture
def daemon(tmp_path):
    attributes = {
        "name": "vip",
        "source": {"table": "customers"},
        "identifier": {"type": "email"},
        "destination": {"ad_account_id": "A10000000001", "audience_name": "VIP customers"},
    }
    launcher = {"module": MockedRunLauncher.__module__, "class": MockedRunLauncher.__name__}
    with instance_for_test(overrides={"run_launcher": launcher}) as instance:
        yield Daemon(tmp_path, attributes, instance)


DAILY = {"every": "daily", "time_of_day": "09:30", "time_zone": "Asia/Tokyo"}


@dagsters_own_deprecation
def test_after_downtime_the_newest_missed_run_is_caught_up_once(daemon):
    assert daemon.start("2026-11-16T12:00", DAILY) == [], "before the first load nothing was promised"
    assert daemon.start("2026-11-17T09:29", DAILY) == []
    assert daemon.start("2026-11-17T09:31", DAILY) == ["2026-11-17"]
    assert daemon.start("2026-11-17T09:32", DAILY) == [], "a restart does not repeat it"
    assert daemon.start("2026-11-20T12:00", DAILY) == ["2026-11-20"], "not the 18th and 19th"
    assert daemon.start("2026-11-20T12:01", DAILY) == []


@dagsters_own_deprecation
def test_an_edited_frequency_counts_from_when_the_daemon_last_looked(daemon):
    noon, evening = DAILY | {"time_of_day": "12:00"}, DAILY | {"time_of_day": "18:00"}
    daemon.start("2026-11-16T08:00", DAILY)
    assert daemon.start("2026-11-16T09:31", DAILY) == ["2026-11-16"]
    assert daemon.start("2026-11-16T11:00", DAILY) == []

    assert daemon.start("2026-11-16T13:00", DAILY | {"time_of_day": "10:00"}) == [], (
        "past when it looked at 11:00"
    )
    assert daemon.start("2026-11-16T13:30", noon) == [], "past when it looked at 13:00"
    assert daemon.start("2026-11-16T18:01", evening) == ["2026-11-16"], "the run date has a second run"
    assert daemon.start("2026-11-17T12:01", noon) == ["2026-11-17"]


@dagsters_own_deprecation
def test_keep_updated_false_stops_a_schedule_that_nobody_switched_and_forgets_what_it_missed(daemon):
    daemon.start("2026-11-16T12:00", DAILY)
    assert daemon.start("2026-11-18T12:00", DAILY, keep_updated=False) == []
    assert daemon.start("2026-11-19T12:00", DAILY) == [], "a new beginning: the 19th at 09:30 is past"
    assert daemon.start("2026-11-20T09:31", DAILY) == ["2026-11-20"]


@dagsters_own_deprecation
def test_the_switch_in_the_ui_wins_over_the_file_until_it_is_reset(daemon):
    daemon.start("2026-11-16T12:00", DAILY)
    daemon.click("stop", "2026-11-16T13:00", DAILY)
    assert daemon.start("2026-11-17T09:31", DAILY) == []

    daemon.click("start", "2026-11-17T12:00", DAILY)
    assert daemon.start("2026-11-18T09:31", DAILY, keep_updated=False) == ["2026-11-18"]

    daemon.click("reset", "2026-11-18T12:00", DAILY, keep_updated=False)
    assert daemon.start("2026-11-19T09:31", DAILY, keep_updated=False) == []
    assert daemon.start("2026-11-19T09:32", DAILY) == []
    assert daemon.start("2026-11-20T09:31", DAILY) == ["2026-11-20"]


def test_run_dates_that_an_edited_frequency_does_not_promise_are_no_partitions_any_more():
    daily, weekly = (
        run_partitions(RunFrequencyBlock.model_validate(frequency | {"time_zone": "Asia/Tokyo"}))
        for frequency in ({"every": "daily"}, {"every": "weekly", "day_of_week": "monday"})
    )
    with freeze_time(datetime(2026, 11, 18, 12, tzinfo=UTC)):
        assert daily.has_partition_key("2026-11-17")
        assert not weekly.has_partition_key("2026-11-17")
        assert weekly.has_partition_key("2026-11-16")
        assert weekly.get_last_partition_key() == "2026-11-16"
