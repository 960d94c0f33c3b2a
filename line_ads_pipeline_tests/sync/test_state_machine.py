"""Whatever happens in whatever order, the audience holds exactly whom it should when a run is done.

What it should hold is told from what the runs were asked for and from what came to be uploaded, never from a manifest.
"""

import functools
import itertools
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from line_ads_pipeline.line_ads import LineAdsError
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store
from line_ads_pipeline.sync import (
    AudienceRecords,
    GuardrailsStopped,
    OnHold,
    SyncError,
    SyncMode,
    UploadJobFailed,
    UploadUnsettled,
)
from line_ads_pipeline_tests.kills.exactness import chunk_of, violations
from line_ads_pipeline_tests.kills.faults import clear_faults

AUDIENCE_NAME = "VIP customers"
ACCOUNT = "A10000000001"
EXAMPLES, STEPS = 40, 14

FAULTS = (
    Fault(call="upload", drop="before"),
    Fault(call="upload", drop="after"),
    Fault(call="upload", status=500),
    Fault(call="upload", status=500, takes_effect=True),
    Fault(call="upload", drop="after", appears_after_polls=3),
    Fault(call="upload", appears_after_polls=3),
    Fault(call="upload", job_polls=2),
    Fault(call="upload", job_polls=2, job_status="PONDERING"),
    Fault(call="upload", job_failed_type="INTERNAL_ERROR"),
    Fault(call="upload", times=6, drop="before"),
    Fault(status=429),
    Fault(call="upload-job", status=503),
    Fault(call="list", times=8, status=503),
)

crowds = st.frozensets(st.integers(0, 11), min_size=1, max_size=9)
troubles = st.lists(
    st.builds(lambda fault, skip: replace(fault, skip=skip), st.sampled_from(FAULTS), st.integers(0, 3)),
    max_size=2,
)
rarely = st.sampled_from([False, False, False, True])
deaths = st.none() | st.tuples(st.integers(1, 24), st.sampled_from(["before", "after"]))


class Killed(BaseException):
    """The process ends here, without a chance to clean up."""


@dataclass(eq=False, kw_only=True)
class Wish:
    """What a run was asked for. `begun`: something of it was certainly uploaded, or was about to be."""

    people: frozenset[int]
    mode: SyncMode
    partition: str
    begun: bool = False

    def applied_to(self, people: frozenset[int]) -> frozenset[int]:
        return self.people if self.mode == "mirror" else people | self.people


class Watch:
    """Sees each call that leaves the process, ends it before or after one, and reads what is uploaded."""

    def __init__(self, patched, death) -> None:
        self.uploads = []
        self._patched = patched
        self._call, self._when = death or (0, "")
        self._calls = itertools.count(1)

    def over(self, owner, name) -> None:
        original = getattr(owner, name)

        def call(*args, **kwargs):
            number = next(self._calls)
            if number == self._call and self._when == "before":
                raise Killed
            if name == "upload":
                file = kwargs["file"]  # which the client reads from its start
                self.uploads.append(kwargs | {"lines": file.read().decode().split()})
            answer = original(*args, **kwargs)
            if name == "list_audiences":
                answer = iter(list(answer))
            if number == self._call:
                raise Killed
            return answer

        self._patched.setattr(owner, name, call)


class Syncs(RuleBasedStateMachine):
    """Runs of one audience file, and a colleague, with everything that can go wrong."""

    def __init__(self, parts) -> None:
        super().__init__()
        self.parts = parts
        parts.simulator.reset()
        for document in parts.store._place.entries("documents"):
            parts.store._place.delete(document.path)
        self.days = itertools.count(1)
        self.strangers = itertools.count(50, 5)
        self.held = frozenset()  # by the audience, when that was last certain
        self.pending = []  # wishes of runs that were not done, in their order; later runs may finish them
        self.holds = {None}  # where the audience may be on hold
        self.latest = None
        self.past = []  # mirrors that were done
        self.is_meddled = False  # a colleague uploaded, and no run was told or able to put up with it since

    @initialize(
        max_records=st.integers(1, 3),
        hide_file_names=st.booleans(),
        limit=st.sampled_from([None, 3, 5]),
        incremental=st.booleans(),
    )
    def circumstances(self, max_records, hide_file_names, limit, incremental):
        self.max_records = max_records
        self.incremental = incremental
        hidden = Fault(call="upload-job", times=None, hide_file_names=True)
        self.job_list = hidden if hide_file_names else None
        if limit is not None:
            hidden = replace(hidden, hide_file_names=hide_file_names, job_list_limit=limit)
            self.job_list = hidden

    @rule(
        people=crowds,
        grows=st.booleans(),
        mode=st.sampled_from(["mirror", "mirror", "add"]),
        faults=troubles,
        death=deaths,
        override=st.booleans(),
        release=rarely,
    )
    def new_snapshot(self, people, grows, mode, faults, death, override, release):
        if grows and self.latest is not None:
            people |= self.latest.people
        self.latest = Wish(people=people, mode=mode, partition=f"2026-{next(self.days):03}")
        self.run(self.latest, faults, death, override=override, release=release)

    @precondition(lambda self: self.latest)
    @rule(faults=troubles, death=deaths, override=st.booleans(), release=rarely)
    def again(self, faults, death, override, release):
        self.run(self.latest, faults, death, override=override, release=release)

    @precondition(lambda self: len(self.past) > 1)
    @rule(data=st.data(), faults=troubles, death=deaths, override=st.booleans())
    def rollback(self, data, faults, death, override):
        earlier = data.draw(st.sampled_from(self.past[:-1]))
        self.run(earlier, faults, death, override=override, rollback=True)

    @precondition(lambda self: self.parts.simulator.audiences() and self.list_shows_what_we_sent_last())
    @rule()
    def colleague_adds(self):
        """Five people, more than any chunk has; what is pushed off LINE's list before we saw it, nobody can find."""
        self.set_faults([])
        (audience,) = self.parts.simulator.audiences()
        while any(job.is_running for job in self.parts.client.upload_jobs(ACCOUNT, audience.id)):
            pass
        self.is_meddled = True
        first = next(self.strangers)
        self.parts.colleague(strangers(first), audience_id=audience.id, file_name=f"colleague-{first}")

    def teardown(self):
        """Without faults, everything comes to its end; what failed before may fail one run more."""
        if self.latest is not None:
            runs = (self.run(self.latest, [], None, override=True, release=True) for _ in range(3))
            assert any(runs)

    def run(self, wish, faults, death, *, override, release=False, rollback=False) -> bool:
        """One run, and what must be true after it; tells whether it was done."""
        self.set_faults(faults)
        self.is_meddled = self.is_meddled and not (override or wish.mode == "add")
        wish = replace(wish, begun=False)
        rollbacks = [replace(hold, begun=False) for hold in self.holds if hold]
        result, error = self.attempt(
            wish,
            death,
            [*self.pending, *rollbacks, wish],
            override=frozenset({"foreign_uploads"} if override else ()),
            release_hold=release,
            rollback=rollback,
        )
        may_go = release or rollback or None in self.holds
        match error:
            case None:
                assert may_go, "the hold was passed over"
                assert result.resumed or not self.is_meddled, "a colleague's upload was wiped without a word"
                self.assert_exact([*self.pending, replace(wish, begun=True)])
                self.holds = {wish if rollback else None}
                if wish.mode == "mirror" and not rollback:
                    self.past.append(wish)
            case OnHold():
                assert not release
                assert not rollback
                self.assert_exact(*([replace(hold, begun=True)] for hold in rollbacks))
                self.holds = {hold for hold in rollbacks if hold.people == self.held - self.unwiped()}
            case GuardrailsStopped(findings=findings):
                assert [each.check for each in findings if each.verdict == "stopped"] == ["foreign_uploads"]
                assert not override
                assert not wish.begun
            case Killed() | LineAdsError() | UploadJobFailed() | UploadUnsettled():
                self.pending += [*rollbacks, *([wish] if may_go else [])]
                self.holds |= {wish} if rollback else {None} if release else set()
            case _:
                raise error
        return error is None

    def attempt(self, wish, death, candidates, **wishes):
        """Carry out a run; gives its result, or what ended it, and notes whose chunks came to be uploaded."""
        synchroniser = self.parts.synchroniser(
            mode=wish.mode,
            max_records=self.max_records,
            incremental=self.incremental,
            records=AudienceRecords(self.parts.store, "vip"),
        )
        snapshot = self.parts.snapshot_of(wish.people)
        with pytest.MonkeyPatch.context() as patched:
            watch = Watch(patched, death)
            for name in ("list_audiences", "upload", "upload_jobs"):
                watch.over(self.parts.client, name)
            watch.over(self.parts.store, "write_document")
            try:
                return self.parts.bring(synchroniser, snapshot, partition=wish.partition, **wishes), None
            except (Killed, SyncError, LineAdsError) as error:
                return None, error
            finally:
                for upload in (
                    [] if self.incremental else watch.uploads
                ):  # increments do not tell whose they are
                    self.note_begun(upload, candidates)

    def note_begun(self, upload, candidates) -> None:
        """Find out whose chunk was uploaded; where several could have it, nothing is known."""
        _, number = chunk_of(upload["file_name"])
        whose = [
            wish
            for wish in candidates
            if self.chunk(wish, number) == upload["lines"]
            and (upload["action"] == "REPLACE") == (wish.mode == "mirror" and number == 1)
        ]
        if len({(wish.people, wish.mode) for wish in whose}) == 1:
            whose[-1].begun = True

    def chunk(self, wish, number) -> list[str]:
        """The lines of one chunk of a snapshot."""
        lines = sorted(self.parts.members_of(wish.people))
        return lines[(number - 1) * self.max_records : number * self.max_records]

    def assert_exact(self, *stories) -> None:
        """The audience holds what one of these sequences of wishes leads to, and nothing else is wrong.

        A wish that was not begun, as far as is known, counts in whole or not at all.
        """
        possible = set()
        for wishes in stories:
            outcomes = {self.held}
            for wish in wishes:
                outcomes = {wish.applied_to(held) for held in outcomes} | (set() if wish.begun else outcomes)
            possible |= outcomes
        unwiped = self.unwiped()
        held = self.people_in_the_audience()
        assert held in {people | unwiped for people in possible}, (sorted(held), possible, unwiped)
        assert not [*violations(self.parts.simulator, audience_name=AUDIENCE_NAME, people=held)]
        self.held, self.pending = held, []

    def people_in_the_audience(self) -> frozenset[int]:
        (audience,) = self.parts.simulator.audiences()
        members = self.parts.simulator.members(audience.id)
        return frozenset(self.parts.person_of[member] for member in members)

    def jobs(self):
        return [
            job
            for audience in self.parts.simulator.audiences()
            for job in self.parts.simulator.jobs(audience.id)
            if job.status != "FAILED"
        ]

    def list_shows_what_we_sent_last(self) -> bool:
        """Whether it will do so after one more upload of a colleague."""
        since = itertools.takewhile(lambda job: job.name.startswith("colleague"), reversed(self.jobs()))
        return self.job_list is None or sum(1 for _ in since) + 2 <= (
            self.job_list.job_list_limit or math.inf
        )

    def unwiped(self) -> frozenset[int]:
        """Whom a colleague uploaded since the last time that LINE replaced the members."""
        people = frozenset()
        for job in self.jobs():
            if job.type == "DIFF_REPLACE":
                people = frozenset()
            elif job.name.startswith("colleague"):
                people |= {*strangers(int(job.name.partition("-")[2]))}
        return people

    def set_faults(self, faults) -> None:
        """Let these be all that goes wrong from now on."""
        clear_faults(self.parts.simulator)
        if self.job_list is not None:
            self.parts.simulator.inject(self.job_list)
        self.parts.simulator.inject(*faults)


def strangers(first: int) -> range:
    """People that only a colleague uploads."""
    return range(first, first + 5)


def test_every_run_that_is_done_leaves_exactly_whom_it_should(
    simulator, line_ads_client, synchroniser, bring, snapshot_of, members_of, colleague
):
    store = Store("memory://")
    parts = SimpleNamespace(
        simulator=simulator,
        store=store,
        client=line_ads_client,
        synchroniser=synchroniser,
        bring=bring,
        snapshot_of=functools.cache(functools.partial(snapshot_of, into=store)),
        members_of=functools.cache(members_of),
        colleague=colleague,
        person_of={member: person for person in range(500) for member in members_of([person])},
    )

    run_state_machine_as_test(
        lambda: Syncs(parts), settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
    )
