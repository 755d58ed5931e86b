"""What stands before the web application of a replica, which has one only while it holds the lease.

Rules:
- `/livez`, `/readyz` and `/metrics` are about this replica, and answered here, or by its own application.
- Everything else goes to the holder as it came: method, address, headers, body. Who may do what is the holder's to say.
- What was passed on once is not passed on again: then nobody holds the lease, and the caller is told to try again.
- When the holder changes, what still waits for the old one is given up.

Spec: RFC 9110 §7.6 (what belongs to one connection only), §15.6.4.
Layer: api.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx2
import structlog
from fastapi import Request, Response

from orchestrator.api import health, problems, responses
from orchestrator.api.guards import App, Receive, Scope, Send
from orchestrator.application.leases import Holder
from orchestrator.application.problems import RequestError

log = structlog.get_logger(__name__)

Fields: TypeAlias = list[tuple[bytes, bytes]]

MARK = b"otao-forwarded-by"
"""A header that names the replica which has passed a request on."""
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", MARK}
)
_CONNECT_SECONDS, _IDLE_SECONDS = 2.0, 330.0
"""The second is longer than what is read from the database may take."""


class NobodyHoldsError(RequestError):
    """No replica serves now, or the one that does cannot be reached."""

    code = "no-holder"
    status_code = 503

    def __init__(self) -> None:
        """Say that it passes."""
        super().__init__("no replica serves at this moment; another one takes over within seconds")


class _Left(Exception):
    """Whoever sent the request has gone before its end."""


@dataclass(slots=True, kw_only=True)
class Front:
    """An ASGI application; `hold` and `follow` say where requests go."""

    replica: str
    metrics: Callable[[], bytes]
    """What `/metrics` answers while there is no application here."""
    client: httpx2.AsyncClient
    app: App | None = None
    holder: Holder | None = None
    _waiting: set[asyncio.Timeout] = field(default_factory=set)

    def hold(self, app: App | None) -> None:
        """This replica has begun to serve with `app`; None: it has ended that."""
        self.app = app
        self.follow(None)

    def follow(self, holder: Holder | None) -> None:
        """Another replica serves; None: nobody that is known of."""
        if holder != self.holder:
            self.holder = holder
            for limit in self._waiting:
                _expire(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if self.app is not None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive)
            holder = None if MARK in dict(scope["headers"]) else self.holder
            answer = self._own(request.url.path) or (problems.of(NobodyHoldsError()) if holder is None else None)
            if answer is not None:
                await answer(scope, receive, send)
            elif holder is not None:
                await self._pass_on(request, holder, send)

    def _own(self, path: str) -> Response | None:
        """The answer to what is about this replica alone."""
        match path:
            case "/livez":
                return responses.document({"status": "alive"})
            case "/metrics":
                return Response(self.metrics(), headers=problems.NO_STORE, media_type=health.METRICS)
            case "/readyz" if self.holder is not None:
                return responses.document({"status": "ready"})
            case "/readyz":
                return health.unready("no replica holds the lease")
            case _:
                return None

    async def _pass_on(self, request: Request, holder: Holder, send: Send) -> None:
        begun = False
        try:
            async with self._unless_it_changes() as limit:
                answer = await self.client.send(self._onward(request, holder), stream=True)
                try:
                    fields = [item for item in _fields(answer.headers.raw) if item[0].lower() != b"date"]
                    begun = True
                    await send({"type": "http.response.start", "status": answer.status_code, "headers": fields})
                    await _relay(answer, request, limit, send)
                finally:
                    await answer.aclose()
        except _Left:
            return
        except (httpx2.HTTPError, TimeoutError) as error:
            # An answer that had begun is cut short: the server ends its connection.
            log.info("request-not-passed-on", holder=holder.address, reason=str(error) or type(error).__name__)
            if not begun:
                await problems.of(NobodyHoldsError())(request.scope, request.receive, send)

    def _onward(self, request: Request, holder: Holder) -> httpx2.Request:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        url = httpx2.URL(f"http://{holder.address}").copy_with(raw_path=path + (b"?" + query if query else b""))
        fields = [*_fields(request.scope["headers"]), (MARK, self.replica.encode())]
        body = _body(request) if {"content-length", "transfer-encoding"} & set(request.headers) else None
        timeout = httpx2.Timeout(_IDLE_SECONDS, connect=_CONNECT_SECONDS)
        extensions = {"timeout": timeout.as_dict()}
        return httpx2.Request(request.method, url, headers=fields, content=body, extensions=extensions)

    @asynccontextmanager
    async def _unless_it_changes(self) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as limit:
            self._waiting.add(limit)
            try:
                yield limit
            finally:
                self._waiting.discard(limit)


async def _body(request: Request) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise _Left
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _relay(answer: httpx2.Response, request: Request, limit: asyncio.Timeout, send: Send) -> None:
    """Pass the body on as it comes, until it ends or its reader leaves."""

    async def until_left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        _expire(limit)

    broken: httpx2.HTTPError | None = None
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(until_left(), name="api.forwarded")
        try:
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except httpx2.HTTPError as error:
            broken = error
        leaving.cancel()
    if broken is not None:
        raise broken
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _expire(limit: asyncio.Timeout) -> None:
    """End what runs under a limit now, unless it is about to end."""
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time())


def _fields(given: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Header fields without those that belong to one connection."""
    found = list(given)
    named = {name.strip().lower() for key, value in found if key.lower() == b"connection" for name in value.split(b",")}
    return [(key, value) for key, value in found if key.lower() not in _HOP | named]


@asynccontextmanager
async def open_front(replica: str, metrics: Callable[[], bytes]) -> AsyncIterator[Front]:
    """A front of the replica of this name, with a client for what it passes on."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    # There is no TLS between replicas: certificates are not read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx2.AsyncClient(limits=limits, trust_env=False, verify=context) as client:
        yield Front(replica=replica, metrics=metrics, client=client)
