"""What an endpoint's push topics shall hold, rendered from the present state when it is sent: its offer, and its ask.

Rules:
- A push names an endpoint or a topic, never a payload (invariant 3).
- A software that is stopped, or gone, is never rendered as an offer or an ask, whatever the endpoint's row still says
  (invariant 7).
- Asks for consent are retained wherever they go, also where offers are live. What was never consulted has no topic for
  them: nothing is ever published there.
- A topic that an endpoint has left is cleared; where another endpoint has moved in, it holds what that one is told.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import OPEN, AttemptState
from orchestrator.domain.endpoints import TokenState
from protocol import topics
from protocol.links import Outbound
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.records import EndpointRecord
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

Place: TypeAlias = tuple[int, str, str]
"""Application, application version and token."""

OFFER = ""
"""In the place of a topic: what is sent is the endpoint's live offer, once more."""
CLEARED = b""
"""A retained message with an empty payload removes what is retained (MQTT 5.0 §3.3.1.3)."""


@quick(frozen=True, slots=True, kw_only=True)
class Push:
    """One topic that may have to be written, with the state of the endpoint whose it is."""

    revision: int
    key: int
    """Of the endpoint; 0 for a topic that was left by one that is gone."""
    topic: str | None
    """A topic that was left; None: the endpoint's own; `OFFER`: its offer alone, live."""
    application: int
    app_version: str
    token: str
    latest: int
    """The endpoint's last push revision; a push below it is superseded."""
    version: Version | None
    """Of the latest attempt, open or not."""
    state: AttemptState | None
    observe: bool
    token_state: TokenState
    asked: Version | None = None
    """For which its consent is asked."""
    consulted: bool = False
    """Whether it ever was."""

    @property
    def place(self) -> Place:
        """Whose the endpoint's own topics are."""
        return self.application, self.app_version, self.token

    @property
    def superseded(self) -> bool:
        """Whether a later push of the endpoint says all that this one would."""
        if self.topic is None:
            return self.latest != self.revision
        return self.topic == OFFER and self.latest > self.revision


def push_of(revision: int, topic: str | None, record: EndpointRecord) -> Push:
    """The push of this revision, and of this topic, of an endpoint that is stored like this."""
    endpoint = record.endpoint
    attempt = endpoint.attempt
    return Push(
        revision=revision,
        key=record.key,
        topic=topic,
        application=record.application,
        app_version=record.app_version,
        token=record.token,
        latest=record.push_revision,
        version=None if attempt is None else attempt.version,
        state=None if attempt is None else attempt.state,
        observe=endpoint.observe,
        token_state=endpoint.token_state,
        asked=endpoint.asked,
        consulted=endpoint.consulted,
    )


def push_of_topic(revision: int, topic: str) -> Push:
    """The push that tells a topic, which its endpoint has left, what is so now."""
    return Push(
        revision=revision,
        key=0,
        topic=topic,
        application=0,
        app_version="",
        token="",
        latest=0,
        version=None,
        state=None,
        observe=False,
        token_state=TokenState.REVOKED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """Pushes that nobody needs any more, of those that were looked at."""

    revisions: Sequence[int]
    """Ascending."""
    end: int | None
    """Revision of the last that was looked at; None: there are no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedPush:
    """A push that the broker refused."""

    topic: str
    key: int
    reason_code: int
    parked_at: datetime
    retry_at: datetime
    tries: int


def visible(entry: Entry | None, version: Version | None, state: AttemptState | None) -> bool:
    """Whether an attempt is an offer that may be seen: open, and of a software that is not stopped."""
    if entry is None or version is None or state not in OPEN:
        return False
    return entry.offerable(version, started=state is AttemptState.INSTALLING)


def asking(entry: Entry | None, version: Version | None) -> bool:
    """Whether consent to a version may be asked for: its software is not stopped."""
    return entry is not None and version is not None and entry.offerable(version, started=False)


def topics_of(instances: Instances, app_version: str, token: str, *, consulted: bool) -> list[str]:
    """The topics on which an endpoint of this place is told something, the offer's first."""
    offers = topics.push_topic(instances, app_version, token)
    return [offers, topics.consent_topic(instances, app_version, token)] if consulted else [offers]


def place_of(topic: str, directory: Directory, instances: Instances) -> Place | None:
    """Whose a topic would be now; None where none could own it."""
    address = topics.parse_push(topic, instances)
    entry = None if address is None else directory.by_app_version(address.app_version)
    if address is None or entry is None:
        return None
    return entry.application.key, address.app_version, address.token


def render(push: Push, entry: Entry | None, instances: Instances, *, again: bool = False) -> list[Outbound]:
    """What to publish for a push of an endpoint's own now, one message for a topic at most.

    `again` says that the broker has taken the push before: then only what it retains is restored.
    """
    if push.topic == OFFER:
        return [] if again or entry is None else _live(push, entry, instances)
    if entry is None:
        return []
    offered = _offer(push, entry, instances)
    messages = [] if offered is None or (again and not offered.retain) else [offered]
    if push.consulted:
        messages.append(_ask(push, entry, instances))
    return messages


def render_left(topic: str, resident: Push | None, entry: Entry | None, instances: Instances) -> Outbound:
    """What to publish on a topic that an endpoint has left; `resident` is the one that has it now, of `entry`."""
    payload = None if resident is None else expected(resident, entry, instances).get(topic)
    return Outbound(topic=topic, payload=payload or CLEARED, retain=True)


def _live(push: Push, entry: Entry, instances: Instances) -> list[Outbound]:
    offered = _offer(push, entry, instances)
    return [] if offered is None or offered.retain else [offered]


def expected(push: Push, entry: Entry | None, instances: Instances) -> dict[str, bytes | None]:
    """What the broker should retain for an endpoint, by topic; None: nothing."""
    named = topics_of(instances, push.app_version, push.token, consulted=push.consulted)
    messages = render(push, entry, instances)
    kept = {message.topic: message.payload for message in messages if message.retain and message.payload}
    return {topic: kept.get(topic) for topic in named}


def _offer(push: Push, entry: Entry, instances: Instances) -> Outbound | None:
    topic = topics.push_topic(instances, push.app_version, push.token)
    retain = entry.application.push is PushMode.RETAINED
    if push.version is not None and push.observe and visible(entry, push.version, push.state):
        return Outbound(topic=topic, payload=entry.offer(push.version), retain=retain)
    return Outbound(topic=topic, payload=CLEARED, retain=True) if retain else None


def _ask(push: Push, entry: Entry, instances: Instances) -> Outbound:
    topic = topics.consent_topic(instances, push.app_version, push.token)
    wanted = push.asked is not None and push.observe and asking(entry, push.asked)
    payload = entry.ask(push.asked) if wanted and push.asked is not None else CLEARED
    return Outbound(topic=topic, payload=payload, retain=True)
