"""An application under load: its fleet, its operator, what was reported and what was offered.

Rules:
- What endpoints are offered is noted by somebody who only listens, message by message, in the broker's order. What is
  retained when the listener comes counts for nothing: it may be of an older store of the broker.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiomqtt

from bench.chaos import fleets
from bench.chaos.fleets import Ledger
from bench.chaos.operators import Operator
from tests.services import connect, topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from device_sim.devices import Device
    from device_sim.fleets import Fleet
    from tests.brokers import Mosquitto
    from tests.services import Service

NAMES = ("kettle", "toaster", "lamp", "oven", "fridge", "heater")
_PAUSE_SECONDS = 0.2


@dataclass(slots=True, kw_only=True)
class Party:
    """One application with everybody who has to do with it."""

    application: str
    fleet: Fleet
    ledger: Ledger
    operator: Operator
    offered: dict[str, list[str]] = field(default_factory=dict)
    """Token → the versions that were offered on its topic, in the broker's order, repetitions aside."""

    @property
    def app_version(self) -> str:
        """Of its endpoints."""
        return fleets.app_version_of(self.application)

    @property
    def devices(self) -> Sequence[Device]:
        """Of its fleet."""
        return self.fleet.devices()

    async def listen(self, broker: Mosquitto) -> None:
        """Note what is offered, until cancelled."""
        while True:
            try:
                await self._listen(broker)
            except aiomqtt.MqttError:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _listen(self, broker: Mosquitto) -> None:
        async with connect(broker, f"listener-{self.application}") as client:
            await client.subscribe(topic("+", "config/json/status", app_version=self.app_version), qos=1)
            async for message in client.messages:
                if message.payload and not message.retain:
                    assert isinstance(message.payload, bytes)
                    version = json.loads(message.payload)["configId"]
                    before = self.offered.setdefault(str(message.topic).split("/")[3], [])
                    if before[-1:] != [version]:
                        before.append(version)


def build(
    broker: str,
    applications: Sequence[str],
    *,
    devices: int,
    reports: float,
    seed: int,
    reach: Callable[[], Service],
    tell: Callable[[str], None],
) -> list[Party]:
    """One for each application; devices and reports are shared out evenly."""
    parties = []
    for number, application in enumerate(applications):
        ledger, share = Ledger(), len(applications)
        fleet = fleets.build(
            broker,
            application,
            devices=devices // share,
            reports=reports / share,
            seed=seed + number,
            ledger=ledger,
        )
        operator = Operator(application=application, reach=reach, seed=seed, tell=tell)
        parties.append(Party(application=application, fleet=fleet, ledger=ledger, operator=operator))
    return parties
