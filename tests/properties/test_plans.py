"""A plan says what becomes of a fleet that obeys."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from orchestrator.application import drafts
from orchestrator.domain import changes
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.facts import Reported
from orchestrator.domain.plans import Edge, Kind, Planner, endpoint_of, travel
from tests.contract.storages import NOW, SqlShelf, entry_of, found, open_sqlite, store
from tests.properties import fleets

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Application, EndpointRecord
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

AT = NOW + fleets.HOUR / 4
"""When the candidate is applied: between the dates that are drawn."""
OVER_AT = AT + fleets.HOUR / 60
"""When back-offs end: a plan takes them to end before any date comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fleet under one catalogue, and a candidate."""

    application: Application
    before: tuple[Software, ...]
    after: tuple[Software, ...]
    fleet: list[fleets.Member]


def plannable(endpoint: Endpoint) -> Endpoint:
    """An endpoint without what no rollout has yet, and whose back-offs end in time."""
    attempt = endpoint.attempt
    if attempt is not None and attempt.state is AttemptState.SOAKING:
        attempt = replace(attempt, state=AttemptState.CONFIRMED)
    setbacks = {
        version: replace(setback, retry_at=OVER_AT) if setback.retry_at == NOW + fleets.HOUR else setback
        for version, setback in endpoint.setbacks.items()
    }
    return replace(endpoint, attempt=attempt, setbacks=setbacks)


cases = st.builds(
    Case,
    application=fleets.applications.map(lambda application: replace(application, consent="none")),
    before=fleets.catalogues,
    after=fleets.whole_catalogues,
    fleet=st.lists(
        st.builds(
            fleets.Member,
            endpoint=fleets.endpoints().map(plannable),
            attributes=st.sampled_from(fleets.ATTRIBUTES),
            amount=st.integers(1, 3),
        ),
        min_size=8,
        max_size=12,
    ),
)


def kind_of(endpoint: Endpoint) -> Kind:
    """What a plan looks at in an endpoint."""
    attempt = endpoint.attempt
    installs = attempt is not None and attempt.state is AttemptState.INSTALLING
    setbacks = endpoint.setbacks.items()
    return Kind(
        running=endpoint.running,
        filters=endpoint.filters,
        token_state=endpoint.token_state,
        pinned=endpoint.pinned,
        exhausted=frozenset(version for version, setback in setbacks if setback.exhausted),
        backing_off=frozenset(
            version for version, setback in setbacks if setback.retry_at is not None and setback.retry_at > AT
        ),
        installing=attempt.version if attempt is not None and installs else None,
        origin=attempt.origin if attempt is not None and installs else None,
    )


async def planned(shelf: SqlShelf, entry: Entry, after: tuple[Software, ...], tokens: list[str]) -> Planner:
    """The plan for a candidate that is not stored."""
    candidate = Catalogue.of(after)
    target = max((item.version for item in after if item.servable), default=None)
    planner = Planner(candidate, target, AT)
    asked = [item for item in fleets.FILTERS if item.filter_id in candidate.filters_in_use]
    census = await shelf.storage.census(entry.application.key, asked, AT)
    known = entry_of(entry.application, after, fleets.FILTERS)
    assert census == Counter(kind_of(record.endpoint) for record in await found(shelf, known, tokens))
    for kind, amount in census.items():
        assert amount > 0
        planner.add(kind, amount)
    return planner


async def obey(shelf: SqlShelf, entry: Entry, tokens: list[str]) -> Counter[Edge]:
    """Let every endpoint install whatever it is offered, until time brings nothing more; count the hops."""
    hops: Counter[Edge] = Counter()
    at: datetime | None = AT
    while at is not None:
        records = [record for record in await found(shelf, entry, tokens) if active(record.endpoint)]
        offered = [record for record in records if record.endpoint.offer is not None]
        for record in offered:
            hops[await install(shelf, entry, record, at)] += 1
        if not offered:
            moments = [entry.decide(record.endpoint, at).waits_until for record in records]
            at = min((moment for moment in moments if moment is not None), default=None)
            for record in records if at is not None else ():
                draft = drafts.begin(record)
                drafts.settle(draft, entry, at or AT)
                await store(shelf, entry, draft)
    return hops


def active(endpoint: Endpoint) -> bool:
    return endpoint.token_state is TokenState.ACTIVE


async def install(shelf: SqlShelf, entry: Entry, record: EndpointRecord, at: datetime) -> Edge:
    offer = record.endpoint.offer
    assert offer is not None
    draft = drafts.begin(record)
    fact = Reported(version=offer.version, status_code=200, reason=None, at=at)
    drafts.hear(draft, entry, fact, watermark=2**62, at=at)
    await store(shelf, entry, draft)
    return Edge(record.endpoint.running, offer.version)


def short_of(target: Version | None, catalogue: Catalogue, running: Version | None) -> bool:
    if target is None:
        return False
    item = catalogue.get(running)
    return running is None or running < target or (item is not None and item.recalled)


async def plan_and_obey(shelf: SqlShelf, case: Case, number: int) -> None:
    defined = await shelf.define(fleets.fresh(case.application, number), case.before, fleets.FILTERS)
    newcomers = fleets.newcomers(defined, case.fleet)
    tokens = [draft.before.token for draft in newcomers]
    await store(shelf, defined, *newcomers)
    before = await found(shelf, defined, tokens)
    planner = await planned(shelf, defined, case.after, tokens)
    entry = await shelf.define(defined.application, case.after, fleets.FILTERS)
    await shelf.add_work(entry.application.key, {record.endpoint.running for record in before})
    await fleets.sweep(shelf, entry, fleets.HandClock(at=AT))
    hops = await obey(shelf, entry, tokens)
    after = await found(shelf, entry, tokens)
    forecast = planner.forecast
    event(f"hops: {min(len(hops), 3)}")
    event(f"unreachable: {min(len(forecast.unreachable), 3)}")
    assert hops == forecast.moves
    assert Counter(record.endpoint.running for record in before) == forecast.running
    assert Counter(record.endpoint.running for record in after) == forecast.resting
    target = None if planner.target is None else planner.target.version
    left_behind = [
        record.key
        for record, earlier in zip(after, before, strict=True)
        if short_of(target, entry.catalogue, earlier.endpoint.running)
        and short_of(target, entry.catalogue, record.endpoint.running)
    ]
    assert forecast.unreachable.total() == len(left_behind)


def test_a_plan_and_the_fleet_that_obeys_agree(tmp_path: Path) -> None:
    numbers = count(1)
    with fleets.shared(open_sqlite(tmp_path)) as (runner, shelf):

        @settings(max_examples=20, deadline=None)
        @given(case=cases)
        def check(case: Case) -> None:
            runner.run(plan_and_obey(shelf, case, next(numbers)))

        check()


def hops_of(endpoint: Endpoint, catalogue: Catalogue) -> list[Edge]:
    """The way of one endpoint that obeys, by the engine's own steps."""
    hops: list[Edge] = []
    at: datetime | None = AT
    while at is not None:
        decision = decide(standing(endpoint, catalogue, at), catalogue, at)
        endpoint = changes.replan(endpoint, decision, catalogue, at).endpoint
        offer = endpoint.offer
        if offer is None:
            at = decision.waits_until
            continue
        hops.append(Edge(endpoint.running, offer.version))
        fact = Reported(version=offer.version, status_code=200, reason=None, at=at)
        endpoint = changes.apply(endpoint, fact, catalogue.policy_of, acknowledged=True).endpoint
    return hops


@settings(max_examples=400, deadline=None)
@given(
    endpoint=fleets.endpoints().map(plannable).filter(active),
    software=fleets.whole_catalogues,
    filters=st.sets(st.sampled_from(("lab", "first"))).map(frozenset),
)
def test_a_kind_travels_as_an_endpoint_of_it_does(
    endpoint: Endpoint, software: tuple[Software, ...], filters: frozenset[str]
) -> None:
    catalogue = Catalogue.of(software)
    endpoint = replace(endpoint, filters=filters & catalogue.filters_in_use)
    journey = travel(endpoint_of(kind_of(endpoint), AT), catalogue, AT)
    event(f"hops: {min(len(journey.hops), 3)}")
    event(f"installs: {kind_of(endpoint).installing is not None}, backs off: {bool(kind_of(endpoint).backing_off)}")
    assert list(journey.hops) == hops_of(endpoint, catalogue)
