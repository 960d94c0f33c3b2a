"""What can go wrong with a sync, each with its remedy.

* SyncError
  + NoValidIdentifiers
  + OlderThanConfirmed
  + SeveralAudiences
  + AudienceNotOurs
  + AudienceUnusable
  + NameTaken
  + AudienceBusy
  + AudienceContended
  + UploadJobFailed
  + UploadJobUnfinished
  + UploadUnsettled
"""

from collections.abc import Sequence

from line_ads_pipeline.line_ads import CustomAudience, LineAdsError


class SyncError(Exception):
    """Anything that kept a sync from being confirmed; what LINE holds is said by the classes below."""


class NoValidIdentifiers(SyncError):
    """There is nothing to send. Nothing was changed in LINE."""

    def __init__(self, *, rows: int) -> None:
        found = (
            f"the source segment has {rows:,} rows, none with one"
            if rows
            else "the source segment has no rows"
        )
        super().__init__(
            f"no valid identifiers: {found}. Nothing was sent. Check the table or query, the identifier column "
            "and its type; the metadata of hashed_identifiers counts the rows skipped by reason."
        )


class OlderThanConfirmed(SyncError):
    """A snapshot of a newer run date is in the audience. Nothing was changed in LINE."""

    def __init__(self, partition: str, confirmed: str) -> None:
        super().__init__(
            f"the run date {partition} is older than {confirmed}, which was sent to the audience already. Nothing "
            "was sent now: it would bring back who has left since. Materialise the newest run date."
        )


class SeveralAudiences(SyncError):
    """Several audiences have the name, and none is known as ours. Nothing was changed in LINE."""

    def __init__(self, name: str, audiences: Sequence[CustomAudience]) -> None:
        listed = "; ".join(
            f"{audience.id} (created {audience.created:%Y-%m-%d}, size {audience.estimated_size_text or 'unknown'})"
            if audience.created
            else f"{audience.id} (size {audience.estimated_size_text or 'unknown'})"
            for audience in audiences
        )
        super().__init__(
            f'{len(audiences)} audiences are named "{name}": {listed}. Nothing was sent. '
            "Set destination.audience_id to the one that is meant."
        )


class AudienceNotOurs(SyncError):
    """The audience of this name was made by someone else. Nothing was changed in LINE."""

    def __init__(self, name: str, audience_id: str) -> None:
        super().__init__(
            f'the audience "{name}" ({audience_id}) was not made by this pipeline, and a sync could wipe what a '
            "colleague uploaded. Nothing was sent. Choose another audience_name, or set adopt: true to take it over."
        )


class AudienceUnusable(SyncError):
    """The audience can take no uploads any more. Nothing was changed in LINE."""

    def __init__(self, audience: CustomAudience, *, given_by_id: bool) -> None:
        why = f" ({audience.failed_type})" if audience.failed_type else ""
        remedy = (
            "Give another destination.audience_id, or audience_name alone: the next sync makes a new one."
            if given_by_id
            else "Run line_custom_audience once with the run config recreate_audience: true to make a new one."
        )
        super().__init__(
            f'audience {audience.id} "{audience.name}" is {audience.status}{why}. Nothing was sent. {remedy}'
        )


class NameTaken(SyncError):
    """The audience cannot be renamed, as another has the name. Nothing was changed in LINE."""

    def __init__(self, audience_id: str, name: str, other_id: str) -> None:
        super().__init__(
            f'audience {audience_id} is to be renamed to "{name}", but audience {other_id} has that name. Nothing was '
            "sent. Choose another audience_name, or leave it out beside audience_id."
        )


class AudienceBusy(SyncError):
    """An upload that is not of this sync does not end. Nothing was changed in LINE."""

    def __init__(self, audience_id: str, *, hours: float) -> None:
        super().__init__(
            f"audience {audience_id} is still being processed by LINE after {hours:g} hours, for an upload from "
            "elsewhere. Nothing was sent. Materialise line_custom_audience again when LINE has finished."
        )


class AudienceContended(SyncError):
    """Somebody keeps replacing the members of the audience while it is synced."""

    def __init__(self, audience_id: str, *, times: int) -> None:
        super().__init__(
            f"the members of audience {audience_id} were replaced from elsewhere while they were sent, {times} times "
            "in a row. Find out who else uploads to this audience, stop it, and materialise line_custom_audience again."
        )


class UploadJobFailed(SyncError):
    """LINE gave up on a chunk. The chunks before it are in the audience; the next run sends this one again."""

    def __init__(self, *, chunk: int, chunks: int, audience_id: str, failed_type: str | None) -> None:
        super().__init__(
            f"LINE failed to process chunk {chunk} of {chunks} of audience {audience_id} "
            f"({failed_type or 'no reason given'}). Materialise line_custom_audience again: it goes on from "
            "this chunk. If it fails again, ask LINE with the audience id."
        )


class UploadJobUnfinished(SyncError):
    """A job did not end in time. The place is kept; the next run goes on waiting."""

    def __init__(self, *, chunk: int, chunks: int, audience_id: str, hours: float) -> None:
        super().__init__(
            f"LINE has not finished chunk {chunk} of {chunks} of audience {audience_id} within {hours:g} hours. "
            "Materialise line_custom_audience again: it goes on waiting from here. Matching can take LINE a day."
        )


class UploadUnsettled(SyncError):
    """LINE's answers to a chunk were lost again and again. The place is kept; the next run settles it first."""

    def __init__(self, *, chunk: int, chunks: int, attempts: int, last: LineAdsError) -> None:
        super().__init__(
            f"chunk {chunk} of {chunks} was sent {attempts} times without a clear answer. Materialise "
            f"line_custom_audience again: it first looks what arrived. The last failure: {last}"
        )
