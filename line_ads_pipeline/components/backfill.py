"""Backfills: of many run dates only the newest is sent, since an audience holds one segment at a time."""

import dagster as dg

from line_ads_pipeline.sync import PassedOver

_BACKFILL_TAG = "dagster/backfill"


class NewerInBackfill(PassedOver):
    """The same backfill asks for a newer run date. Nothing was changed in LINE."""

    def __init__(self, run_date: str, newest: str) -> None:
        super().__init__(
            f"of the run dates of this backfill only the newest, {newest}, is sent; {run_date} is not."
        )


def leave_to_the_newest(context: dg.AssetExecutionContext) -> None:
    """End a run of a backfill that also asks for a newer run date of the same asset.

    Raises:
        NewerInBackfill: It does.
    """
    newest = max(_run_dates_of_backfill(context), default=context.partition_key)
    if context.partition_key < newest:
        raise NewerInBackfill(context.partition_key, newest)


def _run_dates_of_backfill(context: dg.AssetExecutionContext) -> set[str]:
    backfill_id = context.run.tags.get(_BACKFILL_TAG)
    backfill = context.instance.get_backfill(backfill_id) if backfill_id else None
    if backfill is None:
        return set()
    if not backfill.is_asset_backfill:
        return set(backfill.partition_names or ())
    (key,) = context.selected_asset_keys
    data = backfill.asset_backfill_data
    if data is None or key not in data.target_subset.partitions_subsets_by_asset_key:
        return set()
    return set(data.get_target_partitions_subset(key).get_partition_keys())
