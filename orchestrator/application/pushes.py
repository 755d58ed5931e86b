"""What a push topic shall hold, rendered from the present state when it is sent.

Rules:
- A push names an endpoint or a topic, never a payload (invariant 3).
- A software that is stopped, or gone, is never rendered as an offer, whatever the endpoint's row still says
  (invariant 7).
- A topic that an endpoint has left is cleared, unless another endpoint has moved in.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.application.records import PushMode
from orchestrator.domain.attempts import AttemptState
from protocol import topics
from protocol.links import Outbound

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.directory import Directory, Entry
    from orchestrator.domain.endpoints import TokenState
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

CLEARED = b""
"""A retained message with an empty payload removes what is retained (MQTT 5.0 §3.3.1.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One topic that may have to be written, with the state of the endpoint whose it is."""

    revision: int
    key: int
    """Of the endpoint; 0 for a topic that was left by one that is gone."""
    topic: str | None
    """A topic that was left; None: the endpoint's own."""
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
    if entry is None or version is None or state not in {AttemptState.OFFERED, AttemptState.INSTALLING}:
        return False
    return entry.offerable(version, started=state is AttemptState.INSTALLING)


def place_of(push: Push, directory: Directory, instances: Instances) -> tuple[int, str, str] | None:
    """Whose a left topic would be now: application, application version, token; None where none could own it.

    Only endpoints of applications that retain pushes count: elsewhere a left topic is cleared in any case.
    """
    address = None if push.topic is None else topics.parse_push(push.topic, instances)
    entry = None if address is None else directory.by_app_version(address.app_version)
    if address is None or entry is None or entry.application.push is not PushMode.RETAINED:
        return None
    return entry.application.key, address.app_version, address.token


def render(push: Push, entry: Entry | None, instances: Instances, *, owned: bool) -> Outbound | None:
    """What to publish for a push now; None: nothing.

    `owned` says whether a left topic belongs to an endpoint again: then that endpoint's own pushes keep it right.
    """
    if push.topic is not None:
        return None if owned else Outbound(topic=push.topic, payload=CLEARED, retain=True)
    if entry is None:
        return None
    topic = topics.push_topic(instances, push.app_version, push.token)
    retain = entry.application.push is PushMode.RETAINED
    if push.version is not None and push.observe and visible(entry, push.version, push.state):
        return Outbound(topic=topic, payload=entry.offer(push.version), retain=retain)
    return Outbound(topic=topic, payload=CLEARED, retain=True) if retain else None
