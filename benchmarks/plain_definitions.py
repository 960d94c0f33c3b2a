"""The definitions of audience files as plain Dagster code would have them, without component or YAML.

Written apart from what the component builds, as a user would write it: one call for each definition.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import dagster as dg

from line_ads_pipeline.components.assets import HashingConfig
from line_ads_pipeline.components.custom_audience import SyncConfig
from line_ads_pipeline.components.freshness import Deadline, deadline

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")


def plain_deadlines(audiences: Sequence[Mapping[str, Any]]) -> list[Deadline | None]:
    """What a user would have worked out, and typed into the code of each audience: by when a sync is late."""
    return [
        deadline(
            _cron(audience["run_frequency"]),
            time_zone=audience["run_frequency"]["time_zone"],
            late_after=timedelta(hours=6),
        )
        if audience["keep_updated"]
        else None
        for audience in audiences
    ]


def plain_definitions(
    audiences: Sequence[Mapping[str, Any]], deadlines: Sequence[Deadline | None]
) -> dg.Definitions:
    """The assets, jobs, schedules and sensors of all audiences.

    What the assets and sensors do is left out: loading never calls it.
    """

    @cache  # a user would share policies too: Dagster takes 15 milliseconds for each
    def policy(late: Deadline, time_zone: str) -> dg.FreshnessPolicy:
        return dg.FreshnessPolicy.cron(late.cron, lower_bound_delta=late.window, timezone=time_zone)

    assets: list[dg.AssetsDefinition] = []
    jobs, schedules, sensors = [], [], []
    for audience, late in zip(audiences, deadlines, strict=True):
        name, frequency, running = audience["name"], audience["run_frequency"], audience["keep_updated"]
        partitions = dg.TimeWindowPartitionsDefinition(
            start="2026-01-01",
            fmt="%Y-%m-%d",
            cron_schedule=_cron(frequency),
            timezone=frequency["time_zone"],
            end_offset=1,
        )
        freshness = policy(late, frequency["time_zone"]) if late else None
        own = _assets(audience, partitions, freshness)
        assets += own
        job = dg.define_asset_job(
            f"sync_{name}", selection=dg.AssetSelection.assets(*own), description=f"Syncs {name} to LINE Ads."
        )
        jobs.append(job)
        schedules.append(
            dg.build_schedule_from_partitioned_job(
                job,
                name=f"{name}_schedule",
                default_status=dg.DefaultScheduleStatus("RUNNING" if running else "STOPPED"),
            )
        )
        if update := audience.get("update_on_change"):
            sensors.append(
                dg.SensorDefinition(
                    name=f"{name}_source_updated",
                    evaluation_fn=_look,
                    job=job,
                    minimum_interval_seconds=60 * (10 if update is True else int(update["check_every"][:-1])),
                    default_status=dg.DefaultSensorStatus("RUNNING" if running else "STOPPED"),
                    required_resource_keys={"warehouse"},
                    description=f"Syncs {name} to LINE Ads when its source has changed.",
                )
            )
    return dg.Definitions(assets=assets, jobs=jobs, schedules=schedules, sensors=sensors)


def _cron(frequency: Mapping[str, Any]) -> str:
    hour, minute = map(int, frequency["time_of_day"].split(":"))
    day_of_week = _DAYS.index(frequency["day_of_week"]) if "day_of_week" in frequency else "*"
    day_of_month = {"last": "L"}.get(frequency.get("day_of_month", "*"), frequency.get("day_of_month", "*"))
    return f"{minute} {hour} {day_of_month} * {day_of_week}"


def _assets(
    audience: Mapping[str, Any],
    partitions: dg.TimeWindowPartitionsDefinition,
    freshness: dg.FreshnessPolicy | None,
) -> list[dg.AssetsDefinition]:
    name, described, destination = audience["name"], audience["description"], audience["destination"]

    @dg.asset(
        key=[name, "source_segment"],
        deps=[
            dg.AssetDep(dg.AssetKey.from_user_string(key), partition_mapping=dg.AllPartitionMapping())
            for key in audience["source"].get("depends_on", [])
        ],
        description=f"{described}. What is in the segment now: counts and version, no identifier.",
        kinds={"table"},
        required_resource_keys={"warehouse", "snapshots"},
        group_name=name,
        owners=audience["owners"],
        partitions_def=partitions,
    )
    def source_segment(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        raise NotImplementedError

    @dg.asset(
        key=[name, "hashed_identifiers"],
        deps=[source_segment],
        description=f"{described}. A snapshot of the segment's {audience['identifier']['type']} identifiers, as LINE takes them.",
        kinds={"polars"},
        required_resource_keys={"warehouse", "snapshots"},
        group_name=name,
        owners=audience["owners"],
        partitions_def=partitions,
    )
    def hashed_identifiers(
        context: dg.AssetExecutionContext, config: HashingConfig
    ) -> dg.MaterializeResult[None]:
        raise NotImplementedError

    @dg.asset(
        key=[name, "line_custom_audience"],
        deps=[hashed_identifiers],
        description=f"{described}. The custom audience {destination['audience_name']} in LINE Ads.",
        kinds={"line"},
        required_resource_keys={"line_ads", "snapshots"},
        metadata={
            "ad_account_id": destination["ad_account_id"],
            "audience": destination["audience_name"],
            "sync_mode": destination["sync_mode"],
        },
        freshness_policy=freshness,
        group_name=name,
        owners=audience["owners"],
        partitions_def=partitions,
    )
    def line_custom_audience(
        context: dg.AssetExecutionContext, config: SyncConfig
    ) -> dg.MaterializeResult[None]:
        raise NotImplementedError

    return [source_segment, hashed_identifiers, line_custom_audience]


def _look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    raise NotImplementedError
