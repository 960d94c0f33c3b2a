"""What `line-ads check` finds out before a run would: credentials, clock, and each audience's two ends.

Nothing is changed: LINE is asked for its list of audiences and the jobs of those in it, the warehouse for
aggregates, the store for the small document that says which audience earlier syncs went to. A lease is taken and given
back.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from line_ads_pipeline.components import LineAudience
from line_ads_pipeline.components.audience_file import Audience, PlaceBlock
from line_ads_pipeline.components.kept_snapshot import SNAPSHOT_STORE
from line_ads_pipeline.components.schedule import run_partitions
from line_ads_pipeline.coordination import CoordinationError
from line_ads_pipeline.identifiers import UnsupportedIdentifierColumn, identify
from line_ads_pipeline.line_ads import (
    AdAccountNotFound,
    AudienceNotFound,
    AudienceTypeMismatch,
    AuthenticationFailed,
    ClockSkew,
    CustomAudience,
    InvalidBaseUrl,
    LineAdsClient,
    LineAdsError,
    MissingCredentials,
    PermissionDenied,
)
from line_ads_pipeline.store import StoreError
from line_ads_pipeline.sync import (
    AudienceNotOurs,
    AudienceRecords,
    AudienceUnusable,
    NoValidIdentifiers,
    SeveralAudiences,
    SyncError,
)
from line_ads_pipeline.sync.destination import find_audience
from line_ads_pipeline.warehouse import SegmentDescription, WarehouseError

if TYPE_CHECKING:
    from line_ads_pipeline.resources import LineAdsResource, SnapshotStoreResource, WarehouseResource

Topic = Literal[
    "audience file", "coordination", "credentials", "clock", "source", "ad account", "destination"
]
Outcome = Literal["ok", "failed", "not tried"]

PATIENCE = 10.0
"""Seconds for which a call is repeated: whoever checks is waiting for the answer."""

_WORDS: Mapping[type[LineAdsError | SyncError], str] = {
    AudienceNotFound: "gone",
    AudienceTypeMismatch: "wrong type",
    AudienceUnusable: "expired or failed",
    AudienceNotOurs: "not ours",
    SeveralAudiences: "several of this name",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: The audience, or the resource key of credentials.
        topic: What was looked at.
        outcome: `not tried` where an earlier failure makes the answer impossible.
        found: The result in a few words.
        remedy: What is wrong and what to do about it, when it failed.
    """

    subject: str
    topic: Topic
    outcome: Outcome
    found: str
    remedy: str | None = None


def check_project(definitions: dg.Definitions) -> Iterator[Finding]:
    """Check every audience of a project, and the credentials that they use.

    Args:
        definitions: Of the project, as `load_audiences` gives them.
    """
    tree = definitions.component_tree
    components = [] if tree is None else tree.get_all_components(of_type=LineAudience)
    audiences = sorted((component.audience for component in components), key=_credentials)
    for key, users in groupby(audiences, key=_credentials):
        yield from _Checks(definitions.resources or {}, key, list(users)).findings()


def _credentials(audience: Audience) -> str:
    return audience.destination.credentials


@dataclass(frozen=True)
class _Checks:
    """The checks of all audiences that share credentials."""

    resources: Mapping[str, Any]
    key: str
    audiences: Sequence[Audience]

    def findings(self) -> Iterator[Finding]:
        client: LineAdsClient | None = None
        refusals: dict[str, LineAdsError | None] = {}
        with ExitStack() as stack:
            try:
                line_ads: LineAdsResource = self._resource(self.key)
                quick = line_ads.model_copy(update={"retry_seconds": PATIENCE})
                connection = stack.enter_context(quick.connect())
                with connection.coordination.lease("line-ads check"):
                    client = connection.client
            except CoordinationError as error:
                yield Finding(
                    subject=self.key,
                    topic="coordination",
                    outcome="failed",
                    found="cannot be used",
                    remedy=str(error),
                )
            except (_Unconfigured, InvalidBaseUrl, MissingCredentials) as error:
                yield Finding(
                    subject=self.key,
                    topic="credentials",
                    outcome="failed",
                    found="cannot be used",
                    remedy=str(error),
                )
            else:
                yield Finding(
                    subject=self.key,
                    topic="coordination",
                    outcome="ok",
                    found="leases and request rate are shared",
                )
                for audience in self.audiences:
                    account = audience.destination.ad_account_id
                    if account not in refusals:
                        refusals[account] = _refusal(client, account)
                yield from self._signature(line_ads.base_url, list(refusals.values()))
            for audience in self.audiences:
                yield self._source(audience)
                yield from self._line_side(audience, client, refusals)

    def _signature(self, base_url: str, refusals: Sequence[LineAdsError | None]) -> Iterator[Finding]:
        """What the answers for all ad accounts say about keys and clock: one that got past them is enough."""
        passed = any(refusal is None or _is_about_ad_account(refusal) for refusal in refusals)
        refusal = None if passed else refusals[0]
        if refusal is None:
            yield Finding(
                subject=self.key, topic="credentials", outcome="ok", found=f"accepted by {base_url}"
            )
            yield Finding(subject=self.key, topic="clock", outcome="ok", found="close enough to LINE's")
        elif isinstance(refusal, ClockSkew):
            yield Finding(
                subject=self.key,
                topic="credentials",
                outcome="not tried",
                found="no signature passes this clock",
            )
            yield Finding(
                subject=self.key,
                topic="clock",
                outcome="failed",
                found="too far from LINE's",
                remedy=str(refusal),
            )
        else:
            refused = isinstance(refusal, AuthenticationFailed)
            yield Finding(
                subject=self.key,
                topic="credentials",
                outcome="failed",
                found="refused" if refused else "no answer that tells",
                remedy=str(refusal),
            )

    def _source(self, audience: Audience) -> Finding:
        try:
            rows, nulls, column = self._measure(audience)
        except (_Unconfigured, WarehouseError, UnsupportedIdentifierColumn) as error:
            found, remedy = "cannot be used", str(error)
        else:
            found = f"{rows:,} rows, {rows - nulls:,} with {column}"
            nobody_is_fine = (
                audience.destination.sync_mode == "add"
                or audience.destination.when_empty == "delete_audience"
            )
            if rows > nulls or (rows == 0 and nobody_is_fine):
                return Finding(subject=audience.name, topic="source", outcome="ok", found=found)
            remedy = str(NoValidIdentifiers(rows=rows))
        return Finding(subject=audience.name, topic="source", outcome="failed", found=found, remedy=remedy)

    def _measure(self, audience: Audience) -> tuple[int, int, str]:
        frequency = audience.run_frequency
        run_date = run_partitions(frequency).get_last_partition_key() or frequency.start_date.isoformat()
        resource: WarehouseResource = self._resource(audience.source.warehouse)
        with resource.open() as warehouse:

            def describe(
                place: PlaceBlock, columns: Sequence[str], updated_at: str | None = None
            ) -> SegmentDescription:
                source = place.to_source(run_date)
                found = warehouse.describe(source, identifier_columns=columns, updated_at=updated_at)
                # planned, not run: whether the column's type can hold identifiers
                column = found.identifier_column
                identify(warehouse.scan(source, column), column, audience.identifier.to_rules())
                return found

            columns = audience.identifier.columns
            segment = describe(audience.source, columns, audience.source.updated_at)
            if exclude := audience.source.exclude:
                describe(exclude, exclude.columns(columns))
        return segment.row_count, segment.null_count, segment.identifier_column

    def _line_side(
        self, audience: Audience, client: LineAdsClient | None, refusals: Mapping[str, LineAdsError | None]
    ) -> Iterator[Finding]:
        account = audience.destination.ad_account_id
        refusal = refusals.get(account)
        if client is None or (refusal is not None and not _is_about_ad_account(refusal)):
            yield Finding(subject=audience.name, topic="ad account", outcome="not tried", found=account)
        elif refusal is not None:
            yield Finding(
                subject=audience.name,
                topic="ad account",
                outcome="failed",
                found=f"{account} cannot be used",
                remedy=str(refusal),
            )
        else:
            yield Finding(subject=audience.name, topic="ad account", outcome="ok", found=account)
            yield self._destination(audience, client)
            return
        yield Finding(subject=audience.name, topic="destination", outcome="not tried", found="")

    def _destination(self, audience: Audience, client: LineAdsClient) -> Finding:
        destination = audience.to_destination()
        try:
            resource: SnapshotStoreResource = self._resource(SNAPSHOT_STORE)
            records = AudienceRecords(resource.open(), audience.name)
            recorded = records.recorded_audience(destination)
            found, _ = find_audience(client, destination, recorded_id=recorded)
        except (_Unconfigured, StoreError, LineAdsError, SyncError) as error:
            words = next(
                (words for kind, words in _WORDS.items() if isinstance(error, kind)), "cannot be told"
            )
            return Finding(
                subject=audience.name, topic="destination", outcome="failed", found=words, remedy=str(error)
            )
        return Finding(
            subject=audience.name,
            topic="destination",
            outcome="ok",
            found=f'"{destination.audience_name}" will be created' if found is None else _shown(found),
        )

    def _resource(self, key: str) -> Any:  # noqa: ANN401 - of the class that the project configured
        if key not in self.resources:
            known = ", ".join(sorted(self.resources))
            raise _Unconfigured(f"there is no resource {key}. Define it, or name one of {known}.")
        try:
            return self.resources[key].process_config_and_initialize()
        except dg.DagsterInvalidConfigError as error:
            # the rest of the text may quote a secret
            unset = re.findall(
                r'environment variable "(\w+)"', " ".join(each.message for each in error.errors)
            )
        remedy = f"Set {' and '.join(unset)}." if unset else "Correct its fields in the project's resources."
        raise _Unconfigured(f"the resource {key} cannot be configured. {remedy}")


class _Unconfigured(Exception):
    """A resource is not there, or its configuration cannot be read."""


def _refusal(client: LineAdsClient, ad_account_id: str) -> LineAdsError | None:
    try:
        next(client.list_audiences(ad_account_id), None)
    except LineAdsError as error:
        return error
    return None


def _is_about_ad_account(refusal: LineAdsError) -> bool:
    """Whether the credentials passed, since LINE looks at the ad account after them; any server may answer 404."""
    named = any(reason.startswith("INVALID_ACCOUNT_ID") for reason in refusal.reasons)
    return isinstance(refusal, PermissionDenied) or (isinstance(refusal, AdAccountNotFound) and named)


def _shown(audience: CustomAudience) -> str:
    size = audience.estimated_size_text or "unknown"
    return f'{audience.id} "{audience.name}", {audience.status}, size {size}'
