"""What goes wrong while audience files are loaded, and why a run is refused.

* AudienceFileError
* RunRefused
  + LateSnapshot
  + SnapshotGone
  + RulesChanged
  + UpdateOvertaken
  + SegmentNotDescribed
  + UnusableOptOuts
  + NothingToSend
  + ChecksAlone
"""

from dataclasses import dataclass
from types import TracebackType

from dagster.components.core.component_tree import ComponentTreeException


@dataclass(frozen=True)
class Mistake:
    """One mistake in an audience file, in the words of whoever wrote the file."""

    field: str
    problem: str
    remedy: str
    line: int | None = None


def shown(value: object, *, at_most: int = 60) -> str:
    """The text of a value on one line: shortened, and with signs that cannot be seen as their numbers."""
    line = " ".join(str(value)[: 2 * at_most].split())
    if len(line) > at_most or len(str(value)) > 2 * at_most:
        line = f"{line[: at_most - 1].rstrip()}…"
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in line)


class AudienceFileError(ComponentTreeException):
    """An audience file holds a mistake.

    Dagster passes a `ComponentTreeException` on as it is, but wraps every other exception in a drawing of the
    whole component tree. The Python stack says nothing about a YAML file, so none is shown.
    """

    def __init__(self, path: str, mistake: Mistake, *, further: int = 0) -> None:
        self.path = path
        self.mistake = mistake
        place = path if mistake.line is None else f"{path}, line {mistake.line}"
        more = f"\n  ({further} more in this file)" if further else ""
        subject = f"{shown(mistake.field)}: " if mistake.field else ""
        problem, remedy = shown(mistake.problem, at_most=400), shown(mistake.remedy, at_most=400)
        super().__init__(f"{place}\n  {subject}{problem}\n  Instead: {remedy}{more}")

    @property
    def __traceback__(self) -> TracebackType | None:
        return None

    @__traceback__.setter
    def __traceback__(self, _: TracebackType | None) -> None:
        pass


class RunRefused(Exception):
    """A step cannot do what it was asked for; nothing was changed."""


class LateSnapshot(RunRefused):
    """The segment is as of now, so that a run date that is past is not hashed any more."""

    def __init__(self, run_date: str, newest: str | None) -> None:
        super().__init__(
            f"the run date {run_date} is past (the newest is {newest}) and has no snapshot, and the segment is "
            f"only known as of now. Materialise the run date {newest}, or give hashed_identifiers the run config "
            "allow_late_snapshot: true to take what is there now."
        )


class SnapshotGone(RunRefused):
    """The snapshot of a run date has been removed, since newer ones are kept instead."""

    def __init__(self, run_date: str, newest: str | None) -> None:
        remedy = (
            "Materialise hashed_identifiers with it again."
            if run_date == newest
            else f"The segment is only known as of now: materialise the run date {newest}, or give "
            "hashed_identifiers the run config allow_late_snapshot: true to take what is there now."
        )
        super().__init__(
            f"the snapshot of the run date {run_date} is no longer in the store: snapshots are kept for a limited "
            f"time, plain mobile ad ids only until there are newer ones. {remedy}"
        )


class UpdateOvertaken(RunRefused):
    """The next run date has begun while a run that its sensor requested was waiting."""

    def __init__(self, run_date: str, newest: str | None) -> None:
        super().__init__(
            f"this run is to bring the latest change of the source, but its run date {run_date} is past (the newest is "
            f"{newest}), and a past run date is not read anew. The sensor will ask for the newest one."
        )


class SegmentNotDescribed(RunRefused):
    """The step before has not run for this run date, or for another source than the audience file names now."""

    def __init__(self, run_date: str, *, since_edited: bool = False) -> None:
        super().__init__(
            f"the segment was described for the run date {run_date} before the audience file was edited: it reads another "
            "source, column or opt-outs now. Materialise source_segment with it again."
            if since_edited
            else f"the segment is not described for the run date {run_date}. Materialise source_segment with it."
        )


class UnusableOptOuts(RunRefused):
    """There are opt-outs, and none can be told: whoever opted out would be sent."""

    def __init__(self, rows: int, *, column: str, kind: str) -> None:
        super().__init__(
            f"none of the {rows:,} rows of the opt-outs has an identifier of the type {kind} in the column {column}, so "
            "that nobody would be held back. Check source.exclude in the audience file, and its column."
        )


class NothingToSend(RunRefused):
    """The step before has not run for this run date."""

    def __init__(self, run_date: str) -> None:
        super().__init__(
            f"there is no snapshot for the run date {run_date}. Materialise hashed_identifiers with it."
        )


class ChecksAlone(RunRefused):
    """The checks of line_custom_audience look at an upload that is about to be made."""

    def __init__(self) -> None:
        super().__init__(
            "the checks of line_custom_audience are part of its upload and cannot be run alone. Materialise "
            "line_custom_audience."
        )


class RulesChanged(RunRefused):
    """The snapshot holds identifiers of another type or form than the audience file asks for now."""

    def __init__(self, run_date: str, newest: str | None) -> None:
        again = (
            f"the run date {newest}, or hashed_identifiers of {run_date} with the run config allow_late_snapshot: true"
            if run_date != newest
            else "hashed_identifiers with it again"
        )
        super().__init__(
            f"the identifier block or source.exclude of the audience file has changed since the run date {run_date} was hashed. "
            f"Materialise {again}."
        )
