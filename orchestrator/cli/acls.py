"""`otao acl`: the broker's access rules for the settings of a service.

Rules:
- Nothing is opened: neither the broker, nor the database, nor a server.
- No password is printed.

Layer: cli.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import click

from orchestrator.cli import serve

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.settings import Settings
    from protocol.access_rules import AccessRules, Party, Rule

FORGEABLE = (
    "otao: with these rules an endpoint can put a false offer on its own topic, never on another's; "
    "--tokens FILE refuses it"
)
SHARED = (
    "otao: {amount} of the tokens are named more than once, {one!a} among them: endpoints with one token are one user "
    "of the broker, and each can speak for the other"
)


@click.command(epilog="\b\nExample: otao acl --tokens tokens.txt > /etc/mosquitto/otao.acl")
@serve.of_broker
@click.option("--operators", metavar="USER", multiple=True, help="A user of people and tools; default: operators.")
@click.option(
    "--tokens",
    "file",
    metavar="FILE",
    type=click.File("rb"),
    help="Every endpoint's token, one a line, in UTF-8; - is the input.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as data.")
def acl(
    config: Path | None, operators: tuple[str, ...], file: BinaryIO | None, *, as_json: bool, **flags: str | None
) -> None:
    """Print the broker's access rules for these settings, as Mosquitto's acl_file."""
    settings = serve.load(config, flags)
    tokens = None if file is None else _tokens(file)
    rules = _rules(settings, operators, tokens)
    from protocol import access_rules

    click.echo(json.dumps(_data(rules, settings), indent=2) if as_json else access_rules.acl_file(rules), nl=as_json)
    if not rules.denies_forgery:
        click.echo(FORGEABLE, err=True)
    if shared := [token for token, times in Counter(tokens or ()).items() if times > 1]:
        click.echo(SHARED.format(amount=len(shared), one=shared[0]), err=True)


def _tokens(file: BinaryIO) -> list[str]:
    """The tokens of a file, which must name some: by rules that name none every endpoint is without offers."""
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        serve.refuse([f"--tokens: the file is not UTF-8: {error.reason} at byte {error.start}"])
        raise
    # Only where Mosquitto ends a line too: a token may hold other characters at which Python would split.
    tokens = [token for line in text.split("\n") if (token := line.removesuffix("\r"))]
    if not tokens:
        serve.refuse(["--tokens: the file names no token, and so no endpoint would get an offer"])
    return tokens


def _rules(settings: Settings, operators: tuple[str, ...], tokens: list[str] | None) -> AccessRules:
    """The rules; ends with a sentence where there are none."""
    from protocol import access_rules
    from protocol.errors import SettingError

    if settings.embedded is not None:
        serve.refuse(["the embedded broker has no access rules; give the address of the one that will have them"])
    try:
        return access_rules.build(
            settings.instances,
            service=_user(settings) or access_rules.SERVICE,
            operators=operators or (access_rules.OPERATORS,),
            tokens=tokens,
        )
    except SettingError as error:
        serve.refuse([str(error)])
        raise


def _user(settings: Settings) -> str:
    return unquote(urlsplit(settings.mqtt_url.get_secret_value()).username or "")


def _data(rules: AccessRules, settings: Settings) -> dict[str, object]:
    return {
        "service": {**_party(rules.service), "clientIdPrefix": settings.mqtt_client_id},
        "operators": [_party(party) for party in rules.operators],
        "endpoints": [_rule(rule) for rule in rules.endpoints.rules],
        "named": [_party(party) for party in rules.named],
        "forgedOffers": "refused" if rules.denies_forgery else "possible",
    }


def _party(party: Party) -> dict[str, object]:
    return {"user": party.user, "rules": [_rule(rule) for rule in party.rules]}


def _rule(rule: Rule) -> dict[str, str]:
    return {"access": rule.access.value, "topic": rule.topic}
