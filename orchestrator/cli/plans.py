"""`otao plan`: what software would do to the fleet, before anything is stored.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli import declared_files, desks, rollout_displays, shapes
from orchestrator.cli.documents import cell, items, number

if TYPE_CHECKING:
    from orchestrator.cli.desks import Desk
    from orchestrator.cli.documents import Document
    from orchestrator.cli.outputs import Output

_OF_CATALOGUES = {"application", "appVersions", "software"}

check_links = click.option("--check-links", is_flag=True, help="Look whether links answer, with size and checksum.")
"""The option of commands that plan."""


_HELP = """Say what one software, or a catalogue, would do to the fleet; nothing is stored.

\b
version: 2.0.0
upgradableFrom: [^1.1.0]
rolloutStrategy: general
specification: {link: "https://example.com/fw-2.0.0.bin"}
"""


@click.command(help=_HELP, epilog="\b\nExample: otao plan -f software.yaml --check-links")
@declared_files.file_option
@check_links
@desks.connected()
def plan(desk: Desk, name: str, *, check_links: bool) -> None:
    """Say what one software, or a catalogue, would do to the fleet; nothing is stored."""
    file = declared_files.read(name)
    if _OF_CATALOGUES & file.members().keys():
        file.check(shapes.CATALOGUE)
        catalogue = file.members()
        desk = desk.of(catalogue.pop("application", None))
        body, prefix = {"catalogue": catalogue, "checkLinks": check_links}, ""
    else:
        file.check(shapes.SOFTWARE)
        body, prefix = {"software": file.members(), "checkLinks": check_links}, "software."
    with file.sent(prefix):
        answer = desk.client.call("POST", desk.at("plan"), body)
    if not desk.output.answer(answer):
        show(desk.output, answer.document)


def show(output: Output, document: Document) -> None:
    """Print a plan: hops with their endpoints, stages, what begins at once, who would be left behind, warnings."""
    moves = [
        (item.get("from") or "unknown", item.get("to"), item.get("endpoints")) for item in items(document, "moves")
    ]
    total = number(document, "endpoints")
    output.say(f"{total} {'endpoint' if total == 1 else 'endpoints'}" + ("" if moves else "; none of them would move"))
    if moves:
        output.table(("from", "to", "endpoints"), moves)
    _show_course(output, document)
    if left := [(item.get("endpoints"), item.get("reason")) for item in items(document, "unreachable")]:
        output.say("would not come there:")
        output.table(("endpoints", "reason"), left)
    warnings = document.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        output.say(f"warning: {cell(warning)}")


def _show_course(output: Output, document: Document) -> None:
    """Print how the moves come about: stage by stage, what is offered at once, and the least time."""
    for rollout in items(document, "stages"):
        span = rollout.get("duration")
        least = "" if span is None else f", at least {cell(span)}"
        output.say(f"stages of {cell(rollout.get('version'))}{least}:")
        stages = enumerate(items(rollout, "stages"), 1)
        rows = [(number, rollout_displays.admits(stage), stage.get("endpoints")) for number, stage in stages]
        output.table(("stage", "admits", "endpoints"), rows)
    if offers := items(document, "firstOffers"):
        output.say("at once:")
        begun = [(item.get("version"), item.get("endpoints"), item.get("asked")) for item in offers]
        output.table(("version", "offered to", "asked for consent"), begun)
    elif "firstOffers" in document and items(document, "moves"):
        output.say("at once nobody would be offered anything")
    if (span := document.get("duration")) is not None:
        output.say(f"all of it takes at least {cell(span)}, and as long as devices take to install besides")
