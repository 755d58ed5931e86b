"""The decision against an oracle that lists every path, over random catalogues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import event, given
from hypothesis import strategies as st

from orchestrator.domain import graphs
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.decisions import Decider, Outcome, Standing, decide, standing
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint, Version
from tests.unit.orchestrator.domain.builders import HOUR, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = NOW + 24 * HOUR
FILTERS = ("canary", "field")
VERSIONS = tuple(map(Version.parse, ("1.0.0", "1.1.0-rc.1", "1.1.0", "1.2.0", "2.0.0", "3.0.0")))
FOREIGN = Version.parse("1.1.5")
CONSTRAINTS = (*(version.text for version in VERSIONS), "*", "^1.0.0", "<2.0.0", ">=1.1.0-rc.1 <1.2.0", "1.x || 3.0.0")

dates = st.sampled_from((None, NOW - HOUR, NOW, NOW + HOUR, NOW + 2 * HOUR))
constraints = st.lists(st.sampled_from(CONSTRAINTS), min_size=1, max_size=4, unique=True).map(
    lambda texts: tuple(map(Constraint.parse, texts))
)
uses = st.lists(st.builds(FilterUse, filter_id=st.sampled_from(FILTERS), rollout_date=dates), max_size=3).map(tuple)
# General software is drawn more often, or hardly any path would be open.
strategies = st.sampled_from((*[Strategy.GENERAL] * 4, Strategy.TARGETED, Strategy.TARGETED, Strategy.SUSPENDED))


def software_of(version: Version) -> st.SearchStrategy[Software]:
    return st.builds(
        Software,
        version=st.just(version),
        upgradable_from=constraints,
        strategy=strategies,
        filters=uses,
        has_specification=st.sampled_from((True, True, True, False)),
        recalled_at=st.sampled_from((None, None, None, NOW - HOUR)),
        rollout_date=dates,
    )


consent_required = st.sampled_from((False, False, True))
# Mostly full catalogues, so that there are paths to choose from.
catalogues = (st.just(list(VERSIONS)) | st.lists(st.sampled_from(VERSIONS), max_size=6, unique=True)).flatmap(
    lambda versions: st.builds(Catalogue.of, st.tuples(*map(software_of, versions)), consent=consent_required)
)
setbacks = st.builds(
    Setback, failures=st.just(1), retry_at=st.sampled_from((None, NOW - HOUR, NOW + HOUR)), exhausted=st.booleans()
)
endpoints = st.builds(
    Endpoint,
    running=st.sampled_from((None, FOREIGN, *VERSIONS)),
    registered_at=st.just(NOW),
    token_state=st.sampled_from((*[TokenState.ACTIVE] * 8, TokenState.SUSPENDED, TokenState.REVOKED)),
    pinned=st.sampled_from((*[None] * 8, FOREIGN, *VERSIONS)),
    setbacks=st.dictionaries(st.sampled_from((*VERSIONS, FOREIGN)), setbacks, max_size=2),
    filters=st.frozensets(st.sampled_from((*FILTERS, "unused"))),
    consents=st.dictionaries(
        st.sampled_from((*VERSIONS, FOREIGN)), st.builds(Consent, granted=st.booleans(), at=st.just(NOW)), max_size=4
    ),
)


@dataclass
class Oracle:
    """The rules, one software and one path at a time, as slow as can be."""

    standing: Standing
    software: tuple[Software, ...]
    consent: bool

    def eligible(self, item: Software, *, exhaustion: bool = True) -> bool:
        if item.strategy is Strategy.SUSPENDED or item.recalled_at is not None or not item.has_specification:
            return False
        if exhaustion and item.version in self.standing.exhausted:
            return False
        if self.standing.pinned is not None or item.strategy is Strategy.GENERAL:
            return True
        return any(use.filter_id in self.standing.filters for use in item.filters)

    def open(self, item: Software) -> bool:
        if self.consent and not self.recalled and item.version not in self.standing.consented:
            return False
        if any(version == item.version for version, _ in self.standing.retry_at):
            return False
        if self.standing.pinned is not None:
            return True
        if item.rollout_date is not None and item.rollout_date > NOW:
            return False
        matching = [use for use in item.filters if use.filter_id in self.standing.filters]
        return item.strategy is Strategy.GENERAL or any(
            use.rollout_date is None or use.rollout_date <= NOW for use in matching
        )

    def paths(self, allowed: list[Software]) -> list[tuple[Software, ...]]:
        found: list[tuple[Software, ...]] = []
        pending: list[tuple[Software, ...]] = [()]
        while pending:
            path = pending.pop()
            last = path[-1].version if path else self.standing.running
            for item in allowed:
                fresh = item not in path and item.version != self.standing.running
                if fresh and any(constraint.matches(last) for constraint in item.upgradable_from):
                    found.append((*path, item))
                    pending.append((*path, item))
        return found

    @cached_property
    def recalled(self) -> bool:
        return any(item.recalled and item.version == self.standing.running for item in self.software)

    def goals(self, paths: list[tuple[Software, ...]]) -> list[Version]:
        running, pinned = self.standing.running, self.standing.pinned
        ends = {path[-1].version for path in paths}
        if pinned is not None:
            return [version for version in ends if version == pinned]
        return [version for version in ends if running is None or self.recalled or version > running]

    def outcome(self) -> tuple[Outcome, Version | None, Version | None]:
        """Return the outcome, the hop and the goal."""
        if not self.standing.active:
            return Outcome.SUSPENDED, None, None
        paths = self.paths([item for item in self.software if self.eligible(item)])
        goals = self.goals(paths)
        if goals:
            hop = self.hop([path for path in paths if path[-1].version == max(goals)], max(goals))
            return (Outcome.OFFER if hop else Outcome.WAITING), hop, max(goals)
        if self.standing.running is None and not self.paths(list(self.software)):
            return Outcome.UNKNOWN_VERSION, None, None
        if self.goals(self.paths([item for item in self.software if self.eligible(item, exhaustion=False)])):
            return Outcome.EXHAUSTED, None, None
        return (Outcome.BLOCKED if self.wanting() else Outcome.UP_TO_DATE), None, None

    def wanting(self) -> bool:
        running, pinned = self.standing.running, self.standing.pinned
        if running is None or self.recalled or (pinned is not None and pinned != running):
            return True
        return any(path[-1].version > running for path in self.paths(list(self.software)))

    def hop(self, paths: list[tuple[Software, ...]], goal: Version) -> Version | None:
        """Of the paths that stray least from the way to the goal, take the shortest that is open, then the higher."""
        least: dict[Version | None, int] = {}
        for path in paths:
            least[self.rival(path)] = min(least.get(self.rival(path), 99), self.strays(path, goal))
        routes = [path for path in paths if self.strays(path, goal) == least[self.rival(path)] and self.open(path[0])]
        shortest = min(map(len, routes), default=0)
        return max((path[0].version for path in routes if len(path) == shortest), default=None)

    def rival(self, path: tuple[Software, ...]) -> Version | None:
        # An unknown version has no place in the order: each of its hops is judged by its own ways on.
        return path[0].version if self.standing.running is None else None

    def strays(self, path: tuple[Software, ...], goal: Version) -> int:
        stations = [*([self.standing.running] if self.standing.running else []), *(item.version for item in path)]
        return sum(not (source < target <= goal or goal <= target < source) for source, target in pairwise(stations))


@given(endpoint=endpoints, catalogue=catalogues)
def test_the_decision_is_that_of_the_oracle(endpoint: Endpoint, catalogue: Catalogue) -> None:
    key = standing(endpoint, catalogue, NOW)
    decision = decide(key, catalogue, NOW)
    event(decision.outcome.value)
    assert (decision.outcome, decision.hop, decision.goal) == Oracle(
        key, catalogue.software, catalogue.consent
    ).outcome()


@given(endpoint=endpoints, catalogue=catalogues)
def test_where_all_edges_lead_upwards_the_hop_is_the_open_one_with_the_fewest_hops_left(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    lower = [
        replace(item, upgradable_from=tuple(map(below(item.version), item.upgradable_from)))
        for item in catalogue.software
    ]
    upward = Catalogue.of(lower, consent=catalogue.consent)
    key = standing(replace(endpoint, pinned=None), upward, NOW)
    decision = decide(key, upward, NOW)
    oracle = Oracle(key, upward.software, upward.consent)
    if decision.goal is not None and not (oracle.recalled and decision.goal < (key.running or decision.goal)):
        paths = list(oracle.paths([item for item in upward.software if oracle.eligible(item)]))
        left = [path for path in paths if path[-1].version == decision.goal and oracle.open(path[0])]
        shortest = min(map(len, left), default=0)
        assert decision.hop == max((path[0].version for path in left if len(path) == shortest), default=None)


def below(version: Version) -> Callable[[Constraint], Constraint]:
    """Return what restricts a constraint to lower releases; `*` and exact higher versions become a plain bound."""

    def restrict(constraint: Constraint) -> Constraint:
        lower = [other.text for other in (*VERSIONS, FOREIGN) if other < version and constraint.matches(other)]
        return Constraint.parse(" || ".join(lower) or "<0.0.1")

    return restrict


@given(endpoint=endpoints, catalogue=catalogues)
def test_the_path_leads_along_edges_through_eligible_software_to_the_goal(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    decision = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    oracle = Oracle(decision.standing, catalogue.software, catalogue.consent)
    at = endpoint.running
    for version in decision.path:
        item = catalogue.get(version)
        assert item is not None
        assert item in catalogue.edges_from(at)
        assert oracle.eligible(item)
        at = version
    assert (at == decision.goal) or not decision.path
    assert bool(decision.path) == (decision.goal is not None)
    assert decision.hop in (None, *decision.path[:1])
    assert len({endpoint.running, *decision.path}) == len(decision.path) + 1


@given(endpoint=endpoints, catalogue=catalogues)
def test_the_named_rules_agree_with_the_decision(endpoint: Endpoint, catalogue: Catalogue) -> None:
    key = standing(endpoint, catalogue, NOW)
    decision = decide(key, catalogue, NOW)
    oracle = Oracle(key, catalogue.software, catalogue.consent)
    assert [verdict.version for verdict in decision.software] == sorted(catalogue.index, reverse=True)
    direct = {item.version for item in catalogue.edges_from(key.running)}
    for verdict in decision.software:
        item = catalogue.software[catalogue.index[verdict.version]]
        rules = {rule.rule: rule.passed for rule in verdict.rules}
        assert verdict.eligible == (oracle.eligible(item) and rules["pin"])
        assert verdict.open == (verdict.eligible and oracle.open(item))
        assert rules["edge"] == (verdict.version in direct)
    if decision.hop is not None:
        chosen = next(verdict for verdict in decision.software if verdict.version == decision.hop)
        assert chosen.eligible
        assert chosen.open
        assert chosen.reachable
    assert decision.summary


@given(endpoint=endpoints, catalogue=catalogues)
def test_nothing_changes_before_the_instant_that_a_waiting_decision_names(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    decision = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    if decision.outcome is not Outcome.WAITING:
        return
    if decision.waits_until is None:
        assert catalogue.consent
        return
    early = decision.waits_until - timedelta(microseconds=1)
    assert decide(standing(endpoint, catalogue, early), catalogue, early).outcome is Outcome.WAITING
    then = decision.waits_until
    assert decide(standing(endpoint, catalogue, then), catalogue, then).outcome is Outcome.OFFER


@given(catalogue=catalogues, seen=st.lists(st.tuples(endpoints, st.integers(0, 4)), max_size=12))
def test_a_decider_remembers_nothing_that_decide_would_not_say(
    catalogue: Catalogue, seen: list[tuple[Endpoint, int]]
) -> None:
    decider = Decider(catalogue)
    for endpoint, halves in seen:
        now = NOW - HOUR + halves * HOUR / 2
        fresh = decide(standing(endpoint, catalogue, now), catalogue, now)
        assert decider.decide(endpoint, now) == fresh


@given(endpoint=endpoints, catalogue=catalogues, data=st.data())
def test_no_cycles_whichever_hops_are_open_when(endpoint: Endpoint, catalogue: Catalogue, data: st.DataObject) -> None:
    endpoint = replace(endpoint, setbacks={}, token_state=TokenState.ACTIVE)
    visited = [endpoint.running]
    for _ in range(2 * len(VERSIONS)):
        delayed = data.draw(st.frozensets(st.sampled_from(VERSIONS), max_size=3))
        endpoint = replace(endpoint, setbacks={version: Setback(failures=1, retry_at=LATER) for version in delayed})
        decision = decide(standing(endpoint, catalogue, LATER - HOUR), catalogue, LATER - HOUR)
        if decision.hop is None and not delayed:
            break
        if decision.hop is not None:
            assert decision.hop not in visited
            visited.append(decision.hop)
            endpoint = replace(endpoint, running=decision.hop)


@given(endpoint=endpoints, before=catalogues, after=catalogues)
def test_whom_a_change_does_not_concern_keeps_the_decision(
    endpoint: Endpoint, before: Catalogue, after: Catalogue
) -> None:
    after = Catalogue.of(after.software, consent=before.consent)
    if endpoint.running in graphs.concerned(before, after, [*VERSIONS, FOREIGN]):
        return
    old = decide(standing(endpoint, before, NOW), before, NOW)
    new = decide(standing(endpoint, after, NOW), after, NOW)
    assert (old.outcome, old.hop, old.goal, old.path) == (new.outcome, new.hop, new.goal, new.path)


@given(endpoint=endpoints, catalogue=catalogues)
def test_whom_a_date_does_not_concern_keeps_the_decision(endpoint: Endpoint, catalogue: Catalogue) -> None:
    opening = catalogue.opening_between(NOW, LATER)
    if endpoint.setbacks or endpoint.running in graphs.concerned_by(catalogue, opening, [*VERSIONS, FOREIGN]):
        return
    old = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    new = decide(standing(endpoint, catalogue, LATER), catalogue, LATER)
    assert (old.outcome, old.hop, old.goal) == (new.outcome, new.hop, new.goal)
