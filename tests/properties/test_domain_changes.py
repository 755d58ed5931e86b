"""One endpoint through any sequence of facts and changes of software: the invariants that always hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.domain.attempts import LEGAL, OPEN, Attempt, AttemptState
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.changes import Change, apply, due_at, replan
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Endpoint, HistoryKind, TokenState
from orchestrator.domain.facts import (
    DeadlinePassed,
    Fact,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)
from orchestrator.domain.policies import Attempts, RolloutPolicy
from tests.properties.test_domain_decisions import FILTERS, FOREIGN, VERSIONS, catalogues, endpoints
from tests.unit.orchestrator.domain.builders import NOW

if TYPE_CHECKING:
    from orchestrator.domain.versions import Version

POLICY = RolloutPolicy(
    attempts=Attempts(max=2, backoff=timedelta(minutes=10), returns=3), installing=timedelta(hours=2)
)
versions = st.sampled_from((*VERSIONS, FOREIGN))
spans = st.sampled_from([timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=2)])
codes = st.sampled_from([200, 204, 299, 100, 199, 300, 404, 500])


def steps_to(before: AttemptState, after: AttemptState) -> bool:
    """Whether legal moves lead from one state to the other, several of them in one step too."""
    return before is after or any(steps_to(state, after) for state in LEGAL[before])


class Life(RuleBasedStateMachine):
    """An endpoint, an engine that replans after everything, and an operator who changes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.acknowledged = False
        self.catalogue = Catalogue.of(())
        self.endpoint = Endpoint(registered_at=NOW)

    @initialize(catalogue=catalogues, running=st.none() | versions)
    def begin(self, catalogue: Catalogue, running: Version | None) -> None:
        self.endpoint = replace(self.endpoint, running=running)
        self.publish(catalogue)

    @rule(catalogue=catalogues)
    def publish(self, catalogue: Catalogue) -> None:
        self.catalogue = Catalogue.of(replace(item, policy=POLICY) for item in catalogue.software)
        self.plan()

    @rule(
        filters=st.frozensets(st.sampled_from(FILTERS)), pinned=st.none() | versions, state=st.sampled_from(TokenState)
    )
    def administer(self, filters: frozenset[str], pinned: Version | None, state: TokenState) -> None:
        self.endpoint = replace(self.endpoint, filters=filters, pinned=pinned, token_state=state)
        self.plan()

    @rule(span=spans)
    def wait(self, span: timedelta) -> None:
        self.now += span
        self.plan()

    @rule()
    def puback(self) -> None:
        self.acknowledged = self.endpoint.offer is not None

    @rule(version=versions, code=codes)
    def report(self, version: Version, code: int) -> None:
        before = self.endpoint.running
        self.step(Reported(version=version, status_code=code, at=self.now))
        assert self.endpoint.running == (version if code // 100 == 2 else before)

    @precondition(lambda self: self.endpoint.attempt is not None)
    @rule(code=codes)
    def report_the_offered(self, code: int) -> None:
        assert self.endpoint.attempt is not None
        self.step(Reported(version=self.endpoint.attempt.version, status_code=code, at=self.now))

    @precondition(lambda self: self.endpoint.running is not None)
    @rule()
    def report_the_running(self) -> None:
        assert self.endpoint.running is not None
        self.step(Reported(version=self.endpoint.running, at=self.now))

    @precondition(lambda self: self.endpoint.offer is not None)
    @rule(percent=st.none() | st.integers(0, 100))
    def progress(self, percent: int | None) -> None:
        assert self.endpoint.offer is not None
        fact = Progressed(version=self.endpoint.offer.version, state="downloading", percent=percent, at=self.now)
        self.unmoved(fact)

    @rule(observe=st.booleans())
    def ask(self, observe: bool) -> None:
        self.unmoved(ObserveAsked(observe=observe, at=self.now))
        assert self.endpoint.observe is observe

    @rule()
    def hear(self) -> None:
        self.unmoved(Heard(at=self.now))
        assert self.endpoint.last_seen_at == self.now

    @rule(version=st.none() | versions)
    def retry(self, version: Version | None) -> None:
        self.unmoved(Retried(version=version, at=self.now))

    @rule()
    def come_to_the_deadline(self) -> None:
        due = due_at(self.endpoint, self.catalogue.policy_of, self.now)
        if due is not None:
            self.now = max(self.now, due)
            self.unmoved(DeadlinePassed(at=self.now))
            again = due_at(self.endpoint, self.catalogue.policy_of, self.now)
            assert again is None or again > self.now

    def unmoved(self, fact: Fact) -> None:
        running = self.endpoint.running
        self.step(fact)
        assert self.endpoint.running == running

    def step(self, fact: Fact) -> None:
        self.follow(apply(self.endpoint, fact, self.catalogue.policy_of, acknowledged=self.acknowledged))
        self.plan()

    def plan(self) -> None:
        decision = decide(standing(self.endpoint, self.catalogue, self.now), self.catalogue, self.now)
        before = self.endpoint
        change = replan(before, decision, self.catalogue, self.now)
        self.follow(change)
        offered = [entry.version for entry in change.entries if entry.kind is HistoryKind.OFFERED]
        assert self.endpoint.sequence == before.sequence + len(offered)
        assert len(offered) <= 1
        if offered:
            self.acknowledged = False
            assert offered == [decision.hop]
        # A second look changes nothing.
        assert replan(self.endpoint, decision, self.catalogue, self.now) == Change(endpoint=self.endpoint)

    def follow(self, change: Change) -> None:
        old, new = self.endpoint.attempt, change.endpoint.attempt
        assert change.endpoint.sequence >= self.endpoint.sequence
        if old is not None and new is not None and old.sequence == new.sequence:
            assert steps_to(old.state, new.state)
            assert old.reached_at is None or new.reached_at == old.reached_at
        self.endpoint = change.endpoint

    @invariant()
    def it_is_never_offered_what_it_runs_or_exhausted(self) -> None:
        offer = self.endpoint.offer
        if offer is not None:
            assert offer.version != self.endpoint.running
            assert offer.sequence == self.endpoint.sequence
            setback = self.endpoint.setbacks.get(offer.version)
            assert setback is None or not setback.exhausted

    @invariant()
    def its_offer_lies_along_an_edge_to_software_that_is_not_recalled(self) -> None:
        offer = self.endpoint.offer
        if offer is None:
            return
        item = self.catalogue.get(offer.version)
        assert item is not None
        assert not item.recalled
        if offer.state is AttemptState.OFFERED:
            assert not item.stopped
            assert item in self.catalogue.edges_from(self.endpoint.running)

    @invariant()
    def instants_of_an_attempt_agree_with_its_state(self) -> None:
        attempt = self.endpoint.attempt
        if attempt is None:
            return
        assert (attempt.settled_at is None) == (attempt.state in OPEN)
        if attempt.state not in (AttemptState.OFFERED, AttemptState.WITHDRAWN):
            assert attempt.reached_at is not None

    @invariant()
    def failures_are_counted_up_to_the_limit(self) -> None:
        for setback in self.endpoint.setbacks.values():
            assert setback.exhausted == (setback.retry_at is None)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

messages = st.one_of(
    st.builds(Heard, at=st.just(NOW)),
    st.builds(ObserveAsked, observe=st.booleans(), at=st.just(NOW)),
    st.builds(Progressed, version=versions, state=st.just("rebooting"), at=st.just(NOW)),
    st.builds(DeadlinePassed, at=st.just(NOW + timedelta(days=9))),
    st.builds(Retried, version=st.none() | versions, at=st.just(NOW)),
    st.builds(Reported, version=versions, status_code=st.sampled_from([100, 199, 300, 404, 500]), at=st.just(NOW)),
)
attempts = st.builds(
    Attempt,
    version=versions,
    number=st.just(1),
    sequence=st.just(3),
    origin=st.none() | versions,
    state=st.sampled_from(AttemptState),
    offered_at=st.just(NOW - timedelta(days=2)),
    reached_at=st.sampled_from((None, NOW - timedelta(days=1))),
    settled_at=st.none(),
)
lives = st.builds(
    lambda endpoint, attempt: replace(endpoint, attempt=attempt, sequence=3), endpoints, st.none() | attempts
)


@given(endpoint=lives, fact=messages, catalogue=catalogues, acknowledged=st.booleans())
def test_invariant_4_only_reports_of_success_move_versions(
    endpoint: Endpoint, fact: Fact, catalogue: Catalogue, *, acknowledged: bool
) -> None:
    after = apply(endpoint, fact, catalogue.policy_of, acknowledged=acknowledged).endpoint
    assert (after.running, after.running_since) == (endpoint.running, endpoint.running_since)
    decision = decide(standing(after, catalogue, NOW), catalogue, NOW)
    assert replan(after, decision, catalogue, NOW).endpoint.running == endpoint.running


@given(endpoint=lives, version=versions, code=st.integers(200, 299), catalogue=catalogues)
def test_invariant_4_every_report_of_success_moves_the_version(
    endpoint: Endpoint, version: Version, code: int, catalogue: Catalogue
) -> None:
    fact = Reported(version=version, status_code=code, at=NOW)
    after = apply(endpoint, fact, catalogue.policy_of, acknowledged=False).endpoint
    assert after.running == version
    # A version that was only asserted runs since the first report of it.
    known = endpoint.running == version and endpoint.running_since is not None
    assert after.running_since == (endpoint.running_since if known else NOW)


@given(endpoint=lives, catalogue=catalogues)
def test_invariant_5_one_offer_whose_sequence_grows_and_that_is_neither_running_nor_exhausted(
    endpoint: Endpoint, catalogue: Catalogue
) -> None:
    decision = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    after = replan(endpoint, decision, catalogue, NOW).endpoint
    offer = after.offer
    if offer is None or offer == endpoint.offer:
        assert after.sequence == endpoint.sequence
        return
    assert offer.sequence == after.sequence == endpoint.sequence + 1
    assert offer.version != endpoint.running
    setback = endpoint.setbacks.get(offer.version)
    assert setback is None or not setback.exhausted


@given(endpoint=lives, catalogue=catalogues)
def test_invariant_6_a_new_offer_moves_along_an_edge_to_open_software(endpoint: Endpoint, catalogue: Catalogue) -> None:
    decision = decide(standing(endpoint, catalogue, NOW), catalogue, NOW)
    offer = replan(endpoint, decision, catalogue, NOW).endpoint.offer
    if offer is None or offer == endpoint.offer:
        return
    assert catalogue.get(offer.version) in catalogue.edges_from(endpoint.running)
    verdict = next(verdict for verdict in decision.software if verdict.version == offer.version)
    assert verdict.open
