"""The simulated fleet, and a ledger of every report that it sends: which were promised to be kept.

Rules:
- Each report has a number of its own: it is its request ID, and its `reasonPhrase`, which the history keeps. So one
  `applied/json/<number>/status` promises exactly one entry.
- Devices do not know: an answer has the topic again that the device has asked on.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import orjson

from device_sim import mixes
from device_sim.carriers import Carrier
from device_sim.devices import Pace
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan

if TYPE_CHECKING:
    from device_sim.carriers import Identity, Listener
    from device_sim.packets import Publish

PACE = Pace(download_seconds=1.0, install_seconds=0.5, reboot_seconds=0.5, retry_seconds=3.0, asleep_seconds=15.0)
FAULTS = "offline=8%,sleeper=5%,duplicates=5%,drops=3%,power-cut=2%,failing-install=2%,qos0=3%"
REPORT = "/applied/json"
MARK = "r"
"""Before a report's number."""


@dataclass(slots=True)
class Ledger:
    """Every report, by its number."""

    devices: array[int] = field(default_factory=lambda: array("L"))
    sent_at: array[float] = field(default_factory=lambda: array("d"))
    """Seconds of the wall clock, as the history has them."""
    asked: dict[int, str | None] = field(default_factory=dict)
    """The topic that the device has asked on, of those that wait for an answer; None: it waits for none."""
    acknowledged: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)

    def note(self, device: int, at: float, topic: str | None) -> int:
        """Note a report that is sent; return its number."""
        number = len(self.devices)
        self.devices.append(device)
        self.sent_at.append(at)
        self.asked[number] = topic
        return number

    def answered(self, number: int, *, well: bool) -> str | None:
        """Note an answer; return the topic that the device has asked on, if it waits for it."""
        (self.acknowledged if well else self.refused).add(number)
        return self.asked.pop(number, None)


class _Reader:
    """Sees what a fleet is told before it does."""

    def __init__(self, ledger: Ledger, listener: Listener) -> None:
        self._ledger = ledger
        self._listener = listener
        self.opened = listener.opened
        self.closed = listener.closed

    def received(self, carrier: Carrier, message: Publish) -> None:
        """Give answers to reports the topic that the device knows."""
        base, _, answer = message.topic.rpartition("/")
        asked, _, number = base.rpartition("/")
        if not asked.endswith(REPORT) or answer not in {"status", "error"}:
            self._listener.received(carrier, message)
            return
        topic = self._ledger.answered(int(number), well=answer == "status")
        if topic is not None:
            self._listener.received(carrier, replace(message, topic=f"{topic}/{answer}"))


class _Recorder(Carrier):
    """A connection whose reports are numbered."""

    __slots__ = ("_ledger",)

    def __init__(self, ledger: Ledger, number: int, identity: Identity, listener: Listener, buffer: bytearray) -> None:
        super().__init__(number, identity, _Reader(ledger, listener), buffer)
        self._ledger = ledger

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Number it, if it is a report."""
        base, found, request = topic.partition(REPORT)
        if found and self.is_open:
            number = self._ledger.note(self.number, time.time(), topic if request else None)
            topic = f"{base}{REPORT}/{number}"
            payload = orjson.dumps({**orjson.loads(payload), "reasonPhrase": f"{MARK}{number}"})
        super().publish(topic, payload, qos)


def app_version_of(application: str) -> str:
    """The one application version of an application."""
    return f"{application}-v1"


def build(broker: str, application: str, *, devices: int, reports: float, seed: int, ledger: Ledger) -> Fleet:
    """A fleet whose devices say together about `reports` times a second what they run, if nothing hinders them."""
    plan = FleetPlan(
        app_version=app_version_of(application),
        prefix=application,
        devices=devices,
        versions=mixes.parse("1.0.0"),
        faults=mixes.parse(FAULTS),
        attributes={"ring": mixes.parse("1=20%,2=80%")},
        seed=seed,
        keep_alive=10,
        pace=replace(PACE, report_every_seconds=devices / reports),
    )

    def recorder(number: int, identity: Identity, listener: Listener, buffer: bytearray) -> Carrier:
        return _Recorder(ledger, number, identity, listener, buffer)

    return Fleet(plan, broker, carrier=recorder)
