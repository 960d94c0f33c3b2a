"""Which audience of the ad account a sync goes to: found, to be created, or refused."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from line_ads_pipeline.line_ads import (
    FUNCTION_TYPES,
    AudienceNotFound,
    AudienceTypeMismatch,
    CustomAudience,
    IdType,
    LineAdsClient,
)
from line_ads_pipeline.sync.errors import AudienceNotOurs, AudienceUnusable, SeveralAudiences

_CLOSED = frozenset({"EXPIRED", "FAILED"})
_RECREATE = (
    "LINE does not list the audience: someone deleted it there, or it was made moments ago. If it is gone, materialise "
    "line_custom_audience once with the run config recreate_audience: true to make a new one."
)
_ANOTHER_ID = (
    "Check destination.audience_id; `line-ads audiences AD_ACCOUNT` lists what is there. If the audience is gone, give "
    "audience_name instead of audience_id: the next sync makes a new one."
)


@dataclass(frozen=True, kw_only=True)
class Destination:
    """The custom audience that an audience file names.

    Attributes:
        audience: The name of the audience file; part of the names of uploaded files, by which LINE's job list
            tells our audiences from others.
        ad_account_id: The LINE ad account.
        id_type: Of the identifiers.
        audience_name: The name in LINE; `None` only with an `audience_id`.
        audience_id: The audience, when the file names it by id.
        adopt: An audience of this name that someone else made may be taken over.
    """

    audience: str
    ad_account_id: str
    id_type: IdType
    audience_name: str | None = None
    audience_id: str | None = None
    adopt: bool = False

    @property
    def key(self) -> dict[str, str | None]:
        """What makes a destination another one: the account, the type, and the id, or else the name."""
        return {
            "ad_account_id": self.ad_account_id,
            "id_type": self.id_type,
            "audience_id": self.audience_id,
            "audience_name": None if self.audience_id else self.audience_name,
        }

    @property
    def digest(self) -> str:
        """A short name for the key, which any store or database takes."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def file_prefix(self) -> str:
        """What the names of all our files for this audience begin with."""
        return f"lap-{hashlib.sha256(self.audience.encode()).hexdigest()[:12]}-"

    def file_name(self, *, sync_id: str, chunk: int, attempt: int) -> str:
        """The name of one uploaded file; unique over all syncs and attempts, ASCII, at most 64 characters."""
        return f"{self.file_prefix}{sync_id}-{chunk:05}-{attempt}.txt"

    def sync_of(self, file_name: str) -> str | None:
        """The id of the sync that a file name of this audience was made for; None for any other name."""
        match = re.fullmatch(rf"{self.file_prefix}([0-9a-f]+)-[0-9]+-[0-9]+\.txt", file_name)
        return match and match[1]


def find_audience(
    client: LineAdsClient,
    destination: Destination,
    *,
    recorded_id: str | None = None,
    unfinished_id: str | None = None,
    recreate: bool = False,
) -> tuple[CustomAudience | None, tuple[str, ...]]:
    """Look the audience up in the ad account's list; ids are never asked for, since LINE forbids unknown ones.

    Args:
        client: Read only here.
        destination: What the audience file names.
        recorded_id: The audience that earlier syncs to this account, name and type went to.
        unfinished_id: The audience of a sync that is to go on: it may have failed by that sync's own upload.
        recreate: Pass over a recorded or found audience that is gone, expired or failed.

    Returns:
        The audience, or `None` when the first upload is to create it; and the ids that have its name now.

    Raises:
        AudienceNotFound: A given or recorded audience is gone.
        AudienceTypeMismatch: It holds another identifier type.
        AudienceUnusable: It is expired or failed.
        AudienceNotOurs: Its name belongs to an audience that this pipeline did not make.
        SeveralAudiences: Its name belongs to several, none of them recorded.
        LineAdsError: A call failed.
    """
    wanted_id = destination.audience_id or recorded_id
    if wanted_id is not None:
        audience = _listed(client, destination, wanted_id)
        usable = audience is not None and audience.status not in _CLOSED
        if recreate and destination.audience_id is None and not usable:
            return None, _ids(audiences_of_our_name(client, destination))
        if audience is None:
            raise AudienceNotFound(
                f"audience {wanted_id} not found in ad account {destination.ad_account_id}; nothing was sent",
                remedy=_ANOTHER_ID if destination.audience_id else _RECREATE,
            )
        if audience.id != unfinished_id or audience.status != "FAILED":
            _check(audience, destination)
        return audience, ()

    same_name = audiences_of_our_name(client, destination)
    matches = tuple(audience for audience in same_name if not recreate or audience.status not in _CLOSED)
    if not matches:
        return None, _ids(same_name)
    if len(matches) > 1:
        raise SeveralAudiences(destination.audience_name or "", matches)
    audience = matches[0]
    _check(audience, destination)
    if not destination.adopt:
        jobs = client.upload_jobs(destination.ad_account_id, audience.id)
        if not any((job.name or "").startswith(destination.file_prefix) for job in jobs):
            raise AudienceNotOurs(audience.name, audience.id)
    return audience, _ids(matches)


def _listed(client: LineAdsClient, destination: Destination, audience_id: str) -> CustomAudience | None:
    """The audience of an id: among those of our name, else among all, since it may have another one in LINE."""
    searches = [destination.audience_name, None] if destination.audience_name else [None]
    for name in searches:
        for audience in client.list_audiences(destination.ad_account_id, name=name):
            if audience.id == audience_id:
                return audience
    return None


def audiences_of_our_name(client: LineAdsClient, destination: Destination) -> tuple[CustomAudience, ...]:
    """List the audiences of exactly the destination's name and type: LINE's `name` parameter is a search."""
    return tuple(
        audience
        for audience in client.list_audiences(destination.ad_account_id, name=destination.audience_name)
        if audience.name == destination.audience_name
        and audience.function_type == FUNCTION_TYPES[destination.id_type]
    )


def _ids(audiences: Iterable[CustomAudience]) -> tuple[str, ...]:
    return tuple(audience.id for audience in audiences)


def _check(audience: CustomAudience, destination: Destination) -> None:
    expected = FUNCTION_TYPES[destination.id_type]
    if audience.function_type != expected:
        raise AudienceTypeMismatch(
            f'audience {audience.id} "{audience.name}" holds another identifier type: it is '
            f"{audience.function_type}, the audience file makes {expected}; nothing was sent"
        )
    if audience.status in _CLOSED:
        raise AudienceUnusable(audience, given_by_id=destination.audience_id is not None)
