"""Who may write to an audience, in which order, and what becomes of a process that was taken for dead."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from line_ads_pipeline.coordination import Coordination, LeaseHeld, LeaseLost
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import Overtaken, PassedOver

ACCOUNT = "A10000000001"


@pytest.fixture
def coordination() -> Iterator[Coordination]:
    """An impatient one."""
    with Coordination("sqlite://", poll=0.01) as coordination:
        yield coordination


@pytest.fixture
def sql(coordination):
    """Runs a statement on the database of the leases, behind the back of the code."""

    def run(statement):
        def work(transaction):
            result = transaction.connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

        return coordination._database.write(work, lock="test")

    return run


class Run(threading.Thread):
    """A run of an audience in a thread of its own; `outcome` tells what became of it."""

    def __init__(self, synchroniser, partition, turns, **how) -> None:
        super().__init__()
        self.outcome: object = "waits"
        self._synchroniser, self._partition, self._turns, self._how = synchroniser, partition, turns, how

    def run(self) -> None:
        try:
            with self._synchroniser.alone(self._partition, **self._how):
                self._turns.append(self._partition)
                self.outcome = "had its turn"
        except PassedOver as reason:
            self.outcome = type(reason)


@pytest.fixture
def queue(sql):
    """Starts runs, each when the one before is in the queue, while somebody is at work; gives those that had a turn."""

    def line_up(at_work, *arrivals) -> tuple[list[str], list[object]]:
        turns, runs = [], []
        with at_work.alone("2026-11-20"):
            for synchroniser, partition, rollback, *patience in arrivals:
                before = owners()
                how = {"rollback": rollback} | dict.fromkeys(patience, False)
                runs.append(Run(synchroniser, partition, turns, **how))
                runs[-1].start()
                until(lambda before=before: runs[-1].outcome != "waits" or owners() - before)
            assert not turns
        for run in runs:
            run.join(timeout=20)
        return turns, [run.outcome for run in runs]

    def owners() -> set[str]:
        return {owner for (owner,) in sql("SELECT owner FROM line_ads_claims")}

    return line_up


def until(condition) -> None:
    for _ in range(2_000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it did not happen within ten seconds")


@pytest.mark.parametrize(
    ("dates", "turn"),
    [
        (["2026-11-21", "2026-11-22"], "2026-11-22"),
        (["2026-11-22", "2026-11-21"], "2026-11-22"),
        (["2026-11-21", "2026-11-23", "2026-11-22"], "2026-11-23"),
    ],
    ids=["the newer comes last", "the newer comes first", "the newer comes between"],
)
def test_of_the_mirrors_that_wait_only_the_newest_run_date_gets_its_turn(synchroniser, queue, dates, turn):
    turns, outcomes = queue(synchroniser(), *((synchroniser(), date, False) for date in dates))

    assert turns == [turn]
    assert outcomes == ["had its turn" if date == turn else Overtaken for date in dates]


def test_of_two_mirrors_of_one_run_date_the_later_one_gets_its_turn(synchroniser, queue):
    _, outcomes = queue(synchroniser(), *((synchroniser(), "2026-11-21", False) for _ in range(2)))

    assert outcomes == [Overtaken, "had its turn"]


def test_a_rollback_goes_before_newer_mirrors_which_end(synchroniser, queue):
    turns, outcomes = queue(
        synchroniser(),
        (synchroniser(), "2026-11-22", False),
        (synchroniser(), "2026-11-19", True),
        (synchroniser(), "2026-11-23", False),
    )

    assert turns == ["2026-11-19"]
    assert outcomes == [Overtaken, "had its turn", Overtaken]


def test_of_two_rollbacks_the_one_that_was_asked_for_later_gets_its_turn(synchroniser, queue):
    """Second thoughts count, also when they go further back."""
    turns, _ = queue(
        synchroniser(), (synchroniser(), "2026-11-20", True), (synchroniser(), "2026-11-10", True)
    )

    assert turns == ["2026-11-10"]


def test_a_run_with_a_wish_of_its_own_does_not_give_way(synchroniser, queue):
    """Else a scheduled run of the same date would end what somebody asked for, such as release_hold."""
    turns, outcomes = queue(
        synchroniser(),
        (synchroniser(), "2026-11-21", False, "gives_way"),
        (synchroniser(), "2026-11-21", False),
    )

    assert outcomes == ["had its turn"] * 2
    assert len(turns) == 2


def test_audience_files_that_name_one_audience_by_id_and_by_name_take_turns(
    simulator, sync, coordination, sql
):
    first = sync(range(3), partition="2026-11-20")
    before = len(simulator.requests)
    by_name = threading.Thread(target=sync, args=(range(3),))

    with coordination.lease(f"audience {ACCOUNT} {first.audience_id}"):  # as a sync by id holds it
        by_name.start()
        until(lambda: len(sql("SELECT owner FROM line_ads_claims WHERE slot IS NULL")) == 1)
        assert all(request.method == "GET" for request in simulator.requests[before:])
    by_name.join(timeout=20)

    assert [request.action for request in simulator.requests[before:] if request.job_id] == ["REPLACE"]


def test_an_upload_that_waited_while_its_lease_was_lost_is_not_sent(
    simulator, sync, sql, monkeypatch, line_ads_client
):
    first = sync(range(3), partition="2026-11-20")
    simulator.inject(Fault(call="upload", status=429, retry_after="0.5"))
    monkeypatch.setattr(
        line_ads_client._connection, "_sleep", lambda _seconds: sql("DELETE FROM line_ads_claims")
    )
    before = len(simulator.requests)

    with pytest.raises(LeaseLost):
        sync(range(10, 13))

    assert [request.status for request in simulator.requests[before:] if request.method == "POST"] == [429]
    assert len(simulator.members(first.audience_id)) == 3


def test_adds_get_their_turns_in_the_order_of_arrival(synchroniser, queue):
    """An add that is passed over would leave people out."""
    dates = ["2026-11-23", "2026-11-21", "2026-11-22"]

    turns, outcomes = queue(
        synchroniser(mode="add"), *((synchroniser(mode="add"), date, False) for date in dates)
    )

    assert turns == dates
    assert set(outcomes) == {"had its turn"}


def test_audience_files_that_add_to_one_destination_take_turns_and_none_is_passed_over(synchroniser, queue):
    other = synchroniser(mode="add", audience="another_file")
    third = synchroniser(mode="add", audience="a_third_file")

    turns, outcomes = queue(
        synchroniser(mode="add"), (other, "2026-11-19", False), (third, "2026-11-22", False)
    )

    assert turns == ["2026-11-19", "2026-11-22"]
    assert set(outcomes) == {"had its turn"}


def test_audience_files_with_destinations_of_their_own_do_not_wait_for_each_other(synchroniser):
    with (
        synchroniser().alone("2026-11-21"),
        synchroniser(audience="another_file", audience_name="Others").alone("2026-11-21", wait=False),
    ):
        pass


@pytest.mark.parametrize("audience", ["vip", "another_file"])
def test_who_does_not_wait_is_told_that_somebody_is_at_work(synchroniser, audience):
    other = synchroniser(mode="add", audience=audience)

    with (
        synchroniser(mode="add").alone("2026-11-21"),
        pytest.raises(LeaseHeld),
        other.alone("2026-11-22", wait=False),
    ):
        pytest.fail("two at once")


def test_a_running_mirror_is_not_overtaken(synchroniser, snapshot_of, members_of, simulator, sql, bring):
    """A daily mirror of many slow chunks would never be whole."""
    simulator.inject(Fault(call="upload", times=None, job_polls=1))
    turns, waiting = [], []

    def newer_comes(_seconds):
        if not waiting:
            waiting.append(Run(synchroniser(), "2026-11-22", turns))
            waiting[0].start()
            until(lambda: len(sql("SELECT owner FROM line_ads_claims WHERE slot IS NULL")) == 1)
        assert not turns

    result = bring(synchroniser(sleep=newer_comes), snapshot_of(range(8)), partition="2026-11-21")
    waiting[0].join(timeout=20)

    assert simulator.members(result.audience_id) == members_of(range(8))
    assert turns == ["2026-11-22"]


def documents(store) -> dict[str, bytes]:
    return {entry.path: store._place.read(entry.path) for entry in store._place.entries("documents")}


@pytest.mark.parametrize(
    ("kind", "call", "number"),
    [
        ("mirror", "list_audiences", 1),
        ("mirror", "upload_jobs", 1),
        ("mirror", "upload", 1),
        ("mirror", "upload_jobs", 2),
        ("mirror", "upload", 2),
        ("deletion", "list_audiences", 1),
        ("deletion", "upload_jobs", 1),
        ("deletion", "delete", 1),
        ("renaming", "list_audiences", 1),
        ("renaming", "upload_jobs", 1),
    ],
)
def test_who_was_taken_for_dead_writes_and_sends_nothing_any_more(
    simulator, sync, store, sql, monkeypatch, line_ads_client, kind, call, number
):
    """What is on its way at that moment arrives; nothing follows it."""
    first = sync(range(20, 24), partition="2026-11-20")
    original, calls = getattr(line_ads_client, call), []
    known = {}

    def lose(*args, **kwargs):
        calls.append(call)
        answer = original(*args, **kwargs)
        answer = list(answer) if call == "list_audiences" else answer
        if len(calls) == number:
            sql("DELETE FROM line_ads_claims")
            known.update(documents=documents(store), requests=len(simulator.requests))
        return answer

    monkeypatch.setattr(line_ads_client, call, lose)
    people, how = range(8), {}
    if kind == "deletion":
        people, how = [], {"rows": 0, "when_empty": "delete_audience"}
    if kind == "renaming":
        how = {"audience_id": first.audience_id, "audience_name": "Better name"}

    with pytest.raises(LeaseLost):
        sync(people, **how)

    assert documents(store) == known["documents"]
    assert all(request.method == "GET" for request in simulator.requests[known["requests"] :])


def test_a_holder_that_was_silent_for_too_long_gives_way(
    synchroniser, snapshot_of, bring, simulator, members_of
):
    with Coordination("sqlite://", poll=0.01, time_to_live=0.2, heartbeat=3600) as silent:
        slow, quick = synchroniser(coordination=silent), synchroniser(coordination=silent)
        with slow.alone("2026-11-21") as paused:
            time.sleep(0.3)
            result = bring(quick, snapshot_of(range(3)), partition="2026-11-21")

            with pytest.raises(LeaseLost):
                paused.records.write({"partition": None}, "hold")

    assert paused.records.read("hold") is None
    assert simulator.members(result.audience_id) == members_of(range(3))


class TestReplaces:
    """LINE takes so many `REPLACE`s at a time of an ad account, from the request until its job has ended."""

    @pytest.fixture
    def all_at_once(self, synchroniser, snapshot_of, bring):
        """Lets many audience files sync at the same time."""

        def run(count, **changes):
            failures, threads = [], []
            snapshots = [snapshot_of(range(3), audience=f"file_{number}") for number in range(count)]

            def sync(number):
                mine = synchroniser(
                    audience=f"file_{number}", audience_name=f"Audience {number}", settle=0.0, **changes
                )
                try:
                    bring(mine, snapshots[number], partition="2026-11-21")
                except BaseException as error:  # noqa: BLE001 - told by the test
                    failures.append(error)

            for number in range(count):
                threads.append(threading.Thread(target=sync, args=[number]))
                threads[-1].start()
            for thread in threads:
                thread.join(timeout=30)
            assert not failures

        return run

    @pytest.mark.parametrize("at_once", [1, 2, 3])
    def test_as_many_as_line_takes_are_at_work_at_once(self, simulator, all_at_once, at_once):
        simulator.inject(Fault(call="upload", times=None, job_polls=1))
        together = threading.Barrier(at_once, timeout=20)

        all_at_once(6, replaces_at_once=at_once, sleep=lambda _seconds: together.wait())

        assert simulator.most_replaces_at_once(ACCOUNT) == at_once
        assert not simulator.broken_rules
        assert len(simulator.audiences()) == 6

    def test_adds_need_not_wait_for_each_other(self, simulator, all_at_once):
        simulator.inject(Fault(call="upload", times=None, job_polls=1))
        together = threading.Barrier(4, timeout=20)

        all_at_once(4, mode="add", replaces_at_once=1, sleep=lambda _seconds: together.wait())

        assert len(simulator.audiences()) == 4
