"""What the audiences of each client may use, by resource key: `<client>_line_ads` and `<client>_warehouse`."""

import os
from pathlib import Path

import dagster as dg

from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

PROJECT_ROOT = Path(__file__).parents[2]
CLIENTS = ("tea_house", "surf_shop")


def setting(variable: str, default: str) -> dg.EnvVar | str:
    """The variable, if it is set: Dagster then keeps its name alone, not its value."""
    return dg.EnvVar(variable) if os.environ.get(variable) else default


def key(variable: str) -> dg.EnvVar | None:
    """A LINE key. Without it the project still loads, and a run that needs it says which is missing."""
    return dg.EnvVar(variable) if os.environ.get(variable) else None


def line_ads(client: str) -> LineAdsResource:
    """The LINE Ads API with a client's keys; leases are shared, the pace is counted per access key."""
    prefix = client.upper()
    return LineAdsResource(
        access_key=key(f"{prefix}_LINE_ADS_ACCESS_KEY"),
        secret_key=key(f"{prefix}_LINE_ADS_SECRET_KEY"),
        base_url=setting(f"{prefix}_LINE_ADS_BASE_URL", "https://ads.line.me/api"),
        coordination_url=setting("LINE_ADS_COORDINATION_URL", "sqlite:///data/coordination.sqlite"),
        root=str(PROJECT_ROOT),
    )


def warehouse(client: str) -> WarehouseResource:
    """A client's warehouse. Files need none: paths and object stores are read through any of them."""
    return WarehouseResource(
        url=setting(f"{client.upper()}_WAREHOUSE_URL", f"duckdb:///data/{client}.duckdb"),
        root=str(PROJECT_ROOT),
    )


@dg.definitions
def resources() -> dg.Definitions:
    """Two resources for each client, and the store of all."""
    return dg.Definitions(
        executor=dg.in_process_executor,
        resources={
            **{f"{client}_line_ads": line_ads(client) for client in CLIENTS},
            **{f"{client}_warehouse": warehouse(client) for client in CLIENTS},
            "snapshots": SnapshotStoreResource(
                location=setting("LINE_ADS_STORE", "data/store"), root=str(PROJECT_ROOT)
            ),
        },
    )
