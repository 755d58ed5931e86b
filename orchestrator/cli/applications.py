"""`otao application …`.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, clients, desks

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document


@click.group()
def application() -> None:
    """List, define and delete applications."""


@application.command("list", epilog="\b\nExample: otao application list")
@desks.limited
@desks.connected(application=False)
def list_(desk: Desk, limit: int) -> None:
    """List the applications."""
    columns = ("application", "versions", "registration", "profile", "push", "consent")
    desk.list("/applications", columns, _row, limit=desks.most(limit))


@application.command(epilog="\b\nExample: otao application get smart-kettle")
@click.argument("name")
@desks.connected(application=False)
def get(desk: Desk, name: str) -> None:
    """Show one application."""
    desk.show(clients.path("applications", name))


@application.command(
    epilog="\b\nExample: otao application put smart-kettle --app-version smart-kettle-v1 --registration open"
)
@click.argument("name")
@click.option(
    "--app-version", "app_versions", multiple=True, required=True, help="Second level of its topics; may be repeated."
)
@click.option("--registration", type=click.Choice(["open", "closed"]), help="Whether unknown endpoints register.")
@click.option("--profile", type=click.Choice(["kaa", "rfc7"]), help="The form of offers.")
@click.option("--push", type=click.Choice(["retained", "live"]), help="Whether offers are retained by the broker.")
@click.option("--consent", type=click.Choice(["none", "required"]), help="Whether endpoints are asked first.")
@click.option("--operator-key", "operator_keys", multiple=True, help="An attribute that endpoints may not write.")
@click.option("--per-minute", type=click.IntRange(1), metavar="N", help="New offers a minute, over all software.")
@click.option(
    "--in-progress", type=click.IntRange(1), metavar="N", help="Endpoints that may be updating at the same time."
)
@click.option("--description", help="For people.")
@desks.if_match
@desks.connected(application=False, changes=True)
def put(desk: Desk, name: str, app_versions: tuple[str, ...], if_match: str | None, **options: object) -> None:
    """Create an application, or replace its settings: what is not given becomes the default."""
    limits = bodies.given(perMinute=options.pop("per_minute"), inProgress=options.pop("in_progress"))
    body = bodies.given(
        appVersions=app_versions,
        operatorKeys=options.pop("operator_keys"),
        limits=limits or None,
        **options,
    )
    answer = desk.client.put(clients.path("applications", name), body, if_match=if_match)
    desk.done(answer, f"application {name}: {'created' if answer.created else 'updated'}")


@application.command(epilog="\b\nExample: otao application delete smart-kettle --reason 'end of life'")
@click.argument("name")
@desks.if_match
@desks.connected(application=False, changes=True)
def delete(desk: Desk, name: str, if_match: str | None) -> None:
    """Delete an application that has no endpoints."""
    desk.done(desk.client.delete(clients.path("applications", name), if_match=if_match), f"application {name}: deleted")


def _row(item: Document) -> tuple[object, ...]:
    return tuple(item.get(name) for name in ("name", "appVersions", "registration", "profile", "push", "consent"))
