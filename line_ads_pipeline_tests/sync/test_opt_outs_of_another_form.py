"""Opt-outs of mobile ad ids after `hash_ifa` was changed: who has opted out of what is unsent cannot be told."""

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault, Simulator
from line_ads_pipeline.sync import GuardrailsStopped, NoValidIdentifiers, OnHold, OptOutsNotComparable

UNFINISHED = range(8)


@pytest.fixture
def simulator():
    """One that takes hashed mobile ad ids, too."""
    with Simulator(requests_per_second_limit=None, accept_hashed_ifa=True) as running:
        yield running


@pytest.fixture(params=["plain, then hashed", "hashed, then plain"])
def forms(request, ifas, snapshot_of):
    """How snapshots are written before `hash_ifa` is changed, and after."""
    return (ifas, snapshot_of) if request.param.startswith("plain") else (snapshot_of, ifas)


@pytest.fixture
def before(forms):
    return forms[0]


@pytest.fixture
def after(forms):
    return forms[1]


@pytest.fixture
def run(synchroniser, bring):
    """Brings a snapshot of mobile ad ids to LINE: the keywords are those of `bring`, or what `synchroniser` takes."""

    def sync(snapshot, *, day, rows=None, changes=None, **wishes):
        mine = synchroniser(id_type="IFA", **changes or {})
        return bring(mine, snapshot, partition=f"2026-11-{day}", rows=rows, **wishes)

    return sync


@pytest.fixture
def half_sent(simulator, run, before):
    """Leaves the sync of the 20th unfinished, one upload of three being in the audience."""

    def leave(**how):
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            run(before(UNFINISHED), **{"day": 20} | how)

    return leave


@pytest.mark.parametrize("incremental", [False, True], ids=["all", "increments"])
class TestAdd:
    """It is finished first, if it can be told to whom."""

    @pytest.fixture
    def add(self, incremental):
        return {"mode": "add", "incremental": incremental}

    def test_nothing_is_sent_and_its_place_is_kept(
        self, simulator, run, sent, half_sent, before, after, synchroniser, add
    ):
        half_sent(changes=add)
        unfinished = synchroniser().records.running_sync()
        requests = len(simulator.requests)

        for _ in range(2):
            with pytest.raises(
                OptOutsNotComparable, match=r"2026-11-20 .*hash_ifa.*override: \[unfinished_sync\]"
            ):
                run(after(range(8, 10)), day=21, opted_out=after([7]), changes=add)

        assert sent(after=requests) == []
        assert synchroniser().records.running_sync() == unfinished
        assert unfinished.snapshot == before(UNFINISHED)

    @pytest.mark.parametrize("people", [range(8, 10), []], ids=["somebody", "nobody"])
    def test_it_may_be_given_up(self, simulator, run, sent, half_sent, after, synchroniser, add, people):
        half_sent(changes=add)
        requests = len(simulator.requests)

        run(after(people), day=21, opted_out=after([7]), override=frozenset({"unfinished_sync"}), changes=add)

        assert sent(after=requests) == ([("ADD", 2)] if people else [])
        assert synchroniser().records.running_sync() is None

    def test_it_is_finished_when_the_form_is_set_back(
        self, simulator, run, sent, half_sent, before, after, add
    ):
        half_sent(changes=add)
        with pytest.raises(OptOutsNotComparable):
            run(after(range(8, 10)), day=21, opted_out=after([50]), changes=add)
        requests = len(simulator.requests)

        run(before(range(8, 10)), day=21, opted_out=before([50]), changes=add)

        assert sent(after=requests) == [("ADD", 3), ("ADD", 2), ("ADD", 2)]

    def test_it_is_finished_if_nobody_at_all_has_opted_out(self, simulator, run, sent, half_sent, after, add):
        half_sent(changes=add)
        requests = len(simulator.requests)

        run(after(range(8, 10)), day=21, opted_out=after([]), changes=add)

        assert sent(after=requests) == [("ADD", 3), ("ADD", 2), ("ADD", 2)]

    def test_what_line_has_all_of_is_only_confirmed(self, simulator, run, sent, before, after, add):
        simulator.inject(Fault(call="upload", skip=2, job_polls=2))
        run(before(UNFINISHED), day=20, changes=add | {"wait_for_processing": False})
        requests = len(simulator.requests)

        run(after(range(8, 10)), day=21, opted_out=after([7]), changes=add)

        assert sent(after=requests) == [("ADD", 2)]


class TestMirror:
    """It is not completed in place of a newer one that is stopped, which fails for its own reason."""

    @pytest.mark.parametrize(
        ("people", "rows", "error"),
        [(range(2), 2, GuardrailsStopped), ([], 7, NoValidIdentifiers)],
        ids=["too few", "nobody"],
    )
    def test_it_is_left_as_it_is(
        self, simulator, run, sent, half_sent, after, synchroniser, caplog, people, rows, error
    ):
        half_sent()
        unfinished = synchroniser().records.running_sync()
        requests = len(simulator.requests)

        with pytest.raises(error):
            run(after(people), day=21, rows=rows, opted_out=after([7]), changes={"min_identifiers": 5})

        assert sent(after=requests) == []
        assert synchroniser().records.running_sync() == unfinished
        assert "could not be finished: what is left unsent of the run date 2026-11-20" in caplog.text

    def test_a_newer_one_takes_its_place(self, simulator, run, sent, half_sent, after):
        half_sent()
        requests = len(simulator.requests)

        run(after(range(2)), day=21, opted_out=after([7]))

        assert sent(after=requests) == [("REPLACE", 2)]

    def test_a_rollback_is_left_as_it_is(
        self, simulator, run, sent, half_sent, before, after, synchroniser, caplog
    ):
        run(before(range(4, 12)), day=20)
        half_sent(day=19, rollback=True)
        unfinished = synchroniser().records.running_sync()
        requests = len(simulator.requests)

        with pytest.raises(OnHold):
            run(after(range(4, 12)), day=21, opted_out=after([7]))

        assert sent(after=requests) == []
        assert synchroniser().records.running_sync() == unfinished
        assert "the rollback is not completed: what is left unsent of the run date 2026-11-19" in caplog.text

    def test_a_rollback_that_line_has_all_of_is_only_confirmed(
        self, simulator, run, sent, before, after, synchroniser
    ):
        run(before(range(4, 12)), day=20)
        simulator.inject(Fault(call="upload", skip=2, job_polls=2))
        run(before(UNFINISHED), day=19, rollback=True, changes={"wait_for_processing": False})
        requests = len(simulator.requests)

        with pytest.raises(OnHold):
            run(after(range(4, 12)), day=21, opted_out=after([7]))

        assert sent(after=requests) == []
        mine = synchroniser(id_type="IFA")
        assert mine.records.confirmed(mine.destination).partition == "2026-11-19"
