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
import polars as pl
from pydantic import Field

from line_ads_pipeline.components.audience_file import Audience, PlaceBlock
from line_ads_pipeline.components.custom_audience import build_custom_audience
from line_ads_pipeline.components.errors import (
    LateSnapshot,
    SegmentNotDescribed,
    UnusableOptOuts,
    UpdateOvertaken,
)
from line_ads_pipeline.components.failures import in_plain_words
from line_ads_pipeline.components.heartbeat import signs_of_life
from line_ads_pipeline.components.kept_snapshot import (
    SNAPSHOT_STORE,
    check_usable,
    digest_of,
    has_rules_of,
    is_held,
    records_of,
    rules_document,
)
from line_ads_pipeline.components.source_state import (
    SOURCE_STATE,
    SourceState,
    latest_materializations,
    source_version,
    upstream_deps,
)
from line_ads_pipeline.components.update_sensor import UPDATE_TAG
from line_ads_pipeline.identifiers import SKIP_REASONS, identify, new_threads
from line_ads_pipeline.store import Snapshot, Tally
from line_ads_pipeline.sync import AudienceRecords
from line_ads_pipeline.warehouse import SegmentDescription, WarehouseError


class HashingConfig(dg.Config):
    """Run config of `hashed_identifiers`."""

    allow_late_snapshot: bool = Field(
        default=False,
        description="Hash the segment as of now for a run date that is past and has no snapshot.",
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
    source = audience.source
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
            description, opt_outs = _describe(audience, context)
            state = SourceState(description.data_version, upstream)
            described = {
                **asdict(description),
                SOURCE_STATE: state.to_document(),
                "read_as": _read_as(audience),
                "opt_out_column": opt_outs.identifier_column if opt_outs else None,
            }
            records_of(audience, context.resources).write(described, "segments", context.partition_key)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": description.row_count,
                "nulls": description.null_count,
                "identifier_column": description.identifier_column,
                "dagster/column_schema": dg.TableSchema(
                    [dg.TableColumn(column, kind) for column, kind in description.columns]
                ),
                "source_version": description.data_version or "none: this source has no cheap marker",
                **({"opt_outs": opt_outs.row_count} if opt_outs is not None else {}),
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
            records = records_of(audience, context.resources)
            kept = records.read("partitions", context.partition_key)
            newest = partitions.get_last_partition_key()
            usable = kept is not None and is_held(records, kept) and has_rules_of(audience, kept)
            if context.partition_key == newest or (config.allow_late_snapshot and not usable):
                kept = _hash_segment(audience, context, records)
            elif UPDATE_TAG in context.run.tags:
                raise UpdateOvertaken(context.partition_key, newest)
            elif kept is None:
                raise LateSnapshot(context.partition_key, newest)
            else:
                check_usable(audience, records, kept, context.partition_key, newest)
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

    custom_audience = build_custom_audience(audience, partitions, hashed_identifiers)
    return [source_segment, hashed_identifiers, custom_audience]


def _describe(
    audience: Audience, context: dg.AssetExecutionContext
) -> tuple[SegmentDescription, SegmentDescription | None]:
    """Describe the segment, and the opt-outs if there are any."""
    source, columns = audience.source, audience.identifier.columns
    opt_outs: SegmentDescription | None = None
    with getattr(context.resources, source.warehouse).open() as warehouse:
        segment: SegmentDescription = warehouse.describe(
            source.to_source(context.partition_key),
            identifier_columns=columns,
            updated_at=source.updated_at,
            checksum=source.checksum,
        )
        if source.exclude is not None:
            opt_outs = warehouse.describe(
                source.exclude.to_source(context.partition_key),
                identifier_columns=source.exclude.columns(columns),
            )
    return segment, opt_outs


def _hash_segment(
    audience: Audience, context: dg.AssetExecutionContext, records: AudienceRecords
) -> Mapping[str, Any]:
    """Read the segment, keep its snapshot, and let the run date point to it."""
    described = records.read("segments", context.partition_key)
    source, rules = audience.source, audience.identifier.to_rules()
    if described is None:
        raise SegmentNotDescribed(context.partition_key)
    read_as = _read_as(audience)
    if described.get("read_as", read_as) != read_as or (
        source.exclude is not None and not described.get("opt_out_column")
    ):
        raise SegmentNotDescribed(context.partition_key, since_edited=True)

    with new_threads() as threads, getattr(context.resources, source.warehouse).open() as warehouse:

        def identified(place: PlaceBlock, column: str) -> pl.LazyFrame:
            raw = warehouse.scan(place.to_source(context.partition_key), column)
            return identify(raw, column, rules, threads=threads)

        segment = identified(source, described["identifier_column"])
        opt_outs = identified(source.exclude, described["opt_out_column"]) if source.exclude else None
        with warehouse.reading():
            snapshot, tally = records.store.write_snapshot(
                audience.name, segment, record_width=rules.record_width, opt_outs=opt_outs
            )
    if source.exclude is not None:
        _check_opt_outs(audience, context, tally, described["opt_out_column"], records)
    kept = {
        "snapshot": snapshot.to_document(),
        "tally": asdict(tally),
        "identifier": rules_document(audience),
        "hashed_at": datetime.now(UTC).isoformat(),
        SOURCE_STATE: described.get(SOURCE_STATE),
    }
    records.write(kept, "partitions", context.partition_key)
    records.prune(snapshot)
    _warn_if_moved(context, "row count", described["row_count"], tally.rows)
    if not source.checksum:  # reading the column once more is not worth a warning
        _warn_if_version_moved(audience, context, described["data_version"])
    return kept


def _read_as(audience: Audience) -> str:
    """What of the audience file a description answers to, as a digest."""
    source = audience.source
    return digest_of(
        {
            "source": source.model_dump(include={"table", "query", "path", "warehouse"}),
            "columns": audience.identifier.columns,
            "exclude": source.exclude.model_dump() if source.exclude else None,
        }
    )


def _check_opt_outs(
    audience: Audience,
    context: dg.AssetExecutionContext,
    tally: Tally,
    column: str,
    records: AudienceRecords,
) -> None:
    """Opt-outs that cannot be read hold nobody back: refuse if that is all of them, and say what looks wrong."""
    rows = sum(tally.opt_outs.values())
    skipped = {reason: tally.opt_outs[reason] for reason in SKIP_REASONS if tally.opt_outs.get(reason)}
    if rows and rows == sum(skipped.values()):
        raise UnusableOptOuts(rows, column=column, kind=audience.identifier.type)
    if skipped:
        context.log.warning(
            "%s of %s opt-outs are no valid identifiers and hold nobody back: %s.",
            f"{sum(skipped.values()):,}",
            f"{rows:,}",
            ", ".join(f"{count:,} {reason}" for reason, count in skipped.items()),
        )
    before = _opt_outs_before(records, context.partition_key)
    if rows < before / 2:
        context.log.warning(
            "There are %s opt-outs, and there were %s at the run date before: whoever is missing is sent again.",
            f"{rows:,}",
            f"{before:,}",
        )


def _opt_outs_before(records: AudienceRecords, run_date: str) -> int:
    """How many rows the opt-outs had when a segment was last hashed, for whichever run date."""
    before = [date for date in records.run_dates() if date <= run_date]
    kept = records.read("partitions", before[-1]) if before else None
    return sum(kept["tally"].get("opt_outs", {}).values()) if kept else 0


def _warn_if_version_moved(
    audience: Audience, context: dg.AssetExecutionContext, described: str | None
) -> None:
    try:
        version = source_version(audience, context.resources, run_date=context.partition_key)
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
        **(
            {"held_back": tally.held_back, "opt_outs": sum(tally.opt_outs.values())} if tally.opt_outs else {}
        ),
        "skipped": sum(skipped.values()),
        **{f"skipped_{reason}": count for reason, count in skipped.items() if count},
    }
