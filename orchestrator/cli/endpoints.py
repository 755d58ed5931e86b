"""`otao endpoint …`: what one is, and edits.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks
from orchestrator.cli.documents import section
from orchestrator.cli.lazy_groups import LazyGroup

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document

COLUMNS = ("endpoint", "token", "runs", "offered", "state", "last seen")

_STATES = ("offered", "installing", "soaking", "confirmed", "failed", "reverted", "expired", "withdrawn")

_TOKEN_STATES = ("active", "suspended", "revoked", "retired")


@click.group(cls=LazyGroup)
def endpoint() -> None:
    """List, edit and look into endpoints."""


@endpoint.command("list", epilog="\b\nExample: otao endpoint list --version 1.0.0 --filter canary")
@click.option("--version", help="What they run; unknown: those that have reported nothing.")
@click.option("--state", type=click.Choice(_STATES), help="Of their latest attempt.")
@click.option("--filter", "filter_", metavar="FILTER", help="That matches them.")
@click.option("--token", help="Their name in topics.")
@click.option("--token-state", type=click.Choice(_TOKEN_STATES), help="Of their token; retired: silent for too long.")
@click.option("--unseen-for", metavar="DURATION", help="Not heard for so long, such as P30D.")
@desks.limited
@desks.connected()
def list_(desk: Desk, limit: int, **given: object) -> None:
    """List endpoints."""
    renamed = {"filter_": "filter", "token_state": "tokenState", "unseen_for": "unseenFor"}
    named = {renamed.get(name, name): value for name, value in given.items()}
    desk.list(desk.at("endpoints"), COLUMNS, row, limit=desks.most(limit), **named)


@endpoint.command(epilog="\b\nExample: otao endpoint get kettle-7")
@click.argument("name", metavar="ENDPOINT")
@desks.connected()
def get(desk: Desk, name: str) -> None:
    """Show one endpoint."""
    desk.show(desk.at("endpoints", name))


@endpoint.command(epilog="\b\nExample: otao endpoint put kettle-7 --token tok7 --attribute site=lab --attribute ring=1")
@click.argument("name", metavar="ENDPOINT")
@click.option("--token", help="Its name in topics; else it stays, and a new endpoint has its own name.")
@click.option("--app-version", help="Second level of its topics; else it stays, or is the application's only one.")
@click.option("--attribute", "attributes", multiple=True, metavar="NAME=VALUE", help="JSON, or a text; repeated.")
@click.option("--pin", "pinned", metavar="VERSION", help="It is offered nothing but the way there.")
@desks.if_match
@desks.connected(changes=True)
def put(desk: Desk, name: str, if_match: str | None, attributes: tuple[str, ...], **options: object) -> None:
    """Register an endpoint, or replace its attributes and its pin."""
    body = bodies.given(
        token=options["token"],
        appVersion=options["app_version"],
        attributes=bodies.pairs(attributes, "--attribute"),
        pinned=options["pinned"],
    )
    answer = desk.client.put(desk.at("endpoints", name), body, if_match=if_match)
    desk.done(answer, f"endpoint {name}: {'created' if answer.created else 'updated'}")


@endpoint.command(epilog="\b\nExample: otao endpoint delete kettle-7 --reason scrapped")
@click.argument("name", metavar="ENDPOINT")
@desks.if_match
@desks.connected(changes=True)
def delete(desk: Desk, name: str, if_match: str | None) -> None:
    """Delete an endpoint and its history."""
    desk.done(desk.client.delete(desk.at("endpoints", name), if_match=if_match), f"endpoint {name}: deleted")


def row(item: Document) -> tuple[object, ...]:
    """An endpoint's line in a table of `COLUMNS`."""
    offer = section(item, "offer")
    return (
        item.get("endpointId"),
        item.get("token"),
        item.get("runningVersion"),
        offer.get("version"),
        offer.get("state"),
        item.get("lastSeenAt"),
    )


_REASONS = "orchestrator.cli.explanations"
endpoint.add("explain", f"{_REASONS}:explain", "Say what an endpoint should run next, and why it does not update.")
endpoint.add("history", f"{_REASONS}:history", "List what happened to an endpoint, newest first.")
_ACTS = "orchestrator.cli.endpoint_actions"
endpoint.add("retry", f"{_ACTS}:retry", "Forget an endpoint's failures, so that it is offered again what it needs.")
endpoint.add("token", f"{_ACTS}:token", "Rotate, suspend or revoke an endpoint's token.")
endpoint.add("consent", f"{_ACTS}:consent", "Give consent to an update of an endpoint, or refuse it.")
endpoint.add("import", "orchestrator.cli.imports:import_", "Register and update endpoints in bulk, from JSON lines.")
