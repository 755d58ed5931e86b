"""Drives the devices of a fleet: hands them events, does what they command, and keeps their connections wanted.

Rules:
- Events are handled in order, one at a time, however deep they were caused.
- A connection that is wanted and lost is made again with back-off and full jitter; one that the broker has refused is
  asked for only now and then.
- Behind a gateway a device comes and goes by subscribing and unsubscribing; the gateway's connection stays.

Layer: device_sim; waits for nothing: time comes from the caller's clock.
"""

from __future__ import annotations

import random
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, assert_never

from device_sim import behaviours
from device_sim.carriers import Identity
from device_sim.devices import (
    CancelTimer,
    Connect,
    Connected,
    CutOff,
    Disconnect,
    Disconnected,
    Publish,
    Received,
    SetTimer,
    Subscribe,
    Timer,
    TimerFired,
)
from device_sim.errors import IllegalMoveError
from device_sim.tallies import Tally
from device_sim.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from device_sim import packets
    from device_sim.addresses import Address
    from device_sim.devices import Command, Event
    from device_sim.plans import FleetPlan

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
_REFUSED_WAIT = 30.0
_DOUBLINGS = 8
_LEVELS = 5
"""Of a topic of 1/KP, the last one with whatever follows."""


class Line(StrEnum):
    """What a connection waits for."""

    DIAL = "dial"
    """A carrier is to be connected."""
    WATCH = "watch"
    """A carrier is to be looked after."""
    LINK = "link"
    """A device is to find its gateway again."""


_Key: TypeAlias = "tuple[int, Timer | Line]"


class Connection(Protocol):
    """What a driver needs of a connection; `carriers.Carrier` is one."""

    number: int
    failures: int
    code: int

    @property
    def is_open(self) -> bool:
        """Whether the broker has let us in."""

    @property
    def is_free(self) -> bool:
        """Whether there is none, so that one may be made."""

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Publish; without an open connection the message is lost."""

    def subscribe(self, topic_filters: Sequence[str], qos: int) -> None:
        """Subscribe."""

    def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        """Unsubscribe."""

    def close(self) -> None:
        """Say goodbye and close."""

    def abort(self) -> None:
        """Break the connection."""

    def watch(self) -> float:
        """Look after the connection; return after how many seconds to do so again."""


def identities(plan: FleetPlan, address: Address) -> list[Identity]:
    """Who each connection of a fleet is for, in order of number; `{token}` is a gateway's name behind gateways."""
    names = (
        [f"{plan.prefix}-gateway-{number}" for number in range(plan.gateways)]
        if plan.gateways
        else [plan.token(number) for number in range(plan.devices)]
    )
    made = []
    for name in names:
        username, password = address.credentials(name)
        made.append(Identity(client_id=name, username=username, password=password, keep_alive=plan.keep_alive))
    return made


class Driver:
    """The devices of one fleet and their connections.

    Args:
        plan: what the fleet is like; its devices are built here.
        clock: seconds that only grow.
        dial: makes a connection for a carrier that is free.
    """

    def __init__(self, plan: FleetPlan, clock: Callable[[], float], dial: Callable[[Connection], None]) -> None:
        now = clock()
        self.devices = plan.build()
        self.tally = Tally(self.devices, now)
        self.failure: IllegalMoveError | None = None
        """What no device should ever do; the fleet ends with it."""
        self.carriers: Sequence[Connection] = ()
        """To be set before the first event."""
        self.on_closed: Callable[[], None] = lambda: None
        """Called after a connection has ended."""
        self._clock = clock
        self._dial = dial
        self._shared = bool(plan.gateways)
        self._lines = plan.gateways or plan.devices
        self._chances = [plan.chance(number) for number in range(plan.devices)]
        self._network = random.Random(f"{plan.seed}/network")
        self._numbers = {device.model.token: number for number, device in enumerate(self.devices)}
        self._wanted = [False] * plan.devices
        self._events: deque[tuple[int, Event]] = deque()
        self._busy = False
        self._timers: Timers[_Key] = Timers()
        for number, chance in enumerate(self._chances):
            self._timers.set((number, Timer.BOOT), now + chance.uniform(0, plan.ramp))
        for number in range(plan.gateways):
            self._timers.set((number, Line.DIAL), now)

    def happen(self, number: int, event: Event) -> None:
        """Let something happen to device `number`, from 0."""
        self._events.append((number, event))
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._handle(*self._events.popleft())
        except IllegalMoveError as error:
            self.failure = error
        finally:
            self._busy = False

    def pass_time(self) -> None:
        """Do what is due by now."""
        for number, what in self._timers.due(self._clock()):
            match what:
                case Timer():
                    self.happen(number, TimerFired(timer=what))
                case Line.DIAL:
                    carrier = self.carriers[number]
                    if carrier.is_free and self.is_wanted(number):
                        self._dial(carrier)
                case Line.WATCH:
                    self.watch(self.carriers[number])
                case Line.LINK:
                    self._connect(number)
                case _:
                    assert_never(what)

    def watch(self, carrier: Connection) -> None:
        """Look after a connection from now on."""
        self._set(carrier.number, Line.WATCH, carrier.watch())

    def is_wanted(self, line: int) -> bool:
        """Whether connection number `line` should be there."""
        return self._shared or self._wanted[line]

    def opened(self, carrier: Connection) -> None:
        """Tell the devices that a connection carries that it is there; one that is not wanted any more is closed."""
        if not self.is_wanted(carrier.number):
            # Its device has gone to restart or to sleep while the connection was being made.
            carrier.close()
            return
        self.watch(carrier)
        for number in self._carried(carrier):
            if self._wanted[number]:
                self.happen(number, Connected())

    def closed(self, carrier: Connection) -> None:
        """Tell the devices that a connection carried that it is gone, and make it again if it is wanted."""
        self._timers.cancel((carrier.number, Line.WATCH))
        for number in self._carried(carrier):
            if self.devices[number].connected:
                self.tally.connections_lost += 1
                self.happen(number, Disconnected())
        if self.is_wanted(carrier.number):
            self._set(carrier.number, Line.DIAL, self._wait(carrier))
            carrier.failures += 1
        self.on_closed()

    def received(self, carrier: Connection, message: packets.Publish) -> None:
        """Hand a message to the device that it is for, if this connection carries it."""
        self.tally.received += 1
        number = self._addressee(message.topic) if self._shared else carrier.number
        if number is not None and number % self._lines == carrier.number:
            self.happen(number, Received(topic=message.topic, payload=message.payload))

    def _addressee(self, topic: str) -> int | None:
        levels = topic.split("/", _LEVELS - 1)
        return self._numbers.get(levels[3]) if len(levels) == _LEVELS else None

    def _handle(self, number: int, event: Event) -> None:
        before = self.devices[number]
        after, commands = behaviours.step(before, event, self._chances[number])
        if after is not before:
            self.devices[number] = after
            self.tally.moved(before, after)
        for command in commands:
            self._obey(number, command)

    def _obey(self, number: int, command: Command) -> None:
        match command:
            case Publish():
                self.tally.sent += 1
                self._carrier(number).publish(command.topic, command.payload, command.qos)
            case Subscribe():
                self._carrier(number).subscribe(command.topic_filters, command.qos)
            case SetTimer():
                self._set(number, command.timer, command.seconds)
            case CancelTimer():
                self._timers.cancel((number, command.timer))
            case Connect():
                self._connect(number)
            case Disconnect() | CutOff():
                self._disconnect(number, command)
            case _:
                assert_never(command)

    def _connect(self, number: int) -> None:
        self._wanted[number] = True
        carrier = self._carrier(number)
        if self._shared and carrier.is_open:
            self.happen(number, Connected())
        elif not self._shared and carrier.is_free:
            self._dial(carrier)

    def _disconnect(self, number: int, command: Disconnect | CutOff) -> None:
        carrier = self._carrier(number)
        self._wanted[number] = again = isinstance(command, CutOff) and command.again
        self.tally.connections_lost += again
        if self._shared:
            carrier.unsubscribe(self.devices[number].model.topic_filters)
            if again:
                self._wanted[number] = False
                self._set(number, Line.LINK, self._network.uniform(0, _FIRST_WAIT))
            else:
                self._timers.cancel((number, Line.LINK))
        elif isinstance(command, CutOff):
            carrier.abort()
        else:
            carrier.close()

    def _wait(self, carrier: Connection) -> float:
        if carrier.code:
            return self._network.uniform(_REFUSED_WAIT / 2, _REFUSED_WAIT)
        longest: float = min(_FIRST_WAIT * 2 ** min(carrier.failures, _DOUBLINGS), _LONGEST_WAIT)
        return self._network.uniform(0, longest)

    def _set(self, number: int, what: Timer | Line, seconds: float) -> None:
        self._timers.set((number, what), self._clock() + seconds)

    def _carrier(self, number: int) -> Connection:
        return self.carriers[number % self._lines]

    def _carried(self, carrier: Connection) -> Iterable[int]:
        return range(carrier.number, len(self.devices), self._lines)
