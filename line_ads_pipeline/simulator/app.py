"""What every request to the API goes through: signature, limits, faults on request, and the record of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from email.utils import format_datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from line_ads_pipeline.simulator.calls import CALLS, Exchange, Perform, unknown
from line_ads_pipeline.simulator.faults import Call, Fault
from line_ads_pipeline.simulator.identifier_file import MAX_BYTES
from line_ads_pipeline.simulator.multipart import Part, read_parts
from line_ads_pipeline.simulator.records import Refusal
from line_ads_pipeline.simulator.signature import MULTIPART, media_type, verify_signature
from line_ads_pipeline.simulator.state import LineState

_EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_RECORDED_FIELDS = {"action": "action", "idType": "id_type", "id": "audience_id"}


class _ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


def api_routes(state: LineState) -> list[BaseRoute]:
    """The routes below `/api`; a path or method that LINE does not list is refused like any other mistake."""
    listed: list[BaseRoute] = [
        Route(
            f"/v3/adaccounts/{{ad_account_id}}/custom-audiences{path}",
            _Endpoint(state, call, perform),
            methods=[method],
        )
        for method, path, call, perform in CALLS
    ]
    return [*listed, Route("/{rest:path}", _Endpoint(state, "unknown", unknown), methods=_EVERY_METHOD)]


class _Endpoint:
    """One call as an ASGI application: only that can close a connection without an answer."""

    def __init__(self, state: LineState, call: Call, perform: Perform) -> None:
        self._state = state
        self._call = call
        self._perform = perform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._begin(Request(scope))
        chunks = _body_chunks(receive)
        try:
            response = await self._answer(exchange, chunks)
            if response is None:
                await _drop(scope, receive)
                return
            now = self._state.now()
            response.headers["Date"] = format_datetime(self._state.told(now), usegmt=True)
            exchange.note(status=response.status_code, answered_at=now)
            await response(scope, receive, send)
        except _ClientGoneError:
            exchange.note(fault="the client hung up")
        except asyncio.CancelledError:
            # Only the server's end cancels a request, and its connection is closed by then.
            return
        finally:
            if exchange.slot is not None:
                exchange.slot.answered = True

    def _begin(self, request: Request) -> Exchange:
        ad_account_id: str | None = request.path_params.get("ad_account_id")
        audience_id: str | None = request.path_params.get("audience_id")
        path = request.scope["raw_path"].decode("ascii")
        with self._state.lock:
            number = self._state.log.begin(
                time=self._state.now(),
                method=request.method,
                path=path,
                query=request.url.query,
                call=self._call,
                ad_account_id=ad_account_id,
                audience_id=audience_id,
            )
        return Exchange(
            state=self._state,
            number=number,
            request=request,
            path=path,
            ad_account_id=ad_account_id or "",
            audience_id=audience_id or "",
        )

    async def _answer(self, exchange: Exchange, chunks: AsyncIterator[bytes]) -> Response | None:
        state = self._state
        try:
            quota = await self._receive(exchange, chunks)
        except Refusal as refusal:
            return _refuse(exchange, refusal)
        with state.lock:
            exchange.faults = dict(state.faults.take(self._call, action=exchange.action))
        if exchange.faults:
            exchange.note(fault="; ".join(str(fault) for fault in dict.fromkeys(exchange.faults.values())))
        response = await self._handle(exchange)
        if response is not None:
            response.headers.update(quota)
        return response

    async def _receive(self, exchange: Exchange, chunks: AsyncIterator[bytes]) -> Mapping[str, str]:
        state, headers = self._state, exchange.request.headers
        settings = state.settings
        multipart = media_type(headers) == MULTIPART
        if not multipart:
            exchange.body = b"".join([chunk async for chunk in chunks])
        verify_signature(
            headers,
            path=exchange.path,
            body=exchange.body,
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            now=state.told(state.now()),
        )
        with state.lock:
            now = state.now()
            exchange.note(counted_at=now)
            used = state.rate.admit(now)
            if exchange.ad_account_id:
                state.check_ad_account(exchange.ad_account_id)
        if multipart and self._call == "upload":
            exchange.parts = await read_parts(
                chunks,
                content_type=headers["content-type"],
                keep_bytes=MAX_BYTES + 1,
                on_field=lambda part: self._learn(exchange, part),
            )
            exchange.note(
                file_name=next((part.file_name for part in exchange.parts.values() if part.file_name), None)
            )
        if state.rate.limit is None:
            return {}
        return {"X-Request-Quota-Limit": str(state.rate.limit), "X-Request-Quota-Used": str(used)}

    def _learn(self, exchange: Exchange, part: Part) -> None:
        if part.name in _RECORDED_FIELDS:
            exchange.note(**{_RECORDED_FIELDS[part.name]: part.text})
        if part.name == "action":
            exchange.action = part.text
            if part.text == "REPLACE":
                with self._state.lock:
                    exchange.slot = self._state.open_replace(exchange.ad_account_id)

    async def _handle(self, exchange: Exchange) -> Response | None:
        fault = exchange.faults.get("answer")
        if fault is not None:
            await asyncio.sleep(fault.delay_seconds)
            if fault.drop == "before":
                return None
            if fault.status is not None and not fault.takes_effect:
                return _faulty_answer(fault, fault.status)
        try:
            response = await self._perform(exchange)
        except Refusal as refusal:
            response = _refuse(exchange, refusal)
        if fault is not None:
            await asyncio.sleep(fault.answer_delay_seconds)
            if fault.drop == "after":
                return None
            if fault.status is not None or fault.body is not None:
                return _faulty_answer(fault, fault.status or response.status_code)
        return response


def _refuse(exchange: Exchange, refusal: Refusal) -> Response:
    exchange.breach(refusal.rule, refusal.detail)
    if refusal.reason is None:
        return Response(status_code=refusal.status)
    error = {"reason": refusal.reason} | ({"property": refusal.field} if refusal.field else {})
    return JSONResponse({"errors": [error]}, refusal.status)


def _faulty_answer(fault: Fault, status: int) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
    if fault.reasons:
        return JSONResponse({"errors": [{"reason": reason} for reason in fault.reasons]}, status, headers)
    return Response(fault.body, status, headers, media_type=None if fault.body is None else "text/html")


async def _body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _drop(scope: Scope, receive: Receive) -> None:
    scope["state"]["transport"].abort()
    while (await receive())["type"] != "http.disconnect":
        pass
