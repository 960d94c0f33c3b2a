"""The snapshot that a run date points to: whether it is there still, and made by the rules of the file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from line_ads_pipeline.components.audience_file import Audience
from line_ads_pipeline.components.errors import RulesChanged, SnapshotGone
from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync import AudienceRecords

SNAPSHOT_STORE = "snapshots"
"""The key of the resource that all audiences of a project share."""


def records_of(audience: Audience, resources: object) -> AudienceRecords:
    """The records of an audience, in the store that all audiences share; `resources` are Dagster's."""
    return AudienceRecords(getattr(resources, SNAPSHOT_STORE).open(), audience.name)


def check_usable(
    audience: Audience, records: AudienceRecords, kept: Mapping[str, Any], run_date: str, newest: str | None
) -> None:
    """Refuse a snapshot that is gone, or that was made by other rules: hashes do not tell what they are of."""
    if not has_rules_of(audience, kept):
        raise RulesChanged(run_date, newest)
    if not is_held(records, kept):
        raise SnapshotGone(run_date, newest)


def has_rules_of(audience: Audience, kept: Mapping[str, Any]) -> bool:
    """Whether the snapshot was made by the rules that the audience file gives now."""
    return bool(kept["identifier"] == rules_document(audience))


def rules_document(audience: Audience) -> dict[str, Any]:
    """The rules of the audience file as JSON, to be kept beside a snapshot: also who is left out."""
    exclude = audience.source.exclude
    return {
        "type": audience.identifier.type,
        **asdict(audience.identifier.to_rules()),
        **({"exclude": digest_of(exclude.model_dump())} if exclude else {}),
    }


def digest_of(fields: Mapping[str, Any]) -> str:
    """A short name for fields of the audience file, which may hold a literal identifier in a query."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:32]


def is_held(records: AudienceRecords, kept: Mapping[str, Any]) -> bool:
    """Whether the snapshot that a run date points to is in the store still: the pointers are never pruned."""
    return records.store.holds(records.audience, Snapshot.from_document(kept["snapshot"]))
