"""Otao's own rules over the virtual fleet: the real engine, in virtual time, with `stages: standard`.

Rules:
- A device says that it begins and how it went, as the rules of the others have it; when it is found on its old software
  again, it says so, as every device does at a boot.
- Time goes in steps of `STEP` seconds: what happens within one is told at its end.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from bench.policies.fleets import HORIZON, MINUTE, Ending
from bench.policies.outcomes import Ledger
from orchestrator.virtual import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.policies.fleets import Course, Device, Fleet, Release
    from bench.policies.outcomes import Outcome
    from orchestrator.virtual import VirtualEngine

STEP = 2 * MINUTE
BEGINS_AT = datetime(2026, 6, 1, 9, tzinfo=UTC)
OLD, NEW = "1.0.0", "1.1.0"
_OVER = frozenset({"paused", "aborted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Otao:
    """Otao, with the stages of a catalogue's `rollout`."""

    name: str = "Otao, standard"
    rollout: dict[str, Any] = field(default_factory=lambda: {"stages": "standard"})

    def run(self, fleet: Fleet, release: Release, seed: int) -> Outcome:
        """`seed` changes nothing: whom a stage reaches first follows from the names of endpoints."""
        del seed
        return asyncio.run(_Run(self, fleet, release).to_the_end())


class _Run:
    def __init__(self, policy: Otao, fleet: Fleet, release: Release) -> None:
        self.policy = policy
        self.fleet = fleet
        self.release = release
        self.ledger = Ledger(policy=policy.name, fleet=fleet, release=release)
        self.agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self.numbers = count()
        self.said: list[tuple[str, bytes]] = []
        self.at = 0
        self.offered: set[int] = set()
        self.busy: set[int] = set()
        self.tries = [0] * len(fleet.devices)
        self.silent: set[int] = set()

    async def to_the_end(self) -> Outcome:
        """Roll out until nothing moves any more, or the horizon."""
        async with open_engine(BEGINS_AT, self.hear) as engine:
            await engine.apply("fleet", {"appVersions": ["fleet-v1"], "registration": "open", "software": [_old()]})
            await engine.say((self.topic(n, "applied"), _report(OLD, 200)) for n in range(len(self.fleet.devices)))
            new = {**_old(), "version": NEW, "rolloutStrategy": "general", "upgradableFrom": [OLD]}
            new |= {"specification": {"link": "…"}, "rollout": self.policy.rollout}
            await engine.apply("fleet", {"software": [new]})
            await engine.elapse()
            while self.at < HORIZON and self.ledger.stopped_at is None:
                if not await self.step(engine):
                    break
            self.run_out()
        return self.ledger.outcome()

    async def step(self, engine: VirtualEngine) -> bool:
        """Go on to the next thing that happens; return whether there was any."""
        due = await engine.next_at()
        moments = [] if due is None else [int((due - BEGINS_AT).total_seconds()) + 1]
        moments += [self.agenda[0][0]] if self.agenda else []
        if not moments:
            return False
        until = max(min(moments), self.at) + STEP
        while self.agenda and self.agenda[0][0] <= until:
            at, _, action = heappop(self.agenda)
            action(at)
        self.at = until
        engine.clock.at = BEGINS_AT + timedelta(seconds=until)
        said, self.said = self.said, []
        if said:
            await engine.say(said)
        await engine.elapse()
        phase, _ = engine.phase("fleet", NEW)
        if phase in _OVER:
            self.ledger.stop(self.at)
        return True

    def run_out(self) -> None:
        """What has begun goes on to its end; nothing else begins."""
        self.offered.clear()
        while self.agenda:
            at, _, action = heappop(self.agenda)
            action(at)

    def hear(self, topic: str, payload: bytes) -> None:
        """The broker retains, or clears, an offer."""
        *_, token, resource, _format, kind = topic.split("/")
        if resource != "config" or kind != "status":
            return
        number = int(token.removeprefix("d"))
        if not payload:
            self.offered.discard(number)
            return
        self.offered.add(number)
        self.put(self.fleet.devices[number].next_reachable(self.at), lambda at: self.begin(number, at))

    def put(self, at: int | None, action: Callable[[int], None]) -> None:
        """Have something happen, unless that is after the horizon."""
        if at is not None and at <= HORIZON:
            heappush(self.agenda, (at, next(self.numbers), action))

    def begin(self, number: int, at: int) -> None:
        """A device sees its offer."""
        if number not in self.offered or number in self.busy or number in self.silent:
            return
        self.busy.add(number)
        self.tries[number] += 1
        device = self.fleet.devices[number]
        course = self.fleet.course(self.release, device, self.tries[number], at)
        self.ledger.note(device, course)
        self.tell(number, "progress", {"configId": NEW, "state": "downloading"})
        if course.ending is Ending.SILENCE:
            self.silent.add(number)
        self.put(course.reported_at, lambda _: self.end(device, course))
        self.put(
            course.fall_back_seen_at, lambda _: self.said.append((self.topic(number, "applied"), _report(OLD, 200)))
        )

    def end(self, device: Device, course: Course) -> None:
        """A device says how it went."""
        self.busy.discard(device.number)
        self.report(device.number, NEW, 200 if course.ending is Ending.RUNS else 500)

    def report(self, number: int, version: str, status_code: int = 200) -> None:
        """A device says what it runs, or that it could not install it."""
        self.said.append((self.topic(number, "applied"), _report(version, status_code)))

    def tell(self, number: int, resource: str, members: dict[str, str]) -> None:
        """A device says something."""
        self.said.append((self.topic(number, resource), json.dumps(members).encode()))

    @staticmethod
    def topic(number: int, resource: str) -> str:
        """Where a device speaks."""
        return f"kp1/fleet-v1/cmx_ota/d{number}/{resource}/json"


def _old() -> dict[str, Any]:
    return {"version": OLD, "rolloutStrategy": "suspended"}


def _report(version: str, status_code: int) -> bytes:
    return json.dumps({"configId": version, "statusCode": status_code}).encode()
