"""One pace for all processes, on both databases."""

import logging
from itertools import pairwise
from pathlib import Path

import pytest

from line_ads_pipeline.coordination import Coordination, SharedPace
from line_ads_pipeline.coordination.database import Database


class Watch:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.oversleep: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds + (self.oversleep.pop(0) if self.oversleep else 0)

    def read(self) -> float:
        return self.now


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def database(watch):
    opened = Database("sqlite://", root=Path(), patience=0, clock=watch.read, monotonic=watch.read)
    yield opened
    opened.dispose()


@pytest.fixture
def pace(database, watch):
    return SharedPace(database, "key", per_second=8, sleep=watch.sleep, monotonic=watch.read)


def moments(pace, watch, count):
    found = []
    for _ in range(count):
        pace.wait()
        found.append(watch.now - 1_000)
    return found


def test_requests_follow_each_other_at_even_intervals(pace, watch):
    assert moments(pace, watch, 5) == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])


def test_idle_time_is_not_saved_up_for_a_burst(pace, watch):
    pace.wait()
    watch.now += 60

    assert moments(pace, watch, 3) == pytest.approx([60, 60.125, 60.25])


def test_each_key_has_its_own_pace(database, pace, watch):
    other = SharedPace(database, "other", per_second=8, sleep=watch.sleep, monotonic=watch.read)
    pace.wait()
    other.wait()

    assert watch.now == 1_000


def test_a_moment_that_was_overslept_by_more_than_half_an_interval_is_given_up(pace, watch):
    pace.wait()
    watch.oversleep = [0.07]
    pace.wait()

    assert watch.now - 1_000 == pytest.approx(0.25)


def test_a_moment_that_was_overslept_a_little_is_used(pace, watch):
    pace.wait()
    watch.oversleep = [0.05]
    pace.wait()

    assert watch.now - 1_000 == pytest.approx(0.175)


def test_a_machine_that_always_oversleeps_gives_up_ten_moments_and_says_so(pace, watch, caplog):
    pace.wait()
    watch.oversleep = [0.07] * 20
    pace.wait()

    assert len(watch.oversleep) == 10
    assert "too busy" in caplog.text


def test_a_distant_database_does_not_make_every_moment_come_too_late(database, watch):
    class Distant:
        def write(self, *arguments, **options):
            result = database.write(*arguments, **options)
            watch.now += 0.1
            return result

    pace = SharedPace(Distant(), "key", per_second=8, sleep=watch.sleep, monotonic=watch.read)

    assert moments(pace, watch, 4) == pytest.approx([0.2, 0.325, 0.45, 0.575])


def test_a_clock_that_was_set_back_delays_nobody(pace, watch, database):
    pace.wait()
    database._clock = lambda: watch.now - 3_600

    assert moments(pace, watch, 3) == pytest.approx([0.125, 0.25, 0.375])


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(database, rate):
    with pytest.raises(ValueError, match="per_second must be greater than 0"):
        SharedPace(database, "key", per_second=rate)


def test_minutes_of_queue_are_kept_in_order_also_when_the_clock_is_set_back(url, sql):
    pauses = []
    with Coordination(url, sleep=pauses.append) as one, Coordination(url, sleep=pauses.append) as other:
        for _ in range(30):
            one.pace("key", per_second=0.2).wait()
            other.pace("key", per_second=0.2).wait()
        sql("UPDATE line_ads_paces SET written = written + 86400")
        one.pace("key", per_second=0.2).wait()

    assert pauses == pytest.approx([5 * number for number in range(1, 61)], abs=10)
    assert all(later > earlier for earlier, later in pairwise(pauses))


def test_processes_share_one_pace(url, workers):
    """24 requests of four processes at 16 a second: as evenly as the machine is able to."""
    crowd = workers(url, "pace", "16", count=4)
    for worker in crowd:
        worker.go()
    sent = sorted(float(line) for worker in crowd for line in worker.finish().split())

    assert len(sent) == 24
    assert sent[-1] - sent[0] >= 23 / 16 - 0.04
    for first in sent:  # half a second holds 8, one more at its edge, and what a busy machine delays
        assert sum(first <= moment <= first + 0.5 for moment in sent) <= 11


def test_the_key_is_not_in_the_database(url, sql, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    key = "an-access-key-0815"
    with Coordination(url) as coordination:
        coordination.pace(key, per_second=100).wait()

        assert key not in repr(sql("SELECT * FROM line_ads_paces"))
        for file in tmp_path.rglob("*"):
            assert file.is_dir() or key.encode() not in file.read_bytes()
    assert key not in caplog.text
