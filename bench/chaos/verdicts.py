"""When it is quiet again: devices, database and broker compared, message by message.

Rules:
- What is read and what is judged are apart: `read_…` and `check_…` bring the evidence, `judge_…` look at it.
- Where there is no evidence, nothing is proved: that no report was acknowledged is wrong, too.
- A report whose `applied/json/<number>/status` its device has got is in the history, once, at its endpoint; reports of
  one device are there in the order in which it sent them.
- A report may be there twice, or late, if it was sent before a store was saved with which the broker came back later:
  what had waited in that store is delivered again, under whatever identifier; nobody can tell it from a new one.
- What endpoints run, says the database as the devices do, of all at one moment; the broker retains each endpoint's
  offer, and nothing else.
- What was offered on an endpoint's topic follows the offers of its history, in their order: an older one after a newer
  one would be of a replica that had been replaced. A stage begins once.
- The numbers equal a recount.
- No service ends by itself, nor ends badly, and none answers with an error of its own but that it is away (503).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2

from bench.chaos.fleets import MARK
from device_sim.devices import State
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence.rows import HISTORY_CODES
from orchestrator.persistence.storage import open_storage
from tests import databases
from tests.properties.recounts import recount
from tests.services import connect, topic
from tests.system import hearings
from tests.system.rollouts import documents

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.chaos.faults import Return
    from bench.chaos.fleets import Ledger
    from bench.chaos.parties import Party
    from device_sim.devices import Device
    from orchestrator.application.counters import CounterKey
    from tests.brokers import Mosquitto
    from tests.services import Service

SHOWN = 5
"""Of each kind of difference, how many are told."""
ANSWER_SECONDS = 60.0
AWAY_CODE = "503"
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

    def need(self, amount: int, what: str) -> None:
        """Note that there is nothing to compare, if so."""
        if not amount:
            self.wrong.append(f"nothing to compare: no {what}")

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
    return await hearings.partition_of(partial(databases.read, database), party.application)


async def _read(database: Path, party: Party, query: str) -> list[tuple[Any, ...]]:
    return await hearings.rows_of(partial(databases.read, database), party.application, query)


async def check_reports(verdict: Verdict, database: Path, party: Party, returns: Sequence[Return]) -> None:
    """Every acknowledged report once, in order; `returns` of the broker with an older store excuse a second time."""
    query = (
        "SELECT h.reason, e.token, h.at_ms FROM @history h JOIN @endpoint e ON e.id = h.endpoint_id"
        f" WHERE h.kind = {HISTORY_CODES[HistoryKind.REPORTED]} AND h.reason LIKE '{MARK}%' ORDER BY h.id"
    )
    tokens = [device.model.token for device in party.devices]
    judge_reports(verdict, await _read(database, party, query), party.ledger, tokens, returns)


def judge_reports(
    verdict: Verdict,
    rows: Iterable[tuple[str, str, int]],
    ledger: Ledger,
    tokens: Sequence[str],
    returns: Sequence[Return] = (),
) -> None:
    """Judge the reports of the history in its order: reason, token of the endpoint, milliseconds of the wall clock.

    `tokens` are those of the devices, by number.
    """
    story = _Story(ledger=ledger, returns=returns)
    for reason, token, at_ms in rows:
        number = int(reason[len(MARK) :])
        story.read(number, token, tokens[ledger.devices[number]], at_ms / 1000)
    verdict.need(len(ledger.acknowledged), "report was acknowledged")
    lost = sorted(ledger.acknowledged - story.times.keys())
    verdict.differ("acknowledged reports that are not in the history", lost)
    verdict.differ("reports that are in the history more than once", story.doubled)
    verdict.differ("reports that are in the history after a younger one of their device", story.late)
    verdict.differ("reports in the history of another endpoint", story.foreign)
    sent, known, stored = len(ledger.devices), len(ledger.acknowledged), len(story.times)
    refused = len(ledger.refused)
    verdict.told.append(f"reports: {sent:,} sent, {known:,} acknowledged, {refused:,} refused, {stored:,} stored")
    verdict.told.append(f"delivered again by an older store of the broker, and stored again: {story.again:,}")


async def check_endpoints(verdict: Verdict, service: Service, party: Party) -> list[Any]:
    """What endpoints run; return their documents."""
    shown = await _answered(lambda: documents(service, party.application))
    judge_endpoints(verdict, shown, party.devices)
    return shown


def judge_endpoints(verdict: Verdict, shown: Sequence[Any], devices: Sequence[Device]) -> None:
    """Judge the documents of endpoints by what devices run.

    A device that is in the middle of an update, because it has just woken, may have said so already or not.
    """
    running = {document["token"]: document["runningVersion"] for document in shown}
    wrong = [
        f"{device.model.token} runs {device.running}, stored {running.get(device.model.token)}"
        for device in devices
        if running.get(device.model.token) not in _versions(device)
    ]
    verdict.need(len(shown), "endpoint is stored")
    verdict.differ("endpoints that run another version than is stored", wrong)
    verdict.differ("endpoints that are no device", sorted(running.keys() - {each.model.token for each in devices}))
    doubled = [token for token, times in Counter(document["token"] for document in shown).items() if times > 1]
    verdict.differ("devices that are several endpoints", doubled)


def _versions(device: Device) -> set[str | None]:
    resting = device.settled or device.state in AWAY
    return {device.running} if resting else {device.running, device.confirmed}


async def check_retained(
    verdict: Verdict, broker: Mosquitto, service: Service, party: Party, shown: Sequence[Any]
) -> None:
    """The offers, topic by topic and member by member."""
    path = f"/applications/{party.application}/software"
    software = {item["version"]: item["specification"] for item in await _answered(lambda: service.get(path))}
    judge_retained(verdict, await _retained(broker, f"kp1/{party.app_version}/#"), party.app_version, shown, software)


def judge_retained(
    verdict: Verdict,
    retained: Mapping[str, bytes],
    app_version: str,
    shown: Sequence[Any],
    specifications: Mapping[str, object],
) -> None:
    """Judge payloads by topic; `specifications` are those of all software, by version."""
    expected = {
        topic(document["token"], "config/json/status", app_version=app_version): {
            "configId": document["offer"]["version"],
            "statusCode": 200,
            "reasonPhrase": "OK",
            "config": specifications.get(document["offer"]["version"]),
        }
        for document in shown
        if document["offer"] is not None
    }
    found = {name: _decoded(payload) for name, payload in retained.items()}
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    verdict.differ("topics that do not retain their endpoint's offer", sorted(wrong))
    verdict.told.append(f"retained: {len(found):,} topics below kp1/{app_version}/, {len(expected):,} offers")


def _decoded(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


async def check_strays(verdict: Verdict, broker: Mosquitto, parties: Sequence[Party]) -> None:
    """What is retained below topics that are nobody's."""
    judge_strays(verdict, await _retained(broker, "kp1/#"), {party.app_version for party in parties})


def judge_strays(verdict: Verdict, retained: Collection[str], app_versions: Collection[str]) -> None:
    """Judge retained topics by the application versions that there are."""
    strays = sorted(name for name in retained if name.split("/")[1] not in app_versions)
    verdict.differ("topics that are retained for an application version that there is not", strays)


async def _retained(broker: Mosquitto, topics: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    async with connect(broker, "verdict") as client:
        await client.subscribe(topics, qos=1)
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
    """What was offered, by who was to offer it; a freeze takes offers away for a while, so they may come again."""
    decided = await hearings.decided(partial(databases.read, database), party.application)
    judge_offers(verdict, decided, party.hearing.offered)


def judge_offers(verdict: Verdict, decided: Mapping[str, Sequence[str]], offered: Mapping[str, Sequence[str]]) -> None:
    """Judge what was heard to be offered by the offers of the history in its order: token → versions, of both."""
    verdict.differ("offers that were not, or not any more, to be made", hearings.strays(offered, decided))
    heard, made = (sum(map(len, each.values())) for each in (offered, decided))
    verdict.need(heard, "offer was heard")
    verdict.told.append(f"offers: {heard:,} heard of {made:,}")


async def check_stages(verdict: Verdict, database: Path, party: Party) -> None:
    """Each stage of each rollout has begun once at most."""
    judge_stages(verdict, await hearings.begun(partial(databases.read, database), party.application))


def judge_stages(verdict: Verdict, begun: Mapping[tuple[str, int], int]) -> None:
    """Judge how often each stage has begun after another one, by software and number of the stage."""
    verdict.differ("stages that began more than once", [stage for stage, times in begun.items() if times > 1])
    verdict.told.append(f"stages: {len(begun):,} begun after another one")


async def check_numbers(verdict: Verdict, database: Path, party: Party) -> None:
    """The numbers; nobody serves the database any more."""
    partition = await partition_of(database, party)
    async with open_storage(await databases.address(database), partition=partition) as storage:
        entries = await storage.entries()
        verdict.need(len(entries), "application is stored")
        for entry in entries:
            key = entry.application.key
            judge_numbers(verdict, await storage.counters(key), await recount(storage, key))


def judge_numbers(verdict: Verdict, kept: Counter[CounterKey], counted: Counter[CounterKey]) -> None:
    """Judge stored numbers by those that were counted."""
    verdict.need(len(counted), "number was counted")
    differ = [key for key in kept.keys() | counted.keys() if kept[key] != counted[key]]
    verdict.differ("numbers that differ from a recount", differ)


def judge_calls(verdict: Verdict, answers: Counter[str]) -> None:
    """Judge how calls of an operator ended: that a service is away may be, an error of its own may not."""
    told = ", ".join(f"{amount} {name}" for name, amount in sorted(answers.items()))
    verdict.told.append(f"operator's calls: {told}")
    verdict.need(sum(amount for answer, amount in answers.items() if answer.startswith("2")), "call was answered well")
    unwell = [
        f"{amount} with {name}" for name, amount in sorted(answers.items()) if name[0] == "5" and name != AWAY_CODE
    ]
    verdict.differ("calls of the operator that were answered with an error of the service", unwell)


def judge_ends(verdict: Verdict, ended: Sequence[str], codes: Sequence[int]) -> None:
    """Judge when services ended by themselves, and with which exit codes they ended when they were asked to."""
    verdict.differ("times that a service ended by itself", ended)
    verdict.differ("services that did not end well when they were asked to", [code for code in codes if code])


def unsettled(devices: Sequence[Device]) -> list[str]:
    """Devices that have not come to rest, or have not heard that they were heard."""
    return [
        f"{each.model.token} ({each.model.fault or 'healthy'}, {each.state}, runs {each.running}, "
        f"confirmed {each.confirmed}, {len(each.pending)} requests unanswered)"
        for each in devices
        if (each.pending or not each.settled) and each.state not in AWAY
    ]
