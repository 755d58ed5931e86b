"""How `otao sim` shows a fleet: a live picture on a terminal, a line now and then elsewhere, a table at the end.

Rules:
- A line says the same each time, in the same order, so that scripts can read it.

Layer: cli.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from orchestrator.cli import outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rich.table import Table

    from device_sim.devices import Device
    from device_sim.tallies import Progress

COLUMNS = ("FAULT", "DEVICES", "RUN NOW", "INSTALLS", "FAILURES", "REFUSED")
LIVE_SECONDS = 0.25
LINE_SECONDS = 5.0
_BAR_CHARACTERS = 40


def line(progress: Progress) -> str:
    """One line about a fleet."""
    rates = f"{progress.sent_per_second:.0f}/s sent, {progress.received_per_second:.0f}/s received"
    return (
        f"{progress.seconds:6.1f} s  {progress.connected} of {progress.devices} connected; "
        f"{_listed(progress.by_version)}; {_listed(progress.by_state)}; {rates}"
    )


def rows(devices: Iterable[Device]) -> list[tuple[str, int, str, int, int, int]]:
    """What has become of the devices, by fault; those without one first."""
    groups: defaultdict[str, list[Device]] = defaultdict(list)
    for device in devices:
        groups["" if device.model.fault is None else device.model.fault.value].append(device)
    return [
        (
            fault or "none",
            len(group),
            _listed(dict(sorted(Counter(device.running for device in group).items()))),
            sum(device.installs for device in group),
            sum(device.failures for device in group),
            sum(device.refused for device in group),
        )
        for fault, group in sorted(groups.items())
    ]


@contextmanager
def following(*, silent: bool) -> Iterator[tuple[Callable[[Progress], None], float]]:
    """Give what shows progress, and how many seconds to leave between two calls of it."""
    if silent:
        yield (lambda _: None), LINE_SECONDS
    elif outputs.is_terminal():
        from rich.live import Live

        with Live(console=outputs.console(), transient=True, auto_refresh=False) as live:
            yield (lambda progress: live.update(_picture(progress), refresh=True)), LIVE_SECONDS
    else:
        yield (lambda progress: click.echo(line(progress))), LINE_SECONDS


def _picture(progress: Progress) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_row(f"{progress.seconds:.0f} s", f"{progress.connected} of {progress.devices} connected")
    for version, amount in progress.by_version.items():
        width = round(_BAR_CHARACTERS * amount / progress.devices)
        table.add_row(version, "█" * width + "·" * (_BAR_CHARACTERS - width), str(amount))
    table.add_row("", _listed(progress.by_state))
    table.add_row(
        "", f"{progress.sent_per_second:.0f}/s sent, {progress.received_per_second:.0f}/s received, "
        f"{progress.installs} installs, {progress.failures} failures"
    )  # fmt: skip
    return table


def _listed(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount}" for name, amount in amounts.items())
