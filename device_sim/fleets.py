"""Runs a simulated fleet on a broker.

    async with Fleet(plan, "mqtt://127.0.0.1:1883") as fleet:
        done = await fleet.until(converged("2.0.0"), seconds=60)
        print(fleet.progress())

Rules:
- No task per device: one for all timers, a few that make connections; the rest happens as messages come.
- What cannot work is found before the first device is switched on: the broker, the credentials, the number of files.

Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeAlias

from device_sim import addresses
from device_sim.brokers import open_broker
from device_sim.carriers import Carrier
from device_sim.drivers import Driver, identities
from device_sim.errors import TooManyConnectionsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from device_sim.brokers import Broker
    from device_sim.carriers import Identity, Listener
    from device_sim.devices import Device, Event
    from device_sim.drivers import Connection
    from device_sim.plans import FleetPlan
    from device_sim.tallies import Progress

    MakeCarrier: TypeAlias = Callable[[int, Identity, Listener, bytearray], Carrier]

_DIALERS = 32
_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.05
_MARK_SECONDS = 1.0
_CLOSING_SECONDS = 3.0
_BUFFER_BYTES = 256 * 1024
_SPARE_FILES = 64


class Fleet:
    """A running fleet, between entering and leaving it; it can be entered once.

    Args:
        plan: what the fleet is like.
        broker: its address; `{token}` in user name or password stands for a device's token, or a gateway's name.
        carrier: makes each connection, from its number, who it is for, whom it tells, and what it reads into.

    Raises:
        AddressError: the address is none.
    """

    def __init__(self, plan: FleetPlan, broker: str, *, carrier: MakeCarrier = Carrier) -> None:
        self.plan = plan
        self._carrier = carrier
        self._address = addresses.parse(broker)
        self._stack = AsyncExitStack()
        self._carriers: list[Carrier] = []
        self._driver: Driver | None = None

    async def __aenter__(self) -> Self:
        """Find the broker, and begin to switch the devices on.

        Raises:
            BrokerUnreachableError: there is no broker.
            BrokerRefusedError: there is one, and it does not let the first device in.
            TooManyConnectionsError: the operating system does not let us have that many.
        """
        plan, loop = self.plan, asyncio.get_running_loop()
        members = identities(plan, self._address)
        _allow(len(members))
        broker = await open_broker(self._address)
        await broker.knock(replace(members[0], client_id=f"{plan.prefix}-first"))
        queue: asyncio.Queue[Carrier] = asyncio.Queue()
        driver = self._driver = Driver(plan, loop.time, lambda carrier: self._ask(queue, carrier))
        buffer = bytearray(_BUFFER_BYTES)
        self._carriers = [self._carrier(number, member, driver, buffer) for number, member in enumerate(members)]
        driver.carriers = self._carriers
        await self._stack.__aenter__()
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(_keep_time(driver), name="fleet.timers")]
        tasks += [
            group.create_task(_dial(broker, driver, queue), name=f"fleet.dialer-{number}") for number in range(_DIALERS)
        ]
        self._stack.push_async_callback(self._close)
        self._stack.callback(lambda: [task.cancel() for task in tasks])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close every connection."""
        return await self._stack.__aexit__(kind, error, trace)

    def progress(self) -> Progress:
        """The numbers of this moment, or of the last one."""
        return self._entered().tally.progress(asyncio.get_running_loop().time())

    def devices(self) -> tuple[Device, ...]:
        """Every device as it is now, in order of number."""
        return tuple(self._entered().devices)

    def happen(self, number: int, event: Event) -> None:
        """Let something happen to device `number`, from 0: a power cut, for one."""
        self._entered().happen(number, event)

    async def until(self, condition: Callable[[Progress], bool], seconds: float | None = None) -> bool:
        """Wait until a condition holds; False when it does not within `seconds` (None: ever)."""
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while not condition(self.progress()):
            if deadline is not None and loop.time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def run(self, until: Callable[[Progress], bool] | None = None, seconds: float | None = None) -> Progress:
        """Enter, wait as `until` does (without a condition: for the time alone), leave; return the last numbers.

        Raises:
            SimulatorError: as on entering.
        """
        async with self:
            await self.until(until or (lambda _: False), seconds)
            return self.progress()

    def _entered(self) -> Driver:
        if self._driver is None:
            raise RuntimeError("a fleet runs between entering and leaving it")
        return self._driver

    def _ask(self, queue: asyncio.Queue[Carrier], carrier: Connection) -> None:
        # At most a few entries for each carrier: it is asked for when it is free, and dropped when it no longer is.
        queue.put_nowait(self._carriers[carrier.number])

    async def _close(self) -> None:
        for carrier in self._carriers:
            carrier.close()
        try:
            async with asyncio.timeout(_CLOSING_SECONDS):
                await self._all_free()
        except TimeoutError:
            for carrier in self._carriers:
                carrier.abort()
            await self._all_free()

    async def _all_free(self) -> None:
        ended = asyncio.Event()
        self._entered().on_closed = ended.set
        while not all(carrier.is_free for carrier in self._carriers):
            ended.clear()
            await ended.wait()


async def _dial(broker: Broker, driver: Driver, queue: asyncio.Queue[Carrier]) -> None:
    while True:
        carrier = await queue.get()
        if not carrier.is_free or not driver.is_wanted(carrier.number):
            continue
        try:
            await broker.dial(carrier)
        except OSError:
            driver.closed(carrier)
        else:
            driver.watch(carrier)


async def _keep_time(driver: Driver) -> None:
    loop = asyncio.get_running_loop()
    marked = loop.time()
    while driver.failure is None:
        driver.pass_time()
        if loop.time() - marked >= _MARK_SECONDS:
            marked = loop.time()
            driver.tally.mark(marked)
        await asyncio.sleep(_TICK_SECONDS)
    raise driver.failure


def _allow(connections: int) -> None:
    """Let this process open as many files as the connections need, if it may."""
    needed = connections + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise TooManyConnectionsError(connections, hard)
    if soft != resource.RLIM_INFINITY and needed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
