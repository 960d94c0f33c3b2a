"""When an audience is synced: its run dates, job, schedule and sensor."""

import os
from collections.abc import Sequence

import dagster as dg

from line_ads_pipeline.components.audience_file import Audience, RunFrequencyBlock
from line_ads_pipeline.components.confirmation_sensor import ConfirmationSensor
from line_ads_pipeline.components.errors import AudienceFileError, Mistake
from line_ads_pipeline.components.freshness import freshness_policy
from line_ads_pipeline.components.update_sensor import UpdateSensor

_SWITCH = {
    "": True,
    **dict.fromkeys(("on", "true", "yes", "1"), True),
    **dict.fromkeys(("off", "false", "no", "0"), False),
}


def run_partitions(frequency: RunFrequencyBlock) -> dg.TimeWindowPartitionsDefinition:
    """One partition a promised run, keyed by the local date of the promised moment.

    The offset makes the window that has just begun the newest partition, so that the run of the 21st is keyed as
    the 21st.
    """
    return dg.TimeWindowPartitionsDefinition(
        start=frequency.start_date.isoformat(),
        fmt="%Y-%m-%d",
        cron_schedule=frequency.cron,
        timezone=frequency.time_zone,
        end_offset=1,
    )


def build_automation(
    audience: Audience,
    assets: Sequence[dg.AssetsDefinition],
    partitions: dg.TimeWindowPartitionsDefinition,
) -> dg.Definitions:
    """The job `sync_<name>`, its schedule, and the sensors that the file asks for.

    They run from the first load unless the file or the environment say no.

    Raises:
        AudienceFileError: As `runs_by_itself`.
    """
    job = dg.define_asset_job(
        f"sync_{audience.name}",
        selection=dg.AssetSelection.assets(*assets),
        description=f"Syncs {audience.name} to LINE Ads.",
    )
    running = runs_by_itself(audience)
    schedule = dg.build_schedule_from_partitioned_job(
        job,
        name=f"{audience.name}_schedule",
        description=f"Syncs {audience.name} to LINE Ads: {audience.run_frequency.in_words}.",
        default_status=dg.DefaultScheduleStatus.RUNNING if running else dg.DefaultScheduleStatus.STOPPED,
    )
    sensors = []
    if not audience.destination.wait_for_processing:
        confirming = ConfirmationSensor(audience)
        sensors.append(confirming.definition(running=_schedules_are_on()))
    if audience.update_on_change is not None:
        sensor = UpdateSensor(audience, audience.update_on_change, partitions)
        sensors.append(sensor.definition(running=running))
    return dg.Definitions(jobs=[job], schedules=[schedule], sensors=sensors)


def runs_by_itself(audience: Audience) -> bool:
    """Whether schedule and sensor run from the first load.

    Raises:
        AudienceFileError: `LINE_ADS_SCHEDULES` says neither yes nor no.
    """
    return _schedules_are_on() and audience.keep_updated


def promised_freshness(audience: Audience) -> dg.FreshnessPolicy | None:
    """When the audience is late; None where nothing is promised, since it does not run by itself.

    Raises:
        AudienceFileError: As `runs_by_itself`.
    """
    if not runs_by_itself(audience):
        return None
    frequency = audience.run_frequency
    return freshness_policy(frequency.cron, time_zone=frequency.time_zone, late_after=frequency.late_after)


def _schedules_are_on() -> bool:
    # read here and not with the resources: a schedule's status is part of its definition, where no resource is open
    value = os.environ.get("LINE_ADS_SCHEDULES", "")
    try:
        return _SWITCH[value.strip().lower()]
    except KeyError:
        mistake = Mistake(
            "LINE_ADS_SCHEDULES",
            f'"{value}" is neither on nor off',
            "LINE_ADS_SCHEDULES=off to load every schedule and sensor stopped, on or nothing to let them run",
        )
    raise AudienceFileError("the environment", mistake)
