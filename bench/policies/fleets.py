"""A fleet in virtual time, and what its devices make of good and bad releases.

Rules:
- Instants are whole seconds since the rollout began, a Monday at 9:00; spans are whole seconds. Nothing is rounded, so
  that a device is reachable at the very instant at which it is said to come back.
- What becomes of a device is a pure function of (seed, device, release, attempt): every policy meets the same fleet,
  and whichever device it asks first, the same devices break.
- A device that a bad release concerns breaks at every attempt. An attempt that only lost its connection may do better
  the next time; nobody blames the release for it.
- An installation that has begun goes on without a connection; a sleeper stays awake until it has said how it went.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from hashlib import blake2b
from math import log
from struct import unpack

from device_sim.habits import DAY, HOUR, MINUTE, Habit, Rhythm, between, rhythm

HORIZON = 14 * DAY
"""When the curtain falls."""

DRAWS = 8
"""Numbers that one draw yields."""


MIX = {
    Habit.STEADY: 0.58,
    Habit.NIGHTLY: 0.10,
    Habit.ROAMING: 0.18,
    Habit.SLEEPING: 0.10,
    Habit.STORED: 0.04,
}
"""At any time 10-30 % of the fleet are offline, sleepers not counted."""

REVISION_SHARE = 0.10
"""Devices of the hardware revision that a filter can tell from the others."""
BAD_LINKS = 0.05
"""Devices whose connections break often."""
LINK_RATIO = 10
"""How many times as often they break."""


class Harm(Enum):
    """What a bad release does to a device that it concerns."""

    FAILS = "fails"
    """It is not installed, and the device says so."""
    FALLS_BACK = "falls back"
    """It comes up and is reported; later the device is found on its old software again."""
    BRICKS = "bricks"
    """The device falls silent for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What is rolled out. Its name is its version."""

    name: str
    harm: Harm | None = None
    """None: it is a good one."""
    share: float = 0.0
    """Of the devices, or of those of `revision`: how many it concerns."""
    revision: bool = False
    """Whether it concerns only devices of the one hardware revision."""
    after: tuple[int, int] = (0, 0)
    """Between what ages it falls back."""
    drops: float = 0.03
    """How many attempts over bad links fail for want of a connection, whatever is tried; a tenth over others."""


GOOD = Release(name="good")
FALLING_BACK = Release(name="5 % fall back", harm=Harm.FALLS_BACK, share=0.05, after=(2 * MINUTE, HOUR))
BRICKING = Release(name="30 % brick", harm=Harm.BRICKS, share=0.30)
REVISION_ONLY = Release(name="2 % fail, of one revision", harm=Harm.FAILS, share=0.20, revision=True)
LATE = Release(name="10 % fall back after 6 h", harm=Harm.FALLS_BACK, share=0.10, after=(6 * HOUR, 8 * HOUR))
FLAKY = Release(name="good, flaky network", drops=0.25)
RELEASES = (GOOD, FLAKY, FALLING_BACK, BRICKING, REVISION_ONLY, LATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device, and when it can be reached."""

    number: int
    habit: Habit
    rhythm: Rhythm
    revision: bool
    """Whether it is of the hardware revision that a filter can tell."""
    bad_link: bool

    @property
    def awake(self) -> int:
        """For how long it can be reached in each of its periods; 0: never."""
        return self.rhythm.awake

    def reachable_at(self, at: int) -> bool:
        """Whether a message would get through at once."""
        return self.rhythm.reachable_at(at)

    def next_reachable(self, at: int) -> int | None:
        """The first instant from `at` on at which it is reachable; None: there is none."""
        return self.rhythm.next_reachable(at)


class Ending(Enum):
    """How an installation ends."""

    RUNS = "runs"
    FAILS = "fails"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What one attempt comes to at one device."""

    lasts: int
    """From the device's first word on, until it ends."""
    ending: Ending
    falls_back_after: int | None
    """From the ending on; None: it stays."""
    harmed: bool
    """Whether the release is to blame for what goes wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One attempt in time, from when the device was reached."""

    began_at: int
    ended_at: int
    ending: Ending
    reported_at: int | None
    """When the device said how it ended; None: it never did."""
    fell_back_at: int | None
    fall_back_seen_at: int | None
    """When the device, on its old software again, was first reachable."""
    harmed_at: int | None
    """When the release did its harm."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Many devices, by their number."""

    seed: int
    devices: tuple[Device, ...]

    @cached_property
    def reachable(self) -> int:
        """How many are ever reachable."""
        return sum(device.awake > 0 for device in self.devices)

    def concerns(self, release: Release, device: Device) -> bool:
        """Whether the device breaks under the release."""
        if release.harm is None or (release.revision and not device.revision):
            return False
        return draw(self.seed, "concerned", release.name, device.number)[0] < release.share

    def fate(self, release: Release, device: Device, attempt: int) -> Fate:
        """What the attempt comes to, counted from 1."""
        drawn = draw(self.seed, "fate", release.name, device.number, attempt)
        lasts = min(45 * MINUTE, 90 - int(240 * log(1 - drawn[0])))
        if drawn[1] < release.drops / (1 if device.bad_link else LINK_RATIO):
            return Fate(lasts=lasts, ending=Ending.FAILS, falls_back_after=None, harmed=False)
        harm = release.harm if self.concerns(release, device) else None
        earliest, latest = release.after
        return Fate(
            lasts=lasts,
            ending=_ENDINGS[harm],
            falls_back_after=between(earliest, latest, drawn[2]) if harm is Harm.FALLS_BACK else None,
            harmed=harm is not None,
        )

    def course(self, release: Release, device: Device, attempt: int, began_at: int) -> Course:
        """The attempt in time, when the device is reached at `began_at`; nothing can stop it any more."""
        fate = self.fate(release, device, attempt)
        ended_at = began_at + fate.lasts
        fell_back_at = None if fate.falls_back_after is None else ended_at + fate.falls_back_after
        awake = device.habit is Habit.SLEEPING
        return Course(
            began_at=began_at,
            ended_at=ended_at,
            ending=fate.ending,
            reported_at=(
                None if fate.ending is Ending.SILENCE else ended_at if awake else device.next_reachable(ended_at)
            ),
            fell_back_at=fell_back_at,
            fall_back_seen_at=None if fell_back_at is None else device.next_reachable(fell_back_at),
            harmed_at=(ended_at if fell_back_at is None else fell_back_at) if fate.harmed else None,
        )


def build(seed: int, size: int = 100_000) -> Fleet:
    """Return the fleet of this seed; a smaller one is the beginning of a larger."""
    return Fleet(seed=seed, devices=tuple(_device(seed, number) for number in range(size)))


def draw(seed: int, *what: object) -> tuple[float, ...]:
    """Return `DRAWS` numbers from 0 to below 1 that depend on the arguments only."""
    digest = blake2b(repr((seed, *what)).encode(), digest_size=8 * DRAWS).digest()
    return tuple((number >> 11) * 2.0**-53 for number in unpack(f">{DRAWS}Q", digest))


_ENDINGS = {
    None: Ending.RUNS,
    Harm.FALLS_BACK: Ending.RUNS,
    Harm.FAILS: Ending.FAILS,
    Harm.BRICKS: Ending.SILENCE,
}


def _device(seed: int, number: int) -> Device:
    drawn = draw(seed, "device", number)
    habit = _habit(drawn[0])
    return Device(
        number=number,
        habit=habit,
        rhythm=rhythm(habit, drawn[1], drawn[2], drawn[3]),
        revision=drawn[4] < REVISION_SHARE,
        bad_link=drawn[5] < BAD_LINKS,
    )


def _habit(drawn: float) -> Habit:
    for habit, share in MIX.items():
        drawn -= share
        if drawn < 0:
            return habit
    return Habit.STEADY
