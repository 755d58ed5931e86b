"""Scripts of one device: given it, when this happens to it, it does exactly that.

Layer: tests.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device_sim.behaviours import step
from device_sim.devices import (
    Command,
    Connected,
    Device,
    Event,
    Model,
    Pace,
    Publish,
    Received,
    SetTimer,
    Subscribe,
    Timer,
    TimerFired,
)
from protocol import configurations, consents
from protocol.configurations import Profile

if TYPE_CHECKING:
    from device_sim.faults import Fault

BASE = "kp1/kettle-v1/cmx_ota/tok"
PUSH = f"{BASE}/config/json/status"
ASK = f"{BASE}/consent/json/status"
PACE = Pace(retry_seconds=10, download_seconds=2)
HEALTH = SetTimer(timer=Timer.HEALTH, seconds=1)
RETRY = SetTimer(timer=Timer.RETRY, seconds=10)


class Middle(random.Random):
    """Chance that always takes the middle: times are as the pace says, and nothing is lost."""

    def random(self) -> float:
        return 0.5


@dataclass(slots=True)
class Script:
    """One device, and everything that it has done."""

    fault: Fault | None = None
    attributes: bytes = b""
    chance: random.Random = field(default_factory=Middle)
    pace: Pace = PACE
    device: Device = field(init=False)
    done: list[Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        model = Model(
            token="tok", app_version="kettle-v1", fault=self.fault, attributes=self.attributes, pace=self.pace
        )
        self.device = Device(model=model, slots=("1.0.0", "1.0.0"))

    def when(self, *events: Event | Timer) -> list[Command]:
        """Let events happen; return what the device did about the last one."""
        commands: tuple[Command, ...] = ()
        for event in events:
            given = TimerFired(timer=event) if isinstance(event, Timer) else event
            self.device, commands = step(self.device, given, self.chance)
            self.done += commands
        return list(commands)

    def started(self) -> Script:
        """Switched on, connected, and its first report confirmed."""
        self.when(Timer.BOOT, Connected())
        self.confirm()
        return self

    def confirm(self, answer: str = "status") -> list[Command]:
        """Otao answers what was said last."""
        return self.when(Received(topic=f"{self.device.pending[-1].topic}/{answer}", payload=b""))

    def offered(self, version: str) -> list[Command]:
        return self.when(offer(version))

    def installed(self, version: str) -> Script:
        """Offered a version, and restarting into it."""
        self.offered(version)
        self.when(Timer.STEP, Timer.STEP, Timer.STEP, Timer.STEP)
        return self

    def updated(self, version: str) -> Script:
        """Running a version that it was offered, and its report confirmed."""
        self.installed(version).when(Timer.BOOT, Connected(), Timer.STEP)
        self.confirm()
        return self

    def said(self) -> list[tuple[str, object]]:
        """All messages so far: resource, and version or state."""
        return [message for command in self.done if isinstance(command, Publish) for message in [spoken(command)]]


def offer(version: str) -> Received:
    return Received(topic=PUSH, payload=configurations.offer(version, '{"link":"https://x"}', Profile.KAA))


def ask(version: str) -> Received:
    return Received(topic=ASK, payload=consents.ask(version, '{"description":"quieter"}'))


def answer(number: int, version: str, *, granted: bool, reason: str | None = None) -> Publish:
    payload = consents.encode(config_id=version, granted=granted, reason_phrase=reason)
    return Publish(topic=f"{BASE}/consent/json/{number}", payload=payload, qos=1)


def spoken(message: Publish) -> tuple[str, object]:
    body = json.loads(message.payload)
    resource = message.topic.removeprefix(f"{BASE}/")
    if resource == "progress/json":
        return f"{body['state']} {body.get('percent', '')}".strip(), body["configId"]
    return resource, (body.get("statusCode"), body["configId"]) if "statusCode" in body else body.get("configId", body)


def report(number: int, version: str = "1.0.0", qos: int = 1) -> Publish:
    return Publish(topic=f"{BASE}/applied/json/{number}", payload=b'{"configId":"%s"}' % version.encode(), qos=qos)


def subscribe(qos: int = 1) -> Subscribe:
    return Subscribe(topic_filters=(PUSH, ASK, f"{BASE}/+/json/+/+"), qos=qos)
