"""Which error an answer of the LINE Ads API that is not a success stands for."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from line_ads_pipeline.line_ads.errors import (
    AdAccountNotFound,
    AudienceNotFound,
    AudienceTypeMismatch,
    AuthenticationFailed,
    ClockSkew,
    LineAdsError,
    PermissionDenied,
    RateLimited,
    RejectedFile,
    RejectedRequest,
    ServerError,
    UnexpectedResponse,
)
from line_ads_pipeline.line_ads.models import IdType, UploadAction

_CLOCK_TOLERANCE = timedelta(minutes=15)
_AUDIENCE_GONE = {"AUDIENCE_GROUP_NOT_FOUND", "REMOVED_ENTITY"}
_ACCOUNT_UNKNOWN = {"INVALID_ACCOUNT_ID"}
_NOT_PERMITTED = {"PARTNER_PERMISSION_DENIED", "ACCOUNT_NOT_ALLOWED"}
_BAD_FILE = {
    "EMPTY_FILE",
    "FILE_SIZE_LIMIT_EXCEEDED",
    "INVALID_FILE_CONTENT",
    "DECODING_FAILED",
    "UPLOAD_AUDIENCE_GROUP_INVALID_AUDIENCE_ID_FORMAT",
    "UPLOAD_AUDIENCE_GROUP_TOO_MANY_AUDIENCE_IDS",
}
_BAD_VALUE = {"INVALID_ENUM", "INVALID_VALUE"}

# An answer may echo a line of the uploaded file: only what has the form of LINE's names is repeated.
_REASON = re.compile(r"[A-Z]+(_[A-Z0-9]+)*")
_PROPERTY = re.compile(r"[A-Za-z_]+([.\[][A-Za-z0-9_]+\]?)*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=-]{1,128}")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a request was about, for the words of an error.

    Attributes:
        ad_account_id: The ad account.
        audience_id: The audience that the request names; of several, `one or another`.
        action: Of an upload.
        id_type: Of an upload.
    """

    ad_account_id: str
    audience_id: str | None = None
    action: UploadAction | None = None
    id_type: IdType | None = None

    def __str__(self) -> str:
        audience = f"audience {self.audience_id} of " if self.audience_id else ""
        return f"{audience}ad account {self.ad_account_id}"


def refusal(response: httpx.Response, subject: Subject, *, now: datetime) -> LineAdsError:
    """The error that an answer without a success status stands for, to be raised by the caller.

    Args:
        response: Read to its end.
        subject: What the request was about.
        now: The time on this machine, to compare with LINE's.
    """
    complaints = _complaints(response)
    error_class, problem = _classify(response, complaints, subject, now)
    remedy = None
    if error_class is RateLimited and subject.action == "REPLACE":
        remedy = RateLimited.replace_remedy
    elif error_class is RejectedRequest:
        remedies = RejectedRequest.remedies_by_reason
        remedy = next((remedies[reason] for reason, _ in complaints if reason in remedies), None)
    return error_class(
        problem,
        status_code=response.status_code,
        reasons=tuple(f"{reason} ({place})" if place else reason for reason, place in complaints),
        request_id=request_id(response),
        retry_after=_retry_after(response, now),
        may_have_taken_effect=error_class is ServerError,
        remedy=remedy,
    )


def request_id(response: httpx.Response) -> str | None:
    """LINE's name for the request, if the answer carries one."""
    for header in ("x-request-id", "x-line-request-id"):
        value: str = response.headers.get(header, "")
        if _REQUEST_ID.fullmatch(value):
            return value
    return None


def _classify(
    response: httpx.Response, complaints: list[tuple[str, str]], subject: Subject, now: datetime
) -> tuple[type[LineAdsError], str]:
    status = response.status_code
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        limit = "rate limit or REPLACE concurrency limit" if subject.action == "REPLACE" else "rate limit"
        return RateLimited, f"the {limit} of LINE was reached at {subject}"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServerError, f"LINE failed to process a request for {subject}"
    if status < HTTPStatus.BAD_REQUEST:
        return UnexpectedResponse, f"the answer to a request for {subject} is a redirect or not final"
    if status == HTTPStatus.UNAUTHORIZED or any(reason == "AUTHORIZATION_FAILED" for reason, _ in complaints):
        if skew := _clock_skew(response, now):
            return ClockSkew, f"authentication failed: {skew}"
        return AuthenticationFailed, "authentication failed: LINE refused the access key or the signature"
    return _classify_rejection(status, complaints, subject)


def _classify_rejection(  # noqa: PLR0911 - the first of a list that applies
    status: int, complaints: list[tuple[str, str]], subject: Subject
) -> tuple[type[LineAdsError], str]:
    ad_account, audience = subject.ad_account_id, subject.audience_id
    reasons = {reason for reason, _ in complaints}
    places = {place for _, place in complaints}
    audience_not_found = AudienceNotFound, f"audience {audience} not found in ad account {ad_account}"
    if audience and reasons & _AUDIENCE_GONE:
        return audience_not_found
    if reasons & _ACCOUNT_UNKNOWN:
        return AdAccountNotFound, f"ad account {ad_account} not found"
    if status == HTTPStatus.FORBIDDEN or reasons & _NOT_PERMITTED:
        return PermissionDenied, f"ad account {ad_account} not found among those this access key may use"
    if audience and any(reason in _BAD_VALUE and place == "idType" for reason, place in complaints):
        return AudienceTypeMismatch, f"identifier type {subject.id_type} does not fit {subject}"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or reasons & _BAD_FILE or "file" in places:
        return RejectedFile, f"LINE rejected the file for {subject}"
    if status == HTTPStatus.NOT_FOUND and audience:
        return audience_not_found
    if status == HTTPStatus.NOT_FOUND:
        return AdAccountNotFound, f"ad account {ad_account} not found"
    return RejectedRequest, f"LINE refused a request for {subject}"


def _complaints(response: httpx.Response) -> list[tuple[str, str]]:
    """Pairs of a reason and the property it is about (else empty), of either documented form of body."""
    try:
        body: object = response.json()
    except ValueError:
        return []
    entries = body.get("errors") if isinstance(body, dict) else body
    complaints = []
    for entry in entries if isinstance(entries, list) else []:
        reason = str(entry.get("reason") or "") if isinstance(entry, dict) else ""
        place = str(entry.get("property") or "") if isinstance(entry, dict) else ""
        if _REASON.fullmatch(reason):
            complaints.append((reason, place if _PROPERTY.fullmatch(place) else ""))
    return complaints


def _clock_skew(response: httpx.Response, now: datetime) -> str | None:
    line_time = _http_date(response.headers.get("Date", ""))
    if line_time is None or abs(now - line_time) <= _CLOCK_TOLERANCE:
        return None
    minutes = abs(now - line_time).total_seconds() / 60
    direction = "ahead of" if now > line_time else "behind"
    return f"the clock of this machine is {minutes:,.0f} minutes {direction} LINE's"


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    value: str = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    moment = _http_date(value)
    if moment is None:
        return None
    answered = _http_date(response.headers.get("Date", "")) or now
    return max(0.0, (moment - answered).total_seconds())


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
