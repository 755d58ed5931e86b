"""`otao apply`: a whole application as a file declares it.

Layer: cli.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from orchestrator.cli import declared_files, desks, plans, shapes
from orchestrator.cli.documents import cell, items, section

if TYPE_CHECKING:
    from orchestrator.cli.clients import Answer
    from orchestrator.cli.desks import Desk

WORDS = ("created", "updated", "unchanged")


_HELP = """Make an application, its filters and its software as a file declares them, all or nothing.

What the file does not name is left alone. A second time nothing changes.

\b
application: smart-kettle
appVersions: [smart-kettle-v1]
filters:
  canary: attributes.ring <= 1
software:
  - version: 1.1.0
    upgradableFrom: [1.0.0]
    rolloutStrategy: targeted
    filters: [{filterId: canary}]
    specification: {link: "https://example.com/fw-1.1.0.bin"}
"""


@click.command(help=_HELP, epilog="\b\nExample: otao apply -f catalogue.yaml --dry-run")
@declared_files.file_option
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would change, and the plan.")
@plans.check_links
@desks.connected(changes=True)
def apply(desk: Desk, name: str, *, dry_run: bool, check_links: bool) -> None:
    """Make an application, its filters and its software as a file declares them, all or nothing."""
    if check_links and not dry_run:
        raise click.UsageError("--check-links goes with --dry-run")
    file = declared_files.read(name)
    file.check(shapes.CATALOGUE)
    catalogue = file.members()
    desk = desk.of(catalogue.pop("application", None))
    parameters = {"dryRun": "true" if dry_run else None, "checkLinks": "true" if check_links else None}
    with file.sent():
        answer = desk.client.call("PUT", desk.at("catalogue"), catalogue, parameters=parameters)
    if not desk.output.answer(answer):
        _show(desk, answer, dry_run=dry_run)


def _show(desk: Desk, answer: Answer, *, dry_run: bool) -> None:
    changes = [(item.get("change"), item.get("resource")) for item in items(answer.document, "changes")]
    desk.output.table(("change", "resource"), changes)
    counts = Counter(cell(change) for change, _ in changes)
    sentence = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
    if counts.keys() <= {"unchanged"}:
        sentence = "nothing would change" if dry_run else "nothing changed"
    elif dry_run:
        sentence = f"nothing is stored; it would be: {sentence}"
    if answer.withdrawn:
        sentence += f"; {answer.withdrawn} {'offer' if answer.withdrawn == 1 else 'offers'} withdrawn"
    desk.output.say(sentence)
    if dry_run:
        plans.show(desk.output, section(answer.document, "plan"))
