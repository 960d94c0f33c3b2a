"""A mirror of nobody is refused, or deletes the audience, as the audience file says."""

import pytest

from line_ads_pipeline.line_ads import AudienceNotFound, LineAdsClient, NetworkError, RejectedRequest
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Fault
from line_ads_pipeline.store import Tally
from line_ads_pipeline.sync import GuardrailsStopped, NoValidIdentifiers, SyncRequest


@pytest.fixture
def nobody(sync):
    """Brings nobody to LINE: the audience file says to delete the audience then."""

    def run(**changes):
        return sync([], **{"rows": 0, "when_empty": "delete_audience", **changes})

    return run


def deletions(simulator, *, after=0):
    return [request.audience_id for request in simulator.requests[after:] if request.method == "DELETE"]


def verdicts(findings) -> dict[str, str]:
    return {finding.check: finding.verdict for finding in findings}


def test_a_mirror_of_nobody_is_refused_by_default(simulator, sync, members_of):
    first = sync(range(4), partition="2026-11-20")
    before = len(simulator.requests)

    with pytest.raises(NoValidIdentifiers, match=r"has no rows.*when_empty: delete_audience"):
        sync([], rows=0)

    assert len(simulator.requests) == before
    assert simulator.members(first.audience_id) == members_of(range(4))


def test_the_audience_of_nobody_is_deleted(simulator, sync, nobody):
    first = sync(range(4), partition="2026-11-20")

    result = nobody()

    assert result.deleted_audience_id == first.audience_id
    assert result.audience_id is None
    assert not simulator.audiences()


def test_a_deletion_is_visible_as_a_warning(sync, nobody):
    sync(range(4), partition="2026-11-20")

    result = nobody(max_shrink=0.5, min_identifiers=3)

    assert verdicts(result.findings)["max_shrink"] == "warning"
    assert verdicts(result.findings)["min_identifiers"] == "warning"


def test_after_a_deletion_the_next_sync_makes_a_new_audience(simulator, sync, nobody, members_of):
    first = sync(range(8), partition="2026-11-19")
    nobody(partition="2026-11-20")

    result = sync(range(3), max_shrink=0.5)

    assert result.created
    assert result.audience_id != first.audience_id
    assert simulator.members(result.audience_id) == members_of(range(3))
    assert not simulator.broken_rules


def test_an_older_run_date_does_not_bring_back_who_was_deleted(sync, nobody):
    sync(range(8), partition="2026-11-19")
    nobody(partition="2026-11-21")

    with pytest.raises(Exception, match="older than 2026-11-21"):
        sync(range(8), partition="2026-11-20")


@pytest.mark.parametrize("times", [1, 2])
def test_nobody_and_no_audience_is_nothing_to_send(simulator, nobody, times):
    for _ in range(times):
        result = nobody()

    assert result.deleted_audience_id is None
    assert all(request.method == "GET" for request in simulator.requests)
    assert not simulator.audiences()


def test_nobody_among_rows_that_were_all_skipped_is_refused(simulator, sync, nobody, members_of):
    """A column that holds something else all of a sudden is no reason to delete."""
    first = sync(range(8), partition="2026-11-20")

    with pytest.raises(GuardrailsStopped, match="max_skipped: 5 of 5 values skipped"):
        nobody(rows=5, max_skipped=0.5)
    assert simulator.members(first.audience_id) == members_of(range(8))

    overridden = frozenset({"max_skipped", "min_identifiers"})
    assert nobody(rows=5, max_skipped=0.5, override=overridden).deleted_audience_id


def test_rows_of_nothing_but_nulls_are_not_nobody(simulator, sync, snapshot_of, synchroniser, members_of):
    """A join that broke gives such rows: the audience stays, unless somebody says that it is right."""
    first = sync(range(8), partition="2026-11-20")
    tally = Tally(rows=1_000_000, outcomes={"null": 1_000_000}, distinct=0, duplicates=0)
    request = SyncRequest(snapshot=snapshot_of([]), tally=tally, partition="2026-11-21")

    with (
        synchroniser(when_empty="delete_audience").alone("2026-11-21") as mine,
        pytest.raises(
            GuardrailsStopped, match=r"min_identifiers: There are no valid identifiers: .* 1,000,000 rows"
        ),
    ):
        mine.sync(request)

    assert simulator.members(first.audience_id) == members_of(range(8))


@pytest.fixture
def all_opted_out(synchroniser, snapshot_of):
    """Brings a segment to LINE of which all valid identifiers have opted out, beside two blank rows and a wrong one."""

    def run(**changes):
        outcomes = {"hashed": 5, "blank": 2, "not_an_email": 1}
        tally = Tally(rows=8, outcomes=outcomes, distinct=0, duplicates=0, held_back=5)
        request = SyncRequest(snapshot=snapshot_of([]), tally=tally, partition="2026-11-21")
        with synchroniser(**{"max_skipped": 0.5} | changes).alone("2026-11-21") as mine:
            return mine.sync(request)

    return run


def test_the_audience_of_people_who_have_all_opted_out_is_deleted(simulator, sync, all_opted_out):
    """They were there, so no join broke."""
    first = sync(range(5), partition="2026-11-20")

    result = all_opted_out(when_empty="delete_audience")

    assert result.deleted_audience_id == first.audience_id
    assert not simulator.audiences()
    (finding,) = (finding for finding in result.findings if finding.check == "min_identifiers")
    assert (finding.verdict, finding.message) == (
        "warning",
        "Nobody is left, as all 5 have opted out: the audience is deleted (when_empty: delete_audience).",
    )


@pytest.mark.parametrize("audience_id", [None, "given"])
def test_a_mirror_of_people_who_have_all_opted_out_is_refused_with_a_remedy_that_fits(
    simulator, sync, all_opted_out, members_of, audience_id
):
    """An audience that is given by its id is never deleted."""
    first = sync(range(5), partition="2026-11-20")

    with pytest.raises(NoValidIdentifiers) as refusal:
        all_opted_out(audience_id=audience_id and first.audience_id)

    message = (
        "no valid identifiers: all 5 of the source segment have opted out (source.exclude). Nothing was sent. "
        "Check the table or query of source.exclude."
    )
    deletion = " If all of them have opted out, when_empty: delete_audience deletes the audience."
    assert str(refusal.value) == message + ("" if audience_id else deletion)
    assert simulator.members(first.audience_id) == members_of(range(5))


def test_an_audience_that_somebody_else_uploads_to_is_not_deleted(simulator, sync, nobody, colleague):
    first = sync(range(8), partition="2026-11-20")
    colleague(range(50, 53), audience_id=first.audience_id)

    with pytest.raises(GuardrailsStopped, match="foreign_uploads"):
        nobody()
    assert not deletions(simulator)

    assert nobody(override=frozenset({"foreign_uploads"})).deleted_audience_id == first.audience_id


def test_a_half_sent_mirror_gives_way_to_the_deletion(simulator, sync, synchroniser, nobody):
    sync(range(8), partition="2026-11-19")
    simulator.inject(Fault(call="upload", skip=1, status=400))
    with pytest.raises(RejectedRequest):
        sync(range(1, 9), partition="2026-11-20")

    nobody()

    assert not simulator.audiences()
    assert synchroniser().records.running_sync() is None
    assert sync(range(1, 9), partition="2026-11-22").created


@pytest.fixture
def impatient_client(simulator):
    """One that repeats no request."""
    with LineAdsClient(
        access_key=DEMO_ACCESS_KEY,
        secret_key=DEMO_SECRET_KEY,
        base_url=simulator.base_url,
        requests_per_second=100_000,
        retry_for=0.0,
    ) as client:
        yield client


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_lost_answer_to_a_deletion_is_settled_by_asking_again(simulator, sync, nobody, drop):
    sync(range(8), partition="2026-11-20")
    simulator.inject(Fault(call="delete", drop=drop))

    assert nobody().deleted_audience_id
    assert not simulator.audiences()


@pytest.mark.parametrize("drop", ["before", "after"])
@pytest.mark.parametrize("then", ["nobody", "somebody"])
def test_a_deletion_that_was_never_answered_is_settled_by_the_next_run(
    simulator, sync, nobody, impatient_client, members_of, drop, then
):
    sync(range(8), partition="2026-11-19")
    simulator.inject(Fault(call="delete", drop=drop))
    with pytest.raises(NetworkError):
        nobody(partition="2026-11-20", client=impatient_client)

    if then == "nobody":
        assert (nobody().deleted_audience_id is None) == (drop == "after")
        assert not simulator.audiences()
    else:
        result = sync(range(100, 103), max_shrink=0.5 if drop == "after" else 1.0)
        assert result.created == (drop == "after")
        assert [audience.id for audience in simulator.audiences()] == [result.audience_id]
        assert simulator.members(result.audience_id) == members_of(range(100, 103))
    assert not simulator.broken_rules


def test_an_audience_that_somebody_deleted_is_no_deletion_of_ours(simulator, sync, nobody):
    """The pipeline was about to delete it once, and was not allowed to."""
    first = sync(range(8), partition="2026-11-18")
    simulator.inject(Fault(call="delete", status=403, reasons=("PARTNER_PERMISSION_DENIED",)))
    with pytest.raises(Exception, match="403"):
        nobody(partition="2026-11-19")
    sync(range(8), partition="2026-11-20")
    simulator.remove_audience(first.audience_id)

    with pytest.raises(AudienceNotFound, match="recreate_audience"):
        sync(range(8))
