"""An audience and an upload job, as LINE keeps them, and what can be seen of them at one moment.

Where LINE's documents are silent: a size of 0 reads "-" and one up to 100 "100 or fewer"; an audience whose
first job failed is `FAILED`, and `IN_PROGRESS` again with the next upload; an `EXPIRED` one stays so, and takes no
upload: 400 `REMOVED_ENTITY`. What LINE answers to that is open; the reason is chosen here from its list, as the nearest.
"""

import math
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from line_ads_pipeline.simulator.faults import Fault
from line_ads_pipeline.simulator.identifier_file import IdType
from line_ads_pipeline.simulator.records import Refusal

Action = Literal["ADD", "REPLACE"]
AudienceStatus = Literal["IN_PROGRESS", "READY", "FAILED", "EXPIRED"]

FUNCTION_TYPES: dict[IdType, str] = {
    "IFA": "UPLOAD",
    "HASHED_EMAIL": "HASHED_EMAIL_UPLOAD",
    "HASHED_PHONE_NUMBER": "HASHED_PHONE_NUMBER_UPLOAD",
}
MAX_NAME_LENGTH = 120

_SMALL_AUDIENCE = 100
_QUEUED_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class AudienceState:
    """One audience at one moment; `estimated_size` is the text that the API gives."""

    id: str
    ad_account_id: str
    name: str
    function_type: str
    status: AudienceStatus
    failed_type: str | None
    created: datetime
    member_count: int
    estimated_size: str


@dataclass(frozen=True, kw_only=True)
class JobState:
    """One upload job at one moment; `audience_count`, how many it processed, is None until it is finished."""

    id: str
    audience_id: str
    ad_account_id: str
    name: str
    type: str
    status: str
    failed_type: str | None
    audience_count: int | None
    created: datetime


@dataclass(kw_only=True, eq=False)
class Audience:
    """One audience. `born_with` is the job that it must not appear before."""

    id: str
    ad_account_id: str
    name: str
    function_type: str
    created: datetime
    status: AudienceStatus = "IN_PROGRESS"
    failed_type: str | None = None
    members: frozenset[str] = frozenset()
    born_with: "Job | None" = None

    def visible(self, now: float) -> bool:
        """Whether it has appeared by that moment (seconds of Unix time)."""
        return self.born_with is None or self.born_with.visible(now)

    def state(self) -> AudienceState:
        """What can be seen of it."""
        count = len(self.members)
        if not count or self.status == "IN_PROGRESS":
            size = "-"
        else:
            size = "100 or fewer" if count <= _SMALL_AUDIENCE else str(count)
        return AudienceState(
            id=self.id,
            ad_account_id=self.ad_account_id,
            name=self.name,
            function_type=self.function_type,
            status=self.status,
            failed_type=self.failed_type,
            created=self.created,
            member_count=count,
            estimated_size=size,
        )


@dataclass(kw_only=True, eq=False)
class Job:
    """One upload job. Its times are in seconds; `born_at` is Unix time.

    `processed` is its number of rows, unless a fault says otherwise.
    `hidden_polls` and `running_polls` are the answers that will still hide it, and then show it unfinished.
    `lost` says that the client never got an answer to this upload.
    """

    number: int
    audience: Audience
    name: str
    action: Action
    processed: int
    born_at: float
    identifiers: frozenset[str] = frozenset()
    seconds: float = 0.0
    hidden_polls: int = 0
    running_polls: int = 0
    running_status: str | None = None
    failed_type: str | None = None
    lost: bool = False
    polled: bool = False
    outcome: Literal["FINISHED", "FAILED"] | None = None

    def spoil(self, fault: Fault) -> None:
        """Take over what a fault says of the job."""
        if fault.job_seconds is not None:
            self.seconds = fault.job_seconds
        self.born_at += fault.appears_after_seconds
        self.hidden_polls = fault.appears_after_polls
        self.running_polls = fault.job_polls
        self.running_status = fault.job_status
        self.failed_type = fault.job_failed_type
        if fault.job_processed is not None:
            self.processed = fault.job_processed

    @property
    def due_at(self) -> float:
        """When it ends, as far as that is known."""
        return math.inf if self.hidden_polls or self.running_polls else self.born_at + self.seconds

    def visible(self, now: float) -> bool:
        """Whether it has appeared by that moment."""
        return not self.hidden_polls and now >= self.born_at

    def poll(self, now: float) -> None:
        """Count one answer that could have shown it."""
        if self.hidden_polls:
            self.hidden_polls -= 1
            if not self.hidden_polls:
                self.born_at = max(self.born_at, now)
        elif self.running_polls and self.visible(now):
            self.polled = True
            self.running_polls -= 1

    def finish(self) -> None:
        """End it, and change the audience accordingly unless it failed."""
        audience = self.audience
        if self.failed_type:
            self.outcome = "FAILED"
            if audience.status == "IN_PROGRESS":
                audience.status, audience.failed_type = "FAILED", self.failed_type
        else:
            self.outcome = "FINISHED"
            audience.members = self.identifiers | (audience.members if self.action == "ADD" else frozenset())
            if audience.status in {"IN_PROGRESS", "FAILED"}:
                audience.status, audience.failed_type = "READY", None
        self.identifiers = frozenset()

    def state(self, now: float) -> JobState:
        """What can be seen of it at that moment."""
        return JobState(
            id=str(self.number),
            audience_id=self.audience.id,
            ad_account_id=self.audience.ad_account_id,
            name=self.name,
            type=f"DIFF_{self.action}",
            status=self.outcome or self.running_status or ("QUEUED" if self._waits(now) else "WORKING"),
            failed_type=self.failed_type if self.outcome == "FAILED" else None,
            audience_count=self.processed if self.outcome == "FINISHED" else None,
            created=datetime.fromtimestamp(self.born_at, UTC),
        )

    def _waits(self, now: float) -> bool:
        return (
            self.running_polls > 0 and not self.polled
        ) or now < self.born_at + self.seconds * _QUEUED_SHARE


def check_name(name: str) -> None:
    """Refuse what is no name for an audience.

    Raises:
        Refusal: 400, with the reason that LINE lists for it.
    """
    if not name.strip():
        reason, detail = "AUDIENCE_GROUP_NAME_EMPTY", "the name is empty"
    elif len(name) > MAX_NAME_LENGTH:
        reason, detail = (
            "AUDIENCE_GROUP_NAME_SIZE_OVER",
            f"the name has more than {MAX_NAME_LENGTH} characters",
        )
    elif any(unicodedata.category(character) == "Cc" for character in name):
        reason, detail = "AUDIENCE_GROUP_NAME_WRONG", "the name has a control character"
    else:
        return
    raise Refusal(400, reason, rule="invalid_request", detail=detail, field="name")
