"""Random catalogues and fleets in every state that an endpoint can be in, and a storage that many examples share."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

from hypothesis import strategies as st

from orchestrator.application.batches import Settings
from orchestrator.application.counters import RUNS
from orchestrator.application.directory import Directory
from orchestrator.application.parts import Parts
from orchestrator.application.records import REQUIRED, Draft, PushMode
from orchestrator.application.sweeps import Sweeper
from orchestrator.domain.attempts import OPEN, Attempt, AttemptState
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.filters import Filter
from orchestrator.domain.policies import Limits as RolloutLimits
from orchestrator.domain.policies import OnClose, RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint, Version
from orchestrator.persistence.schema import KEY_SPAN
from protocol.payloads import Limits
from protocol.topics import Instances
from tests.contract.storages import APP, NOW, newcomer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.application.editing import EditingStorage
    from orchestrator.application.records import Application
    from protocol.links import Link
    from tests.contract.storages import Shelf

_Shelf = TypeVar("_Shelf")

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SETTINGS = Settings(instances=Instances(), limits=Limits())
VERSIONS = tuple(map(Version.parse, ("1.0.0", "1.1.0", "2.0.0", "3.0.0")))
RUN = (None, *VERSIONS, Version.parse("1.1.0+built.again"), Version.parse("0.5.0"))
"""What endpoints run: nothing known, defined versions, one that differs in build metadata only, a foreign one."""
CONSTRAINTS = (*(version.text for version in VERSIONS), "*", "^1.0.0", "<2.0.0", "0.x || >=2.0.0")
FILTERS = (
    Filter(filter_id="lab", expression="attributes.site == 'lab'"),
    Filter(filter_id="first", expression="attributes.ring == 1 && attributes.beta == true"),
)
ATTRIBUTES = (
    "{}",
    '{"site":"lab"}',
    '{"site":"lab","ring":1,"beta":true}',
    '{"site":"field","ring":1.0,"beta":true}',
    '{"site":1,"ring":true,"beta":1}',
    '{"site":"lab","timeZone":"Asia/Tokyo"}',
    '{"timeZone":"America/New_York"}',
    '{"timeZone":"","ring":1,"beta":true}',
    '{"timeZone":["Asia/Tokyo"]}',
)

uses = st.lists(
    st.builds(
        FilterUse,
        filter_id=st.sampled_from(("lab", "first")),
        rollout_date=st.sampled_from((None, None, NOW - HOUR, NOW + HOUR)),
    ),
    min_size=1,
    max_size=2,
    unique_by=lambda use: use.filter_id,
).map(tuple)


def _software(version: Version) -> st.SearchStrategy[Software]:
    return st.builds(
        Software,
        version=st.just(version),
        upgradable_from=st.lists(st.sampled_from(CONSTRAINTS), min_size=1, max_size=3, unique=True).map(
            lambda texts: tuple(map(Constraint.parse, texts))
        ),
        strategy=st.sampled_from((*[Strategy.GENERAL] * 3, Strategy.TARGETED, Strategy.TARGETED, Strategy.SUSPENDED)),
        filters=uses,
        has_specification=st.sampled_from((True, True, True, False)),
        recalled_at=st.sampled_from((None, None, None, NOW - HOUR)),
        rollout_date=st.sampled_from((None, None, NOW - HOUR, NOW + HOUR)),
    )


catalogues = st.lists(st.sampled_from(VERSIONS), min_size=1, unique=True).flatmap(
    lambda versions: st.tuples(*map(_software, versions))
)
whole_catalogues = st.tuples(*map(_software, VERSIONS))
"""Catalogues that define every version, so that most endpoints have somewhere to go."""
_stages = st.builds(
    lambda share, soak, reports: replace(share, soak=soak, soak_reports=reports),
    st.sampled_from((Stage(percent=20), Stage(percent=60), Stage(percent=100), Stage(count=3), Stage(filter_id="lab"))),
    st.sampled_from((timedelta(), HOUR)),
    st.sampled_from((0, 0, 2)),
)
_windows = st.builds(
    Window,
    # Open all the time, for some minutes more or not any more, not yet, and by the clock of the endpoint.
    cron=st.sampled_from(("* * * * *", "0 12 * * *", "0 11 * * *", "0 20 * * *")),
    duration=st.sampled_from((HOUR / 6, HOUR / 2, 4 * HOUR)),
    time_zone=st.sampled_from(("UTC", None, None, "Asia/Tokyo")),
    on_close=st.sampled_from(OnClose),
)


def _keys(numbers: frozenset[int]) -> frozenset[int]:
    """Those of the endpoints that are stored so many in a row, in memory and in the database's first application."""
    return numbers | {KEY_SPAN + number for number in numbers}


_rollouts = st.builds(
    Rollout,
    phase=st.sampled_from((*[Phase.RUNNING] * 4, *Phase)),
    stage=st.integers(0, 2),
    members=st.lists(st.frozensets(st.integers(1, 12), max_size=4).map(_keys), max_size=3).map(tuple),
)
_policies = st.builds(
    RolloutPolicy,
    stages=st.just(()) | st.lists(_stages, min_size=1, max_size=3).map(tuple),
    window=st.none() | _windows,
    consent=st.sampled_from((None, None, None, True, False)),
    end=st.sampled_from((None, None, None, NOW - HOUR, NOW + HOUR)),
    # Room for everybody.
    limits=st.sampled_from(
        (RolloutLimits(), RolloutLimits(), RolloutLimits(in_progress=1000), RolloutLimits(per_minute=1_000_000))
    ),
)


def rolled(software: tuple[Software, ...]) -> st.SearchStrategy[tuple[Software, ...]]:
    """The same software with rollouts that have come some way."""
    pairs = st.tuples(st.just(RolloutPolicy()) | _policies, st.just(Rollout()) | _rollouts)
    return st.tuples(*[pairs] * len(software)).map(
        lambda drawn: tuple(
            replace(item, policy=policy, rollout=rollout)
            for item, (policy, rollout) in zip(software, drawn, strict=True)
        )
    )


rollouts = (catalogues | whole_catalogues).flatmap(rolled)
"""Catalogues with stages, windows, pauses, ends and consent."""
limits = st.builds(
    RolloutLimits,
    per_minute=st.sampled_from((None, 1, 60, 240)),
    in_progress=st.sampled_from((None, 1, 3, 20)),
)
applications = st.builds(
    lambda push, consent: replace(APP, push=push, consent=consent),
    st.sampled_from((PushMode.RETAINED, PushMode.RETAINED, PushMode.LIVE)),
    st.sampled_from(("none", "none", REQUIRED)),
)


_SOAKED = frozenset({AttemptState.SOAKING, AttemptState.CONFIRMED, AttemptState.REVERTED})


@st.composite
def _attempts(draw: st.DrawFn, running: Version | None) -> Attempt:
    state = draw(st.sampled_from((AttemptState.OFFERED, AttemptState.OFFERED, *AttemptState)))
    reached = draw(st.sampled_from((None, None, NOW - HOUR)))
    healthy = draw(st.sampled_from((None, None, True, False))) if state in _SOAKED else None
    # Those that have been unwell for long have kept no reason.
    unwell = draw(st.sampled_from((None, "too hot"))) if state in RUNS and healthy is False else None
    return Attempt(
        version=draw(st.sampled_from(VERSIONS)),
        number=draw(st.sampled_from((1, 1, 2))),
        sequence=draw(st.integers(1, 9)),
        origin=draw(st.sampled_from((running, running, *RUN))),
        state=state,
        offered_at=NOW - DAY,
        reached_at=reached,
        settled_at=None if state in OPEN or state is AttemptState.SOAKING else NOW - HOUR / 2,
        percent=40 if state is AttemptState.INSTALLING else None,
        progress="installing" if state is AttemptState.INSTALLING else None,
        reason=unwell if state in {*OPEN, *RUNS} else "no room",
        stage=draw(st.sampled_from((None, None, 0, 1))),
        soaking_at=draw(st.sampled_from((NOW - DAY, NOW - HOUR / 2))) if state in _SOAKED else None,
        soak_reports=draw(st.integers(0, 2)) if state in _SOAKED else 0,
        healthy=healthy,
        lapsed=draw(st.sampled_from((False, False, True))),
    )


setbacks = st.dictionaries(
    st.sampled_from(VERSIONS),
    st.sampled_from(
        (
            Setback(failures=1, retry_at=NOW - HOUR, reason="no room"),
            Setback(failures=2, retry_at=NOW + HOUR, reason="no room"),
            Setback(failures=3, exhausted=True, reason="no room"),
        )
    ),
    # Several, so that one of them is often what would be offered.
    min_size=2,
)


consents = st.dictionaries(
    st.sampled_from(VERSIONS),
    st.builds(Consent, granted=st.sampled_from((True, True, False)), at=st.just(NOW - HOUR), reason=st.none()),
    min_size=2,
)


@st.composite
def endpoints(draw: st.DrawFn) -> Endpoint:
    """An endpoint; most have nothing particular."""
    running = draw(st.sampled_from(RUN))
    attempt = draw(st.none() | _attempts(running))
    plain = ("plain",) * 5
    rare = ("deaf", "refused", "pinned", "set back", "set back", "set back", "asked", "asked", "asked")
    particular = draw(st.sampled_from((*plain, *rare)))
    # Nobody is asked for consent who has an offer.
    asked = None if attempt is not None and attempt.state in OPEN else draw(st.sampled_from((None, None, *VERSIONS)))
    return Endpoint(
        running=running,
        running_since=None if running is None else NOW - DAY,
        registered_at=NOW,
        sequence=0 if attempt is None else attempt.sequence,
        attempt=attempt,
        observe=particular != "deaf",
        token_state=draw(st.sampled_from(TokenState)) if particular == "refused" else TokenState.ACTIVE,
        pinned=draw(st.sampled_from(VERSIONS)) if particular == "pinned" else None,
        setbacks=draw(setbacks) if particular == "set back" else {},
        consents=draw(consents) if particular == "asked" else {},
        asked=asked,
        consulted=asked is not None or draw(st.sampled_from((False, False, True))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Endpoints of a fleet that are alike."""

    endpoint: Endpoint
    attributes: str
    amount: int


fleets = st.lists(
    st.builds(Member, endpoint=endpoints(), attributes=st.sampled_from(ATTRIBUTES), amount=st.integers(1, 3)),
    min_size=1,
    max_size=10,
)


def newcomers(entry: Entry, fleet: list[Member]) -> list[Draft]:
    """The endpoints of a fleet as drafts, alike ones not beside each other."""
    drafts = []
    for number in range(3):
        for place, member in enumerate(fleet):
            if number < member.amount:
                draft = newcomer(entry, f"tok{place}-{number}", member.endpoint)
                draft.new_attributes = member.attributes
                drafts.append(draft)
    return drafts


@contextmanager
def shared(opening: AbstractAsyncContextManager[_Shelf]) -> Iterator[tuple[asyncio.Runner, _Shelf]]:
    """One storage and one event loop for all examples of a test; each example has an application of its own."""
    with asyncio.Runner() as runner:
        shelf = runner.run(opening.__aenter__())
        try:
            yield runner, shelf
        finally:
            runner.run(opening.__aexit__(None, None, None))


def fresh(application: Application, number: int) -> Application:
    """An application that is not defined yet."""
    return replace(application, key=0, name=f"app{number}", app_versions=(f"app{number}-v1", f"app{number}-v2"))


@dataclass(kw_only=True)
class HandClock:
    """Time that a test moves."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def suspension(self) -> timedelta:
        return timedelta()


async def sweep(shelf: Shelf, entry: Entry, clock: HandClock) -> None:
    """Work off all work items, with these definitions."""
    parts = Parts(
        # A sweeper speaks to no broker and edits nothing.
        link=cast("Link", None),
        editing=cast("EditingStorage", None),
        storage=shelf.storage,
        directory=Directory([entry]),
        clock=clock,
        settings=SETTINGS,
        partition="test",
        installation="test",
    )
    for work in await shelf.storage.works():
        await Sweeper(parts).work_off(work)
