"""The three assets of an audience.

Raw identifiers exist only in memory, between the warehouse and the hash, so the assets keep what may be kept: a
description of the segment, a snapshot of hashes, and what LINE answered. They pass it on through the store, by
audience and run date.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import (
    LateSnapshot,
    NothingToSend,
    RulesChanged,
    SegmentNotDescribed,
    SnapshotGone,
    UpdateOvertaken,
)
from line_ads_pipeline.components.failures import in_plain_words
from line_ads_pipeline.components.heartbeat import signs_of_life
from line_ads_pipeline.components.schedule import promised_freshness
from line_ads_pipeline.components.source_state import (
    SOURCE_STATE,
    SourceState,
    latest_materializations,
    source_version,
    upstream_deps,
)
from line_ads_pipeline.components.update_sensor import UPDATE_TAG
from line_ads_pipeline.identifiers import SKIP_REASONS, identify
from line_ads_pipeline.store import Snapshot, Tally
from line_ads_pipeline.sync import AudienceRecords, Synchroniser, SyncResult
from line_ads_pipeline.warehouse import SegmentDescription, WarehouseError

SNAPSHOT_STORE = "snapshots"
"""The key of the resource that all audiences of a project share."""


class HashingConfig(dg.Config):
    """Run config of `hashed_identifiers`."""

    allow_late_snapshot: bool = Field(
        default=False,
        description="Hash the segment as of now for a run date that is past and has no snapshot.",
    )


class SyncConfig(dg.Config):
    """Run config of `line_custom_audience`."""

    recreate_audience: bool = Field(
        default=False, description="Make a new audience when the recorded one is gone, expired or failed."
    )


def build_assets(
    audience: Audience, partitions: dg.TimeWindowPartitionsDefinition
) -> list[dg.AssetsDefinition]:
    """`<name>/source_segment`, `<name>/hashed_identifiers` and `<name>/line_custom_audience`."""
    common: dict[str, Any] = {
        "group_name": audience.name,
        "owners": audience.owners,
        "partitions_def": partitions,
    }
    source, destination = audience.source, audience.destination
    described = f"{audience.description}. " if audience.description else ""

    @dg.asset(
        key=[audience.name, "source_segment"],
        deps=upstream_deps(audience),
        description=f"{described}What is in the segment now: counts and version, no identifier.",
        kinds={"table" if source.path is None else "file"},
        required_resource_keys={source.warehouse, SNAPSHOT_STORE},
        **common,
    )
    def source_segment(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with signs_of_life(context), in_plain_words(audience):
            # first, so that what is materialised while the source is described is news to the sensor
            upstream = latest_materializations(context.instance, source.depends_on)
            description = _describe(audience, context)
            state = SourceState(description.data_version, upstream)
            described = {**asdict(description), SOURCE_STATE: state.to_document()}
            _records(audience, context).write(described, "segments", context.partition_key)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": description.row_count,
                "nulls": description.null_count,
                "identifier_column": description.identifier_column,
                "dagster/column_schema": dg.TableSchema(
                    [dg.TableColumn(column, kind) for column, kind in description.columns]
                ),
                "source_version": description.data_version or "none: this source has no cheap marker",
            },
            data_version=dg.DataVersion(description.data_version) if description.data_version else None,
        )

    @dg.asset(
        key=[audience.name, "hashed_identifiers"],
        deps=[source_segment],
        description=f"{described}A snapshot of the segment's {audience.identifier.type} identifiers, as LINE takes them.",
        kinds={"polars"},
        required_resource_keys={source.warehouse, SNAPSHOT_STORE},
        **common,
    )
    def hashed_identifiers(
        context: dg.AssetExecutionContext, config: HashingConfig
    ) -> dg.MaterializeResult[None]:
        with signs_of_life(context), in_plain_words(audience):
            records = _records(audience, context)
            kept = records.read("partitions", context.partition_key)
            newest = partitions.get_last_partition_key()
            usable = kept is not None and _is_held(records, kept) and _has_rules_of(audience, kept)
            if context.partition_key == newest or (config.allow_late_snapshot and not usable):
                kept = _hash_segment(audience, context, records)
            elif UPDATE_TAG in context.run.tags:
                raise UpdateOvertaken(context.partition_key, newest)
            elif kept is None:
                raise LateSnapshot(context.partition_key, newest)
            else:
                _check_usable(audience, records, kept, context.partition_key, newest)
                context.log.warning(
                    "The run date %s is past (the newest is %s): its snapshot of %s is kept, whatever changed since.",
                    context.partition_key,
                    newest,
                    kept["hashed_at"],
                )
            snapshot, tally = Snapshot.from_document(kept["snapshot"]), Tally(**kept["tally"])
        return dg.MaterializeResult(
            metadata=_funnel(snapshot, tally)
            | {
                "snapshot": snapshot.digest,
                "hashed_at": dg.MetadataValue.timestamp(datetime.fromisoformat(kept["hashed_at"])),
            },
            data_version=dg.DataVersion(snapshot.digest),
        )

    @dg.asset(
        key=[audience.name, "line_custom_audience"],
        deps=[hashed_identifiers],
        description=f"{described}The custom audience {destination.audience_name or destination.audience_id} in LINE Ads.",
        kinds={"line"},
        required_resource_keys={destination.credentials, SNAPSHOT_STORE},
        freshness_policy=promised_freshness(audience),
        metadata={
            "ad_account_id": destination.ad_account_id,
            "audience": destination.audience_name or destination.audience_id,
            "sync_mode": destination.sync_mode,
        },
        **common,
    )
    def line_custom_audience(
        context: dg.AssetExecutionContext, config: SyncConfig
    ) -> dg.MaterializeResult[None]:
        with signs_of_life(context), in_plain_words(audience):
            records = _records(audience, context)
            kept = records.read("partitions", context.partition_key)
            if kept is None:
                raise NothingToSend(context.partition_key)
            _check_usable(audience, records, kept, context.partition_key, partitions.get_last_partition_key())
            snapshot = Snapshot.from_document(kept["snapshot"])
            line_ads = getattr(context.resources, destination.credentials)
            with line_ads.client() as client:
                result = Synchroniser(
                    client=client,
                    records=records,
                    destination=audience.to_destination(),
                    mode=destination.sync_mode,
                    max_records=destination.max_records_per_upload,
                    patience=line_ads.patience(),
                ).sync(
                    snapshot,
                    rows=Tally(**kept["tally"]).rows,
                    partition=context.partition_key,
                    recreate_audience=config.recreate_audience,
                )
            records.prune(snapshot)
        sent = {SOURCE_STATE: dg.MetadataValue.json(kept[SOURCE_STATE])} if kept.get(SOURCE_STATE) else {}
        return dg.MaterializeResult(metadata=_answer(audience, result) | sent)

    return [source_segment, hashed_identifiers, line_custom_audience]


def _records(audience: Audience, context: dg.AssetExecutionContext) -> AudienceRecords:
    return AudienceRecords(getattr(context.resources, SNAPSHOT_STORE).open(), audience.name)


def _check_usable(
    audience: Audience, records: AudienceRecords, kept: Mapping[str, Any], run_date: str, newest: str | None
) -> None:
    """Refuse a snapshot that is gone, or that was made by other rules: hashes do not tell what they are of."""
    if not _has_rules_of(audience, kept):
        raise RulesChanged(run_date, newest)
    if not _is_held(records, kept):
        raise SnapshotGone(run_date, newest)


def _has_rules_of(audience: Audience, kept: Mapping[str, Any]) -> bool:
    return bool(kept["identifier"] == _rules_document(audience))


def _rules_document(audience: Audience) -> dict[str, Any]:
    return {"type": audience.identifier.type, **asdict(audience.identifier.to_rules())}


def _is_held(records: AudienceRecords, kept: Mapping[str, Any]) -> bool:
    """Whether the snapshot that a run date points to is in the store still: the pointers are never pruned."""
    return records.store.holds(records.audience, Snapshot.from_document(kept["snapshot"]))


def _describe(audience: Audience, context: dg.AssetExecutionContext) -> SegmentDescription:
    with getattr(context.resources, audience.source.warehouse).open() as warehouse:
        description: SegmentDescription = warehouse.describe(
            audience.source.to_source(),
            identifier_columns=audience.identifier.columns,
            updated_at=audience.source.updated_at,
            checksum=audience.source.checksum,
        )
    return description


def _hash_segment(
    audience: Audience, context: dg.AssetExecutionContext, records: AudienceRecords
) -> Mapping[str, Any]:
    """Read the segment, keep its snapshot, and let the run date point to it."""
    described = records.read("segments", context.partition_key)
    if described is None:
        raise SegmentNotDescribed(context.partition_key)
    rules = audience.identifier.to_rules()
    with getattr(context.resources, audience.source.warehouse).open() as warehouse:
        segment = warehouse.scan(audience.source.to_source(), described["identifier_column"])
        with warehouse.reading():
            snapshot, tally = records.store.write_snapshot(
                audience.name,
                identify(segment, described["identifier_column"], rules),
                record_width=rules.record_width,
            )
    kept = {
        "snapshot": snapshot.to_document(),
        "tally": asdict(tally),
        "identifier": _rules_document(audience),
        "hashed_at": datetime.now(UTC).isoformat(),
        SOURCE_STATE: described.get(SOURCE_STATE),
    }
    records.write(kept, "partitions", context.partition_key)
    records.prune(snapshot)
    _warn_if_moved(context, "row count", described["row_count"], tally.rows)
    if not audience.source.checksum:  # reading the column once more is not worth a warning
        _warn_if_version_moved(audience, context, described["data_version"])
    return kept


def _warn_if_version_moved(
    audience: Audience, context: dg.AssetExecutionContext, described: str | None
) -> None:
    try:
        version = source_version(audience, context.resources)
    except WarehouseError as error:
        # the snapshot is whole, whatever became of the source since
        context.log.warning("Whether the segment changed while it was read cannot be told. %s", error)
    else:
        _warn_if_moved(context, "version", described, version)


def _warn_if_moved(context: dg.AssetExecutionContext, what: str, described: object, hashed: object) -> None:
    if described != hashed:
        context.log.warning(
            "The segment changed while it was read: its %s was %s when source_segment looked, and %s after "
            "hashing. The snapshot is of the later state.",
            what,
            described,
            hashed,
        )


def _funnel(snapshot: Snapshot, tally: Tally) -> dict[str, Any]:
    """How the rows became identifiers; plotted over time by Dagster, so every number has its own entry."""
    skipped = {reason: tally.outcomes.get(reason, 0) for reason in SKIP_REASONS}
    return {
        "rows": tally.rows,
        "identifiers": snapshot.count,
        "already_hashed": tally.outcomes.get("already_hashed", 0),
        "duplicates": tally.duplicates,
        "skipped": sum(skipped.values()),
        **{f"skipped_{reason}": count for reason, count in skipped.items() if count},
    }


def _answer(audience: Audience, result: SyncResult) -> dict[str, Any]:
    if result.audience_id is None:
        return {"identifiers_sent": 0, "chunks": 0, "bytes": 0}
    listed = result.audience
    answer: dict[str, Any] = {
        "audience_id": result.audience_id,
        "audience_name": listed.name if listed else audience.destination.audience_name,
        "identifiers_sent": result.records,
        "chunks": result.chunks,
        "bytes": result.uploaded_bytes,
        "identifiers_processed": result.processed,
        "status": listed.status if listed else None,
        "estimated_size": listed.estimated_size if listed else None,
        "estimated_size_as_shown": listed.estimated_size_text if listed else None,
        "audience_was_created": result.created,
        "sync_was_resumed": result.resumed,
        "sync_id": result.sync_id,
    }
    return {key: value for key, value in answer.items() if value is not None}
