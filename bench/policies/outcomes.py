"""What really became of a fleet, whatever a policy believed.

Rules:
- A device is harmed once: when the release first bricked it, was not installed by its fault, or fell back.
- A device is updated when it comes up on the release and stays.
- Nothing that happens after the horizon counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from bench.policies.fleets import HORIZON, Ending

if TYPE_CHECKING:
    from bench.policies.fleets import Course, Device, Fleet, Release

ENOUGH = 0.95
"""Of the devices that can ever be reached: when so many are updated, a rollout counts as finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One release under one policy."""

    policy: str
    release: str
    bad: bool
    """Whether there was a reason to stop."""
    seed: int
    devices: int
    harmed_at: tuple[int, ...]
    """When each harmed device was, ascending."""
    updated: int
    finished_at: int | None
    """When `ENOUGH` were updated; None: they never were."""
    stopped_at: int | None
    """When the policy stopped; None: it never did."""

    @property
    def harmed(self) -> int:
        """How many devices were harmed."""
        return len(self.harmed_at)

    @property
    def false_stop(self) -> bool:
        """Whether the policy stopped a good release."""
        return self.stopped_at is not None and not self.bad


@dataclass(kw_only=True)
class Ledger:
    """Is told of every attempt that began, and of the stop; makes the outcome."""

    policy: str
    fleet: Fleet
    release: Release
    stopped_at: int | None = None
    _harmed: dict[int, int] = field(default_factory=dict)
    _updated: list[int] = field(default_factory=list)

    def note(self, device: Device, course: Course) -> None:
        """Add an attempt."""
        if course.harmed_at is not None:
            known = self._harmed.get(device.number, course.harmed_at)
            self._harmed[device.number] = min(known, course.harmed_at)
        elif course.ending is Ending.RUNS:
            self._updated.append(course.ended_at)

    def stop(self, at: int) -> None:
        """Note that the policy stopped, if it is the first time."""
        if self.stopped_at is None:
            self.stopped_at = at

    def outcome(self) -> Outcome:
        """What came of it all."""
        updated = sorted(at for at in self._updated if at <= HORIZON)
        enough = ceil(ENOUGH * self.fleet.reachable)
        return Outcome(
            policy=self.policy,
            release=self.release.name,
            bad=self.release.harm is not None,
            seed=self.fleet.seed,
            devices=len(self.fleet.devices),
            harmed_at=tuple(sorted(at for at in self._harmed.values() if at <= HORIZON)),
            updated=len(updated),
            finished_at=updated[enough - 1] if len(updated) >= enough else None,
            stopped_at=self.stopped_at,
        )
