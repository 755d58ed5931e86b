"""A plan says what becomes of a fleet that obeys."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import event, given, settings
from hypothesis import strategies as st

from orchestrator.application import drafts, surveys
from orchestrator.domain import changes, rules
from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.facts import Reported
from orchestrator.domain.journeys import Edge, Traveller
from orchestrator.domain.kinds import Inquiry, Kind
from orchestrator.domain.plans import Planner
from orchestrator.domain.policies import OnClose, RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout, rank
from orchestrator.domain.software import Strategy
from orchestrator.domain.stagings import Place
from tests.contract.storages import NOW, SqlShelf, entry_of, found, open_sqlite, store
from tests.properties import fleets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Application, EndpointRecord
    from orchestrator.domain.endpoints import Endpoint
    from orchestrator.domain.software import Software
    from orchestrator.domain.stagings import Staging
    from orchestrator.domain.versions import Version

AT = NOW + fleets.HOUR / 4
"""When the candidate is applied: between the dates that are drawn."""
OVER_AT = AT + fleets.HOUR / 60
"""When back-offs end: a plan takes them to end before any date comes."""
STAGES: tuple[tuple[Stage, ...], ...] = (
    (),
    (),
    (Stage(percent=30), Stage(percent=100)),
    (Stage(percent=0.01), Stage(filter_id="lab"), Stage(percent=50), Stage(percent=90)),
    (Stage(filter_id="first"), Stage(count=2), Stage(percent=60), Stage(count=12)),
    (Stage(count=5),),
)
WINDOWS = (
    None,
    None,
    Window(cron="30 12 * * *", duration=fleets.HOUR),
    Window(cron="0 12 * * *", duration=fleets.HOUR / 3, on_close=OnClose.WITHDRAW),
    Window(cron="0 21 * * *", duration=fleets.HOUR, time_zone=None),
)
ATTRIBUTES = (*fleets.ATTRIBUTES, '{"site":"lab","timeZone":"Asia/Tokyo"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fleet under one catalogue, and a candidate."""

    application: Application
    before: tuple[Software, ...]
    after: tuple[Software, ...]
    fleet: list[fleets.Member]


def plannable(endpoint: Endpoint) -> Endpoint:
    """An endpoint that does not soak, and whose back-offs end in time."""
    attempt = endpoint.attempt
    if attempt is not None and attempt.state is AttemptState.SOAKING:
        attempt = replace(attempt, state=AttemptState.CONFIRMED)
    setbacks = {
        version: replace(setback, retry_at=OVER_AT) if setback.retry_at == NOW + fleets.HOUR else setback
        for version, setback in endpoint.setbacks.items()
    }
    return replace(endpoint, attempt=attempt, setbacks=setbacks)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Software, ...]:
    """Every version, with stages, windows and phases; most can be had."""
    had = {"strategy": Strategy.GENERAL, "has_specification": True, "recalled_at": None}
    return tuple(
        replace(
            item,
            **(had if draw(st.booleans()) else {}),
            policy=RolloutPolicy(stages=draw(st.sampled_from(STAGES)), window=draw(st.sampled_from(WINDOWS))),
            rollout=Rollout(
                phase=draw(st.sampled_from((*[Phase.RUNNING] * 6, Phase.PAUSED, Phase.PAUSED, Phase.ABORTED))),
                stage=draw(st.integers(0, 1)),
            ),
        )
        for item in draw(fleets.whole_catalogues)
    )


cases = st.builds(
    Case,
    application=fleets.applications.map(lambda application: replace(application, consent="none")),
    before=fleets.catalogues,
    after=candidates(),
    fleet=st.lists(
        st.builds(
            fleets.Member,
            endpoint=fleets.endpoints().map(plannable),
            attributes=st.sampled_from(ATTRIBUTES),
            amount=st.integers(1, 3),
        ),
        min_size=8,
        max_size=12,
    ),
)


def kind_of(endpoint: Endpoint, stages: Iterable[Staging] = ()) -> Kind:
    """What a plan looks at in an endpoint."""
    attempt = endpoint.attempt
    tried = {} if attempt is None else {attempt.state: attempt}
    installs = tried.get(AttemptState.INSTALLING)
    offered = tried.get(AttemptState.OFFERED)
    setbacks = endpoint.setbacks.items()
    places = {staging: staging.first(endpoint) for staging in stages}
    never = frozenset(staging.version for staging, place in places.items() if place > staging.last)
    later = frozenset(staging.version for staging, place in places.items() if place > staging.present)
    return Kind(
        running=endpoint.running,
        filters=endpoint.filters,
        token_state=endpoint.token_state,
        pinned=endpoint.pinned,
        exhausted=frozenset(version for version, setback in setbacks if setback.exhausted),
        backing_off=frozenset(
            version for version, setback in setbacks if setback.retry_at is not None and setback.retry_at > AT
        ),
        offered=None if offered is None else offered.version,
        installing=None if installs is None else installs.version,
        origin=None if installs is None else installs.origin,
        later=later - never,
        never=never,
        zone=endpoint.zone,
    )


def filled(planner: Planner, fleet: Sequence[Endpoint]) -> list[Staging]:
    """The stagings of a planner for a fleet, endpoint by endpoint."""
    known = []
    for staging in planner.stagings:
        while (gap := staging.gap) is not None:
            chosen = [
                Place(place, endpoint.key)
                for endpoint in fleet
                if (place := rank(endpoint.cohort, staging.turned)) >= gap.low
                and endpoint.key not in gap.taken
                and endpoint.filters.isdisjoint(gap.without)
                and planner.belongs(kind_of(endpoint), staging.version)
            ]
            staging = staging.filled(sorted(chosen)[: gap.wanted])  # noqa: PLW2901 - gap by gap
        known.append(staging)
    return known


def entered(software: Iterable[Software], stages: Iterable[Staging]) -> tuple[Software, ...]:
    """The software with whom stages take in written down, as a gatekeeper does."""
    taken = {staging.version: tuple(step.members for step in staging.steps) for staging in stages}
    return tuple(replace(item, rollout=replace(item.rollout, members=taken.get(item.version, ()))) for item in software)


def over(software: Iterable[Software]) -> tuple[Software, ...]:
    """The software with all stages over, and no pause."""
    return tuple(
        replace(
            item,
            rollout=replace(
                item.rollout,
                phase=Phase.ABORTED if item.rollout.aborted else Phase.RUNNING,
                stage=len(item.policy.staging) - 1,
            ),
        )
        for item in software
    )


async def planned(shelf: SqlShelf, entry: Entry, after: tuple[Software, ...], tokens: list[str]) -> Planner:
    """The plan for a candidate that is not stored."""
    candidate = Catalogue.of(after, application=entry.application.name)
    target = max((item.version for item in after if item.servable), default=None)
    planner = Planner(candidate, target, AT, about=fleets.VERSIONS)
    asked = [item for item in fleets.FILTERS if item.filter_id in candidate.filters_in_use]
    await surveys.survey(planner, shelf.storage, entry.application.key, asked, AT)
    return planner


async def check_census(shelf: SqlShelf, entry: Entry, planner: Planner, fleet: Sequence[Endpoint]) -> list[Staging]:
    """Count a fleet by the database and one by one; return the stagings."""
    known = filled(planner, fleet)
    used = planner.catalogue.filters_in_use
    inquiry = Inquiry(
        at=AT,
        filters=tuple(item for item in fleets.FILTERS if item.filter_id in used),
        stagings=tuple(known),
        zoned=planner.catalogue.zoned,
    )
    census = await shelf.storage.census(entry.application.key, inquiry)
    counts = {kind: crowd.endpoints for kind, crowd in census.items()}
    assert counts == Counter(kind_of(endpoint, known) for endpoint in fleet)
    expected: dict[Version, Counter[int]] = {staging.version: Counter() for staging in known if staging.counted}
    for endpoint in fleet:
        for staging in known:
            if staging.counted and planner.comes(kind_of(endpoint, known), staging.version):
                expected[staging.version][staging.first(endpoint)] += 1
    stages = planner.forecast.stages
    assert {version: Counter(dict(enumerate(sizes))) for version, sizes in stages.items()} == expected
    return known


async def obey(shelf: SqlShelf, entry: Entry, tokens: list[str], *, waiting: bool) -> Counter[Edge]:
    """Let every endpoint install whatever it is offered, `waiting` until time brings nothing more; count the hops."""
    hops: Counter[Edge] = Counter()
    at: datetime | None = AT
    while at is not None:
        records = [record for record in await found(shelf, entry, tokens) if active(record.endpoint)]
        offered = [record for record in records if record.endpoint.offer is not None]
        for record in offered:
            hops[await install(shelf, entry, record, at)] += 1
        if not offered:
            moments = [entry.decide(record.endpoint, at).waits_until for record in records] if waiting else []
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


async def apply(shelf: SqlShelf, defined: Entry, software: tuple[Software, ...], tokens: list[str]) -> Entry:
    """Define software, and decide every endpoint anew."""
    entry = await shelf.define(defined.application, software, fleets.FILTERS)
    records = await found(shelf, entry, tokens)
    await shelf.add_work(entry.application.key, {record.endpoint.running for record in records})
    await fleets.sweep(shelf, entry, fleets.HandClock(at=AT))
    return entry


async def plan_and_obey(shelf: SqlShelf, case: Case, number: int) -> None:
    defined = await shelf.define(fleets.fresh(case.application, number), case.before, fleets.FILTERS)
    newcomers = fleets.newcomers(defined, case.fleet)
    tokens = [draft.before.token for draft in newcomers]
    await store(shelf, defined, *newcomers)
    planner = await planned(shelf, defined, case.after, tokens)
    before = await found(shelf, entry_of(defined.application, case.after, fleets.FILTERS), tokens)
    known = await check_census(shelf, defined, planner, [record.endpoint for record in before])
    staged = entered(case.after, known)
    entry = await apply(shelf, defined, staged, tokens)
    applied = await found(shelf, entry, tokens)
    hops = await obey(shelf, entry, tokens, waiting=False)
    entry = await apply(shelf, defined, over(staged), tokens)
    hops += await obey(shelf, entry, tokens, waiting=True)
    after = await found(shelf, entry, tokens)
    forecast = planner.forecast
    event(f"hops: {min(len(hops), 3)}")
    event(f"unreachable: {min(len(forecast.unreachable), 3)}")
    event(f"stages: {min(sum(any(sizes) for sizes in forecast.stages.values()), 2)}")
    assert forecast.first == newly_offered(before, applied)
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


def newly_offered(before: Sequence[EndpointRecord], after: Sequence[EndpointRecord]) -> Counter[Edge]:
    """Offers that were made in between, by what the endpoints run."""
    made: Counter[Edge] = Counter()
    for earlier, record in zip(before, after, strict=True):
        offer = record.endpoint.offer
        if offer is not None and offer.sequence > earlier.endpoint.sequence:
            made[Edge(earlier.endpoint.running, offer.version)] += 1
    return made


def agree_over_cases(opening: AbstractAsyncContextManager[SqlShelf], examples: int) -> None:
    """Compare plan and fleet over so many cases, all in one database."""
    numbers = count(1)
    with fleets.shared(opening) as (runner, shelf):

        @settings(max_examples=examples, deadline=None)
        @given(case=cases)
        def check(case: Case) -> None:
            runner.run(plan_and_obey(shelf, case, next(numbers)))

        check()


def test_a_plan_and_the_fleet_that_obeys_agree(tmp_path: Path) -> None:
    agree_over_cases(open_sqlite(tmp_path), 15)


def run(endpoint: Endpoint, catalogue: Catalogue, *, waiting: bool) -> tuple[Endpoint, list[Edge], set[Version]]:
    """The way of one endpoint that obeys, by the engine's own steps, and what it came to as one of a stage."""
    hops: list[Edge] = []
    staged: set[Version] = set()
    at: datetime | None = AT
    while at is not None:
        decision = decide(standing(endpoint, catalogue, at), catalogue, at)
        endpoint = changes.replan(endpoint, decision, catalogue, at).endpoint
        offer = endpoint.offer
        if offer is None:
            at = decision.waits_until if waiting else None
            continue
        hops.append(Edge(endpoint.running, offer.version))
        pinned_or_rescued = rules.rescued(decision.standing, catalogue) or endpoint.pinned is not None
        staged |= set() if pinned_or_rescued else {offer.version}
        fact = Reported(version=offer.version, status_code=200, reason=None, at=at)
        endpoint = changes.apply(endpoint, fact, catalogue.policy_of, acknowledged=True).endpoint
    return endpoint, hops, staged


def way(
    endpoint: Endpoint, software: tuple[Software, ...], fixed: Mapping[Version, int] | None = None
) -> tuple[list[Edge], set[Version]]:
    """The same as far as it goes at once, and then with all stages over; some software stays in a stage throughout."""
    stay = fixed or {}

    def at(items: tuple[Software, ...]) -> Catalogue:
        return Catalogue.of(
            replace(item, rollout=replace(item.rollout, stage=stay.get(item.version, item.rollout.stage)))
            for item in items
        )

    endpoint, first, staged = run(endpoint, at(software), waiting=False)
    _, second, later = run(endpoint, at(over(software)), waiting=True)
    return first + second, staged | later


@st.composite
def members(draw: st.DrawFn) -> Endpoint:
    """An endpoint of any cohort."""
    endpoint = draw(fleets.endpoints().map(plannable).filter(active))
    filters = frozenset(draw(st.sets(st.sampled_from(("lab", "first")))))
    return replace(endpoint, filters=filters, cohort=draw(st.integers(0, COHORTS - 1)), key=1)


@settings(max_examples=200, deadline=None)
@given(
    endpoint=members(),
    software=candidates(),
    limit=st.integers(1, COHORTS),
    taken=st.sampled_from((1, 2)),
    looked_at=st.sampled_from(fleets.VERSIONS),
)
def test_a_kind_travels_as_an_endpoint_of_it_does(
    endpoint: Endpoint, software: tuple[Software, ...], limit: int, taken: int, looked_at: Version
) -> None:
    planner = Planner(Catalogue.of(software), None, AT, about=fleets.VERSIONS)
    catalogue = planner.catalogue
    endpoint = replace(endpoint, filters=endpoint.filters & catalogue.filters_in_use)
    known = []
    for staging in planner.stagings:
        while staging.gap is not None:
            staging = staging.filled([Place(limit - 1, taken)] * staging.gap.wanted)  # noqa: PLW2901 - gap by gap
        known.append(staging)
    staged = entered(software, known)
    kind = kind_of(endpoint, known)
    journey = Traveller(catalogue, AT).journey(kind)
    event(f"hops: {min(len(journey.hops), 3)}")
    event(f"installs: {kind.installing is not None}, backs off: {bool(kind.backing_off)}, held: {bool(kind.later)}")
    assert list(journey.hops) == way(endpoint, staged)[0]
    # What it is offered already may stay, whatever the stage.
    offered = None if endpoint.offer is None else endpoint.offer.version
    for staging in (staging for staging in known if staging.version != offered):
        version, comes = staging.version, planner.comes(kind, staging.version)
        if comes or version == looked_at:
            own, stages = staging.first(endpoint), range(len(staging.steps))
            admitted = [version in way(endpoint, staged, {version: stage})[1] for stage in stages]
            event(f"admitted: {sum(admitted)} of {len(admitted)}")
            assert admitted == [comes and own <= stage for stage in stages]
