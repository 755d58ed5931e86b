"""Who may read and write which topics on the broker: the one source of the access rules, for Mosquitto and as data.

Rules:
- An endpoint's user name is its token. The application version stays a wildcard: a broker cannot know which one an
  endpoint has. The service does.
- Endpoints write requests and nothing else, and read nothing but what is below their own tokens.
- Operators read everything, and write below the control topic only: commands, and what looks like Otao's answers to
  them, which no filter tells from a command with a request ID.
- `config/json/+` also matches `config/json/status`, where offers and configurations are retained. Mosquitto denies
  reading and writing together, and a user's own lines go before all patterns: so what keeps an endpoint from forging
  its own offer is a denial for everybody, and for each endpoint that is named lines of its own that let it read.

Spec: mosquitto.conf(5), acl_file; invariant 11.
Layer: protocol; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from protocol import topics
from protocol.errors import SettingError
from protocol.topics import Instances, Kind, Resource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVICE, OPERATORS = "otao", "operators"
"""The users where nothing else is said."""
USER = "%u"
"""In a pattern: the user name of whoever asks."""


class Access(StrEnum):
    """What a rule says, in the words of Mosquitto's file."""

    READ = "read"
    WRITE = "write"
    BOTH = "readwrite"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One topic filter and what may be done there."""

    access: Access
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rules that have one reason."""

    why: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """What one user may do, or every endpoint."""

    user: str | None
    """None: every user, by patterns."""
    blocks: tuple[Block, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        return tuple(rule for block in self.blocks for rule in block.rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """Those of one installation; make them with `build`."""

    service: Party
    operators: tuple[Party, ...]
    endpoints: Party
    """By patterns."""
    named: tuple[Party, ...]
    """Endpoints that read their offers by lines of their own."""

    @property
    def denies_forgery(self) -> bool:
        """Whether no endpoint may write where its offers are retained."""
        return any(rule.access is Access.DENY for rule in self.endpoints.rules)


def build(
    instances: Instances,
    *,
    service: str = SERVICE,
    operators: Sequence[str] = (OPERATORS,),
    tokens: Sequence[str] | None = None,
) -> AccessRules:
    """The access rules of an installation.

    Args:
        instances: as its topics name them.
        service: the user of Otao.
        operators: those of people and their tools.
        tokens: every endpoint; who is left out gets no offers. Equal ones, of different applications, are one user and
            get one stanza. None: none is named, and each may forge its own offer.

    Raises:
        SettingError: a name cannot be written so, or two parties have one.
    """
    for name in (instances.software, instances.configuration, instances.metadata):
        if "%" in name:
            raise SettingError(f"{name!a}: in access rules the broker reads % as the beginning of a user name")
    users = [service, *operators]
    _check_users(users, tokens or ())
    return AccessRules(
        service=_service(service),
        operators=tuple(_operators(user) for user in operators),
        endpoints=Party(user=None, blocks=tuple(_endpoints(instances, denied=tokens is not None))),
        named=tuple(_named(instances, token) for token in dict.fromkeys(tokens or ())),
    )


def _check_users(users: Sequence[str], tokens: Sequence[str]) -> None:
    known = set(users)
    if len(known) != len(users):
        raise SettingError("the service and each operator need user names of their own")
    for name in users:
        if not name or name != name.strip() or not name.isprintable():
            raise SettingError(f"{name!a} cannot be written as a user name")
    for token in tokens:
        if not topics.TOKEN.fullmatch(token) or token != token.strip() or not token.isprintable():
            raise SettingError(f"{token!a} is no token that can be written as a user name")
        if token in known:
            raise SettingError(f"{token!a} cannot be a token: it is a user's name")


def _service(user: str) -> Party:
    both = Access.BOTH
    return Party(
        user=user,
        blocks=(
            _block("Requests and reports in, answers and offers out.", both, "kp1/#"),
            _block("Markers, sentinels and probes, of every partition.", both, "otao/v1/partition/#"),
            _block("Presence, events, summaries, and what is answered elsewhere.", both, *_TOLD),
            _block("The operators' commands, and their answers.", both, "otao/v1/+/control/#"),
            _block("The broker's own counters: dropped messages.", Access.READ, "$SYS/#"),
        ),
    )


_TOLD = ("otao/v1/service/+", "otao/v1/+/events/+", "otao/v1/+/summary", "otao/v1/+/replies/#")


def _operators(user: str) -> Party:
    watched = "Watch everything that devices and Otao say."
    commands = 'Commands. "#" also holds their answers, ".../status" and ".../error": an operator can forge these.'
    return Party(
        user=user,
        blocks=(
            _block(watched, Access.READ, "kp1/#", "otao/v1/#"),
            _block(commands, Access.WRITE, "otao/v1/+/control/#"),
        ),
    )


_WHY = {
    Kind.SOFTWARE: "Requests for the software, reports, progress, health, and what their owners say to an update.",
    Kind.CONFIGURATION: "Configuration, for the service that serves it.",
    Kind.METADATA: "Metadata.",
}


def _endpoints(instances: Instances, *, denied: bool) -> Iterator[Block]:
    if denied:
        yield _block("Offers, questions, configurations: no endpoint's to write.", Access.DENY, *_retained(instances))
    named = (instances.software, instances.configuration, instances.metadata)
    own = (_below(name, USER) for name in named)
    yield _block("Answers, offers, and whether an update may come.", Access.READ, *own)
    for kind, filters in topics.request_filters(instances, "+", USER).items():
        yield _block(_WHY[kind], Access.WRITE, *filters)


def _named(instances: Instances, token: str) -> Party:
    own = (_below(name, token) for name in (instances.software, instances.configuration))
    return Party(user=token, blocks=(_block("", Access.READ, *own),))


def _below(instance: str, token: str) -> str:
    return f"kp1/+/{instance}/{token}/#"


def _retained(instances: Instances) -> Iterator[str]:
    """Where something is retained for an endpoint: the service that serves configurations retains them likewise."""
    yield topics.push_topic(instances, "+", USER)
    yield topics.consent_topic(instances, "+", USER)
    yield topics.status_topic(f"kp1/+/{instances.configuration}/{USER}/{Resource.CONFIG}")


def _block(why: str, access: Access, *filters: str) -> Block:
    return Block(why=why, rules=tuple(Rule(access=access, topic=topic) for topic in filters))


_HEAD = """\
# Who may do what on Otao's topics, as `otao acl` prints it. See mosquitto.conf for where it goes; reload with SIGHUP.
#
# An endpoint's user name is its token. {users} must therefore not be given as tokens.
# The application version (second level) stays a wildcard: a broker cannot know which one an endpoint has. Otao does.
# A refused SUBSCRIBE is granted all the same and delivers nothing; a refused PUBLISH answers 0x87 on MQTT 5 only.
"""
_FORGEABLE = """\
# --- forged offers ---
# "config/json/+" above also matches an endpoint's own "config/json/status": it can retain a false offer for itself, and
# for nobody else; so with "consent/json/+" and being asked, and with its configuration. With MQTT 5 Otao counts and
# overwrites the first two; else nobody notices. `otao acl --tokens FILE` prints the rules that refuse all three, with
# a stanza for each endpoint: "pattern deny" alone is no cure, in Mosquitto it denies reading as well, and then no offer
# arrives at all.
# Loading them takes quadratic time (5 s for 40,000 on two cores), and an endpoint without its stanza gets no offers.
"""
_NAMED = "# --- each endpoint's own offers: it gets none without its stanza ---\n"


def acl_file(rules: AccessRules) -> str:
    """The rules in the form of Mosquitto's acl_file; users and topics are as `build` has checked them."""
    users = [f'"{party.user}"' for party in (rules.service, *rules.operators)]
    parts = [
        _HEAD.format(users=f"{', '.join(users[:-1])} and {users[-1]}" if users[1:] else users[0]),
        "# --- the orchestrator ---\n" + _stanza(rules.service),
        *("# --- people and their tools ---\n" + _stanza(party) for party in rules.operators),
        "# --- endpoints: their own topics, by token ---\n" + _lines(rules.endpoints, "pattern"),
        *([] if rules.denies_forgery else [_FORGEABLE]),
        *([_NAMED] if rules.named else []),
        *(_stanza(party) for party in rules.named),
    ]
    return "\n".join(parts)


def _stanza(party: Party) -> str:
    return f"user {party.user}\n{_lines(party, 'topic')}"


def _lines(party: Party, word: str) -> str:
    lines = []
    for block in party.blocks:
        lines += [f"# {block.why}"] if block.why else []
        lines += [f"{word} {rule.access.value} {rule.topic}" for rule in block.rules]
    return "\n".join([*lines, ""])
