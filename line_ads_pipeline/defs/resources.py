"""The resources of this project: the only place that reads their environment variables."""

import os
from pathlib import Path

import dagster as dg

from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def _from_environment(variable: str, default: str) -> dg.EnvVar | str:
    # an EnvVar keeps the value out of the definitions, but fails every run when it is unset
    return dg.EnvVar(variable) if os.environ.get(variable) else default


def _secret(variable: str) -> dg.EnvVar | None:
    return dg.EnvVar(variable) if os.environ.get(variable) else None


@dg.definitions
def resources() -> dg.Definitions:
    """LINE Ads, the warehouse and the snapshot store, as the environment says."""
    return dg.Definitions(
        # three steps in a row gain nothing from a process each: 5 seconds a run instead of 20
        executor=dg.in_process_executor,
        resources={
            "line_ads": LineAdsResource(
                access_key=_secret("LINE_ADS_ACCESS_KEY"),
                secret_key=_secret("LINE_ADS_SECRET_KEY"),
                base_url=_from_environment("LINE_ADS_BASE_URL", "https://ads.line.me/api"),
                coordination_url=_from_environment(
                    "LINE_ADS_COORDINATION_URL", "sqlite:///data/coordination.sqlite"
                ),
                root=str(PROJECT_ROOT),
            ),
            "warehouse": WarehouseResource(
                url=_from_environment("WAREHOUSE_URL", "duckdb:///data/warehouse.duckdb"),
                root=str(PROJECT_ROOT),
            ),
            "snapshots": SnapshotStoreResource(
                location=_from_environment("LINE_ADS_STORE", "data/store"),
                root=str(PROJECT_ROOT),
            ),
        },
    )
