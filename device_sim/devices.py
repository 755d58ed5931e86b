"""A simulated device: what it is, what it can be doing, what happens to it, and what it does about that.

The way of an update is idle → downloading → downloaded → installing → rebooting → health-check → idle. `behaviours`,
`installs` and `reports` hold what a device does; this module holds the words for it.

Rules:
- Two slots: what runs is in the active one, an image is written to the other, and a restart changes over.
- A state follows another only as `MOVES` says.
- Timers run in the device: they go on while it has no connection.

Layer: device_sim; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from device_sim.errors import IllegalMoveError
from device_sim.faults import Fault

if TYPE_CHECKING:
    import random


class State(StrEnum):
    """What a device is doing."""

    OFF = "off"
    """No power yet, or not again; boots into what the active slot holds."""
    IDLE = "idle"
    """Runs its version and waits for an offer."""
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    """Restarts into the slot that it has just written."""
    CHECKING = "health-check"
    """Runs the new version and has not yet said so."""
    FALLING_BACK = "falling-back"
    """Restarts into the slot that it ran before."""
    ASLEEP = "asleep"
    GONE = "gone"
    """Will never be heard of again."""


MOVES: dict[State, frozenset[State]] = {
    State.OFF: frozenset({State.IDLE}),
    State.IDLE: frozenset({State.DOWNLOADING, State.ASLEEP, State.FALLING_BACK, State.OFF, State.GONE}),
    State.DOWNLOADING: frozenset({State.DOWNLOADED, State.FALLING_BACK, State.OFF}),
    State.DOWNLOADED: frozenset({State.INSTALLING, State.FALLING_BACK, State.OFF}),
    State.INSTALLING: frozenset({State.REBOOTING, State.IDLE, State.FALLING_BACK, State.OFF}),
    State.REBOOTING: frozenset({State.CHECKING, State.OFF, State.GONE}),
    State.CHECKING: frozenset({State.IDLE, State.OFF}),
    State.FALLING_BACK: frozenset({State.IDLE, State.OFF}),
    State.ASLEEP: frozenset({State.IDLE}),
    State.GONE: frozenset(),
}


def moved(before: State, after: State) -> State:
    """The state after a move.

    Raises:
        IllegalMoveError: `MOVES` has no such move.
    """
    if after not in MOVES[before]:
        raise IllegalMoveError(before, after)
    return after


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long things take, in seconds; each time between half and one and a half of it."""

    download_seconds: float = 2.0
    verify_seconds: float = 0.2
    install_seconds: float = 1.0
    reboot_seconds: float = 1.0
    check_seconds: float = 0.5
    retry_seconds: float = 10.0
    """Until an unconfirmed report is sent again; doubled with each time, up to 16 times of it."""
    awake_seconds: float = 5.0
    asleep_seconds: float = 30.0
    watchdog_seconds: float = 2.0
    """How long a new version runs before the watchdog of `Fault.FALL_BACK` strikes."""
    health_seconds: float = 1.0
    """How long a new version runs before the device says how it fares."""
    report_every_seconds: float = 0.0
    """How often a device at rest says again what it runs; 0: not unless it has to."""


def about(seconds: float, chance: random.Random) -> float:
    """Half of a time to one and a half of it."""
    return seconds * chance.uniform(0.5, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What stays the same about a device."""

    token: str
    app_version: str
    fault: Fault | None = None
    attributes: bytes = b""
    """The JSON object that it sends with 10/EPMP; empty: none."""
    pace: Pace = Pace()

    @property
    def base(self) -> str:
        """Its topics for software, up to the token with a slash."""
        return f"kp1/{self.app_version}/cmx_ota/{self.token}/"

    @property
    def metadata(self) -> str:
        """Its topics for attributes, up to the token with a slash."""
        return f"kp1/{self.app_version}/epmx/{self.token}/"

    @property
    def qos(self) -> int:
        """What it publishes and subscribes with."""
        return 0 if self.fault is Fault.QOS_0 else 1

    @property
    def topic_filters(self) -> tuple[str, ...]:
        """What it subscribes to: its offer first, asks for its consent, then the answers to all that it says."""
        told = (f"{self.base}config/json/status", f"{self.base}consent/json/status")
        filters = (*told, f"{self.base}+/json/+/+")
        return (*filters, f"{self.metadata}update/keys/+/+") if self.attributes else filters


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something that was said and is repeated until it is answered."""

    topic: str
    """With the request ID."""
    payload: bytes
    running: str | None = None
    """The version that it says runs; None for anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device at one moment."""

    model: Model
    slots: tuple[str, str]
    """The version in each slot."""
    active: int = 0
    state: State = State.OFF
    connected: bool = False
    installing: str | None = None
    """The version that it is on the way to."""
    percent: int = 0
    waiting: str | None = None
    """The version that it was offered in the meantime."""
    pending: tuple[Request, ...] = ()
    retries: int = 0
    confirmed: str | None = None
    """The version that Otao has last confirmed to have been reported."""
    described: bool = False
    """Whether its attributes have been sent."""
    last_id: int = 0
    cut: bool = False
    """Whether the power cut of `Fault.POWER_CUT` has been."""
    installs: int = 0
    """Images written."""
    failures: int = 0
    """Installs that it has reported as failed, and versions that it fell back from."""
    refused: int = 0
    """Requests that were answered with an error, and pushes that it could not read."""

    @property
    def running(self) -> str:
        """The version in the active slot."""
        return self.slots[self.active]

    @property
    def settled(self) -> bool:
        """Whether it rests, and Otao has confirmed what it runs; how it fares it may still be saying."""
        said = all(request.running is None for request in self.pending)
        return self.confirmed == self.running and said and self.state in {State.IDLE, State.ASLEEP}


class Timer(StrEnum):
    """What a device waits for."""

    BOOT = "boot"
    STEP = "step"
    """The end of what it is doing."""
    RETRY = "retry"
    SLEEP = "sleep"
    WATCHDOG = "watchdog"
    HEALTH = "health"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """It has a connection, with a clean session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """It has lost its connection, which somebody else makes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message has arrived."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A time that it had set has come; the first `BOOT` comes by itself."""

    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLost:
    """It has no power; it comes back after a while."""


Event: TypeAlias = Connected | Disconnected | Received | TimerFired | PowerLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """Make a connection, and make it again whenever it is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """Say goodbye, and stay away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff:
    """Break the connection without a word; `again`: as if the network had done it."""

    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Subscribe to all of these with one QoS."""

    topic_filters: tuple[str, ...]
    qos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Publish, not retained."""

    topic: str
    payload: bytes
    qos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Fire once after this many seconds, instead of any earlier wish for the same timer."""

    timer: Timer
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer:
    """Do not fire."""

    timer: Timer


Command: TypeAlias = Connect | Disconnect | CutOff | Subscribe | Publish | SetTimer | CancelTimer
Outcome: TypeAlias = tuple[Device, tuple[Command, ...]]
"""The device after an event, and what it does then, in this order."""
