"""What is looked at before a sync sends anything: the guardrails of a mirror, and the numbers they found.

A finding passes, warns, or stops the sync. One that stops may be overridden for one run, and warns then. All are made
before any of them stops, so that one run tells everything that is wrong.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

from line_ads_pipeline.line_ads import CustomAudience, UploadJob
from line_ads_pipeline.store import Snapshot, Tally
from line_ads_pipeline.sync.confirmed import Hold

Verdict = Literal["passed", "warning", "stopped"]
Number = int | float | str


@dataclass(frozen=True, kw_only=True)
class Guardrails:
    """The limits of a mirror.

    Attributes:
        min_identifiers: Fewer are not sent.
        max_shrink: The largest share of the members of the last confirmed sync that may leave at once; 0 to 1.
        max_skipped: The largest share of the values that are not blank that may be skipped; 0 to 1.
    """

    min_identifiers: int = 1
    max_shrink: float = 0.5
    max_skipped: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check of a sync found.

    Attributes:
        check: Its name.
        verdict: Whether the sync may go on.
        message: One sentence with the numbers.
        numbers: The same, each by its name.
    """

    check: str
    verdict: Verdict
    message: str
    numbers: Mapping[str, Number] = field(default_factory=dict)

    def overridden_by(self, overrides: Collection[str]) -> Self:
        """The finding as a warning, if the run says that it may not stop the sync."""
        if self.verdict != "stopped" or self.check not in overrides:
            return self
        return replace(self, verdict="warning", message=f"{self.message} Overridden for this run.")

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_document` gave."""
        return cls(**document)


@dataclass(frozen=True, kw_only=True)
class Shrinkage:
    """How a mirror changes the audience.

    Attributes:
        was: Members before; None where nobody knows.
        left: Members before that are not in the snapshot.
        since: What the members before are known from.
    """

    was: int | None
    left: int
    since: str


def identifiers_finding(snapshot: Snapshot, tally: Tally, *, at_least: int) -> Finding:
    """`min_identifiers`: enough is left of the segment to be sent."""
    numbers = {"identifiers": snapshot.count, "rows": tally.rows, "limit": at_least}
    if snapshot.count == 0 < tally.held_back:
        message = f"There are no identifiers left: all {tally.held_back:,} have opted out."
    elif snapshot.count == 0 < tally.rows:
        message = (
            f"There are no valid identifiers: the source segment has {tally.rows:,} rows, none with one."
        )
    elif snapshot.count == 0:
        message = "There are no valid identifiers: the source segment has no rows."
    else:
        message = f"{_counted(snapshot.count, 'identifier')}; at least {at_least:,} wanted."
    enough = snapshot.count >= at_least
    return Finding(
        check="min_identifiers", verdict="passed" if enough else "stopped", message=message, numbers=numbers
    )


def skipped_finding(tally: Tally, *, at_most: float) -> Finding:
    """`max_skipped`: most values that are not blank are identifiers."""
    blank = tally.outcomes.get("null", 0) + tally.outcomes.get("blank", 0)
    values, skipped = tally.rows - blank, tally.skipped - blank
    share = skipped / values if values else 0.0
    return Finding(
        check="max_skipped",
        verdict="stopped" if share > at_most else "passed",
        message=f"{skipped:,} of {_counted(values, 'value')} skipped, {_percent(share)}; limit {_percent(at_most)}.",
        numbers={"skipped": skipped, "values": values, "share": round(share, 6), "limit": at_most},
    )


def shrink_finding(shrinkage: Shrinkage | None, *, now: int, at_most: float) -> Finding:
    """`max_shrink`: not too many of the members before leave at once; `None` for a new audience."""
    numbers: dict[str, Number] = {"would_be": now, "limit": at_most}
    if shrinkage is None:
        message = f"The audience is new, would be {now:,}; limit {_percent(at_most)}."
        return Finding(check="max_shrink", verdict="passed", message=message, numbers=numbers)
    if shrinkage.was is None:
        message = (
            f"What the audience holds is unknown: no mirror of it was confirmed yet, and LINE gives no size. It would be "
            f"{now:,}; limit {_percent(at_most)}."
        )
        return Finding(check="max_shrink", verdict="warning", message=message, numbers=numbers)
    share = shrinkage.left / shrinkage.was if shrinkage.was else 0.0
    return Finding(
        check="max_shrink",
        verdict="stopped" if share > at_most else "passed",
        message=f"Was {shrinkage.was:,} ({shrinkage.since}), would be {now:,}: {shrinkage.left:,} leave, "
        f"{_percent(share)}; limit {_percent(at_most)}.",
        numbers=numbers | {"was": shrinkage.was, "left": shrinkage.left, "share": round(share, 6)},
    )


def shrinkage_of_line_size(audience: CustomAudience, *, now: int) -> Shrinkage:
    """What would leave as far as LINE's own estimate tells, which counts the people it matched."""
    size = audience.estimated_size
    return Shrinkage(was=size, left=max(0, (size or 0) - now), since="LINE's estimate")


def foreign_finding(foreign: Iterable[UploadJob] | None, *, is_new: bool) -> Finding:
    """`foreign_uploads`: nobody else uploads to the audience; `None` where no sync is known to count from."""
    if is_new:
        message = "The audience is new."
        return Finding(check="foreign_uploads", verdict="passed", message=message)
    if foreign is None:
        message = (
            "No earlier sync to this audience is known here, so nobody can tell whether others upload to it."
        )
        return Finding(check="foreign_uploads", verdict="warning", message=message)
    jobs = list(foreign)
    if not jobs:
        message = "No upload from elsewhere since the last sync."
        return Finding(check="foreign_uploads", verdict="passed", message=message, numbers={"uploads": 0})
    newest = max((job.created for job in jobs if job.created), default=None)
    when = f", the newest of {newest:%Y-%m-%d %H:%M} UTC" if newest else ""
    return Finding(
        check="foreign_uploads",
        verdict="stopped",
        message=f"{_counted(len(jobs), 'upload')} from elsewhere since the last sync{when}: a mirror would wipe what "
        "somebody else sent.",
        numbers={"uploads": len(jobs), "job_ids": ", ".join(job.id for job in jobs[:10])},
    )


def hold_finding(hold: Hold | None, *, rolled_back_to: str | None) -> Finding:
    """`hold`: the audience is not held at an older run date, or this run changes that."""
    if rolled_back_to is not None:
        message = f"Rolled back to the run date {rolled_back_to}, and on hold until release_hold."
    elif hold is not None:
        message = f"The hold at the run date {hold.partition} is released."
    else:
        return Finding(check="hold", verdict="passed", message="The audience is not on hold.")
    return Finding(check="hold", verdict="warning", message=message)


def confirmation_finding(*, sent: int, processed: int | None) -> Finding:
    """`confirmation`: LINE processed as many identifiers as were sent."""
    if sent == 0:
        message = "Nothing is new: no identifier was sent."
        return Finding(check="confirmation", verdict="passed", message=message, numbers={"sent": 0})
    if processed is None:
        message = f"{_counted(sent, 'identifier')} sent; LINE does not say how many it processed."
        return Finding(check="confirmation", verdict="passed", message=message, numbers={"sent": sent})
    return Finding(
        check="confirmation",
        verdict="passed" if sent == processed else "warning",
        message=f"{_counted(sent, 'identifier')} sent, {processed:,} processed by LINE.",
        numbers={"sent": sent, "processed": processed},
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{share * 100:.5g} %"
