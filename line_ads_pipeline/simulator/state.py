"""What a simulated LINE holds: audiences, jobs, limits, and the record of its clients.

Nothing here runs by itself: each look first finishes the jobs that are due by the clock.
"""

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from line_ads_pipeline.simulator.audiences import (
    FUNCTION_TYPES,
    Action,
    Audience,
    AudienceState,
    AudienceStatus,
    Job,
    JobState,
)
from line_ads_pipeline.simulator.faults import Fault, FaultPlan
from line_ads_pipeline.simulator.identifier_file import IdentifierFile, IdType
from line_ads_pipeline.simulator.limits import ReplaceSlot, ReplaceSlots, RequestRate
from line_ads_pipeline.simulator.records import Refusal, RequestLog

_FIRST_AUDIENCE_ID = 5_300_000_000_001
_FIRST_JOB_ID = 7_000_001


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a simulated LINE behaves: the parameters of `Simulator` of the same names, and what became of them."""

    access_key: str
    secret_key: str = field(repr=False)
    ad_account_ids: tuple[str, ...]
    job_seconds: float
    accept_hashed_ifa: bool
    clock: Callable[[], datetime]
    requests_per_second_limit: int | None
    seed: int
    clock_offset: timedelta = timedelta()


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload whose request was found right; `audience_id` is None and `name` given for a new audience.

    `lost` says that the client will get no answer: an audience it makes then appears no sooner than its job.
    """

    action: Action
    id_type: IdType
    audience_id: str | None
    name: str
    file_name: str
    file: IdentifierFile
    slot: ReplaceSlot | None
    fault: Fault | None
    lost: bool


class LineState:
    """Everything that one simulated LINE knows. Callers hold `lock` around each use.

    Methods that take an ad account's audience raise `Refusal`, 404, when there is none of that id.

    Args:
        settings: How it behaves.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.log = RequestLog()
        self.faults = FaultPlan(seed=settings.seed)
        self.rate = RequestRate(settings.requests_per_second_limit)
        self._slots = ReplaceSlots()
        self._audiences: dict[str, Audience] = {}
        self._jobs: list[Job] = []
        self._audience_ids = itertools.count(_FIRST_AUDIENCE_ID)
        self._job_numbers = itertools.count(_FIRST_JOB_ID)

    def reset(self) -> None:
        """Forget everything but the settings. Ids go on, so that none is given twice."""
        self.log.clear()
        self.faults.clear()
        self.rate = RequestRate(self.settings.requests_per_second_limit)
        self._slots = ReplaceSlots()
        self._audiences.clear()
        self._jobs.clear()

    def now(self) -> datetime:
        """The clock, in UTC."""
        return self.settings.clock().astimezone(UTC)

    def told(self, moment: datetime) -> datetime:
        """A moment as clients are told it, and as their own clocks are compared with."""
        return moment + self.settings.clock_offset

    def change(self, **settings: Any) -> None:  # noqa: ANN401  # the fields of Settings
        """Behave differently from now on."""
        self.settings = dataclasses.replace(self.settings, **settings)

    def check_ad_account(self, ad_account_id: str) -> None:
        """Refuse an ad account that the access key may not use.

        Raises:
            Refusal: 403 `ACCOUNT_NOT_ALLOWED`.
        """
        if ad_account_id not in self.settings.ad_account_ids:
            raise Refusal(
                403,
                "ACCOUNT_NOT_ALLOWED",
                rule="ad_account",
                detail=f"ad account {ad_account_id} is not one that this access key may use",
            )

    def open_replace(self, ad_account_id: str) -> ReplaceSlot:
        """Take a slot for a `REPLACE` that is arriving.

        Raises:
            Refusal: 429 without a body.
        """
        self._settle()
        return self._slots.open(ad_account_id)

    def most_replaces_at_once(self, ad_account_id: str) -> int:
        """How many slots for `REPLACE`s an ad account wanted at the same time at most."""
        return self._slots.most_at_once(ad_account_id)

    def audiences(self) -> tuple[AudienceState, ...]:
        """The audiences that have appeared, in the order of their creation."""
        now = self._settle()
        return tuple(audience.state() for audience in self._audiences.values() if audience.visible(now))

    def audience(self, ad_account_id: str, audience_id: str) -> AudienceState:
        """One audience of an ad account."""
        self._settle()
        return self._find(ad_account_id, audience_id).state()

    def members(self, audience_id: str) -> frozenset[str]:
        """The identifiers that finished jobs have put into an audience.

        Raises:
            KeyError: There is no such audience.
        """
        self._settle()
        return self._audiences[audience_id].members

    def jobs(self, audience_id: str | None = None) -> tuple[JobState, ...]:
        """The jobs that have appeared, of one audience or of all, oldest first."""
        now = self._settle()
        visible = [job for job in self._jobs_of(audience_id) if job.visible(now)]
        return tuple(job.state(now) for job in sorted(visible, key=lambda job: (job.born_at, job.number)))

    def poll_audiences(self, ad_account_id: str) -> tuple[AudienceState, ...]:
        """An ad account's `audiences`, for an answer of the API: faults of hidden audiences count it."""
        states = tuple(state for state in self.audiences() if state.ad_account_id == ad_account_id)
        now = self.now().timestamp()
        for audience in self._audiences.values():
            if audience.ad_account_id == ad_account_id and audience.born_with and not audience.visible(now):
                audience.born_with.poll(now)
        return states

    def poll_jobs(self, ad_account_id: str, audience_id: str) -> tuple[JobState, ...]:
        """An audience's `jobs`, for an answer of the API: faults that count polls count it."""
        self._find(ad_account_id, audience_id)
        states = self.jobs(audience_id)
        now = self.now().timestamp()
        for job in self._jobs_of(audience_id):
            job.poll(now)
        return states

    def check_upload(self, ad_account_id: str, audience_id: str, id_type: IdType) -> None:
        """Refuse an upload that does not fit an existing audience.

        Raises:
            Refusal: 404 when there is no such audience, 400 when it has another type or is `EXPIRED`.
        """
        self._settle()
        audience = self._find(ad_account_id, audience_id)
        if audience.function_type != FUNCTION_TYPES[id_type]:
            raise Refusal(
                400,
                "INVALID_VALUE",
                rule="identifier_type",
                detail=f"audience {audience_id} is {audience.function_type} and takes no {id_type}",
                field="idType",
            )
        if audience.status == "EXPIRED":
            detail = f"audience {audience_id} is EXPIRED"
            raise Refusal(400, "REMOVED_ENTITY", rule="invalid_request", detail=detail, field="id")

    def has_known_unfinished_job(self, audience_id: str) -> bool:
        """Whether a client can know of an unfinished job: its upload was answered, or the list shows it."""
        now = self._settle()
        return any(
            job.outcome is None and (job.visible(now) or not job.lost) for job in self._jobs_of(audience_id)
        )

    def accept_upload(self, ad_account_id: str, upload: Upload) -> tuple[AudienceState, JobState]:
        """Create the job of an upload, and the audience if it is a new one.

        Raises:
            Refusal: As `check_upload`.
        """
        if upload.audience_id is None:
            function_type = FUNCTION_TYPES[upload.id_type]
            audience = self._create(ad_account_id, name=upload.name, function_type=function_type)
        else:
            self.check_upload(ad_account_id, upload.audience_id, upload.id_type)
            audience = self._find(ad_account_id, upload.audience_id)
            if audience.status == "FAILED":
                audience.status, audience.failed_type = "IN_PROGRESS", None
        now = self.now().timestamp()
        job = Job(
            number=next(self._job_numbers),
            audience=audience,
            name=upload.file_name,
            action=upload.action,
            processed=upload.file.row_count,
            born_at=now,
            identifiers=upload.file.identifiers,
            seconds=self.settings.job_seconds,
            lost=upload.lost,
        )
        if upload.fault is not None:
            job.spoil(upload.fault)
        self._jobs.append(job)
        if upload.audience_id is None and upload.lost:
            audience.born_with = job
        if upload.slot is not None:
            upload.slot.job = job
        return audience.state(), job.state(now)

    def rename(self, ad_account_id: str, audience_id: str, *, name: str) -> AudienceState:
        """Give an audience another name."""
        self._settle()
        audience = self._find(ad_account_id, audience_id)
        audience.name = name
        return audience.state()

    def delete(self, ad_account_id: str, audience_ids: Iterable[str]) -> None:
        """Delete audiences with their jobs; none of them if one does not exist."""
        for audience in [self._find(ad_account_id, audience_id) for audience_id in audience_ids]:
            self.remove(audience.id)

    def add(  # noqa: PLR0913  # an audience has this many fields
        self,
        ad_account_id: str,
        *,
        name: str,
        function_type: str,
        status: AudienceStatus,
        failed_type: str | None,
        members: Iterable[str],
        created: datetime | None,
        job_file_names: Iterable[str],
    ) -> str:
        """Add an audience that exists already, with one finished job for each file name; returns its id."""
        audience = self._create(ad_account_id, name=name, function_type=function_type)
        audience.status, audience.failed_type = status, failed_type
        audience.members = frozenset(members)
        if created is not None:
            audience.created = created.astimezone(UTC)
        self._jobs += (
            Job(
                number=next(self._job_numbers),
                audience=audience,
                name=file_name,
                action="ADD" if position else "REPLACE",
                processed=len(audience.members),
                born_at=audience.created.timestamp(),
                outcome="FINISHED",
            )
            for position, file_name in enumerate(job_file_names)
        )
        return audience.id

    def remove(self, audience_id: str) -> None:
        """Delete one audience with its jobs, whatever its ad account.

        Raises:
            KeyError: There is no such audience.
        """
        del self._audiences[audience_id]
        for job in self._jobs_of(audience_id):
            # So that a REPLACE gives its slot back.
            job.outcome = job.outcome or "FAILED"
        self._jobs = [job for job in self._jobs if job.audience.id != audience_id]

    def set_status(self, audience_id: str, status: AudienceStatus, *, failed_type: str | None) -> None:
        """Change an audience's status.

        Raises:
            KeyError: There is no such audience.
        """
        self._settle()
        audience = self._audiences[audience_id]
        audience.status, audience.failed_type = status, failed_type

    def _settle(self) -> float:
        now = self.now().timestamp()
        due = [job for job in self._jobs if job.outcome is None and job.due_at <= now]
        for job in sorted(due, key=lambda job: (job.due_at, job.number)):
            job.finish()
        return now

    def _jobs_of(self, audience_id: str | None) -> Iterator[Job]:
        return (job for job in self._jobs if audience_id in {None, job.audience.id})

    def _find(self, ad_account_id: str, audience_id: str) -> Audience:
        audience = self._audiences.get(audience_id)
        now = self.now().timestamp()
        if audience is None or audience.ad_account_id != ad_account_id or not audience.visible(now):
            raise Refusal(
                404,
                "AUDIENCE_GROUP_NOT_FOUND",
                rule="unknown_audience",
                detail=f"ad account {ad_account_id} has no audience {audience_id}",
            )
        return audience

    def _create(self, ad_account_id: str, *, name: str, function_type: str) -> Audience:
        audience = Audience(
            id=str(next(self._audience_ids)),
            ad_account_id=ad_account_id,
            name=name,
            function_type=function_type,
            created=self.now(),
        )
        self._audiences[audience.id] = audience
        return audience
