"""What each call of the API does, once its request is known to be signed and within the limits."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from line_ads_pipeline.simulator.audiences import Action, AudienceState, JobState, check_name
from line_ads_pipeline.simulator.faults import Aspect, Call, Fault
from line_ads_pipeline.simulator.identifier_file import IdType, read_identifiers
from line_ads_pipeline.simulator.limits import ReplaceSlot
from line_ads_pipeline.simulator.multipart import Part
from line_ads_pipeline.simulator.records import Refusal, Rule
from line_ads_pipeline.simulator.signature import MULTIPART, media_type
from line_ads_pipeline.simulator.state import LineState, Upload

MAX_PAGE_SIZE = 100
MAX_COMPARED = 4

_Choice = TypeVar("_Choice", bound=str)


@dataclass(kw_only=True)
class Exchange:
    """One request under way: what arrived, and what was learnt of it so far.

    `body` is that of a JSON request, `parts` that of an upload.
    """

    state: LineState
    number: int
    request: Request
    path: str
    ad_account_id: str
    audience_id: str
    body: bytes = b""
    parts: dict[str, Part] = field(default_factory=dict)
    action: str | None = None
    slot: ReplaceSlot | None = None
    faults: dict[Aspect, Fault] = field(default_factory=dict)

    def note(self, **known: Any) -> None:  # noqa: ANN401  # the fields of RequestRecord
        """Add to the record of this request."""
        with self.state.lock:
            self.state.log.update(self.number, **known)

    def breach(self, rule: Rule, detail: str) -> None:
        """Note that this request broke a rule."""
        with self.state.lock:
            self.state.log.breach(self.number, rule=rule, detail=detail, time=self.state.now())


Perform = Callable[[Exchange], Awaitable[Response]]
"""Answers a request, or raises a `Refusal`."""


async def list_audiences(exchange: Exchange) -> Response:
    """List: `name` is a search for a part of it, whatever the case."""
    query = exchange.request.query_params
    page = _whole_number(query.get("page", "1"), name="page", least=1)
    size = _whole_number(query.get("size", str(MAX_PAGE_SIZE)), name="size", least=1, most=MAX_PAGE_SIZE)
    _choice(query.get("sortKey", "created"), name="sortKey", choices=("created",))
    order = _choice(query.get("sortOrder", "desc"), name="sortOrder", choices=("asc", "desc"))
    searched = query.get("name", "").casefold()
    with exchange.state.lock:
        audiences = exchange.state.poll_audiences(exchange.ad_account_id)
    found = [audience for audience in audiences if searched in audience.name.casefold()]
    found.sort(key=lambda audience: (audience.created, audience.id), reverse=order == "desc")
    return JSONResponse(
        {
            "page": page,
            "size": size,
            "totalElements": len(found),
            "hasNextPage": page * size < len(found),
            "audienceGroups": [
                _audience_json(exchange, audience) for audience in found[(page - 1) * size : page * size]
            ],
        }
    )


async def upload(exchange: Exchange) -> Response:
    """Upload: refused as a whole, or accepted and done by a job."""
    state, parts = exchange.state, exchange.parts
    if media_type(exchange.request.headers) != MULTIPART:
        raise _wrong_content_type(MULTIPART)
    action: Action = _choice(_text_field(parts, "action"), name="action", choices=get_args(Action))
    id_type: IdType = _choice(_text_field(parts, "idType"), name="idType", choices=get_args(IdType))
    audience_id = _text_field(parts, "id") if "id" in parts else None
    name = ""
    if audience_id is None:
        name = _text_field(parts, "name")
        check_name(name)
    elif "name" in parts:
        raise _invalid("INVALID_VALUE", "an upload has either an id or a name", field="name")
    file = parts.get("file")
    if file is None or not file.file_name:
        raise _invalid("REQUIRED", "there is no file, or it has no file name", field="file")
    if audience_id is not None:
        with state.lock:
            state.check_upload(exchange.ad_account_id, audience_id, id_type)
    checked = await asyncio.to_thread(
        read_identifiers, file.content, id_type=id_type, accept_hashed_ifa=state.settings.accept_hashed_ifa
    )
    answer_fault = exchange.faults.get("answer")
    with state.lock:
        if audience_id is not None and state.has_known_unfinished_job(audience_id):
            exchange.breach("parallel_upload", f"audience {audience_id} has an unfinished job already")
        audience, job = state.accept_upload(
            exchange.ad_account_id,
            Upload(
                action=action,
                id_type=id_type,
                audience_id=audience_id,
                name=name,
                file_name=file.file_name,
                file=checked,
                slot=exchange.slot,
                fault=exchange.faults.get("job"),
                lost=answer_fault is not None and answer_fault.loses_answer,
            ),
        )
    exchange.note(audience_id=audience.id, row_count=checked.row_count, job_id=job.id)
    return JSONResponse(_audience_json(exchange, audience), 202)


async def list_jobs(exchange: Exchange) -> Response:
    """Upload jobs: newest first, an order that LINE does not promise."""
    with exchange.state.lock:
        jobs = exchange.state.poll_jobs(exchange.ad_account_id, exchange.audience_id)
    newest_first = [_job_json(exchange, job) for job in reversed(jobs)]
    fault = exchange.faults.get("job list")
    if fault is not None:
        newest_first = newest_first[: fault.job_list_limit]
        if fault.hide_file_names:
            newest_first = [job | {"name": None} for job in newest_first]
    return JSONResponse({"jobs": newest_first})


async def rename(exchange: Exchange) -> Response:
    """Rename: another audience may have that name already."""
    name = _json_object(exchange).get("name")
    if not isinstance(name, str):
        raise _invalid("REQUIRED", "the body has no name", field="name")
    check_name(name)
    with exchange.state.lock:
        audience = exchange.state.rename(exchange.ad_account_id, exchange.audience_id, name=name)
    return JSONResponse(_audience_json(exchange, audience))


async def delete(exchange: Exchange) -> Response:
    """Delete: several ids are separated by commas; all are deleted, or none."""
    with exchange.state.lock:
        exchange.state.delete(exchange.ad_account_id, dict.fromkeys(exchange.audience_id.split(",")))
    return Response(status_code=202)


async def overlap(exchange: Exchange) -> Response:
    """Overlap: which share of the base, 0 to 1, is in each of the compared audiences."""
    body = _json_object(exchange)
    base_id, compared_ids = body.get("baseId"), body.get("comparedIds")
    if not isinstance(base_id, str):
        raise _invalid("REQUIRED", "baseId is not a string", field="baseId")
    if not isinstance(compared_ids, list) or not all(isinstance(compared, str) for compared in compared_ids):
        raise _invalid("REQUIRED", "comparedIds is not a list of strings", field="comparedIds")
    if not 1 <= len(compared_ids) <= MAX_COMPARED:
        raise _invalid("INVALID_VALUE", f"comparedIds has not 1 to {MAX_COMPARED} ids", field="comparedIds")
    state = exchange.state
    with state.lock:
        for audience_id in (base_id, *compared_ids):
            state.audience(exchange.ad_account_id, audience_id)
        base = state.members(base_id)
        shared = {compared: len(base & state.members(compared)) for compared in compared_ids}
    rates = {compared: round(count / len(base), 4) if base else 0.0 for compared, count in shared.items()}
    return JSONResponse({"estimations": {compared: {"rate": rate} for compared, rate in rates.items()}})


async def unknown(exchange: Exchange) -> Response:
    """Any path or method that LINE does not list."""
    detail = f"there is no {exchange.request.method} {exchange.path}"
    raise Refusal(404, "UNKNOWN", rule="unknown_endpoint", detail=detail)


CALLS: tuple[tuple[str, str, Call, Perform], ...] = (
    ("GET", "", "list", list_audiences),
    ("POST", "/upload", "upload", upload),
    ("POST", "/overlapping-audiences", "overlap", overlap),
    ("GET", "/{audience_id}/upload-job", "upload-job", list_jobs),
    ("POST", "/{audience_id}", "rename", rename),
    ("DELETE", "/{audience_id}", "delete", delete),
)
"""Method, path below `…/custom-audiences`, and what answers; fixed paths stand before those with an id."""


def _audience_json(exchange: Exchange, audience: AudienceState) -> dict[str, object]:
    return {
        "id": audience.id,
        "name": audience.name,
        "functionType": audience.function_type,
        "status": audience.status,
        "failedType": audience.failed_type,
        "estimatedAudienceSize": audience.estimated_size,
        "created": _iso_8601(exchange.state.told(audience.created)),
    }


def _job_json(exchange: Exchange, job: JobState) -> dict[str, object]:
    return {
        "audienceGroupId": job.audience_id,
        "audienceGroupJobId": job.id,
        "name": job.name,
        "type": job.type,
        "jobStatus": job.status,
        "failedType": job.failed_type,
        "audienceCount": job.audience_count,
        "created": _iso_8601(exchange.state.told(job.created)),
    }


def _iso_8601(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json_object(exchange: Exchange) -> dict[str, Any]:
    if media_type(exchange.request.headers) != "application/json":
        raise _wrong_content_type("application/json")
    try:
        body = json.loads(exchange.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _invalid("DECODING_FAILED", "the body is not a JSON object")
    return body


def _text_field(parts: dict[str, Part], name: str) -> str:
    part = parts.get(name)
    if part is None or part.file_name is not None:
        raise _invalid("REQUIRED", f"the field {name} is missing", field=name)
    return part.text


def _choice(value: str, *, name: str, choices: tuple[_Choice, ...]) -> _Choice:
    for choice in choices:
        if value == choice:
            return choice
    raise _invalid("INVALID_ENUM", f"{name} is none of {', '.join(choices)}", field=name)


def _whole_number(text: str, *, name: str, least: int, most: int | None = None) -> int:
    number = int(text) if text.isascii() and text.isdigit() else None
    if number is None or number < least or (most is not None and number > most):
        limits = f"at least {least}" if most is None else f"{least} to {most}"
        raise _invalid("INVALID_VALUE", f"{name} is not a whole number, {limits}", field=name)
    return number


def _invalid(reason: str, detail: str, *, field: str | None = None) -> Refusal:
    return Refusal(400, reason, rule="invalid_request", detail=detail, field=field)


def _wrong_content_type(wanted: str) -> Refusal:
    return _invalid("INVALID_CONTENT_TYPE_HEADER", f"the Content-Type is not {wanted}")
