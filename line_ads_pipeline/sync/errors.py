"""What can go wrong with a sync, each with its remedy.

* SyncError
  + PassedOver
    - Overtaken
    - OlderThanConfirmed
    - OnHold
  + GuardrailsStopped
    - NoValidIdentifiers
  + RollbackOfAdd
  + SeveralAudiences
  + AudienceNotOurs
  + AudienceUnusable
  + NameTaken
  + AudienceBusy
  + AudienceContended
  + OptOutsNotComparable
  + UploadJobFailed
  + UploadJobUnfinished
  + UploadJobNotListed
  + UploadUnsettled
"""

from collections.abc import Sequence

from line_ads_pipeline.line_ads import CustomAudience, LineAdsError
from line_ads_pipeline.sync.confirmed import Hold
from line_ads_pipeline.sync.guardrails import Finding
from line_ads_pipeline.sync.manifest import SyncMode


class SyncError(Exception):
    """Anything that kept a sync from being confirmed; what LINE holds is said by the classes below."""


class PassedOver(SyncError):
    """There is nothing for this run to do: it ends without a sync, and without a failure."""


class Overtaken(PassedOver):
    """A newer run of the audience was waiting as well. Nothing was changed in LINE."""

    def __init__(self) -> None:
        super().__init__(
            "a newer run of this audience is waiting too, and brings what is newer: nothing was sent by this one."
        )


class OlderThanConfirmed(PassedOver):
    """A snapshot of a newer run date is in the audience, or on its way. Nothing was changed in LINE."""

    def __init__(self, partition: str, newest: str, *, mode: SyncMode) -> None:
        going_back = (
            f"; to go back on purpose, give line_custom_audience of {partition} the run config rollback: true"
            if mode == "mirror"
            else ""
        )
        super().__init__(
            f"the run date {partition} is older than {newest}, of which something was sent to the audience already. "
            f"Nothing was sent now. Materialise the newest run date{going_back}."
        )


class OnHold(PassedOver):
    """The audience was rolled back, and stays so until it is released. Nothing of this run date was sent."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(
            f"the audience is on hold since {hold.since:%Y-%m-%d %H:%M} UTC, when it was rolled back to the run date "
            f"{hold.partition}. Nothing newer was sent. To go on, materialise line_custom_audience of the newest run date "
            "with the run config release_hold: true."
        )


class GuardrailsStopped(SyncError):
    """At least one guardrail says that something is wrong. Nothing of the snapshot was sent.

    Attributes:
        findings: Of all guardrails, also of those that passed.
    """

    def __init__(self, findings: Sequence[Finding], *, message: str | None = None) -> None:
        self.findings = tuple(findings)
        stopped = [finding for finding in findings if finding.verdict == "stopped"]
        super().__init__(
            message
            or "a guardrail stopped the sync, and nothing of it was sent. "
            + " ".join(f"{finding.check}: {finding.message}" for finding in stopped)
            + " Look at the segment first. If it is right, materialise line_custom_audience once with the run config "
            f"override: [{', '.join(finding.check for finding in stopped)}]."
        )


class NoValidIdentifiers(GuardrailsStopped):
    """There is nothing to send, which no override changes."""

    def __init__(
        self, *, rows: int, held_back: int = 0, may_delete: bool = False, findings: Sequence[Finding] = ()
    ) -> None:
        if held_back:
            found = f"all {held_back:,} of the source segment have opted out (source.exclude)"
            remedy = "Check the table or query of source.exclude."
            deletion = "If all of them have opted out, when_empty: delete_audience deletes the audience."
        else:
            found = (
                f"the source segment has {rows:,} rows, none with one"
                if rows
                else "the source segment has no rows"
            )
            remedy = (
                "Check the table or query, the identifier column and its type; the metadata of hashed_identifiers "
                "counts the rows skipped by reason."
            )
            deletion = "If nobody is to be left, set when_empty: delete_audience."
        super().__init__(
            findings,
            message=f"no valid identifiers: {found}. Nothing was sent. {remedy}{f' {deletion}' if may_delete else ''}",
        )


class RollbackOfAdd(SyncError):
    """An add removes nobody, so it cannot go back. Nothing was changed in LINE."""

    def __init__(self) -> None:
        super().__init__(
            "rollback is for sync_mode: mirror: an add removes nobody, so there is no going back. Nothing was sent."
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
            f"the members of audience {audience_id} were replaced from elsewhere while they were sent, "
            f"{f'{times} times in a row' if times > 1 else 'once'}. Find out who else uploads to this audience, stop it, and materialise line_custom_audience again."
        )


class OptOutsNotComparable(SyncError):
    """Nobody can tell who has opted out of what an earlier run left unsent. Nothing was sent now; its place is kept.

    Attributes:
        problem: What happened, without the remedy.
    """

    def __init__(self, *, partition: str) -> None:
        self.problem = (
            f"what is left unsent of the run date {partition} has identifiers of another form than the opt-outs (hash_ifa "
            "was changed since), so that nobody can tell who of them has opted out."
        )
        super().__init__(
            f"{self.problem} Nothing was sent. To have it finished, set hash_ifa as it was and materialise "
            "hashed_identifiers again; to give it up, materialise line_custom_audience once with the run config "
            "override: [unfinished_sync]."
        )


class UploadJobFailed(SyncError):
    """LINE gave up on a chunk. The chunks before it are in the audience; the next run sends this one again.

    Attributes:
        problem: What happened, without the remedy.
        failed_type: Why, as LINE calls it.
    """

    def __init__(self, *, chunk: int, chunks: int, audience_id: str, failed_type: str | None) -> None:
        self.failed_type = failed_type
        self.problem = (
            f"LINE failed to process chunk {chunk} of {chunks} of audience {audience_id} "
            f"({failed_type or 'no reason given'})."
        )
        super().__init__(
            f"{self.problem} Materialise line_custom_audience again: it goes on from this chunk. If it fails again, "
            "ask LINE with the audience id; to give this sync up, use the run config override: [unfinished_sync]."
        )


class UploadJobUnfinished(SyncError):
    """A job did not end in time. The place is kept; the next run goes on waiting."""

    def __init__(self, *, chunk: int, chunks: int, audience_id: str, hours: float) -> None:
        super().__init__(
            f"LINE has not finished chunk {chunk} of {chunks} of audience {audience_id} within {hours:g} hours. "
            "Materialise line_custom_audience again: it goes on waiting from here. Matching can take LINE a day."
        )


class UploadJobNotListed(SyncError):
    """LINE accepted a chunk, and its job list does not show it. The place is kept."""

    def __init__(self, *, chunk: int, chunks: int, audience_id: str) -> None:
        super().__init__(
            f"LINE accepted chunk {chunk} of {chunks} of audience {audience_id}, but its job list does not show it, so "
            "nobody can tell whether it is in. Materialise line_custom_audience again to look once more, or with the "
            "run config override: [unfinished_sync] to begin a new sync that sends everything."
        )


class UploadUnsettled(SyncError):
    """LINE's answers to a chunk were lost again and again. The place is kept; the next run settles it first."""

    def __init__(self, *, chunk: int, chunks: int, attempts: int, last: LineAdsError) -> None:
        super().__init__(
            f"chunk {chunk} of {chunks} was sent {attempts} times without a clear answer. Materialise "
            f"line_custom_audience again: it first looks what arrived. The last failure: {last}"
        )
