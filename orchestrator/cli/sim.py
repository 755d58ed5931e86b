"""`otao sim`: a simulated fleet, on a broker or in virtual time.

Rules:
- What cannot work is said before the first device is switched on.
- It ends well when what it waits for has come; when that has not come in time, with 3.
- An option that means nothing where it is given is refused.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from orchestrator.cli import virtual_sims
from orchestrator.cli.endings import OtherwiseError, RefusedError, UnreachableError
from orchestrator.cli.likenesses import Likeness
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


_ON_BROKER = ("broker", "gateways", "keep_alive", "until", "within")
_IN_VIRTUAL_TIME = ("file", "application", "days", "begin", "habits", "approve_after")

_HELP = """Run a fleet of simulated devices on a broker, or in virtual time.

They update themselves, and fail as they are told to; the same seed gives the same fleet.

With --virtual there is no broker, no service and no waiting: the rollouts of a catalogue are played on a fleet of its
own, and days pass in seconds. What happens is printed, and at the end how far each rollout has come. Exit code 0: they
are finished; 3: they are not.

\b
otao sim --virtual -f catalogue.yaml
otao sim --virtual -f catalogue.yaml --devices 50000 --faults fall-back=5%
"""


@click.command(
    help=_HELP,
    epilog="\b\nExample: otao sim --app-version smart-kettle-v1 --devices 200 --versions 1.0.0=60%,1.1.0=40% "
    "--faults failing-install=2%,offline=1% --until converged:2.0.0",
)
@click.option("--virtual", is_flag=True, help="In virtual time, without a broker: try the rollouts of a catalogue.")
@click.option("-f", "--file", metavar="FILE", help="Virtual: the catalogue, as of otao apply; - reads standard input.")
@click.option(
    "--application", "-a", metavar="NAME", envvar="OTAO_APPLICATION",
    help="Virtual: whose, if the file does not say it; else OTAO_APPLICATION.",
)  # fmt: skip
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True, max=3650), default=14.0, show_default=True,
    help="Virtual: at most.",
)  # fmt: skip
@click.option(
    "--begin", default="2026-06-01T09:00:00Z", show_default=True, metavar="TIME",
    help="Virtual: when, for the dates and windows of the file.",
)  # fmt: skip
@click.option(
    "--habits", metavar="MIX",
    help="Virtual: when they can be reached; default steady=58%,nightly=10%,roaming=18%,sleeping=10%,stored=4%.",
)  # fmt: skip
@click.option(
    "--approve-after", type=duration, metavar="TIME", help="Virtual: approve stages that wait so long; else never."
)
@click.option(
    "--broker", envvar="OTAO_MQTT_URL", default="mqtt://127.0.0.1:1883", show_default=True, metavar="URL",
    help="The broker (OTAO_MQTT_URL); {token} in user or password stands for a device's token.",
)  # fmt: skip
@click.option("--app-version", metavar="NAME", help="As in every topic; required but for --virtual.")
@click.option("--devices", type=int, metavar="N", help="How many; default 100, with --virtual 10000.")
@click.option("--versions", metavar="MIX", help="What they run at first; default 1.0.0, with --virtual by the file.")
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
@click.pass_context
def sim(  # noqa: PLR0913 - one argument per option
    context: click.Context,
    /,
    *,
    virtual: bool,
    broker: str,
    app_version: str | None,
    devices: int | None,
    versions: str | None,
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
    **in_virtual_time: Any,  # noqa: ANN401 - what `Wish` takes by these names
) -> None:
    """Run a fleet of simulated devices on a broker, or in virtual time."""
    _refuse_mixed(context, virtual=virtual)
    likeness = Likeness(
        app_version=app_version,
        devices=devices,
        versions=versions,
        faults=faults,
        attributes=attributes,
        seed=seed,
        pace=pace,
        prefix=prefix,
    )
    if virtual:
        virtual_sims.run(virtual_sims.Wish(likeness=likeness, as_json=as_json, **in_virtual_time))
    else:
        _run(likeness, broker, _goal(until, within), gateways=gateways, keep_alive=keep_alive, as_json=as_json)


def _refuse_mixed(context: click.Context, *, virtual: bool) -> None:
    """Refuse options that mean nothing here.

    Raises:
        UsageError: one was given, or one is missing.
    """
    for name in _ON_BROKER if virtual else _IN_VIRTUAL_TIME:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{option} is for a fleet on a broker, and --virtual has none"
                if virtual
                else f"{option} goes with --virtual"
            )
    if virtual and context.params["file"] is None:
        raise click.UsageError("--virtual plays the rollouts of a catalogue: name it with -f FILE")
    if not virtual and context.params["app_version"] is None:
        raise click.UsageError("missing option '--app-version'; or try a catalogue with --virtual -f FILE")


def _run(likeness: Likeness, broker: str, goal: Goal, *, gateways: int, keep_alive: int, as_json: bool) -> None:
    from device_sim import errors, paces

    try:
        plan = likeness.plan(
            app_version="",
            devices=100,
            versions="1.0.0",
            pace=paces.BRISK,
            gateways=gateways,
            keep_alive=keep_alive,
        )
        progress, last = asyncio.run(_simulate(plan, broker, goal, silent=as_json))
    except (errors.BrokerUnreachableError, errors.BrokerRefusedError) as error:
        raise UnreachableError(f"{error} ({error.code})") from error
    except (errors.PlanError, errors.AddressError, errors.TooManyConnectionsError) as error:
        raise RefusedError(f"{error} ({error.code})") from error
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
