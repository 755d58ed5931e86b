"""The decision against an oracle that lists every path, over random catalogues."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from hypothesis import event, given
from hypothesis import strategies as st

from orchestrator.domain import graphs, openings, rules
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.bitsets import members
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.decisions import Decider, Outcome, Standing, decide, standing
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.policies import OnClose, RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout, shift
from orchestrator.domain.software import FilterUse, Software, Strategy
from orchestrator.domain.versions import Constraint, Version
from tests.unit.orchestrator.domain.builders import HOUR, NOW

if TYPE_CHECKING:
    from collections.abc import Callable

LATER = NOW + 24 * HOUR
LOOKS = (NOW + HOUR / 2, *(NOW + hours * HOUR for hours in range(1, 30, 4)), LATER + HOUR)
"""Instants at which it is looked whether anything has opened."""
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
HOURS = (4, 8)
"""How long windows are open."""
windows = st.builds(
    lambda hour, duration, zone, on_close: Window(
        cron=f"0 {hour} * * *", duration=timedelta(hours=duration), time_zone=zone, on_close=on_close
    ),
    st.sampled_from((4, 10, 12, 14, 22)),
    st.sampled_from(HOURS),
    st.sampled_from(("UTC", "Asia/Tokyo", None)),
    st.sampled_from(OnClose),
)
stages = st.builds(Stage, percent=st.sampled_from((1, 30, 60))) | st.builds(Stage, filter_id=st.sampled_from(FILTERS))
policies = st.just(RolloutPolicy()) | st.builds(
    RolloutPolicy,
    stages=st.sampled_from(((), ())) | st.lists(stages | st.just(Stage(count=3)), min_size=1, max_size=3).map(tuple),
    window=st.none() | windows,
    consent=st.sampled_from((None, None, None, True, False)),
    end=st.sampled_from((None, None, None, NOW - HOUR, NOW, NOW + HOUR / 2, LATER + HOUR)),
)
rollouts = st.just(Rollout()) | st.builds(
    Rollout,
    # Those that run are drawn more often, or nothing would be open.
    phase=st.sampled_from((*[Phase.RUNNING] * 6, *Phase)),
    stage=st.integers(0, 2),
    members=st.lists(st.frozensets(st.integers(1, 3)), max_size=3).map(tuple),
)


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
        policy=policies,
        rollout=rollouts,
    )


consent_required = st.sampled_from((False, False, True))
# Mostly full catalogues, so that there are paths to choose from.
catalogues = (st.just(list(VERSIONS)) | st.lists(st.sampled_from(VERSIONS), max_size=6, unique=True)).flatmap(
    lambda versions: st.builds(
        Catalogue.of,
        st.tuples(*map(software_of, versions)),
        consent=consent_required,
        application=st.sampled_from(("kettle", "toaster")),
    )
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
    attempt=st.sampled_from((None,) * 9)
    | st.builds(
        Attempt,
        version=st.sampled_from(VERSIONS),
        number=st.just(1),
        sequence=st.just(1),
        origin=st.none(),
        state=st.just(AttemptState.SOAKING),
        offered_at=st.just(NOW - HOUR),
        soaking_at=st.just(NOW - HOUR),
    ),
    cohort=st.integers(0, COHORTS - 1),
    key=st.integers(0, 3),
    zone=st.sampled_from((None, "Asia/Tokyo", "America/New_York", "Mars/Olympus")),
)


@dataclass
class Oracle:
    """The rules, one software and one path at a time, as slow as can be."""

    endpoint: Endpoint
    standing: Standing
    catalogue: Catalogue

    @property
    def software(self) -> tuple[Software, ...]:
        return self.catalogue.software

    def eligible(self, item: Software, *, exhaustion: bool = True) -> bool:
        if item.strategy is Strategy.SUSPENDED or item.recalled_at is not None or not item.has_specification:
            return False
        if item.rollout.phase is Phase.ABORTED or (exhaustion and item.version in self.standing.exhausted):
            return False
        if self.standing.pinned is not None:
            return True
        if item.policy.end is not None and item.policy.end <= NOW:
            return False
        if item.strategy is Strategy.GENERAL:
            return True
        return any(use.filter_id in self.standing.filters for use in item.filters)

    def open(self, item: Software) -> bool:
        soaks = self.endpoint.attempt is not None
        if item.rollout.phase is Phase.PAUSED:
            return False
        if any(version == item.version for version, _ in self.standing.retry_at) or (soaks and not self.recalled):
            return False
        return self.dated(item) and (self.recalled or (self.consented(item) and self.placed(item)))

    def consented(self, item: Software) -> bool:
        asked = self.catalogue.consent if item.policy.consent is None else item.policy.consent
        consent = self.endpoint.consents.get(item.version)
        return not asked or (consent is not None and consent.granted)

    def placed(self, item: Software) -> bool:
        """Whether a stage admits the endpoint, and the window is open; a pin cares for neither."""
        return self.standing.pinned is not None or (self.admitted(item) and self.in_window(item))

    def admitted(self, item: Software) -> bool:
        if not item.policy.stages:
            return True
        rank = (self.endpoint.cohort + shift(self.catalogue.application, item.version)) % COHORTS
        for number, stage in enumerate(item.policy.stages[: item.rollout.stage + 1]):
            taken = item.rollout.members[number] if number < len(item.rollout.members) else frozenset()
            by_rank = stage.percent is not None and rank < stage.percent * COHORTS / 100
            by_rank = by_rank or self.endpoint.key in taken
            if by_rank or stage.filter_id in self.endpoint.filters:
                return True
        return False

    def in_window(self, item: Software) -> bool:
        window = item.policy.window
        if window is None:
            return True
        name = window.time_zone or self.endpoint.zone or "UTC"
        local = NOW.astimezone(ZoneInfo("UTC" if name.startswith("Mars") else name))
        since = timedelta(hours=(local.hour - int(window.cron.split()[1])) % 24, minutes=local.minute)
        return since < window.duration

    def dated(self, item: Software) -> bool:
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
            routes = self.routes([path for path in paths if path[-1].version == max(goals)], max(goals))
            hop = self.hop(routes)
            waiting = Outcome.REFUSED if all(self.refused(path[0]) for path in routes) else Outcome.WAITING
            return (Outcome.OFFER if hop else waiting), hop, max(goals)
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

    def refused(self, item: Software) -> bool:
        """Whether nothing but consent is wanting, apart from when, and it was refused."""
        consent = self.endpoint.consents.get(item.version)
        held = self.standing.pinned is None and not self.admitted(item)
        stopped = self.recalled or self.endpoint.attempt is not None or item.rollout.phase is Phase.PAUSED
        said = consent is not None and not consent.granted
        return said and not self.consented(item) and not (held or stopped)

    def routes(self, paths: list[tuple[Software, ...]], goal: Version) -> list[tuple[Software, ...]]:
        """The paths that stray least from the way to the goal."""
        least: dict[Version | None, int] = {}
        for path in paths:
            least[self.rival(path)] = min(least.get(self.rival(path), 99), self.strays(path, goal))
        return [path for path in paths if self.strays(path, goal) == least[self.rival(path)]]

    def hop(self, routes: list[tuple[Software, ...]]) -> Version | None:
        """Of the routes take the shortest that is open, then the higher."""
        opened = [path for path in routes if self.open(path[0])]
        shortest = min(map(len, opened), default=0)
        return max((path[0].version for path in opened if len(path) == shortest), default=None)

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
    assert (decision.outcome, decision.hop, decision.goal) == Oracle(endpoint, key, catalogue).outcome()


@given(endpoint=endpoints, catalogue=catalogues)
def test_where_all_edges_lead_upwards_the_hop_is_the_open_one_with_the_fewest_hops_left(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    lower = [
        replace(item, upgradable_from=tuple(map(below(item.version), item.upgradable_from)))
        for item in catalogue.software
    ]
    upward = Catalogue.of(lower, consent=catalogue.consent, application=catalogue.application)
    endpoint = replace(endpoint, pinned=None)
    key = standing(endpoint, upward, NOW)
    decision = decide(key, upward, NOW)
    oracle = Oracle(endpoint, key, upward)
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
    oracle = Oracle(endpoint, decision.standing, catalogue)
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
    oracle = Oracle(endpoint, key, catalogue)
    assert [verdict.version for verdict in decision.software] == sorted(catalogue.index, reverse=True)
    direct = {item.version for item in catalogue.edges_from(key.running)}
    for verdict in decision.software:
        item = catalogue.software[catalogue.index[verdict.version]]
        passed = {rule.rule: rule.passed for rule in verdict.rules}
        assert verdict.eligible == (oracle.eligible(item) and passed["pin"])
        assert verdict.open == (verdict.eligible and oracle.open(item))
        assert passed["edge"] == (verdict.version in direct)
    if decision.hop is not None:
        chosen = next(verdict for verdict in decision.software if verdict.version == decision.hop)
        assert chosen.eligible
        assert chosen.open
        assert chosen.reachable
    assert decision.summary


@given(endpoint=endpoints, catalogue=catalogues)
def test_what_is_open_and_the_named_rules_agree(endpoint: Endpoint, catalogue: Catalogue) -> None:
    key = standing(endpoint, catalogue, NOW)
    hops = rules.eligible(key, catalogue, NOW) & catalogue.successors(key.running)
    found = openings.of(hops, key, catalogue, NOW)
    verdicts = {verdict.version: verdict for verdict in decide(key, catalogue, NOW).software}
    for number in members(hops):
        item = catalogue.software[number]
        # Whether it is on the way to a pin was not looked at.
        failed = {rule.rule for rule in verdicts[item.version].rules if not rule.passed} - {"pin"}
        event(" ".join(sorted(failed)) or "open")
        refused = item.version in key.refused
        assert bool(found.open >> number & 1) == (not failed)
        assert bool(found.asking >> number & 1) == (failed == {"consent"} and not refused)
        assert bool(found.refused >> number & 1) == (
            "consent" in failed and refused and failed <= {"consent", "rolloutDate", "backOff", "window"}
        )
        keeps = item.policy.window is not None and item.policy.window.on_close is OnClose.KEEP
        assert bool(found.kept >> number & 1) == (failed == {"window"} and keeps)


@given(endpoint=endpoints, catalogue=catalogues)
def test_nothing_changes_before_the_instant_that_a_waiting_decision_names(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    decision = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    if decision.outcome is not Outcome.WAITING:
        return
    then = decision.waits_until
    if then is None:
        for later in LOOKS:
            assert decide(standing(endpoint, catalogue, later), catalogue, later).outcome is not Outcome.OFFER
        return
    for early in (*(at for at in LOOKS if at < then), then - timedelta(microseconds=1)):
        assert decide(standing(endpoint, catalogue, early), catalogue, early).outcome is not Outcome.OFFER
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
    after = Catalogue.of(after.software, consent=before.consent, application=before.application)
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
