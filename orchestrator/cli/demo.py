"""`otao demo`: a broker, the service and a simulated fleet that updates before your eyes; nothing stays behind.

Rules:
- Exit codes: 0 every healthy device has arrived, 1 it could not be shown or was stopped, 2 wrong usage, 3 it was shown
  and not every healthy device has arrived.
- Processes and files are removed on every way out: the end, Ctrl-C, SIGTERM, a terminal that is closed, an error.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from device_sim.errors import PlanError, SimulatorError
from orchestrator.cli.endings import FailedError, OtherwiseError, RefusedError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from device_sim.plans import FleetPlan
    from orchestrator.cli.demos.brokers import Kind
    from orchestrator.cli.demos.displays import Display
    from orchestrator.cli.demos.outcomes import Outcome

_MOST_DEVICES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """How the demonstration is to be shown."""

    plan: FleetPlan
    broker: Kind | None
    seconds: float
    keep: bool
    as_json: bool


@click.command(epilog="\b\nExample: otao demo --keep --devices 500 --seed 3")
@click.option(
    "--devices", type=click.IntRange(1, _MOST_DEVICES), default=200, show_default=True, metavar="N", help="How many."
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed makes the same fleet.")
@click.option(
    "--broker",
    type=click.Choice(["mosquitto", "embedded"]),
    help="Default: Mosquitto if it is on this machine, else the embedded one.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=45.0, show_default=True, help="Stop waiting after so long."
)
@click.option("--keep", is_flag=True, help="Go on until Ctrl-C, and say what can be tried meanwhile.")
@click.option("--json", "as_json", is_flag=True, help="Print how it came out as JSON.")
def demo(devices: int, seed: int, broker: str | None, seconds: float, *, keep: bool, as_json: bool) -> None:
    """Show a simulated fleet that updates, on this machine.

    Nothing is installed, and nothing stays behind. 200 kettles run 1.0.0 and 1.1.0; a few of them are made to
    misbehave. 2.0.0, which installs over 1.1.0 only, goes to a few canaries first, then to everyone. The end shows who
    runs what, what failed, and why.
    """
    from orchestrator.cli.demos.brokers import Kind
    from orchestrator.cli.demos.stories import plan_fleet

    try:
        plan = plan_fleet(devices, seed)
    except PlanError as error:
        raise RefusedError(f"{error} ({error.code})") from error
    chosen = None if broker is None else Kind(broker)
    wish = _Wish(plan=plan, broker=chosen, seconds=seconds, keep=keep, as_json=as_json)
    try:
        converged = asyncio.run(_show(wish))
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise FailedError("stopped before the end; nothing is left behind") from None
    except (ExceptionGroup, SimulatorError) as error:
        raise _ending(error) from error
    if not converged:
        raise OtherwiseError("not every healthy device runs the newest version")


async def _show(wish: _Wish) -> bool:
    """Show it; return whether every healthy device has arrived."""
    from orchestrator.cli.demos.brokers import open_broker
    from orchestrator.cli.demos.services import open_service
    from orchestrator.cli.demos.stories import Story

    signals = _Signals()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="otao-demo-")))
        displaying = stack.enter_context(ExitStack())
        display = displaying.enter_context(_display(wish))
        broker = await stack.enter_async_context(open_broker(folder, wish.broker))
        service = await stack.enter_async_context(open_service(broker, folder))
        display.say(f"{broker.kind} on {broker.url}, Otao on {service.url}, {wish.plan.devices} simulated kettles")
        story = Story(service, broker, wish.plan, display, wish.seconds)
        await story.define()
        await stack.enter_async_context(story.fleet)
        outcome = await story.tell()
        displaying.close()
        _print(outcome, wish)
        if wish.keep:
            for line in _invitation(service.url, outcome):
                click.echo(line, err=wish.as_json)
            await signals.received()
    return outcome.converged


class _Signals:
    """SIGINT, SIGTERM and SIGHUP end the task that made this, unless it waits for them."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._awaited: asyncio.Event | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._came)

    async def received(self) -> None:
        """Wait for one."""
        self._awaited = asyncio.Event()
        await self._awaited.wait()
        self._awaited = None

    def _came(self) -> None:
        if self._awaited is not None:
            self._awaited.set()
        elif self._task is not None:
            self._task.cancel()


def _display(wish: _Wish) -> AbstractContextManager[Display]:
    from orchestrator.cli.demos.displays import Lines, bars
    from orchestrator.cli.outputs import is_terminal

    return bars() if is_terminal() and not wish.as_json else nullcontext(Lines(to_errors=wish.as_json))


def _print(outcome: Outcome, wish: _Wish) -> None:
    from orchestrator.cli.demos.outcomes import COLUMNS, TROUBLES
    from orchestrator.cli.outputs import Output

    output = Output(as_json=wish.as_json)
    if wish.as_json:
        click.echo(json.dumps(outcome.members()))
        return
    click.echo()
    output.table(COLUMNS, outcome.versions())
    for sentence in outcome.sentences():
        output.say(sentence)
    if outcome.attention:
        click.echo()
        output.table(TROUBLES, outcome.troubles())


def _invitation(url: str, outcome: Outcome) -> list[str]:
    """What can be tried while it goes on."""
    lines = ["", f"It goes on. The page: {url}/", f"REST: {url}/api/v1/openapi.json", "", f"  export OTAO_SERVER={url}"]
    command = _command()
    endpoint = outcome.explanation.get("endpointId") or "kettle-00000"
    tries = ("summary", "attention", f"explain {endpoint}", f"history {endpoint}", "graph", "freeze", "freeze --lift")
    lines += [f"  {command} {line}" for line in tries]
    return [*lines, "", "Ctrl-C ends it."]


def _command() -> str:
    """How this program is called here."""
    if shutil.which("otao"):
        return "otao"
    called = Path(sys.argv[0])
    return shlex.join([sys.executable, "-m", "orchestrator.cli"] if called.suffix == ".py" else [str(called)])


def _ending(error: Exception) -> Exception:
    """How the command ends for this error: as its first cause says."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if isinstance(cause, click.ClickException):
        return cause
    return FailedError(f"{cause} ({cause.code})") if isinstance(cause, SimulatorError) else error
