"""Faults on request: what shall go wrong, with which requests, and how often."""

import dataclasses
import random
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

Call = Literal["list", "upload", "upload-job", "rename", "delete", "overlap", "unknown"]
"""The calls of the API; "unknown" is any other path."""

Aspect = Literal["answer", "job", "job list"]
"""What a fault changes. One request meets at most one fault for each."""

_Seconds = Annotated[float, Field(ge=0)]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Fault:
    """Something that goes wrong with the requests it matches.

    It meets only requests that passed the signature check and the rate limit, and is no broken rule.

    Attributes:
        call: The call it matches.
        action: Of uploads, only those with this action.
        skip: How many matching requests pass unharmed first.
        times: How many requests it harms then; None for all.
        share: Which share of the matching requests after `skip` it harms, drawn at random; the others pass.
        status: Answer with this status code.
        reasons: The reasons of the answer's body; without any, and without `body`, the body is empty.
        body: Answer with this text, garbage or not. Without `status` the request is handled, and the status
            is its own.
        retry_after: The answer's `Retry-After` header, as it is.
        takes_effect: With `status`, whether the request is handled before that answer.
        drop: Close the connection without an answer, "before" or "after" the request took effect.
        delay_seconds: Wait before the request takes effect.
        answer_delay_seconds: Wait between the effect and the answer.
        job_seconds: How long the upload's job takes, instead of the simulator's own `job_seconds`.
        job_polls: How many answers of the job list show the job unfinished, whatever the time.
        job_status: What the job list says of the job instead of `QUEUED` and `WORKING`.
        job_failed_type: The job ends as `FAILED` with this failedType, and changes no member.
        job_processed: The job's `audienceCount` when it is finished, whatever was in the file; the members
            are those of the file.
        appears_after_seconds: How late the job is born and starts. An audience it creates appears with it
            when the answer is lost or replaced, else at once.
        appears_after_polls: As `appears_after_seconds`, counted in answers that do not show it: of the job
            list, or of the audience list when the audience itself has not appeared.
        hide_file_names: The job list has no names.
        job_list_limit: The job list has only this many jobs, the newest.
    """

    call: Call | Literal["any"] = "any"
    action: Literal["ADD", "REPLACE"] | None = None
    skip: _Count = 0
    times: Annotated[int, Field(ge=1)] | None = 1
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    reasons: tuple[str, ...] = ()
    body: str | None = None
    retry_after: str | None = None
    takes_effect: bool = False
    drop: Literal["before", "after"] | None = None
    delay_seconds: _Seconds = 0.0
    answer_delay_seconds: _Seconds = 0.0

    job_seconds: _Seconds | None = None
    job_polls: _Count = 0
    job_status: str | None = None
    job_failed_type: str | None = None
    job_processed: _Count | None = None
    appears_after_seconds: _Seconds = 0.0
    appears_after_polls: _Count = 0

    hide_file_names: bool = False
    job_list_limit: _Count | None = None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not self.aspects:
            raise ValueError(
                "this fault has no effect: give it a status, a body, drop, a delay or a job_… field"
            )
        if self.drop and (self.status is not None or self.body is not None):
            raise ValueError("a dropped connection has no status and no body")
        if self.status is None and (self.reasons or self.takes_effect or self.retry_after is not None):
            raise ValueError("reasons, retry_after and takes_effect need a status")
        if self.reasons and self.body is not None:
            raise ValueError("give either reasons or a body")
        if self.job_failed_type is not None and self.job_processed is not None:
            raise ValueError("a job that failed has no audienceCount")
        if "job" in self.aspects and self.call != "upload":
            raise ValueError('a fault of the job needs call "upload"')
        if "job list" in self.aspects and self.call != "upload-job":
            raise ValueError('a fault of the job list needs call "upload-job"')
        if self.action and self.call not in {"upload", "any"}:
            raise ValueError('only the call "upload" has an action')
        return self

    @property
    def loses_answer(self) -> bool:
        """Whether the client learns nothing of what the request brought about."""
        return self.drop is not None or self.status is not None or self.body is not None

    @property
    def aspects(self) -> frozenset[Aspect]:
        """What this fault changes."""
        fields: dict[Aspect, tuple[object, ...]] = {
            "answer": (
                self.status is not None,
                self.body is not None,
                self.drop,
                self.delay_seconds,
                self.answer_delay_seconds,
            ),
            "job": (
                self.job_seconds is not None,
                self.job_polls,
                self.job_status,
                self.job_failed_type,
                self.job_processed is not None,
                self.appears_after_seconds,
                self.appears_after_polls,
            ),
            "job list": (self.hide_file_names, self.job_list_limit is not None),
        }
        return frozenset(aspect for aspect, values in fields.items() if any(values))

    def __str__(self) -> str:
        changed = (
            f"{field.name}={getattr(self, field.name)}"
            for field in dataclasses.fields(self)
            if field.name not in {"call", "action", "skip", "times", "share"}
            and getattr(self, field.name) != field.default
        )
        return ", ".join(changed)


class FaultPlan:
    """The injected faults, in the order of injection, and how much of each is left.

    Args:
        seed: Which requests the faults with a `share` harm. The same faults, injected in the same order, harm the
            same of the requests that each of them matches, from the start and after each `clear`.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        self._injected = 0
        self._waiting: list[_Injected] = []

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """The faults that have not run out, with what is left of `skip` and `times`."""
        return tuple(
            dataclasses.replace(entry.fault, skip=entry.skip, times=entry.times) for entry in self._waiting
        )

    def inject(self, fault: Fault) -> None:
        """Add a fault behind those already waiting."""
        draws = random.Random(f"{self._seed}/{self._injected}")  # noqa: S311 - to be repeatable is the point
        self._injected += 1
        self._waiting.append(_Injected(fault, fault.skip, fault.times, draws))

    def clear(self) -> None:
        """Remove all faults."""
        self._injected = 0
        self._waiting.clear()

    def take(self, call: Call, *, action: str | None) -> Mapping[Aspect, Fault]:
        """Use up what meets this request: for each aspect the fault that waited longest."""
        effective: dict[Aspect, Fault] = {}
        for entry in self._waiting:
            fault = entry.fault
            if fault.call not in {"any", call} or (fault.action and fault.action != action):
                continue
            if entry.skip:
                entry.skip -= 1
            elif not effective.keys() & fault.aspects and entry.draws.random() < fault.share:
                effective |= dict.fromkeys(fault.aspects, fault)
                entry.times = None if entry.times is None else entry.times - 1
        self._waiting = [entry for entry in self._waiting if entry.times != 0]
        return effective


@dataclasses.dataclass
class _Injected:
    fault: Fault
    skip: int
    times: int | None
    draws: random.Random
