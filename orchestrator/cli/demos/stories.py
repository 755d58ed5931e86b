"""The story of the demonstration: a fleet on mixed versions, a canary, everyone, and what did not go well.

    1.0.0 ──▶ 1.1.0 ──▶ 2.0.0        2.0.0 can be installed over 1.1.0 only

Rules:
- All that is done and all that is said about the fleet goes over REST; only whether the healthy devices have arrived,
  and which are the healthy ones, is asked of the simulator, because nobody else can know it.
- It ends when the healthy devices have arrived and the failures that are to come are known, or at the deadline.

Layer: cli.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

from device_sim import mixes
from device_sim.devices import Pace
from device_sim.faults import Fault
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan
from device_sim.tallies import converged
from orchestrator.cli.demos.outcomes import Outcome, counts
from orchestrator.cli.documents import items, number

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_sim.devices import Device
    from device_sim.tallies import Progress
    from orchestrator.cli.demos.brokers import Broker
    from orchestrator.cli.demos.displays import Display
    from orchestrator.cli.demos.rests import Rest
    from orchestrator.cli.demos.services import Service
    from orchestrator.cli.documents import Document

APPLICATION = "smart-kettle"
APP_VERSION = "smart-kettle-v1"
GOAL = "2.0.0"
CANARY = "canary"
FAULTS = "failing-install=2%,fall-back=1%,no-bump=1%,offline=1%,silent=1%,duplicates=2%,power-cut=1%"
_BASE = f"/applications/{APPLICATION}"
_PACE = Pace(download_seconds=1.2, install_seconds=0.6, reboot_seconds=0.6, check_seconds=0.3)
"""Brisk: a real device takes minutes."""
_LOOK_SECONDS = 0.5
_FAILURES_SECONDS = 8.0


def plan_fleet(devices: int, seed: int) -> FleetPlan:
    """The fleet: three in five on 1.0.0, the others on 1.1.0; one in twenty a canary; a few of them faulty.

    Raises:
        PlanError: there cannot be such a fleet.
    """
    return FleetPlan(
        app_version=APP_VERSION,
        devices=devices,
        versions=mixes.parse("1.0.0=60%,1.1.0=40%"),
        faults=mixes.parse(FAULTS),
        attributes={"ring": mixes.parse("0=5%,1=95%")},
        seed=seed,
        pace=_PACE,
        prefix="kettle",
    )


class Story:
    """One telling; `tell` it once.

    Args:
        service: where everything is done.
        broker: where the devices are.
        plan: what they are like.
        display: who is told.
        seconds: how long the telling may take.
    """

    def __init__(self, service: Service, broker: Broker, plan: FleetPlan, display: Display, seconds: float) -> None:
        self._service = service
        self._rest: Rest = service.rest
        self._broker = broker
        self._plan = plan
        self._fleet = Fleet(plan, broker.url)
        self._display = display
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self._deadline = self._began_at + seconds

    @property
    def fleet(self) -> Fleet:
        """The devices; they go on when the story has been told, until the fleet is left."""
        return self._fleet

    async def tell(self) -> Outcome:
        """Tell it from beginning to end, in a fleet that has been entered; return how it came out.

        Raises:
            FailedError: the service or the broker is gone, or REST refused a call.
        """
        before = await self._registered()
        self._display.say(f"{_worded(before)}; {self._faulty()} of {self._plan.devices} are made to misbehave")
        canary = await self._canary()
        await self._release("general", [])
        self._display.say(f"1.1.0 and {GOAL} are general now: for everyone")
        arrived = await self._until(lambda: converged(GOAL)(self._fleet.progress()))
        # As it is at this moment: a device that sends something again is not at rest for a while.
        progress = self._fleet.progress()
        await self._failures_known()
        return await self._outcome(before, canary, progress, arrived=arrived)

    async def define(self) -> None:
        """Define application, filter and the software that the fleet runs; nothing is offered yet.

        Raises:
            RefusedCallError: REST refused it.
        """
        body = {"appVersions": [APP_VERSION], "registration": "open", "description": "The kettles of `otao demo`."}
        await self._rest.put(_BASE, body)
        await self._rest.put(f"{_BASE}/filters/{CANARY}", {"expression": "attributes.ring == 0"})
        await self._rest.put(f"{_BASE}/software/1.0.0", {"rolloutStrategy": "suspended"})

    async def _registered(self) -> dict[str, int]:
        devices = self._plan.devices
        summary: Document = {}

        def all_reported() -> bool:
            return number(summary, "endpoints") == devices and not number(summary, "unknownVersion")

        while not all_reported() and not self._is_late():
            summary = await self._look()
            await asyncio.sleep(0 if all_reported() else _LOOK_SECONDS)
        return counts(summary)

    async def _canary(self) -> dict[str, int]:
        await self._release("targeted", [{"filterId": CANARY}])
        canaries = await self._listed(f"{_BASE}/filters/{CANARY}/endpoints?")
        self._display.say(
            f"{GOAL} is published for the filter {CANARY}, which matches {len(canaries)}; it installs over 1.1.0 only"
        )
        waited = [device.model.token for device in self._fleet.devices() if _is_healthy(device)]
        healthy = canaries.intersection(waited)

        def all_there() -> bool:
            devices = self._fleet.devices()
            return all(device.settled and device.running == GOAL for device in devices if device.model.token in healthy)

        await self._until(all_there)
        there = await self._listed(f"{_BASE}/endpoints?version={GOAL}&")
        self._display.say(describe_canary(there, canaries))
        return counts(await self._look())

    async def _release(self, strategy: str, filters: list[dict[str, str]]) -> None:
        for version, source in (("1.1.0", "1.0.0"), (GOAL, "1.1.0")):
            body = {
                "upgradableFrom": [source],
                "rolloutStrategy": strategy,
                "filters": filters,
                "specification": {"link": f"https://firmware.example/smart-kettle-{version}.bin", "size": 1_048_576},
            }
            path = f"{_BASE}/software/{version}"
            present = strategy != "targeted"
            await (self._rest.patch(path, body) if present else self._rest.put(path, body))

    async def _listed(self, path: str) -> set[str]:
        """The IDs of all endpoints of a list."""
        found: set[str] = set()
        cursor: object = ""
        while cursor is not None:
            after = f"&cursor={quote(str(cursor))}" if cursor else ""
            page = await self._rest.get(f"{path}limit=500{after}")
            found |= {str(item.get("endpointId")) for item in items(page, "items")}
            cursor = page.get("next")
        return found

    async def _failures_known(self) -> None:
        """Wait for the failures that devices report; of the other faults Otao learns later, when deadlines end."""
        devices = self._fleet.devices()
        expected = sum(device.model.fault is Fault.FAILING_INSTALL for device in devices)
        given_up_at = min(self._deadline, self._loop.time() + _FAILURES_SECONDS)
        while self._loop.time() < given_up_at:
            summary = await self._look()
            if sum(number(failure, "endpoints") for failure in items(summary, "failures")) >= expected:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _outcome(
        self, before: dict[str, int], canary: dict[str, int], progress: Progress, *, arrived: bool
    ) -> Outcome:
        summary = await self._look()
        attention = items(await self._rest.get(f"{_BASE}/attention?limit=20"), "items")
        behind = [item for item in attention if item.get("runningVersion") != GOAL]
        explanation: Document = {}
        if behind:
            endpoint = quote(str(behind[0].get("endpointId")))
            explanation = await self._rest.get(f"{_BASE}/endpoints/{endpoint}/explain")
        return Outcome(
            converged=arrived,
            seconds=self._loop.time() - self._began_at,
            broker=str(self._broker.kind),
            devices=progress.devices,
            healthy=progress.healthy,
            arrived=progress.settled.get(GOAL, 0),
            goal=GOAL,
            before=before,
            canary=canary,
            after=counts(summary),
            failures=items(summary, "failures"),
            attention=attention,
            explanation=explanation,
        )

    async def _until(self, condition: Callable[[], bool]) -> bool:
        while not condition():
            if self._is_late():
                return False
            await self._look()
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def _look(self) -> Document:
        """Read the numbers of now, and show them."""
        for child in (self._service.child, self._broker.child):
            if child is not None:
                child.check()
        summary = await self._rest.get(f"{_BASE}/summary")
        self._display.show(self._loop.time() - self._began_at, summary)
        return summary

    def _is_late(self) -> bool:
        return self._loop.time() >= self._deadline

    def _faulty(self) -> int:
        return sum(self._plan.faults.counts(self._plan.devices).values())


def _is_healthy(device: Device) -> bool:
    return device.model.fault is None or device.model.fault.converges


def describe_canary(there: set[str], canaries: set[str]) -> str:
    """Who runs the newest version before everyone may."""
    strangers = len(there - canaries)
    return f"{len(there)} run {GOAL}, {f'{strangers} of them no' if strangers else 'all of them'} canaries"


def _worded(versions: dict[str, int]) -> str:
    return ", ".join(f"{endpoints} run {version}" for version, endpoints in sorted(versions.items()))
