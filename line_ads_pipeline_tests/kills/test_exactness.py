"""What the proofs of this folder are judged by sees each thing that must not be."""

import io

import pytest

from line_ads_pipeline_tests.kills.exactness import violations
from line_ads_pipeline_tests.kills.people import members_of

ACCOUNT = "A10000000001"
ONE, OTHER = "1" * 16, "2" * 16


@pytest.fixture
def upload(line_ads_client):
    """Uploads a chunk of a sync, to an audience of an id or to a new one."""

    def send(people, *, sync=ONE, chunk=1, action="ADD", audience_id=None) -> str:
        return line_ads_client.upload(
            ACCOUNT,
            action=action,
            id_type="HASHED_EMAIL",
            file=io.BytesIO("".join(f"{member}\n" for member in sorted(members_of(people))).encode()),
            file_name=f"lap-000000000000-{sync}-{chunk:05}-1.txt",
            audience_id=audience_id,
            name=None if audience_id else "VIP customers",
        ).id

    return send


def seen(simulator, people, **permission) -> list[str]:
    return list(violations(simulator, audience_name="VIP customers", people=people, **permission))


def test_nothing_is_seen_where_all_is_well(simulator, upload):
    audience_id = upload([1], action="REPLACE")
    upload([2], chunk=2, audience_id=audience_id)
    upload([3], sync=OTHER, audience_id=audience_id)

    assert seen(simulator, [1, 2, 3]) == []


def test_members_that_are_missing_or_too_many_are_seen(simulator, upload):
    upload([1, 2])

    assert seen(simulator, [2, 3, 4]) == ["2 members are missing, 1 are too many"]


@pytest.mark.parametrize(
    ("people", "may_lack", "expected"),
    [
        pytest.param([1, 2, 3], [3], [], id="one who may be missing is"),
        pytest.param([1, 2], [2], [], id="one who may be missing is there"),
        pytest.param([1, 2, 3, 4], [3], ["1 members are missing, 0 are too many"], id="another is missing"),
        pytest.param([1], [3], ["0 members are missing, 1 are too many"], id="one is too many"),
    ],
)
def test_nobody_else_may_be_missing_than_who_may(simulator, upload, people, may_lack, expected):
    upload([1, 2])

    assert seen(simulator, people, may_lack=may_lack) == expected


@pytest.mark.parametrize("audiences", [0, 2])
def test_another_number_of_audiences_than_one_is_seen(simulator, upload, audiences):
    for _ in range(audiences):
        upload([1])

    assert seen(simulator, [1]) == [f"{audiences} audiences are named VIP customers"]


def test_a_chunk_that_was_processed_twice_is_seen(simulator, upload):
    upload([1], audience_id=upload([1]))

    assert seen(simulator, [1]) == [f"chunk 1 of sync {ONE} was processed 2 times"]


def test_a_replace_after_an_add_of_its_sync_is_seen(simulator, upload):
    audience_id = upload([1], chunk=2)
    upload([1], action="REPLACE", audience_id=audience_id)

    assert seen(simulator, [1]) == [f"a REPLACE of sync {ONE} landed after another upload of it"]


def test_uploads_of_two_syncs_in_each_others_midst_are_seen(simulator, upload):
    audience_id = upload([1])
    upload([2], sync=OTHER, audience_id=audience_id)
    upload([3], chunk=2, audience_id=audience_id)

    assert seen(simulator, [1, 2, 3]) == [f"sync {ONE} was interrupted by another"]


def test_broken_rules_are_seen(simulator, upload, line_ads_client):
    upload([1])
    with pytest.raises(Exception, match="not found"):
        line_ads_client.upload_jobs(ACCOUNT, "1")

    assert [text.partition(",")[0] for text in seen(simulator, [1])] == ["broken rule: unknown_audience"]
