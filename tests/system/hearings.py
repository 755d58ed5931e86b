"""What endpoints were offered and which stages began, compared with what the database says. Tests and chaos share it.

Rules:
- Somebody who only listens notes each offer, and each time that one is taken away, in the broker's order. What is
  retained when the listener comes counts for nothing: it may be of an older store of the broker.
- What is heard follows the offers of the history, some of which may not have been heard. An older one after a newer one
  would be of a replica that had been replaced; so would be one that comes again after it was taken away, where nothing
  takes an offer away for a while.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import aiomqtt

from orchestrator.application.audits import Action
from orchestrator.application.partitions import MAIN
from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence.rows import HISTORY_CODES
from tests.services import connect, topic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tests.brokers import Mosquitto

Read: TypeAlias = "Callable[[str], Awaitable[list[tuple[Any, ...]]]]"
"""Gives the rows of a query."""
_PAUSE_SECONDS = 0.2


@dataclass(slots=True)
class Hearing:
    """What was said on the push topics of an application version."""

    app_version: str
    heard: dict[str, list[str | None]] = field(default_factory=dict)
    """Token → the versions that were offered, in the broker's order, repetitions aside; None: it was taken away."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """From when on nothing is missed, as long as the broker is there."""

    @property
    def offered(self) -> dict[str, list[str]]:
        """Token → the versions that were offered."""
        return {token: [version for version in said if version is not None] for token, said in self.heard.items()}

    async def listen(self, broker: Mosquitto) -> None:
        """Note what is offered, until cancelled."""
        while True:
            try:
                async with connect(broker, f"listener-{self.app_version}") as client:
                    await client.subscribe(topic("+", "config/json/status", app_version=self.app_version), qos=1)
                    self.begun.set()
                    async for message in client.messages:
                        self._note(message)
            except aiomqtt.MqttError:
                await asyncio.sleep(_PAUSE_SECONDS)

    def _note(self, message: aiomqtt.Message) -> None:
        if message.retain:
            return
        assert isinstance(message.payload, bytes)
        version = json.loads(message.payload)["configId"] if message.payload else None
        before = self.heard.setdefault(str(message.topic).split("/")[3], [])
        if before[-1:] != [version]:
            before.append(version)


async def partition_of(read: Read, application: str) -> str:
    """Where an application is."""
    return str((await read(f"SELECT partition FROM place WHERE kind = 'application' AND name = '{application}'"))[0][0])  # noqa: S608 - our names


async def rows_of(read: Read, application: str, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query in the tables of an application's partition, whose names have `@` before them."""
    partition = await partition_of(read, application)
    return await read(query.replace("@", "" if partition == MAIN else f"otao_{partition}."))


async def decided(read: Read, application: str) -> dict[str, list[str]]:
    """Token → the versions that its history says it was offered, in order."""
    query = (
        "SELECT e.token, v.text FROM @history h JOIN @endpoint e ON e.id = h.endpoint_id"  # noqa: S608 - our names
        f" JOIN @version v ON v.id = h.version_id WHERE h.kind = {HISTORY_CODES[HistoryKind.OFFERED]} ORDER BY h.id"
    )
    found: dict[str, list[str]] = {}
    for token, version in await rows_of(read, application, query):
        found.setdefault(token, []).append(version)
    return found


def strays(heard: Mapping[str, Sequence[str | None]], decided: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each endpoint that was offered what was not, or not any more, to be offered."""
    return [
        f"{token} was offered {stray}, of {said}, decided {decided.get(token)}"
        for token, said in heard.items()
        if (stray := _stray(said, decided.get(token, []))) is not None
    ]


def _stray(said: Sequence[str | None], decided: Sequence[str]) -> str | None:
    """The first offer that does not follow what was decided; after one that was taken away there has to be a later."""
    place, taken_away = -1, True
    for version in said:
        if version is None:
            taken_away = True
            continue
        try:
            place = decided.index(version, place + taken_away if place >= 0 else 0)
        except ValueError:
            return version
        taken_away = False
    return None


async def begun(read: Read, application: str) -> Counter[tuple[str, int]]:
    """How often each stage of each rollout has begun after another one, by software and number of the stage."""
    query = f"SELECT resource, after FROM @audit WHERE action = '{Action.ROLLOUT_ADVANCE.value}'"  # noqa: S608 - our names
    return Counter(
        (resource, json.loads(after)["stage"]) for resource, after in await rows_of(read, application, query)
    )
