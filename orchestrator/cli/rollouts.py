"""`otao rollout …`: how software spreads, stage by stage, and the operator's hand on it.

Layer: cli.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks, rollout_displays
from orchestrator.cli.clients import ProblemError
from orchestrator.cli.documents import cell, items, number
from orchestrator.cli.rollout_watching import watch

if TYPE_CHECKING:
    from orchestrator.cli.clients import Answer
    from orchestrator.cli.desks import Desk

NOT_FOUND = 404


@click.group()
def rollout() -> None:
    """See how software spreads, and pause, resume, approve or abort that."""


@rollout.command("list", epilog="\b\nExample: otao rollout list --application smart-kettle")
@desks.connected()
def list_(desk: Desk) -> None:
    """List all software with the state and the stage of its rollout, highest version first."""
    answers = [
        answer
        for item in items(desk.client.get(desk.at("software")).value)
        if (answer := _rollout_of(desk, str(item.get("version")))) is not None
    ]
    if not desk.output.as_json:
        rows = [rollout_displays.list_row(answer.document) for answer in answers]
        desk.output.table(rollout_displays.LIST_COLUMNS, rows)
    for answer in answers:
        desk.output.answer(answer)


@rollout.command(epilog="\b\nExample: otao rollout show 1.1.0")
@click.argument("version")
@desks.connected()
def show(desk: Desk, version: str) -> None:
    """Show how far a rollout is, why it waits, and what its stages have come to."""
    answer = desk.client.get(desk.at("software", version, "rollout"))
    if not desk.output.answer(answer):
        rollout_displays.show(desk.output, answer.document)


@rollout.command(epilog="\b\nExample: otao rollout pause 1.1.0 --reason 'the display stays dark'")
@click.argument("version")
@desks.connected(changes=True)
def pause(desk: Desk, version: str) -> None:
    """Withdraw unstarted offers and make no new ones until it is resumed; running installs end."""
    _move(desk, version, "pause")


@rollout.command(epilog="\b\nExample: otao rollout resume 1.1.0 --reason 'it was the lamp'")
@click.argument("version")
@desks.connected(changes=True)
def resume(desk: Desk, version: str) -> None:
    """Go on where it was paused; the failures seen so far stop it no more."""
    _move(desk, version, "resume")


@rollout.command(epilog="\b\nExample: otao rollout approve 1.1.0 --reason 'the lab is content'")
@click.argument("version")
@desks.connected(changes=True)
def approve(desk: Desk, version: str) -> None:
    """Leave the present stage, whatever its gate says."""
    present = desk.client.get(desk.at("software", version, "rollout")).document
    # By name: when the gate opens in this moment, the next stage is not left as well.
    _move(desk, version, "approve", stage=present.get("stage"))


@rollout.command(epilog="\b\nExample: otao rollout abort 1.1.0 --reason 'boils dry' --yes")
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nothing is asked.")
@desks.connected(changes=True)
def abort(desk: Desk, version: str, *, yes: bool) -> None:
    """Withdraw unstarted offers and make no new ones any more; running installs end."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Abort the rollout of {version} of {desk.application}? This is final", abort=True, err=True)
    _move(desk, version, "abort")


rollout.add_command(watch)


def _rollout_of(desk: Desk, version: str) -> Answer | None:
    """The rollout of a software that was listed a moment ago; None when it was deleted since."""
    try:
        return desk.client.get(desk.at("software", version, "rollout"))
    except ProblemError as problem:
        if problem.status != NOT_FOUND:
            raise
        return None


def _move(desk: Desk, version: str, move: str, **members: object) -> None:
    body = bodies.given(reason=desk.client.reason, **members)
    answer = desk.client.call("POST", f"{desk.at('software', version, 'rollout')}/{move}", body)
    document = answer.document
    withdrawn = number(document, "withdrawn")
    offers = f", {withdrawn} {'offer' if withdrawn == 1 else 'offers'} withdrawn" if withdrawn else ""
    stage = rollout_displays.place(document)
    desk.done(answer, f"rollout {version}: {cell(document.get('state'))}, stage {stage}{offers}")
