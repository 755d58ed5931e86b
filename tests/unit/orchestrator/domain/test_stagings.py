"""Whom each stage admits first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain import stagings
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.cohorts import COHORTS
from orchestrator.domain.endpoints import Endpoint
from orchestrator.domain.policies import RolloutPolicy, Stage
from orchestrator.domain.rollouts import Rollout, rank, shift
from orchestrator.domain.stagings import Gap, Place, Reach, Staging, Step
from tests.unit.orchestrator.domain.builders import NOW, general, suspended, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

TWO = v("2.0.0")
NOBODY: frozenset[str] = frozenset()
PER_CENT = COHORTS // 100


def staged(*stages: Stage, rollout: Rollout | None = None) -> Software:
    return replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(stages=stages), rollout=rollout or Rollout())


def of(software: Software, *, counted: bool = True) -> list[Staging]:
    return stagings.of(Catalogue.of([software], application="kettle"), [TWO] if counted else [])


def one(*stages: Stage, rollout: Rollout | None = None, counted: bool = True) -> Staging:
    (found,) = of(staged(*stages, rollout=rollout), counted=counted)
    return found


def test_a_staging_turns_the_order_as_the_decision_does() -> None:
    assert one(Stage(percent=1)).turned == shift("kettle", TWO)


def places(*ranks: int) -> list[Place]:
    """Endpoints of these ranks; their keys are the ranks and one."""
    return [Place(rank, rank + 1) for rank in ranks]


def test_percentages_are_ranks_and_hold_one_endpoint_at_least() -> None:
    staging = one(Stage(percent=1), Stage(percent=100))
    assert staging.steps == (Step(PER_CENT, None, 1, own=True), Step(COHORTS))
    assert staging.gap == Gap(0, 1, NOBODY)
    assert staging.filled(places(PER_CENT - 1)).steps == (Step(PER_CENT), Step(COHORTS))
    assert staging.filled(places(PER_CENT)).steps == (Step(PER_CENT, members=frozenset({PER_CENT + 1})), Step(COHORTS))
    assert staging.filled([]).gap is None


def test_a_percentage_holds_one_that_no_earlier_stage_has() -> None:
    staging = one(Stage(percent=1), Stage(filter_id="lab"), Stage(percent=2), Stage(percent=3)).filled(places(70_000))
    assert staging.gap == Gap(PER_CENT, 1, frozenset({"lab"}), frozenset({70_001}))
    staging = staging.filled(places(80_000))
    assert staging.gap == Gap(2 * PER_CENT, 1, frozenset({"lab"}), frozenset({70_001, 80_001}))
    staging = staging.filled([])
    assert [step.limit for step in staging.steps] == [PER_CENT, 0, 2 * PER_CENT, 3 * PER_CENT]
    assert [sorted(step.members) for step in staging.steps] == [[70_001], [], [80_001], []]


def test_numbers_are_of_the_lowest_ranks_those_of_earlier_stages_included() -> None:
    staging = one(Stage(percent=1), Stage(filter_id="lab"), Stage(count=3)).filled(places(0))
    assert staging.gap == Gap(0, 3, NOBODY)
    assert staging.filled(places(0, 7, 30_000, 40_000)).steps[2] == Step(0, members=frozenset({1, 8, 30_001}))
    assert staging.filled(places(0, 7)).steps[2] == Step(0, members=frozenset({1, 8}))
    assert staging.filled([]).steps[2] == Step(0)


def test_a_number_is_filled_up_beside_whom_it_and_earlier_stages_have_taken_in() -> None:
    stages = Stage(count=2), Stage(count=5), Stage(count=6)
    staging = one(*stages, rollout=Rollout(stage=1, members=(frozenset({7}), frozenset({8, 9}))))
    assert staging.gap == Gap(0, 2, NOBODY, frozenset({7, 8, 9}))
    staging = staging.filled(places(0, 1, 2))
    assert [sorted(step.members) for step in staging.steps] == [[7], [1, 2, 7, 8, 9], []]
    assert staging.gap == Gap(0, 1, NOBODY, frozenset({1, 2, 7, 8, 9}))


def test_numbers_that_earlier_stages_have_filled_up_want_nobody() -> None:
    staging = one(Stage(percent=1), Stage(count=1), rollout=Rollout(members=(frozenset({7}),)))
    assert staging.gap == Gap(0, 0, NOBODY, frozenset({7}))
    assert staging.filled(places(0)).steps[1] == Step(0, members=frozenset({7}))


def test_what_is_known_is_not_filled() -> None:
    staging = one(Stage(filter_id="lab"), Stage(percent=100))
    assert staging.gap is None
    assert staging.filled(places(1)) is staging


def test_a_stage_that_was_entered_keeps_whom_it_has_taken_in() -> None:
    stages = (Stage(count=5), Stage(percent=1), Stage(percent=2), Stage(percent=100))
    five, last = frozenset(range(5)), frozenset({7})
    found = one(*stages, rollout=Rollout(stage=2, members=(five, frozenset({9}), last)))
    assert found.steps == (
        Step(0, members=five),
        Step(PER_CENT, members=frozenset({9})),
        Step(2 * PER_CENT, members=last),
        Step(COHORTS),
    )
    assert found.present == 2


def test_the_first_stage_that_admits_is_an_endpoints_stage() -> None:
    staging = one(Stage(percent=1), Stage(filter_id="lab"), Stage(percent=50))
    staging = staging.filled(places(0)).filled(places(PER_CENT))
    turned = staging.turned

    def first(place: int, *filters: str) -> int:
        cohort = (place - turned) % COHORTS
        assert rank(cohort, turned) == place
        return staging.first(Endpoint(registered_at=NOW, cohort=cohort, filters=frozenset(filters)))

    assert [first(0), first(PER_CENT - 1, "lab"), first(PER_CENT, "lab")] == [0, 0, 1]
    assert [first(PER_CENT), first(50 * PER_CENT - 1), first(50 * PER_CENT)] == [2, 2, 3]
    assert first(50 * PER_CENT, "lab") == 1


def test_a_reach_is_of_all_stages_up_to_one() -> None:
    staging = one(Stage(percent=2), Stage(filter_id="lab"), Stage(count=3))
    staging = staging.filled(places(1)).filled(places(1, 2, 3))
    assert staging.reach(0) == Reach(2 * PER_CENT, NOBODY)
    assert staging.reach(2) == Reach(2 * PER_CENT, frozenset({"lab"}), frozenset({2, 3, 4}))
    assert not staging.reach(2).everybody
    taken = one(Stage(percent=1), Stage(percent=10)).filled(places(5 * PER_CENT))
    assert taken.reach(0) == Reach(PER_CENT, NOBODY, frozenset({5 * PER_CENT + 1}))
    assert taken.reach(1) == Reach(10 * PER_CENT, NOBODY, frozenset({5 * PER_CENT + 1}))


def test_what_admits_everybody_matters_only_where_it_is_counted() -> None:
    over = staged(Stage(percent=1), Stage(percent=100), rollout=Rollout(stage=1))
    assert of(over, counted=False) == []
    assert len(of(over)) == 1
    assert of(general("2.0.0")) == []
    assert of(suspended("2.0.0"), counted=False) == []


def test_what_is_not_counted_needs_nobody_of_stages_to_come() -> None:
    stages = (Stage(count=1), Stage(count=7), Stage(percent=100))
    entered = Rollout(members=(frozenset({3}),))
    assert one(*stages, counted=False).filled(places(2)).gap is None
    assert one(*stages, counted=False, rollout=entered).gap is None
    assert one(*stages[:2], counted=False, rollout=entered).gap == Gap(0, 6, NOBODY, frozenset({3}))


def test_a_rollout_with_fewer_stages_than_before_is_in_its_last_one() -> None:
    assert one(Stage(percent=1), Stage(percent=2), rollout=Rollout(stage=5)).present == 1


def test_of_very_many_stages_those_of_the_highest_versions_are_counted() -> None:
    stages = tuple(Stage(count=number) for number in range(1, 401))
    many = [replace(staged(*stages), version=v(f"{major}.0.0")) for major in (1, 2, 3)]
    found = stagings.of(Catalogue.of(many), [item.version for item in many])
    assert [staging.counted for staging in found] == [False, True, True]
