"""The rules of other systems, as documented and as their code has them, in virtual time.

Rules:
- Each is read in its favour where it leaves a choice: offline devices learn of the release the moment they return, and
  conditions are looked at with every report, not by a schedule.
- None of them learns of a device that falls back once it has reported success: the action, or execution, is closed.
- `seed` is of the order in which devices are taken; what becomes of them is the fleet's affair.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, pairwise
from random import Random
from typing import TYPE_CHECKING, Protocol

from bench.policies.fleets import HORIZON, HOUR, MINUTE, Ending
from bench.policies.outcomes import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.policies.fleets import Device, Fleet, Release
    from bench.policies.outcomes import Outcome


class Policy(Protocol):
    """Rolls a release out to a fleet."""

    @property
    def name(self) -> str:
        """As tables call it."""

    def run(self, fleet: Fleet, release: Release, seed: int) -> Outcome:
        """Return what came of it within the horizon."""


class Agenda:
    """What is to happen, in order of time, and of entry where that is the same."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._entries: list[tuple[int, int, Callable[[int], None]]] = []
        self._numbers = count()

    def put(self, at: int | None, action: Callable[[int], None]) -> None:
        """Have the action called with `at`; never, if that is None or after the horizon."""
        if at is not None and at <= HORIZON:
            heappush(self._entries, (at, next(self._numbers), action))

    def run(self) -> None:
        """Do it all."""
        while self._entries:
            at, _, action = heappop(self._entries)
            action(at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """Everybody is told in the first instant, and nobody looks."""

    name: str = "all at once"

    def run(self, fleet: Fleet, release: Release, seed: int) -> Outcome:
        """Each device tries once; `seed` changes nothing."""
        del seed
        ledger = Ledger(policy=self.name, fleet=fleet, release=release)
        for device in fleet.devices:
            began_at = device.next_reachable(0)
            if began_at is not None and began_at <= HORIZON:
                ledger.note(device, fleet.course(release, device, 1, began_at))
        return ledger.outcome()


@dataclass(frozen=True, slots=True, kw_only=True)
class HawkBit:
    """Eclipse hawkBit: groups that follow one another, by thresholds on each group's total.

    A group's success condition is met when finished / total reaches its threshold, and the next group starts; its error
    condition when errors / total exceeds its own, and the rollout pauses. A pause leaves running groups untouched:
    no further group starts, and every device of a started one goes on. Errors are final until somebody retries them.
    (ThresholdRolloutGroupSuccessCondition, ThresholdRolloutGroupErrorCondition, RolloutManagement.pauseRollout)
    """

    name: str = "hawkBit"
    groups: tuple[float, ...] = (0.01, 0.10, 1.0)
    """Which part of the fleet is in each group and those before it."""
    success: float = 0.90
    error: float = 0.10

    def run(self, fleet: Fleet, release: Release, seed: int) -> Outcome:
        """Each device tries once."""
        run = _HawkBitRun(self, fleet, release, seed)
        run.start(0, 0)
        run.agenda.run()
        return run.ledger.outcome()


class _HawkBitRun:
    def __init__(self, rules: HawkBit, fleet: Fleet, release: Release, seed: int) -> None:
        self.rules = rules
        self.fleet = fleet
        self.release = release
        self.agenda = Agenda()
        self.ledger = Ledger(policy=rules.name, fleet=fleet, release=release)
        order = _shuffled(fleet, seed)
        ends = [0, *(round(len(order) * part) for part in rules.groups)]
        self.groups = [order[since:until] for since, until in pairwise(ends)]
        self.started = 0
        self.finished: Counter[int] = Counter()
        self.errors: Counter[int] = Counter()

    def start(self, group: int, at: int) -> None:
        self.started = group + 1
        for device in self.groups[group]:
            self.agenda.put(device.next_reachable(at), self._reached(group, device))

    def _reached(self, group: int, device: Device) -> Callable[[int], None]:
        def act(at: int) -> None:
            course = self.fleet.course(self.release, device, 1, at)
            self.ledger.note(device, course)
            tallied = self.finished if course.ending is Ending.RUNS else self.errors
            self.agenda.put(course.reported_at, lambda at: self._reported(group, tallied, at))

        return act

    def _reported(self, group: int, tallied: Counter[int], at: int) -> None:
        tallied[group] += 1
        if self.ledger.stopped_at is not None:
            return
        total = len(self.groups[group])
        if self.errors[group] / total > self.rules.error:
            self.ledger.stop(at)
        elif self.started == group + 1 < len(self.groups) and self.finished[group] / total >= self.rules.success:
            self.start(group + 1, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsJobs:
    """AWS IoT Jobs: an exponential rate, and an abort by the share of executions that failed or timed out.

    The rate is `base` a minute and grows by `factor` with every `notified` things, up to `most`; the numbers are those
    of the developer guide's own example. The abort needs a minimum of executed things, here: of executions that ended.
    It cancels executions that are queued; those in progress go on. An execution that failed is tried again, and counts
    when its retries are used up; one that was in progress for `timeout` has timed out, whatever it says later.
    (Developer guide, "How job configurations work"; API reference, AbortCriteria)
    """

    name: str = "AWS Jobs"
    base: int = 50
    factor: float = 2.0
    notified: int = 1000
    most: int = 1000
    sample: int = 100
    threshold: float = 0.10
    retries: int = 2
    timeout: int = HOUR

    def run(self, fleet: Fleet, release: Release, seed: int) -> Outcome:
        """Each device tries until it succeeds, times out or has no retries left."""
        run = _AwsJobsRun(self, fleet, release, seed)
        run.agenda.put(0, run.notify)
        run.agenda.run()
        return run.ledger.outcome()


class _AwsJobsRun:
    def __init__(self, rules: AwsJobs, fleet: Fleet, release: Release, seed: int) -> None:
        self.rules = rules
        self.fleet = fleet
        self.release = release
        self.agenda = Agenda()
        self.ledger = Ledger(policy=rules.name, fleet=fleet, release=release)
        self.order = _shuffled(fleet, seed)
        self.notified = 0
        self.ended = 0
        self.failed = 0

    def notify(self, at: int) -> None:
        """Tell as many devices as this minute allows."""
        if self.ledger.stopped_at is not None:
            return
        rules = self.rules
        rate = int(min(rules.most, rules.base * rules.factor ** min(64, self.notified // rules.notified)))
        for device in self.order[self.notified : self.notified + rate]:
            self.agenda.put(device.next_reachable(at), self._reached(device, 1))
        self.notified += rate
        if self.notified < len(self.order):
            self.agenda.put(at + MINUTE, self.notify)

    def _reached(self, device: Device, attempt: int) -> Callable[[int], None]:
        def act(at: int) -> None:
            if self.ledger.stopped_at is not None:
                return
            course = self.fleet.course(self.release, device, attempt, at)
            self.ledger.note(device, course)
            late = course.reported_at is None or course.reported_at > at + self.rules.timeout
            if late:
                self.agenda.put(at + self.rules.timeout, lambda at: self._end(at, succeeded=False))
            elif course.ending is Ending.FAILS and attempt <= self.rules.retries:
                self.agenda.put(course.reported_at, self._reached(device, attempt + 1))
            else:
                succeeded = course.ending is Ending.RUNS
                self.agenda.put(course.reported_at, lambda at: self._end(at, succeeded=succeeded))

        return act

    def _end(self, at: int, *, succeeded: bool) -> None:
        self.ended += 1
        self.failed += not succeeded
        if self.ended >= self.rules.sample and self.failed / self.ended >= self.rules.threshold:
            self.ledger.stop(at)


def _shuffled(fleet: Fleet, seed: int) -> list[Device]:
    order = list(fleet.devices)
    Random(seed).shuffle(order)
    return order


RIVALS: tuple[Policy, ...] = (HawkBit(), AwsJobs(), AtOnce())
