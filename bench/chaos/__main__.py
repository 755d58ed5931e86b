"""Faults at random under load, and whether everything that was promised holds when it is quiet again.

    script/chaos --minutes N --seed N [--devices N] [--reports N] [--partitions N] [--keep]

A real Mosquitto, a real `otao serve` behind a proxy, a simulated fleet of `--devices` that says `--reports` times a
second what it runs, and an operator; the faults, what the operator does and what the devices are like follow from the
seed. `OTAO_TEST_DATABASE=postgresql` takes PostgreSQL in the place of SQLite, without the faults of a file; there
`--partitions` has three replicas share so many applications, each with a fleet and an operator of its own.

Prints each fault with its time, the load in between, and the verdict. Exit code 0: all of it holds; 3: not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import httpx2

from bench.chaos import faults, parties, verdicts
from bench.chaos.faults import Faults
from bench.chaos.verdicts import Verdict
from tests import databases, postgres
from tests.brokers import Mosquitto
from tests.proxies import Proxy
from tests.services import Service, eventually
from tests.system.replicas import Replica
from tests.system.rollouts import documents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench.chaos.parties import Party

KEEP_ALIVE_SECONDS = "5"
AUDIT_SECONDS = "10"
LOAD_SECONDS = 10.0
LOG_CHARACTERS = 2000
QUIET_SECONDS = 300.0
DIFFERS = 3


REPLICAS = 3
"""Where there are several partitions."""


class Serve(Service):
    """`otao serve`, as it is installed."""

    program = ("-m", "orchestrator.cli", "serve")


class ServeBesideOthers(Replica):
    """The same, as one of several."""

    program = Serve.program


@dataclass(slots=True, kw_only=True)
class Run:
    """One run, and what it prints."""

    world: Faults
    parties: Sequence[Party] = ()
    begun: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    """Faults, by kind."""
    away: float = 0.0
    """The longest time, in seconds, in which a service was not ready that nothing was done to."""
    ended: list[str] = field(default_factory=list)
    """When a service ended by itself, and the end of its log."""
    _well: list[Service] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """Where it is."""
        return self.world.services[0].database

    def reach(self) -> Service:
        """Whom a load balancer would ask."""
        return random.choice(self._well or self.world.services)

    def tell(self, text: str) -> None:
        """Print a line with the time since the beginning."""
        print(f"{time.monotonic() - self.begun:8.1f} s  {text}", flush=True)

    async def wreck(self, seed: int, seconds: float) -> None:
        """Do all that goes wrong within so many seconds, each at its time or as soon as the one before is over."""
        for fault in faults.draw(seed, seconds, len(self.world.services)):
            await asyncio.sleep(max(0.0, self.begun + fault.at - time.monotonic()))
            if time.monotonic() - self.begun > seconds:
                break
            # One that has ended by itself must not be taken for one that the fault has killed.
            await self.notice(f"before {fault.kind}")
            self.tell(f"FAULT {fault.kind} ({fault.seconds:.1f} s)")
            await self.world.do(fault)
            self.done[fault.kind] += 1
            await self.notice(f"after {fault.kind}")
        await asyncio.sleep(max(0.0, self.begun + seconds - time.monotonic()))
        await self.notice("after the last fault")

    async def notice(self, when: str) -> None:
        """Note which services have ended by themselves, and start them again."""
        for service in self.world.services:
            if not service.running:
                self.ended.append(f"{when}: {service.log()[-LOG_CHARACTERS:]}")
                await service.died()
                await service.start()

    async def measure(self) -> None:
        """Say every now and then what the load is."""
        while True:
            before, since = self._sums(), time.monotonic()
            await asyncio.sleep(LOAD_SECONDS)
            span = time.monotonic() - since
            sent, read, reports, answered = (
                (now - then) / span for now, then in zip(self._sums(), before, strict=True)
            )
            connected = sum(party.fleet.progress().connected for party in self.parties)
            self.tell(
                f"load: {sent:,.0f} messages/s sent and {read:,.0f} read by {connected} devices; "
                f"{reports:,.0f} reports/s, {answered:,.0f} acknowledged; machine {os.getloadavg()[0]:.0f}"
            )

    def _sums(self) -> tuple[int, ...]:
        progress = [party.fleet.progress() for party in self.parties]
        ledgers = [party.ledger for party in self.parties]
        return (
            sum(each.sent for each in progress),
            sum(each.received for each in progress),
            sum(len(each.devices) for each in ledgers),
            sum(len(each.acknowledged) for each in ledgers),
        )

    async def watch(self) -> None:
        """Look how long a service is not ready."""
        since = None
        while True:
            if await self.ready():
                since = None
            else:
                since = since or time.monotonic()
                self.away = max(self.away, time.monotonic() - since)
            await asyncio.sleep(0.2)

    async def ready(self) -> bool:
        """Whether services say that they are, the one of several aside that something is done to."""
        services = self.world.services
        asked = [service for service in services if len(services) == 1 or service is not self.world.met]
        well = [service for service in asked if await _says_ready(service)]
        self._well = well
        return len(well) == len(asked)


async def _says_ready(service: Service) -> bool:
    try:
        async with service.client() as client:
            return (await client.get("/readyz", timeout=2)).is_success
    except httpx2.HTTPError:
        return False


@asynccontextmanager
async def _served(broker: Mosquitto, proxy: Proxy, partitions: int) -> AsyncIterator[list[Service]]:
    """One service, behind a proxy; or replicas that share partitions."""
    given = {
        "OTAO_MQTT_KEEP_ALIVE_SECONDS": KEEP_ALIVE_SECONDS,
        "OTAO_AUDIT_INTERVAL_SECONDS": AUDIT_SECONDS,
        "OTAO_HISTORY_PER_ENDPOINT": "0",
    }
    async with AsyncExitStack() as stack:
        if partitions == 1:
            yield [await stack.enter_async_context(Serve(broker, OTAO_MQTT_URL=proxy.url, **given))]
            return
        place = databases.place_in(Path(stack.enter_context(TemporaryDirectory(prefix="otao-chaos-"))))
        stack.push_async_callback(databases.drop, place)
        await databases.address(place)
        services: list[Service] = []
        for _ in range(REPLICAS):
            name = postgres.name_for(place)
            one = ServeBesideOthers(broker, postgres.shared(), name, OTAO_PARTITIONS=str(partitions), **given)
            one.database = place
            services.append(await stack.enter_async_context(one))
        yield services


async def run(given: argparse.Namespace) -> int:
    """Run; return the exit code."""
    seconds = given.minutes * 60
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port) as proxy,
        _served(broker, proxy, given.partitions) as services,
        AsyncExitStack() as stack,
    ):
        run = Run(world=Faults(broker=broker, services=services, proxy=proxy))
        run.parties = parties.build(
            broker.url(),
            parties.NAMES[: given.partitions],
            devices=given.devices,
            reports=given.reports,
            seed=given.seed,
            reach=run.reach,
            tell=run.tell,
        )
        for party in run.parties:
            await party.operator.begin()
        for party in run.parties:
            await stack.enter_async_context(party.fleet)
        verdict = await _play(run, given.seed, seconds)
        await stack.aclose()
        await _compare(verdict, run)
        if verdict.wrong and given.keep:
            print(f"kept: {[str(each.folder) for each in (*services, broker)]}")
            await asyncio.Event().wait()
    return _conclude(verdict, run, given)


async def _play(run: Run, seed: int, seconds: float) -> Verdict:
    """Faults under load, then quiet until everybody has come to rest."""
    verdict = Verdict()
    async with asyncio.TaskGroup() as group:
        listening = [party.listen(run.world.broker) for party in run.parties]
        tasks = [group.create_task(work) for work in (run.measure(), run.watch(), *listening)]
        operators = [group.create_task(party.operator.run()) for party in run.parties]
        await run.wreck(seed, seconds)
        for task in operators:
            task.cancel()
        run.tell("quiet")
        began, sent = time.monotonic(), sum(len(party.ledger.acknowledged) for party in run.parties)
        verdict.told.append(f"load held: {sent / seconds:,.0f} reports/s acknowledged, faults included")
        await eventually(run.ready, "the services are ready", QUIET_SECONDS)
        for party in run.parties:
            await party.operator.finish()
        if not await _settle(run):
            devices = [device for party in run.parties for device in party.devices]
            verdict.differ("devices that did not come to rest", verdicts.unsettled(devices))
        run.tell(f"everybody is at rest, {time.monotonic() - began:.0f} s after the last fault")
        for task in tasks:
            task.cancel()
    return verdict


async def _settle(run: Run) -> bool:
    """Wait until every device is at rest and the service knows what it runs; return whether that came."""

    async def settled() -> bool:
        if any(verdicts.unsettled(party.devices) for party in run.parties):
            return False
        known = Verdict()
        for party in run.parties:
            await verdicts.check_endpoints(known, run.reach(), party)
        await asyncio.sleep(1)
        return not known.wrong

    try:
        await eventually(settled, "everybody is at rest", QUIET_SECONDS)
    except AssertionError:
        return False
    return True


async def _compare(verdict: Verdict, run: Run) -> None:
    """Compare everything, with the devices switched off."""
    broker, service = run.world.broker, run.reach()

    async def retained() -> bool:
        tried = Verdict()
        for party in run.parties:
            shown = await documents(service, party.application)
            await verdicts.check_retained(tried, broker, service, party, shown)
        return not tried.wrong

    try:
        # What was decided last may still be on its way.
        await eventually(retained, "the broker retains what is offered", 30)
    except AssertionError:
        run.tell("the broker does not come to retain what is offered")
    for party in run.parties:
        verdict.told.append(f"{party.application}, in partition {await verdicts.partition_of(run.database, party)}:")
        shown = await verdicts.check_endpoints(verdict, service, party)
        await verdicts.check_retained(verdict, broker, service, party, shown)
        await verdicts.check_reports(verdict, run.database, party, run.world.returns)
        await verdicts.check_history(verdict, run.database, party)
        await verdicts.check_offers(verdict, run.database, party)
        await verdicts.check_stages(verdict, run.database, party)
        verdicts.judge_calls(verdict, party.operator.answers)
    await verdicts.check_strays(verdict, broker, run.parties)
    await run.notice("quiet")
    codes = [await each.terminate() for each in run.world.services]
    for party in run.parties:
        await verdicts.check_numbers(verdict, run.database, party)
    verdicts.judge_ends(verdict, run.ended, codes)


def _conclude(verdict: Verdict, run: Run, given: argparse.Namespace) -> int:
    progress = [party.fleet.progress() for party in run.parties]
    sent, read, installs, lost = (
        sum(getattr(each, name) for each in progress) for name in ("sent", "received", "installs", "connections_lost")
    )
    print(
        f"\nseed {given.seed}, {given.minutes} min, {given.devices} devices, {len(run.world.services)} processes, "
        f"{given.partitions} partitions; {sum(run.done.values())} faults"
    )
    for kind, amount in sorted(run.done.items()):
        print(f"  {amount:4d}  {kind}")
    print(f"messages: {sent:,} sent and {read:,} read by devices; {installs:,} installs")
    print(f"connections of devices lost: {lost:,}; a service was unready at most {run.away:.1f} s")
    print("\n".join(verdict.told))
    print("\n".join(f"WRONG {sentence}" for sentence in verdict.wrong) or "nothing lost, nothing wrong")
    return DIFFERS if verdict.wrong else 0


def main() -> int:
    """Read the flags and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--reports", type=float, default=150.0, help="a second, of all devices together")
    several = "on PostgreSQL: as many applications, each in one of its own, and three replicas"
    parser.add_argument("--partitions", type=int, default=1, choices=range(1, len(parties.NAMES) + 1), help=several)
    parser.add_argument("--keep", action="store_true", help="when something is wrong, wait before all is removed")
    given = parser.parse_args()
    if given.partitions > 1 and not databases.ON_POSTGRESQL:
        parser.error("several partitions need OTAO_TEST_DATABASE=postgresql")
    return asyncio.run(run(given))


if __name__ == "__main__":
    sys.exit(main())
