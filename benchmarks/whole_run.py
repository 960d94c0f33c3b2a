"""A run of an audience by Dagster, in a process that imports what such a run does and nothing more."""

import hashlib
import tempfile
from typing import Any

import dagster as dg

from benchmarks.harness import Stopwatch
from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource


def whole_run(stopwatch: Stopwatch, url: str, field: str, named: str, base_url: str) -> dict[str, Any]:
    """Contender: all three assets, to a LINE that discards what it gets; tells its members and their digest.

    Args:
        stopwatch: Around the run.
        url: Of the warehouse.
        field: Of the audience file, `table` or `path`.
        named: Its value.
        base_url: Of LINE.
    """
    audience = Audience.model_validate(
        {
            "name": "people",
            "source": {field: named},
            "identifier": {"type": "email"},
            "destination": {
                "ad_account_id": "A10000000001",
                "audience_name": f"From {url.partition(':')[0]} {named}",
            },
        }
    )
    definitions = LineAudience(audience).build_defs(dg.ComponentTree.for_test().load_context)
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    partitions = assets[0].partitions_def
    assert partitions is not None
    with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        snapshots = SnapshotStoreResource(location="store", root=folder)
        resources = {
            "warehouse": WarehouseResource(url=url, root=folder),
            "snapshots": snapshots,
            "line_ads": LineAdsResource(
                access_key="an-access-key",
                secret_key=hashlib.sha256(folder.encode()).hexdigest(),
                base_url=base_url,
                first_poll_seconds=0.01,
                root=folder,
            ),
        }
        with stopwatch:
            dg.materialize(
                assets,
                instance=instance,
                partition_key=partitions.get_last_partition_key(),
                resources=resources,
                run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            )
        confirmed = snapshots.open().read_document("audiences", "people", "confirmed")
        assert confirmed is not None
        return {"members": confirmed["snapshot"]["count"], "digest": confirmed["snapshot"]["digest"]}
