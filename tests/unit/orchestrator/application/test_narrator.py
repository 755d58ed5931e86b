from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.feeds import Feed
from orchestrator.application.narrator import Narrator
from orchestrator.application.preconditions import UNCONDITIONAL
from tests.unit.orchestrator.application.desks import APP
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.feeds import Reader
    from tests.unit.orchestrator.application.desks import Desk

STAGED = {"stages": [{"percent": 100, "minAttempted": 1, "maxFailureRate": 0.5}]}
VERSION = v("1.1.0")


def narrator_of(desk: Desk, feed: Feed) -> Narrator:
    return Narrator(feed, desk.rollouts, desk.directory, desk.clock)


def told(reader: Reader) -> list[Document]:
    events = reader.take(100).events
    assert {(event.kind, event.subject) for event in events} <= {("rollout.progress", "software/1.1.0/rollout")}
    return [event.data for event in events]


async def test_a_rollout_is_told_of_when_it_has_changed_and_not_else(desk: Desk) -> None:
    feed = Feed()
    narrator = narrator_of(desk, feed)
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    with feed.read(APP) as reader:
        await narrator.tick()
        (first,) = told(reader)
        assert (first["version"], first["state"]) == ("1.1.0", "running")
        await narrator.tick()
        assert told(reader) == []
        await desk.enrol("e1", "1.0.0")
        await narrator.tick()
        (second,) = told(reader)
        assert second["summary"] != first["summary"]
    assert feed.touched() == set()


async def test_a_rollout_that_stops_is_told_of_once_more(desk: Desk) -> None:
    feed = Feed()
    narrator = narrator_of(desk, feed)
    await desk.define("1.1.0", "1.0.0", rollout=STAGED)
    await narrator.tick()
    await desk.rollouts.pause(APP, VERSION, by=ANONYMOUS)
    with feed.read(APP) as reader:
        await narrator.tick()
        assert [document["state"] for document in told(reader)] == ["paused"]
        await desk.rollouts.abort(APP, VERSION, by=ANONYMOUS)
        await narrator.tick()
        assert told(reader) == []


async def test_what_nothing_judges_and_what_is_gone_is_not_told_of(desk: Desk) -> None:
    feed = Feed()
    narrator = narrator_of(desk, feed)
    await desk.define("1.1.0", "1.0.0")
    with feed.read(APP) as reader:
        await narrator.tick()
        assert told(reader) == []
        await desk.define("1.1.0", "1.0.0", rollout=STAGED)
        await narrator.tick()
        assert len(told(reader)) == 1
        await desk.definitions.delete(APP, VERSION, UNCONDITIONAL)
        await narrator.tick()
        assert told(reader) == []
