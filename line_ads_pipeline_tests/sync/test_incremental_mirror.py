"""An incremental mirror sends additions alone where it is certain what the audience holds, and everything elsewhere."""

import hashlib
import itertools
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.store import DIGEST_WIDTH, IFA_WIDTH, Snapshot
from line_ads_pipeline.sync import GuardrailsStopped
from line_ads_pipeline.sync.carrier import Carrier

START = datetime(2026, 11, 1, tzinfo=UTC)
FOREIGN = frozenset({"foreign_uploads"})


@pytest.fixture
def mirror(sync):
    """Brings people to LINE with `incremental: true`, each time on the next day unless told."""
    days = itertools.count()

    def run(people, **changes):
        day = START + timedelta(days=next(days))
        fields = {"incremental": True, "partition": f"{day:%Y-%m-%d}", "now": lambda: START}
        return sync(people, **fields | changes)

    return run


@pytest.fixture
def half_sent(simulator, mirror):
    """Leaves a mirror of these people unfinished, after so many of its uploads."""

    def run(people, *, uploads, **changes):
        simulator.inject(Fault(call="upload", skip=uploads, status=400))
        with pytest.raises(RejectedRequest):
            mirror(people, **changes)

    return run


def upload_requests(simulator, *, after=0):
    return [request for request in simulator.requests[after:] if request.call == "upload"]


def finding(result, check):
    (found,) = (finding for finding in result.findings if finding.check == check)
    return found


def test_the_first_sync_is_a_full_replace(mirror, sent):
    result = mirror(range(5))

    assert (result.kind, result.members, result.records) == ("full replace", 5, 5)
    assert result.reason == "no sync to this destination is confirmed yet"
    assert sent() == [("REPLACE", 3), ("ADD", 2)]


def test_while_nobody_leaves_additions_alone_are_sent_all_as_adds(simulator, mirror, sent, members_of):
    mirror(range(5))
    before = len(simulator.requests)

    result = mirror(range(9))

    assert sent(after=before) == [("ADD", 3), ("ADD", 1)]
    assert (result.kind, result.members, result.records, result.reason) == ("additions only", 9, 4, None)
    assert (result.uploaded_bytes, result.processed) == (4 * 65, 4)
    assert finding(result, "confirmation").numbers == {"sent": 4, "processed": 4}
    assert simulator.members(result.audience_id) == members_of(range(9))


def test_increments_build_upon_increments(simulator, mirror, members_of):
    kinds = [mirror(range(count)).kind for count in (3, 5, 5, 6, 9)]

    (audience,) = simulator.audiences()
    assert kinds == ["full replace", "additions only", "nothing new", "additions only", "additions only"]
    assert simulator.members(audience.id) == members_of(range(9))


def test_nothing_new_is_no_upload_and_a_success_that_says_so(simulator, mirror):
    first = mirror(range(5))
    before = len(simulator.requests)

    result = mirror(range(5))

    assert not upload_requests(simulator, after=before)
    assert (result.kind, result.records, result.chunks, result.members) == ("nothing new", 0, 0, 5)
    assert (result.audience_id, result.confirmed, result.processed) == (first.audience_id, True, 0)
    assert finding(result, "confirmation").message == "Nothing is new: no identifier was sent."


def test_nothing_new_is_confirmed_at_its_run_date(mirror):
    mirror(range(5), partition="2026-11-01")
    mirror(range(5), partition="2026-11-03")

    with pytest.raises(Exception, match="older than 2026-11-03"):
        mirror(range(6), partition="2026-11-02")


@pytest.mark.parametrize("people", [range(1, 5), range(1, 9), range(1, 6)], ids=["fewer", "more", "as many"])
def test_when_somebody_left_everything_is_replaced(simulator, mirror, sent, members_of, people):
    mirror(range(5))
    before = len(simulator.requests)

    result = mirror(people)

    assert (result.kind, result.reason) == ("full replace", "members of the last confirmed sync have left")
    assert sent(after=before)[0] == ("REPLACE", 3)
    assert simulator.members(result.audience_id) == members_of(people)


@pytest.mark.parametrize(
    ("days", "kind"), [(6, "additions only"), (7, "full replace"), (-1, "full replace")], ids=str
)
def test_everything_is_replaced_when_the_last_full_replace_is_too_old(mirror, days, kind):
    """Or when it is in the future: a clock was wrong."""
    every = timedelta(days=7)
    mirror(range(5), full_replace_every=every)
    mirror(range(6), full_replace_every=every, now=lambda: START + timedelta(days=5))

    result = mirror(range(7), full_replace_every=every, now=lambda: START + timedelta(days=days))

    assert result.kind == kind


def test_nothing_new_does_not_put_off_the_next_full_replace(mirror):
    mirror(range(5))
    for day in (1, 15, 29):
        now = START + timedelta(days=day)
        assert mirror(range(5), now=lambda now=now: now).kind == "nothing new"

    due = mirror(range(5), now=lambda: START + timedelta(days=30))
    assert (due.kind, due.reason) == (
        "full replace",
        "all was replaced last at 2026-11-01 00:00 UTC (full_replace_every)",
    )
    later = mirror(range(5), now=lambda: START + timedelta(days=59))
    assert later.kind == "nothing new"


def test_guardrails_judge_the_whole_snapshot(mirror):
    mirror(range(8))

    result = mirror(range(9), min_identifiers=9, max_shrink=0.0)

    assert finding(result, "min_identifiers").numbers["identifiers"] == 9
    assert finding(result, "max_shrink").numbers["left"] == 0
    with pytest.raises(GuardrailsStopped, match="min_identifiers"):
        mirror(range(10), min_identifiers=11)


def test_mirrors_from_before_incremental_was_switched_on_are_built_upon(simulator, mirror, members_of):
    mirror(range(5), incremental=False)

    result = mirror(range(6))

    assert (result.kind, result.records) == ("additions only", 1)
    assert simulator.members(result.audience_id) == members_of(range(6))


def test_switched_off_everything_is_sent_without_a_reason(mirror):
    mirror(range(5))

    result = mirror(range(6), incremental=False)

    assert (result.kind, result.reason, result.records) == ("full replace", None, 6)
    assert mirror(range(7)).kind == "additions only"


class TestDoubts:
    """Whatever leaves a doubt about what the audience holds makes the next mirror a full replace."""

    @pytest.fixture
    def replaces(self, simulator, mirror, members_of):
        """Asserts that a mirror sends everything, why, and that the one after it builds upon it."""

        def check(reason, **changes):
            result = mirror(range(7), **changes)
            assert (result.kind, result.records) == ("full replace", 7)
            assert reason in (result.reason or "")
            assert simulator.members(result.audience_id) == members_of(range(7))
            keep = {key: value for key, value in changes.items() if key == "audience_name"}
            assert mirror(range(8), **keep).kind == "additions only"
            assert simulator.members(result.audience_id) == members_of(range(8))
            assert not simulator.broken_rules

        return check

    def test_another_destination(self, mirror, replaces):
        mirror(range(5))
        replaces("no sync to this destination", audience_name="Another")

    def test_another_destination_and_back(self, mirror, replaces):
        mirror(range(5))
        mirror(range(5), audience_name="Another")
        replaces("no sync to this destination")

    def test_an_audience_that_was_recreated(self, simulator, mirror, replaces):
        simulator.remove_audience(mirror(range(5)).audience_id)
        replaces("the audience is new", recreate_audience=True)

    def test_an_audience_that_was_deleted_by_us(self, mirror, replaces):
        mirror(range(5))
        mirror([], rows=0, when_empty="delete_audience")
        replaces("the audience is new")

    def test_the_audience_of_the_destination_is_another_one_now(self, mirror, replaces, synchroniser):
        mirror(range(5))
        records = synchroniser().records
        document = records.read("confirmed")
        records.write({**document, "audience_id": "1234567890123"}, "confirmed")
        replaces("another audience")

    def test_the_last_confirmed_sync_was_an_add(self, mirror, replaces):
        mirror(range(5), mode="add")
        replaces("was an add")

    @pytest.mark.parametrize("action", ["ADD", "REPLACE"])
    def test_uploads_from_elsewhere(self, mirror, colleague, replaces, action):
        audience = mirror(range(5)).audience_id
        colleague(range(50, 53), action=action, audience_id=audience)
        with pytest.raises(GuardrailsStopped, match="foreign_uploads"):
            mirror(range(7))
        replaces("changed from elsewhere", override=FOREIGN)

    def test_uploads_from_elsewhere_after_a_sync_of_nothing_new(self, mirror, colleague, replaces):
        mirror(range(5))
        audience = mirror(range(5)).audience_id
        colleague(range(50, 53), audience_id=audience)
        with pytest.raises(GuardrailsStopped, match="foreign_uploads"):
            mirror(range(7))
        replaces("changed from elsewhere", override=FOREIGN)

    def test_uploads_from_another_file_of_this_store(
        self, simulator, mirror, synchroniser, snapshot_of, bring, replaces
    ):
        audience = mirror(range(5)).audience_id
        other = synchroniser(audience="other", audience_id=audience)
        bring(other, snapshot_of(range(2), audience="other"), partition="2026-11-02")
        assert len(simulator.members(audience)) == 2
        replaces("", override=FOREIGN)

    def test_a_job_list_that_does_not_reach_back(self, simulator, mirror, colleague, members_of):
        """Other uploads may be among those that it does not show."""
        audience = mirror(range(5)).audience_id
        for first in (50, 60):
            colleague(range(first, first + 2), audience_id=audience)
        simulator.inject(Fault(call="upload-job", times=None, job_list_limit=2))

        result = mirror(range(7), override=FOREIGN)

        assert (result.kind, "does not reach back" in result.reason) == ("full replace", True)
        assert simulator.members(audience) == members_of(range(7))

    @pytest.mark.parametrize("uploads", [0, 1])
    def test_a_newer_snapshot_after_a_half_sent_increment(self, mirror, half_sent, replaces, uploads):
        mirror(range(3))
        half_sent([*range(3), *range(30, 36)], uploads=uploads)
        replaces("may have been sent")

    def test_a_newer_snapshot_after_a_half_sent_full_replace(self, mirror, half_sent, replaces):
        mirror(range(5))
        half_sent(range(1, 9), uploads=1)
        replaces("may have been sent")

    def test_a_sync_that_was_given_up(self, mirror, half_sent, replaces):
        mirror(range(3))
        half_sent(range(7), uploads=1)
        replaces("may have been sent", override=frozenset({"unfinished_sync"}))

    def test_the_confirmed_snapshot_is_gone(self, mirror, replaces, synchroniser, store):
        mirror(range(5))
        confirmed = synchroniser().records.confirmed(synchroniser().destination)
        store._place.delete(f"snapshots/vip/{confirmed.snapshot.digest}")
        replaces("not in the store any more")

    def test_the_confirmed_snapshot_has_another_form(self, mirror, replaces, synchroniser):
        mirror(range(5))
        records = synchroniser().records
        document = records.read("confirmed")
        other = Snapshot(digest="0" * 64, record_width=IFA_WIDTH, count=5)
        records.write({**document, "snapshot": other.to_document()}, "confirmed")
        replaces("another form")

    def test_the_manifest_is_gone(self, mirror, replaces, store):
        result = mirror(range(5))
        store._place.delete(f"documents/audiences/vip/syncs/{result.sync_id}.json")
        replaces("", override=FOREIGN)

    def test_line_processed_another_number(self, mirror, replaces, synchroniser):
        result = mirror(range(5))
        records = synchroniser().records
        manifest = records.sync(result.sync_id)
        manifest.chunks[-1].processed -= 1
        records.save(manifest)
        replaces("another number")

    def test_documents_from_before_increments(self, mirror, replaces, store):
        mirror(range(5))
        for path in (entry.path for entry in [*store._place.entries("documents/audiences/vip")]):
            document = json.loads(store._place.read(path))
            for field in ("extent", "audience_id", "sync_id", "replaced_at", "sent"):
                if "chunks" not in document or field == "extent":
                    document.pop(field, None)
            parts = path.removeprefix("documents/").removesuffix(".json").split("/")
            store.write_document(document, *parts)
        replaces("not known to which")


def test_a_rollback_is_a_full_replace_although_nobody_would_leave(simulator, mirror, sent, members_of):
    mirror(range(6), partition="2026-11-01")
    audience = mirror(range(3), partition="2026-11-02").audience_id
    before = len(simulator.requests)

    result = mirror(range(6), partition="2026-11-01", rollback=True)

    assert (result.kind, result.reason) == ("full replace", "it is a rollback")
    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3)]
    assert simulator.members(audience) == members_of(range(6))


def test_a_released_hold_builds_upon_the_rollback_if_that_was_confirmed(simulator, mirror, members_of):
    mirror(range(3), partition="2026-11-01")
    audience = mirror(range(4, 9), partition="2026-11-02").audience_id
    mirror(range(3), partition="2026-11-01", rollback=True)

    result = mirror(range(5), partition="2026-11-03", release_hold=True)

    assert (result.kind, result.records) == ("additions only", 2)
    assert simulator.members(audience) == members_of(range(5))


def test_a_released_hold_of_an_unfinished_rollback_is_a_full_replace(
    simulator, mirror, half_sent, members_of
):
    mirror(range(6), partition="2026-11-01")
    audience = mirror(range(6, 10), partition="2026-11-02").audience_id
    half_sent(range(6), uploads=1, partition="2026-11-01", rollback=True)

    result = mirror(range(6, 12), partition="2026-11-03", release_hold=True)

    assert result.kind == "full replace"
    assert simulator.members(audience) == members_of(range(6, 12))


def test_a_half_sent_increment_of_the_same_snapshot_goes_on(simulator, mirror, half_sent, sent, members_of):
    mirror(range(3))
    before = len(simulator.requests)
    half_sent(range(11), uploads=1)

    result = mirror(range(11))

    assert (result.resumed, result.kind) == (True, "additions only")
    assert sent(after=before) == [("ADD", 3), ("ADD", 3), ("ADD", 2)]
    assert simulator.members(result.audience_id) == members_of(range(11))


@pytest.mark.parametrize("uploads", [0, 1])
def test_a_half_sent_increment_does_not_go_on_after_uploads_from_elsewhere(
    simulator, mirror, half_sent, colleague, members_of, uploads
):
    audience = mirror(range(3)).audience_id
    half_sent(range(9), uploads=uploads)
    colleague(range(50, 53), audience_id=audience)

    with pytest.raises(GuardrailsStopped, match="foreign_uploads"):
        mirror(range(9))
    result = mirror(range(9), override=FOREIGN)

    assert result.kind == "full replace"
    assert simulator.members(audience) == members_of(range(9))


def test_an_increment_that_is_gone_from_the_store_does_not_go_on(
    simulator, mirror, half_sent, synchroniser, store, members_of
):
    mirror(range(3))
    half_sent(range(9), uploads=1)
    payload = synchroniser().records.running_sync().payload
    store._place.delete(f"snapshots/vip/{payload.digest}")

    result = mirror(range(9))

    assert (result.kind, result.resumed) == ("full replace", False)
    assert simulator.members(result.audience_id) == members_of(range(9))


def test_members_that_somebody_replaces_during_an_increment_are_all_sent_again(
    simulator, mirror, colleague, members_of, synchroniser, monkeypatch
):
    audience = mirror(range(3)).audience_id
    client = synchroniser().client
    upload, meddled = client.upload, []

    def upload_and_meddle(*args, **kwargs):
        answer = upload(*args, **kwargs)
        if not meddled:
            meddled.append(True)
            monkeypatch.setattr(client, "upload", upload)
            colleague(range(50, 53), action="REPLACE", audience_id=audience)
        return answer

    monkeypatch.setattr(client, "upload", upload_and_meddle)
    result = mirror(range(9))

    assert meddled
    assert result.kind == "full replace"
    assert simulator.members(audience) == members_of(range(9))


def test_a_killed_run_that_had_sent_nothing_leaves_no_doubt(mirror, monkeypatch):
    mirror(range(3))
    with monkeypatch.context() as patched:
        patched.setattr(Carrier, "carry_out", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            mirror(range(5))

    assert mirror(range(6)).kind == "additions only"


def test_an_increment_is_confirmed_by_whoever_looks_later(simulator, mirror, synchroniser, members_of):
    mirror(range(3))
    simulator.inject(Fault(call="upload", job_polls=1))
    unawaited = mirror(range(5), wait_for_processing=False)
    with synchroniser(wait_for_processing=False).alone(wait=False) as mine:
        mine.confirm()
        confirmed = mine.confirm()

    assert not unawaited.confirmed
    assert (confirmed.kind, confirmed.records, confirmed.confirmed) == ("additions only", 2, True)
    result = mirror(range(6))
    assert (result.kind, result.records) == ("additions only", 1)
    assert simulator.members(result.audience_id) == members_of(range(6))


@pytest.mark.parametrize("newer", [range(6), range(1, 6)], ids=["nobody left", "somebody left"])
def test_an_increment_that_nobody_has_confirmed_is_confirmed_by_the_next_run(
    simulator, mirror, members_of, newer
):
    mirror(range(3))
    simulator.inject(Fault(call="upload", job_polls=3))
    mirror(range(5), wait_for_processing=False)

    result = mirror(newer)

    assert result.kind == ("additions only" if newer == range(6) else "full replace")
    assert simulator.members(result.audience_id) == members_of(newer)


def test_increments_are_removed_once_they_are_confirmed(
    mirror, half_sent, synchroniser, store, snapshot_of, prune
):
    mirror(range(3))
    half_sent(range(5), uploads=0)
    records = synchroniser().records
    increment = records.running_sync().payload

    prune(snapshot_of(range(5)))
    assert store.holds("vip", increment)
    mirror(range(5))
    prune(snapshot_of(range(5)))
    assert not store.holds("vip", increment)
    assert records.read("derived") == {"digests": []}


def test_one_percent_of_a_million_members_is_ten_thousand_rows_in_one_request(
    simulator, synchroniser, bring, store
):
    seed = os.urandom(32 * 1_010_000)
    records = [seed[start : start + 32] for start in range(0, len(seed), 32)]
    before, after = (write(store, sorted(members)) for members in (records[:1_000_000], records))
    fields = {"incremental": True, "max_records": 1_000_000}
    bring(synchroniser(**fields), before, partition="2026-11-20")
    requests = len(simulator.requests)

    result = bring(synchroniser(**fields), after, partition="2026-11-21")

    (upload,) = upload_requests(simulator, after=requests)
    assert (upload.action, upload.row_count) == ("ADD", 10_000)
    assert (result.records, result.members, result.kind) == (10_000, 1_010_000, "additions only")
    assert simulator.members(result.audience_id) == {record.hex() for record in records}


def write(store, members):
    """A snapshot's file as the store documents it."""
    content = b"".join(members)
    digest = hashlib.sha256(content).hexdigest()
    with store._place.new_file() as file:
        file.write(content)
        file.publish(f"snapshots/vip/{digest}")
    return Snapshot(digest, DIGEST_WIDTH, len(members))
