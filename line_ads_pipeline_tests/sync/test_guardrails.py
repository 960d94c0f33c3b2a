"""A mirror that looks wrong is stopped before it changes anything, and says everything that looks wrong, in numbers."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import Store, Tally
from line_ads_pipeline.sync import (
    AudienceRecords,
    GuardrailsStopped,
    NoValidIdentifiers,
    SyncRequest,
)
from line_ads_pipeline.sync.guardrails import Shrinkage, shrink_finding

ACCOUNT = "A10000000001"
NAMELESS = Fault(call="upload-job", times=None, hide_file_names=True)
GUARDRAILS = ["min_identifiers", "max_skipped", "max_shrink", "foreign_uploads"]


def refused(*, skip: int) -> Fault:
    """The upload after so many is refused, so that a sync is left half sent."""
    return Fault(call="upload", skip=skip, status=400, reasons=("INVALID_VALUE",))


ALL_WELL = dict.fromkeys(("hold", "destination", "unfinished_sync"), "passed")
"""What is told of the audience beside its guardrails."""


def verdicts(findings) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings}


def only_looked(simulator, *, after: int = 0) -> bool:
    return all(request.method == "GET" for request in simulator.requests[after:])


def message_of(findings, check) -> str:
    (message,) = (finding.message for finding in findings if finding.check == check)
    return message


@pytest.fixture
def skipping(synchroniser, snapshot_of):
    """Brings four people to LINE, of a segment with so many rows of each other outcome."""

    def run(*, max_skipped, partition="2026-11-21", override=(), mode="mirror", **outcomes):
        snapshot = snapshot_of(range(4))
        tally = Tally(
            rows=snapshot.count + sum(outcomes.values()),
            outcomes={"hashed": snapshot.count, **outcomes},
            distinct=snapshot.count,
            duplicates=0,
        )
        request = SyncRequest(
            snapshot=snapshot, tally=tally, partition=partition, override=frozenset(override)
        )
        with synchroniser(max_skipped=max_skipped, mode=mode).alone(partition) as mine:
            return mine.sync(request)

    return run


class TestMinIdentifiers:
    def test_fewer_than_wanted_are_not_sent(self, simulator, sync):
        with pytest.raises(GuardrailsStopped, match="4 identifiers; at least 5 wanted"):
            sync(range(4), min_identifiers=5)
        assert only_looked(simulator)

    def test_as_many_as_wanted_are_sent(self, sync):
        assert sync(range(5), min_identifiers=5).records == 5


class TestMaxShrink:
    def test_what_counts_are_the_members_that_leave_and_not_how_many_are_left(self, simulator, sync):
        sync(range(8), partition="2026-11-20")
        before = len(simulator.requests)

        with pytest.raises(GuardrailsStopped) as stopped:
            sync(range(5, 13), max_shrink=0.5)

        assert message_of(stopped.value.findings, "max_shrink") == (
            "Was 8 (run date 2026-11-20), would be 8: 5 leave, 62.5 %; limit 50 %."
        )
        assert only_looked(simulator, after=before)

    def test_the_share_of_the_limit_may_leave(self, simulator, sync, members_of):
        sync(range(8), partition="2026-11-20")

        result = sync(range(4, 8), max_shrink=0.5)

        assert verdicts(result.findings)["max_shrink"] == "passed"
        assert simulator.members(result.audience_id) == members_of(range(4, 8))

    def test_the_message_has_the_numbers_as_people_write_them(self):
        before = Shrinkage(was=1_204_331, left=1_204_100, since="run date 2026-11-20")

        finding = shrink_finding(before, now=310, at_most=0.5)

        assert finding.message == (
            "Was 1,204,331 (run date 2026-11-20), would be 310: 1,204,100 leave, 99.981 %; limit 50 %."
        )
        assert finding.numbers == {
            "was": 1_204_331,
            "would_be": 310,
            "left": 1_204_100,
            "share": 0.999808,
            "limit": 0.5,
        }

    @pytest.mark.parametrize("found", ["adopted", "by id"])
    def test_an_audience_that_was_never_synced_is_compared_with_lines_estimate(
        self, simulator, sync, members_of, found
    ):
        theirs = simulator.add_audience(ACCOUNT, name="VIP customers", members=members_of(range(200)))
        how = {"adopt": True} if found == "adopted" else {"audience_id": theirs}

        with pytest.raises(GuardrailsStopped, match=r"Was 200 \(LINE's estimate\), would be 8: 192 leave"):
            sync(range(8), max_shrink=0.5, **how)
        assert only_looked(simulator)

    def test_an_unknown_size_is_a_warning(self, simulator, sync, members_of):
        """LINE gives no number for up to a hundred."""
        simulator.add_audience(ACCOUNT, name="VIP customers", members=members_of(range(100)))

        result = sync(range(8), max_shrink=0.0, adopt=True)

        assert verdicts(result.findings)["max_shrink"] == "warning"
        assert "unknown" in message_of(result.findings, "max_shrink")

    def test_a_new_audience_has_nobody_who_could_leave(self, sync):
        result = sync(range(8), max_shrink=0.0)

        assert verdicts(result.findings)["max_shrink"] == "passed"
        assert message_of(result.findings, "max_shrink").startswith("The audience is new, would be 8")

    def test_without_the_confirmed_snapshot_the_counts_are_compared(self, sync, store):
        sync(range(8), partition="2026-11-20")
        for file in (store._place._root / "snapshots").rglob("*"):
            if file.is_file():
                file.unlink()

        with pytest.raises(GuardrailsStopped, match=r"Was 8 .* would be 3: 5 leave"):
            sync(range(100, 103), max_shrink=0.5)
        assert sync(range(100, 108), max_shrink=0.5).confirmed


class TestMaxSkipped:
    def test_more_than_the_limit_of_the_values_may_not_be_skipped(self, simulator, skipping):
        with pytest.raises(GuardrailsStopped) as stopped:
            skipping(max_skipped=0.5, no_at_sign=3, too_long=2)

        assert (
            message_of(stopped.value.findings, "max_skipped")
            == "5 of 9 values skipped, 55.556 %; limit 50 %."
        )
        assert only_looked(simulator)

    def test_the_share_of_the_limit_may_be_skipped(self, skipping):
        assert verdicts(skipping(max_skipped=0.5, no_at_sign=4).findings)["max_skipped"] == "passed"

    def test_blank_and_null_rows_are_no_values(self, skipping):
        result = skipping(max_skipped=0.5, null=30, blank=20, no_at_sign=4)

        assert message_of(result.findings, "max_skipped") == "4 of 8 values skipped, 50 %; limit 50 %."

    def test_blank_and_null_rows_make_the_rest_no_better(self, skipping):
        with pytest.raises(GuardrailsStopped, match="5 of 9 values skipped"):
            skipping(max_skipped=0.5, null=30, blank=20, no_at_sign=5)


class TestForeignUploads:
    @pytest.mark.parametrize("names", ["named", "nameless"])
    @pytest.mark.parametrize("action", ["ADD", "REPLACE"])
    def test_a_mirror_does_not_wipe_what_somebody_else_uploaded_since(
        self, simulator, sync, colleague, members_of, names, action
    ):
        if names == "nameless":
            simulator.inject(NAMELESS)
        first = sync(range(8), partition="2026-11-20")
        colleague(range(50, 57), audience_id=first.audience_id, action=action)
        before, members = len(simulator.requests), simulator.members(first.audience_id)

        with pytest.raises(GuardrailsStopped, match="foreign_uploads: 1 upload from elsewhere"):
            sync(range(8))

        assert only_looked(simulator, after=before)
        assert simulator.members(first.audience_id) == members >= members_of(range(50, 57))

    def test_the_finding_tells_which_uploads_and_when(self, simulator, sync, colleague):
        first = sync(range(8), partition="2026-11-20")
        for people in (range(50, 52), range(60, 65)):
            colleague(people, audience_id=first.audience_id)
        theirs = simulator.jobs(first.audience_id)[-2:]

        with pytest.raises(GuardrailsStopped) as stopped:
            sync(range(8))

        (finding,) = (found for found in stopped.value.findings if found.check == "foreign_uploads")
        assert finding.numbers["uploads"] == 2
        assert set(finding.numbers["job_ids"].split(", ")) == {job.id for job in theirs}
        assert f"{theirs[-1].created:%Y-%m-%d %H:%M} UTC" in finding.message

    @pytest.mark.parametrize("names", ["named", "nameless"])
    def test_the_uploads_of_own_syncs_that_were_superseded_are_not_foreign(self, simulator, sync, names):
        if names == "nameless":
            simulator.inject(NAMELESS)
        sync(range(8), partition="2026-11-18")
        simulator.inject(refused(skip=2))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-19")

        superseding = sync(range(2, 10), partition="2026-11-20")
        afterwards = sync(range(3, 11))

        assert verdicts(superseding.findings)["foreign_uploads"] == "passed"
        assert verdicts(afterwards.findings)["foreign_uploads"] == "passed"

    @pytest.mark.parametrize("names", ["named", "nameless"])
    @pytest.mark.parametrize("chunk", [1, 2])
    def test_an_own_upload_that_was_thought_lost_and_came_late_is_not_foreign(
        self, simulator, sync, names, chunk
    ):
        if names == "nameless":
            simulator.inject(NAMELESS)
        sync(range(8), partition="2026-11-19")
        simulator.inject(Fault(call="upload", skip=chunk, drop="after", appears_after_polls=3))
        sync(range(1, 9), partition="2026-11-20", settle=0.0)

        result = sync(range(2, 10))

        assert verdicts(result.findings)["foreign_uploads"] == "passed"

    def test_an_own_upload_of_a_superseded_sync_that_came_late_is_not_foreign(
        self, simulator, sync, line_ads_client
    ):
        first = sync(range(8), partition="2026-11-18")
        simulator.inject(
            Fault(call="upload", skip=1, drop="after", appears_after_polls=20),
            Fault(call="upload", skip=1, status=400, reasons=("INVALID_VALUE",)),
        )
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-19", settle=0.0)
        sync(range(2, 10), partition="2026-11-20")
        before = len(simulator.jobs(first.audience_id))
        for _ in range(20):
            line_ads_client.upload_jobs(ACCOUNT, first.audience_id)
        assert len(simulator.jobs(first.audience_id)) == before + 1

        assert verdicts(sync(range(3, 11)).findings)["foreign_uploads"] == "passed"

    def test_a_sync_of_another_store_is_foreign_although_its_files_are_named_alike(
        self, sync, synchroniser, snapshot_of, bring, tmp_path
    ):
        """A copy of the pipeline on a laptop."""
        sync(range(8), partition="2026-11-20")
        other = Store(tmp_path / "other")
        copy = synchroniser(records=AudienceRecords(other, "vip"))
        bring(copy, snapshot_of(range(20, 24), into=other), partition="2026-11-20")

        with pytest.raises(GuardrailsStopped, match="2 uploads from elsewhere"):
            sync(range(8))

    def test_an_upload_that_failed_changed_nothing_and_does_not_count(self, simulator, sync, colleague):
        first = sync(range(8), partition="2026-11-20")
        simulator.inject(Fault(call="upload", job_failed_type="INTERNAL_ERROR"))
        colleague(range(50, 57), audience_id=first.audience_id)

        assert verdicts(sync(range(8)).findings)["foreign_uploads"] == "passed"

    def test_uploads_from_before_the_last_sync_do_not_count(self, simulator, sync, colleague):
        """Neither those that were listed when it began, nor older ones that were not."""
        long_ago = datetime.now(UTC) - timedelta(days=9)
        theirs = simulator.add_audience(
            ACCOUNT, name="VIP customers", created=long_ago, job_file_names=["a.txt", "b.txt"]
        )
        colleague(range(50, 57), audience_id=theirs)
        simulator.inject(Fault(call="upload-job", times=1 + 3, job_list_limit=1))
        sync(range(8), adopt=True, partition="2026-11-20")

        result = sync(range(8))

        assert verdicts(result.findings)["foreign_uploads"] == "passed"


def test_everything_that_looks_wrong_is_found_before_anything_stops(simulator, sync, colleague):
    first = sync(range(8), partition="2026-11-20")
    colleague(range(50, 57), audience_id=first.audience_id)
    before = len(simulator.requests)

    with pytest.raises(GuardrailsStopped) as stopped:
        sync(range(2), rows=20, min_identifiers=3, max_skipped=0.5, max_shrink=0.5)

    assert verdicts(stopped.value.findings) == ALL_WELL | dict.fromkeys(GUARDRAILS, "stopped")
    assert all(f"{guardrail}: " in str(stopped.value) for guardrail in GUARDRAILS)
    assert f"override: [{', '.join(GUARDRAILS)}]" in str(stopped.value)
    assert only_looked(simulator, after=before)


def test_a_finding_that_passed_is_told_beside_those_that_stop(sync):
    with pytest.raises(GuardrailsStopped) as stopped:
        sync(range(2), min_identifiers=3)

    assert verdicts(stopped.value.findings) == ALL_WELL | {
        "min_identifiers": "stopped",
        "max_skipped": "passed",
        "max_shrink": "passed",
        "foreign_uploads": "passed",
    }


@pytest.mark.parametrize("guardrail", GUARDRAILS)
def test_an_override_lets_one_run_pass_with_a_warning(sync, colleague, guardrail):
    first = sync(range(100, 108), partition="2026-11-18")

    def provoke(day, **wishes):
        people = range(200 + 10 * day, 200 + 10 * day + 8)
        if guardrail == "foreign_uploads":
            colleague(range(50, 57), audience_id=first.audience_id)
        limits = {
            "min_identifiers": {"min_identifiers": 9},
            "max_skipped": {"rows": 80, "max_skipped": 0.5},
            "max_shrink": {"max_shrink": 0.5},
            "foreign_uploads": {},
        }
        return sync(people, partition=f"2026-11-{day}", **limits[guardrail], **wishes)

    with pytest.raises(GuardrailsStopped):
        provoke(19, override=frozenset(GUARDRAILS) - {guardrail})
    result = provoke(19, override=frozenset({guardrail}))
    with pytest.raises(GuardrailsStopped):
        provoke(20)

    assert verdicts(result.findings)[guardrail] == "warning"
    assert "Overridden for this run." in message_of(result.findings, guardrail)
    assert all(
        verdict == "passed" for check, verdict in verdicts(result.findings).items() if check != guardrail
    )


def test_an_override_that_is_not_needed_is_no_warning(sync):
    result = sync(range(8), override=frozenset(GUARDRAILS))

    assert set(verdicts(result.findings).values()) == {"passed"}


@pytest.mark.parametrize("mode", ["mirror", "add"])
def test_no_override_sends_nobody(simulator, sync, mode):
    with pytest.raises(NoValidIdentifiers) as refusal:
        sync([], rows=7, mode=mode, override=frozenset(GUARDRAILS))

    assert verdicts(refusal.value.findings)["min_identifiers"] == "stopped"
    assert not simulator.requests


def test_an_add_is_not_guarded(simulator, sync, skipping, colleague, members_of):
    """It takes nobody away, and others may add as well."""
    first = sync(range(8), mode="add", partition="2026-11-19")
    colleague(range(50, 57), audience_id=first.audience_id)
    sync(range(100, 102), mode="add", partition="2026-11-20", min_identifiers=9, max_shrink=0.0)

    result = skipping(mode="add", max_skipped=0.0, no_at_sign=50)

    assert "foreign_uploads" not in verdicts(result.findings)
    assert simulator.members(first.audience_id) == members_of([*range(8), *range(50, 57), 100, 101])


class TestUnfinished:
    """What guardrails do beside a sync that an earlier run left half sent."""

    def test_a_sync_that_goes_on_keeps_the_findings_of_its_beginning(self, simulator, sync, members_of):
        sync(range(8), partition="2026-11-20")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(100, 108), max_shrink=0.5, override=frozenset({"max_shrink"}))

        result = sync(range(100, 108), max_shrink=0.5)

        assert result.resumed
        assert "Overridden for this run." in message_of(result.findings, "max_shrink")
        assert simulator.members(result.audience_id) == members_of(range(100, 108))

    def test_a_sync_that_goes_on_is_not_stopped_by_what_happened_since(
        self, simulator, sync, colleague, members_of
    ):
        """Half a mirror is worse than one that a colleague added to."""
        first = sync(range(8), partition="2026-11-20")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9))
        colleague(range(50, 57), audience_id=first.audience_id)

        result = sync(range(1, 9), min_identifiers=9, rows=80, max_skipped=0.5)

        assert verdicts(result.findings)["foreign_uploads"] == "passed"
        assert simulator.members(first.audience_id) == members_of([*range(1, 9), *range(50, 57)])

    def test_a_mirror_that_is_stopped_lets_an_older_half_sent_one_be_completed_first(
        self, simulator, sync, sent, members_of
    ):
        first = sync(range(8), partition="2026-11-19")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-20")
        before = len(simulator.requests)
        wrong = partial(sync, range(100, 103), max_shrink=0.5)

        with pytest.raises(GuardrailsStopped, match="max_shrink"):
            wrong()

        assert sent(after=before) == [("ADD", 3), ("ADD", 2)]
        assert simulator.members(first.audience_id) == members_of(range(1, 9))
        with pytest.raises(GuardrailsStopped, match=r"Was 8 \(run date 2026-11-20\)"):
            wrong()
        assert len(sent(after=before)) == 2

    def test_why_a_mirror_is_stopped_is_told_even_if_an_older_half_sent_one_cannot_be_completed(
        self, simulator, sync, sent, caplog
    ):
        sync(range(8), partition="2026-11-19")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-20")
        before = len(simulator.requests)
        # the first two looks are those of the run itself
        simulator.inject(Fault(call="upload-job", skip=2, status=400, reasons=("INVALID_VALUE",)))

        with pytest.raises(GuardrailsStopped, match="max_shrink"):
            sync(range(100, 103), max_shrink=0.5)

        assert "could not be finished: " in caplog.text
        assert sent(after=before) == []

    def test_a_mirror_of_nobody_lets_an_older_half_sent_one_be_completed_first(
        self, simulator, sync, members_of
    ):
        first = sync(range(8), partition="2026-11-19")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-20")

        with pytest.raises(NoValidIdentifiers):
            sync([], rows=7)

        assert simulator.members(first.audience_id) == members_of(range(1, 9))

    def test_a_mirror_that_is_stopped_leaves_alone_what_somebody_else_put_in_place_of_a_half_sent_one(
        self, simulator, sync, colleague, members_of
    ):
        first = sync(range(8), partition="2026-11-19")
        simulator.inject(refused(skip=1))
        with pytest.raises(RejectedRequest):
            sync(range(1, 9), partition="2026-11-20")
        colleague(range(50, 57), action="REPLACE", audience_id=first.audience_id)

        with pytest.raises(GuardrailsStopped, match="foreign_uploads"):
            sync(range(2, 10))

        assert simulator.members(first.audience_id) == members_of(range(50, 57))


def test_a_mirror_after_adds_is_measured_by_lines_size_since_no_snapshot_holds_all_that_was_added(sync):
    sync(range(200), mode="add", partition="2026-11-19", max_records=200)
    sync(range(200, 202), mode="add", partition="2026-11-20")

    with pytest.raises(GuardrailsStopped, match=r"Was 202 \(LINE's estimate\), would be 2: 200 leave"):
        sync(range(200, 202), max_shrink=0.5)


@pytest.mark.parametrize("people", [range(100, 108), []], ids=["the same people", "nobody"])
def test_a_mirror_whose_replace_is_still_to_come_does_not_wipe_what_others_sent_meanwhile(
    simulator, sync, colleague, members_of, people
):
    first = sync(range(8), partition="2026-11-20")
    simulator.inject(refused(skip=0))
    with pytest.raises(RejectedRequest):
        sync(range(100, 108))
    colleague(range(50, 57), audience_id=first.audience_id)

    with pytest.raises(GuardrailsStopped):
        sync(people, rows=len(people))

    assert simulator.members(first.audience_id) == members_of([*range(8), *range(50, 57)])


def test_an_upload_from_elsewhere_is_noticed_when_the_destination_was_another_one_in_between(sync, colleague):
    first = sync(range(8), partition="2026-11-19")
    sync(range(8), partition="2026-11-20", audience_name="Another one")
    colleague(range(50, 57), audience_id=first.audience_id)

    with pytest.raises(GuardrailsStopped, match="foreign_uploads: 1 upload from elsewhere"):
        sync(range(8))


def test_of_an_audience_without_a_known_sync_nobody_can_tell_who_uploads(simulator, sync):
    simulator.add_audience(ACCOUNT, name="VIP customers", members=["a" * 64], job_file_names=["theirs.txt"])

    result = sync(range(8), adopt=True)

    assert verdicts(result.findings)["foreign_uploads"] == "warning"


def test_what_is_left_half_sent_where_the_destination_has_changed_is_told(simulator, sync):
    sync(range(20, 22), partition="2026-11-20")
    simulator.inject(refused(skip=1))
    with pytest.raises(RejectedRequest):
        sync(range(8))

    result = sync(range(8), audience_name="Another one")

    (finding,) = (finding for finding in result.findings if finding.check == "unfinished_sync")
    assert finding.verdict == "warning"
    assert "is given up: of its 8 identifiers, 5 may not be in the audience" in finding.message
    assert "is not the destination any more" in finding.message


@pytest.mark.parametrize(
    "second",
    [{"mode": "add"}, {"override": frozenset({"foreign_uploads"})}],
    ids=["an add", "a mirror that may not be stopped"],
)
def test_a_run_that_sent_nothing_does_not_make_an_upload_from_elsewhere_known(
    simulator, sync, colleague, second
):
    first = sync(range(4), partition="2026-11-19")
    colleague(range(50, 55), audience_id=first.audience_id)
    simulator.inject(refused(skip=0))
    with pytest.raises(RejectedRequest):
        sync(range(5), partition="2026-11-20", **second)

    with pytest.raises(GuardrailsStopped, match="foreign_uploads: 1 upload from elsewhere"):
        sync(range(6))
