from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.application import retirements
from orchestrator.application.outages import Outages
from orchestrator.application.publisher import Publisher
from orchestrator.application.retirements import Retirer
from orchestrator.domain.endpoints import HistoryKind, TokenState
from tests.parts import NoLink, Retainer, no_time, with_link
from tests.unit.orchestrator.application.desks import START, HandClock

if TYPE_CHECKING:
    from orchestrator.application.parts import Parts
    from tests.unit.orchestrator.application.desks import Desk

DAY = timedelta(days=1)


class Jumped(HandClock):
    """A clock that has jumped lately."""

    def suspension(self) -> timedelta:
        return timedelta(hours=1)


async def at_once(_seconds: float) -> None:
    """No rest."""


class House:
    """A retirer over a desk's endpoints."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.outages = Outages()
        self.parts = replace(with_link(Retainer(), desk.storage, desk.directory, desk.clock), elapsed=no_time)
        self.parts.presence.reconciled = 1

    async def look(self, parts: Parts | None = None, **spans: Any) -> Retirer:  # noqa: ANN401 - its own arguments
        given = parts or self.parts
        publisher = Publisher(given, watermark=0, parked=set())
        terms = {"unseen_after": 30 * DAY, "retire_after": 90 * DAY} | spans
        made = Retirer(given, self.desk.storage, publisher, self.outages, sleep=at_once, **terms)
        await made.look()
        return made

    async def state(self, endpoint_id: str) -> TokenState:
        return (await self.desk.endpoints.get("kettle", endpoint_id)).record.endpoint.token_state


@pytest.fixture
async def house(desk: Desk) -> House:
    """One endpoint "old" that was last heard at the start, "new" 60 days later, "late" 80; it is day 100."""
    await desk.define("1.1.0", "1.0.0")
    for name, days in (("old", 0), ("new", 60), ("late", 20)):
        desk.clock.at += days * DAY
        await desk.enrol(name, "1.0.0")
    desk.clock.at += 20 * DAY
    assert await desk.offer_of("old") == "1.1.0"
    return House(desk)


async def test_a_silent_endpoint_is_retired_and_loses_its_offer(desk: Desk, house: House) -> None:
    retirer = await house.look()
    assert await house.state("old") is TokenState.RETIRED
    assert await house.state("new") is TokenState.ACTIVE
    assert await desk.offer_of("old") is None
    assert await desk.offer_of("new") == "1.1.0"
    assert (house.parts.silences.total, retirer.retired, house.parts.tallies.retired) == (1, 1, 1)
    document = await desk.endpoints.get("kettle", "old")
    entries = [item.entry.kind for item in await desk.storage.history(document, None, 2)]
    assert entries == [HistoryKind.WITHDRAWN, HistoryKind.RETIRED]
    # Its topic is to be cleared.
    assert document.record.push_revision == await desk.storage.last_revision()


async def test_who_is_retired_is_counted_and_not_retired_again(desk: Desk, house: House) -> None:
    await house.look()
    before = await desk.storage.last_revision()
    retirer = await house.look()
    assert (house.parts.silences.total, retirer.retired, house.parts.tallies.retired) == (1, 1, 1)
    assert await desk.storage.last_revision() == before


async def test_without_a_term_silent_endpoints_are_only_counted(house: House) -> None:
    retirer = await house.look(retire_after=None)
    assert (house.parts.silences.total, retirer.retired) == (2, 0)
    assert await house.state("old") is TokenState.ACTIVE


async def test_nobody_is_unseen_where_nobody_wants_to_know(house: House) -> None:
    retirer = await house.look(unseen_after=None)
    assert (house.parts.silences.total, retirer.retired) == (0, 1)
    assert house.parts.silences.of(1) is None
    assert list(retirer.loops()) == ["house.silence"]
    publisher = Publisher(house.parts, watermark=0, parked=set())
    nobody = Retirer(house.parts, house.desk.storage, publisher, house.outages, unseen_after=None, retire_after=None)
    assert nobody.loops() == {}


async def test_who_is_unseen_is_told_to_the_numbers_of_its_application_when_that_changes(
    desk: Desk, house: House
) -> None:
    key = desk.revisions.entry("kettle").application.key
    house.parts.feed.touched()
    await house.look(retire_after=None)
    assert (house.parts.silences.of(key), house.parts.feed.touched()) == (2, {"kettle"})
    await house.look(retire_after=None)
    assert house.parts.feed.touched() == set()
    await desk.report("old", "1.0.0")
    await house.look(retire_after=None)
    assert (house.parts.silences.of(key), house.parts.feed.touched()) == (1, {"kettle"})


async def test_time_without_a_broker_is_no_silence(house: House) -> None:
    house.outages.add(START + 10 * DAY, START + 40 * DAY)
    retirer = await house.look()
    assert await house.state("old") is TokenState.ACTIVE
    assert (house.parts.silences.total, retirer.retired) == (2, 0)


async def test_nobody_is_retired_before_what_waits_in_the_broker_is_heard(house: House) -> None:
    house.parts.presence.reconciled = 0
    assert (await house.look()).retired == 0
    house.parts.presence.reconciled = 1
    away = replace(house.parts, link=NoLink())
    assert (await house.look(away)).retired == 0
    assert await house.state("old") is TokenState.ACTIVE


async def test_nobody_is_retired_while_the_clock_is_not_believed(house: House) -> None:
    jumped = replace(house.parts, clock=Jumped(house.desk.clock.at))
    assert (await house.look(jumped)).retired == 0
    assert await house.state("old") is TokenState.ACTIVE


async def test_more_than_a_transaction_takes_are_retired_in_several(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retirements, "RETIRED", 2)
    steps: list[str] = []
    desk.clock.at += 90 * DAY
    retirer = await house.look(replace(house.parts, steps=steps.append))
    assert (house.parts.silences.total, retirer.retired) == (0, 3)
    assert steps == ["retirement-written", "endpoints-retired"] * 2


async def test_it_looks_again_and_again(house: House) -> None:
    rests: list[float] = []

    class Enough(Exception):
        """The test has seen enough."""

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if rests.count(retirements.ROUND_SECONDS) == 2:
            raise Enough

    publisher = Publisher(house.parts, watermark=0, parked=set())
    retirer = Retirer(
        house.parts,
        house.desk.storage,
        publisher,
        house.outages,
        unseen_after=None,
        retire_after=90 * DAY,
        sleep=rest,
    )
    with pytest.raises(Enough):
        await retirer.run()
    assert rests[0] == retirements.FIRST_SECONDS
    assert await house.state("old") is TokenState.RETIRED
