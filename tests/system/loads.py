"""Fleets that report without a pause and go up to what they are offered, and an operator who publishes on and on.

Rules:
- Every report of an endpoint has a version of its own, `RELEASE.0.NUMBER`, so that each can be found in the history.
- A release is published, in two stages, as soon as everybody runs the one before: at any moment offers are on their
  way, or a stage is about to begin.
- Whatever is offered is heard by somebody who does nothing else.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from typing import TYPE_CHECKING, TypeAlias

import aiomqtt
import httpx2

from tests.services import Service, connect, eventually, topic
from tests.system import hearings
from tests.system.hearings import Hearing
from tests.system.replicas import reported, until_all_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from tests.brokers import Mosquitto
    from tests.system.hearings import Read

PACE_SECONDS = 1 / 150
STAGES = [{"percent": 25, "minAttempted": 2}, {"percent": 100, "minAttempted": 2}]
FIRST = 3
"""The release that all endpoints begin with."""
ANSWER_SECONDS = 3.0
LONG_SECONDS = 60.0

Endpoint: TypeAlias = tuple[str, str]
"""Application and token."""


def release_of(version: str) -> int:
    """The release that a version belongs to."""
    return int(version.partition(".")[0])


@dataclass(slots=True)
class Load:
    """150 reports a second, of all fleets together."""

    fleets: Mapping[str, Sequence[str]]
    """Application → the tokens of its endpoints."""
    ask: Service
    """Whom the operator asks."""
    hearings: dict[str, Hearing]
    """By application."""
    sent: dict[Endpoint, list[str]] = field(default_factory=dict)
    acknowledged: dict[Endpoint, list[str]] = field(default_factory=dict)
    """The versions whose reports the broker has acknowledged, in order."""
    answered: dict[Endpoint, set[str]] = field(default_factory=dict)
    """Those whose reports are stored, as Otao says."""
    ended: bool = False
    _offered: dict[Endpoint, int] = field(default_factory=dict)
    """The newest release that was offered."""

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [(application, token) for application, tokens in self.fleets.items() for token in tokens]

    @property
    def amount(self) -> int:
        """How many reports the broker has acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    def release(self, application: str) -> int:
        """The newest release that all endpoints of an application have reported."""
        said = [self.acknowledged.get((application, token)) for token in self.fleets[application]]
        return min(release_of(versions[-1]) if versions else 0 for versions in said)

    async def send(self, broker: Mosquitto) -> None:
        """Report until it shall end; connect again whenever the broker is gone."""
        while not self.ended:
            try:
                async with connect(broker, "fleet") as client, asyncio.TaskGroup() as group:
                    listening = group.create_task(self._listen(client))
                    await self._report(client)
                    listening.cancel()
            except* aiomqtt.MqttError:
                await asyncio.sleep(0.05)

    async def _listen(self, client: aiomqtt.Client) -> None:
        for application in self.fleets:
            for resource in ("config/json/status", "applied/json/+/status"):
                await client.subscribe(topic("+", resource, app_version=f"{application}-v1"), qos=1)
        async for message in client.messages:
            _, app_version, _, token, *rest = str(message.topic).split("/")
            endpoint = (app_version.removesuffix("-v1"), token)
            if rest[0] == "applied":
                self.answered.setdefault(endpoint, set()).add(self.sent[endpoint][int(rest[2])])
            elif message.payload:
                assert isinstance(message.payload, bytes)
                release = release_of(json.loads(message.payload)["configId"])
                self._offered[endpoint] = max(release, self._offered.get(endpoint, 0))

    async def _report(self, client: aiomqtt.Client) -> None:
        for application, token in cycle(self.endpoints):
            if self.ended:
                return
            said = self.sent.setdefault((application, token), [])
            said.append(self._next((application, token), said))
            where = topic(token, f"applied/json/{len(said) - 1}", app_version=f"{application}-v1")
            await client.publish(where, json.dumps({"configId": said[-1]}), qos=1)
            self.acknowledged.setdefault((application, token), []).append(said[-1])
            await asyncio.sleep(PACE_SECONDS)

    def _next(self, endpoint: Endpoint, said: Sequence[str]) -> str:
        """What an endpoint runs when it speaks next: what it was offered, if that is newer."""
        runs, offered = release_of(said[-1]) if said else 0, self._offered.get(endpoint, FIRST)
        return f"{offered}.0.0" if offered > runs else f"{runs}.0.{len(said)}"

    async def publish(self, application: str) -> None:
        """Publish releases of an application until it shall end."""
        for release in count(FIRST + 1):

            async def arrived(before: int = release - 1) -> bool:
                return self.ended or self.release(application) >= before

            await eventually(arrived, f"everybody runs {release - 1} of {application}", LONG_SECONDS)
            await eventually(partial(self._put, application, release), f"{release} is published", LONG_SECONDS)
            if self.ended:
                return

    async def _put(self, application: str, release: int) -> bool:
        """Publish, unless it shall end; return whether that is done."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if not self.ended:
                    await self.ask.software(
                        f"{release}.0.0",
                        [f"^{release - 1}.0.0"],
                        application=application,
                        rollout={"stages": STAGES},
                    )
        except (AssertionError, httpx2.HTTPError, TimeoutError):
            return False
        return True

    async def reports(self, amount: int) -> None:
        """Wait until so many more reports have been acknowledged, whether or not anybody stores them."""
        wanted = self.amount + amount

        async def come() -> bool:
            return self.amount >= wanted

        await eventually(come, f"{amount} more reports", LONG_SECONDS)

    async def more(self, amount: int) -> None:
        """Wait until so many more reports have been acknowledged, and another release has reached everybody."""
        wanted = self.amount + amount
        releases = {application: self.release(application) + 1 for application in self.fleets}

        async def come() -> bool:
            return self.amount >= wanted and all(self.release(name) >= number for name, number in releases.items())

        await eventually(come, f"{amount} more reports and a release", LONG_SECONDS)


@asynccontextmanager
async def under_load(broker: Mosquitto, ask: Service, fleets: Mapping[str, Sequence[str]]) -> AsyncIterator[Load]:
    """A load that ends with the block; `ask` is whom the operator asks first."""
    load = Load(fleets, ask, {application: Hearing(f"{application}-v1") for application in fleets})
    async with asyncio.TaskGroup() as group:
        listening = [group.create_task(hearing.listen(broker)) for hearing in load.hearings.values()]
        await _until_heard(load.hearings.values())
        group.create_task(load.send(broker))
        publishing = [group.create_task(load.publish(application)) for application in fleets]
        yield load
        load.ended = True
        await asyncio.wait(publishing)
        for task in listening:
            task.cancel()


async def _until_heard(listening: Iterable[Hearing]) -> None:
    for hearing in listening:
        await hearing.begun.wait()


async def check_load(service: Service, load: Load) -> None:
    """Each report that the broker has taken is in the history, once, in order."""
    await until_all_running(service, {token: versions[-1] for (_, token), versions in load.acknowledged.items()})
    for (_, token), versions in load.acknowledged.items():
        assert await reported(service, token) == versions


async def check_offers(read: Read, load: Load) -> None:
    """What was heard follows the histories, each endpoint was offered a release once, and each stage began once."""
    for application, hearing in load.hearings.items():
        decided = await hearings.decided(read, application)
        assert hearings.strays(hearing.heard, decided) == []
        twice = [token for token, versions in decided.items() if max(Counter(versions).values()) > 1]
        assert twice == []
        begun = await hearings.begun(read, application)
        done = range(FIRST + 1, load.release(application) + 1)
        expected = {f"software/{release}.0.0/rollout" for release in done}
        assert {stage: times for stage, times in begun.items() if times > 1} == {}
        assert expected <= {resource for resource, _ in begun}
        heard = {release_of(version) for versions in hearing.offered.values() for version in versions}
        assert set(done) <= heard
