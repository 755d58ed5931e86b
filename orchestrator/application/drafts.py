"""One endpoint's way through a batch: facts are applied, its offer follows the decision, effects are noted.

Rules:
- The filters that an endpoint is in follow what it is, before the decision is taken.
- After every fact that may change it, the offer is decided anew, so that an answer in the same batch tells the truth.
- A push is noted when what its topics shall hold has changed, and when the endpoint asks for pushes again.
- For applications that push live, whenever an endpoint with an unstarted offer reports or asks, its offer is sent
  again, and nothing else of it; where its last push is still on its way, all of it is.

Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.application import pushes
from orchestrator.application.records import Draft, EndpointRecord, PushMode
from orchestrator.domain import changes
from orchestrator.domain.attempts import SETTLED, AttemptState, move
from orchestrator.domain.endpoints import HistoryEntry, HistoryKind, TokenState
from orchestrator.domain.facts import HealthReported, Heard, ObserveAsked, Reported
from protocol import topics

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.domain.changes import Change, Room
    from orchestrator.domain.endpoints import Attempt, Endpoint
    from orchestrator.domain.facts import Fact
    from orchestrator.domain.versions import Version
    from protocol.topics import Instances

_NOTHING = (0, None)
"""What the topics of an endpoint hold that is neither offered nor asked anything."""
_WORDS = Heard | ObserveAsked | Reported | HealthReported
"""What may be the first thing that is heard of an endpoint after its offer."""


def begin(record: EndpointRecord, room: Room = changes.unlimited) -> Draft:
    """An endpoint to which nothing has happened yet; `room` is asked before it is offered something."""
    return Draft(before=record, after=record.endpoint, app_version=record.app_version, room=room)


def hear(draft: Draft, entry: Entry, fact: Fact, *, watermark: int, at: datetime) -> None:
    """Apply a fact and let the offer follow; `watermark` is the revision up to which pushes are acknowledged."""
    acknowledged = draft.before.push_revision <= watermark and not draft.push
    _take(draft, changes.apply(draft.after, fact, entry.policy_of, acknowledged=acknowledged), at)
    if entry.memberships.follows_reports:
        regroup(draft, entry)
    if isinstance(fact, ObserveAsked) and fact.observe and _shown(draft.after) != _NOTHING:
        draft.push = True
    settle(draft, entry, at)
    if entry.application.push is PushMode.LIVE and isinstance(fact, _WORDS):
        offer = draft.after.offer
        if draft.after.observe and offer is not None and offer.state is AttemptState.OFFERED:
            draft.push = draft.push or not acknowledged
            draft.repeat = True


def regroup(draft: Draft, entry: Entry) -> None:
    """Work out anew which filters the endpoint is in; nothing where nobody wanted to know when it was loaded."""
    subject = draft.before.subject
    if subject is None:
        return
    present = replace(
        subject,
        attributes=subject.attributes if draft.new_attributes is None else draft.new_attributes,
        app_version=draft.app_version,
        running=draft.after.running,
        last_seen_at=draft.after.last_seen_at,
    )
    filters, zone = entry.memberships.belonging(present)
    if filters != draft.after.filters or zone != draft.after.zone:
        draft.after = replace(draft.after, filters=filters, zone=zone)


def settle(draft: Draft, entry: Entry, at: datetime) -> None:
    """Decide, and make the offer agree."""
    decision = entry.decide(draft.after, at)
    draft.held = None
    if not changes.agrees(draft.after, decision):
        change = changes.replan(draft.after, decision, entry.catalogue, at, draft.room)
        draft.held = change.held
        _take(draft, change, at)


def retire(draft: Draft, entry: Entry, at: datetime) -> None:
    """The endpoint was silent for too long: it is offered nothing until it is heard."""
    draft.after = replace(draft.after, token_state=TokenState.RETIRED)
    draft.entries.append(HistoryEntry(at=at, kind=HistoryKind.RETIRED))
    settle(draft, entry, at)


def awaken(draft: Draft) -> None:
    """A retired endpoint speaks: what it says is taken as anybody's."""
    if draft.after.token_state is TokenState.RETIRED:
        draft.after = replace(draft.after, token_state=TokenState.ACTIVE)


def relocate(draft: Draft, app_version: str, instances: Instances) -> None:
    """The endpoint speaks under another application version: its old push topics must be cleared."""
    if app_version != draft.app_version:
        draft.cleared_topics += _left(draft, draft.app_version, instances)
        draft.app_version = app_version
        draft.push = draft.push or _shown(draft.after) != _NOTHING


def rename(draft: Draft, token: str, instances: Instances) -> None:
    """The endpoint gets another token: its old push topics must be cleared."""
    if token == draft.before.token:
        return
    left = _left(draft, draft.before.app_version, instances)
    draft.cleared_topics += [topic for topic in left if topic not in draft.cleared_topics]
    draft.push = True
    draft.before = replace(draft.before, token=token)


def _take(draft: Draft, change: Change, at: datetime) -> None:
    before = draft.after
    if change.endpoint is before and not change.entries:
        return
    draft.after = change.endpoint
    draft.entries.extend(change.entries)
    old = before.attempt
    if old is not None and (change.endpoint.attempt is None or change.endpoint.attempt.sequence != old.sequence):
        draft.superseded.append(_settled(old, change, at))
    if not draft.push and _shown(before) != _shown(change.endpoint):
        draft.push = True


def _settled(old: Attempt, change: Change, at: datetime) -> Attempt:
    """An attempt that a newer offer has replaced; an undecided one was withdrawn, the history says why."""
    if old.state in SETTLED:
        return old
    reason = next((entry.reason for entry in change.entries if entry.kind is HistoryKind.WITHDRAWN), None)
    return move(old, AttemptState.WITHDRAWN, at, reason=reason)


def _shown(endpoint: Endpoint) -> tuple[int, Version | None]:
    """What its push topics shall hold: the sequence of its offer, 0 for none, and for what its consent is asked."""
    if not endpoint.observe:
        return _NOTHING
    offer = endpoint.offer
    return 0 if offer is None else offer.sequence, endpoint.asked


def _left(draft: Draft, app_version: str, instances: Instances) -> list[str]:
    return pushes.topics_of(instances, app_version, draft.before.token, consulted=draft.after.consulted)


def push_anew(draft: Draft, entry: Entry, instances: Instances) -> None:
    """The application's way of pushing has changed: write the offer again, and leave none retained if it is live."""
    if draft.after.offer is not None:
        draft.push = True
        if entry.application.push is PushMode.LIVE:
            draft.cleared_topics.append(topics.push_topic(instances, draft.app_version, draft.before.token))


def ask_anew(draft: Draft) -> None:
    """What the software says of itself has changed: ask with that."""
    draft.push = draft.push or (draft.after.asked is not None and draft.after.observe)


def show_anew(draft: Draft, entry: Entry) -> None:
    """A stop was lifted: what was rendered as cleared meanwhile is retained again.

    An offer that is live is not sent again: it was seen, or comes after the endpoint's next message.
    """
    ask_anew(draft)
    offer = draft.after.offer
    hidden = offer is not None and offer.state is AttemptState.OFFERED and draft.after.observe
    draft.push = draft.push or (hidden and entry.application.push is PushMode.RETAINED)


def changed(draft: Draft) -> bool:
    """Whether anything has to be written."""
    return (
        draft.after is not draft.before.endpoint
        or draft.push
        or draft.repeat
        or bool(draft.cleared_topics)
        or draft.held is not None
    )


def offered(draft: Draft) -> set[Version]:
    """The versions that its endpoint was offered in this batch, those included that did not last."""
    return {entry.version for entry in draft.entries if entry.kind is HistoryKind.OFFERED and entry.version is not None}


def pushes_needed(draft: Draft, entry: Entry) -> bool:
    """Whether a push is to be stored: nothing is cleared where nothing is retained; asks are retained everywhere."""
    if not draft.push or entry.application.push is PushMode.RETAINED:
        return draft.push
    return draft.after.consulted or _shown(draft.after) != _NOTHING


def stored(draft: Draft, *, key: int, push_revision: int, last_history: int) -> EndpointRecord:
    """The record that a draft leaves behind."""
    # Only what is new has another key.
    after = draft.after if draft.after.key == key else replace(draft.after, key=key)
    return EndpointRecord(
        key=key,
        application=draft.before.application,
        endpoint_id=draft.before.endpoint_id,
        app_version=draft.app_version,
        token=draft.before.token,
        endpoint=after,
        push_revision=push_revision,
        last_history=last_history,
    )
