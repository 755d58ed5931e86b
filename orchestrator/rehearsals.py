"""A catalogue's rollouts in virtual time, on a fleet that is given: what happens, and when.

Rules:
- The engine is a service's own; only time, the broker and the operator are not.
- Devices report before anything is published: a fleet is known when a rollout begins.
- Time goes in steps: what happens within one is told at its end, and a stretch in which nothing happens is skipped.
- It ends when nothing can happen any more, or at the horizon.
- A rate that limits offers is kept over a step: they come at the end of each.

Layer: above the engine in virtual time; plain types go in and out.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.application import failures, garbage
from orchestrator.domain.errors import DomainError
from orchestrator.domain.versions import Constraint, Version
from orchestrator.virtual import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from orchestrator.virtual import VirtualEngine

Message = tuple[str, bytes]
"""Topic and payload."""

STEP = timedelta(minutes=5)
"""While a rollout goes on."""
LONG_STEP = timedelta(minutes=30)
"""When none does: there is nobody any more who waits for what devices say."""
LOOK = timedelta(hours=2)
"""Between two looks at numbers, if nothing else is a reason."""
DAY = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_NUMBERS = 3
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?")
SUSPENDED = "suspended"
RUNNING = "running"
FINISHED = "finished"
WAITING_APPROVAL = "waiting-approval"
END = "end"
"""What the last moment of each rollout is called."""
OVER = frozenset({FINISHED, "paused", "aborted", "recalled", SUSPENDED})


class Players(Protocol):
    """Who does something by itself as time goes by; instants are seconds since the beginning."""

    def next_at(self) -> float | None:
        """When something happens next; None: nothing does."""

    def act(self, until: float) -> Sequence[Message]:
        """Let everything happen until then; return what was said, in order."""


class Fleet(Players, Protocol):
    """Devices, and the broker between them and the engine."""

    def introduce(self) -> Sequence[Message]:
        """Return what all devices say of themselves."""

    def begin(self) -> None:
        """Let time begin."""

    def hear(self, topic: str, payload: bytes) -> None:
        """Take what is published."""


class CatalogueRefusedError(Exception):
    """A catalogue is refused; says why, with the path of what is wrong, and holds the code and status of REST."""

    def __init__(self, code: str, status: int, reason: str) -> None:
        """Keep what was said."""
        super().__init__(reason)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What is to be played."""

    application: str
    catalogue: Mapping[str, Any]
    begins_at: datetime
    """Aware."""
    horizon: timedelta
    """When the curtain falls, after the beginning."""
    approve_after: timedelta | None = None
    """After how long an operator approves a stage that waits for it; None: never."""

    @property
    def declared(self) -> dict[str, Any]:
        """The catalogue, with devices that may make themselves known and say all their attributes."""
        return {**self.catalogue, "registration": "open", "operatorKeys": []}

    @property
    def ends_at(self) -> datetime:
        """When the curtain falls."""
        return self.begins_at + self.horizon

    @property
    def paced(self) -> bool:
        """Whether the application or any rollout has limits."""
        return any((part or {}).get("limits") for part in (self.catalogue, *(i.get("rollout") for i in self._software)))

    @property
    def versions(self) -> list[str]:
        """The software that may spread, and over something, lowest first."""
        spreading = [
            item for item in self._software if item["rolloutStrategy"] != SUSPENDED and item.get("upgradableFrom")
        ]
        return [version.text for version in sorted(Version.parse(item["version"]) for item in spreading)]

    @property
    def _software(self) -> Sequence[Mapping[str, Any]]:
        return self.catalogue.get("software") or ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something has happened to a rollout."""

    at: datetime
    what: str
    """In a few words, such as `stage 1 passed`."""
    why: str | None
    """One sentence, the rollout's own."""
    rollout: dict[str, Any]
    """Its document at that time."""


async def check(score: Score) -> None:
    """Pass when the catalogue can be applied.

    Raises:
        CatalogueRefusedError: it cannot.
    """
    async with open_engine(score.begins_at, lambda _topic, _payload: None) as engine:
        with _refusing():
            await engine.apply(score.application, score.declared)


async def play(score: Score, fleet: Fleet, tell: Callable[[Moment], None]) -> None:
    """Roll out on a fleet; `tell` gets what happens to each rollout, and last how each has ended.

    Raises:
        CatalogueRefusedError: the catalogue is refused.
    """
    garbage.tune()
    async with open_engine(score.begins_at, fleet.hear, step=STEP) as engine:
        with _refusing():
            await engine.apply(score.application, {**score.declared, "software": []})
            await engine.say(fleet.introduce())
            await engine.elapse()
            fleet.begin()
            await engine.apply(score.application, score.declared)
        await engine.elapse()
        watches = [_Watch(score=score, engine=engine, version=version, tell=tell) for version in score.versions]
        going_on = True
        while going_on:
            for watch in watches:
                await watch.look()
            paced = score.paced and await engine.paced()
            step = LONG_STEP if not paced and all(watch.state in OVER for watch in watches) else STEP
            also = [watch.approves_at for watch in watches if watch.approves_at is not None]
            if paced:
                also.append(engine.clock.at)
            going_on = await advance(engine, fleet, score.begins_at, step, until=score.ends_at, also=also)
        for watch in watches:
            await watch.end()


async def advance(
    engine: VirtualEngine,
    players: Players,
    begins_at: datetime,
    step: timedelta,
    *,
    until: datetime,
    also: Sequence[datetime] = (),
) -> bool:
    """Go on to the next thing that happens, and to whatever happens within `step` after it.

    Args:
        engine: what is moved.
        players: who does something meanwhile.
        begins_at: when their time began.
        step: how far to go.
        until: where to stop.
        also: when something happens of which neither knows; the present, while endpoints wait for room.

    Returns:
        Whether there was anything to go on to: not when nothing is left, and not at `until`.
    """
    due, acts = await engine.next_at(), players.next_at()
    moments = [*also, *([] if due is None else [due])]
    if acts is not None:
        moments.append(begins_at + timedelta(seconds=acts))
    if engine.clock.at >= until or not moments:
        return False
    at = min(max(min(moments), engine.clock.at) + step, until)
    said = players.act((at - begins_at).total_seconds())
    engine.clock.at = at
    if said:
        await engine.say(said)
    await engine.elapse()
    return True


def first_version(software: Sequence[Mapping[str, Any]]) -> str | None:
    """The lowest version over which any of this software may be installed, of those that it names.

    None: it names none, or every one of them is at the end of its way.
    """
    named: set[Version] = set()
    constraints: list[tuple[Version, Constraint]] = []
    for item in software:
        try:
            version = Version.parse(item["version"])
            items = [Constraint.parse(text) for text in item.get("upgradableFrom") or ()]
        except DomainError:
            # Whoever applies it says so, with the path.
            continue
        named |= {version, *(found for each in items for found in _versions_in(each.text))}
        if item["rolloutStrategy"] != SUSPENDED:
            constraints += [(version, each) for each in items]
    for version in sorted(named):
        if any(goal > version and each.matches(version) for goal, each in constraints):
            return version.text
    return None


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One rollout that is watched."""

    score: Score
    engine: VirtualEngine
    version: str
    tell: Callable[[Moment], None]
    state: str = ""
    _stage: int = -1
    _phase: tuple[str, int] | None = None
    _looked_at: datetime = _NEVER
    _told_at: datetime = _NEVER
    _waits_since: datetime | None = None

    @property
    def approves_at(self) -> datetime | None:
        """When the operator approves the present stage; None: not as things stand."""
        after = self.score.approve_after
        return None if after is None or self._waits_since is None else self._waits_since + after

    async def look(self) -> None:
        """Tell what has happened since the last look, if anything has; do the operator's part."""
        now, phase = self.engine.clock.at, self.engine.phase(self.score.application, self.version)
        asked = self.approves_at is not None and now >= self.approves_at
        if phase == self._phase and now - self._looked_at < LOOK and not asked:
            return
        self._phase, self._looked_at = phase, now
        rollout = await self._read()
        if rollout["state"] == FINISHED and phase[0] != FINISHED:
            # Where nobody judges, a rollout is finished whenever nothing is under way.
            rollout["state"] = RUNNING
        self._tell_news(rollout)
        if self._operator_approves(rollout):
            await self.engine.approve(self.score.application, self.version)
            self._waits_since = None
            self._tell(rollout, f"stage {rollout['stage'] + 1} approved", "the operator said yes")

    async def end(self) -> None:
        """Tell how it has ended."""
        rollout = await self._read()
        self._tell_news(rollout)
        self._tell(rollout, END, rollout["summary"])

    async def _read(self) -> dict[str, Any]:
        return await self.engine.progress(self.score.application, self.version)

    def _tell_news(self, rollout: dict[str, Any]) -> None:
        for what, why in self._news(rollout):
            self._tell(rollout, what, why)

    def _news(self, rollout: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
        state, stage, stages = rollout["state"], rollout["stage"], rollout["stages"]
        for passed in range(max(self._stage, 0), stage):
            yield f"stage {passed + 1} passed", stages[passed]["reason"]
        if stage != self._stage:
            yield f"stage {stage + 1} begins", rollout["summary"]
        if state != (self.state or RUNNING) and (state != RUNNING or stage == self._stage):
            yield from self._turn(state, rollout["summary"], stages[stage], f"stage {stage + 1}")
        elif self.engine.clock.at - self._told_at >= DAY and state not in OVER:
            yield "goes on", rollout["summary"]
        self.state, self._stage = state, stage

    @staticmethod
    def _turn(state: str, summary: str, part: dict[str, Any], name: str) -> Iterator[tuple[str, str | None]]:
        """The rollout is in another state, with what its stage has to do with that."""
        reason = part["reason"]
        ends = (state == FINISHED and part["state"] == "passed") or part["state"] == "failed"
        if ends and reason is not None:
            yield f"{name} {part['state']}", reason
        # What the stage has said is not said again.
        yield state, None if ends and reason is not None and summary.endswith(reason) else summary

    def _tell(self, rollout: dict[str, Any], what: str, why: str | None) -> None:
        self._told_at = self.engine.clock.at
        self.tell(Moment(at=self.engine.clock.at, what=what, why=why, rollout=rollout))

    def _operator_approves(self, rollout: dict[str, Any]) -> bool:
        now = self.engine.clock.at
        self._waits_since = (self._waits_since or now) if rollout["state"] == WAITING_APPROVAL else None
        return self.approves_at is not None and now >= self.approves_at


def _versions_in(text: str) -> Iterator[Version]:
    """The versions that a range names; of one that is cut short, the lowest."""
    for found in _VERSION.findall(text):
        numbers, hyphen, rest = found.partition("-")
        parts = [*numbers.split("."), "0", "0"][:_NUMBERS]
        with suppress(DomainError):
            yield Version.parse(".".join(parts) + hyphen + rest)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        failure = failures.of(error)
        if failure is None:
            raise
        raise CatalogueRefusedError(failure.code, failure.status_code, failure.reason) from error
