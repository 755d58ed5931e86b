"""The doctor: looks at the broker, the database, the clock and the keys, and says what to change.

Rules:
- Nothing is changed, the broker's probe topics aside, which are cleared again.
- A check that cannot be made is one that failed, and says why; the others go on.

Layer: application.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from statistics import median
from typing import TYPE_CHECKING, Protocol

from protocol import controls, topics
from protocol.links import MQTT_5, REFUSED, LinkLost, Outbound
from protocol.topics import Address, Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.application.ports import Clock
    from protocol.links import Connection, Link
    from protocol.topics import Instances

MIB = 1024 * 1024
SLOW_MS = 20.0
"""A round trip on loopback takes 0.3 ms; Nagle's algorithm with delayed acknowledgements makes 44 ms of it."""
ROUNDS = 5
RECEIVE_AT_LEAST = 100
PACKET_AT_LEAST = 128 * 1024
WAL_AT_MOST = 512 * MIB
FREE_AT_LEAST = 1024 * MIB
FREE_AT_ALL = 64 * MIB
RULES = "give Otao's user the access rules that `otao acl` prints"
_APP_VERSION = "otao-doctor"
"""Of no endpoint: what is said there is for the doctor alone."""
_VERSION = "$SYS/broker/version"
_DROPPED = "$SYS/broker/publish/messages/dropped"
_MOSQUITTO = re.compile(r"mosquitto version (\d+)\.(\d+)\.(\d+)")
_WORN = range(11, 22)
"""Patch numbers of Mosquitto 2.0 whose window grows without bound."""


class Status(Enum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check, and what to do about it."""

    check: str
    """Its name; stable."""
    status: Status
    detail: str
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a database says of itself."""

    size_bytes: int
    wal_bytes: int | None
    """None here and below: it is a server, which looks after its log and its disk itself."""
    free_bytes: int | None
    """On its disk."""
    damage: str | None
    """The first thing that is wrong inside; None: nothing was found."""
    waiting: int
    """Push revisions that the broker has not acknowledged."""
    parked: int
    """Push topics that the broker refuses."""
    parked_topic: str | None
    """One of them."""
    dead_letters: int
    last_error: str | None
    """Why the newest dead letter could not be processed."""


class Inspected(Protocol):
    """The database, as the doctor needs it."""

    async def inspect(self) -> Inspection:
        """Look at it; takes longer the larger it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Who may come in over HTTP."""

    loopback: bool
    """Whether only this machine can connect."""
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaints:
    """What the links know of what went wrong with the broker."""

    trouble: Callable[[], str | None] = lambda: None
    """Why there is no connection."""
    refused: Callable[[], Sequence[str]] = list
    """The subscriptions that the broker does not accept."""
    untold: Callable[[], int] = int
    """How much of what people and their tools are told the broker has refused."""


class Diagnoses:
    """The doctor of one service."""

    def __init__(
        self,
        link: Link,
        database: Inspected,
        clock: Clock,
        door: Callable[[], Door],
        *,
        partition: str,
        instances: Instances,
        complaints: Complaints | None = None,
    ) -> None:
        """Take what is looked at."""
        self._link = link
        self._database = database
        self._clock = clock
        self._door = door
        self._complaints = complaints or Complaints()
        self._probe = topics.probe_topic(partition)
        self._probes = _probes(instances, partition)
        self._turn = asyncio.Lock()

    async def run(self) -> list[Check]:
        """Make every check, one after the other; several callers wait for each other."""
        async with self._turn:
            broker = await self._broker()
            inspection = await self._database.inspect()
        clock = _clock(suspended=bool(self._clock.suspension()))
        return [*broker, clock, *_database(inspection), _keys(self._door())]

    async def _broker(self) -> list[Check]:
        connection = self._link.connection
        if connection is None:
            trouble = self._complaints.trouble()
            told = "there is no connection to the broker" + ("" if trouble is None else f": {trouble}")
            return [_failed("broker.connection", told, "see whether it runs at OTAO_MQTT_URL, and the service's log")]
        level = "MQTT 5" if connection.protocol_level >= MQTT_5 else "MQTT 3.1.1"
        session = "kept its session" if connection.session_present else "started a new session"
        found = [_ok("broker.connection", f"connected with {level}, connection {connection.number}; {session}")]
        found.append(_subscriptions(self._complaints.refused()))
        try:
            said = await self._link.read_retained([_VERSION, _DROPPED])
            found += [_version(said.get(_VERSION)), _dropped(said.get(_DROPPED)), _limits(connection)]
            found += [await self._round_trip(), await self._access()]
        except LinkLost as lost:
            found.append(_failed("broker.access", str(lost), RULES))
        return [*found, _told(self._complaints.untold())]

    async def _round_trip(self) -> Check:
        spans = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            codes = await self._link.publish([Outbound(topic=self._probe, payload=b"")])
            spans.append((time.perf_counter() - started) * 1000)
            if codes[0] >= REFUSED:
                told = f"the broker refuses {self._probe} (reason code 0x{codes[0]:02x})"
                return _failed("broker.round-trip", told, RULES)
        took = median(spans)
        detail = f"{took:.1f} ms from a publish to its acknowledgement"
        if took <= SLOW_MS:
            return _ok("broker.round-trip", detail)
        return _warning("broker.round-trip", detail, "set `set_tcp_nodelay true` in mosquitto.conf, or bring it nearer")

    async def _access(self) -> Check:
        """Whether each kind gets to the broker, is retained there and can be read: only reading it back tells."""
        token = secrets.token_hex(8).encode()
        try:
            codes = await self._link.publish(
                [Outbound(topic=topic, payload=token, retain=True) for topic in self._probes.values()]
            )
            held = await self._link.read_retained(list(self._probes.values()))
        finally:
            await self._link.publish(
                [Outbound(topic=topic, payload=b"", retain=True) for topic in self._probes.values()]
            )
        for (kind, topic), code in zip(self._probes.items(), codes, strict=True):
            if code >= REFUSED:
                return _failed("broker.access", f"the broker refuses {kind} (reason code 0x{code:02x})", RULES)
            if held.get(topic) != token:
                told = f"the broker does not retain {kind}, or does not let them be read"
                return _failed("broker.access", told, RULES)
        return _ok("broker.access", f"{', '.join(self._probes)} are taken, retained and read")


def _probes(instances: Instances, partition: str) -> Mapping[str, str]:
    """A topic for each kind of message that Otao hears, where nobody else does: it is one of an answer."""
    report = Address(
        app_version=_APP_VERSION,
        kind=Kind.SOFTWARE,
        instance=instances.software,
        token=partition,
        resource=Resource.APPLIED,
    )
    return {
        "offers": topics.push_topic(instances, _APP_VERSION, partition),
        "reports": topics.status_topic(topics.build(report)),
        "commands": controls.probe_topic(partition),
    }


def _ok(check: str, detail: str) -> Check:
    return Check(check=check, status=Status.OK, detail=detail)


def _warning(check: str, detail: str, advice: str) -> Check:
    return Check(check=check, status=Status.WARNING, detail=detail, advice=advice)


def _failed(check: str, detail: str, advice: str) -> Check:
    return Check(check=check, status=Status.FAILED, detail=detail, advice=advice)


def _version(said: bytes | None) -> Check:
    if said is None:
        return _ok("broker.version", f"the broker does not say on {_VERSION}")
    text = said.decode(errors="replace")
    found = _MOSQUITTO.search(text)
    if found is None or found[1] != "2" or found[2] != "0" or int(found[3]) not in _WORN:
        return _ok("broker.version", text)
    detail = (
        f"{text}: with a backlog its window grows without bound and breaks the receive maximum; "
        "above 65,535 unacknowledged messages packet identifiers collide"
    )
    return _warning("broker.version", detail, "use Mosquitto 2.0.22 or later")


def _subscriptions(refused: Sequence[str]) -> Check:
    if not refused:
        return _ok("broker.subscriptions", "the broker refuses no subscription")
    detail = f"the broker refuses {len(refused)} subscriptions, {refused[0]} among them: nothing is heard on these"
    return _failed("broker.subscriptions", detail, f"{RULES}; it tries every minute")


def _dropped(said: bytes | None) -> Check:
    amount = int(said) if said is not None and said.isdigit() else 0
    if not amount:
        return _ok("broker.dropped", "the broker has dropped nothing, as far as it says")
    detail = f"the broker has dropped {amount} messages since it started"
    return _warning("broker.dropped", detail, "raise max_queued_messages (10000000); never 0")


def _told(untold: int) -> Check:
    if not untold:
        return _ok("broker.told", "the broker refuses nothing that people and tools are told, as far as it says")
    detail = (
        f"the broker has refused {untold} events, summaries, answers or words on presence since the service started"
    )
    return _warning("broker.told", detail, RULES)


def _limits(connection: Connection) -> Check:
    packet = connection.maximum_packet_bytes
    size = "any size" if packet is None else f"{packet} bytes"
    detail = f"takes {connection.receive_maximum} unacknowledged publishes, packets of {size}"
    if packet is not None and packet < PACKET_AT_LEAST:
        return _warning("broker.limits", detail, "raise max_packet_size to 1048576")
    if connection.receive_maximum < RECEIVE_AT_LEAST:
        return _warning("broker.limits", detail, "raise max_inflight_messages to 2000")
    return _ok("broker.limits", detail)


def _clock(*, suspended: bool) -> Check:
    if not suspended:
        return _ok("clock", "no jump in the last hour")
    detail = "it has jumped in the last hour; deadlines are suspended meanwhile"
    return _warning("clock", detail, "synchronise it (chrony, systemd-timesyncd)")


def _database(found: Inspection) -> Sequence[Check]:
    return (_storage(found), _parked(found), _dead_letters(found))


def _storage(found: Inspection) -> Check:
    waiting = f"{found.waiting} push revisions are not acknowledged by the broker"
    if found.damage is not None:
        return _failed("database", f"it is damaged: {found.damage}", "stop the service and restore a backup")
    if found.wal_bytes is None or found.free_bytes is None:
        return _ok("database", f"PostgreSQL, {_mib(found.size_bytes)}; {waiting}")
    detail = (
        f"{_mib(found.size_bytes)}, write-ahead log {_mib(found.wal_bytes)}, {_mib(found.free_bytes)} free; {waiting}"
    )
    if found.free_bytes < FREE_AT_ALL:
        return _failed("database", detail, "make room on its disk: reports are not acknowledged without")
    if found.free_bytes < FREE_AT_LEAST:
        return _warning("database", detail, "make room on its disk")
    if found.wal_bytes > WAL_AT_MOST:
        return _warning("database", detail, "something keeps it open: end other readers of the file")
    return _ok("database", detail)


def _mib(amount: int) -> str:
    return f"{amount / MIB:.1f} MiB"


def _parked(found: Inspection) -> Check:
    if not found.parked:
        return _ok("pushes.parked", "the broker refuses no push topic")
    detail = f"the broker refuses {found.parked} push topics, {found.parked_topic} among them"
    return _warning("pushes.parked", detail, RULES)


def _dead_letters(found: Inspection) -> Check:
    if not found.dead_letters:
        return _ok("dead-letters", "every message could be processed")
    detail = f"{found.dead_letters} messages could not be processed; last: {found.last_error}"
    return _warning("dead-letters", detail, "please report it: each is a defect; the table dead_letter keeps them")


def _keys(door: Door) -> Check:
    if door.keys:
        where = "on loopback" if door.loopback else "beyond loopback, unencrypted"
        detail = f"{door.keys} API keys; listening {where}"
        return _ok("keys", detail) if door.loopback else _warning("keys", detail, "put a proxy with TLS in front")
    if door.loopback:
        return _ok("keys", "no API keys: everybody on this machine may change everything")
    return _failed("keys", "listening beyond loopback without API keys", "`otao keys create NAME`")
