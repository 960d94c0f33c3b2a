"""What follows from the claims on a lease: whose turn it is, and who is overtaken."""

from dataclasses import replace

import pytest

from line_ads_pipeline.coordination.claims import Claim, Queue
from line_ads_pipeline.coordination.processes import Process

HERE = Process.current()
ELSEWHERE = Process(host="elsewhere", host_name="elsewhere", pid=1, started="1")
DEAD = replace(HERE, started="1")
NOW = 1_000.0


def claim(owner: str, arrival: int, **others) -> Claim:
    values = {"process": ELSEWHERE, "time_to_live": 45.0, "beat": NOW, **others}
    return Claim(owner=owner, name="one", arrival=arrival, **values)


def queue(*claims: Claim) -> Queue:
    return Queue(claims=claims, now=NOW, seen_from=HERE.host)


@pytest.mark.parametrize(
    ("changes", "alive"),
    [
        ({"beat": NOW - 44.9}, True),
        ({"beat": NOW - 45.1}, False),
        ({"process": HERE}, True),
        ({"process": HERE, "beat": NOW - 45.1}, False),
        ({"process": DEAD}, False),
    ],
    ids=["heard of", "silent", "on this host", "silent on this host", "dead on this host"],
)
def test_a_claim_counts_while_its_process_lives_and_is_heard_of(changes, alive):
    mine = claim("mine", 1, **changes)

    assert queue(mine).is_alive(mine) is alive


HOLDER = claim("holder", 1, slot=0)
FIRST, SECOND, THIRD = (claim(f"waiter {number}", number) for number in (2, 3, 4))
DEAD_HOLDER = replace(HOLDER, process=DEAD)
DEAD_FIRST = replace(FIRST, process=DEAD)


@pytest.mark.parametrize(
    ("claims", "slots", "blocker"),
    [
        ([THIRD], 1, None),
        ([HOLDER, THIRD], 1, HOLDER),
        ([HOLDER, THIRD], 2, None),
        ([DEAD_HOLDER, THIRD], 1, None),
        ([FIRST, THIRD], 1, FIRST),
        ([DEAD_FIRST, THIRD], 1, None),
        ([DEAD_HOLDER, DEAD_FIRST, SECOND, THIRD], 1, SECOND),
        ([HOLDER, FIRST, THIRD], 2, FIRST),
        ([HOLDER, FIRST, THIRD], 3, None),
        ([FIRST, SECOND, THIRD], 2, FIRST),
        ([HOLDER, replace(FIRST, slot=1), THIRD], 1, HOLDER),
    ],
    ids=[
        "nobody",
        "a holder",
        "a second slot",
        "a dead holder",
        "somebody before",
        "somebody dead before",
        "the first who lives",
        "somebody before for the second slot",
        "a slot for each",
        "as many before as slots",
        "more holders than slots",
    ],
)
def test_a_slot_is_for_the_first_who_live(claims, slots, blocker):
    assert queue(*claims).blocker(THIRD, slots=slots) == blocker


YOUNG = claim("young", 5, overtaking=True)


@pytest.mark.parametrize(
    ("mine", "others", "overtaker"),
    [
        (FIRST, [YOUNG], None),
        (replace(FIRST, overtaking=True), [YOUNG], YOUNG),
        (replace(FIRST, overtaking=True), [THIRD], THIRD),
        (replace(FIRST, overtaking=True), [replace(YOUNG, process=DEAD)], None),
        (replace(FIRST, overtaking=True), [replace(YOUNG, beat=NOW - 46)], None),
        (replace(FIRST, overtaking=True), [replace(YOUNG, slot=0)], None),
        (replace(FIRST, overtaking=True, slot=0), [YOUNG], None),
        (replace(FIRST, overtaking=True, rank="2"), [replace(YOUNG, rank="1")], None),
        (replace(YOUNG, rank="1"), [replace(FIRST, rank="2")], replace(FIRST, rank="2")),
        (YOUNG, [FIRST], None),
    ],
    ids=[
        "who does not give way",
        "by who came later",
        "by who does not give way itself",
        "not by the dead",
        "not by the silent",
        "not by a holder",
        "not a holder",
        "not by a lower rank",
        "by a higher rank that came before",
        "not by who came before",
    ],
)
def test_a_waiter_is_overtaken(mine, others, overtaker):
    assert queue(mine, *others).overtaker(mine) == overtaker


def test_who_is_overtaken_and_has_not_noticed_yet_blocks_nobody():
    overtaken = replace(FIRST, overtaking=True)

    assert queue(overtaken, YOUNG).blocker(YOUNG, slots=1) is None


def test_the_lowest_free_slot_is_given():
    assert queue().free_slot() == 0
    assert queue(HOLDER, FIRST).free_slot() == 1
    assert queue(replace(HOLDER, slot=1), FIRST).free_slot() == 0
