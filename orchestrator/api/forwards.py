"""Requests that another replica answers: passed on as they came, or asked on behalf of one.

Rules:
- A request is passed on whole: method, address, headers, body. Who may do what is the holder's to say.
- When the holder of a partition changes, what still waits for the old one is given up.

Spec: RFC 9110 §7.6 (what belongs to one connection only), §15.6.4.
Layer: api.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import httpx2
import structlog
from fastapi import Request

from orchestrator.api import problems
from orchestrator.api.guards import App, Send
from orchestrator.application.leases import Holder
from orchestrator.application.problems import RequestError

log = structlog.get_logger(__name__)

Fields: TypeAlias = list[tuple[bytes, bytes]]

MARK, PARTITION = b"otao-forwarded-by", b"otao-partition"
"""Headers that name the replica which has passed a request on, and the partition that it is for."""
_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
    | {MARK, PARTITION}
)
_CONNECT_SECONDS, _IDLE_SECONDS = 2.0, 330.0
"""The second is longer than what is read from the database may take."""
_CONDITIONAL = frozenset({b"if-none-match", b"if-match", b"content-length", b"content-type", b"accept-encoding"})


class NobodyHoldsError(RequestError):
    """No replica serves now, or the one that does cannot be reached."""

    code = "no-holder"
    status_code = 503

    def __init__(self) -> None:
        """Say that it passes."""
        super().__init__("no replica serves at this moment; another one takes over within seconds")


class _Left(Exception):
    """Whoever sent the request has gone before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked on behalf of a request, with its credentials."""

    request: Request
    method: str = "GET"
    path: str
    """Encoded."""
    query: str = ""
    body: bytes | None = None


@dataclass(slots=True, kw_only=True)
class Forwards:
    """What one replica passes on."""

    replica: str
    client: httpx2.AsyncClient
    _waiting: dict[asyncio.Timeout, str] = field(default_factory=dict)
    """Requests that wait for an answer, by partition."""

    def give_up(self, partition: str) -> None:
        """End what waits for a partition's holder."""
        for limit, waits_for in self._waiting.items():
            if waits_for == partition:
                _expire(limit)

    async def pass_on(self, request: Request, partition: str, holder: Holder, send: Send) -> None:
        """Have the holder of a partition answer."""
        begun = False
        try:
            async with self._unless_it_changes(partition) as limit:
                answer = await self.client.send(self._onward(request, partition, holder), stream=True)
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

    async def ask(self, question: Question, partition: str, app: App | None, holder: Holder | None) -> httpx2.Response:
        """Ask a partition, here or elsewhere; return the whole answer.

        Raises:
            NobodyHoldsError: there is no answer.
        """
        given = [item for item in _fields(question.request.scope["headers"]) if item[0] not in _CONDITIONAL]
        types = [(b"content-type", kind.encode()) for kind in question.request.headers.getlist("content-type")]
        fields = [*given, *(types if question.body is not None else ())]
        address = "here" if holder is None else holder.address
        target = question.path.encode() + (f"?{question.query}".encode() if question.query else b"")
        url = httpx2.URL(f"http://{address}").copy_with(raw_path=target)
        if holder is not None:
            fields += self._marks(partition)
        asked = httpx2.Request(question.method, url, headers=fields, content=question.body, extensions=_patience())
        try:
            async with self._unless_it_changes(partition):
                if app is not None:
                    transport = httpx2.ASGITransport(app=app)
                    answer = await transport.handle_async_request(asked)
                    await answer.aread()
                    return answer
                if holder is not None:
                    return await self.client.send(asked)
        except (httpx2.HTTPError, TimeoutError) as error:
            log.info("request-not-asked", holder=address, reason=str(error) or type(error).__name__)
        raise NobodyHoldsError

    def _onward(self, request: Request, partition: str, holder: Holder) -> httpx2.Request:
        path, query = request.scope["raw_path"], request.scope["query_string"]
        url = httpx2.URL(f"http://{holder.address}").copy_with(raw_path=path + (b"?" + query if query else b""))
        fields = [*_fields(request.scope["headers"]), *self._marks(partition)]
        body = _body(request) if {"content-length", "transfer-encoding"} & set(request.headers) else None
        return httpx2.Request(request.method, url, headers=fields, content=body, extensions=_patience())

    def _marks(self, partition: str) -> Fields:
        return [(MARK, self.replica.encode()), (PARTITION, partition.encode())]

    @asynccontextmanager
    async def _unless_it_changes(self, partition: str) -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as limit:
            self._waiting[limit] = partition
            try:
                yield limit
            finally:
                self._waiting.pop(limit, None)


def _patience() -> dict[str, object]:
    return {"timeout": httpx2.Timeout(_IDLE_SECONDS, connect=_CONNECT_SECONDS).as_dict()}


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
async def open_forwards(replica: str) -> AsyncIterator[Forwards]:
    """Those of the replica of this name."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    # There is no TLS between replicas: certificates are not read.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with httpx2.AsyncClient(limits=limits, trust_env=False, verify=context) as client:
        yield Forwards(replica=replica, client=client)
