from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.audits import Action, AuditEntry
from orchestrator.application.authors import OPERATOR_OVER_MQTT
from orchestrator.application.directory import Directory
from orchestrator.application.feeds import Feed
from orchestrator.application.records import Draft, EndpointRecord
from orchestrator.domain.endpoints import Endpoint, HistoryEntry, HistoryKind
from tests.contract.storages import APP, entry_of
from tests.contract.storages import NOW as AT
from tests.unit.orchestrator.domain.builders import v

if TYPE_CHECKING:
    from orchestrator.application.feeds import Reader

KETTLE = replace(APP, key=1, name="kettle")
TEAPOT = replace(KETTLE, key=2, name="teapot", app_versions=("teapot-v1",))
DIRECTORY = Directory([entry_of(KETTLE, ()), entry_of(TEAPOT, ())])
REPORTED = HistoryEntry(at=AT, kind=HistoryKind.REPORTED, version=v("1.0.0"), status_code=200)
OFFERED = HistoryEntry(at=AT, kind=HistoryKind.OFFERED, version=v("1.1.0"))


def draft(*entries: HistoryEntry, key: int = 7, application: int = KETTLE.key) -> Draft:
    endpoint = Endpoint(registered_at=AT)
    before = EndpointRecord(
        key=key, application=application, endpoint_id="e1", app_version="kettle-v1", token="tok", endpoint=endpoint
    )
    return Draft(before=before, after=endpoint, app_version="kettle-v1", entries=list(entries))


def kinds(reader: Reader, limit: int = 100) -> list[str]:
    return [event.kind for event in reader.take(limit).events]


def tell(feed: Feed, times: int, application: str = "kettle") -> None:
    for number in range(times):
        feed.tell(application, "offers.changed", None, {"number": number}, AT)


def test_the_history_of_a_batch_becomes_events_in_order() -> None:
    feed = Feed(start=5)
    with feed.read("kettle") as reader:
        feed.note([draft(REPORTED, OFFERED), draft()], DIRECTORY)
        first, second = reader.take(10).events
    assert (first.number, first.kind, first.subject, first.at) == (5, "endpoint.reported", "endpoints/e1", AT)
    assert first.data == {"endpointId": "e1", "version": "1.0.0", "statusCode": 200, "reason": None}
    assert (second.number, second.kind) == (6, "endpoint.offered")
    assert feed.newest == 6


@pytest.mark.parametrize(("key", "created"), [(0, False), (7, True)])
def test_a_new_endpoint_is_registered_before_anything_else_happens_to_it(key: int, created: bool) -> None:
    feed = Feed()
    with feed.read() as reader:
        feed.note([draft(REPORTED, key=key)], DIRECTORY, created=created)
        assert kinds(reader) == ["endpoint.registered", "endpoint.reported"]


def test_a_reader_sees_its_own_application_only() -> None:
    feed = Feed()
    with feed.read("teapot") as one, feed.read() as every:
        feed.note([draft(REPORTED), draft(OFFERED, application=2), draft(REPORTED, application=99)], DIRECTORY)
        assert kinds(one) == ["endpoint.offered"]
        assert [event.application for event in every.take(10).events] == ["kettle", "teapot"]


def test_a_sweep_is_one_event_with_its_counts_and_none_when_nothing_moved() -> None:
    feed = Feed()
    with feed.read("kettle") as reader:
        feed.sweep("kettle", Counter({v("1.10.0"): 3, v("1.9.0"): 1}), Counter({v("1.0.0"): 2}), AT)
        feed.sweep("kettle", Counter(), Counter(), AT)
        (event,) = reader.take(10).events
    assert event.kind == "offers.changed"
    assert event.data == {"offered": {"1.9.0": 1, "1.10.0": 3}, "withdrawn": {"1.0.0": 2}}


def change(application: str | None, resource: str = "software/1.1.0") -> AuditEntry:
    return AuditEntry(
        at=AT,
        application=application,
        author=OPERATOR_OVER_MQTT.because("leaks"),
        action=Action.SOFTWARE_RECALL,
        resource=resource,
        before='{"specification": {"sha256": "x"}}',
    )


def test_a_change_by_an_operator_is_told_without_what_it_changed() -> None:
    feed = Feed()
    with feed.read("kettle") as reader:
        feed.change(change("kettle"), DIRECTORY)
        (event,) = reader.take(10).events
    assert (event.kind, event.subject) == ("software.recall", "software/1.1.0")
    assert event.data == {"version": "1.1.0", "actor": "mqtt", "via": "mqtt", "reason": "leaks"}


def test_a_change_of_all_applications_is_told_to_each() -> None:
    feed = Feed()
    with feed.read() as reader:
        feed.change(change(None, "freeze"), DIRECTORY)
        assert [event.application for event in reader.take(10).events] == ["kettle", "teapot"]


def test_a_slow_reader_is_told_how_many_events_it_missed_and_goes_on_with_the_oldest_that_is_left() -> None:
    feed = Feed(size=3)
    with feed.read("kettle") as reader:
        feed.note([draft(REPORTED, OFFERED)], DIRECTORY)
        tell(feed, 4)
        tell(feed, 1, "teapot")
        taken = reader.take(100)
        assert taken.dropped == {"kettle": 4}
        assert [event.data for event in taken.events] == [{"number": 2}, {"number": 3}]
        tell(feed, 1)
        assert not reader.take(100).dropped


def test_who_reads_everything_is_told_what_it_missed_of_each_application() -> None:
    feed = Feed(size=2)
    tell(feed, 1)
    with feed.read() as reader:
        tell(feed, 2)
        tell(feed, 2, "teapot")
        tell(feed, 1)
        assert reader.take(100).dropped == {"kettle": 2, "teapot": 1}


def test_how_far_a_reader_is_behind() -> None:
    feed = Feed(size=3)
    with feed.read("kettle") as reader:
        tell(feed, 5)
        assert reader.behind == 5
        reader.take(1)
        assert reader.behind == 2


def test_a_reader_takes_no_more_than_it_asks_for_at_once() -> None:
    feed = Feed()
    with feed.read("kettle") as reader:
        tell(feed, 5)
        assert [len(reader.take(2).events) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("after", range(10, 16))
def test_a_reader_goes_on_after_any_number_that_is_remembered(after: int) -> None:
    feed = Feed(start=11)
    feed.note([draft(REPORTED, OFFERED), draft(REPORTED)], DIRECTORY)
    tell(feed, 2)
    with feed.read("kettle", after=after) as reader:
        taken = reader.take(100)
    assert [event.number for event in taken.events] == list(range(after + 1, 16))
    assert (taken.dropped, taken.lost) == ({}, False)


@pytest.mark.parametrize("after", [0, 12])
def test_a_reader_that_asks_for_what_is_forgotten_is_told_so_and_gets_what_is_left(after: int) -> None:
    feed = Feed(start=11, size=2)
    tell(feed, 5)
    with feed.read("kettle", after=after) as reader:
        taken = reader.take(100)
        assert taken.lost
        assert [event.number for event in taken.events] == [14, 15]
        assert not reader.take(100).lost


async def test_a_number_that_never_was_is_answered_from_now_on() -> None:
    feed = Feed(start=11)
    tell(feed, 2)
    with feed.read("kettle", after=99) as reader:
        await reader.wait()
        taken = reader.take(100)
        assert (taken.lost, taken.events) == (True, [])
        tell(feed, 1)
        assert [event.number for event in reader.take(100).events] == [13]


async def test_readers_wait_until_something_comes_or_the_feed_is_closed() -> None:
    feed = Feed()
    with feed.read("kettle") as reader:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(reader.wait())
            await asyncio.sleep(0)
            assert not waiting.done()
            tell(feed, 1)
        assert len(reader.take(10).events) == 1
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(reader.wait())
            await asyncio.sleep(0)
            assert not waiting.done()
            feed.close()
        assert feed.closed
    assert feed.readers == 0


def test_what_was_touched_is_asked_once_and_summaries_touch_nothing() -> None:
    feed = Feed()
    feed.note([draft(REPORTED)], DIRECTORY)
    feed.sweep("teapot", Counter(), Counter(), AT)
    assert feed.touched() == {"kettle", "teapot"}
    feed.tell("kettle", "summary", None, {}, AT)
    assert feed.touched() == set()
    feed.touch("kettle")
    assert feed.touched() == {"kettle"}
