"""For people and tests, not part of LINE's API: the index page, the state as JSON, faults and seeding."""

import dataclasses
import json
from collections import Counter
from datetime import datetime
from typing import Any

import jinja2
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from line_ads_pipeline.simulator.audiences import AudienceStatus
from line_ads_pipeline.simulator.faults import Fault
from line_ads_pipeline.simulator.state import LineState

SHOWN_ROWS = 50


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Seed:
    """The body of `POST /control/audiences`; the fields of `Simulator.add_audience`."""

    ad_account_id: str
    name: str
    function_type: str = "HASHED_EMAIL_UPLOAD"
    status: AudienceStatus = "READY"
    failed_type: str | None = None
    members: tuple[str, ...] = ()
    created: datetime | None = None
    job_file_names: tuple[str, ...] = ()


_SEED = TypeAdapter(Seed)
_FAULTS = TypeAdapter(Fault | list[Fault])


def control_routes(state: LineState) -> list[BaseRoute]:
    """The index page and everything below `/control`."""
    control = _Control(state)
    return [
        Route("/", control.index, name="index"),
        Route("/control/state", control.read_state),
        Route("/control/faults", control.inject, methods=["POST"]),
        Route("/control/faults", control.clear_faults, methods=["DELETE"]),
        Route("/control/reset", control.reset, methods=["POST"]),
        Route("/control/audiences", control.add_audience, methods=["POST"]),
        Route("/control/audiences/{audience_id}", control.remove_audience, methods=["DELETE"]),
    ]


class _Control:
    def __init__(self, state: LineState) -> None:
        self._state = state
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader(__package__, ""), autoescape=True, undefined=jinja2.StrictUndefined
        )

    async def index(self, request: Request) -> Response:
        state = self._state
        with state.lock:
            page = self._templates.get_template("index.html").render(
                now=state.now(),
                base_url=request.url_for("index").replace(path="/api"),
                ad_account_ids=state.settings.ad_account_ids,
                audiences=state.audiences()[::-1],
                jobs=state.jobs()[::-1],
                requests=state.log.records[::-1],
                broken_rules=state.log.broken[::-1],
                faults=state.faults.waiting,
                shown=SHOWN_ROWS,
            )
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def read_state(self, request: Request) -> Response:
        """Everything as JSON; `?members=false` leaves the identifiers out."""
        state, with_members = self._state, request.query_params.get("members") != "false"
        with state.lock:
            audiences = [dataclasses.asdict(audience) for audience in state.audiences()]
            if with_members:
                audiences = [
                    audience | {"members": sorted(state.members(audience["id"]))} for audience in audiences
                ]
            content: dict[str, Any] = {
                "audiences": audiences,
                "jobs": [dataclasses.asdict(job) for job in state.jobs()],
                "requests": [dataclasses.asdict(record) for record in state.log.records],
                "broken_rules": [dataclasses.asdict(broken) for broken in state.log.broken],
                "broken_rule_counts": Counter(broken.rule for broken in state.log.broken),
                "faults": [dataclasses.asdict(fault) for fault in state.faults.waiting],
            }
        return Response(json.dumps(content, default=_text), media_type="application/json")

    async def inject(self, request: Request) -> Response:
        try:
            faults = _FAULTS.validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        with self._state.lock:
            for fault in faults if isinstance(faults, list) else [faults]:
                self._state.faults.inject(fault)
        return Response(status_code=204)

    async def clear_faults(self, _: Request) -> Response:
        with self._state.lock:
            self._state.faults.clear()
        return Response(status_code=204)

    async def reset(self, _: Request) -> Response:
        with self._state.lock:
            self._state.reset()
        return Response(status_code=204)

    async def add_audience(self, request: Request) -> Response:
        try:
            seed = _SEED.validate_json(await request.body())
        except ValidationError as error:
            return _invalid(error)
        fields = {field.name: getattr(seed, field.name) for field in dataclasses.fields(seed)}
        with self._state.lock:
            audience_id = self._state.add(fields.pop("ad_account_id"), **fields)
        return JSONResponse({"id": audience_id}, 201)

    async def remove_audience(self, request: Request) -> Response:
        audience_id = request.path_params["audience_id"]
        with self._state.lock:
            if all(audience.id != audience_id for audience in self._state.audiences()):
                return PlainTextResponse(f"there is no audience {audience_id}\n", 404)
            self._state.remove(audience_id)
        return Response(status_code=204)


def _text(moment: object) -> str:
    if isinstance(moment, datetime):
        return moment.isoformat()
    raise TypeError(f"{type(moment).__name__} has no JSON form")


def _invalid(error: ValidationError) -> Response:
    problems = (
        ".".join(str(step) for step in problem["loc"]) + f": {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    )
    return PlainTextResponse("".join(f"{problem}\n" for problem in problems), 400)
