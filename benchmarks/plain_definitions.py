"""The definitions of audience files as plain Dagster code would have them, without component or YAML.

Written apart from what the component builds, as a user would write it: one call for each definition.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

import dagster as dg

from line_ads_pipeline.components.assets import HashingConfig
from line_ads_pipeline.components.custom_audience import SyncConfig
from line_ads_pipeline.components.freshness import Deadline, deadline

_CHECKS = {
    "destination": "It is the audience of the last sync.",
    "hold": "The audience is not held at an earlier run date.",
    "unfinished_sync": "No earlier sync was given up.",
    "min_identifiers": "Enough valid identifiers are there.",
    "max_shrink": "Not too many members leave at once.",
    "max_skipped": "Most values are valid identifiers.",
    "foreign_uploads": "Nobody else uploads to the audience.",
    "confirmation": "LINE processed as many identifiers as were sent.",
}
_OF_MIRRORS = {"max_shrink", "max_skipped", "foreign_uploads"}
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
        if not audience["destination"].get("wait_for_processing", True):
            sensors.append(
                dg.SensorDefinition(
                    name=f"{name}_confirmation",
                    evaluation_fn=_look,
                    job=job,
                    minimum_interval_seconds=300,
                    default_status=dg.DefaultSensorStatus.RUNNING,
                    required_resource_keys={"line_ads", "snapshots"},
                    description=f"Confirms the syncs of {name} when LINE has processed them.",
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
                    required_resource_keys={"warehouse", "snapshots"},
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

    custom_audience = dg.AssetKey([name, "line_custom_audience"])

    @dg.multi_asset(
        name=f"{name}__line_custom_audience",
        specs=[
            dg.AssetSpec(
                custom_audience,
                deps=[hashed_identifiers],
                skippable=True,
                description=f"{described}. The custom audience {destination['audience_name']} in LINE Ads.",
                kinds={"line"},
                group_name=name,
                owners=audience["owners"],
                partitions_def=partitions,
                freshness_policy=freshness,
                metadata={
                    "ad_account_id": destination["ad_account_id"],
                    "audience": destination["audience_name"],
                    "sync_mode": destination["sync_mode"],
                },
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(check, asset=custom_audience, description=description)
            for check, description in _CHECKS.items()
            if destination["sync_mode"] == "mirror" or check not in _OF_MIRRORS
        ],
        can_subset=True,
        required_resource_keys={"line_ads", "snapshots"},
    )
    def line_custom_audience(
        context: dg.AssetExecutionContext,  # noqa: ARG001 - never called
        config: SyncConfig,  # noqa: ARG001 - as above; its fields are part of the definition
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        yield from ()  # Dagster asks whether it is a generator

    return [source_segment, hashed_identifiers, line_custom_audience]


def _look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    raise NotImplementedError
