"""The engine in virtual time: time moves when it is told to, and the same calls have the same outcome."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from orchestrator.application.problems import RequestError
from orchestrator.application.retentions import Retention, Term
from orchestrator.virtual import BATCH, Pages, VirtualClock, VirtualLink, open_engine
from protocol.links import Outbound

APP = "kettle"
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def catalogue(rollout: dict[str, Any] | None = None) -> dict[str, Any]:
    new = {
        "version": "1.1.0",
        "upgradableFrom": ["1.0.0"],
        "rolloutStrategy": "general",
        "specification": {"link": "https://images.example/1.1.0"},
        **({} if rollout is None else {"rollout": rollout}),
    }
    return {"appVersions": ["kettle-v1"], "registration": "open", "software": [new]}


STAGED = {
    "stages": [{"count": 2, "soak": "PT1H", "minAttempted": 2}, {"percent": 100, "soak": "PT1H", "minAttempted": 2}]
}


def report(token: str, version: str) -> tuple[str, bytes]:
    return f"kp1/kettle-v1/cmx_ota/{token}/applied/json", json.dumps({"configId": version}).encode()


class Fleet:
    """What was published, and who holds an offer."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.offers: dict[str, str] = {}

    def deliver(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))
        if topic.endswith("/config/json/status"):
            token = topic.split("/")[3]
            self.offers.pop(token, None)
            if payload:
                self.offers[token] = json.loads(payload)["configId"]


async def test_endpoints_speak_and_are_offered_something_when_it_settles() -> None:
    fleet = Fleet()
    async with open_engine(BEGIN, fleet.deliver) as engine:
        await engine.apply(APP, catalogue())
        await engine.say([report("a", "1.0.0")])
        assert fleet.offers == {}
        await engine.settle()
        assert fleet.offers == {"a": "1.1.0"}
        await engine.say([report("a", "1.1.0")])
        await engine.settle()
        assert fleet.offers == {}
        assert (await engine.progress(APP, "1.1.0"))["stages"][0]["confirmed"] == 1


async def test_more_messages_than_a_transaction_takes_are_taken_in_several() -> None:
    fleet = Fleet()
    async with open_engine(BEGIN, fleet.deliver) as engine:
        await engine.apply(APP, catalogue())
        await engine.say([report(f"e{number}", "1.0.0") for number in range(BATCH + 1)])
        await engine.settle()
        assert len(fleet.offers) == BATCH + 1


async def drive() -> tuple[list[tuple[str, bytes]], list[tuple[datetime, tuple[str, int]]]]:
    """A staged rollout to its end, every endpoint doing as it is told at once."""
    fleet, way = Fleet(), []
    async with open_engine(BEGIN, fleet.deliver) as engine:
        await engine.apply(APP, catalogue(STAGED))
        await engine.say([report(f"e{number}", "1.0.0") for number in range(6)])
        for _ in range(50):
            await engine.elapse()
            way.append((engine.clock.now(), engine.phase(APP, "1.1.0")))
            if engine.phase(APP, "1.1.0")[0] == "finished":
                break
            told = sorted(fleet.offers.items())
            if told:
                await engine.say([report(token, version) for token, version in told])
            else:
                engine.clock.at = await engine.next_at() or engine.clock.at + timedelta(seconds=1)
    return fleet.heard, way


async def test_a_rollout_takes_its_time_and_nobody_else_s() -> None:
    _, way = await drive()
    assert way[-1][1] == ("finished", 1)
    # Two soaks of an hour, one after the other, and a few looks of the gates.
    assert 2 * HOUR <= way[-1][0] - BEGIN < 2 * HOUR + timedelta(minutes=1)


async def test_the_same_calls_have_the_same_outcome() -> None:
    assert await drive() == await drive()


async def test_the_next_instant_is_a_timer_or_a_date_and_none_when_nothing_waits() -> None:
    async with open_engine(BEGIN, lambda _topic, _payload: None) as engine:
        dated = catalogue({"start": "2026-03-01T15:00:00Z"})
        await engine.apply(APP, dated)
        assert await engine.next_at() == BEGIN + 3 * HOUR
        engine.clock.at += 3 * HOUR
        await engine.elapse()
        assert await engine.next_at() is None
        await engine.say([report("a", "1.0.0")])
        await engine.settle()
        await engine.say([report("a", "1.0.0")])
        # Its deadline, from the moment at which it was reached.
        assert await engine.next_at() == engine.clock.at + timedelta(days=1)


async def test_who_waits_for_room_is_known() -> None:
    async with open_engine(BEGIN, lambda _topic, _payload: None) as engine:
        await engine.apply(APP, catalogue({"limits": {"inProgress": 1}}))
        await engine.say([report("a", "1.0.0")])
        assert not await engine.paced()
        await engine.say([report("b", "1.0.0")])
        assert await engine.paced()


async def grow(retention: Retention) -> list[Pages]:
    """The size of the database in each month of a year in which everybody says something every other day."""
    sizes = []
    async with open_engine(BEGIN, lambda _topic, _payload: None) as engine:
        await engine.apply(APP, catalogue())
        for _ in range(12):
            for _ in range(15):
                engine.clock.at += timedelta(days=2)
                await engine.say([report(f"e{number}", "1.0.0") for number in range(20)])
            await engine.settle()
            await engine.keep_house(retention)
            sizes.append(await engine.pages())
    return sizes


async def test_with_retention_a_year_of_reports_does_not_make_the_database_grow() -> None:
    forever = await grow(Retention())
    assert all(one.size_bytes < other.size_bytes for one, other in pairwise(forever))
    by_age = await grow(Retention(history=timedelta(days=60)))
    by_number = await grow(Retention(per_endpoint=30))
    for kept in (by_age, by_number):
        # What is freed is used again: after the second month nothing is added.
        assert kept[-1].size_bytes <= kept[2].size_bytes * 1.1
        assert kept[-1].size_bytes < forever[-1].size_bytes
        assert 0 <= kept[-1].free_bytes < kept[-1].size_bytes


async def test_what_was_removed_is_counted_by_kind() -> None:
    async with open_engine(BEGIN, lambda _topic, _payload: None) as engine:
        await engine.apply(APP, catalogue())
        await engine.say([report("a", "1.0.0")] * 5)
        removed = await engine.keep_house(Retention(per_endpoint=2, audit=Term(most=1)))
        assert removed["history"] == 4
        assert set(removed) <= {"history", "audit"}


async def test_what_is_refused_is_refused_here_as_well() -> None:
    async with open_engine(BEGIN, lambda _topic, _payload: None) as engine:
        with pytest.raises(RequestError):
            await engine.apply(APP, {**catalogue(), "color": "red"})
        with pytest.raises(LookupError):
            engine.phase(APP, "1.1.0")


async def test_the_clock_stands_still_and_the_link_takes_everything() -> None:
    clock = VirtualClock(BEGIN)
    assert (clock.now(), clock.now(), clock.suspension()) == (BEGIN, BEGIN, timedelta())
    heard: list[tuple[str, bytes]] = []
    link = VirtualLink(lambda topic, payload: heard.append((topic, payload)))
    assert await link.publish([Outbound(topic="a", payload=b"1"), Outbound(topic="b", payload=b"2")]) == [0, 0]
    assert (heard, await link.read_retained(["a"])) == ([("a", b"1"), ("b", b"2")], {})
    with pytest.raises(NotImplementedError):
        await link.receive(1)
