"""The client against a LINE Ads API that checks signatures, limits and files as the real one does."""

import hashlib
import io
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from line_ads_pipeline.line_ads import (
    AudienceNotFound,
    AudienceTypeMismatch,
    AuthenticationFailed,
    ClockSkew,
    LineAdsClient,
    NetworkError,
    PermissionDenied,
    RateLimited,
    RejectedFile,
    ServerError,
)
from line_ads_pipeline.simulator import Fault, Simulator

ACCOUNT = "A10000000001"
HASHES = [hashlib.sha256(f"{n}@example.com".encode()).hexdigest() for n in range(150)]
IFA = "cdda802e-fb9c-47ad-9866-0794d394c912"


def lines(identifiers):
    return io.BytesIO("".join(f"{identifier}\n" for identifier in identifiers).encode())


def upload(client, identifiers, **changes):
    arguments = {
        "action": "REPLACE",
        "id_type": "HASHED_EMAIL",
        "file": lines(identifiers),
        "file_name": "chunk-1.txt",
    }
    return client.upload(ACCOUNT, **(arguments | changes))


@pytest.fixture
def open_client(simulator):
    """Opens clients of the simulator whose waits are recorded instead of waited."""
    with ExitStack() as opened:

        def open_one(**changes):
            settings = {
                "access_key": "demo-access-key",
                "secret_key": "demo-secret-key",
                "base_url": simulator.base_url,
                "requests_per_second": 100_000,
                "sleep": lambda _: None,
            }
            return opened.enter_context(LineAdsClient(**(settings | changes)))

        yield open_one


def test_an_audience_from_its_first_upload_to_its_end(simulator, line_ads_client):
    created = upload(line_ads_client, HASHES[:100], name="会員 & co")
    assert (created.name, created.function_type) == ("会員 & co", "HASHED_EMAIL_UPLOAD")
    added = upload(
        line_ads_client, HASHES[100:], action="ADD", audience_id=created.id, file_name="chunk-2.txt"
    )
    assert added.id == created.id
    assert simulator.members(created.id) == frozenset(HASHES)

    jobs = line_ads_client.upload_jobs(ACCOUNT, created.id)
    assert {(job.name, job.type, job.audience_count, job.is_finished) for job in jobs} == {
        ("chunk-1.txt", "DIFF_REPLACE", 100, True),
        ("chunk-2.txt", "DIFF_ADD", 50, True),
    }
    assert line_ads_client.rename(ACCOUNT, created.id, name="Renamed").name == "Renamed"
    (listed,) = line_ads_client.list_audiences(ACCOUNT)
    assert (listed.id, listed.name, listed.status) == (created.id, "Renamed", "READY")
    line_ads_client.delete(ACCOUNT, created.id)
    assert list(line_ads_client.list_audiences(ACCOUNT)) == []
    assert simulator.broken_rules == ()


@pytest.mark.parametrize(
    ("id_type", "identifier"),
    [("IFA", IFA), ("HASHED_EMAIL", HASHES[0]), ("HASHED_PHONE_NUMBER", HASHES[0])],
)
def test_each_identifier_type_makes_an_audience_of_its_function_type(
    simulator, line_ads_client, id_type, identifier
):
    audience = upload(line_ads_client, [identifier], id_type=id_type, name="VIP")
    assert simulator.members(audience.id) == {identifier}
    assert simulator.broken_rules == ()


def test_the_list_goes_over_all_pages_the_newest_first(simulator, line_ads_client):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [
        simulator.add_audience(ACCOUNT, name=f"audience {n}", created=start + timedelta(days=n))
        for n in range(205)
    ]
    listed = list(line_ads_client.list_audiences(ACCOUNT))
    assert [audience.id for audience in listed] == ids[::-1]
    assert len(simulator.requests) == 3
    assert simulator.broken_rules == ()


def test_the_search_by_name_leaves_the_exact_comparison_to_the_caller(simulator, line_ads_client):
    for name in ("VIP", "VIP 2", "others"):
        simulator.add_audience(ACCOUNT, name=name)
    found = {audience.name for audience in line_ads_client.list_audiences(ACCOUNT, name="VIP")}
    assert found == {"VIP", "VIP 2"}


def test_the_overlap_is_a_rate_by_audience(simulator, line_ads_client):
    base, half, none = (
        simulator.add_audience(ACCOUNT, name=name, members=members)
        for name, members in [("base", HASHES[:10]), ("half", HASHES[5:15]), ("none", HASHES[20:])]
    )
    rates = line_ads_client.overlap(ACCOUNT, base_id=base, compared_ids=[half, none])
    assert rates == {half: 0.5, none: 0.0}


@pytest.mark.parametrize(
    ("changes", "account", "expected"),
    [
        ({"access_key": "another"}, ACCOUNT, (AuthenticationFailed, "authentication failed")),
        ({"secret_key": "another"}, ACCOUNT, (AuthenticationFailed, "authentication failed")),
        ({}, "A99999999999", (PermissionDenied, "ad account A99999999999 not found")),
        (
            {"clock": lambda: datetime.now(UTC) - timedelta(minutes=20)},
            ACCOUNT,
            (ClockSkew, "20 minutes behind LINE's"),
        ),
    ],
    ids=["access key", "secret key", "ad account", "clock"],
)
def test_wrong_settings_are_told_apart_before_anything_changes(
    simulator, open_client, changes, account, expected
):
    error_class, words = expected
    with pytest.raises(error_class, match=words):
        list(open_client(**changes).list_audiences(account))
    with pytest.raises(error_class, match=words):
        open_client(**changes).upload(
            account,
            action="ADD",
            id_type="HASHED_EMAIL",
            file=lines(HASHES),
            file_name="chunk-1.txt",
            name="VIP",
        )
    assert simulator.audiences() == ()


@pytest.mark.parametrize(
    "call",
    [
        lambda client, unknown: client.upload_jobs(ACCOUNT, unknown),
        lambda client, unknown: client.rename(ACCOUNT, unknown, name="VIP"),
        lambda client, unknown: client.delete(ACCOUNT, unknown),
        lambda client, unknown: client.overlap(ACCOUNT, base_id=unknown, compared_ids=[unknown]),
        lambda client, unknown: upload(client, HASHES, audience_id=unknown),
    ],
    ids=["jobs", "rename", "delete", "overlap", "upload"],
)
def test_an_unknown_audience_is_told_by_every_call(line_ads_client, call):
    with pytest.raises(AudienceNotFound, match=r"audience .*5343822743474.* not found in ad account"):
        call(line_ads_client, "5343822743474")


def test_an_audience_of_another_type_is_left_as_it_is(simulator, line_ads_client):
    audience_id = simulator.add_audience(ACCOUNT, name="VIP", function_type="UPLOAD", members=[IFA])
    with pytest.raises(AudienceTypeMismatch, match="identifier type HASHED_EMAIL"):
        upload(line_ads_client, HASHES, audience_id=audience_id)
    assert simulator.members(audience_id) == {IFA}


def test_a_rejected_file_changes_nothing_and_is_not_quoted(simulator, line_ads_client):
    with pytest.raises(RejectedFile) as caught:
        upload(line_ads_client, ["taro@example.com"], name="VIP")
    assert "taro" not in str(caught.value)
    assert not caught.value.may_have_taken_effect
    assert simulator.audiences() == ()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(call="upload", drop="before"), NetworkError),
        (Fault(call="upload", drop="after"), NetworkError),
        (Fault(call="upload", status=500), ServerError),
        (Fault(call="upload", status=503, takes_effect=True), ServerError),
    ],
    ids=str,
)
def test_an_upload_whose_answer_is_lost_is_sent_once_and_left_to_the_job_list(
    simulator, open_client, fault, expected
):
    simulator.inject(fault)
    with pytest.raises(expected) as caught:
        upload(open_client(), HASHES, name="VIP")
    assert caught.value.may_have_taken_effect
    assert len(simulator.requests) == 1


def test_an_upload_that_was_held_back_arrives_whole_later(simulator, open_client):
    simulator.inject(Fault(call="upload", status=429, times=3))
    audience = upload(open_client(), HASHES, name="VIP")
    assert simulator.members(audience.id) == frozenset(HASHES)
    assert [request.status for request in simulator.requests] == [429, 429, 429, 202]


def test_a_replace_that_never_gets_its_turn_says_why(simulator, open_client):
    simulator.inject(Fault(call="upload", status=429, times=None))
    with pytest.raises(RateLimited, match="REPLACE concurrency") as caught:
        upload(open_client(retry_for=60), HASHES, name="VIP")
    assert not caught.value.may_have_taken_effect
    assert simulator.audiences() == ()


def test_a_delete_whose_answer_was_lost_succeeds(simulator, open_client):
    audience_id = simulator.add_audience(ACCOUNT, name="VIP")
    simulator.inject(Fault(call="delete", drop="after"))
    open_client().delete(ACCOUNT, audience_id)
    assert simulator.audiences() == ()


def test_a_job_in_a_status_nobody_has_listed_is_running(simulator, line_ads_client):
    simulator.inject(Fault(call="upload", job_status="PONDERING", job_seconds=3_600))
    audience = upload(line_ads_client, HASHES, name="VIP")
    (job,) = line_ads_client.upload_jobs(ACCOUNT, audience.id)
    assert (job.status, job.is_running, job.is_finished) == ("PONDERING", True, False)


def test_the_default_pace_stays_below_the_limit_of_the_api():
    """The default settings meet the limit of ten requests in any second, measured where they arrive."""
    with Simulator() as limited:
        keys = {"access_key": "demo-access-key", "secret_key": "demo-secret-key"}
        with LineAdsClient(**keys, base_url=limited.base_url) as client:
            for _ in range(12):
                next(client.list_audiences(ACCOUNT), None)
        arrivals = [request.time for request in limited.requests]
        assert limited.broken_rules == ()
    assert arrivals[-1] - arrivals[0] > timedelta(seconds=1.2)
