"""Leases between threads, between processes, and with the dead, on both databases."""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from line_ads_pipeline.coordination import (
    Coordination,
    CoordinationUnavailable,
    LeaseHeld,
    LeaseLost,
    Overtaken,
)
from line_ads_pipeline.coordination.claims import Claim
from line_ads_pipeline.coordination.database import Database
from line_ads_pipeline.coordination.leases import WaitingRoom
from line_ads_pipeline.coordination.processes import Process
from line_ads_pipeline.coordination.register import Register

HERE = Process.current()
ELSEWHERE = Process(host="elsewhere", host_name="far-away", pid=4711, started="1")
DEAD = replace(HERE, started="1")  # another process has its number now


def eventually(condition) -> None:
    for _ in range(2_000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it did not happen within ten seconds")


class Waiter:
    """A thread that waits for the lease "one", and keeps it until it is told to let it go."""

    def __init__(self, url, **options) -> None:
        self.outcome = "waits"
        self._url, self._options = url, options
        self._let_go = threading.Event()
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        with Coordination(self._url, poll=0.01, heartbeat=3600) as coordination:
            try:
                with coordination.lease("one", **self._options):
                    self.outcome = "has it"
                    self._let_go.wait(20)
                    self.outcome = "had it"
            except Overtaken as error:
                self.outcome = f"overtaken: {error}"

    def let_go(self) -> None:
        self._let_go.set()
        self._thread.join()


@pytest.fixture
def waiter(url, sql, coordination):
    """Starts a waiter, and returns when it is in the queue."""
    take(coordination)  # makes the tables
    started = []

    def owners() -> set[str]:
        return {owner for (owner,) in sql("SELECT owner FROM line_ads_claims")}

    def start(**options) -> Waiter:
        before = owners()
        started.append(Waiter(url, **options))
        eventually(lambda: owners() - before or started[-1].outcome != "waits")
        return started[-1]

    yield start
    for each in started:
        each.let_go()


@pytest.fixture
def register(url):
    """Enters claims of others, who are not heard of again."""
    database = Database(url, root=Path(), patience=0)
    yield Register(database, host=HERE.host)
    database.dispose()


def claim(owner: str, process: Process, **others) -> Claim:
    return Claim(owner=owner, name="one", process=process, time_to_live=45.0, **others)


def take(coordination: Coordination, **options) -> None:
    with coordination.lease("one", wait=False, **options):
        pass


def test_processes_that_start_at_once_on_a_new_database_exclude_each_other(url, workers, tmp_path):
    log = tmp_path / "log"
    count = 8 if url.startswith("sqlite") else 4  # SQLite has no server that could help
    crowd = workers(url, "exclude", str(log), count=count)
    for worker in crowd:
        worker.go()
    for worker in crowd:
        worker.finish()
        assert worker.complaints == ""

    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == count * 4 * 2
    for (came, entering), (went, leaving) in zip(lines[::2], lines[1::2], strict=True):
        assert (came, entering, leaving) == (went, "in", "out")


def test_a_killed_holder_is_replaced_at_once_on_its_own_host(url, coordination, workers):
    """Also while its parent has not taken notice of its end: it is a zombie then."""
    (holder,) = workers(url, "hold", "one")
    holder.go()
    assert holder.says() == "held"
    with pytest.raises(LeaseHeld, match=f"process {holder.process.pid} of {HERE.host_name} has it since 2"):
        take(coordination)
    holder.process.kill()
    eventually(lambda: "Z" in Path(f"/proc/{holder.process.pid}/stat").read_text().rpartition(")")[2])

    take(coordination)


def test_a_holder_of_another_host_is_replaced_after_45_seconds_of_silence(coordination, register, sql):
    register.attend(claim("other", ELSEWHERE), slots=1)
    sql("UPDATE line_ads_claims SET beat = beat - 40")
    with pytest.raises(LeaseHeld):
        take(coordination)
    sql("UPDATE line_ads_claims SET beat = beat - 6")

    take(coordination)


def test_the_time_to_live_of_a_holder_is_its_own(url, coordination, sql):
    with Coordination(url, time_to_live=20, heartbeat=3600) as brief, brief.lease("one"):
        sql("UPDATE line_ads_claims SET beat = beat - 15")
        with pytest.raises(LeaseHeld):
            take(coordination)
        sql("UPDATE line_ads_claims SET beat = beat - 6")

        take(coordination)


def test_a_silent_holder_that_was_replaced_learns_it_before_its_next_act(url, coordination, sql):
    lost = pytest.raises(LeaseLost, match=r"'one' is no longer held.*45 seconds.*Run it again")
    with coordination.lease("one") as lease, Coordination(url) as another:
        lease.renew()
        sql("UPDATE line_ads_claims SET beat = beat - 46")
        with another.lease("one", wait=False) as newer:
            with lost:
                lease.renew()
            newer.renew()


def test_a_silent_holder_that_nobody_replaced_keeps_its_lease(coordination, sql):
    with coordination.lease("one") as lease:
        sql("UPDATE line_ads_claims SET beat = beat - 46")
        lease.renew()
        with pytest.raises(LeaseHeld):
            take(coordination)


def test_a_lease_that_was_left_cannot_be_renewed(coordination):
    with coordination.lease("one") as lease:
        pass

    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_lease_is_free_after_an_error(coordination):
    with pytest.raises(ZeroDivisionError), coordination.lease("one"):
        _ = 1 / 0

    take(coordination)


def test_leases_of_different_names_have_nothing_to_do_with_each_other(coordination):
    with coordination.lease("one"), coordination.lease("another", wait=False):
        pass


def test_ten_killed_runs_do_not_block_the_eleventh(coordination, register, sql):
    """Whether they held the lease or waited for it, here or elsewhere."""
    for number in range(10):
        register.attend(claim(f"killed {number}", ELSEWHERE, rank="9", overtaking=True), slots=2)
    sql(f"UPDATE line_ads_claims SET host = '{HERE.host}', pid = {HERE.pid} WHERE arrival % 2 = 0")
    sql("UPDATE line_ads_claims SET beat = beat - 46 WHERE host = 'elsewhere'")

    take(coordination, overtaking=True)
    assert sql("SELECT owner FROM line_ads_claims") == []


def test_a_clock_that_was_set_back_blocks_nobody_for_longer_than_the_time_to_live(
    coordination, register, sql
):
    register.attend(claim("other", ELSEWHERE), slots=1)
    sql("UPDATE line_ads_claims SET beat = beat + 86400, since = since + 86400")
    with pytest.raises(LeaseHeld):
        take(coordination)
    sql("UPDATE line_ads_claims SET beat = beat - 46")

    take(coordination)


def test_slots_go_to_waiters_in_the_order_of_arrival(coordination, waiter):
    with coordination.lease("one"):
        first, second, third = waiter(), waiter(), waiter()
        assert [each.outcome for each in (first, second, third)] == ["waits"] * 3
    for each, others in [(first, [second, third]), (second, [third]), (third, [])]:
        eventually(lambda each=each: each.outcome == "has it")
        assert all(other.outcome == "waits" for other in others)
        each.let_go()


def test_so_many_have_a_slot_at_once_and_the_next_gets_the_first_that_is_free(coordination, waiter, sql):
    holders = [waiter(slots=3) for _ in range(3)]
    eventually(lambda: all(each.outcome == "has it" for each in holders))
    with pytest.raises(LeaseHeld):
        take(coordination, slots=3)
    fourth = waiter(slots=3)
    assert fourth.outcome == "waits"
    holders[1].let_go()

    eventually(lambda: fourth.outcome == "has it")
    assert sql("SELECT slot FROM line_ads_claims ORDER BY arrival") == [(0,), (2,), (1,)]


def test_who_does_not_wait_does_not_come_before_those_who_do(coordination, register, sql):
    register.attend(claim("holder", ELSEWHERE), slots=1)
    register.attend(claim("waiter", ELSEWHERE), slots=1)
    sql("DELETE FROM line_ads_claims WHERE owner = 'holder'")

    with pytest.raises(LeaseHeld, match="process 4711 of far-away waits for it since"):
        take(coordination)


def test_a_waiter_is_overtaken_by_a_newer_one_and_the_holder_by_nobody(coordination, waiter):
    with coordination.lease("one", overtaking=True) as lease:
        older = waiter(overtaking=True)
        newer = waiter(overtaking=True)
        eventually(lambda: older.outcome.startswith("overtaken"))
        assert f"process {HERE.pid} of {HERE.host_name} waits for it" in older.outcome
        assert newer.outcome == "waits"
        lease.renew()

    eventually(lambda: newer.outcome == "has it")


def test_who_comes_later_with_older_work_is_overtaken_itself(coordination, waiter):
    with coordination.lease("one"):
        newer_work = waiter(overtaking=True, rank="2026-02-01")
        older_work = waiter(overtaking=True, rank="2026-01-01")
        eventually(lambda: older_work.outcome.startswith("overtaken"))
        assert newer_work.outcome == "waits"


def test_a_dead_waiter_overtakes_nobody(coordination, waiter, register):
    with coordination.lease("one"):
        older = waiter(overtaking=True)
        register.attend(claim("newer", DEAD, rank="9", overtaking=True), slots=1)
        time.sleep(0.1)  # many looks
        assert older.outcome == "waits"

    eventually(lambda: older.outcome == "has it")


def test_a_waiter_that_was_taken_for_dead_gets_its_place_back(coordination, waiter, sql):
    with coordination.lease("one"):
        first = waiter()
        place = sql("SELECT owner, arrival FROM line_ads_claims WHERE slot IS NULL")
        sql("DELETE FROM line_ads_claims WHERE slot IS NULL")
        eventually(lambda: sql("SELECT owner, arrival FROM line_ads_claims WHERE slot IS NULL") == place)

    eventually(lambda: first.outcome == "has it")


def test_the_order_of_arrival_is_kept_when_nobody_was_left_meanwhile(register):
    """So that a waiter that was taken for dead comes back to its place."""
    early = register.attend(claim("early", ELSEWHERE), slots=1).find("early")
    register.leave(early)
    late = register.attend(claim("late", ELSEWHERE), slots=1).find("late")

    assert late.arrival > early.arrival


def test_the_lease_is_renewed_in_the_background(url, sql):
    with Coordination(url, heartbeat=0.01) as coordination, coordination.lease("one"):
        beat = sql("SELECT beat FROM line_ads_claims")
        eventually(lambda: sql("SELECT beat FROM line_ads_claims") != beat)


def test_a_waiter_gives_signs_of_life(url, coordination, sql):
    def beats():
        return sql("SELECT beat FROM line_ads_claims WHERE slot IS NULL")

    def wait() -> None:
        with Coordination(url, poll=0.01, heartbeat=0.02) as another, another.lease("one"):
            pass

    with coordination.lease("one"):
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(beats)
        first = beats()
        eventually(lambda: beats() != first)
    thread.join()


def test_what_was_opened_before_a_fork_works_on_both_sides_of_it(url, workers):
    (parent,) = workers(url, "fork", "one")
    parent.go()

    assert parent.finish() == "0\n"
    assert parent.complaints == ""


def test_a_server_that_is_away_for_a_while_costs_nobody_the_lease(postgresql_url, cluster, caplog):
    with (
        Coordination(postgresql_url, heartbeat=0.02, poll=0.02) as coordination,
        coordination.lease("one") as lease,
    ):
        cluster.run(
            "ALTER DATABASE shared WITH ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shared'",
        )
        eventually(lambda: "the lease 'one' could not be renewed: CoordinationUnavailable" in caplog.text)
        back = threading.Timer(0.1, cluster.run, ["ALTER DATABASE shared WITH ALLOW_CONNECTIONS true"])
        back.start()
        lease.renew()
        back.join()
    assert "s3cret" not in caplog.text


@pytest.fixture
def outage(monkeypatch):
    """Begins and ends a time in which no transaction succeeds."""

    class Outage:
        def begin(self) -> None:
            monkeypatch.setattr(Database, "_transact", self._fail)

        def end(self) -> None:
            monkeypatch.undo()

        def _fail(self, *_, **__) -> None:
            raise OperationalError("SELECT", {"password": "s3cret"}, Exception("s3cret"))

    return Outage()


def test_a_lease_outlives_a_database_that_is_away(outage, caplog):
    with (
        Coordination("sqlite://", heartbeat=0.01, poll=0.01) as coordination,
        coordination.lease("one") as lease,
    ):
        outage.begin()
        complaint = "the lease 'one' could not be renewed: CoordinationUnavailable"
        eventually(lambda: caplog.text.count(complaint) > 1)
        threading.Timer(0.1, outage.end).start()
        lease.renew()
    assert "s3cret" not in caplog.text


def test_a_database_that_stays_away_is_given_up_after_the_time_to_live(outage):
    with (
        Coordination("sqlite://", time_to_live=0.2, poll=0.05) as coordination,
        coordination.lease("one") as lease,
    ):
        outage.begin()
        with pytest.raises(CoordinationUnavailable, match="LINE_ADS_COORDINATION_URL") as caught:
            lease.renew()
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_lease_that_cannot_be_released_masks_no_error(outage, caplog):
    def fail() -> None:
        outage.begin()
        _ = 1 / 0

    with Coordination("sqlite://") as coordination:
        with pytest.raises(ZeroDivisionError), coordination.lease("one"):
            fail()
        assert "the lease 'one' could not be released, and is free in 45 seconds" in caplog.text


def test_a_heartbeat_ends_with_the_lease(url, sql, caplog):
    with Coordination(url, heartbeat=0.01) as coordination, coordination.lease("one") as lease:
        sql("DELETE FROM line_ads_claims")
        eventually(lambda: "the lease 'one' was lost" in caplog.text)
        with pytest.raises(LeaseLost):
            lease.renew()


def test_a_waiter_says_for_whom_it_waits_once_and_then_every_five_minutes(caplog):
    caplog.set_level(logging.INFO, logger="line_ads_pipeline.coordination")
    database = Database("sqlite://", root=Path(), patience=0)
    register = Register(database, host=HERE.host)
    register.attend(claim("holder", ELSEWHERE), slots=1)
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now > 700:
            register.leave(claim("holder", ELSEWHERE))

    room = WaitingRoom(register, heartbeat=3600, poll=0.5, sleep=sleep, monotonic=lambda: now)
    room.wait_for(claim("mine", HERE), slots=1)
    database.dispose()

    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert messages[0].startswith("waiting for the lease 'one': process 4711 of far-away has it since 20")


def test_those_far_behind_in_a_queue_look_less_often():
    database = Database("sqlite://", root=Path(), patience=0)
    register = Register(database, host=HERE.host)
    for number in range(40):
        register.attend(claim(f"{number}", ELSEWHERE), slots=3)
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        database.write(lambda it: it.connection.exec_driver_sql("DELETE FROM line_ads_claims"), lock="all")

    room = WaitingRoom(register, heartbeat=10, poll=0.5, sleep=sleep)
    room.wait_for(claim("mine", HERE), slots=3)
    database.dispose()

    assert pauses == [pytest.approx(0.5 * (1 + 37 // 3))]


def test_a_lease_without_slots_is_refused(coordination):
    with pytest.raises(ValueError, match="slots must be greater than 0"):
        take(coordination, slots=0)
