"""Runs of one audience take turns, and the dead stand in nobody's way."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Fault, Simulator
from line_ads_pipeline.store import Store
from line_ads_pipeline_tests.kills.exactness import syncs_in_order, violations
from line_ads_pipeline_tests.kills.people import snapshot_of
from line_ads_pipeline_tests.kills.sync_process import Nursery, SyncProcess
from line_ads_pipeline_tests.kills.victim import Task

WAITS = "waiting for the lease"
NEVER = 1e9  # seconds: whoever waited for a lease to expire would hang


class Clock:
    """LINE's clock, which can be put on."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(clock):
    with Simulator(requests_per_second_limit=None, clock=clock) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def start(simulator, nursery, tmp_path):
    """Starts a run in a process of its own; none of them outlives the test."""
    store = Store(tmp_path / "store")
    started = []

    def run(people, *, partition="2026-11-21", **changes) -> SyncProcess:
        settings = {
            "store": str(tmp_path / "store"),
            "coordination_url": f"sqlite:///{tmp_path}/coordination.sqlite",
            "base_url": simulator.base_url,
            "access_key": DEMO_ACCESS_KEY,
            "secret_key": DEMO_SECRET_KEY,
            "snapshot": snapshot_of(people, store=store, audience="vip").to_document(),
            "partition": partition,
            "mode": "mirror",
            "requests_per_second": 100.0,
            "time_to_live": NEVER,
            "patience": {"first_poll": 0.03, "slowest_poll": 0.1, "settle": 0.3},
        }
        started.append(nursery.start(Task(**(settings | changes)), folder=tmp_path))
        return started[-1]

    yield run
    for process in started:
        process.kill()


@pytest.fixture
def runner(simulator, start):
    """Starts a run whose first chunk LINE works on until its clock is put on; returns when it does."""

    def run(people, **changes) -> SyncProcess:
        simulator.inject(Fault(call="upload", job_seconds=60))
        process = start(people, **changes)
        assert process.wait(until=lambda: has_uploads(simulator))
        return process

    return run


def put_on(clock) -> None:
    """Let LINE end what it works on."""
    clock.offset += timedelta(seconds=61)


def has_uploads(simulator) -> bool:
    return any(request.job_id for request in simulator.requests)


def is_waiting(process) -> bool:
    return WAITS in process.log


def assert_exact(simulator, people) -> str:
    assert list(violations(simulator, audience_name="VIP customers", people=people)) == []
    (audience,) = simulator.audiences()
    return audience.id


def test_ten_kills_in_a_row_do_not_block_the_eleventh_run(simulator, start):
    for seam in itertools.islice(itertools.cycle(["before the request", "after the answer"]), 10):
        killed = start(range(20), dies=seam)
        killed.wait()
        assert killed.was_killed

    eleventh = start(range(20))
    eleventh.wait()

    assert eleventh.error is None
    assert_exact(simulator, range(20))
    assert not is_waiting(eleventh)


@pytest.mark.parametrize("first", ["older", "newer"])
def test_of_two_mirrors_that_start_together_the_newest_is_in_the_audience(simulator, start, clock, first):
    simulator.inject(Fault(call="upload", job_seconds=60))
    runs = {"older": (range(8), "2026-11-20"), "newer": (range(4, 13), "2026-11-21")}
    started = {
        name: start(runs[name][0], partition=runs[name][1])
        for name in sorted(runs, key=lambda name: name != first)
    }
    for process in started.values():
        process.wait(until=lambda: has_uploads(simulator) and any(map(is_waiting, started.values())))
    put_on(clock)
    for process in started.values():
        process.wait()

    audience_id = assert_exact(simulator, range(4, 13))
    syncs = syncs_in_order(simulator, audience_id)
    assert started["newer"].error is None
    if started["older"].error is None:
        assert len(syncs) == 2
    else:
        assert started["older"].error in {"Overtaken", "OlderThanConfirmed"}
        assert len(syncs) == 1


def test_two_adds_that_start_together_are_both_in_the_audience(simulator, start):
    processes = [start(range(8), mode="add"), start(range(4, 13), mode="add")]
    for process in processes:
        process.wait()

    audience_id = assert_exact(simulator, range(13))
    assert len(syncs_in_order(simulator, audience_id)) == 2


def test_a_run_that_waits_behind_a_running_one_goes_next(simulator, start, runner, clock):
    running = runner(range(8), partition="2026-11-20")
    waiting = start(range(4, 13), partition="2026-11-21")
    assert waiting.wait(until=lambda: is_waiting(waiting))

    put_on(clock)
    running.wait()
    waiting.wait()

    audience_id = assert_exact(simulator, range(4, 13))
    assert len(syncs_in_order(simulator, audience_id)) == 2
    assert (running.error, waiting.error) == (None, None)


def test_only_the_newest_of_those_that_wait_goes_next(simulator, start, runner, clock):
    running = runner(range(8), partition="2026-11-19")
    newest = start(range(4, 13), partition="2026-11-21")
    assert newest.wait(until=lambda: is_waiting(newest))
    passed_over = start(range(2), partition="2026-11-20")
    passed_over.wait()
    put_on(clock)
    running.wait()
    newest.wait()

    assert passed_over.error == "Overtaken"
    assert passed_over.uploads == []
    assert_exact(simulator, range(4, 13))


def test_who_waits_takes_over_from_one_that_is_killed(simulator, start, runner, clock):
    running = runner(range(8), partition="2026-11-20")
    waiting = start(range(4, 13), partition="2026-11-21")
    assert waiting.wait(until=lambda: is_waiting(waiting))

    running.kill()
    put_on(clock)
    waiting.wait()

    assert waiting.error is None
    assert_exact(simulator, range(4, 13))
