"""What a fleet is doing, in numbers that are kept up with every event.

Rules:
- Counting costs the same however large the fleet is.
- `healthy` are the devices that are up to date in the end: without a fault, or with one that converges.

Layer: device_sim; pure: time comes in as an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from device_sim.devices import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A fleet at one moment."""

    seconds: float
    """Since it was started."""
    devices: int
    healthy: int
    connected: int
    """Devices that have a connection."""
    by_state: Mapping[str, int]
    by_version: Mapping[str, int]
    """Devices by the version in their active slot."""
    by_fault: Mapping[str, int]
    settled: Mapping[str, int]
    """Healthy devices at rest, by the version whose report Otao has confirmed."""
    installs: int
    failures: int
    refused: int
    sent: int
    """MQTT messages published."""
    received: int
    sent_per_second: float
    """Over the last second or so."""
    received_per_second: float
    connections_lost: int
    """That nobody had meant to lose."""

    def members(self) -> dict[str, object]:
        """The same for JSON, names in camel case."""
        return {
            "seconds": round(self.seconds, 3),
            "devices": self.devices,
            "healthy": self.healthy,
            "connected": self.connected,
            "byState": dict(self.by_state),
            "byVersion": dict(self.by_version),
            "byFault": dict(self.by_fault),
            "settled": dict(self.settled),
            "installs": self.installs,
            "failures": self.failures,
            "refused": self.refused,
            "sent": self.sent,
            "received": self.received,
            "sentPerSecond": round(self.sent_per_second, 1),
            "receivedPerSecond": round(self.received_per_second, 1),
            "connectionsLost": self.connections_lost,
        }


def converged(version: str) -> Callable[[Progress], bool]:
    """Whether every healthy device runs `version`, and Otao has confirmed its report."""
    return lambda progress: progress.settled.get(version, 0) == progress.healthy


class Tally:
    """Counts a fleet's devices; start it with all of them."""

    def __init__(self, devices: Sequence[Device], now: float) -> None:
        self.sent = 0
        self.received = 0
        self.connections_lost = 0
        self._started = self._marked = now
        self._before = (0, 0)
        self._rates = (0.0, 0.0)
        self._states = Counter(str(device.state) for device in devices)
        self._versions = Counter(device.running for device in devices)
        self._faults = Counter("none" if device.model.fault is None else str(device.model.fault) for device in devices)
        self._settled: Counter[str] = Counter()
        self._connected = self._installs = self._failures = self._refused = 0
        self._healthy = sum(map(_is_healthy, devices))

    def moved(self, before: Device, after: Device) -> None:
        """Count what one event has changed."""
        if before.state is not after.state:
            self._states[before.state] -= 1
            self._states[after.state] += 1
        if before.running != after.running:
            self._versions[before.running] -= 1
            self._versions[after.running] += 1
        self._connected += after.connected - before.connected
        self._installs += after.installs - before.installs
        self._failures += after.failures - before.failures
        self._refused += after.refused - before.refused
        if _is_healthy(after):
            self._settled[before.running] -= before.settled
            self._settled[after.running] += after.settled

    def mark(self, now: float) -> None:
        """Take the rates of what was sent and received since the last time, a second or so ago."""
        seconds = now - self._marked
        if seconds > 0:
            sent, received = self._before
            self._rates = (self.sent - sent) / seconds, (self.received - received) / seconds
            self._marked, self._before = now, (self.sent, self.received)

    def progress(self, now: float) -> Progress:
        """The numbers of this moment."""
        return Progress(
            seconds=now - self._started,
            devices=self._versions.total(),
            healthy=self._healthy,
            connected=self._connected,
            by_state=_positive(self._states),
            by_version=_positive(self._versions),
            by_fault=_positive(self._faults),
            settled=_positive(self._settled),
            installs=self._installs,
            failures=self._failures,
            refused=self._refused,
            sent=self.sent,
            received=self.received,
            sent_per_second=self._rates[0],
            received_per_second=self._rates[1],
            connections_lost=self.connections_lost,
        )


def _is_healthy(device: Device) -> bool:
    return device.model.fault is None or device.model.fault.converges


def _positive(counter: Counter[str]) -> dict[str, int]:
    return {str(name): amount for name, amount in sorted(counter.items()) if amount}
