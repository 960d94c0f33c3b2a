"""An incremental add sends the identifiers that no confirmed sync of this audience has sent."""

import itertools
import json
import os
import time
from datetime import date, timedelta

import pytest

from line_ads_pipeline.line_ads import RejectedRequest
from line_ads_pipeline.simulator import Fault
from line_ads_pipeline.sync import NoValidIdentifiers


@pytest.fixture
def add(sync):
    """Brings people to LINE with `sync_mode: add` and `incremental: true`, each time on the next day unless told."""
    days = (str(date(2026, 11, 1) + timedelta(days=day)) for day in itertools.count())

    def run(people, **changes):
        return sync(people, **{"mode": "add", "incremental": True, "partition": next(days)} | changes)

    return run


@pytest.fixture
def half_sent(simulator, add):
    """Leaves an add of these people unfinished, after so many of its uploads."""

    def run(people, *, uploads, **changes):
        simulator.inject(Fault(call="upload", skip=uploads, status=400))
        with pytest.raises(RejectedRequest):
            add(people, **changes)

    return run


@pytest.fixture
def ever_sent(synchroniser, store):
    """The members of the snapshot of all that confirmed syncs have sent; None if there is none."""

    def read(**changes):
        mine = synchroniser(**changes)
        confirmed = mine.records.confirmed(mine.destination)
        if confirmed is None or confirmed.sent is None:
            return None
        store.verify("vip", confirmed.sent)
        with store.open_chunk("vip", confirmed.sent) as chunk:
            return set(chunk.read().decode().split())

    return read


def upload_requests(simulator, *, after=0):
    return [request for request in simulator.requests[after:] if request.call == "upload"]


def test_the_first_sync_sends_everything(add, sent, ever_sent, members_of):
    result = add(range(5))

    assert (result.kind, result.members, result.records) == ("everything", 5, 5)
    assert result.reason == "no sync to this destination is confirmed yet"
    assert sent() == [("ADD", 3), ("ADD", 2)]
    assert ever_sent() == members_of(range(5))


def test_only_what_was_never_sent_is_sent(simulator, add, sent, members_of, ever_sent):
    """However the segments come and go."""
    for people, new in (
        (range(5), 5),
        (range(3, 9), 4),
        (range(3), 0),
        (range(20, 22), 2),
        ([*range(9), 20, 30], 1),
    ):
        before = len(simulator.requests)
        result = add(people)
        assert result.records == new
        assert sum(rows for _, rows in sent(after=before)) == new

    everybody = [*range(9), 20, 21, 30]
    assert simulator.members(result.audience_id) == members_of(everybody)
    assert ever_sent() == members_of(everybody)
    assert result.members == len(everybody)


def test_nothing_new_is_no_upload_and_a_success_that_says_so(simulator, add):
    audience = add(range(5)).audience_id
    before = len(simulator.requests)

    result = add(range(1, 4))

    assert not upload_requests(simulator, after=before)
    assert (result.kind, result.records, result.members) == ("nothing new", 0, 5)
    assert (result.audience_id, result.confirmed, result.reason) == (audience, True, None)


def test_what_is_not_confirmed_counts_as_not_sent(simulator, add, half_sent, sent, ever_sent, members_of):
    add(range(2))
    half_sent(range(8), uploads=1)
    assert ever_sent() == members_of(range(2))
    before = len(simulator.requests)

    result = add(range(8), override=frozenset({"unfinished_sync"}))

    assert sent(after=before) == [("ADD", 3), ("ADD", 3)]
    assert simulator.members(result.audience_id) == members_of(range(8))
    assert ever_sent() == members_of(range(8))


def test_an_unfinished_add_goes_on_without_sending_a_chunk_again(simulator, add, half_sent, sent, members_of):
    add(range(2))
    before = len(simulator.requests)
    half_sent(range(8), uploads=1)

    result = add(range(8))

    assert result.resumed
    assert sent(after=before) == [("ADD", 3), ("ADD", 3)]
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_an_unfinished_add_is_finished_before_what_is_newer(
    simulator, add, half_sent, sent, ever_sent, members_of
):
    add(range(2))
    before = len(simulator.requests)
    half_sent(range(8), uploads=1)

    result = add(range(6, 10))

    assert sent(after=before) == [("ADD", 3), ("ADD", 3), ("ADD", 2)]
    assert (result.records, result.members) == (2, 10)
    assert simulator.members(result.audience_id) == ever_sent() == members_of(range(10))


def test_an_increment_that_is_gone_from_the_store_is_made_again(
    simulator, add, half_sent, synchroniser, store, members_of
):
    add(range(2))
    half_sent(range(8), uploads=1)
    store._place.delete(f"snapshots/vip/{synchroniser().records.running_sync().payload.digest}")

    result = add(range(8))

    assert (result.kind, result.records) == ("additions only", 6)
    assert simulator.members(result.audience_id) == members_of(range(8))


def test_the_people_of_an_increment_that_is_gone_from_the_store_are_sent_before_what_is_newer(
    simulator, add, half_sent, synchroniser, store, ever_sent, members_of
):
    add(range(2))
    half_sent(range(8), uploads=1)
    store._place.delete(f"snapshots/vip/{synchroniser().records.running_sync().payload.digest}")

    result = add(range(6, 10))

    assert (result.kind, result.records) == ("additions only", 2)
    assert simulator.members(result.audience_id) == ever_sent() == members_of(range(10))


@pytest.mark.parametrize("processed", [2, 4], ids=["fewer", "more"])
def test_what_line_processed_in_another_number_does_not_count_as_sent(
    simulator, add, ever_sent, members_of, processed
):
    """Who of them is missing nobody knows, so all of that sync are sent again when they come again."""
    add(range(5))
    simulator.inject(Fault(call="upload", job_processed=processed))
    add(range(3, 8))
    assert ever_sent() == members_of(range(5))

    assert add([0, 5]).records == 1
    assert ever_sent() == members_of(range(6))
    assert add(range(8)).records == 2


def test_after_a_first_sync_that_line_processed_in_another_number_everything_is_sent_again(
    simulator, add, ever_sent, members_of
):
    simulator.inject(Fault(call="upload", job_processed=2))
    add(range(5))
    assert ever_sent() is None

    result = add(range(4))

    assert (result.kind, result.records) == ("everything", 4)
    assert result.reason == "LINE processed another number of identifiers than were sent last"
    assert ever_sent() == members_of(range(4))


def test_no_rows_are_a_success_and_rows_without_anybody_an_error(add, ever_sent, members_of):
    add(range(3))

    assert add([], rows=0).records == 0
    with pytest.raises(NoValidIdentifiers):
        add([], rows=4)
    assert ever_sent() == members_of(range(3))


def test_uploads_of_others_that_only_add_change_nothing(simulator, add, colleague, members_of):
    audience = add(range(3)).audience_id
    colleague(range(50, 53), audience_id=audience)

    assert add(range(5)).records == 2
    assert simulator.members(audience) == members_of([*range(5), *range(50, 53)])


class TestAnew:
    """What was sent before counts no more where the audience may not hold it, and everything is sent again."""

    def test_others_have_replaced_the_members(self, simulator, add, colleague, members_of, ever_sent):
        audience = add(range(5)).audience_id
        colleague(range(50, 53), action="REPLACE", audience_id=audience)

        result = add(range(3, 7))

        assert (result.kind, result.records) == ("everything", 4)
        assert "changed from elsewhere" in result.reason
        assert simulator.members(audience) == members_of([*range(3, 7), *range(50, 53)])
        assert ever_sent() == members_of(range(3, 7))

    def test_others_replace_the_members_meanwhile(
        self, simulator, add, colleague, members_of, ever_sent, synchroniser, monkeypatch
    ):
        audience = add(range(3)).audience_id
        client = synchroniser().client
        upload = client.upload

        def upload_and_meddle(*args, **kwargs):
            answer = upload(*args, **kwargs)
            monkeypatch.setattr(client, "upload", upload)
            colleague(range(50, 53), action="REPLACE", audience_id=audience)
            return answer

        monkeypatch.setattr(client, "upload", upload_and_meddle)
        result = add(range(8))

        assert result.kind == "everything"
        assert members_of(range(8)) <= simulator.members(audience)
        assert ever_sent() == members_of(range(8))

    def test_the_audience_was_recreated(self, simulator, add, members_of, ever_sent):
        simulator.remove_audience(add(range(5)).audience_id)

        result = add(range(3, 7), recreate_audience=True)

        assert (result.kind, result.reason) == ("everything", "the audience is new")
        assert simulator.members(result.audience_id) == ever_sent() == members_of(range(3, 7))

    def test_another_destination_and_back(self, add, ever_sent, members_of):
        add(range(5))

        assert add(range(3), audience_name="Another").records == 3
        assert add(range(6)).records == 6
        assert ever_sent() == members_of(range(6))

    def test_what_was_sent_is_gone_from_the_store(self, add, synchroniser, store):
        add(range(5))
        confirmed = synchroniser().records.confirmed(synchroniser().destination)
        store._place.delete(f"snapshots/vip/{confirmed.sent.digest}")

        assert add(range(3, 7)).records == 4

    def test_a_half_sent_mirror_was_given_up(self, simulator, add, sync, members_of):
        audience = add(range(5)).audience_id
        simulator.inject(Fault(call="upload", skip=1, status=400))
        with pytest.raises(RejectedRequest):
            sync(range(20, 28), partition="2026-11-20")

        result = add(range(6), partition="2026-11-21", override=frozenset({"unfinished_sync"}))

        assert (result.kind, result.records) == ("everything", 6)
        assert members_of(range(6)) <= simulator.members(audience)

    def test_documents_from_before_increments(self, add, store, ever_sent, members_of):
        add(range(5), incremental=False)
        for path in [entry.path for entry in store._place.entries("documents/audiences/vip")]:
            document = json.loads(store._place.read(path))
            gone = {"extent"} if "chunks" in document else {"audience_id", "sync_id", "replaced_at", "sent"}
            parts = path.removeprefix("documents/").removesuffix(".json").split("/")
            store.write_document({k: v for k, v in document.items() if k not in gone}, *parts)

        result = add(range(6))

        assert (result.kind, result.records) == ("everything", 6)
        assert ever_sent() == members_of(range(6))
        assert add(range(7)).records == 1


def test_what_was_sent_before_incremental_was_switched_on_counts_as_far_as_it_is_known(
    simulator, add, ever_sent, members_of
):
    """That is the last confirmed snapshot: what is sent a second time does no harm."""
    add(range(5), incremental=False)
    audience = add(range(3, 7), incremental=False).audience_id
    assert ever_sent() is None

    result = add(range(1, 9))

    assert (result.kind, result.records) == ("additions only", 4)
    assert simulator.members(audience) == members_of(range(9))
    assert ever_sent() == members_of(range(1, 9))


def test_switched_off_and_on_again_nobody_is_taken_for_sent_who_was_not(add, ever_sent, members_of):
    add(range(5))
    add(range(4, 7), incremental=False)
    assert ever_sent() is None

    result = add(range(8))

    assert result.records == 5
    assert ever_sent() == members_of(range(8))


def test_after_a_mirror_only_its_members_count_as_sent(simulator, add, sync, ever_sent, members_of):
    add(range(5))
    sync(range(3, 6), partition="2026-11-10", incremental=True)
    assert ever_sent() is None

    result = add(range(7), partition="2026-11-11")

    assert (result.kind, result.records) == ("additions only", 4)
    assert simulator.members(result.audience_id) == ever_sent() == members_of(range(7))


def test_a_mirror_after_adds_replaces_everything(simulator, add, sync, members_of):
    add(range(5))
    add(range(5, 9))

    result = sync(range(9), partition="2026-11-10", incremental=True)

    assert (result.kind, result.records) == ("full replace", 9)
    assert simulator.members(result.audience_id) == members_of(range(9))


def test_an_increment_is_confirmed_by_whoever_looks_later(
    simulator, add, synchroniser, ever_sent, members_of
):
    add(range(3))
    simulator.inject(Fault(call="upload", job_polls=1))
    unawaited = add(range(5), wait_for_processing=False)
    assert not unawaited.confirmed
    assert ever_sent() == members_of(range(3))

    with synchroniser(mode="add", wait_for_processing=False).alone(wait=False) as mine:
        assert mine.confirm() is None
        confirmed = mine.confirm()

    assert (confirmed.kind, confirmed.records, confirmed.members) == ("additions only", 2, 5)
    assert ever_sent() == members_of(range(5))


def test_all_that_was_sent_is_never_pruned_and_what_it_was_made_from_is(
    add, store, synchroniser, snapshot_of, ever_sent, members_of, prune
):
    records = synchroniser().records
    kept = set()
    for first in range(0, 12, 3):
        people = range(first, first + 3)
        pointer = {"snapshot": snapshot_of(people).to_document()}
        records.write(pointer, "partitions", f"2026-11-{first + 1:02}")
        add(people)
        prune(snapshot_of(people))
        kept = {entry.path.rpartition("/")[2] for entry in store._place.entries("snapshots/vip")}

    confirmed = records.confirmed(synchroniser().destination)
    assert ever_sent() == members_of(range(12))
    # the four of the segments, which are of hashes and young, and the union of all
    assert kept == {confirmed.sent.digest, *(snapshot_of(range(n, n + 3)).digest for n in range(0, 12, 3))}


def test_the_union_to_come_is_kept_while_its_sync_is_unfinished(
    add, half_sent, store, synchroniser, snapshot_of, prune
):
    add(range(3))
    half_sent(range(3, 8), uploads=1)
    records = synchroniser().records
    running = records.running_sync()

    prune(snapshot_of(range(3, 8)))

    assert {*map(store.holds, ["vip"] * 3, running.needed_snapshots)} == {True}
    assert len(running.needed_snapshots) == 4
    assert store.holds("vip", records.confirmed(synchroniser().destination).sent)


class TestMobileAdIds:
    """Members are the same whatever their case, and what was sent is personal data as it is."""

    @pytest.fixture
    def add_ifas(self, synchroniser, bring, prune):
        def run(snapshot, *, partition):
            mine = synchroniser(mode="add", incremental=True, id_type="IFA")
            result = bring(mine, snapshot, partition=partition)
            prune(snapshot, id_type="IFA")
            return result

        return run

    def test_another_case_is_nobody_new(self, ifas, add_ifas):
        add_ifas(ifas(range(4)), partition="2026-11-20")

        assert add_ifas(ifas(range(5), spelled=str.upper), partition="2026-11-21").records == 1

    def test_only_the_latest_union_is_kept_and_for_its_owner_alone(self, ifas, add_ifas, store, synchroniser):
        snapshot = None
        for day, numbers in enumerate((range(4), range(2, 6), range(6, 9))):
            snapshot = ifas(numbers)
            add_ifas(snapshot, partition=f"2026-11-{20 + day}")

        mine = synchroniser(mode="add", id_type="IFA")
        sent = mine.records.confirmed(mine.destination).sent
        files = [*(store._place._root / "snapshots" / "vip").iterdir()]
        assert {file.name for file in files} == {snapshot.digest, sent.digest}
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        assert sent.count == 9

    def test_what_a_sync_may_be_about_to_need_is_not_removed_by_whoever_holds_no_lease(
        self, ifas, add_ifas, store, synchroniser
    ):
        """Such as a run that hashes the next snapshot meanwhile."""
        add_ifas(ifas(range(4)), partition="2026-11-20")
        records = synchroniser(id_type="IFA").records
        derived = records.write_difference(ifas(range(6)), without=ifas(range(3)))

        records.prune(ifas(range(6)))
        assert store.holds("vip", derived)
        with synchroniser(id_type="IFA").alone() as mine:
            mine.records.prune(ifas(range(6)))
        assert not store.holds("vip", derived)

    def test_what_a_sync_has_not_listed_yet_is_not_removed_by_whoever_holds_no_lease(
        self, ifas, add_ifas, store, synchroniser
    ):
        """A file is there before anybody can know its name."""
        add_ifas(ifas(range(4)), partition="2026-11-20")
        records = synchroniser(id_type="IFA").records
        made = store.write_difference("vip", ifas(range(6)), without=ifas(range(3)))

        records.prune(ifas(range(6)))
        assert store.holds("vip", made)

        hour_ago = time.time() - 3600
        os.utime(store._place._root / "snapshots" / "vip" / made.digest, (hour_ago, hour_ago))
        records.prune(ifas(range(6)))
        assert not store.holds("vip", made)

    def test_who_has_opted_out_by_the_newest_run_date_is_kept(self, ifas, store, synchroniser):
        """What an earlier run left unsent is not sent to them; those of an older run date are all among them, or free."""
        opted_out = {}
        for day, numbers in ((20, range(10, 12)), (21, range(10, 13))):
            opted_out[day] = ifas(numbers)
            kept = {
                "snapshot": ifas(range(day)).to_document(),
                "tally": {"opted_out": opted_out[day].to_document()},
            }
            synchroniser(id_type="IFA").records.write(kept, "partitions", f"2026-11-{day}")

        with synchroniser(id_type="IFA").alone() as mine:
            mine.records.prune(ifas(range(21)))

        assert [store.holds("vip", each) for each in opted_out.values()] == [False, True]

    def test_without_incremental_no_union_is_kept(self, ifas, add_ifas, store, synchroniser, bring, prune):
        add_ifas(ifas(range(4)), partition="2026-11-20")
        add_ifas(ifas(range(3, 6)), partition="2026-11-21")
        mine, last = synchroniser(mode="add", id_type="IFA"), ifas(range(5, 8))

        bring(mine, last, partition="2026-11-22")
        prune(last, id_type="IFA")

        assert [file.name for file in (store._place._root / "snapshots" / "vip").iterdir()] == [last.digest]
