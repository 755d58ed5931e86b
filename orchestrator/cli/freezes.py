"""`otao freeze`: the one call that stops every new offer.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks
from orchestrator.cli.documents import number
from orchestrator.cli.fleets import frozen_of

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk


@click.command(epilog="\b\nExample: otao freeze --all --reason 'the image server answers with garbage'")
@click.option("--all", "everywhere", is_flag=True, help="All applications, those to come too.")
@click.option("--lift", is_flag=True, help="Let offers go again.")
@click.option("--status", is_flag=True, help="Only say whether it is frozen.")
@desks.connected(changes=True)
def freeze(desk: Desk, *, everywhere: bool, lift: bool, status: bool) -> None:
    """Stop every new offer at once, until it is lifted; installations that run go on."""
    if lift and status:
        raise click.UsageError("--lift and --status: give one of them")
    path = "/freeze" if everywhere else desk.at("freeze")
    if status:
        answer = desk.client.get(path)
    elif lift:
        answer = desk.client.call("DELETE", path)
    else:
        answer = desk.client.call("POST", path, bodies.given(reason=desk.client.reason))
    sentences = frozen_of({"frozen": answer.document}) or ["not frozen"]
    if withdrawn := number(answer.document, "withdrawn"):
        sentences.append(f"{withdrawn} {'offer was' if withdrawn == 1 else 'offers were'} withdrawn")
    desk.done(answer, "; ".join(sentences))
