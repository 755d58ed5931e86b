"""`otao endpoint retry`, `token` and `consent`.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks
from orchestrator.cli.documents import cell, section

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document


@click.command(epilog="\b\nExample: otao endpoint retry kettle-7 --version 1.1.0")
@click.argument("name", metavar="ENDPOINT")
@click.option("--version", help="Of which version; else of all.")
@desks.connected(changes=True)
def retry(desk: Desk, name: str, version: str | None) -> None:
    """Forget an endpoint's failures, so that it is offered again what it needs."""
    answer = desk.client.call("POST", desk.at("endpoints", name, "retry"), bodies.given(version=version))
    desk.done(answer, f"endpoint {name}: failures forgotten; {_now(answer.document)}")


@click.command(epilog="\b\nExample: otao endpoint token kettle-7 --state suspended --reason stolen")
@click.argument("name", metavar="ENDPOINT")
@click.option("--state", type=click.Choice(["active", "suspended", "revoked"]), help="Suspended and revoked: refused.")
@click.option("--token", metavar="TEXT", help="The new one; with neither this nor a state: one made of chance.")
@desks.connected(changes=True)
def token(desk: Desk, name: str, state: str | None, token: str | None) -> None:
    """Rotate, suspend or revoke an endpoint's token."""
    body = bodies.given(state=state, token=token)
    answer = desk.client.call("POST", desk.at("endpoints", name, "token"), body)
    document = answer.document
    desk.done(answer, f"endpoint {name}: token {cell(document.get('token'))}, {cell(document.get('tokenState'))}")


@click.command(epilog="\b\nExample: otao endpoint consent kettle-7 --version 2.0.0")
@click.argument("name", metavar="ENDPOINT")
@click.option("--version", help="To which version; else to the one that it waits for.")
@click.option("--refuse", is_flag=True, help="Refuse, or take consent back.")
@desks.connected(changes=True)
def consent(desk: Desk, name: str, version: str | None, *, refuse: bool) -> None:
    """Give consent to an update of an endpoint, or refuse it."""
    body = bodies.given(version=version, granted=not refuse, reason=desk.client.reason)
    answer = desk.client.call("POST", desk.at("endpoints", name, "consent"), body)
    word = "refused" if refuse else "given"
    desk.done(answer, f"endpoint {name}: consent {word}; {_now(answer.document)}")


def _now(document: Document) -> str:
    offered = section(document, "offer").get("version")
    return f"runs {cell(document.get('runningVersion'))}, is offered {'nothing' if offered is None else cell(offered)}"
