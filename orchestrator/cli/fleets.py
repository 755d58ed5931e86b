"""`otao summary`, `attention`, `audit` and `doctor`: the whole fleet, and how the service is.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import desks
from orchestrator.cli.documents import Document, cell, items, number, section
from orchestrator.cli.endings import OtherwiseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.cli.desks import Desk

FAILED = "failed"


@click.command(epilog="\b\nExample: otao summary --application smart-kettle")
@desks.connected()
def summary(desk: Desk) -> None:
    """Count endpoints by what they run, by state, and by what went wrong."""
    answer = desk.client.get(desk.at("summary"))
    if desk.output.answer(answer):
        return
    document = answer.document
    for sentence in frozen_of(document):
        desk.output.say(sentence)
    desk.output.table(("what", "which", "endpoints", "share"), _counts(document))


@click.command(epilog="\b\nExample: otao attention --limit 10")
@desks.limited
@desks.connected()
def attention(desk: Desk, limit: int) -> None:
    """List the endpoints in trouble, the worst first, and what to do."""
    columns = ("severity", "endpoint", "runs", "problem", "reason", "advice", "since")
    names = ("severity", "endpointId", "runningVersion", "problem", "reason", "advice", "since")
    desk.list(desk.at("attention"), columns, _members(*names), limit=desks.most(limit))


@click.command(epilog="\b\nExample: otao audit --limit 20")
@click.option("--all", "everywhere", is_flag=True, help="Of all applications, deleted ones too.")
@desks.limited
@desks.connected()
def audit(desk: Desk, limit: int, *, everywhere: bool) -> None:
    """List who changed what and why, newest first."""
    path = "/audit" if everywhere else desk.at("audit")
    names = ("at", "application", "actor", "via", "action", "resource", "reason")
    desk.list(path, names, _members(*names), limit=desks.most(limit))


@click.command(epilog="\b\nExample: otao doctor")
@desks.connected(application=False)
def doctor(desk: Desk) -> None:
    """Check broker, database and clock of the service, and say what to change."""
    answer = desk.client.get("/doctor")
    checks = items(answer.document, "checks")
    if not desk.output.answer(answer):
        names = ("check", "status", "detail", "advice")
        desk.output.table(names, [_members(*names)(check) for check in checks])
    failed = [cell(check.get("check")) for check in checks if check.get("status") == FAILED]
    if failed:
        raise OtherwiseError(f"failed: {', '.join(failed)}")


def frozen_of(document: Document) -> list[str]:
    """A sentence when the freeze in a document holds."""
    freeze = section(document, "frozen")
    if not freeze.get("frozen"):
        return []
    whose = "everything is" if freeze.get("everywhere") else "the application is"
    reason = freeze.get("reason")
    why = f": {cell(reason)}" if reason else ""
    return [f"{whose} frozen since {cell(freeze.get('since'))} by {cell(freeze.get('by'))}{why}"]


def _counts(document: Document) -> list[tuple[object, ...]]:
    total = number(document, "endpoints")
    versions: list[tuple[str, object]] = list(section(document, "byVersion").items())
    if unknown := number(document, "unknownVersion"):
        versions.append(("unknown", unknown))
    rows: list[tuple[object, ...]] = [("endpoints", "all", total, _share(total, total))]
    rows += [("runs", name, count, _share(count, total)) for name, count in versions]
    rows += [("state", name, count, _share(count, total)) for name, count in section(document, "byState").items()]
    if unseen := number(document, "unseen"):
        rows.append(("unseen", None, unseen, _share(unseen, total)))
    for failure in items(document, "failures"):
        what = f"{cell(failure.get('version'))}: {cell(failure.get('reason'))}"
        rows.append(("failure", what, failure.get("endpoints"), _share(failure.get("endpoints"), total)))
    return rows


def _share(count: object, total: int) -> str:
    return f"{100 * count / total:.1f} %" if isinstance(count, int) and total else cell(None)


def _members(*names: str) -> Callable[[Document], tuple[object, ...]]:
    def row(item: Document) -> tuple[object, ...]:
        return tuple(item.get(name) for name in names)

    return row
