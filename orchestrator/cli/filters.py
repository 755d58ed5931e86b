"""`otao filter …`.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks
from orchestrator.cli.endpoints import COLUMNS, row

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document


@click.group("filter")
def filters() -> None:
    """List, define and delete filters, and see what they match."""


@filters.command("list", epilog="\b\nExample: otao filter list")
@desks.limited
@desks.connected()
def list_(desk: Desk, limit: int) -> None:
    """List the filters."""
    desk.list(desk.at("filters"), ("filter", "expression", "description"), _row, limit=desks.most(limit))


@filters.command(epilog="\b\nExample: otao filter get canary")
@click.argument("name", metavar="FILTER")
@desks.connected()
def get(desk: Desk, name: str) -> None:
    """Show one filter."""
    desk.show(desk.at("filters", name))


@filters.command(epilog="""\b\nExample: otao filter put canary "attributes.site == 'lab' && attributes.ring <= 1" """)
@click.argument("name", metavar="FILTER")
@click.argument("expression")
@click.option("--description", help="For people.")
@desks.if_match
@desks.connected(changes=True)
def put(desk: Desk, name: str, expression: str, description: str | None, if_match: str | None) -> None:
    """Define a filter, or replace it."""
    body = bodies.given(expression=expression, description=description)
    answer = desk.client.put(desk.at("filters", name), body, if_match=if_match)
    desk.done(answer, f"filter {name}: {'created' if answer.created else 'updated'}")


@filters.command(epilog="\b\nExample: otao filter delete canary")
@click.argument("name", metavar="FILTER")
@desks.if_match
@desks.connected(changes=True)
def delete(desk: Desk, name: str, if_match: str | None) -> None:
    """Delete a filter that no software lists."""
    desk.done(desk.client.delete(desk.at("filters", name), if_match=if_match), f"filter {name}: deleted")


@filters.command(epilog="\b\nExample: otao filter endpoints canary --limit 20")
@click.argument("name", metavar="FILTER")
@desks.limited
@desks.connected()
def endpoints(desk: Desk, name: str, limit: int) -> None:
    """List the endpoints that a filter matches."""
    desk.list(desk.at("filters", name, "endpoints"), COLUMNS, row, limit=desks.most(limit))


def _row(item: Document) -> tuple[object, ...]:
    return (item.get("filterId"), item.get("expression"), item.get("description"))
