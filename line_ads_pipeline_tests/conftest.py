"""Fixtures shared by all tests."""

import logging
import os
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import settings

from line_ads_pipeline.line_ads import LineAdsClient
from line_ads_pipeline.simulator import Simulator
from line_ads_pipeline_tests.postgresql import Cluster, private_cluster

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


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server, started when it is first needed."""
    with private_cluster() as running:
        yield running


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3 server on a loopback socket."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - slow, and few tests need it

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would log each request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch) -> str:
    """The URL of an empty bucket, with what reaches it in the environment, where no other credentials are."""
    httpx.post(f"{s3_server}/moto-api/reset").raise_for_status()
    httpx.put(f"{s3_server}/crm").raise_for_status()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASENTINEL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-secret")
    return "s3://crm"
