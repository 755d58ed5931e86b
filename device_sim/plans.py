"""What a simulated fleet is to be like, and the devices that follow from that.

Rules:
- The same plan gives the same devices: versions, faults, attributes, and each device's own chance come from the seed.
- Tokens are the prefix and a number, `sim-00000` on; with open registration they are the endpoint IDs too.

Layer: device_sim; pure.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device_sim import mixes
from device_sim.devices import Device, Model, Pace
from device_sim.errors import PlanError
from device_sim.faults import Fault
from device_sim.mixes import Mix
from protocol import metadata, topics
from protocol.errors import PayloadError
from protocol.fields import SEMVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.payloads import JsonValue

MOST_DEVICES = 1_000_000
MOST_KEEP_ALIVE = 65535
_DIGITS = 5
_CONNECTIONS_PER_SECOND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """A fleet.

    Raises:
        PlanError: a member is out of bounds, a name is no version, fault or attribute, or the versions do not add up.
    """

    app_version: str
    devices: int
    versions: Mix
    """What the devices run at first; together all of them."""
    faults: Mix = field(default_factory=Mix)
    """The rest is healthy."""
    attributes: Mapping[str, Mix] = field(default_factory=dict)
    """Values of each attribute; a value that is JSON is sent as that, else as a string."""
    seed: int = 1
    gateways: int = 0
    """Connections that carry all devices; 0: each device has its own."""
    keep_alive: int = 60
    """Seconds, 1-65535: with 0 some brokers stall."""
    pace: Pace = field(default_factory=Pace)
    ramp_seconds: float | None = None
    """Over how long the devices are switched on; None: a second for each thousand, and at least one."""
    prefix: str = "sim"

    def __post_init__(self) -> None:
        """Check once, so that building cannot fail."""
        self._check_bounds()
        wrong = [share.name for share in self.faults.shares if share.name not in _FAULTS]
        if wrong:
            raise PlanError(f"{wrong[0]!a} is no fault; there are {', '.join(_FAULTS)}")
        wrong = [share.name for share in self.versions.shares if not SEMVER.fullmatch(share.name)]
        if wrong:
            raise PlanError(f"{wrong[0]!a} is no SemVer 2.0.0 version")
        given = sum(self.versions.counts(self.devices).values())
        if given != self.devices:
            raise PlanError(f"the versions {self.versions} are for {given} of {self.devices} devices")
        self.faults.counts(self.devices)
        for name, mix in self.attributes.items():
            mix.counts(self.devices)
            for share in mix.shares:
                _attributes({name: share.name})

    def _check_bounds(self) -> None:
        if not 1 <= self.devices <= MOST_DEVICES:
            raise PlanError(f"a fleet has 1 to {MOST_DEVICES} devices, not {self.devices}")
        if not 1 <= self.keep_alive <= MOST_KEEP_ALIVE:
            raise PlanError(f"the keep-alive is 1 to {MOST_KEEP_ALIVE} seconds, not {self.keep_alive}")
        if not 0 <= self.gateways <= self.devices:
            raise PlanError(f"{self.gateways} gateways for {self.devices} devices")
        if not topics.APP_VERSION.fullmatch(self.app_version):
            raise PlanError(f"{self.app_version!a} cannot be an application version")
        if not topics.TOKEN.fullmatch(self.token(MOST_DEVICES)):
            raise PlanError(f"{self.prefix!a} cannot begin a token")

    def token(self, number: int) -> str:
        """The token of device `number`, from 0."""
        return f"{self.prefix}-{number:0{_DIGITS}d}"

    @property
    def ramp(self) -> float:
        """Over how many seconds the devices are switched on."""
        return max(1.0, self.devices / _CONNECTIONS_PER_SECOND) if self.ramp_seconds is None else self.ramp_seconds

    def build(self) -> list[Device]:
        """The devices, switched off."""
        running = self.versions.deal(self.devices, random.Random(f"{self.seed}/versions"))
        faults = self.faults.deal(self.devices, random.Random(f"{self.seed}/faults"))
        attributes = self._attributes()
        return [
            Device(
                model=Model(
                    token=self.token(number),
                    app_version=self.app_version,
                    fault=None if fault is None else Fault(fault),
                    attributes=attributes[number],
                    pace=self.pace,
                ),
                slots=(str(version), str(version)),
            )
            for number, (version, fault) in enumerate(zip(running, faults, strict=True))
        ]

    def chance(self, number: int) -> random.Random:
        """The chance of device `number`, which no other device shares."""
        return random.Random(f"{self.seed}/{number}")

    def _attributes(self) -> Sequence[bytes]:
        if not self.attributes:
            return [b""] * self.devices
        columns = [
            mix.deal(self.devices, random.Random(f"{self.seed}/attribute/{name}"))
            for name, mix in self.attributes.items()
        ]
        rows = (dict(zip(self.attributes, values, strict=True)) for values in zip(*columns, strict=True))
        # Rows repeat: a fleet has few kinds of devices.
        made: dict[str, bytes] = {}
        return [made.setdefault(str(row), _attributes(row)) for row in rows]


_FAULTS = tuple(str(fault) for fault in Fault)


def plan_attributes(texts: Sequence[str]) -> dict[str, Mix]:
    """Read `NAME:VALUE=SHARE,VALUE=SHARE…` texts, one for each attribute.

    Raises:
        PlanError: a text has no name, or its mix is none.
    """
    found: dict[str, Mix] = {}
    for text in texts:
        name, colon, mix = text.partition(":")
        if not colon or name in found:
            raise PlanError(f"{text!a} is no attribute of its own: it looks like NAME:VALUE=5%,VALUE=95%")
        found[name] = mixes.parse(mix)
    return found


def _attributes(row: Mapping[str, str | None]) -> bytes:
    values = {name: _value(text) for name, text in row.items() if text is not None}
    if not values:
        return b""
    encoded = metadata.encode_attributes(values)
    try:
        metadata.decode_attributes(encoded)
    except PayloadError as error:
        raise PlanError(f"an attribute cannot be sent: {error.reason}") from error
    return encoded


def _value(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except ValueError:
        return text
    return value
