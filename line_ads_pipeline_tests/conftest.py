"""Fixtures shared by all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.simulator import Simulator

# the same examples everywhere and no deadline: a test must not depend on chance or on the speed of the machine
settings.register_profile("line-ads-pipeline", deadline=None, derandomize=True)
settings.load_profile("line-ads-pipeline")


@pytest.fixture(autouse=True)
def own_coordination(monkeypatch, tmp_path) -> None:
    """Leases and request rates of its own for each test that takes this project's resources."""
    monkeypatch.setenv("LINE_ADS_COORDINATION_URL", f"sqlite:///{tmp_path / 'coordination.sqlite'}")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The LINE Ads API on a loopback socket, fresh for each test, without the rate limit."""
    with Simulator(requests_per_second_limit=None) as running:
        yield running


@pytest.fixture
def line_ads_client(simulator: Simulator) -> Iterator[LineAdsClient]:
    """A client of the simulator that need not pace itself."""
    with LineAdsClient(
        access_key="demo-access-key",
        secret_key="demo-secret-key",
        base_url=simulator.base_url,
        requests_per_second=100_000,
        retry_for=1.0,
        sleep=lambda _seconds: None,
    ) as client:
        yield client
