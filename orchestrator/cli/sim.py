"""`otao sim`: a simulated fleet on a broker.

Rules:
- What cannot work is said before the first device is switched on.
- It ends well when what it waits for has come; when that has not come in time, with 3.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from orchestrator.cli.endings import OtherwiseError, RefusedError, UnreachableError
from orchestrator.cli.outputs import Output

if TYPE_CHECKING:
    from collections.abc import Callable

    from device_sim.devices import Device
    from device_sim.plans import FleetPlan
    from device_sim.tallies import Progress

_DURATION = re.compile(r"(?P<number>[0-9]{1,7}(?:\.[0-9]{1,3})?)(?P<unit>s|m|h|)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a run waits for."""

    version: str | None
    """Every healthy device runs it; None: only the time counts."""
    seconds: float | None
    """How long it may take; None: ever."""


def duration(text: str | float) -> float:
    """A span of time in seconds: `90`, `90s`, `1.5m`, `2h`.

    Raises:
        BadParameter: the text is none.
    """
    matched = _DURATION.fullmatch(str(text))
    if matched is None:
        raise click.BadParameter(f"{text!r} is no duration: it looks like 90s, 5m or 1h")
    return float(matched["number"]) * _UNITS[matched["unit"]]


def until_what(text: str) -> Goal:
    """`converged:VERSION`, or a span of time.

    Raises:
        BadParameter: the text is neither.
    """
    what, colon, version = text.partition(":")
    if not colon:
        return Goal(version=None, seconds=duration(text))
    if what != "converged" or not version:
        raise click.BadParameter(f"{text!r} is neither converged:VERSION nor a duration")
    return Goal(version=version, seconds=None)


@click.command(
    epilog="\b\nExample: otao sim --app-version smart-kettle-v1 --devices 200 --versions 1.0.0=60%,1.1.0=40% "
    "--faults failing-install=2%,offline=1% --until converged:2.0.0"
)
@click.option(
    "--broker", envvar="OTAO_MQTT_URL", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL",
    help="The broker (OTAO_MQTT_URL); {token} in user or password stands for a device's token.",
)  # fmt: skip
@click.option("--app-version", required=True, metavar="NAME", help="The application version, as in every topic.")
@click.option("--devices", default=100, show_default=True, help="How many.")
@click.option("--versions", default="1.0.0", show_default=True, metavar="MIX", help="What they run at first.")
@click.option("--faults", default="", metavar="MIX", help="What is wrong with them: failing-install=2%,offline=3.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME:MIX", help="Like ring:0=10%,1=90%; repeatable.")
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same fleet.")
@click.option("--gateways", default=0, show_default=True, help="Connections that carry all devices; 0: one each.")
@click.option("--keep-alive", default=60, show_default=True, metavar="SECONDS", help="1-65535.")
@click.option("--pace", default="", metavar="PACE", help="How long things take: watchdog=30s,report-every=1m.")
@click.option("--prefix", default="sim", show_default=True, help="Tokens begin with it.")
@click.option("--until", type=until_what, metavar="GOAL", help="converged:VERSION, or a time like 90s; else for ever.")
@click.option("--within", type=duration, default=600.0, metavar="TIME", help="For converged: at most; default 10m.")
@click.option("--json", "as_json", is_flag=True, help="Print the last numbers as JSON, and nothing else.")
def sim(  # noqa: PLR0913 - one argument per option
    *,
    broker: str,
    app_version: str,
    devices: int,
    versions: str,
    faults: str,
    attributes: tuple[str, ...],
    seed: int,
    gateways: int,
    keep_alive: int,
    pace: str,
    prefix: str,
    until: Goal | None,
    within: float,
    as_json: bool,
) -> None:
    """Run a fleet of simulated devices on a broker.

    They update themselves, and fail as they are told to; the same seed gives the same fleet.
    """
    from device_sim import errors, mixes, paces
    from device_sim.plans import FleetPlan, plan_attributes

    goal = _goal(until, within)
    try:
        plan = FleetPlan(
            app_version=app_version,
            devices=devices,
            versions=mixes.parse(versions),
            faults=mixes.parse(faults),
            attributes=plan_attributes(attributes),
            seed=seed,
            gateways=gateways,
            keep_alive=keep_alive,
            pace=paces.parse(pace),
            prefix=prefix,
        )
        progress, last = asyncio.run(_simulate(plan, broker, goal, silent=as_json))
    except (errors.BrokerUnreachableError, errors.BrokerRefusedError) as error:
        raise UnreachableError(str(error)) from error
    except (errors.PlanError, errors.AddressError, errors.TooManyConnectionsError) as error:
        raise RefusedError(str(error)) from error
    _conclude(goal, progress, last, as_json=as_json)


def _goal(until: Goal | None, within: float) -> Goal:
    goal = until or Goal(version=None, seconds=None)
    return replace(goal, seconds=within) if goal.version else goal


async def _simulate(plan: FleetPlan, broker: str, goal: Goal, *, silent: bool) -> tuple[Progress, tuple[Device, ...]]:
    from device_sim.fleets import Fleet
    from device_sim.tallies import converged
    from orchestrator.cli import fleet_displays

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    reached: Callable[[Progress], bool] = converged(goal.version) if goal.version else lambda _: False
    async with Fleet(plan, broker) as fleet:
        with fleet_displays.following(silent=silent) as (show, every):
            while not (stopped.is_set() or reached(fleet.progress())):
                left = every if goal.seconds is None else goal.seconds - fleet.progress().seconds
                if left <= 0:
                    break
                await fleet.until(lambda progress: stopped.is_set() or reached(progress), seconds=min(left, every))
                show(fleet.progress())
        return fleet.progress(), fleet.devices()


def _conclude(goal: Goal, progress: Progress, devices: tuple[Device, ...], *, as_json: bool) -> None:
    from orchestrator.cli import fleet_displays

    settled = progress.settled.get(goal.version or "", 0)
    converged = settled == progress.healthy
    if as_json:
        document = progress.members() | ({"converged": converged} if goal.version else {})
        click.echo(json.dumps(document))
    else:
        Output(as_json=False).table(fleet_displays.COLUMNS, fleet_displays.rows(devices))
    sys.stdout.flush()
    if goal.version and not converged:
        sentence = f"{settled} of {progress.healthy} healthy devices run {goal.version} and have said so"
        raise OtherwiseError(f"{sentence}, after {progress.seconds:.0f} s")
