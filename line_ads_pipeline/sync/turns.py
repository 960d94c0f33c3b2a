"""Whose turn it is to write to an audience: one run at a time, of all processes and audience files."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from line_ads_pipeline import coordination as leases
from line_ads_pipeline.coordination import Coordination, Lease
from line_ads_pipeline.sync.destination import Destination
from line_ads_pipeline.sync.errors import Overtaken
from line_ads_pipeline.sync.manifest import SyncMode
from line_ads_pipeline.sync.records import AudienceRecords
from line_ads_pipeline.sync.target import Target


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The leases of an audience file.

    Args:
        coordination: Shared with all processes that use the same ad accounts.
        records: Of the audience file.
        destination: The audience in LINE.
        mode: A waiting mirror may give way to a newer one, an add does not.
    """

    coordination: Coordination
    records: AudienceRecords
    destination: Destination
    mode: SyncMode

    @contextmanager
    def take(self, partition: str, *, rollback: bool, gives_way: bool, wait: bool) -> Iterator[Lease]:
        """Keep everybody else from writing; args and errors are those of `Synchroniser.alone`."""
        try:
            with (
                self.coordination.lease(
                    f"audience file {self.records.audience} in {self.records.store.identity}",
                    rank="1" if rollback else f"0 {partition}",
                    overtaking=self.mode == "mirror" and gives_way,
                    wait=wait,
                ),
                self.coordination.lease(f"audience {self.destination.digest}", wait=wait) as lease,
            ):
                yield lease
        except leases.Overtaken:
            raise Overtaken from None

    def only_writer_to(self, target: Target) -> AbstractContextManager[object]:
        """A lease by the audience's id: audience files may name one audience by id and by name."""
        if target.audience is None:
            return nullcontext()
        return self.coordination.lease(f"audience {self.destination.ad_account_id} {target.audience.id}")
