"""`otao software …`.

Rules:
- A table holds no specification, which may hold credentials; `get` and `--json` show it.

Layer: cli.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import bodies, desks
from orchestrator.cli.documents import items, number
from orchestrator.cli.endings import RefusedError

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document

COLUMNS = ("version", "strategy", "upgradable from", "filters", "offered", "recalled")


@click.group()
def software() -> None:
    """List, define, recall and delete software."""


@software.command("list", epilog="\b\nExample: otao software list --application smart-kettle")
@desks.connected()
def list_(desk: Desk) -> None:
    """List the software, highest version first."""
    answer = desk.client.get(desk.at("software"))
    if not desk.output.answer(answer):
        desk.output.table(COLUMNS, [_row(item) for item in items(answer.value)])


@software.command(epilog="\b\nExample: otao software get 1.1.0 --json")
@click.argument("version")
@desks.connected()
def get(desk: Desk, version: str) -> None:
    """Show one software, its specification too."""
    desk.show(desk.at("software", version))


@software.command(
    epilog="""\b\nExample: otao software put 1.1.0 --from 1.0.0 --specification '{"link": "https://example.com/fw.bin"}'"""
)
@click.argument("version")
@click.option("--from", "sources", multiple=True, metavar="RANGE", help="Over what it installs: 1.0.0, ^1.4, or *.")
@click.option(
    "--strategy",
    type=click.Choice(["general", "targeted", "suspended"]),
    default="general",
    show_default=True,
    help="For all endpoints, for those that a filter matches, or for nobody.",
)
@click.option("--filter", "filters", multiple=True, metavar="FILTER[@DATE]", help="Of a targeted one; from DATE on.")
@click.option("--specification", metavar="JSON", help="What endpoints are handed.")
@click.option(
    "--specification-file", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="The same, from a file."
)
@click.option("--metadata", multiple=True, metavar="NAME=VALUE", help="For people; may be repeated.")
@click.option("--rollout", metavar="JSON", help="How it spreads.")
@desks.if_match
@desks.connected(changes=True)
def put(desk: Desk, version: str, if_match: str | None, sources: tuple[str, ...], **options: object) -> None:
    """Define a software, or replace its definition: what is not given becomes the default."""
    answer = desk.client.put(desk.at("software", version), _body(sources, **options), if_match=if_match)
    desk.done(answer, f"software {version}: {'created' if answer.created else 'updated'}{_withdrawn(answer.withdrawn)}")


@software.command(epilog="\b\nExample: otao software delete 1.1.0 --reason 'never published'")
@click.argument("version")
@desks.if_match
@desks.connected(changes=True)
def delete(desk: Desk, version: str, if_match: str | None) -> None:
    """Delete a software that was not recalled; its open offers end."""
    answer = desk.client.delete(desk.at("software", version), if_match=if_match)
    desk.done(answer, f"software {version}: deleted{_withdrawn(answer.withdrawn)}")


@software.command(epilog="\b\nExample: otao software recall 1.1.0 --reason 'does not switch off' --yes")
@click.argument("version")
@click.option("--yes", is_flag=True, help="Do not ask; without a terminal nothing is asked.")
@desks.connected(changes=True)
def recall(desk: Desk, version: str, *, yes: bool) -> None:
    """Recall a software for good: nobody is offered it any more, and endpoints are led off it."""
    path = desk.at("software", version)
    if not yes and sys.stdin.isatty():
        click.confirm(f"Recall {version} of {desk.application}? This is final", abort=True, err=True)
    body = bodies.given(reason=desk.client.reason)
    answer = desk.client.call("POST", f"{path}/recall", body)
    desk.done(answer, f"software {version}: recalled{_withdrawn(number(answer.document, 'withdrawn'))}")


def _row(item: Document) -> tuple[object, ...]:
    filters = [str(entry.get("filterId")) for entry in items(item, "filters")]
    return (
        item.get("version"),
        item.get("rolloutStrategy"),
        item.get("upgradableFrom"),
        filters,
        item.get("offeredAt"),
        item.get("recalledAt"),
    )


def _body(sources: tuple[str, ...], **options: object) -> Document:
    filters = options["filters"]
    metadata = options["metadata"]
    texts = {name: str(options[name]) if options[name] is not None else None for name in ("specification", "rollout")}
    if texts["specification"] is not None and options["specification_file"] is not None:
        raise RefusedError("--specification and --specification-file: give one of them")
    if isinstance(options["specification_file"], Path):
        texts["specification"] = options["specification_file"].read_text(encoding="utf-8")
    return bodies.given(
        upgradableFrom=list(sources),
        rolloutStrategy=options["strategy"],
        filters=[_filter(text) for text in filters] if isinstance(filters, tuple) else [],
        metadata=bodies.pairs(metadata, "--metadata") if isinstance(metadata, tuple) else {},
        **{name: bodies.value_of(text, f"--{name}") for name, text in texts.items() if text is not None},
    )


def _filter(text: str) -> Document:
    name, _, date = text.partition("@")
    return bodies.given(filterId=name, rolloutDate=date or None)


def _withdrawn(offers: int) -> str:
    return f", {offers} {'offer' if offers == 1 else 'offers'} withdrawn" if offers else ""
