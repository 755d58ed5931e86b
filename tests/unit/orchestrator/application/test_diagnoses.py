"""The doctor finds what is wrong, says so by name, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.diagnoses import MIB, Check, Complaints, Diagnoses, Door, Inspection, Status
from protocol.links import LinkLost
from protocol.topics import Instances
from tests.parts import NoLink, Retainer
from tests.unit.orchestrator.application.desks import HandClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.links import Link, Outbound

NAMES = [
    "broker.connection",
    "broker.subscriptions",
    "broker.version",
    "broker.dropped",
    "broker.limits",
    "broker.round-trip",
    "broker.access",
    "broker.told",
    "clock",
    "database",
    "pushes.parked",
    "dead-letters",
    "keys",
]
WELL = Inspection(
    size_bytes=MIB,
    wal_bytes=0,
    free_bytes=10_000 * MIB,
    damage=None,
    waiting=0,
    parked=0,
    parked_topic=None,
    dead_letters=0,
    last_error=None,
)
PUSH = "kp1/otao-doctor/cmx_ota/main/config/json/status"
PROBES = {
    "offers": PUSH,
    "reports": "kp1/otao-doctor/cmx_ota/main/applied/json/status",
    "commands": "otao/v1/otao.doctor/control/main/status",
}


@dataclass
class Shelf:
    """A database that says what a test wants."""

    told: Inspection = WELL

    async def inspect(self) -> Inspection:
        return self.told


class Jumpy(HandClock):
    def suspension(self) -> timedelta:
        return timedelta(hours=1)


class Silent(Retainer):
    """A broker that does not let us read."""

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        raise LinkLost(f"the broker refused to let us read {topics[0]}")


@dataclass
class Deaf(Retainer):
    """A broker that takes everything, and lets us read all but one topic."""

    unread: str

    def __post_init__(self) -> None:
        super().__init__()

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        return await super().read_retained([topic for topic in topics if topic != self.unread])


class Forgetful(Retainer):
    """A broker that retains nothing."""

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        return await super().publish([replace(message, retain=False) for message in messages])


@dataclass(kw_only=True)
class Ward:
    link: Link = field(default_factory=Retainer)
    told: Inspection = WELL
    clock: HandClock = field(default_factory=HandClock)
    door: Door = field(default_factory=lambda: Door(loopback=True, keys=1))
    refused: Sequence[str] = ()
    untold: int = 0
    trouble: str | None = None

    async def checks(self) -> dict[str, Check]:
        doctor = Diagnoses(
            self.link,
            Shelf(self.told),
            self.clock,
            lambda: self.door,
            partition="main",
            instances=Instances(),
            complaints=Complaints(
                trouble=lambda: self.trouble, refused=lambda: self.refused, untold=lambda: self.untold
            ),
        )
        return {item.check: item for item in await doctor.run()}


def broker(**said: str) -> Retainer:
    link = Retainer()
    named = {"version": "$SYS/broker/version", "dropped": "$SYS/broker/publish/messages/dropped"}
    link.retained = {named[name]: text.encode() for name, text in said.items()}
    return link


async def test_where_all_is_well_every_check_says_so_without_advice() -> None:
    found = await Ward(link=broker(version="mosquitto version 2.0.22", dropped="0")).checks()
    assert list(found) == NAMES
    assert {item.status for item in found.values()} == {Status.OK}
    assert {item.advice for item in found.values()} == {None}


async def test_the_probes_leave_nothing_behind() -> None:
    link = broker()
    await Ward(link=link).checks()
    assert link.retained == {}
    assert {message.topic for message in link.sent if not message.payload} >= set(PROBES.values())


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("mosquitto version 2.0.10", Status.OK),
        ("mosquitto version 2.0.11", Status.WARNING),
        ("mosquitto version 2.0.21", Status.WARNING),
        ("mosquitto version 2.0.22", Status.OK),
        ("mosquitto version 2.1.15", Status.OK),
        ("another broker 7", Status.OK),
    ],
)
async def test_mosquittos_with_a_window_that_grows_are_told(text: str, status: Status) -> None:
    check = (await Ward(link=broker(version=text)).checks())["broker.version"]
    assert check.status is status
    assert text in check.detail
    assert (check.advice is not None) == (status is Status.WARNING)


async def test_refused_subscriptions_are_told() -> None:
    check = (await Ward(refused=["kp1/a/cmx/+/#", "kp1/b/cmx/+/#"]).checks())["broker.subscriptions"]
    assert check.status is Status.FAILED
    assert "refuses 2 subscriptions, kp1/a/cmx/+/# among them" in check.detail


async def test_dropped_messages_are_told() -> None:
    check = (await Ward(link=broker(dropped="1020")).checks())["broker.dropped"]
    assert (check.status, "1020" in check.detail) == (Status.WARNING, True)
    assert (await Ward(link=broker(dropped="?")).checks())["broker.dropped"].status is Status.OK


async def test_narrow_limits_are_told() -> None:
    link = Retainer()
    assert link.connection is not None
    for connection in (
        replace(link.connection, receive_maximum=20),
        replace(link.connection, maximum_packet_bytes=65536),
    ):
        link.connection = connection
        assert (await Ward(link=link).checks())["broker.limits"].status is Status.WARNING


async def test_a_slow_round_trip_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr("orchestrator.application.diagnoses.time.perf_counter", lambda: next(ticks) * 0.044)
    check = (await Ward().checks())["broker.round-trip"]
    assert (check.status, check.detail) == (Status.WARNING, "44.0 ms from a publish to its acknowledgement")
    assert "set_tcp_nodelay" in str(check.advice)


async def test_without_a_broker_the_rest_is_looked_at() -> None:
    found = await Ward(link=NoLink()).checks()
    assert list(found) == ["broker.connection", *NAMES[8:]]
    assert found["broker.connection"].status is Status.FAILED
    assert found["broker.connection"].detail == "there is no connection to the broker"


async def test_why_there_is_no_connection_is_told() -> None:
    found = await Ward(link=NoLink(), trouble="127.0.0.1:1883: Connection refused").checks()
    told = "there is no connection to the broker: 127.0.0.1:1883: Connection refused"
    assert found["broker.connection"].detail == told


async def test_access_that_is_refused_is_told() -> None:
    refusing = Retainer()
    refusing.refused = {PUSH, "otao/v1/partition/main/probe"}
    found = await Ward(link=refusing).checks()
    assert [found[name].status for name in ("broker.round-trip", "broker.access")] == [Status.FAILED] * 2
    assert "0x87" in found["broker.access"].detail
    silent = (await Ward(link=Silent()).checks())["broker.access"]
    assert (silent.status, "refused to let us read" in silent.detail) == (Status.FAILED, True)


async def test_a_broker_that_does_not_retain_is_told() -> None:
    check = (await Ward(link=Forgetful()).checks())["broker.access"]
    told = "the broker does not retain offers, or does not let them be read"
    assert (check.status, check.detail) == (Status.FAILED, told)


@pytest.mark.parametrize("kind", PROBES)
async def test_each_kind_that_cannot_be_written_or_read_is_told(kind: str) -> None:
    refusing, deaf = Retainer(), Deaf(unread=PROBES[kind])
    refusing.refused = {PROBES[kind]}
    written, read = [(await Ward(link=link).checks())["broker.access"] for link in (refusing, deaf)]
    assert (written.status, written.detail) == (Status.FAILED, f"the broker refuses {kind} (reason code 0x87)")
    assert (read.status, f"does not retain {kind}" in read.detail) == (Status.FAILED, True)
    assert "`otao acl`" in str(written.advice)
    assert {message.topic for message in deaf.sent[-3:] if not message.payload} == set(PROBES.values())


async def test_what_people_are_not_told_is_told() -> None:
    check = (await Ward(untold=7).checks())["broker.told"]
    assert check.status is Status.WARNING
    assert "refused 7 events, summaries" in check.detail


@pytest.mark.parametrize(
    ("told", "check", "status"),
    [
        (replace(WELL, damage="row 3 missing"), "database", Status.FAILED),
        (replace(WELL, free_bytes=MIB), "database", Status.FAILED),
        (replace(WELL, free_bytes=500 * MIB), "database", Status.WARNING),
        (replace(WELL, wal_bytes=600 * MIB), "database", Status.WARNING),
        (replace(WELL, parked=2, parked_topic="kp1/a"), "pushes.parked", Status.WARNING),
        (replace(WELL, dead_letters=3, last_error="KeyError"), "dead-letters", Status.WARNING),
    ],
)
async def test_what_is_wrong_in_the_database_is_told(told: Inspection, check: str, status: Status) -> None:
    found = await Ward(told=told).checks()
    assert found[check].status is status
    assert found[check].advice
    assert {item.status for name, item in found.items() if name != check} == {Status.OK}


async def test_a_clock_that_jumped_is_told() -> None:
    assert (await Ward(clock=Jumpy()).checks())["clock"].status is Status.WARNING


@pytest.mark.parametrize(
    ("door", "status"),
    [
        (Door(loopback=True, keys=0), Status.OK),
        (Door(loopback=True, keys=2), Status.OK),
        (Door(loopback=False, keys=2), Status.WARNING),
        (Door(loopback=False, keys=0), Status.FAILED),
    ],
)
async def test_who_may_come_in_is_told(door: Door, status: Status) -> None:
    assert (await Ward(door=door).checks())["keys"].status is status
