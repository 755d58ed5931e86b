"""An operator's desk for tests: the use cases over a database of their own, and endpoints that report by call."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.application import drafts, preconditions
from orchestrator.application.applications import Applications
from orchestrator.application.audits import Audits
from orchestrator.application.declarations import Declarations
from orchestrator.application.definitions import Definitions
from orchestrator.application.directory import Directory
from orchestrator.application.documents import software
from orchestrator.application.documents.applications import ApplicationBody
from orchestrator.application.documents.endpoints import EndpointBody
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.floods import Floods
from orchestrator.application.freezes import Freezes
from orchestrator.application.groups import Groups
from orchestrator.application.imports import Imports
from orchestrator.application.observations import Observations
from orchestrator.application.plans import Plans
from orchestrator.application.preconditions import UNCONDITIONAL, Precondition
from orchestrator.application.records import Registration
from orchestrator.application.revisions import Revisions
from orchestrator.application.rollouts import Rollouts
from orchestrator.application.rooms import Rooms
from orchestrator.application.silences import Silences
from orchestrator.application.sizes import Sizes
from orchestrator.application.sweeps import Sweeper
from orchestrator.domain import changes
from orchestrator.domain.facts import Reported
from orchestrator.domain.filters import Filter
from orchestrator.domain.versions import Version
from orchestrator.persistence.storage import open_storage
from protocol import payloads
from protocol.topics import Instances
from tests.parts import no_time, without_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.definitions import Defined
    from orchestrator.application.documents.software import Definition
    from orchestrator.application.downloads import Download
    from orchestrator.application.records import Draft, EndpointDocument
    from orchestrator.domain.facts import Fact
    from orchestrator.persistence.storage import SqlStorage

APP = "kettle"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = payloads.Limits(payload_bytes=1024 * 1024, depth=64)
ACKNOWLEDGED = 2**62
"""A watermark that no push is above: the broker has taken everything."""
CREATE = Precondition()


@dataclass
class HandClock:
    """Time that a test moves."""

    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def suspension(self) -> timedelta:
        return timedelta()


@dataclass
class Turnstile:
    """A gate that only counts who waited for what was leaving."""

    closings: int = 0

    async def settled(self) -> None:
        self.closings += 1


@dataclass
class Bells:
    """Counts who was woken."""

    pushed: int = 0
    worked: int = 0
    changes: list[AuditEntry] = field(default_factory=list)
    drafts: list[tuple[Draft, bool]] = field(default_factory=list)

    def pushes(self) -> None:
        self.pushed += 1

    def work(self) -> None:
        self.worked += 1

    def audited(self, entries: Sequence[AuditEntry]) -> None:
        self.changes.extend(entries)

    def happened(self, draft: Draft, *, created: bool) -> None:
        self.drafts.append((draft, created))


@dataclass
class NoDownloads:
    """Far ends that are all sound."""

    asked: list[Download] = field(default_factory=list)

    async def fault(self, download: Download) -> str | None:
        self.asked.append(download)
        return None


@dataclass
class Desk:
    """Everything an operator works with, and the endpoints' side of it."""

    storage: SqlStorage
    directory: Directory
    clock: HandClock = field(default_factory=HandClock)
    gate: Turnstile = field(default_factory=Turnstile)
    bells: Bells = field(default_factory=Bells)
    downloads: NoDownloads = field(default_factory=NoDownloads)
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        storage, directory, clock = self.storage, self.directory, self.clock
        self.revisions = Revisions(storage, directory, clock, self.gate, self.bells)
        self.applications = Applications(storage, directory, clock, self.bells, registration=Registration.CLOSED)
        self.definitions = Definitions(storage, self.revisions)
        self.groups = Groups(self.revisions)
        self.imports = Imports(storage, directory, clock, self.bells, rooms=Rooms(), instances=Instances())
        self.endpoints = Endpoints(
            storage, directory, clock, self.gate, self.bells, rooms=Rooms(), instances=Instances()
        )
        self.freezes = Freezes(storage, directory, clock, self.gate, self.bells)
        self.rollouts = Rollouts(storage, self.revisions, Sizes(storage, clock, no_time))
        self.audits = Audits(storage)
        self.floods = Floods()
        self.silences = Silences()
        self.observations = Observations(storage, directory, clock, self.floods, self.silences)
        closed = Registration.CLOSED
        self.plans = Plans(
            storage, directory, clock, self.downloads, registration=closed, instances=Instances(), offer_bytes=1023
        )
        self.declarations = Declarations(
            storage, self.revisions, self.plans, clock, registration=closed, steps=self.steps.append
        )

    async def define(self, version: str, *upgradable_from: str, **members: object) -> Defined:
        """Write a general software with a specification, whatever is there; `members` override."""
        parsed = Version.parse(version)
        body = {
            "upgradableFrom": list(upgradable_from),
            "rolloutStrategy": "general",
            "specification": {"link": version},
            **members,
        }
        required = UNCONDITIONAL if parsed in self.revisions.entry(APP).software else CREATE
        return await self.definitions.put(APP, parsed, definition(json.dumps(body)), required)

    async def group(self, filter_id: str, expression: str) -> None:
        """Write a filter, whatever is there."""
        required = UNCONDITIONAL if filter_id in self.revisions.entry(APP).filters else CREATE
        await self.groups.put(APP, Filter(filter_id=filter_id, expression=expression), None, required)

    async def enrol(self, endpoint_id: str, running: str | None = None, **members: object) -> EndpointDocument:
        """Create an endpoint that then reports what it runs."""
        document, _ = await self.endpoints.put(APP, endpoint_id, endpoint_body(**members), CREATE)
        return document if running is None else await self.report(endpoint_id, running)

    async def report(
        self, endpoint_id: str, version: str, status_code: int = 200, reason: str | None = None
    ) -> EndpointDocument:
        """Let an endpoint report, as a batch of the engine does."""
        at = self.clock.now()
        fact = Reported(version=Version.parse(version), status_code=status_code, reason=reason, at=at)
        return await self.hear(endpoint_id, fact)

    async def hear(self, endpoint_id: str, fact: Fact) -> EndpointDocument:
        """Let a fact happen to an endpoint, as a batch of the engine does."""
        entry, at = self.revisions.entry(APP), self.clock.now()
        async with self.storage.edit() as edit:
            document = await edit.document(entry, endpoint_id)
            assert document is not None
            draft = drafts.begin(document.record)
            drafts.hear(draft, entry, fact, watermark=ACKNOWLEDGED, at=at)
            draft.push = drafts.pushes_needed(draft, entry)
            await edit.store([draft], [changes.due_at(draft.after, entry.policy_of, at)], at)
            fresh = entry.unfrozen(drafts.offered(draft))
            await edit.mark_offered([(entry.application.key, version) for version in fresh], at)
        entry.freeze(fresh, at)
        return await self.endpoints.get(APP, endpoint_id)

    async def offer_of(self, endpoint_id: str) -> str | None:
        """The version that the row of an endpoint holds as its offer, stopped or not."""
        offer = (await self.endpoints.get(APP, endpoint_id)).record.endpoint.offer
        return None if offer is None else offer.version.text

    async def sweep(self) -> None:
        """Draw the consequences of all changes."""
        sweeper = Sweeper(without_broker(self.storage, self.directory, self.clock))
        for work in await self.storage.works():
            await sweeper.work_off(work)

    async def cleared(self) -> list[str]:
        """Topics that are to be cleared because their endpoint has left them."""
        return [push.topic for push in await self.storage.pushes(0, 1000) if push.topic is not None]

    def tag(self, document: EndpointDocument) -> str:
        """What `If-Match` would say."""
        return preconditions.tag_of(document, document.record.endpoint.registered_at)


def definition(text: str) -> Definition:
    """Read the body of a software."""
    return software.read(payloads.members(text, LIMITS), LIMITS)


def endpoint_body(**members: object) -> EndpointBody:
    """Read the body of an endpoint."""
    return EndpointBody.read(payloads.members(json.dumps(members), LIMITS), LIMITS)


def application_body(**members: object) -> ApplicationBody:
    """Read the body of an application; it has one version unless `members` say otherwise."""
    text = json.dumps({"appVersions": ["kettle-v1"], **members})
    return ApplicationBody.read(payloads.members(text, LIMITS), LIMITS)


def required(tag: str) -> Precondition:
    """What `If-Match` with one tag requires."""
    return Precondition(tags=frozenset({tag}))


@asynccontextmanager
async def open_desk(folder: Path, **members: object) -> AsyncIterator[Desk]:
    """A desk with one application."""
    async with open_storage(f"sqlite+aiosqlite:///{folder}/otao.db") as storage:
        desk = Desk(storage, Directory(await storage.entries()))
        await desk.applications.put(APP, application_body(**members), CREATE)
        yield desk
