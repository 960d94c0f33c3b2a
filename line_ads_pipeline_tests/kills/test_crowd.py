"""The crowd of the soak comes and goes in all the ways that make a sync send more, less or nothing."""

import random

import pytest

from line_ads_pipeline_tests.kills.crowd import Crowd

DRAWS = 60


@pytest.fixture
def crowd():
    """Makes a crowd; uploads take three."""
    return lambda mode, *, grows: Crowd(mode=mode, grows=grows, chunk=3, draws=random.Random(5))


def snapshots(crowd, *, opt_outs=0.0):
    """Snapshots in turn, each with whom the audience holds before it."""
    for _ in range(DRAWS):
        crowd.let_opt_out(chance=opt_outs)
        before, people = frozenset(crowd.expected), frozenset(crowd.draw())
        crowd.expect(people)
        crowd.settle()
        yield before, people


def test_a_growing_mirror_mostly_adds_and_sometimes_is_the_same_or_lacks_somebody(crowd):
    pairs = list(snapshots(crowd("mirror", grows=True)))

    assert sum(1 for before, people in pairs if people > before) > DRAWS / 2
    assert sum(1 for before, people in pairs if people == before) > 1
    assert sum(1 for before, people in pairs if before - people) > 1
    assert max(len(people) for _, people in pairs) <= 12 * 3


def test_a_growing_add_brings_some_new_some_old_and_sometimes_none_new(crowd):
    pairs = list(snapshots(crowd("add", grows=True)))

    assert sum(1 for before, people in pairs if people - before and people & before) > DRAWS / 2
    assert sum(1 for before, people in pairs if before and people <= before) > 1


@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_other_snapshots_are_drawn_anew_in_four_to_eight_chunks(crowd, mode):
    assert all(10 <= len(people) <= 24 for _, people in snapshots(crowd(mode, grows=False)))


def test_a_mirror_holds_the_latest_and_an_add_all(crowd):
    mirror, add = crowd("mirror", grows=False), crowd("add", grows=False)
    for people in ([1, 2], [2, 3]):
        mirror.expect(people)
        add.expect(people)

    assert (mirror.expected, add.expected) == ({2, 3}, {1, 2, 3})


@pytest.mark.parametrize("grows", [True, False], ids=["growing", "drawn anew"])
@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_who_has_opted_out_is_in_no_snapshot_any_more(crowd, mode, grows):
    opting = crowd(mode, grows=grows)

    for _, people in snapshots(opting, opt_outs=0.5):
        assert people
        assert not people & opting.opted_out
    assert opting.opted_out


def test_only_who_opts_out_before_it_is_certain_who_was_sent_may_be_missing(crowd):
    opting = crowd("add", grows=True)
    opting.expect([1, 2, 3])
    opting.settle()
    opting.let_opt_out(chance=1)
    assert opting.opted_out <= {1, 2, 3}
    assert not opting.may_lack
    known = set(opting.opted_out)

    opting.expect([4, 5, 6])
    opting.let_opt_out(chance=1)

    assert opting.may_lack == opting.opted_out - known
    assert opting.may_lack <= {4, 5, 6}
    assert opting.may_lack
