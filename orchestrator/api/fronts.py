"""What stands before the web applications of a replica: it has one for each partition that it holds.

Rules:
- `/livez`, `/readyz` and `/metrics` are about this replica, and answered here, or by its own application.
- What is about one application goes to the holder of its partition; what is about all is asked of every partition.
- What was passed on once is not passed on again: then nobody holds the lease, and the caller is told to try again.

Layer: api.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

import httpx2
import orjson
from fastapi import Request, Response

from orchestrator.api import forwards, health, merges, problems, responses
from orchestrator.api.forwards import Forwards, NobodyHoldsError, Question, open_forwards
from orchestrator.api.guards import App, Receive, Scope, Send
from orchestrator.application.leases import Holder
from orchestrator.application.partitions import MAIN, Locations, emptiest
from orchestrator.application.ports import StorageError
from orchestrator.application.problems import RequestError

Json: TypeAlias = Any
"""Decoded JSON."""

_API, _APPLICATIONS = "/api/v1/applications", "applications"
_DRAIN_SECONDS = 1.0


def _nobody(_name: str) -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class Local:
    """A partition that this replica holds."""

    app: App
    has: Callable[[str], bool] = _nobody
    """Whether an application of this name is in it."""
    unready: Callable[[], str | None] = lambda: None
    """Why it does not serve yet."""
    answering: set[object] = field(default_factory=set)
    """One for each request and question."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def answers(self) -> Iterator[App]:
        """Count as answering meanwhile."""
        one = object()
        self.answering.add(one)
        try:
            yield self.app
        finally:
            self.answering.discard(one)
            self.idle.set()


@dataclass(slots=True, kw_only=True)
class Front:
    """An ASGI application; `hold` and `follow` say where requests go."""

    metrics: Callable[[], bytes]
    """What `/metrics` answers while there is no application here, or there may be several."""
    forwards: Forwards
    partitions: Sequence[str] = (MAIN,)
    locations: Locations | None = None
    """Where applications are; None: all are in one partition."""
    local: dict[str, Local] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    """Of partitions that others hold."""

    def hold(self, partition: str, local: Local | None) -> None:
        """This replica has begun to serve a partition; None: it has ended that."""
        self.local.pop(partition, None)
        if local is not None:
            self.local[partition] = local
        self._point(partition, None)

    def follow(self, holders: Mapping[str, Holder]) -> None:
        """Others serve partitions; those that are absent are nobody's that is known of."""
        for partition in self.partitions:
            self._point(partition, None if partition in self.local else holders.get(partition))

    async def drained(self, partition: str) -> None:
        """Wait until what a partition is asked for here is answered, for a moment."""
        local = self.local.pop(partition, None)
        if local is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while local.answering:
                    local.idle.clear()
                    await local.idle.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            await (self._alone if len(self.partitions) == 1 else self._among_several)(request, send)
        except (RequestError, StorageError) as error:
            await problems.of(error)(scope, receive, send)

    async def others(self, partition: str, request: Request) -> dict[str, Json]:
        """The numbers of all applications in other partitions, by name, as the sender of a request may read them.

        Raises:
            RequestError: somebody who has to be asked does not answer, or refuses.
        """
        found: dict[str, Json] = {}
        for other in self.partitions:
            if other != partition:
                for name in await self._names(other, request):
                    found[name] = await self._read(other, request, f"{_API}/{quote(name, safe='')}/summary")
        return dict(sorted(found.items()))

    def _point(self, partition: str, holder: Holder | None) -> None:
        if holder != self.holders.get(partition):
            self.holders.pop(partition, None)
            if holder is not None:
                self.holders[partition] = holder
            self.forwards.give_up(partition)

    async def _alone(self, request: Request, send: Send) -> None:
        own = None if MAIN in self.local else self._own(request.url.path)
        if own is not None:
            await own(request.scope, request.receive, send)
        else:
            await self._enter(MAIN, request, send)

    async def _among_several(self, request: Request, send: Send) -> None:
        own = self._own(request.url.path)
        if own is None and merges.find(request) is not None and not _is_marked(request):
            own = await merges.answer(request, list(self.partitions), self._ask)
        if own is not None:
            await own(request.scope, request.receive, send)
        elif _is_marked(request):
            await self._enter(request.headers.get(forwards.PARTITION.decode(), ""), request, send)
        else:
            await self._enter(await self._place(request.url.path), request, send)

    def _own(self, path: str) -> Response | None:
        """The answer to what is about this replica alone."""
        match path:
            case "/livez":
                return responses.document({"status": "alive"})
            case "/metrics":
                return Response(self.metrics(), headers=problems.NO_STORE, media_type=health.METRICS)
            case "/readyz":
                reason = self._unready()
                return responses.document({"status": "ready"}) if reason is None else health.unready(reason)
            case _:
                return None

    def _unready(self) -> str | None:
        for partition in self.partitions:
            local = self.local.get(partition)
            if local is None and partition not in self.holders:
                return "no replica holds the lease" + ("" if len(self.partitions) == 1 else f" of {partition}")
            reason = None if local is None else local.unready()
            if reason is not None:
                return reason
        return None

    async def _place(self, path: str) -> str:
        """The partition that a request is for: its application's, or that which a new one goes to."""
        application = _application_in(path)
        if application is None or self.locations is None:
            # Whoever is asked answers the same.
            return next((name for name in self.partitions if name in self.local), None) or next(
                iter(self.holders), MAIN
            )
        here = next((name for name, local in self.local.items() if local.has(application)), None)
        return here or await self.locations.of(application) or emptiest(self.partitions, await self.locations.amounts())

    async def _enter(self, partition: str, request: Request, send: Send) -> None:
        """Have a partition answer."""
        local, holder = self.local.get(partition), self.holders.get(partition)
        if local is not None:
            with local.answers() as app:
                await app(request.scope, request.receive, send)
        elif holder is None or _is_marked(request):
            raise NobodyHoldsError
        else:
            await self.forwards.pass_on(request, partition, holder, send)

    async def _ask(self, questions: Mapping[str, Question]) -> dict[str, httpx2.Response]:
        """Ask partitions, all at once, each to its end whatever comes of the others."""
        answers: dict[str, httpx2.Response] = {}

        async def one(partition: str, question: Question) -> None:
            local, holder = self.local.get(partition), self.holders.get(partition)
            try:
                with nullcontext() if local is None else local.answers() as app:
                    answers[partition] = await self.forwards.ask(question, partition, app, holder)
            except NobodyHoldsError:
                return

        async with asyncio.TaskGroup() as group:
            for partition, question in questions.items():
                group.create_task(one(partition, question), name="api.asked")
        if len(answers) < len(questions):
            raise NobodyHoldsError
        return {partition: answers[partition] for partition in questions}

    async def _names(self, partition: str, request: Request) -> list[str]:
        names: list[str] = []
        query = "limit=500"
        while query:
            page = await self._read(partition, request, _API, query)
            names += [item["name"] for item in page["items"]]
            query = "" if page["next"] is None else f"limit=500&cursor={page['next']}"
        return names

    async def _read(self, partition: str, request: Request, path: str, query: str = "") -> Json:
        question = Question(request=request, path=path, query=query)
        answer = (await self._ask({partition: question}))[partition]
        if not answer.is_success:
            raise NobodyHoldsError
        return orjson.loads(answer.content)


def _is_marked(request: Request) -> bool:
    return forwards.MARK.decode() in request.headers


def _application_in(path: str) -> str | None:
    """The application that a path of REST or of a page is about; None: it is about none."""
    levels = path.removeprefix("/api/v1").split("/")
    return levels[2] if len(levels) > 2 and levels[1] == _APPLICATIONS and levels[2] else None  # noqa: PLR2004 - as it says


@asynccontextmanager
async def open_front(
    replica: str,
    metrics: Callable[[], bytes],
    *,
    partitions: Sequence[str] = (MAIN,),
    locations: Locations | None = None,
) -> AsyncIterator[Front]:
    """A front of the replica of this name, with a client for what it passes on."""
    async with open_forwards(replica) as passed:
        yield Front(metrics=metrics, forwards=passed, partitions=partitions, locations=locations)
