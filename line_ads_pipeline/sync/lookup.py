"""The audience in LINE that a sync goes to: looked up, renamed as the file says, and deleted when nobody is left."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from line_ads_pipeline.line_ads import AudienceNotFound, CustomAudience, LineAdsClient, LineAdsError
from line_ads_pipeline.store import Snapshot
from line_ads_pipeline.sync.confirmed import Confirmed
from line_ads_pipeline.sync.destination import Destination, audiences_of_our_name, find_audience
from line_ads_pipeline.sync.errors import NameTaken
from line_ads_pipeline.sync.manifest import Sync
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.target import Target

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AudienceLookup:
    """Finds the audience of a destination, with what the store remembers of it.

    Args:
        client: Open.
        records: Of the audience file.
        destination: The audience in LINE.
    """

    client: LineAdsClient
    records: AudienceRecords
    destination: Destination

    def find(self, unfinished: Sync | None, *, recreate: bool = False) -> Target:
        """The audience as it is to be used, renamed if the file says so.

        Args:
            unfinished: What an earlier run left.
            recreate: Pass over an audience that is gone, expired or failed.

        Raises:
            SyncError: The audience may not be used.
            AudienceNotFound: It is gone, and was not deleted here.
            LineAdsError: A call failed.
        """
        unfinished_id = unfinished.audience_id if unfinished else None
        recorded_id = unfinished_id or self.records.recorded_audience(self.destination)
        try:
            audience, same_name = find_audience(
                self.client,
                self.destination,
                recorded_id=recorded_id,
                unfinished_id=unfinished_id,
                recreate=recreate,
            )
        except AudienceNotFound:
            deletion = self.records.read("deletion")
            current = self.records.read("current_sync")
            if deletion is None or (deletion["audience_id"], deletion["current_sync"]) != (
                recorded_id,
                current,
            ):
                raise
            # it was deleted here, by a run that could not write that down any more
            self._note_deletion(deletion)
            audience, same_name = find_audience(self.client, self.destination)
        return Target(audience=self._renamed(audience) if audience else None, same_name=same_name)

    def listed(self, sync: Sync) -> CustomAudience | None:
        """The audience of a sync as LINE lists it; a failure to list it undoes nothing, so it is only warned of."""
        try:
            listed = list(self.client.list_audiences(sync.ad_account_id, name=self.destination.audience_name))
        except LineAdsError as error:
            _log.warning("the upload is done, but the audience cannot be listed: %s", error)
            return None
        return next((audience for audience in listed if audience.id == sync.audience_id), None)

    def _renamed(self, audience: CustomAudience) -> CustomAudience:
        """An audience given by id gets the name that the file gives beside it."""
        name = self.destination.audience_name
        if self.destination.audience_id is None or name is None or name == audience.name:
            return audience
        other = next(iter(audiences_of_our_name(self.client, self.destination)), None)
        if other is not None:
            raise NameTaken(audience.id, name, other.id)
        _log.info('audience %s "%s" is renamed to "%s"', audience.id, audience.name, name)
        self.records.check_lease()
        self.client.rename(self.destination.ad_account_id, audience.id, name=name)
        return replace(audience, name=name)

    def delete(self, audience: CustomAudience | None, nobody: Snapshot, partition: str) -> None:
        """Delete the audience of nobody, so that nobody is left in it."""
        deletion = {
            "audience_id": audience.id if audience else None,
            "partition": partition,
            "snapshot": nobody.to_document(),
            "current_sync": self.records.read("current_sync"),
        }
        if audience is not None:
            _log.warning("nobody is left: audience %s is deleted", audience.id)
            self.records.write(deletion, "deletion")
            self.client.delete(self.destination.ad_account_id, audience.id)
        self._note_deletion(deletion)

    def _note_deletion(self, deletion: Mapping[str, Any]) -> None:
        """Note that the audience is gone, and with it what an earlier run left half sent."""
        snapshot = Snapshot.from_document(deletion["snapshot"])
        self.records.confirm(self.destination, Confirmed(partition=deletion["partition"], snapshot=snapshot))
        unfinished = self.records.unfinished_sync(self.destination)
        if unfinished is not None:
            self.records.conclude(unfinished, "superseded")
        if deletion["audience_id"] is not None:
            self.records.record_audience(self.destination, None)
