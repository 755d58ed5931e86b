"""The numbers against a recount of the rows, after whatever may happen to a fleet."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

from hypothesis import event, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from orchestrator.application import batches, drafts
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.batches import Batch
from orchestrator.application.counters import CounterKey
from orchestrator.application.directory import Directory
from orchestrator.application.floods import Floods
from orchestrator.application.imports import Imports, Line
from orchestrator.application.retentions import Remains
from orchestrator.application.rooms import Rooms
from orchestrator.domain import changes
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.facts import DeadlinePassed
from orchestrator.persistence import schema
from orchestrator.persistence.rows import ATTEMPT_STATES
from orchestrator.persistence.schema import KEY_SPAN
from protocol.links import Inbound
from tests.contract.storages import NOW, open_sqlite, store
from tests.properties import fleets
from tests.properties.recounts import removed
from tests.unit.orchestrator.application.desks import Bells

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Application
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version
    from tests.contract.storages import SqlShelf

FAILED = {AttemptState.FAILED, AttemptState.REVERTED, AttemptState.EXPIRED}
TOKENS = ("tok0-0", "tok0-1", "tok1-0", "tok2-0", "new1", "new2")
WATERMARK = 2**40
"""The broker has acknowledged everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message of an endpoint."""

    token: str
    resource: str
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoke:
    """A batch came."""

    messages: list[Said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Redefined:
    """An operator changed the catalogue."""

    software: tuple[Software, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Time passed, and timers were worked off."""

    span: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """An operator deleted an endpoint."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """An operator imported endpoints, each said to run a version."""

    said: dict[str, str]
    """Version by endpointId, which is the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Housekeeping removed what was older than a day."""


Event: TypeAlias = Spoke | Redefined | Waited | Deleted | Imported | Kept

versions = st.sampled_from(("0.5.0", "1.0.0", "1.1.0", "1.1.0+built.again", "2.0.0", "3.0.0"))
payloads = (
    st.tuples(
        st.just("cmx_ota/{}/applied/json/1"),
        st.fixed_dictionaries(
            {"configId": versions, "statusCode": st.sampled_from((200, 200, 200, 500))},
            optional={"reasonPhrase": st.sampled_from(("no room", "x" * 200))},
        ),
    )
    | st.tuples(st.just("cmx_ota/{}/config/json/2"), st.fixed_dictionaries({}, optional={"observe": st.booleans()}))
    | st.tuples(
        st.just("cmx_ota/{}/progress/json"),
        st.fixed_dictionaries({"configId": versions, "state": st.just("installing")}),
    )
    | st.tuples(
        st.just("cmx_ota/{}/health/json"),
        st.fixed_dictionaries(
            {"healthy": st.sampled_from((False, False, True))},
            optional={"configId": versions, "reason": st.sampled_from(("too hot", "x" * 200))},
        ),
    )
    | st.tuples(st.just("epmx/{}/update/keys/3"), st.fixed_dictionaries({"site": st.sampled_from(("lab", "field"))}))
)
said = st.builds(
    lambda token, message: Said(token=token, resource=message[0].format(token), payload=json.dumps(message[1])),
    st.sampled_from(TOKENS),
    payloads,
)
events = st.lists(
    st.builds(Spoke, messages=st.lists(said, min_size=1, max_size=6))
    | st.builds(Redefined, software=fleets.catalogues)
    | st.builds(Waited, span=st.sampled_from((timedelta(minutes=11), timedelta(days=2))))
    | st.builds(Deleted, token=st.sampled_from(TOKENS))
    | st.builds(Kept)
    | st.builds(Imported, said=st.dictionaries(st.sampled_from((*TOKENS, "new3")), versions, min_size=1)),
    min_size=2,
    max_size=8,
)


class World:
    """One application that things happen to."""

    def __init__(self, shelf: SqlShelf, entry: Entry) -> None:
        self.shelf = shelf
        self.entry = entry
        self.clock = fleets.HandClock(at=NOW)

    async def happen(self, item: Event) -> None:
        match item:
            case Spoke():
                await self.speak(item.messages)
            case Redefined():
                self.entry = await self.shelf.define(self.entry.application, item.software, fleets.FILTERS)
                numbers = await self.shelf.counters(self.entry.application.key)
                run = {key.version for key in numbers if key.name == "running"}
                await self.shelf.add_work(self.entry.application.key, run)
                await fleets.sweep(self.shelf, self.entry, self.clock)
            case Waited():
                self.clock.at += item.span
                await self.tick()
            case Deleted():
                await self.delete(item.token)
            case Imported():
                await self.bring(item.said)
            case Kept():
                await self.keep_house()

    async def keep_house(self) -> None:
        storage = self.shelf.storage
        for what in (Remains.HISTORY, Remains.ATTEMPTS):
            while (stretch := await storage.oldest(what, self.clock.at - timedelta(days=1), None, 2)) is not None:
                assert await storage.remove(stretch) > 0

    async def speak(self, messages: list[Said]) -> None:
        app_version = self.entry.application.app_versions[0]
        inbound = [
            Inbound(topic=f"kp1/{app_version}/{said.resource}", payload=said.payload.encode(), qos=1, packet_id=number)
            for number, said in enumerate(messages, 1)
        ]
        directory, batch = Directory([self.entry]), Batch()
        parsed = batches.parse(inbound, directory, fleets.SETTINGS, {}, batch, floods=Floods(), at=self.clock.at)
        assert len(parsed) == len(messages)
        async with self.shelf.storage.transaction() as transaction:
            application = batches.Application(
                transaction, directory, fleets.SETTINGS, batch, rooms=Rooms(), watermark=WATERMARK
            )
            await application.run(parsed, self.clock.at, lambda _: None)
        self.entry.freeze(batch.offered.get(self.entry.application.key, set()), self.clock.at)

    async def tick(self) -> None:
        at, entry = self.clock.at, self.entry
        async with self.shelf.storage.transaction() as transaction:
            done = []
            for record in await transaction.find_due(at, 100, lambda _, subject: entry.memberships.belonging(subject)):
                if record.application == entry.application.key:
                    draft = drafts.begin(record)
                    drafts.hear(draft, entry, DeadlinePassed(at=at), watermark=WATERMARK, at=at)
                    draft.push = drafts.pushes_needed(draft, entry)
                    done.append(draft)
            due = [changes.due_at(draft.after, entry.policy_of, at) for draft in done]
            await transaction.store(done, due, at)

    async def bring(self, said: dict[str, str]) -> None:
        async def lines() -> AsyncIterator[Line]:
            for number, (name, version) in enumerate(said.items(), 1):
                yield Line(
                    number=number,
                    text=json.dumps(
                        {
                            "endpointId": name,
                            "runningVersion": version,
                            "appVersion": self.entry.application.app_versions[0],
                        }
                    ).encode(),
                )

        directory = Directory([self.entry])
        imports = Imports(
            self.shelf.storage, directory, self.clock, Bells(), rooms=Rooms(), instances=fleets.SETTINGS.instances
        )
        told = await imports.run(self.entry.application.name, lines(), by=ANONYMOUS)
        assert told.failed == 0

    async def delete(self, token: str) -> None:
        async with self.shelf.storage.edit() as edit:
            document = await edit.document(self.entry, token)
            if document is not None:
                await edit.delete_endpoint(document, self.clock.at)


async def recount(shelf: SqlShelf, application: int) -> Counter[CounterKey]:
    """Count the rows of an application's endpoints anew."""
    state, attempt = schema.endpoint_state, schema.attempt
    first, end = application * KEY_SPAN, (application + 1) * KEY_SPAN
    async with shelf.storage.reading() as connection:
        latest = (await connection.execute(select(state).where(state.c.id.between(first, end)))).all()
        older = (await connection.execute(select(attempt).where(attempt.c.endpoint_id.between(first, end)))).all()
    version = shelf.storage._dictionary.version
    total: Counter[CounterKey] = Counter()
    for row in latest:
        total[CounterKey(application, "running", version(row.running_id))] += 1
        if row.attempt_version_id:
            target, origin = version(row.attempt_version_id), version(row.attempt_origin_id)
            runs = version(row.running_id) == target
            total.update(_of_latest(application, row, CounterKey(application, "", target, origin), runs=runs))
    for row in older:
        label = ATTEMPT_STATES[row.state].value
        total[CounterKey(application, "attempts", version(row.version_id), version(row.origin_id), label)] += 1
        total.update(_of_stage(application, row, version(row.version_id), reached=row.reached_ms is not None))
    return total + await removed(shelf.storage, application)


def _of_latest(
    application: int,
    row: Any,  # noqa: ANN401 - a row of the database
    named: CounterKey,
    *,
    runs: bool,
) -> list[CounterKey]:
    state = ATTEMPT_STATES[row.attempt_state]
    found = [
        named._replace(name="attempts", label=state.value),
        CounterKey(application, "latest", named.version, None, state.value),
    ]
    found += _of_stage(application, row, named.version, reached=row.reached_ms is not None)
    if state in {AttemptState.OFFERED, AttemptState.INSTALLING} and not (row.lapsed and row.reached_ms is None):
        found.append(CounterKey(application, "slots", named.version, named.origin))
    if state in FAILED:
        found.append(CounterKey(application, "failures", named.version, None, (row.reason or state.value)[:120]))
    runs = runs and state in {AttemptState.SOAKING, AttemptState.CONFIRMED}
    if runs and row.healthy == 0 and row.reason:
        found.append(CounterKey(application, "unwell", named.version, None, row.reason[:120]))
    return found


def _of_stage(
    application: int,
    row: Any,  # noqa: ANN401 - a row of the database
    version: Version | None,
    *,
    reached: bool,
) -> list[CounterKey]:
    """What a row counts for among the attempts of its stage, written out anew."""
    if not row.stage:
        return []
    state = ATTEMPT_STATES[row.attempt_state if hasattr(row, "attempt_state") else row.state]
    ran = state in {AttemptState.SOAKING, AttemptState.CONFIRMED, AttemptState.REVERTED}
    words = [str(row.stage - 1), state.value]
    words += ["unreached"] if state is AttemptState.OFFERED and not reached else []
    words += ["unhealthy"] if ran and row.healthy == 0 else []
    return [CounterKey(application, "stages", version, None, " ".join(words))]


async def live(shelf: SqlShelf, application: Application, fleet: list[fleets.Member], story: list[Event]) -> None:
    entry = await shelf.define(application, (), fleets.FILTERS)
    key = entry.application.key
    await store(shelf, entry, *fleets.newcomers(entry, fleet))
    assert await shelf.counters(key) == await recount(shelf, key)
    world = World(shelf, entry)
    for item in story:
        await world.happen(item)
        event(type(item).__name__)
        assert await shelf.counters(key) == await recount(shelf, key)


def hold_over_stories(opening: AbstractAsyncContextManager[SqlShelf], examples: int) -> None:
    """Compare numbers and rows over so many stories, all in one database."""
    numbers = count(1)
    with fleets.shared(opening) as (runner, shelf):

        @settings(max_examples=examples, deadline=None)
        @given(application=fleets.applications, fleet=fleets.fleets, story=events)
        def check(application: Application, fleet: list[fleets.Member], story: list[Event]) -> None:
            runner.run(live(shelf, fleets.fresh(application, next(numbers)), fleet, story))

        check()


def test_invariant_8_counters_equal_rows(tmp_path: Path) -> None:
    hold_over_stories(open_sqlite(tmp_path), 50)
