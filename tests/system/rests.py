"""The REST interface over a real database, without broker, in one process: what its tests share."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2

from orchestrator import api, dashboard
from orchestrator.application import drafts
from orchestrator.application.applications import Applications
from orchestrator.application.audits import Audits
from orchestrator.application.declarations import Declarations
from orchestrator.application.definitions import Definitions
from orchestrator.application.diagnoses import Diagnoses, Door
from orchestrator.application.directory import Directory
from orchestrator.application.endpoints import Endpoints
from orchestrator.application.floods import Floods
from orchestrator.application.freezes import Freezes
from orchestrator.application.gatekeeper import Gatekeeper
from orchestrator.application.groups import Groups
from orchestrator.application.imports import Imports
from orchestrator.application.observations import Observations
from orchestrator.application.plans import Plans
from orchestrator.application.records import EndpointQuery, Registration
from orchestrator.application.revisions import Revisions
from orchestrator.application.rollouts import Rollouts
from orchestrator.application.rooms import Rooms
from orchestrator.application.silences import Silences
from orchestrator.application.sizes import Sizes
from orchestrator.application.sweeps import Sweeper
from orchestrator.domain import changes
from orchestrator.domain.facts import Reported
from orchestrator.domain.versions import Version
from orchestrator.persistence.storage import open_storage
from protocol.topics import Instances
from tests import databases
from tests.parts import Retainer, no_time, without_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from orchestrator.api.access import Access
    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.downloads import Download
    from orchestrator.application.records import Draft, EndpointDocument
    from orchestrator.persistence.storage import SqlStorage

# A decoded answer, which tests index as they please.
Json = Any

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
KETTLE = "/api/v1/applications/smart-kettle"


@dataclass(slots=True)
class FakeClock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at

    def suspension(self) -> timedelta:
        return timedelta()

    def pass_by(self, span: timedelta) -> None:
        self.at += span


@dataclass(slots=True)
class FakeGate:
    closings: int = 0

    async def settled(self) -> None:
        self.closings += 1


@dataclass(slots=True)
class FakeWake:
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


@dataclass(slots=True)
class FakeDownloads:
    faults: dict[str, str] = field(default_factory=dict)
    """By link."""
    asked: list[Download] = field(default_factory=list)

    async def fault(self, download: Download) -> str | None:
        self.asked.append(download)
        return self.faults.get(download.link)


@dataclass(slots=True, kw_only=True)
class Rest:
    """One service without its broker; every answer of 400 and above is checked to be a problem."""

    client: httpx2.AsyncClient
    storage: SqlStorage
    directory: Directory
    clock: FakeClock
    gate: FakeGate
    wake: FakeWake
    downloads: FakeDownloads
    gatekeeper: Gatekeeper
    health: list[str] = field(default_factory=list)
    """Why the service is not ready; empty when it is."""
    failures: list[str] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    """What `/metrics` raises; empty when it answers."""

    async def send(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content is not None:
            named.setdefault("content-type", "application/json")
        response = await self.client.request(method, path, content=content, headers=named)
        if response.status_code >= 400:
            check_problem(response)
        return response

    async def get(self, path: str) -> Json:
        response = await self.send("GET", path)
        assert response.status_code == 200, response.text
        return response.json()

    async def put(self, path: str, body: object, **headers: str) -> Json:
        response = await self.send("PUT", path, body, **headers)
        assert response.status_code in {200, 201}, response.text
        return response.json()

    async def refused(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
        response = await self.send(method, path, body, **headers)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json()["code"]

    async def sweep(self) -> None:
        """Draw the consequences of all changes."""
        sweeper = Sweeper(without_broker(self.storage, self.directory, self.clock))
        for work in await self.storage.works():
            await sweeper.work_off(work)

    async def judge(self) -> None:
        """Let the gates look once, and draw the consequences."""
        await self.gatekeeper.tick()
        await self.sweep()

    async def report(self, endpoint_id: str, version: str, status_code: int = 200, reason: str | None = None) -> None:
        """Let an endpoint of smart-kettle report, as a batch of the engine does."""
        entry = self.directory.by_name("smart-kettle")
        assert entry is not None
        async with self.storage.edit() as edit:
            document = await edit.document(entry, endpoint_id)
            assert document is not None
            draft, now = drafts.begin(document.record), self.clock.now()
            fact = Reported(version=Version.parse(version), status_code=status_code, reason=reason, at=now)
            drafts.hear(draft, entry, fact, watermark=2**62, at=now)
            await edit.store([draft], [changes.due_at(draft.after, entry.policy_of, now)], now)
            fresh = entry.unfrozen(drafts.offered(draft))
            await edit.mark_offered([(entry.application.key, item) for item in fresh], now)
        entry.freeze(fresh, now)

    async def endpoints(self) -> list[EndpointDocument]:
        """The stored endpoints of smart-kettle."""
        entry = self.directory.by_name("smart-kettle")
        assert entry is not None
        return await self.storage.documents(entry, EndpointQuery())

    async def cleared(self) -> list[str]:
        """Topics that pushes are to clear because their endpoint has left them."""
        return [push.topic for push in await self.storage.pushes(0, 1000) if push.topic is not None]


def check_problem(response: httpx2.Response) -> None:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert list(problem) == ["type", "title", "status", "detail", "code", "message"]
    assert problem["status"] == response.status_code
    assert problem["message"] == problem["detail"] != ""
    assert problem["code"] == problem["code"].lower().replace("_", "-")


def _metrics(trouble: list[Exception]) -> bytes:
    if trouble:
        raise trouble[0]
    return b"# HELP otao_up 1\n"


@dataclass(slots=True, kw_only=True)
class _Fakes:
    """What stands in for the rest of the service."""

    clock: FakeClock = field(default_factory=FakeClock)
    gate: FakeGate = field(default_factory=FakeGate)
    wake: FakeWake = field(default_factory=FakeWake)
    downloads: FakeDownloads = field(default_factory=FakeDownloads)
    health: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    trouble: list[Exception] = field(default_factory=list)
    link: Retainer = field(default_factory=Retainer)


def _context(storage: SqlStorage, directory: Directory, fakes: _Fakes, sizes: Sizes) -> api.ApiContext:
    clock, gate, wake = fakes.clock, fakes.gate, fakes.wake
    revisions = Revisions(storage, directory, clock, gate, wake)
    plans = Plans(
        storage,
        directory,
        clock,
        fakes.downloads,
        registration=Registration.CLOSED,
        instances=Instances(),
        offer_bytes=1023,
    )
    return api.ApiContext(
        applications=Applications(storage, directory, clock, wake, registration=Registration.CLOSED),
        definitions=Definitions(storage, revisions),
        diagnoses=Diagnoses(
            fakes.link,
            storage,
            clock,
            lambda: Door(loopback=True, keys=0),
            partition="main",
            instances=Instances(),
        ),
        audits=Audits(storage),
        freezes=Freezes(storage, directory, clock, gate, wake),
        groups=Groups(revisions),
        imports=Imports(storage, directory, clock, wake, rooms=Rooms(), instances=Instances()),
        endpoints=Endpoints(storage, directory, clock, gate, wake, rooms=Rooms(), instances=Instances()),
        observations=Observations(storage, directory, clock, Floods(), Silences()),
        plans=plans,
        rollouts=Rollouts(storage, revisions, sizes),
        declarations=Declarations(storage, revisions, plans, clock, registration=Registration.CLOSED),
        now=clock.now,
        unready=lambda: next(iter(fakes.health), None),
        metrics=lambda: _metrics(fakes.trouble),
        failed=lambda: fakes.failures.append("failed"),
    )


@asynccontextmanager
async def open_rest(folder: Path, *, access: Access | None = None) -> AsyncIterator[Rest]:
    fakes = _Fakes()
    async with open_storage(await databases.address(databases.place_in(folder))) as storage:
        directory = Directory(await storage.entries())
        sizes = Sizes(storage, fakes.clock, no_time)
        context = _context(storage, directory, fakes, sizes)
        app = api.build(context, hosts=["otao.example"], access=access)
        dashboard.install(app, access=access)
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Rest(
                client=client,
                storage=storage,
                directory=directory,
                clock=fakes.clock,
                gate=fakes.gate,
                wake=fakes.wake,
                health=fakes.health,
                failures=fakes.failures,
                downloads=fakes.downloads,
                trouble=fakes.trouble,
                gatekeeper=Gatekeeper(without_broker(storage, directory, fakes.clock), context.rollouts, sizes),
            )


async def add_application(rest: Rest, **members: object) -> Json:
    return await rest.put(KETTLE, {"appVersions": ["smart-kettle-v1"], **members})


async def add_software(rest: Rest, version: str, *upgradable_from: str, **members: object) -> Json:
    body = {
        "upgradableFrom": list(upgradable_from),
        "rolloutStrategy": "general",
        "specification": {"link": f"https://example.org/{version}"},
        **members,
    }
    return await rest.put(f"{KETTLE}/software/{version}", body)


async def add_endpoint(rest: Rest, endpoint_id: str, running: str | None = None, **members: object) -> Json:
    answer = await rest.put(f"{KETTLE}/endpoints/{endpoint_id}", members)
    if running is not None:
        await rest.report(endpoint_id, running)
    return answer
