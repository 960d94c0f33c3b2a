"""Whatever changes in LINE while a sync is at work ends it with a clear error, and costs it nothing but time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from line_ads_pipeline.line_ads import (
    AudienceNotFound,
    AuthenticationFailed,
    ClockSkew,
    LineAdsClient,
    LineAdsError,
    PermissionDenied,
)
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY, Simulator
from line_ads_pipeline.sync import AudienceUnusable

ACCOUNT = "A10000000001"
REQUESTS = [
    "list_audiences",
    "upload_jobs",
    "upload",
    "upload_jobs",
    "upload",
    "upload_jobs",
    "list_audiences",
]
"""Of a mirror of two chunks to an audience that is known; the last one tells how LINE lists it afterwards."""
NAMES = ["search", "look for jobs", "chunk 1", "job 1", "chunk 2", "job 2"]


@dataclass(frozen=True)
class Trouble:
    """Something that happens in LINE, how to mend it, and what the run says."""

    error: type[LineAdsError]
    message: str
    cause: Callable[[Simulator], object]
    mend: Callable[[Simulator], object]


def skewed(minutes: int, words: str) -> Trouble:
    return Trouble(
        error=ClockSkew,
        message=rf"authentication failed: the clock of this machine is 20 minutes {words} LINE's.*NTP",
        cause=lambda simulator: simulator.set_clock_offset(timedelta(minutes=minutes)),
        mend=lambda simulator: simulator.set_clock_offset(timedelta()),
    )


TROUBLES = {
    "keys rotated": Trouble(
        error=AuthenticationFailed,
        message="authentication failed: LINE refused the access key.*LINE_ADS_ACCESS_KEY",
        cause=lambda simulator: simulator.rotate_keys(
            access_key="new-access-key", secret_key="new-secret-key"
        ),
        mend=lambda simulator: simulator.rotate_keys(access_key=DEMO_ACCESS_KEY, secret_key=DEMO_SECRET_KEY),
    ),
    "clock slow": skewed(20, "behind"),
    "clock fast": skewed(-20, "ahead of"),
    "access withdrawn": Trouble(
        error=PermissionDenied,
        message=f"ad account {ACCOUNT} not found among those.*grant",
        cause=lambda simulator: simulator.revoke_access(ACCOUNT),
        mend=lambda simulator: simulator.grant_access(ACCOUNT),
    ),
}


@pytest.fixture
def before_request(monkeypatch, line_ads_client):
    """Lets something happen before a request of a number, from 0."""

    def let_happen(number: int, action: Callable[[], object]) -> None:
        calls: list[str] = []

        def watched(name: str) -> None:
            original = getattr(line_ads_client, name)

            def call(*args, **kwargs):
                calls.append(name)
                if len(calls) == number + 1:
                    assert calls == REQUESTS[: number + 1]
                    action()
                return original(*args, **kwargs)

            monkeypatch.setattr(line_ads_client, name, call)

        for name in set(REQUESTS):
            watched(name)

    return let_happen


@pytest.mark.parametrize(
    ("trouble", "number"),
    [
        pytest.param(trouble, number, id=f"{name} before {NAMES[number]}")
        for name, trouble in TROUBLES.items()
        for number in (range(len(NAMES)) if name != "clock fast" else [4])
    ],
)
def test_a_sync_that_line_no_longer_lets_in_goes_on_when_that_is_mended(
    simulator, sync, sent, members_of, before_request, number, trouble
):
    first = sync(range(20, 23), partition="2026-11-20")
    before = len(simulator.requests)
    before_request(number, lambda: trouble.cause(simulator))

    with pytest.raises(trouble.error, match=trouble.message):
        sync(range(6))
    trouble.mend(simulator)
    result = sync(range(6))

    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3)]
    assert simulator.members(first.audience_id) == members_of(range(6))
    assert result.resumed == (number > 1)


@pytest.mark.parametrize("trouble", [TROUBLES["keys rotated"], TROUBLES["access withdrawn"]])
def test_a_sync_that_is_done_is_done_although_line_no_longer_lets_it_look(
    simulator, sync, before_request, trouble
):
    sync(range(20, 23), partition="2026-11-20")
    before_request(len(NAMES), lambda: trouble.cause(simulator))

    result = sync(range(6))

    assert (result.confirmed, result.processed, result.audience) == (True, 6, None)


def test_the_new_keys_go_on_where_the_old_ones_stopped(simulator, sync, sent, members_of, before_request):
    keys = {"access_key": "new-access-key", "secret_key": "new-secret-key"}
    first = sync(range(20, 23), partition="2026-11-20")
    before = len(simulator.requests)
    before_request(4, lambda: simulator.rotate_keys(**keys))
    with pytest.raises(AuthenticationFailed):
        sync(range(6))

    with LineAdsClient(base_url=simulator.base_url, requests_per_second=100_000, **keys) as client:
        sync(range(6), client=client)

    assert sent(after=before) == [("REPLACE", 3), ("ADD", 3)]
    assert simulator.members(first.audience_id) == members_of(range(6))


@pytest.mark.parametrize(
    ("mode", "number"), [*(("mirror", number) for number in range(len(NAMES))), ("add", 2), ("add", 4)]
)
def test_an_audience_that_is_deleted_meanwhile_may_be_made_anew(
    simulator, sync, members_of, before_request, mode, number
):
    first = sync(range(20, 23), mode=mode, partition="2026-11-20")
    before_request(number, lambda: simulator.remove_audience(first.audience_id))

    with pytest.raises(AudienceNotFound, match=f"audience {first.audience_id} not found"):
        sync(range(6), mode=mode)
    asked_for_it = len(simulator.broken_rules)
    with pytest.raises(AudienceNotFound, match="recreate_audience: true"):
        sync(range(6), mode=mode)
    result = sync(range(6), mode=mode, recreate_audience=True)

    assert result.audience_id != first.audience_id
    assert simulator.members(result.audience_id) == members_of(range(6))
    assert len(simulator.broken_rules) == asked_for_it <= 1


@pytest.mark.parametrize(
    ("mode", "number"), [("mirror", 0), ("mirror", 1), ("mirror", 2), ("mirror", 4), ("add", 4)]
)
def test_an_audience_that_expires_meanwhile_may_be_made_anew(
    simulator, sync, members_of, before_request, mode, number
):
    first = sync(range(20, 23), mode=mode, partition="2026-11-20")
    before_request(number, lambda: simulator.set_status(first.audience_id, "EXPIRED"))

    with pytest.raises((AudienceNotFound, AudienceUnusable)):
        sync(range(6), mode=mode)
    with pytest.raises(AudienceUnusable, match=r"is EXPIRED\..*recreate_audience: true"):
        sync(range(6), mode=mode)
    result = sync(range(6), mode=mode, recreate_audience=True)

    assert result.audience_id != first.audience_id
    assert simulator.members(result.audience_id) == members_of(range(6))


def test_an_audience_that_expires_when_line_has_all_of_it_is_told_by_the_next_run(
    simulator, sync, before_request
):
    first = sync(range(20, 23), partition="2026-11-20")
    before_request(5, lambda: simulator.set_status(first.audience_id, "EXPIRED"))

    assert sync(range(6)).audience.status == "EXPIRED"
    with pytest.raises(AudienceUnusable):
        sync(range(6))
