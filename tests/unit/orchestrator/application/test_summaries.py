from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.feeds import Feed
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.application.summaries import Summaries
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.feeds import Reader
    from tests.unit.orchestrator.application.desks import Desk


def told(reader: Reader) -> list[Document]:
    events = reader.take(100).events
    assert {(event.kind, event.subject) for event in events} <= {("summary", None)}
    return [event.data for event in events]


def touch(feed: Feed, desk: Desk) -> None:
    """As a batch that did something to the application does."""
    document = desk.bells.drafts[-1][0]
    feed.note([document], desk.directory, created=True)


async def test_numbers_are_told_when_they_have_changed_and_not_else(desk: Desk) -> None:
    feed = Feed()
    summaries = Summaries(feed, desk.observations, desk.directory, desk.clock)
    await desk.enrol("e1", "1.0.0")
    touch(feed, desk)
    with feed.read(APP) as reader:
        await summaries.tick()
        (first,) = told(reader)
        assert (first["endpoints"], first["byVersion"]) == (1, {"1.0.0": 1})
        await summaries.tick()
        touch(feed, desk)
        reader.take(10)
        await summaries.tick()
        assert told(reader) == []
        await desk.report("e1", "1.1.0")
        touch(feed, desk)
        reader.take(10)
        await summaries.tick()
        assert [item["byVersion"] for item in told(reader)] == [{"1.1.0": 1}]


async def test_after_a_renewal_every_application_is_told_again(desk: Desk) -> None:
    feed = Feed()
    summaries = Summaries(feed, desk.observations, desk.directory, desk.clock)
    with feed.read() as reader:
        for _ in range(2):
            summaries.renew()
            await summaries.tick()
        assert len(told(reader)) == 2


async def test_an_application_that_is_gone_is_not_told(desk: Desk) -> None:
    feed = Feed()
    summaries = Summaries(feed, desk.observations, desk.directory, desk.clock)
    with feed.read() as reader:
        summaries.renew()
        await desk.applications.delete(APP, UNCONDITIONAL)
        await summaries.tick()
        assert told(reader) == []
