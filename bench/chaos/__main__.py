"""Faults at random under load, and whether everything that was promised holds when it is quiet again.

    script/chaos --minutes N --seed N [--devices N] [--reports N] [--keep]

A real Mosquitto, a real `otao serve` behind a proxy, a simulated fleet of `--devices` that says `--reports` times a
second what it runs, and an operator; the faults, what the operator does and what the devices are like follow from the
seed. `OTAO_TEST_DATABASE=postgresql` takes PostgreSQL in the place of SQLite, without the faults of a file.

Prints each fault with its time, the load in between, and the verdict. Exit code 0: all of it holds; 3: not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.chaos import faults, fleets, verdicts
from bench.chaos.faults import Faults
from bench.chaos.fleets import Ledger
from bench.chaos.operators import Operator
from bench.chaos.verdicts import Verdict
from tests.brokers import Mosquitto
from tests.proxies import Proxy
from tests.services import Service, eventually
from tests.system.rollouts import documents

if TYPE_CHECKING:
    from device_sim.fleets import Fleet

KEEP_ALIVE_SECONDS = "5"
AUDIT_SECONDS = "10"
LOAD_SECONDS = 10.0
LOG_CHARACTERS = 2000
QUIET_SECONDS = 300.0
DIFFERS = 3


class Serve(Service):
    """`otao serve`, as it is installed."""

    program = ("-m", "orchestrator.cli", "serve")


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, and what it prints."""

    service: Service
    fleet: Fleet
    ledger: Ledger
    begun: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    """Faults, by kind."""
    away: float = 0.0
    """The longest time, in seconds, in which the service was not ready."""
    ended: list[str] = field(default_factory=list)
    """When the service ended by itself, and the end of its log."""

    def tell(self, text: str) -> None:
        """Print a line with the time since the beginning."""
        print(f"{time.monotonic() - self.begun:8.1f} s  {text}", flush=True)

    async def wreck(self, world: Faults, seed: int, seconds: float) -> None:
        """Do all that goes wrong within so many seconds, each at its time or as soon as the one before is over."""
        for fault in faults.draw(seed, seconds):
            await asyncio.sleep(max(0.0, self.begun + fault.at - time.monotonic()))
            if time.monotonic() - self.begun > seconds:
                break
            self.tell(f"FAULT {fault.kind} ({fault.seconds:.1f} s)")
            await world.do(fault)
            self.done[fault.kind] += 1
            if not self.service.running:
                self.ended.append(f"after {fault.kind}: {self.service.log()[-LOG_CHARACTERS:]}")
                await self.service.died()
                await self.service.start()
        await asyncio.sleep(max(0.0, self.begun + seconds - time.monotonic()))

    async def measure(self) -> None:
        """Say every now and then what the load is."""
        while True:
            before, since = self._sums(), time.monotonic()
            await asyncio.sleep(LOAD_SECONDS)
            span = time.monotonic() - since
            sent, read, reports, answered = (
                (now - then) / span for now, then in zip(self._sums(), before, strict=True)
            )
            connected = self.fleet.progress().connected
            self.tell(
                f"load: {sent:,.0f} messages/s sent and {read:,.0f} read by {connected} devices; "
                f"{reports:,.0f} reports/s, {answered:,.0f} acknowledged; machine {os.getloadavg()[0]:.0f}"
            )

    def _sums(self) -> tuple[int, ...]:
        progress = self.fleet.progress()
        return progress.sent, progress.received, len(self.ledger.devices), len(self.ledger.acknowledged)

    async def watch(self) -> None:
        """Look how long the service is not ready."""
        since = None
        while True:
            ready = await self.ready()
            if ready:
                since = None
            else:
                since = since or time.monotonic()
                self.away = max(self.away, time.monotonic() - since)
            await asyncio.sleep(0.2)

    async def ready(self) -> bool:
        """Whether the service says that it is."""
        try:
            async with self.service.client() as client:
                return (await client.get("/readyz", timeout=2)).is_success
        except Exception:  # noqa: BLE001 - whatever a client sees of a server that is killed
            return False


async def run(given: argparse.Namespace) -> int:
    """Run; return the exit code."""
    ledger, seconds = Ledger(), given.minutes * 60
    async with Mosquitto(anonymous=True) as broker, Proxy(broker.port) as proxy:
        service = Serve(
            broker,
            OTAO_MQTT_URL=proxy.url,
            OTAO_MQTT_KEEP_ALIVE_SECONDS=KEEP_ALIVE_SECONDS,
            OTAO_AUDIT_INTERVAL_SECONDS=AUDIT_SECONDS,
        )
        async with service:
            fleet = fleets.build(
                broker.url(), devices=given.devices, reports=given.reports, seed=given.seed, ledger=ledger
            )
            run = Run(service=service, fleet=fleet, ledger=ledger)
            operator = Operator(service=service, seed=given.seed, tell=run.tell)
            await operator.begin()
            world = Faults(broker=broker, service=service, proxy=proxy)
            async with fleet:
                verdict = await _play(run, world, operator, given.seed, seconds)
            await _compare(verdict, run, world)
            verdict.told.append(f"operator's calls: {_counted(operator.answers)}")
            verdict.differ("times that the service ended by itself", run.ended)
            if unwell := operator.answers["500"]:
                verdict.wrong.append(f"calls of the operator that were answered with 500: {unwell}")
            if verdict.wrong and given.keep:
                print(f"kept: {service.folder}, {broker.folder}")
                await asyncio.Event().wait()
    return _conclude(verdict, run, given)


async def _play(run: Run, world: Faults, operator: Operator, seed: int, seconds: float) -> Verdict:
    """Faults under load, then quiet until everybody has come to rest."""
    verdict = Verdict()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (run.measure(), run.watch(), operator.run())]
        await run.wreck(world, seed, seconds)
        tasks[-1].cancel()
        run.tell("quiet")
        began, sent = time.monotonic(), len(run.ledger.acknowledged)
        verdict.told.append(f"load held: {sent / seconds:,.0f} reports/s acknowledged, faults included")
        await eventually(run.ready, "the service is ready", QUIET_SECONDS)
        await operator.finish()
        if not await _settle(run):
            verdict.differ("devices that did not come to rest", verdicts.unsettled(run.fleet.devices()))
        run.tell(f"everybody is at rest, {time.monotonic() - began:.0f} s after the last fault")
        for task in tasks:
            task.cancel()
    return verdict


async def _settle(run: Run) -> bool:
    """Wait until every device is at rest and the service knows what it runs; return whether that came."""

    async def settled() -> bool:
        if verdicts.unsettled(run.fleet.devices()):
            return False
        known = Verdict()
        await verdicts.check_endpoints(known, run.service, run.fleet.devices())
        await asyncio.sleep(1)
        return not known.wrong

    try:
        await eventually(settled, "everybody is at rest", QUIET_SECONDS)
    except AssertionError:
        return False
    return True


async def _compare(verdict: Verdict, run: Run, world: Faults) -> None:
    """Compare everything, with the devices switched off."""
    devices = run.fleet.devices()

    async def retained() -> bool:
        tried = Verdict()
        await verdicts.check_retained(tried, world.broker, run.service, await documents(run.service))
        return not tried.wrong

    try:
        # What was decided last may still be on its way.
        await eventually(retained, "the broker retains what is offered", 30)
    except AssertionError:
        run.tell("the broker does not come to retain what is offered")
    shown = await verdicts.check_endpoints(verdict, run.service, devices)
    await verdicts.check_retained(verdict, world.broker, run.service, shown)
    tokens = [device.model.token for device in devices]
    await verdicts.check_reports(verdict, run.service, run.ledger, tokens, world.returns)
    await verdicts.check_history(verdict, run.service)
    await verdicts.check_numbers(verdict, run.service)


def _conclude(verdict: Verdict, run: Run, given: argparse.Namespace) -> int:
    progress = run.fleet.progress()
    print(f"\nseed {given.seed}, {given.minutes} min, {given.devices} devices; {sum(run.done.values())} faults")
    for kind, amount in sorted(run.done.items()):
        print(f"  {amount:4d}  {kind}")
    print(f"messages: {progress.sent:,} sent and {progress.received:,} read by devices; {progress.installs:,} installs")
    print(
        f"connections of devices lost: {progress.connections_lost:,}; the service was unready at most {run.away:.1f} s"
    )
    print("\n".join(verdict.told))
    print("\n".join(f"WRONG {sentence}" for sentence in verdict.wrong) or "nothing lost, nothing wrong")
    return DIFFERS if verdict.wrong else 0


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{amount} {name}" for name, amount in sorted(counter.items()))


def main() -> int:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--reports", type=float, default=150.0, help="a second, of all devices together")
    parser.add_argument("--keep", action="store_true", help="when something is wrong, wait before all is removed")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
