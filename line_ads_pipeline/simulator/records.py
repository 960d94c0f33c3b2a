"""What a simulator remembers of its clients: each request, and each rule that one broke."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

Rule = Literal[
    "signature",
    "ad_account",
    "rate_limit",
    "replace_limit",
    "parallel_upload",
    "unknown_audience",
    "identifier_type",
    "invalid_file",
    "invalid_request",
    "unknown_endpoint",
]
"""The rules of the API that a client can break."""

KEPT_RECORDS = 100_000


class Refusal(Exception):
    """A request that the API refuses, and the rule that it broke.

    Args:
        status: The HTTP status code of the answer.
        reason: The `reason` of the answer's body; None for an empty body.
        rule: The rule that was broken.
        detail: What was wrong, for the person who reads the index page. Never an identifier.
        field: The `property` of the answer's body.
    """

    def __init__(
        self, status: int, reason: str | None = None, *, rule: Rule, detail: str, field: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.rule = rule
        self.detail = detail
        self.field = field


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One request to the API, as it arrived and as it was answered.

    `status` is None while it is not answered yet, and for ever when the connection was dropped.
    `job_id` is the job that the request created, so it tells whether an upload took effect.
    `counted_at` is when the rate limit counted it, or refused it; None when it was not rightly signed.
    """

    number: int
    time: datetime
    method: str
    path: str
    query: str
    call: str
    ad_account_id: str | None
    audience_id: str | None
    action: str | None = None
    id_type: str | None = None
    counted_at: datetime | None = None
    file_name: str | None = None
    row_count: int | None = None
    job_id: str | None = None
    fault: str | None = None
    status: int | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class BrokenRule:
    """One breach of one rule, by the request of that number."""

    rule: Rule
    detail: str
    time: datetime
    request_number: int


class RequestLog:
    """The newest requests and broken rules, oldest first."""

    def __init__(self) -> None:
        self._records: dict[int, RequestRecord] = {}
        self._broken: list[BrokenRule] = []
        self._total = 0

    @property
    def records(self) -> tuple[RequestRecord, ...]:
        """The requests in the order of their arrival."""
        return tuple(self._records.values())

    @property
    def broken(self) -> tuple[BrokenRule, ...]:
        """The breaches in the order of their discovery."""
        return tuple(self._broken)

    def busiest_second(self) -> int:
        """How many requests any one second had at most, with those that the rate limit refused."""
        moments = sorted(record.counted_at for record in self._records.values() if record.counted_at)
        first = most = 0
        for last, moment in enumerate(moments):
            while moment - moments[first] >= timedelta(seconds=1):
                first += 1
            most = max(most, last - first + 1)
        return most

    def begin(self, **arrival: Any) -> int:  # noqa: ANN401  # the fields of RequestRecord
        """Note the arrival of a request and return its number, counted from 1."""
        self._total += 1
        self._records[self._total] = RequestRecord(number=self._total, **arrival)
        if len(self._records) > KEPT_RECORDS:
            del self._records[next(iter(self._records))]
        return self._total

    def update(self, number: int, **known: Any) -> None:  # noqa: ANN401  # the fields of RequestRecord
        """Add to a request what became known of it; a request of before the last `clear` is left out."""
        if number in self._records:
            self._records[number] = dataclasses.replace(self._records[number], **known)

    def breach(self, number: int, *, rule: Rule, detail: str, time: datetime) -> None:
        """Note that a request broke a rule."""
        self._broken.append(BrokenRule(rule=rule, detail=detail, time=time, request_number=number))
        del self._broken[:-KEPT_RECORDS]

    def clear(self) -> None:
        """Forget everything; numbers go on, so that a request under way is not taken for a later one."""
        self._records.clear()
        self._broken.clear()
