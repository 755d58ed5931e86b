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
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.decisions import decide, standing
from orchestrator.domain.endpoints import Endpoint, HistoryKind, TokenState
from orchestrator.domain.facts import (
    Consented,
    DeadlinePassed,
    Fact,
    HealthReported,
    Heard,
    ObserveAsked,
    Progressed,
    Reported,
    Retried,
)
from orchestrator.domain.policies import Attempts, Limits
from orchestrator.domain.rules import rescued
from tests.properties.test_domain_decisions import FILTERS, FOREIGN, VERSIONS, catalogues, endpoints, rollouts
from tests.unit.orchestrator.domain.builders import MINUTE, NOW

if TYPE_CHECKING:
    from orchestrator.domain.policies import Stage
    from orchestrator.domain.rollouts import Rollout
    from orchestrator.domain.software import Software
    from orchestrator.domain.versions import Version

versions = st.sampled_from((*VERSIONS, FOREIGN))
spans = st.sampled_from([timedelta(seconds=1), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=2)])
codes = st.sampled_from([200, 204, 299, 100, 199, 300, 404, 500])


soaks = st.sampled_from([(timedelta(), 0), (timedelta(), 2), (10 * MINUTE, 0), (timedelta(hours=2), 2)])


def steps_to(before: AttemptState, after: AttemptState) -> bool:
    """Whether one legal move leads from one state to the other, or the two of a confirmation without a soak."""
    confirmed = after is AttemptState.CONFIRMED and AttemptState.SOAKING in LEGAL[before]
    return before is after or after in LEGAL[before] or confirmed


def tried(item: Software, soak: tuple[timedelta, int], *, slots: bool) -> Software:
    """A software with short terms, whose stages soak alike."""
    policy = replace(
        item.policy,
        stages=tuple(replace(stage, soak=soak[0], soak_reports=soak[1]) for stage in item.policy.staging),
        attempts=Attempts(max=2, backoff=10 * MINUTE, returns=3),
        installing=timedelta(hours=2),
        limits=Limits(in_progress=5 if slots else None),
    )
    return replace(item, policy=policy)


class Life(RuleBasedStateMachine):
    """An endpoint, an engine that replans after everything, and an operator who changes everything."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.acknowledged = False
        self.room = True
        self.catalogue = Catalogue.of(())
        self.endpoint = Endpoint(registered_at=NOW)

    @initialize(catalogue=catalogues, running=st.none() | versions, soak=soaks, cohort=st.integers(0, COHORTS - 1))
    def begin(self, catalogue: Catalogue, running: Version | None, soak: tuple[timedelta, int], cohort: int) -> None:
        self.endpoint = replace(self.endpoint, running=running, cohort=cohort)
        self.publish(catalogue, soak=soak, slots=True)

    @rule(catalogue=catalogues, soak=soaks, slots=st.booleans())
    def publish(self, catalogue: Catalogue, soak: tuple[timedelta, int], *, slots: bool) -> None:
        self.catalogue = Catalogue.of(
            (tried(item, soak, slots=slots) for item in catalogue.software),
            consent=catalogue.consent,
            application=catalogue.application,
        )
        self.plan()

    @rule(version=st.sampled_from(VERSIONS), rollout=rollouts)
    def roll(self, version: Version, rollout: Rollout) -> None:
        software = (
            replace(item, rollout=rollout) if item.version == version else item for item in self.catalogue.software
        )
        self.catalogue = Catalogue.of(software, consent=self.catalogue.consent, application=self.catalogue.application)
        self.plan()

    @rule(
        filters=st.frozensets(st.sampled_from(FILTERS)), pinned=st.none() | versions, state=st.sampled_from(TokenState)
    )
    def administer(self, filters: frozenset[str], pinned: Version | None, state: TokenState) -> None:
        self.endpoint = replace(self.endpoint, filters=filters, pinned=pinned, token_state=state)
        self.plan()

    @rule(room=st.booleans())
    def crowd(self, room: bool) -> None:
        self.room = room
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

    @rule(healthy=st.booleans(), version=st.none() | versions)
    def tell_its_health(self, healthy: bool, version: Version | None) -> None:
        before = self.endpoint.attempt
        self.unmoved(HealthReported(healthy=healthy, version=version, at=self.now))
        after = self.endpoint.attempt
        if before is not None and after is not None and before.healthy is not after.healthy:
            assert before.version == self.endpoint.running
            assert version in (None, before.version)

    @rule(version=versions, granted=st.booleans())
    def consent(self, version: Version, granted: bool) -> None:
        self.unmoved(Consented(version=version, granted=granted, at=self.now))

    @precondition(lambda self: self.endpoint.asked is not None)
    @rule(granted=st.booleans())
    def answer(self, granted: bool) -> None:
        asked = self.endpoint.asked
        assert asked is not None
        self.unmoved(Consented(version=asked, granted=granted, at=self.now))
        assert self.endpoint.asked != asked

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
        before = self.endpoint.attempt
        self.follow(apply(self.endpoint, fact, self.catalogue.policy_of, acknowledged=self.acknowledged))
        after = self.endpoint.attempt
        if before is not None and after is not None and after.state is AttemptState.CONFIRMED is not before.state:
            self.confirmed(before, after)
        self.plan()

    def stage_of(self, attempt: Attempt) -> Stage | None:
        return None if attempt.stage is None else self.catalogue.policy_of(attempt.version).stage(attempt.stage)

    def confirmed(self, before: Attempt, after: Attempt) -> None:
        """Only staying on the version for its soak, and saying so as often as is asked, confirms."""
        stage = self.stage_of(after)
        if before.state is not AttemptState.SOAKING:
            assert stage is None or (not stage.soak and not stage.soak_reports)
        elif stage is not None:
            assert before.soaking_at is not None
            assert self.now >= before.soaking_at + stage.soak
            assert after.soak_reports >= stage.soak_reports

    def plan(self) -> None:
        decision = decide(standing(self.endpoint, self.catalogue, self.now), self.catalogue, self.now)
        before = self.endpoint
        change = replan(before, decision, self.catalogue, self.now, lambda _, __: self.room)
        self.follow(change)
        offered = [entry.version for entry in change.entries if entry.kind is HistoryKind.OFFERED]
        assert self.endpoint.sequence == before.sequence + len(offered)
        assert len(offered) <= 1
        assert change.held is None or (not self.room and change.held == decision.hop)
        if offered:
            self.acknowledged = False
            assert offered == [decision.hop]
            assert self.room
            soaked = before.attempt is not None and before.attempt.state is AttemptState.SOAKING
            assert not soaked or rescued(decision.standing, self.catalogue)
        # A second look changes nothing.
        again = replan(self.endpoint, decision, self.catalogue, self.now, lambda _, __: self.room)
        assert again == Change(endpoint=self.endpoint, held=change.held)
        offer = self.endpoint.offer
        if offer is not None and offer.state is AttemptState.OFFERED:
            assert offer.version in {decision.hop, *decision.kept}

    def follow(self, change: Change) -> None:
        old, new = self.endpoint.attempt, change.endpoint.attempt
        assert change.endpoint.sequence >= self.endpoint.sequence
        if old is not None and new is not None and old.sequence == new.sequence:
            assert steps_to(old.state, new.state)
            assert old.reached_at is None or new.reached_at == old.reached_at
            assert new.lapsed >= old.lapsed
            assert new.stage == old.stage
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
            assert not item.rollout.held
            assert item in self.catalogue.edges_from(self.endpoint.running)

    @invariant()
    def instants_of_an_attempt_agree_with_its_state(self) -> None:
        attempt = self.endpoint.attempt
        if attempt is None:
            return
        assert (attempt.settled_at is None) == (attempt.state in {*OPEN, AttemptState.SOAKING})
        assert attempt.soaking_at is not None or attempt.state is not AttemptState.SOAKING
        if attempt.state not in (AttemptState.OFFERED, AttemptState.WITHDRAWN):
            assert attempt.reached_at is not None

    @invariant()
    def a_slot_is_held_by_an_open_attempt_that_was_reached_or_may_still_be_in_time(self) -> None:
        attempt = self.endpoint.attempt
        if attempt is not None and attempt.holds_slot:
            assert attempt.state in OPEN
            assert attempt.reached_at is not None or not attempt.lapsed

    @invariant()
    def who_is_asked_for_consent_has_no_offer_and_was_consulted(self) -> None:
        asked = self.endpoint.asked
        if asked is not None:
            assert self.endpoint.offer is None
            assert self.endpoint.consulted
            assert asked not in self.endpoint.consents
            assert asked != self.endpoint.running

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
    st.builds(HealthReported, healthy=st.booleans(), version=st.none() | versions, at=st.just(NOW)),
    st.builds(Consented, version=versions, granted=st.booleans(), at=st.just(NOW)),
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
    stage=st.sampled_from((None, 0, 1)),
    soaking_at=st.just(NOW - timedelta(hours=12)),
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
