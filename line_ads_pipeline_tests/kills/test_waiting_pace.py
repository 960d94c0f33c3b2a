"""Those who wait for LINE, however many, leave most of the request rate to those who upload."""

import time
from contextlib import ExitStack

import pytest

from line_ads_pipeline.resources import LineAdsResource
from line_ads_pipeline.simulator import DEMO_ACCESS_KEY, DEMO_SECRET_KEY

ACCOUNT = "A10000000001"


class Turns:
    """Takes the place of sleeping: notes the moments that were given out instead of waiting for them."""

    def __init__(self, pace) -> None:
        self.moments = []
        pace._sleep = self

    def __call__(self, seconds: float) -> None:
        self.moments.append(time.monotonic() + seconds)


@pytest.fixture
def connections(simulator, tmp_path):
    """Five processes' worth of connections with one access key."""
    resource = LineAdsResource(
        access_key=DEMO_ACCESS_KEY,
        secret_key=DEMO_SECRET_KEY,
        base_url=simulator.base_url,
        coordination_url=f"sqlite:///{tmp_path}/coordination.sqlite",
    )
    with ExitStack() as stack:
        yield [stack.enter_context(resource.connect()) for _ in range(5)]


@pytest.fixture
def audience_id(simulator):
    return simulator.add_audience(ACCOUNT, name="VIP customers")


def test_five_hundred_audiences_that_wait_stay_below_three_requests_a_second(connections, audience_id):
    turns = [Turns(connection.client._waiting_pace) for connection in connections]
    for connection in connections:
        Turns(connection.client._connection._pace)

    for look in range(500):
        connections[look % 5].client.upload_jobs(ACCOUNT, audience_id, again=True)

    moments = sorted(moment for each in turns for moment in each.moments)
    assert len(moments) > 490  # only the very first need not wait, and who comes late to the next moments
    assert (len(moments) - 1) / (moments[-1] - moments[0]) < 2.5
    assert max(sum(0 <= other - moment < 1 for other in moments) for moment in moments) <= 3


def test_the_first_look_at_a_job_does_not_wait_for_those_who_look_again(connections, audience_id):
    turns = Turns(connections[0].client._waiting_pace)

    for _ in range(20):
        connections[0].client.upload_jobs(ACCOUNT, audience_id)

    assert turns.moments == []
