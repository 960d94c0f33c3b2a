"""The asset `<name>/line_custom_audience`: what was sent, what LINE answered, and the checks that let it be sent."""

from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.backfill import leave_to_the_newest
from line_ads_pipeline.components.checks import check_results, check_specs
from line_ads_pipeline.components.errors import ChecksAlone, NothingToSend
from line_ads_pipeline.components.failures import in_plain_words
from line_ads_pipeline.components.heartbeat import signs_of_life
from line_ads_pipeline.components.kept_snapshot import SNAPSHOT_STORE, check_usable, has_rules_of, records_of
from line_ads_pipeline.components.schedule import promised_freshness
from line_ads_pipeline.components.source_state import SOURCE_STATE
from line_ads_pipeline.store import Snapshot, Tally
from line_ads_pipeline.sync import (
    AudienceRecords,
    Finding,
    GuardrailsStopped,
    OnHold,
    PassedOver,
    SyncRequest,
    SyncResult,
)


class Override(Enum):
    """What `override` may name; Dagster shows the names beside the run config."""

    min_identifiers = "min_identifiers"
    max_shrink = "max_shrink"
    max_skipped = "max_skipped"
    foreign_uploads = "foreign_uploads"
    unfinished_sync = "unfinished_sync"


# all that Dagster tells of an unknown value is the type that it is not of
Override.__name__ = " | ".join(Override.__members__)


class SyncConfig(dg.Config):
    """Run config of `line_custom_audience`; each is for one run."""

    override: list[Override] = Field(
        default_factory=list,
        description="Guardrails that may not stop this run; unfinished_sync gives up what an earlier run left.",
    )
    rollback: bool = Field(
        default=False,
        description="Send this run date although a newer one was sent, and hold the audience there.",
    )
    release_hold: bool = Field(default=False, description="Send although the audience is on hold.")
    recreate_audience: bool = Field(
        default=False, description="Make a new audience when the recorded one is gone, expired or failed."
    )

    @property
    def is_of_somebody(self) -> bool:
        """Somebody gave this run a wish of his own, as schedules and sensors never do."""
        return bool(self.override or self.rollback or self.release_hold or self.recreate_audience)

    def to_request(self, snapshot: Snapshot, tally: Tally, run_date: str) -> SyncRequest:
        """The run's wishes in the terms of the sync package."""
        return SyncRequest(
            snapshot=snapshot,
            tally=tally,
            partition=run_date,
            override=frozenset(override.value for override in self.override),
            rollback=self.rollback,
            release_hold=self.release_hold,
            recreate_audience=self.recreate_audience,
            opted_out=Snapshot.from_document(tally.opted_out) if tally.opted_out else None,
        )


def build_custom_audience(
    audience: Audience, partitions: dg.TimeWindowPartitionsDefinition, hashed_identifiers: dg.AssetsDefinition
) -> dg.AssetsDefinition:
    """`<name>/line_custom_audience` with its checks."""
    destination = audience.destination
    key = dg.AssetKey([audience.name, "line_custom_audience"])
    described = f"{audience.description}. " if audience.description else ""

    # A run may end without materialising, so all that it may yield is optional: `skippable`, and `can_subset` for checks.
    @dg.multi_asset(
        name=f"{audience.name}__line_custom_audience",
        specs=[
            dg.AssetSpec(
                key,
                deps=[hashed_identifiers],
                skippable=True,
                description=f"{described}The custom audience {destination.audience_name or destination.audience_id} "
                "in LINE Ads.",
                kinds={"line"},
                group_name=audience.name,
                owners=audience.owners,
                partitions_def=partitions,
                freshness_policy=promised_freshness(audience),
                metadata={
                    "ad_account_id": destination.ad_account_id,
                    "audience": destination.audience_name or destination.audience_id,
                    "sync_mode": destination.sync_mode,
                },
            )
        ],
        check_specs=check_specs(audience, key),
        can_subset=True,
        required_resource_keys={destination.credentials, SNAPSHOT_STORE},
    )
    def line_custom_audience(
        context: dg.AssetExecutionContext, config: SyncConfig
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        wanted = {check.name for check in context.selected_asset_check_keys}
        with signs_of_life(context), in_plain_words(audience):
            if not context.selected_asset_keys:
                raise ChecksAlone
            try:
                result, metadata = _send(audience, partitions, context, config)
            except GuardrailsStopped as stopped:
                yield from check_results(stopped.findings, wanted)
                raise
            except PassedOver as reason:
                context.log.warning("%s: nothing is materialised: %s", audience.name, reason)
                if isinstance(reason, OnHold):
                    held = Finding(check="hold", verdict="warning", message=str(reason))
                    yield from check_results([held], wanted)
                return
        yield dg.MaterializeResult(
            asset_key=key, metadata=metadata, check_results=list(check_results(result.findings, wanted))
        )

    return line_custom_audience


def _send(
    audience: Audience,
    partitions: dg.TimeWindowPartitionsDefinition,
    context: dg.AssetExecutionContext,
    config: SyncConfig,
) -> tuple[SyncResult, dict[str, Any]]:
    """Bring the run date's snapshot to LINE, as soon as nobody else is at it."""
    run_date = context.partition_key
    leave_to_the_newest(context)
    records = records_of(audience, context.resources)
    line_ads = getattr(context.resources, audience.destination.credentials)
    with (
        line_ads.connect() as connection,
        audience.to_synchroniser(records, connection).alone(
            run_date, rollback=config.rollback, gives_way=not config.is_of_somebody
        ) as mine,
    ):
        kept = records.read("partitions", run_date)
        if kept is None:
            raise NothingToSend(run_date)
        check_usable(audience, records, kept, run_date, partitions.get_last_partition_key())
        snapshot = Snapshot.from_document(kept["snapshot"])
        request = config.to_request(snapshot, Tally(**kept["tally"]), run_date)
        result = mine.sync(_without_later_opt_outs(audience, context, mine.records, request))
        mine.records.prune(snapshot)
    sent = {SOURCE_STATE: dg.MetadataValue.json(kept[SOURCE_STATE])} if kept.get(SOURCE_STATE) else {}
    return result, _answer(audience, result) | sent


def _without_later_opt_outs(
    audience: Audience, context: dg.AssetExecutionContext, records: AudienceRecords, request: SyncRequest
) -> SyncRequest:
    """Leave out who has opted out by the newest run date, when an older one is to be sent, by a rollback for instance."""
    newest = max(records.run_dates(), default="")
    kept = records.read("partitions", newest) if newest > request.partition else None
    if kept is None or not has_rules_of(audience, kept) or not kept["tally"].get("opted_out"):
        return request
    opted_out = Snapshot.from_document(kept["tally"]["opted_out"])
    snapshot = records.without(request.snapshot, opted_out)
    count = request.snapshot.count - snapshot.count
    if count > 0:
        context.log.warning(
            "%s of the members of the run date %s have opted out by the run date %s and are not sent.",
            f"{count:,}",
            request.partition,
            newest,
        )
    tally = replace(request.tally, distinct=snapshot.count, held_back=request.tally.held_back + count)
    return replace(request, snapshot=snapshot, tally=tally, opted_out=opted_out)


def _answer(audience: Audience, result: SyncResult) -> dict[str, Any]:
    if result.audience_id is None:
        deleted = {"deleted_audience_id": result.deleted_audience_id} if result.deleted_audience_id else {}
        return {"identifiers_sent": 0, "chunks": 0, "bytes": 0, **deleted}
    listed = result.audience
    answer: dict[str, Any] = {
        "audience_id": result.audience_id,
        "audience_name": listed.name if listed else audience.destination.audience_name,
        "sync": result.kind,
        "why_everything_was_sent": result.reason,
        "identifiers_sent": result.records,
        "members": result.members,
        "chunks": result.chunks,
        "bytes": result.uploaded_bytes,
        "identifiers_processed": result.processed,
        "confirmed": result.confirmed,
        "status": listed.status if listed else None,
        "estimated_size": listed.estimated_size if listed else None,
        "estimated_size_as_shown": listed.estimated_size_text if listed else None,
        "audience_was_created": result.created,
        "sync_was_resumed": result.resumed,
        "sync_id": result.sync_id,
    }
    return {key: value for key, value in answer.items() if value is not None}
