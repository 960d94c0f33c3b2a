"""What the LINE Ads API answers, as immutable values.

A value that LINE adds to an enumeration later is kept as the text it came as; it is never an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, Self

UploadAction = Literal["ADD", "REPLACE"]
IdType = Literal["IFA", "HASHED_EMAIL", "HASHED_PHONE_NUMBER"]

FUNCTION_TYPES: Mapping[IdType, str] = MappingProxyType(
    {
        "IFA": "UPLOAD",
        "HASHED_EMAIL": "HASHED_EMAIL_UPLOAD",
        "HASHED_PHONE_NUMBER": "HASHED_PHONE_NUMBER_UPLOAD",
    }
)
"""The `function_type` of the audiences that hold identifiers of a type; one audience holds one type."""


UNREADABLE = "UNREADABLE"
"""Stands for a text that has not the form of what LINE writes in its place: it may echo an uploaded line."""

_NAME = re.compile(r"[A-Z]+(_[A-Z0-9]+)*")
_SIZE = re.compile(r"[A-Za-z0-9 ,.<>~+-]{1,30}")


class FieldError(ValueError):
    """An answer lacks a field or holds something else in it; the text says which, never its value."""


@dataclass(frozen=True, kw_only=True)
class CustomAudience:
    """An audience in an ad account.

    Attributes:
        id: Opaque text.
        name: At most 120 characters; several audiences may share one.
        function_type: What the audience was made from; those of uploads are in `FUNCTION_TYPES`.
        status: `IN_PROGRESS`, `READY`, `FAILED`, `EXPIRED`, or one that is new. It stays `READY` while
            later uploads are processed: look at the upload jobs.
        failed_type: Why it failed, as LINE calls it.
        estimated_size: People; `None` where LINE gives no exact number (`-`, `100 or fewer`).
        estimated_size_text: The same as LINE writes it.
        created: With a time zone; UTC is assumed where LINE gives none.
    """

    id: str
    name: str
    function_type: str
    status: str
    failed_type: str | None = None
    estimated_size: int | None = None
    estimated_size_text: str | None = None
    created: datetime | None = None

    @classmethod
    def from_json(cls, answer: object) -> Self:
        """Read the API's `CustomAudience`.

        Raises:
            FieldError: It lacks an id, a name, a function type or a status.
        """
        fields = _fields(answer)
        size = _optional_text(fields, "estimatedAudienceSize")
        if size is not None and not _SIZE.fullmatch(size):
            size = UNREADABLE
        digits = "" if size is None else size.strip().replace(",", "")
        return cls(
            id=_text(fields, "id"),
            name=_text(fields, "name"),
            function_type=_name(fields, "functionType"),
            status=_name(fields, "status"),
            failed_type=_optional_name(fields, "failedType"),
            estimated_size=int(digits) if digits.isdecimal() else None,
            estimated_size_text=size,
            created=_optional_time(fields, "created"),
        )


@dataclass(frozen=True, kw_only=True)
class AudiencePage:
    """One page of an ad account's audiences."""

    audiences: tuple[CustomAudience, ...]
    has_next: bool

    @classmethod
    def from_json(cls, answer: object) -> Self:
        """Read the answer of the list call.

        Raises:
            FieldError: It is not a list of audiences with the flag `hasNextPage`.
        """
        fields = _fields(answer)
        has_next = fields.get("hasNextPage")
        if not isinstance(has_next, bool):
            raise FieldError("the field hasNextPage is missing or not a boolean")
        audiences = tuple(CustomAudience.from_json(item) for item in _list(fields, "audienceGroups"))
        if has_next and not audiences:
            raise FieldError("the page is empty, and yet another is said to follow")
        return cls(audiences=audiences, has_next=has_next)


@dataclass(frozen=True, kw_only=True)
class UploadJob:
    """LINE's asynchronous processing of one uploaded file.

    Attributes:
        id: Opaque text.
        audience_id: The audience it changes.
        name: The name of the uploaded file.
        type: `DIFF_ADD`, `DIFF_REPLACE`, `DIFF_AUTO_ADD`, `DIFF_REMOVE`, or one that is new.
        status: `QUEUED`, `WORKING`, `FINISHED`, `FAILED`, or one that is new.
        failed_type: Why it failed, as LINE calls it.
        audience_count: How many identifiers were processed.
        created: With a time zone; UTC is assumed where LINE gives none.
    """

    id: str
    audience_id: str
    name: str | None = None
    type: str | None = None
    status: str
    failed_type: str | None = None
    audience_count: int | None = None
    created: datetime | None = None

    @property
    def is_finished(self) -> bool:
        """LINE has processed the whole file."""
        return self.status == "FINISHED"

    @property
    def is_failed(self) -> bool:
        """LINE has given up on the file; `failed_type` says why."""
        return self.status == "FAILED"

    @property
    def is_running(self) -> bool:
        """Neither finished nor failed; so is a job in a status that nobody has listed."""
        return not (self.is_finished or self.is_failed)

    @classmethod
    def from_json(cls, answer: object) -> Self:
        """Read one of the API's upload jobs.

        Raises:
            FieldError: It lacks its id, the audience's id or the status.
        """
        fields = _fields(answer)
        count = _optional_text(fields, "audienceCount")
        if count is not None and not count.isdecimal():
            raise FieldError("the field audienceCount is not a number")
        return cls(
            id=_text(fields, "audienceGroupJobId"),
            audience_id=_text(fields, "audienceGroupId"),
            name=_optional_text(fields, "name"),
            type=_optional_name(fields, "type"),
            status=_name(fields, "jobStatus"),
            failed_type=_optional_name(fields, "failedType"),
            audience_count=None if count is None else int(count),
            created=_optional_time(fields, "created"),
        )


def upload_jobs_from_json(answer: object) -> tuple[UploadJob, ...]:
    """Read the answer of the upload-job call, in LINE's order.

    Raises:
        FieldError: It is not a list of jobs.
    """
    return tuple(UploadJob.from_json(item) for item in _list(_fields(answer), "jobs"))


def overlap_from_json(answer: object) -> dict[str, float]:
    """Read the answer of the overlap call: the rate of each compared audience, by its id.

    Raises:
        FieldError: A rate is missing or not a number.
    """
    rates: dict[str, float] = {}
    for audience_id, estimation in _fields(_fields(answer).get("estimations")).items():
        rate = _fields(estimation).get("rate")
        if isinstance(rate, bool) or not isinstance(rate, int | float):
            raise FieldError("the field rate is missing or not a number")
        rates[audience_id] = float(rate)
    return rates


def _fields(answer: object) -> dict[str, object]:
    if not isinstance(answer, dict):
        raise FieldError("a JSON object is missing")
    return answer


def _list(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    if not isinstance(value, list):
        raise FieldError(f"the field {name} is missing or not a list")
    return value


def _optional_text(fields: Mapping[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise FieldError(f"the field {name} is neither text nor a number")
    return str(value)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = _optional_text(fields, name)
    if not value:
        raise FieldError(f"the field {name} is missing")
    return value


def _optional_name(fields: Mapping[str, object], name: str) -> str | None:
    value = _optional_text(fields, name)
    return value if value is None or _NAME.fullmatch(value) else UNREADABLE


def _name(fields: Mapping[str, object], name: str) -> str:
    return value if _NAME.fullmatch(value := _text(fields, name)) else UNREADABLE


def _optional_time(fields: Mapping[str, object], name: str) -> datetime | None:
    value = _optional_text(fields, name)
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise FieldError(f"the field {name} is not a time in ISO 8601") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
