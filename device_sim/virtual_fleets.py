"""A fleet in virtual time, without a broker: the devices of `behaviours`, reachable by their habits.

It is the broker, too: what the orchestrator publishes is handed to `hear`, what devices say is taken from `act`.

Rules:
- The same plan, habits and calls have the same outcome.
- A message that a device says or hears is never lost but by its own fault; one that comes while it cannot be reached is
  kept if it is an offer or an ask for consent, as a broker keeps what is retained.
- A device that has nothing to say and hears of nothing new is left alone: that it comes and goes would change nothing.
- A device that has begun an install goes on with it unreachable; a sleeper stays awake until it was heard.
- What would change nothing is not said: of how far an install is, all but the first word, that it has begun; and that
  a device fares well.

Layer: device_sim; pure: time comes in as an argument, and is seconds.
"""

from __future__ import annotations

import random
from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, assert_never

from device_sim import behaviours, habits
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
    State,
    Subscribe,
    Timer,
    TimerFired,
)
from device_sim.errors import PlanError
from device_sim.faults import Fault
from device_sim.habits import Habit
from device_sim.tallies import Tally

if TYPE_CHECKING:
    from device_sim.devices import Command, Device, Event
    from device_sim.habits import Rhythm
    from device_sim.mixes import Mix
    from device_sim.plans import FleetPlan
    from device_sim.tallies import Progress

from device_sim.timers import Timers

Message: TypeAlias = "tuple[str, bytes]"
"""Topic and payload."""

_RETAINED = ("config/json/status", "consent/json/status")
_PROGRESS = "progress/json"
_LEVELS = 5
"""Of a topic of 1/KP, the last one with whatever follows."""
_AGAIN_SECONDS = 30.0
"""Until a connection that the network broke is there again."""


class Line(StrEnum):
    """What a device waits for beside its own timers."""

    REACH = "reach"
    """That it can be reached."""


class VirtualFleet:
    """The devices of one fleet.

    Args:
        plan: what they are like; gateways, keep-alive and ramp mean nothing here.
        when: how many have which habit; together all of them.
        since_morning: the time of day at 0, as seconds since 9:00.

    Raises:
        PlanError: there is no such habit, or they do not add up.
    """

    def __init__(self, plan: FleetPlan, when: Mix, since_morning: float = 0.0) -> None:
        self.devices = plan.build()
        self.tally = Tally(self.devices, 0.0)
        self.habits = _deal(plan, when)
        self.at = 0.0
        self._since_morning = since_morning
        self._rhythms = _rhythms(plan, self.habits)
        self._chance = random.Random(f"{plan.seed}/virtual")
        self._numbers = {device.model.token: number for number, device in enumerate(self.devices)}
        self._wanted = bytearray(plan.devices)
        self._retained: dict[int, dict[str, bytes]] = {}
        self._timers: Timers[tuple[int, Timer | Line]] = Timers()
        self._events: deque[tuple[int, Event]] = deque()
        self._busy = self._all_reachable = False
        self._said: list[Message] = []

    def introduce(self) -> list[Message]:
        """Switch all devices on, wherever they are; return what they say.

        They have been known for long, those too that cannot be reached now. Call `begin` when they were answered.
        """
        self._all_reachable = True
        for number in range(len(self.devices)):
            self._happen(number, TimerFired(timer=Timer.BOOT))
        return self._take()

    def begin(self) -> None:
        """Let habits be obeyed from now on."""
        self._all_reachable = False

    def next_at(self) -> float | None:
        """When something happens next; None: nothing does, unless somebody hears something."""
        return self._timers.next_at()

    def act(self, until: float) -> list[Message]:
        """Let everything happen until then; return what was said, in order."""
        while (at := self._timers.next_at()) is not None and at <= until:
            self.at = at
            for number, what in self._timers.due(at):
                if isinstance(what, Timer):
                    self._happen(number, TimerFired(timer=what))
                else:
                    self._connect(number)
        self.at = until
        return self._take()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take what is published: for a device that can be reached, or for the time when it can; else it is lost."""
        levels = topic.split("/", _LEVELS - 1)
        number = self._numbers.get(levels[3]) if len(levels) == _LEVELS else None
        if number is None:
            return
        kept = levels[4] in _RETAINED
        if kept:
            self._keep(number, topic, payload)
        self.tally.received += 1
        if self._is_online(number):
            self._happen(number, Received(topic=topic, payload=payload))
        elif self.devices[number].connected:
            self._happen(number, Disconnected())
        elif kept and payload:
            self._wait_for(number)

    def progress(self) -> Progress:
        """The numbers of this moment."""
        return self.tally.progress(self.at)

    def ever_reachable(self, number: int) -> bool:
        """Whether device `number`, from 0, can be reached at any time."""
        return self._rhythms[number].awake > 0

    def _take(self) -> list[Message]:
        said, self._said = self._said, []
        return said

    def _keep(self, number: int, topic: str, payload: bytes) -> None:
        kept = self._retained.setdefault(number, {})
        kept.pop(topic, None)
        if payload:
            kept[topic] = payload
        elif not kept:
            del self._retained[number]

    def _happen(self, number: int, event: Event) -> None:
        """Handle an event, and whatever it causes, one after the other."""
        self._events.append((number, event))
        if self._busy:
            return
        self._busy = True
        try:
            while self._events:
                self._handle(*self._events.popleft())
        finally:
            self._busy = False

    def _handle(self, number: int, event: Event) -> None:
        if self.devices[number].connected and not self._can_reach(number):
            self._step(number, Disconnected())
        if not isinstance(event, Disconnected):
            self._step(number, event)
        after = self.devices[number]
        if self._wanted[number] and not after.connected and self._has_reason(number, after):
            self._wait_for(number)

    def _step(self, number: int, event: Event) -> None:
        before = self.devices[number]
        after, commands = behaviours.step(before, event, self._chance)
        if after is not before:
            self.devices[number] = after
            self.tally.moved(before, after)
        begins = after.state is State.DOWNLOADING and before.state is not State.DOWNLOADING
        for command in commands:
            self._obey(number, command, begins=begins)

    def _obey(self, number: int, command: Command, *, begins: bool) -> None:
        match command:
            case Publish():
                if begins or not command.topic.endswith(_PROGRESS):
                    self.tally.sent += 1
                    self._said.append((command.topic, command.payload))
            case Subscribe():
                for topic, payload in self._retained.get(number, {}).items():
                    self._events.append((number, Received(topic=topic, payload=payload)))
            case SetTimer() | CancelTimer():
                self._wind(number, command)
            case Connect():
                self._wanted[number] = True
                self._connect(number)
            case Disconnect() | CutOff():
                self._leave(number, again=isinstance(command, CutOff) and command.again)
            case _:
                assert_never(command)

    def _wind(self, number: int, command: SetTimer | CancelTimer) -> None:
        if isinstance(command, CancelTimer):
            self._timers.cancel((number, command.timer))
        elif command.timer is not Timer.HEALTH or self.devices[number].model.fault is Fault.UNHEALTHY:
            self._timers.set((number, command.timer), self.at + command.seconds)

    def _connect(self, number: int) -> None:
        """Have a device connected, now or as soon as it can be reached; unless it is, or must not be."""
        if not self._wanted[number] or self.devices[number].connected:
            return
        if self._can_reach(number):
            self._timers.cancel((number, Line.REACH))
            self._happen(number, Connected())
        else:
            self._wait_for(number)

    def _leave(self, number: int, *, again: bool) -> None:
        self._wanted[number] = again
        self._timers.cancel((number, Line.REACH))
        if again:
            self._timers.set((number, Line.REACH), self.at + _AGAIN_SECONDS)

    def _wait_for(self, number: int) -> None:
        """Have a device connected when it can be reached again."""
        if not self._wanted[number] or (number, Line.REACH) in self._timers:
            return
        now = self.at + self._since_morning
        when = self._rhythms[number].next_reachable(now)
        if when is not None:
            self._timers.set((number, Line.REACH), self.at + (when - now))

    def _is_online(self, number: int) -> bool:
        return self.devices[number].connected and self._can_reach(number)

    def _can_reach(self, number: int) -> bool:
        """Whether nothing but itself would keep it from a connection."""
        if self._all_reachable:
            return True
        device = self.devices[number]
        busy = device.installing is not None or (device.connected and bool(device.pending))
        if busy and self.habits[number] is Habit.SLEEPING:
            return True
        return self._rhythms[number].reachable_at(self.at + self._since_morning)

    def _has_reason(self, number: int, device: Device) -> bool:
        """Whether a connection would change anything."""
        return bool(device.pending) or number in self._retained or device.state is State.CHECKING


def _deal(plan: FleetPlan, when: Mix) -> list[Habit]:
    known = [str(habit) for habit in Habit]
    wrong = [share.name for share in when.shares if share.name not in known]
    if wrong:
        raise PlanError(f"{wrong[0]!a} is no habit; there are {', '.join(known)}")
    dealt = [Habit(name) for name in when.deal(plan.devices, random.Random(f"{plan.seed}/habits")) if name is not None]
    if len(dealt) != plan.devices:
        raise PlanError(f"the habits {when} are for {len(dealt)} of {plan.devices} devices")
    return dealt


def _rhythms(plan: FleetPlan, dealt: list[Habit]) -> list[Rhythm]:
    chance = random.Random(f"{plan.seed}/rhythms")
    return [habits.rhythm(habit, chance.random(), chance.random(), chance.random()) for habit in dealt]
