"""What happens to rollouts in virtual time, line by line.

Rules:
- A line says the same each time, in the same order, so that scripts can read it.
- Days count from 1, the day of the beginning; times are UTC.

Layer: cli.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from orchestrator.cli.documents import cell, items, number
from orchestrator.cli.endings import printable
from orchestrator.cli.outputs import coloured, is_terminal
from orchestrator.cli.rollout_displays import COUNTS

if TYPE_CHECKING:
    from device_sim.virtual_fleets import VirtualFleet
    from orchestrator.cli.documents import Document
    from orchestrator.rehearsals import Moment

COLUMNS = ("when", "version", "what", *COUNTS, "why")
END = "end"
_COLOURS = {"passed": "green", "finished": "green", "paused": "red", "aborted": "red", "recalled": "red"}
_WHEN, _VERSION, _WHAT = 13, 10, 17
"""Widths on a terminal."""


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Is told what happens, prints it, and keeps it."""

    begins_at: datetime
    silent: bool
    documents: list[dict[str, object]] = field(default_factory=list)

    def begin(self, seed: int, fleet: VirtualFleet) -> None:
        """Say what is about to be played, and print the names of columns where scripts read."""
        progress = fleet.progress()
        never = sum(not fleet.ever_reachable(each) for each in range(progress.devices))
        versions = ", ".join(f"{amount} run {version}" for version, amount in progress.by_version.items())
        faults = ", ".join(f"{name} {amount}" for name, amount in progress.by_fault.items() if name != "none")
        if is_terminal():
            click.echo(f"{progress.devices} devices (seed {seed}): {versions}; {never} can never be reached")
            click.echo(f"faults: {faults or 'none'}; day 1 is {self.begins_at.astimezone(UTC):%A, %d %B %Y}, times UTC")
            click.echo()
        else:
            click.echo("\t".join(COLUMNS))

    def tell(self, moment: Moment) -> None:
        """Print a moment, and keep it; the end itself is no news."""
        if moment.what == END:
            return
        totals = counts(moment.rollout)
        self.documents.append(
            {
                "at": instant(moment.at),
                "version": moment.rollout["version"],
                "what": moment.what,
                "why": moment.why,
                "state": moment.rollout["state"],
                "stage": moment.rollout["stage"],
                **totals,
            }
        )
        if not self.silent:
            print_ = _draw if is_terminal() else _line
            print_(self.when(moment.at), moment, totals)

    def when(self, at: datetime) -> str:
        """The day and the time of day, such as `day 1 11:09`."""
        days = (at.astimezone(UTC).date() - self.begins_at.astimezone(UTC).date()).days
        return f"day {days + 1} {at.astimezone(UTC):%H:%M}"


def counts(rollout: Document) -> dict[str, int]:
    """The numbers of all stages together."""
    stages = items(rollout, "stages")
    return {name: sum(number(stage, name) for stage in stages) for name in COUNTS}


def instant(at: datetime) -> str:
    """An instant for a document: RFC 3339, whole seconds, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(when: str, moment: Moment, totals: dict[str, int]) -> None:
    click.echo("\t".join(map(cell, (when, moment.rollout["version"], moment.what, *totals.values(), moment.why))))


def _draw(when: str, moment: Moment, totals: dict[str, int]) -> None:
    what = moment.what.ljust(_WHAT)
    colour = next((colour for word, colour in _COLOURS.items() if moment.what.endswith(word)), None)
    if colour and coloured():
        what = click.style(what, fg=colour, bold=True)
    shown = ", ".join(f"{name} {amount}" for name, amount in totals.items() if amount) or "nobody yet"
    click.echo(f"{when.ljust(_WHEN)}{printable(str(moment.rollout['version'])).ljust(_VERSION)}{what} {shown}")
    if moment.why:
        click.echo(f"{'':{_WHEN}}{printable(moment.why)}")
