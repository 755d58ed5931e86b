"""When it is quiet again: devices, database and broker compared, message by message.

Rules:
- A report whose `applied/json/<number>/status` its device has got is in the history, once, at its endpoint; reports of
  one device are there in the order in which it sent them.
- A report may be there twice, or late, if it was sent before a store was saved with which the broker came back later:
  what had waited in that store is delivered again, under whatever identifier; nobody can tell it from a new one.
- What endpoints run, says the database as the devices do, of all at one moment; the broker retains each endpoint's
  offer, and nothing else.
- What was offered on an endpoint's topic follows the offers of its history, in their order: an older one after a newer
  one would be of a replica that had been replaced. A stage begins once.
- The numbers equal a recount.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from bench.chaos.fleets import MARK
from device_sim.devices import State
from orchestrator.application.audits import Action
from orchestrator.application.partitions import MAIN
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence.rows import HISTORY_CODES
from orchestrator.persistence.storage import open_storage
from tests import databases
from tests.properties.recounts import recount
from tests.services import connect, topic
from tests.system.rollouts import documents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from bench.chaos.faults import Return
    from bench.chaos.fleets import Ledger
    from bench.chaos.parties import Party
    from device_sim.devices import Device
    from tests.brokers import Mosquitto
    from tests.services import Service

SHOWN = 5
"""Of each kind of difference, how many are told."""
ANSWER_SECONDS = 60.0
AWAY = {State.GONE, State.OFF}


async def _answered(ask: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
    """What a service answers, when it does: on a busy machine a partition may be about to move even in quiet."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return await ask()
        except (AssertionError, httpx2.HTTPError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


@dataclass(slots=True)
class Verdict:
    """What was found."""

    wrong: list[str] = field(default_factory=list)
    """Sentences; empty: everything is as promised."""
    told: list[str] = field(default_factory=list)
    """What else is worth saying."""

    def differ(self, what: str, found: Sequence[object]) -> None:
        """Note differences, if there are any."""
        if found:
            self.wrong.append(f"{what}: {len(found)}, such as {', '.join(map(str, found[:SHOWN]))}")


@dataclass(slots=True, kw_only=True)
class _Story:
    """The reports of the history, in its order."""

    ledger: Ledger
    returns: Sequence[Return]
    times: dict[int, list[float]] = field(default_factory=dict)
    """When each was stored."""
    doubled: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    """Stored after a younger one of the same device."""
    again: int = 0
    """What an older store of the broker delivered once more."""
    foreign: list[str] = field(default_factory=list)
    _youngest: dict[str, int] = field(default_factory=dict)

    def read(self, number: int, token: str, owner: str, at: float) -> None:
        """Take the next one."""
        if owner != token:
            self.foreign.append(f"{MARK}{number} at {token}")
        before = self.times.setdefault(number, [])
        youngest = max(number, self._youngest.get(token, 0))
        if before or youngest > number:
            since = before[-1] if before else self.times[youngest][0]
            if self._excused(number, since, at):
                self.again += 1
            else:
                (self.doubled if before else self.late).append(number)
        before.append(at)
        self._youngest[token] = youngest

    def _excused(self, number: int, since: float, at: float) -> bool:
        """Whether the broker came back in between with a store in which the report may have waited."""
        sent_at = self.ledger.sent_at[number]
        return any(sent_at <= each.saved_at and since <= each.at <= at for each in self.returns)


async def partition_of(database: Path, party: Party) -> str:
    """Where an application is."""
    query = f"SELECT partition FROM place WHERE kind = 'application' AND name = '{party.application}'"
    return str((await databases.read(database, query))[0][0])


async def _read(database: Path, party: Party, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query in the tables of an application's partition, whose names have `@` before them."""
    partition = await partition_of(database, party)
    return await databases.read(database, query.replace("@", "" if partition == MAIN else f"otao_{partition}."))


async def check_reports(verdict: Verdict, database: Path, party: Party, returns: Sequence[Return]) -> None:
    """Every acknowledged report once, in order; `returns` of the broker with an older store excuse a second time."""
    query = (
        "SELECT h.reason, e.token, h.at_ms FROM @history h JOIN @endpoint e ON e.id = h.endpoint_id"
        f" WHERE h.kind = {HISTORY_CODES[HistoryKind.REPORTED]} AND h.reason LIKE '{MARK}%' ORDER BY h.id"
    )
    ledger, tokens = party.ledger, [device.model.token for device in party.devices]
    story = _Story(ledger=ledger, returns=returns)
    for reason, token, at_ms in await _read(database, party, query):
        number = int(reason[len(MARK) :])
        story.read(number, token, tokens[ledger.devices[number]], at_ms / 1000)
    lost = sorted(ledger.acknowledged - story.times.keys())
    verdict.differ("acknowledged reports that are not in the history", lost)
    verdict.differ("reports that are in the history more than once", story.doubled)
    verdict.differ("reports that are in the history after a younger one of their device", story.late)
    verdict.differ("reports in the history of another endpoint", story.foreign)
    sent, known, stored = len(ledger.devices), len(ledger.acknowledged), len(story.times)
    verdict.told.append(f"reports: {sent:,} sent, {known:,} acknowledged, {stored:,} stored")
    verdict.told.append(f"delivered again by an older store of the broker, and stored again: {story.again:,}")


async def check_endpoints(verdict: Verdict, service: Service, party: Party) -> list[Any]:
    """What endpoints run; return their documents.

    A device that is in the middle of an update, because it has just woken, may have said so already or not.
    """
    shown = await _answered(lambda: documents(service, party.application))
    running = {document["token"]: document["runningVersion"] for document in shown}
    wrong = [
        f"{device.model.token} runs {device.running}, stored {running.get(device.model.token)}"
        for device in party.devices
        if running.get(device.model.token) not in _versions(device)
    ]
    verdict.differ("endpoints that run another version than is stored", wrong)
    return shown


def _versions(device: Device) -> set[str | None]:
    resting = device.settled or device.state in AWAY
    return {device.running} if resting else {device.running, device.confirmed}


async def check_retained(
    verdict: Verdict, broker: Mosquitto, service: Service, party: Party, shown: Sequence[Any]
) -> None:
    """The offers, topic by topic and member by member."""
    path = f"/applications/{party.application}/software"
    software = {item["version"]: item for item in await _answered(lambda: service.get(path))}
    expected = {
        topic(document["token"], "config/json/status", app_version=party.app_version): {
            "configId": document["offer"]["version"],
            "statusCode": 200,
            "reasonPhrase": "OK",
            "config": software[document["offer"]["version"]]["specification"],
        }
        for document in shown
        if document["offer"] is not None
    }
    found = {name: json.loads(payload) for name, payload in (await _retained(broker, party)).items()}
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    verdict.differ("topics that do not retain their endpoint's offer", sorted(wrong))
    verdict.told.append(f"retained: {len(found):,} topics below kp1/{party.app_version}/, {len(expected):,} offers")


async def _retained(broker: Mosquitto, party: Party) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    async with connect(broker, "verdict") as client:
        await client.subscribe(f"kp1/{party.app_version}/#", qos=1)
        await client.subscribe("otao/verdict", qos=1)
        await client.publish("otao/verdict", b"end", qos=1)
        async for message in client.messages:
            if str(message.topic) == "otao/verdict":
                return found
            if message.retain and isinstance(message.payload, bytes):
                found[str(message.topic)] = message.payload
    raise AssertionError


async def check_history(verdict: Verdict, database: Path, party: Party) -> None:
    """Tell how many endpoints went back: devices follow an offer that an older store of the broker brings up again."""
    query = f"SELECT count(*) FROM @history WHERE kind = {HISTORY_CODES[HistoryKind.REVERTED]}"
    reverted = (await _read(database, party, query))[0][0]
    verdict.told.append(f"endpoints that went back to an older version, offered by an older store: {reverted:,}")


async def check_offers(verdict: Verdict, database: Path, party: Party) -> None:
    """What was offered, by who was to offer it."""
    query = (
        "SELECT e.token, v.text FROM @history h JOIN @endpoint e ON e.id = h.endpoint_id"
        f" JOIN @version v ON v.id = h.version_id WHERE h.kind = {HISTORY_CODES[HistoryKind.OFFERED]} ORDER BY h.id"
    )
    decided: dict[str, list[str]] = {}
    for token, version in await _read(database, party, query):
        decided.setdefault(token, []).append(version)
    wrong = [
        f"{token} was offered {stale}, of {seen}, decided {decided.get(token)}"
        for token, seen in party.offered.items()
        if (stale := _stale(seen, decided.get(token, []))) is not None
    ]
    verdict.differ("offers that were not, or not any more, to be made", wrong)
    verdict.told.append(
        f"offers: {sum(map(len, party.offered.values())):,} heard of {sum(map(len, decided.values())):,}"
    )


def _stale(seen: Sequence[str], decided: Sequence[str]) -> str | None:
    """The first offer that does not follow what was decided, some of which may not have been heard."""
    place = 0
    for version in seen:
        try:
            place = decided.index(version, place)
        except ValueError:
            return version
    return None


async def check_stages(verdict: Verdict, database: Path, party: Party) -> None:
    """Each stage of each rollout has begun once at most."""
    query = f"SELECT resource, after FROM @audit WHERE action = '{Action.ROLLOUT_ADVANCE.value}'"
    begun = Counter((resource, json.loads(after)["stage"]) for resource, after in await _read(database, party, query))
    verdict.differ("stages that began more than once", [stage for stage, times in begun.items() if times > 1])
    verdict.told.append(f"stages: {len(begun):,} begun after another one")


async def check_numbers(verdict: Verdict, database: Path, party: Party) -> None:
    """The numbers; nobody serves the database any more."""
    partition = await partition_of(database, party)
    async with open_storage(await databases.address(database), partition=partition) as storage:
        for entry in await storage.entries():
            kept = await storage.counters(entry.application.key)
            counted = await recount(storage, entry.application.key)
            differ = [key for key in kept.keys() | counted.keys() if kept[key] != counted[key]]
            verdict.differ("numbers that differ from a recount", differ)


def unsettled(devices: Sequence[Device]) -> list[str]:
    """Devices that have not come to rest, or have not heard that they were heard."""
    return [
        f"{each.model.token} ({each.model.fault or 'healthy'}, {each.state}, runs {each.running}, "
        f"confirmed {each.confirmed}, {len(each.pending)} requests unanswered)"
        for each in devices
        if (each.pending or not each.settled) and each.state not in AWAY
    ]
