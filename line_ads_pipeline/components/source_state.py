"""What tells whether a source has changed since it was last synced."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import dagster as dg
from pydantic import TypeAdapter, ValidationError

from line_ads_pipeline.components.audience_file import Audience

SOURCE_STATE = "source_state"
"""The metadata entry of line_custom_audience that says in which state the source was when it was read."""


@dataclass(frozen=True)
class SourceState:
    """A source at one moment.

    Attributes:
        version: The source's own data version; None where it has none.
        upstream: Of each upstream asset that was ever materialised, the event log's id of the latest time.
    """

    version: str | None
    upstream: Mapping[str, int]

    @classmethod
    def from_document(cls, document: object) -> Self | None:
        """What `to_document` gave; None if it was recorded in a form that is not known here."""
        try:
            return TypeAdapter(cls).validate_python(document)
        except ValidationError:
            return None

    def to_document(self) -> dict[str, Any]:
        """A form that JSON takes."""
        return asdict(self)

    def news_since(self, seen: "SourceState | None") -> list[str]:
        """What is here that was not seen then, in words: nothing if `seen` is of this very state.

        Only what the audience file names now is compared, so that a file with one upstream asset less is no news.
        """
        if seen is None:
            return ["it has not been synced yet"]
        news = [
            f"{key} was materialised" for key, at in self.upstream.items() if seen.upstream.get(key) != at
        ]
        if self.version != seen.version:
            news.insert(0, f"its version is {self.version}, was {seen.version or 'unknown'}")
        return news

    @property
    def digest(self) -> str:
        """A short name for this state."""
        return hashlib.sha256(json.dumps(self.to_document(), sort_keys=True).encode()).hexdigest()[:16]


def latest_materializations(instance: dg.DagsterInstance, keys: Sequence[str]) -> dict[str, int]:
    """Of each asset that was ever materialised, wherever it is defined, the event log's id of the latest time."""
    if not keys:
        return {}
    records = instance.get_asset_records([dg.AssetKey.from_user_string(key) for key in keys])
    entries = [record.asset_entry for record in records]
    return {
        entry.asset_key.to_user_string(): entry.last_materialization_storage_id
        for entry in sorted(entries, key=lambda entry: entry.asset_key)
        if entry.last_materialization_storage_id is not None
    }


def source_version(audience: Audience, warehouses: object, *, run_date: str) -> str | None:
    """Ask the source for its data version, which costs little unless it is a checksum.

    Args:
        audience: Whose source.
        warehouses: Dagster's resources, of which the audience names one.
        run_date: What a query may ask for.

    Raises:
        WarehouseError: The source could not be asked.
    """
    source = audience.source
    with getattr(warehouses, source.warehouse).open() as warehouse:
        version: str | None = warehouse.version(
            source.to_source(run_date),
            identifier_columns=audience.identifier.columns,
            updated_at=source.updated_at,
            checksum=source.checksum,
        )
    return version


def upstream_deps(audience: Audience) -> list[dg.AssetDep]:
    """Lineage to the upstream assets.

    All of their partitions count: Dagster cannot map run dates to partitions of another time zone, and fails runs
    where it is asked to.
    """
    return [
        dg.AssetDep(dg.AssetKey.from_user_string(key), partition_mapping=dg.AllPartitionMapping())
        for key in audience.source.depends_on
    ]
