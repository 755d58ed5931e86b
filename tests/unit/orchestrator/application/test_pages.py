from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator.application import drafts
from orchestrator.application.paces import Pace
from orchestrator.application.pages import PAGE, Pages
from orchestrator.application.preconditions import UNCONDITIONAL
from orchestrator.domain.versions import Version
from tests.parts import without_broker
from tests.unit.orchestrator.application.desks import APP, application_body, open_desk

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from orchestrator.application.classes import Look, Work
    from orchestrator.application.directory import Entry
    from orchestrator.application.documents.events import Event
    from tests.unit.orchestrator.application.desks import Desk

DEADLINE_SECONDS = 20
NEW = Version.parse("1.1.0")


class Book:
    """Pages of three endpoints, and what is told of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.parts = without_broker(desk.storage, desk.directory, desk.clock)
        self.pages = Pages(self.parts)
        self.pages._pace = Pace(most=3, size=3)

    async def work(self) -> Work:
        return (await self.desk.storage.works())[0]

    async def turn(self) -> tuple[int | None, list[Event]]:
        """Turn the next page of the oldest change; return where it goes on, and what was told."""
        with self.parts.feed.read() as reader:
            end = await self.pages.turn(await self.work())
            return end, list(reader.take(100).events)


async def fleet(desk: Desk, *names: str) -> None:
    for name in names:
        await desk.enrol(name, "1.0.0")


async def test_a_page_ends_behind_its_last_endpoint_and_the_work_is_done_when_none_is_left(desk: Desk) -> None:
    await fleet(desk, "a", "b", "c", "d")
    await desk.define("1.1.0", "1.0.0")
    book = Book(desk)
    end, told = await book.turn()
    assert end == (await desk.endpoints.get(APP, "c")).record.key == (await book.work()).cursor
    assert [await desk.offer_of(name) for name in ("a", "b", "c", "d")] == ["1.1.0", "1.1.0", "1.1.0", None]
    assert [(event.kind, event.data) for event in told] == [
        ("offers.changed", {"offered": {"1.1.0": 3}, "withdrawn": {}})
    ]
    await book.turn()
    assert await desk.offer_of("d") == "1.1.0"
    assert await book.turn() == (None, [])
    assert await desk.storage.works() == []


async def test_what_is_offered_for_the_first_time_is_frozen_and_pushed(desk: Desk) -> None:
    await fleet(desk, "a")
    await desk.define("1.1.0", "1.0.0")
    book = Book(desk)
    assert desk.revisions.entry(APP).software[NEW].offered_at is None
    await book.turn()
    assert desk.revisions.entry(APP).software[NEW].offered_at == desk.clock.at
    (stored,) = await desk.storage.entries()
    assert stored.software[NEW].offered_at == desk.clock.at
    assert book.parts.signals.pushes.is_set()


async def test_endpoints_with_anything_particular_are_decided_and_told_with_the_others(desk: Desk) -> None:
    await fleet(desk, "plain")
    await desk.enrol("pinned", "1.0.0", pinned="1.1.0")
    await desk.define("1.1.0", "1.0.0")
    await desk.sweep()
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    _, told = await Book(desk).turn()
    assert [event.data for event in told] == [{"offered": {}, "withdrawn": {"1.1.0": 2}}]
    assert [await desk.offer_of(name) for name in ("plain", "pinned")] == [None, None]


async def test_a_page_on_which_nothing_changes_writes_and_tells_nothing(desk: Desk) -> None:
    await fleet(desk, "a")
    await desk.enrol("pinned", "1.0.0", pinned="1.0.0")
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    async with desk.storage.edit() as edit:
        await edit.add_work(desk.revisions.entry(APP).application.key, {Version.parse("1.0.0")}, desk.clock.at)
    before = await desk.storage.last_revision()
    _, told = await Book(desk).turn()
    assert (told, await desk.storage.last_revision()) == ([], before)


async def test_behind_a_page_on_which_nothing_changes_no_page_waits_for_the_writer_until_something_does(
    desk: Desk,
) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g", "h", "i")
    await fleet(desk, *names)
    await desk.define("1.1.0", "1.0.0")
    await desk.sweep()
    key = {name: (await desk.endpoints.get(APP, name)).record.key for name in names}
    # It concerns all, and only the last one gets another offer by it.
    await desk.report("i", "1.1.0")
    await desk.define("1.2.0", "1.1.0")
    book = Book(desk)
    work = await book.work()
    assert await book.pages.turn(work) == key["c"]
    async with asyncio.timeout(DEADLINE_SECONDS), desk.storage.transaction():
        # Nobody else can write now.
        assert await book.pages.turn(replace(work, cursor=key["c"])) == key["f"]
    assert (await book.work()).cursor == key["c"]
    assert await book.pages.turn(replace(work, cursor=key["f"])) == key["i"]
    assert await desk.offer_of("i") == "1.2.0"
    assert (await book.work()).cursor == key["i"]
    assert await book.turn() == (None, [])
    assert await desk.storage.works() == []
    assert [await desk.offer_of(name) for name in names[:-1]] == ["1.1.0"] * 8


async def still(desk: Desk, *names: str) -> tuple[Book, Work]:
    """A change that concerns these and changes none of their classes, when its first page is done."""
    await fleet(desk, *names)
    await desk.define("1.1.0", "1.0.0")
    await desk.sweep()
    await desk.define("1.2.0", "1.1.0")
    book = Book(desk)
    work = await book.work()
    end = await book.pages.turn(work)
    assert end is not None
    return book, replace(work, cursor=end)


async def test_the_first_page_of_a_change_has_its_turn_with_the_writer_whatever_the_change_before_did(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, work = await still(desk, "a", "b", "c", "d", "e")
    looked = []

    async def look(of: Work, limit: int, entry: Entry) -> Look:
        looked.append(of.number)
        return await at_once(of, limit, entry)

    at_once = desk.storage.look
    monkeypatch.setattr(desk.storage, "look", look)
    # Beside the writer the definitions may be older than the change: a server has not answered its commit.
    await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
    new = (await desk.storage.works())[-1]
    assert new.number != work.number
    end = await book.pages.turn(new)
    assert (looked, await desk.offer_of("a")) == ([], None)
    assert end is not None
    assert await book.pages.turn(work) is not None
    assert looked == []


async def test_what_has_to_be_decided_one_by_one_is_decided_behind_still_pages_too(desk: Desk) -> None:
    book, work = await still(desk, "a", "b", "c", "d", "e")
    before = await desk.storage.last_revision()
    # Nobody has decided for it since.
    pinned = (await desk.endpoints.get(APP, "d")).record
    async with desk.storage.transaction() as transaction:
        (record,) = await transaction.find_keys([pinned.key], None)
        draft = drafts.begin(record)
        draft.after = replace(record.endpoint, pinned=Version.parse("1.0.0"))
        await transaction.store([draft], [None], desk.clock.at)
    end = await book.pages.turn(work)
    assert end == (await desk.endpoints.get(APP, "e")).record.key == (await book.work()).cursor
    assert [await desk.offer_of(name) for name in ("c", "d", "e")] == ["1.1.0", None, "1.1.0"]
    assert [push.key for push in await desk.storage.pushes(before, 10)] == [pinned.key]


async def test_what_was_seen_under_definitions_that_have_changed_is_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, work = await still(desk, "a", "b", "c", "d")
    really = desk.storage.look

    async def look(work: Work, limit: int, entry: Entry) -> Look:
        found = await really(work, limit, entry)
        await desk.define("1.1.0", "1.0.0", rolloutStrategy="suspended")
        return found

    monkeypatch.setattr(desk.storage, "look", look)
    await book.pages.turn(work)
    assert [await desk.offer_of(name) for name in ("c", "d")] == ["1.1.0", None]


async def test_an_application_that_pushes_in_another_way_has_every_offer_written_anew(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.define("1.1.0", "1.0.0")
        await fleet(desk, "a", "b")
        await desk.enrol("idle", "9.0.0")
        before = await desk.storage.last_revision()
        await desk.applications.put(APP, application_body(push="live"), UNCONDITIONAL)
        await Book(desk).turn()
        pushes = await desk.storage.pushes(before, 10)
        # What was retained is cleared, then the offer is sent.
        assert [(push.topic is None, push.token) for push in pushes] == [
            (False, ""),
            (True, "a"),
            (False, ""),
            (True, "b"),
        ]


async def test_work_of_an_application_that_is_gone_is_dropped(desk: Desk) -> None:
    await fleet(desk, "a")
    await desk.define("1.1.0", "1.0.0")
    desk.directory.remove(desk.revisions.entry(APP).application.key)
    assert await Book(desk).turn() == (None, [])
    assert await desk.storage.works() == []


async def test_the_next_page_is_smaller_where_one_takes_long(desk: Desk) -> None:
    await fleet(desk, "a")
    await desk.define("1.1.0", "1.0.0")
    pages = Pages(without_broker(desk.storage, desk.directory, desk.clock))
    pages._pace = Pace(most=PAGE, size=PAGE)
    seconds = iter((0.0, 1.0))
    pages._elapsed = lambda: next(seconds)
    await pages.turn((await desk.storage.works())[0])
    assert pages._pace.size == PAGE // 2


async def test_offers_from_before_a_limit_give_their_slots_back_as_later_ones_do(desk: Desk) -> None:
    """They were made without a term: nothing would ever have let their slots go."""
    await fleet(desk, "a")
    await desk.define("1.1.0", "1.0.0")
    await desk.sweep()
    before = await desk.endpoints.get(APP, "a")
    await desk.define("1.1.0", "1.0.0", rollout={"limits": {"inProgress": 1, "claim": "PT5M"}})
    await desk.sweep()
    after = await desk.endpoints.get(APP, "a")
    offer = after.record.endpoint.offer
    assert offer is not None
    assert (before.due_at, after.due_at) == (None, offer.offered_at + timedelta(minutes=5))
    assert after.record.endpoint == before.record.endpoint
