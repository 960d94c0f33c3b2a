"""Which audience a sync goes to, and which it refuses before anything is changed."""

import pytest

from line_ads_pipeline.line_ads import AudienceNotFound, AudienceTypeMismatch, PermissionDenied
from line_ads_pipeline.sync import AudienceNotOurs, AudienceUnusable, SeveralAudiences

ACCOUNT = "A10000000001"


def nothing_was_changed(simulator) -> bool:
    return all(request.method == "GET" for request in simulator.requests) and not simulator.broken_rules


def test_the_first_upload_creates_an_audience_of_a_new_name(simulator, sync):
    result = sync()

    (audience,) = simulator.audiences()
    assert result.created
    assert (audience.id, audience.name) == (result.audience_id, "VIP customers")


def test_a_name_that_only_contains_ours_is_another_audience(simulator, sync):
    other = simulator.add_audience(ACCOUNT, name="VIP customers 2025", members=["a" * 64])

    assert sync().created
    assert simulator.members(other) == {"a" * 64}


def test_the_audience_of_earlier_syncs_is_used_again(simulator, sync):
    first = sync()
    second = sync(range(3, 9))

    assert (second.audience_id, second.created) == (first.audience_id, False)
    assert len(simulator.audiences()) == 1


def test_an_audience_is_ours_by_the_files_in_its_job_list(simulator, sync, synchroniser):
    """The store was lost, or is another one."""
    prefix = synchroniser().destination.file_prefix
    ours = simulator.add_audience(ACCOUNT, name="VIP customers", job_file_names=[f"{prefix}0-00001-1.txt"])

    assert sync().audience_id == ours


def test_somebody_elses_audience_of_the_name_is_refused(simulator, sync):
    simulator.add_audience(ACCOUNT, name="VIP customers", job_file_names=["upload.csv"])

    with pytest.raises(AudienceNotOurs, match="adopt: true"):
        sync()
    assert nothing_was_changed(simulator)


def test_somebody_elses_audience_may_be_adopted(simulator, sync):
    theirs = simulator.add_audience(ACCOUNT, name="VIP customers", members=["a" * 64])

    assert sync(adopt=True).audience_id == theirs
    assert "a" * 64 not in simulator.members(theirs)


def test_several_audiences_of_the_name_are_listed_and_refused(simulator, sync):
    ids = [simulator.add_audience(ACCOUNT, name="VIP customers") for _ in range(2)]

    with pytest.raises(SeveralAudiences, match="audience_id") as refused:
        sync()
    assert all(audience_id in str(refused.value) for audience_id in ids)
    assert nothing_was_changed(simulator)


def test_an_audience_given_by_id_is_used_and_renamed(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="Old name")

    result = sync(audience_id=given)

    assert result.audience_id == given
    assert [audience.name for audience in simulator.audiences()] == ["VIP customers"]


def test_an_audience_given_by_id_alone_keeps_its_name(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="Old name")

    sync(audience_id=given, audience_name=None)

    assert [audience.name for audience in simulator.audiences()] == ["Old name"]


def test_an_unknown_id_is_an_error_and_never_asked_for(simulator, sync):
    with pytest.raises(AudienceNotFound, match=r"audience 5343822743474 not found.*audience_name instead of"):
        sync(audience_id="5343822743474", recreate_audience=True)
    assert nothing_was_changed(simulator)


def test_an_audience_of_another_type_is_refused(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="VIP customers", function_type="HASHED_PHONE_NUMBER_UPLOAD")

    with pytest.raises(AudienceTypeMismatch, match="identifier type"):
        sync(audience_id=given)
    assert nothing_was_changed(simulator)


def test_the_same_name_with_another_type_is_another_audience(simulator, sync):
    phones = simulator.add_audience(ACCOUNT, name="VIP customers", function_type="HASHED_PHONE_NUMBER_UPLOAD")

    assert sync().audience_id != phones


@pytest.mark.parametrize("status", ["EXPIRED", "FAILED"])
def test_an_unusable_audience_is_refused_until_it_may_be_made_anew(simulator, sync, status):
    first = sync()
    simulator.set_status(first.audience_id, status)

    with pytest.raises(AudienceUnusable, match="recreate_audience"):
        sync()
    second = sync(recreate_audience=True)

    assert second.created
    assert second.audience_id != first.audience_id


def test_an_unusable_audience_given_by_id_cannot_be_made_anew(simulator, sync):
    given = simulator.add_audience(ACCOUNT, name="VIP customers", status="EXPIRED")

    with pytest.raises(AudienceUnusable, match=r"another destination\.audience_id"):
        sync(audience_id=given, recreate_audience=True)
    assert nothing_was_changed(simulator)


def test_a_deleted_audience_is_an_error_until_it_may_be_made_anew(simulator, sync):
    first = sync()
    simulator.remove_audience(first.audience_id)

    with pytest.raises(AudienceNotFound, match="recreate_audience"):
        sync()
    second = sync(recreate_audience=True)

    assert second.created
    assert sync().audience_id == second.audience_id
    assert not simulator.broken_rules


def test_an_unchanged_destination_is_nothing_to_warn_of(sync, caplog):
    for _ in range(2):
        sync()

    assert "has changed" not in caplog.text


def test_a_destination_that_was_recorded_in_another_form_is_nothing_to_stumble_over(sync, store):
    first = sync()
    flat = {"ad_account_id": "A10000000001", "audience_id": first.audience_id}
    store.write_document(flat, "audiences", "vip", "destination")

    assert sync().audience_id == first.audience_id


def test_a_changed_name_is_a_new_destination_and_the_old_audience_stays(simulator, sync, caplog):
    first = sync()
    members = simulator.members(first.audience_id)

    second = sync(range(20, 22), audience_name="Best customers")

    assert second.created
    assert simulator.members(first.audience_id) == members
    assert first.audience_id in caplog.text


def test_an_ad_account_that_the_key_may_not_use_is_an_error(simulator, sync):
    with pytest.raises(PermissionDenied, match="ad account A99999999999 not found"):
        sync(ad_account_id="A99999999999")
    assert all(request.method == "GET" for request in simulator.requests)
