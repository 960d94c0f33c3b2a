import threading

import pytest

from line_ads_pipeline.line_ads import EvenPace


class Stopwatch:
    def __init__(self):
        self.now = 1_000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_requests_follow_each_other_at_even_intervals():
    watch = Stopwatch()
    pace = EvenPace(8, sleep=watch.sleep, monotonic=watch.monotonic)
    moments = []
    for _ in range(5):
        pace.wait()
        moments.append(watch.now - 1_000)
    assert moments == pytest.approx([0, 0.125, 0.25, 0.375, 0.5])


def test_idle_time_is_not_saved_up_for_a_burst():
    watch = Stopwatch()
    pace = EvenPace(8, sleep=watch.sleep, monotonic=watch.monotonic)
    pace.wait()
    watch.now += 60
    started = watch.now
    for _ in range(3):
        pace.wait()
    assert watch.now - started == pytest.approx(0.25)


def test_threads_share_one_pace():
    """Twenty threads that ask at the same moment are given twenty moments, an interval apart."""
    pauses = []
    pace = EvenPace(8, sleep=pauses.append, monotonic=lambda: 5.0)
    barrier = threading.Barrier(20)

    def ask():
        barrier.wait()
        pace.wait()

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pauses) == pytest.approx([n / 8 for n in range(1, 20)])


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate):
    with pytest.raises(ValueError, match="requests_per_second"):
        EvenPace(rate)
