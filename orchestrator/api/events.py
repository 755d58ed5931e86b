"""The stream of an application's events.

Rules:
- It begins with the application's numbers, goes on with what comes, and says that it lives every 15 seconds.
- `Last-Event-ID` goes on where a stream ended, as far as the events are remembered; what was missed is told as
  `events.dropped`.
- It ends with the application, and when the service stops.

Spec: HTML Living Standard §9.2 "Server-sent events"; CloudEvents 1.0.2.
Layer: api.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from orchestrator.api import problems, schemas
from orchestrator.api.contexts import ApiContext, Context
from orchestrator.api.problems import ParameterError
from orchestrator.api.streams import PAUSE_SECONDS
from orchestrator.application.audits import Action
from orchestrator.application.documents import events
from orchestrator.application.documents.events import KINDS, Event
from orchestrator.application.documents.texts import Document
from orchestrator.application.feeds import Reader, Taken
from orchestrator.application.problems import NotFoundError
from protocol.errors import quoted

router = APIRouter(prefix="/api/v1/applications/{app}", tags=["events"])

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000
"""How long a browser waits before it opens a broken stream again."""

_NUMBER_DIGITS = 18

Types = Annotated[
    str | None,
    Query(description="Only these types, separated by commas; `endpoint.*` stands for all that begin so."),
]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Number of the last event that was received: go on after it."),
]
_RESPONSES: schemas.Responses = {
    200: {
        "description": "Events, until one side ends it.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "description": "`data` holds a CloudEvent 1.0."}}},
    },
    **schemas.PROBLEMS,
}


@router.get("/events", responses=_RESPONSES, response_class=StreamingResponse)
async def stream_events(
    app: str, context: Context, types: Types = None, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Stream what happens in an application."""
    context.observations.entry(app)
    stream = _Stream(context=context, application=app, kinds=_kinds(types), after=_number(last_event_id))
    context.streams.check()
    headers = {**problems.NO_STORE, "X-Accel-Buffering": "no"}
    return StreamingResponse(stream.run(), headers=headers, media_type=MEDIA_TYPE)


def _kinds(given: str | None) -> Collection[str]:
    if given is None:
        return KINDS
    chosen: set[str] = {events.DROPPED}
    for name in given.split(","):
        family = name.removesuffix("*")
        found = {kind for kind in KINDS if kind == name or (family != name and kind.startswith(family))}
        if not found or (family != name and not family.endswith(".")):
            raise ParameterError("types", f"names no type of event: {quoted(name)}")
        chosen |= found
    return chosen


def _number(given: str | None) -> int | None:
    if given is None or not given.strip():
        return None
    text = given.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS):
        raise ParameterError("Last-Event-ID", f"is no number of an event: {quoted(text)}")
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """One open stream."""

    context: ApiContext
    application: str
    kinds: Collection[str]
    after: int | None

    async def run(self) -> AsyncIterator[str]:
        """The text of the stream, piece by piece."""
        feed = self.context.feed
        with self.context.streams.one() as stream, feed.read(self.application, after=self.after) as reader:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            try:
                yield await self._greeting(reader, stream)
            except NotFoundError:
                return
            async for piece in self._follow(reader):
                yield piece

    async def _greeting(self, reader: Reader, stream: int) -> str:
        """The numbers as they are now; the id is that of the last event that the reader has had."""
        if events.SUMMARY not in self.kinds:
            return f"id: {reader.after}\n\n"
        # A reader who leaves just now cancels this; a read of the database that is cut short loses its connection.
        at, data = self.context.now(), await asyncio.shield(self.context.observations.summary(self.application))
        event = self._event(reader, events.SUMMARY, at, data)
        return self._text(event, f"{reader.after}-{stream}")

    async def _follow(self, reader: Reader) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        while not self.context.feed.closed:
            try:
                async with asyncio.timeout_at(sent_at + HEARTBEAT_SECONDS):
                    await reader.wait()
            except TimeoutError:
                sent_at = loop.time()
                yield ": alive\n\n"
                continue
            before = reader.after
            taken = reader.take(self.context.streams.share)
            piece = self._missed(reader, taken, before) + self._chosen(taken)
            if piece:
                sent_at = loop.time()
                yield piece
            if any(event.kind == Action.APPLICATION_DELETE.value for event in taken.events):
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def _missed(self, reader: Reader, taken: Taken, before: int) -> str:
        if not taken.dropped and not taken.lost:
            return ""
        count = None if taken.lost else sum(taken.dropped.values())
        event = self._event(reader, events.DROPPED, self.context.now(), {"count": count})
        return self._text(event, f"{before}-dropped", number=before)

    def _chosen(self, taken: Taken) -> str:
        return "".join(self._text(event, str(event.number)) for event in taken.events if event.kind in self.kinds)

    def _event(self, reader: Reader, kind: str, at: datetime, data: Document) -> Event:
        return Event(number=reader.after, application=self.application, kind=kind, subject=None, at=at, data=data)

    def _text(self, event: Event, name: str, *, number: int | None = None) -> str:
        data = events.encode(event, self.context.installation, name=name)
        return f"id: {event.number if number is None else number}\nevent: {event.kind}\ndata: {data}\n\n"
