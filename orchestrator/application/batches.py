"""One batch of messages: parsed, applied to their endpoints, stored in one transaction.

Rules:
- The number of statements does not depend on the number of messages.
- A message with DUP that was stored before is answered again and has no effect (invariant 2).
- A refused message changes nothing and creates nothing (invariant 10); an unknown token creates an endpoint only where
  registration is open, and only by a message that is accepted.
- Messages of one endpoint keep their order. One that floods, in one batch or for long (`floods`), is cut down to its
  newest message of each kind.

Layer: application.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import orjson

from orchestrator.application import drafts
from orchestrator.application.answers import Answer
from orchestrator.application.handling import METADATA, Handling, answer
from orchestrator.application.newcomers import newcomer
from orchestrator.application.pushes import CLEARED
from orchestrator.application.records import PushMode, Registration
from orchestrator.application.refusals import (
    FloodError,
    IllegalEndpointIdError,
    TokenRefusedError,
    UnknownAppVersionError,
    UnknownTokenError,
)
from orchestrator.domain import changes
from orchestrator.domain.endpoints import TokenState
from protocol import configurations, requests, topics
from protocol.errors import MessageError
from protocol.links import Outbound
from protocol.requests import Echo, ForeignPush, RequestRefusedError
from protocol.topics import Resource
from protocol.values import quick

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orchestrator.application.directory import Directory, Entry
    from orchestrator.application.floods import Floods
    from orchestrator.application.ports import Steps, Transaction
    from orchestrator.application.pushes import Push
    from orchestrator.application.records import Draft, EndpointRecord
    from orchestrator.application.rooms import Ledger, Rooms
    from orchestrator.application.tallies import Tallies
    from orchestrator.domain.versions import Version
    from protocol.links import Inbound
    from protocol.payloads import JsonValue, Limits
    from protocol.requests import Request
    from protocol.topics import Address, Instances

Place: TypeAlias = tuple[int, str]
"""Application and token."""

_GOOD = frozenset({TokenState.ACTIVE, TokenState.RETIRED})
FLOOD = 50
"""Messages of one endpoint in one batch above which it floods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What of the settings a batch looks at."""

    instances: Instances
    limits: Limits
    implicit_reports: bool = True
    """Whether a `configId` in a request counts as a report."""


@quick(frozen=True, slots=True)
class Parsed:
    """A message that is a request of a known application."""

    place: Place
    """Whose message it is."""
    inbound: Inbound
    request: Request | ForeignPush
    entry: Entry
    digest: int
    repeat: bool
    topic: str
    """Where it is answered."""


@dataclass(slots=True)
class Batch:
    """What a batch has come to: what to answer, and what to note after the commit."""

    answers: list[Answer] = field(default_factory=list)
    deliveries: list[tuple[int, int]] = field(default_factory=list)
    """What is remembered: packet identifiers and digests."""
    dropped: list[tuple[int, int]] = field(default_factory=list)
    """The same of messages that are acknowledged without effect: a repeat of an older one would look like a revert."""
    offered: dict[int, set[Version]] = field(default_factory=dict)
    """Software that was offered for the first time, by application."""
    pushes: list[Push] = field(default_factory=list)
    """What is to be published, all of it."""
    happened: list[Draft] = field(default_factory=list)
    """Endpoints that have changed."""
    accepted: Counter[Resource] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    foreign: int = 0

    def refuse(self, error: MessageError, inbound: Inbound, error_topic: str | None) -> None:
        """Count a refusal and answer it where it may be answered."""
        self.refused[error.code] += 1
        if error_topic is not None:
            payload = configurations.error(error.status_code, error.reason)
            message = Outbound(topic=error_topic, payload=payload, qos=inbound.qos)
            self.answers.append(Answer(message=message, refusal=True))

    def tell(self, tallies: Tallies) -> None:
        """Add to the numbers, once it has committed."""
        tallies.accepted.update({str(resource): amount for resource, amount in self.accepted.items()})
        tallies.refused.update(self.refused)
        tallies.repeats += self.repeats
        tallies.foreign_pushes += self.foreign


def parse(
    messages: Sequence[Inbound],
    directory: Directory,
    settings: Settings,
    delivered: dict[int, int],
    batch: Batch,
    *,
    floods: Floods,
    at: datetime,
) -> list[Parsed]:
    """Read the messages, which have come by `at`; refusals go to `batch`, and who floods is noted in `floods`."""
    parsed = []
    for inbound in messages:
        try:
            request = requests.parse(inbound, settings.instances, settings.limits)
            if isinstance(request, Echo):
                continue
            entry = _entry_of(inbound, request.address, directory)
            topic = "" if isinstance(request, ForeignPush) else requests.answer_topic(inbound, request.address)
        except RequestRefusedError as error:
            batch.refuse(error, inbound, error.error_topic)
            continue
        digest = digest_of(inbound)
        repeat = inbound.duplicate and delivered.get(inbound.packet_id) == digest
        place = entry.application.key, request.address.token
        parsed.append(Parsed(place, inbound, request, entry, digest, repeat, topic))
    return _marked(_without_floods(parsed, batch, floods, at))


def _marked(parsed: Sequence[Parsed]) -> list[Parsed]:
    """Mark what came before in the same batch: some brokers deliver again on one connection, while we are slow."""
    if not any(item.inbound.duplicate for item in parsed):
        return list(parsed)
    marked, seen = [], dict[int, int]()
    for item in parsed:
        again = item.inbound.duplicate and seen.get(item.inbound.packet_id) == item.digest
        marked.append(replace(item, repeat=True) if again else item)
        if item.inbound.qos:
            seen[item.inbound.packet_id] = item.digest
    return marked


def _entry_of(inbound: Inbound, address: Address, directory: Directory) -> Entry:
    entry = directory.by_app_version(address.app_version)
    if entry is None:
        error_topic = topics.error_topic(inbound.topic) if directory.complete else None
        raise RequestRefusedError(UnknownAppVersionError(), address=address, error_topic=error_topic)
    return entry


def digest_of(inbound: Inbound) -> int:
    """A number of 63 bits that tells messages apart."""
    # A topic holds no U+0000: the message's two parts cannot run into each other.
    text = inbound.topic.encode() + b"\0" + inbound.payload
    return int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1


def _without_floods(parsed: list[Parsed], batch: Batch, floods: Floods, at: datetime) -> list[Parsed]:
    amounts = Counter(item.place for item in parsed)
    lasting = floods.over(amounts, at)
    flooding = lasting | {place for place, amount in amounts.items() if amount > FLOOD}
    if not flooding:
        return parsed
    newest = {(item.place, type(item.request)): item for item in parsed if item.place in flooding}
    kept, told = [], set[Place]()
    for item in parsed:
        if item.place in flooding and newest[item.place, type(item.request)] is not item:
            # Whoever floods for long is told once in a batch: answers to all of it would keep those of others waiting.
            silent = item.place in lasting and item.place in told
            batch.refuse(FloodError(), item.inbound, None if silent else topics.error_topic(item.inbound.topic))
            told.add(item.place)
            batch.dropped += _deliveries([item])
            floods.refuse(item.place)
        else:
            kept.append(item)
    return kept


def _deliveries(items: Sequence[Parsed]) -> list[tuple[int, int]]:
    """By what repeats of messages are known, where there may be some that are not known yet."""
    return [(item.inbound.packet_id, item.digest) for item in items if item.inbound.qos and not item.repeat]


class Application:
    """Applies parsed messages inside a transaction."""

    def __init__(
        self,
        transaction: Transaction,
        directory: Directory,
        settings: Settings,
        batch: Batch,
        *,
        rooms: Rooms,
        watermark: int,
    ) -> None:
        """Work for one batch; `watermark` is the revision up to which pushes are acknowledged."""
        self._transaction = transaction
        self._directory = directory
        self._settings = settings
        self._batch = batch
        self._watermark = watermark
        self._rooms = rooms
        self._ledger: Ledger
        self._drafts: dict[Place, Draft] = {}
        self._attributes: dict[Place, dict[str, JsonValue]] = {}
        self._taken: set[Place] = set()

    async def run(self, parsed: Sequence[Parsed], at: datetime, steps: Steps) -> None:
        """Load, apply and store."""
        parsed = self._as_of_now(parsed)
        await self._load(parsed, at)
        steps("batch-read")
        for item in parsed:
            try:
                self._apply(item, at)
            except MessageError as error:
                self._batch.refuse(error, item.inbound, topics.error_topic(item.inbound.topic))
            steps("message-applied")
        steps("batch-decided")
        self._batch.deliveries = self._batch.dropped + _deliveries(parsed)
        await self._store(at)
        steps("batch-stored")

    def _as_of_now(self, parsed: Sequence[Parsed]) -> list[Parsed]:
        """Look the applications up again: one may have been changed while this transaction waited for its turn."""
        current = []
        for item in parsed:
            entry = self._directory.by_app_version(item.request.address.app_version)
            if entry is item.entry:
                current.append(item)
            elif entry is not None and entry.application.key == item.entry.application.key:
                current.append(replace(item, entry=entry))
            else:
                self._batch.refuse(UnknownAppVersionError(), item.inbound, topics.error_topic(item.inbound.topic))
        return current

    async def _load(self, parsed: Sequence[Parsed], at: datetime) -> None:
        places = list({item.place for item in parsed})
        applications = {application for application, _ in places}
        self._ledger = await self._rooms.enter(self._transaction, map(self._directory.by_key, applications), at)
        membership = self._directory.membership_for(applications)
        for record in await self._transaction.find(places, membership):
            room = self._ledger.room(self._directory.by_key(record.application))
            self._drafts[record.application, record.token] = drafts.begin(record, room)
        unknown = [place for place in places if place not in self._drafts and self._open(place)]
        self._taken = await self._transaction.taken(unknown)
        await self._load_attributes(parsed)

    def _open(self, place: Place) -> bool:
        entry = self._directory.by_key(place[0])
        return entry is not None and entry.application.registration is Registration.OPEN

    async def _load_attributes(self, parsed: Sequence[Parsed]) -> None:
        places = {item.place for item in parsed if isinstance(item.request, METADATA)}
        keys = {self._drafts[place].before.key: place for place in places if place in self._drafts}
        self._attributes = {place: {} for place in places}
        if keys:
            for key, text in (await self._transaction.attributes(list(keys))).items():
                self._attributes[keys[key]] = orjson.loads(text)

    def _apply(self, item: Parsed, at: datetime) -> None:
        if isinstance(item.request, ForeignPush):
            self._overwrite(item)
            return
        place = item.place
        draft = self._drafts.get(place)
        if draft is None:
            draft = drafts.begin(self._newcomer(item, at), self._ledger.room(item.entry))
        elif draft.after.token_state not in _GOOD:
            raise TokenRefusedError(draft.after.token_state)
        attributes = self._attributes.get(place, {})
        if item.repeat:
            self._batch.repeats += 1
        else:
            self._handle(item, item.request, draft, attributes, at)
        # A newcomer is kept from here on: a refused message creates nothing.
        self._drafts[place] = draft
        reply = answer(item.request, item.inbound, item.topic, draft, item.entry, attributes)
        if reply is not None:
            self._batch.answers.append(reply)

    def _handle(
        self, item: Parsed, request: Request, draft: Draft, attributes: dict[str, JsonValue], at: datetime
    ) -> None:
        handling = Handling(
            draft,
            item.entry,
            attributes=attributes,
            watermark=self._watermark,
            implicit=self._settings.implicit_reports,
        )
        handling.check(request)
        drafts.awaken(draft)
        drafts.relocate(draft, request.address.app_version, self._settings.instances)
        handling.apply(request, at)
        self._batch.accepted[request.address.resource] += 1

    def _overwrite(self, item: Parsed) -> None:
        self._batch.foreign += 1
        draft = self._drafts.get(item.place)
        if draft is None:
            if item.inbound.retain:
                message = Outbound(topic=item.inbound.topic, payload=CLEARED, retain=True)
                self._batch.answers.append(Answer(message=message))
            return
        address = item.request.address
        asked = address.resource is Resource.CONSENT
        kept = draft.after.consulted if asked else item.entry.application.push is PushMode.RETAINED
        if kept and address.app_version == draft.app_version:
            draft.push = True
        elif item.inbound.retain:
            draft.cleared_topics.append(item.inbound.topic)

    def _newcomer(self, item: Parsed, at: datetime) -> EndpointRecord:
        application = item.entry.application
        token = item.request.address.token
        if application.registration is Registration.CLOSED:
            raise UnknownTokenError
        if not topics.ENDPOINT_ID.fullmatch(token) or item.place in self._taken:
            raise IllegalEndpointIdError
        return newcomer(item.entry, token, token, item.request.address.app_version, at)

    async def _store(self, at: datetime) -> None:
        changed = [draft for draft in self._drafts.values() if drafts.changed(draft)]
        due = []
        for draft in changed:
            entry = self._entry(draft)
            draft.push = drafts.pushes_needed(draft, entry)
            due.append(changes.due_at(draft.after, entry.policy_of, at))
            offered = drafts.offered(draft)
            if offered and (fresh := entry.unfrozen(offered)):
                self._batch.offered.setdefault(entry.application.key, set()).update(fresh)
        self._batch.pushes += await self._transaction.store(changed, due, at, self._batch.deliveries)
        self._batch.happened = changed
        attributes = {
            draft.before.key: draft.new_attributes
            for draft in changed
            if draft.new_attributes is not None and draft.before.key
        }
        if attributes:
            await self._transaction.save_attributes(attributes)
        if self._batch.offered:
            pairs = [(key, version) for key, versions in self._batch.offered.items() for version in versions]
            await self._transaction.mark_offered(pairs, at)

    def _entry(self, draft: Draft) -> Entry:
        entry = self._directory.by_key(draft.before.application)
        if entry is None:
            raise LookupError(draft.before.application)
        return entry
