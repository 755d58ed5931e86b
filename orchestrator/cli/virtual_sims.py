"""`otao sim --virtual`: the rollouts of a catalogue on a simulated fleet, in virtual time.

Rules:
- Standard output is the same again for the same file, options and seed; how long it took goes to standard error.
- What the engine refuses in the file is shown with its place, as `otao apply` does.
- It ends well when every rollout is finished, or none was stopped and every device that can has arrived.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
import structlog

from orchestrator.cli import declared_files, rollout_displays, shapes
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.documents import cell
from orchestrator.cli.endings import OtherwiseError, RefusedError
from orchestrator.cli.outputs import Output, hint
from orchestrator.cli.rollout_watching import FINISHED, STOPPED
from orchestrator.cli.timelines import Timeline, instant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from device_sim.virtual_fleets import VirtualFleet
    from orchestrator.cli.declared_files import DeclaredFile
    from orchestrator.cli.documents import Document
    from orchestrator.cli.likenesses import Likeness
    from orchestrator.rehearsals import Moment, Score

DEVICES = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be played, as the options say it."""

    likeness: Likeness
    file: str
    application: str | None
    days: float
    begin: str
    habits: str | None
    approve_after: float | None
    """Seconds."""
    as_json: bool


@dataclass(slots=True, kw_only=True)
class Played:
    """How it went."""

    score: Score
    fleet: VirtualFleet
    timeline: Timeline
    rollouts: dict[str, Document] = field(default_factory=dict)
    ended_at: datetime

    @property
    def reachable(self) -> int:
        """Healthy devices that can be reached at any time."""
        return sum(map(self._can_arrive, range(len(self.fleet.devices))))

    @property
    def arrived(self) -> int:
        """Those of them that run the highest version."""
        goal = self.score.versions[-1]
        devices = self.fleet.devices
        return sum(self._can_arrive(number) and devices[number].running == goal for number in range(len(devices)))

    @property
    def unfinished(self) -> list[str]:
        """The versions whose rollouts have not come to their end."""
        return [version for version, rollout in self.rollouts.items() if rollout.get("state") != FINISHED]

    @property
    def well(self) -> bool:
        """Whether it is as it should be."""
        stopped = any(rollout.get("state") in STOPPED for rollout in self.rollouts.values())
        return not self.unfinished or (not stopped and 0 < self.arrived == self.reachable)

    def _can_arrive(self, number: int) -> bool:
        fault = self.fleet.devices[number].model.fault
        return (fault is None or fault.converges) and self.fleet.ever_reachable(number)


def run(wish: Wish) -> None:
    """Play it, and say how it went.

    Raises:
        RefusedError: file and options do not go together.
        FileError: the file is refused.
        OtherwiseError: a rollout is not finished at the end.
    """
    began = time.monotonic()
    file = declared_files.read(wish.file)
    file.check(shapes.CATALOGUE)
    score = _score(wish, file)
    with _quiet():
        with file.sent():
            asyncio.run(_check(score))
        fleet = _fleet(wish, score)
        timeline = Timeline(begins_at=score.begins_at, silent=wish.as_json)
        if not wish.as_json:
            timeline.begin(wish.likeness.seed, fleet)
        played = asyncio.run(_play(score, fleet, timeline))
    if wish.as_json:
        click.echo(json.dumps(_document(wish, played), ensure_ascii=False))
    else:
        _show(played)
    hint(f"otao: {_span(played.ended_at - score.begins_at)} of virtual time took {time.monotonic() - began:.1f} s")
    if not played.well:
        raise OtherwiseError(_complaint(played))


@contextmanager
def _quiet() -> Iterator[None]:
    """Have the engine log nothing but warnings: what gates do is in the timeline."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _score(wish: Wish, file: DeclaredFile) -> Score:
    from orchestrator.rehearsals import Score

    catalogue: dict[str, Any] = dict(file.members())
    named = catalogue.pop("application", None)
    source = click.get_current_context().get_parameter_source("application")
    if named and source is click.core.ParameterSource.COMMANDLINE and wish.application != named:
        raise RefusedError(f"the file is about the application {cell(named)}, and --application says another")
    if not (application := named or wish.application):
        raise RefusedError("the file names no application: name one with --application")
    return Score(
        application=application,
        catalogue=catalogue,
        begins_at=_instant(wish.begin),
        horizon=timedelta(days=wish.days),
        approve_after=None if wish.approve_after is None else timedelta(seconds=wish.approve_after),
    )


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise RefusedError(f"--begin: {text!r} is no time: it looks like 2026-06-01T09:00:00Z") from error
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _fleet(wish: Wish, score: Score) -> VirtualFleet:
    from device_sim import habits, mixes, paces
    from device_sim.errors import PlanError
    from device_sim.virtual_fleets import VirtualFleet
    from orchestrator.rehearsals import first_version

    first = first_version(score.catalogue.get("software") or ())
    if wish.likeness.versions is None and first is None:
        raise RefusedError(
            "nothing in the file can be installed over a version that it names: "
            "say with --versions what the devices run at first"
        )
    app_versions = score.catalogue.get("appVersions") or [score.application]
    try:
        plan = wish.likeness.plan(
            app_version=str(app_versions[0]), devices=DEVICES, versions=first or "", pace=paces.REAL
        )
        midnight = score.begins_at.replace(hour=0, minute=0, second=0, microsecond=0)
        since_morning = (score.begins_at - midnight).total_seconds() - habits.MORNING
        return VirtualFleet(plan, mixes.parse(wish.habits or habits.USUAL), since_morning)
    except PlanError as error:
        raise RefusedError(str(error)) from error


async def _check(score: Score) -> None:
    from orchestrator.rehearsals import CatalogueRefusedError, check

    try:
        await check(score)
    except CatalogueRefusedError as error:
        raise ProblemError(error.status, error.code, str(error)) from error
    if not score.versions:
        raise RefusedError("nothing in the file spreads: software that is not suspended needs upgradableFrom")


async def _play(score: Score, fleet: VirtualFleet, timeline: Timeline) -> Played:
    from orchestrator.rehearsals import play

    played = Played(score=score, fleet=fleet, timeline=timeline, ended_at=score.begins_at)

    def tell(moment: Moment) -> None:
        timeline.tell(moment)
        played.rollouts[str(moment.rollout["version"])] = moment.rollout
        played.ended_at = moment.at

    await play(score, fleet, tell)
    return played


def _show(played: Played) -> None:
    output = Output(as_json=False)
    for rollout in played.rollouts.values():
        click.echo()
        rollout_displays.show(output, rollout)
    click.echo()
    progress = played.fleet.progress()
    for version, devices in progress.by_version.items():
        output.say(f"{devices} of {progress.devices} devices run {version}")
    output.say(
        f"{played.arrived} of the {played.reachable} healthy devices that can be reached have come to "
        f"{played.score.versions[-1]}"
    )


def _document(wish: Wish, played: Played) -> dict[str, object]:
    progress = played.fleet.progress().members()
    named = ("devices", "healthy", "byVersion", "byFault", "installs", "failures", "refused", "sent", "received")
    return {
        "application": played.score.application,
        "seed": wish.likeness.seed,
        "beginsAt": instant(played.score.begins_at),
        "endsAt": instant(played.ended_at),
        "finished": not played.unfinished,
        "timeline": played.timeline.documents,
        "rollouts": list(played.rollouts.values()),
        "fleet": {name: progress[name] for name in named} | {"reachable": played.reachable, "arrived": played.arrived},
    }


def _complaint(played: Played) -> str:
    over = played.ended_at < played.score.ends_at
    still = "still {}, and nothing more happens by itself" if over else "still {} when time is up"
    lines = []
    for version in played.unfinished:
        rollout = played.rollouts[version]
        state, summary = cell(rollout.get("state")), cell(rollout.get("summary"))
        where = state if state in STOPPED else still.format(state)
        # What is stopped begins its summary with its state.
        why = summary.removeprefix(f"{state}: ")
        lines.append(f"the rollout of {version} is {where}: {why}")
    return "\n".join(lines)


def _span(span: timedelta) -> str:
    """A span for people: `5 d 7 h`, `7 h 20 min`."""
    minutes = round(span.total_seconds() / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
