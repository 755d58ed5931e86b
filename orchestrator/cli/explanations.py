"""`otao explain` and `otao history`: why one endpoint is where it is.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import desks
from orchestrator.cli.documents import NOTHING, cell, items

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document


@click.command(epilog="\b\nExample: otao explain kettle-7")
@click.argument("name", metavar="ENDPOINT")
@click.option("--all", "everything", is_flag=True, help="Passed rules too, not only those that stand in the way.")
@desks.connected()
def explain(desk: Desk, name: str, *, everything: bool) -> None:
    """Say what an endpoint should run next, and why it does not update."""
    answer = desk.client.get(desk.at("endpoints", name, "explain"))
    if desk.output.answer(answer):
        return
    document = answer.document
    way = " → ".join([cell(document.get("runningVersion")), *_texts(document.get("path"))])
    desk.output.record(
        {
            "endpoint": document.get("endpointId"),
            "outcome": document.get("outcome"),
            "why": document.get("summary"),
            "way": way if document.get("path") else None,
            "waits until": document.get("waitsUntil"),
        }
    )
    rows = [row for software in items(document, "software") for row in _rules(software, everything=everything)]
    if rows:
        desk.output.say("")
        desk.output.table(("version", "state", "rule", "passed", "detail"), rows)


@click.command(epilog="\b\nExample: otao history kettle-7 --limit 20")
@click.argument("name", metavar="ENDPOINT")
@desks.limited
@desks.connected()
def history(desk: Desk, name: str, limit: int) -> None:
    """List what happened to an endpoint, newest first."""
    columns = ("at", "kind", "version", "status", "reason")
    desk.list(desk.at("endpoints", name, "history"), columns, _entry, limit=desks.most(limit))


def _texts(value: object) -> list[str]:
    return [cell(item) for item in value] if isinstance(value, list) else []


def _rules(software: Document, *, everything: bool) -> list[tuple[object, ...]]:
    """Lines of one software: one per rule that failed, or per rule; one at least."""
    version, state = software.get("version"), _state(software)
    rules = [rule for rule in items(software, "rules") if everything or not rule.get("passed")]
    if not rules:
        return [(version, state, NOTHING, True, NOTHING)]
    return [(version, state, rule.get("rule"), rule.get("passed"), rule.get("detail")) for rule in rules]


def _state(software: Document) -> str:
    words = [name for name in ("eligible", "open", "reachable") if software.get(name)]
    return " ".join(words) or "out"


def _entry(item: Document) -> tuple[object, ...]:
    return tuple(item.get(name) for name in ("at", "kind", "version", "statusCode", "reason"))
