"""What the resources are made from, and that no value of the environment stays behind in Dagster."""

import sqlite3
import zlib
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from line_ads_pipeline.coordination import LeaseHeld
from line_ads_pipeline.defs.resources import PROJECT_ROOT, resources
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource
from line_ads_pipeline.store import StoreUnavailable
from line_ads_pipeline.sync import Patience

DOCUMENT = {"a": 1}
VALUES = {
    "LINE_ADS_ACCESS_KEY": "sentinel-access-key",
    "LINE_ADS_SECRET_KEY": "sentinel-secret-key",
    "LINE_ADS_BASE_URL": "https://sentinel-gateway.example/api",
    "WAREHOUSE_URL": "postgresql://sentinel-user:sentinel-password@db.example/crm",
    "LINE_ADS_STORE": "s3://sentinel-key:sentinel-password@bucket/prefix",
    "LINE_ADS_COORDINATION_URL": "postgresql://sentinel-user:sentinel-password@db.example/leases",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in VALUES:
        monkeypatch.delenv(name, raising=False)


def left_behind(folder: Path) -> str:
    """Every file and every row below a folder, with what Dagster compresses as it was before."""
    found = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    for file in folder.rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            tables = [
                name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            ]
            rows = [row for table in tables for row in database.execute(f'SELECT * FROM "{table}"')]
        cells = [cell for row in rows for cell in row]
        found += [str(cell).encode() for cell in cells]
        found += [zlib.decompress(cell) for cell in cells if isinstance(cell, bytes) and cell[:1] == b"x"]
    return b"\n".join(found).decode(errors="replace")


def project() -> dg.Definitions:
    """The project's resources, and an asset that needs them all and logs them, as a careless one might."""

    @dg.asset(required_resource_keys={"line_ads", "warehouse", "snapshots"})
    def nothing(context: dg.AssetExecutionContext) -> None:
        context.log.info("resources: %s", [*context.resources])

    return dg.Definitions.merge(
        resources(), dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("all_of_it")])
    )


def run(folder: Path) -> str:
    """What a run of the project leaves behind."""
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert project().resolve_job_def("all_of_it").execute_in_process(instance=instance).success
    return left_behind(folder)


def test_no_value_of_the_environment_is_kept_with_a_run(tmp_path, monkeypatch):
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)

    found = run(tmp_path / "home")

    assert "sentinel" not in found
    assert [name for name in VALUES if name not in found] == []


def test_the_search_finds_a_value_that_is_kept_with_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr("line_ads_pipeline.defs.resources.PROJECT_ROOT", Path("/sentinel"))

    assert "/sentinel" in run(tmp_path / "home")


def test_no_value_of_the_environment_is_in_what_the_user_interface_is_told(monkeypatch):
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)

    told = dg.serialize_value(RepositorySnap.from_def(project().get_repository_def()))

    assert "sentinel" not in told
    assert [name for name in VALUES if name not in told] == []


@pytest.mark.parametrize(
    "resource",
    [
        LineAdsResource(
            access_key="sentinel", secret_key="sentinel", base_url="https://a:sentinel@gateway/api"
        ),
        LineAdsResource(coordination_url="postgresql://user:sentinel@db.example/leases"),
        WarehouseResource(url="postgresql://user:sentinel@db.example/crm"),
        SnapshotStoreResource(location="s3://key:sentinel@bucket/prefix"),
    ],
    ids=["keys", "coordination", "warehouse", "store"],
)
def test_no_secret_is_in_the_text_of_a_resource(resource):
    assert "sentinel" not in f"{resource!r} {resource}"


@pytest.mark.parametrize(("value", "place"), [(None, "data/store"), ("", "data/store"), ("kept/here", "kept/here")])  # fmt: skip
def test_a_relative_store_starts_from_the_projects_root(value, place, tmp_path, monkeypatch):
    if value is not None:
        monkeypatch.setenv("LINE_ADS_STORE", value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("line_ads_pipeline.defs.resources.PROJECT_ROOT", tmp_path / "project")

    resources().resources["snapshots"].process_config_and_initialize().open().write_document(DOCUMENT, "a")

    assert (tmp_path / "project" / place / "documents" / "a.json").is_file()


def test_an_absolute_store_is_where_it_says(tmp_path):
    store = SnapshotStoreResource(location=str(tmp_path / "store"), root=str(tmp_path / "project"))

    store.open().write_document(DOCUMENT, "a")

    assert (tmp_path / "store" / "documents" / "a.json").is_file()


def test_a_store_starts_from_the_working_directory_without_a_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    SnapshotStoreResource(location="store").open().write_document(DOCUMENT, "a")

    assert (tmp_path / "store" / "documents" / "a.json").is_file()


def test_an_object_store_does_not_become_a_folder(tmp_path):
    store = SnapshotStoreResource(location="memory://", root=str(tmp_path)).open()

    store.write_document(DOCUMENT, "a")

    assert store.read_document("a") == DOCUMENT
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StoreUnavailable, match="is no place for a store"):
        SnapshotStoreResource(location="gopher://here", root=str(tmp_path)).open()


def test_a_relative_warehouse_starts_from_the_projects_root():
    assert resources().resources["warehouse"].root == str(PROJECT_ROOT)


def connection(monkeypatch, root: Path):
    """An open connection of the project's own resource."""
    monkeypatch.setenv("LINE_ADS_ACCESS_KEY", "demo-access-key")
    monkeypatch.setenv("LINE_ADS_SECRET_KEY", "demo-secret-key")
    monkeypatch.setattr("line_ads_pipeline.defs.resources.PROJECT_ROOT", root)
    return resources().resources["line_ads"].process_config_and_initialize().connect()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "data/coordination.sqlite"),
        ("", "data/coordination.sqlite"),
        ("sqlite:///kept/here.sqlite", "kept/here.sqlite"),
    ],
)
def test_a_relative_coordination_database_starts_from_the_projects_root(url, place, tmp_path, monkeypatch):
    """Its folder is made, and everybody who is at work in the project finds the same one."""
    if url is not None:
        monkeypatch.setenv("LINE_ADS_COORDINATION_URL", url)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    with (
        connection(monkeypatch, tmp_path / "project") as first,
        connection(monkeypatch, tmp_path / "project") as second,
        first.coordination.lease("something"),
        pytest.raises(LeaseHeld),
        second.coordination.lease("something", wait=False),
    ):
        pytest.fail("both have it")

    assert (tmp_path / "project" / place).is_file()


def test_the_limits_of_the_resource_are_those_of_a_connection(tmp_path):
    resource = LineAdsResource(
        access_key="demo-access-key",
        secret_key="demo-secret-key",
        replaces_at_once=7,
        job_attempts=2,
        job_deadline_hours=0.5,
        settle_seconds=3.0,
        first_poll_seconds=0.25,
        slowest_poll_seconds=8.0,
        root=str(tmp_path),
    )

    with resource.connect() as opened:
        assert opened.replaces_at_once == 7
        assert opened.patience == Patience(
            first_poll=0.25, slowest_poll=8.0, settle=3.0, job_deadline=1800.0, job_attempts=2
        )


def test_requests_are_paced_over_all_connections_of_one_access_key(tmp_path, simulator):
    """Those that wait for LINE have a share of the rate, and leave the rest to others."""
    resource = LineAdsResource(
        access_key="demo-access-key",
        secret_key="demo-secret-key",
        base_url=simulator.base_url,
        requests_per_second=20,
        root=str(tmp_path),
    )

    with resource.connect() as first, resource.connect() as second:
        for connected in (first, second) * 3:
            list(connected.client.list_audiences("A10000000001"))

    moments = [request.counted_at for request in simulator.requests]
    assert len(moments) == 6
    assert max(moments) - min(moments) > timedelta(seconds=0.2), "five pauses of a twentieth of a second"
