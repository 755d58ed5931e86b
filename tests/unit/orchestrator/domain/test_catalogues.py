"""Catalogues: edges, conflicts, dates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.catalogues import Catalogue, Restriction, VersionConflict
from orchestrator.domain.endpoints import Endpoint
from orchestrator.domain.policies import DEFAULT_POLICY, Attempts, Limits, RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout, shift
from tests.unit.orchestrator.domain.builders import (
    DAY,
    HOUR,
    NOW,
    catalogue,
    general,
    recalled,
    suspended,
    targeted,
    use,
    v,
)

if TYPE_CHECKING:
    from orchestrator.domain.software import Software


def versions(found: tuple[Software, ...]) -> list[str]:
    return [item.version.text for item in found]


def test_software_is_numbered_by_ascending_precedence() -> None:
    made = catalogue(general("1.10.0"), general("1.2.0"), general("1.2.0-rc.1"))
    assert versions(made.software) == ["1.2.0-rc.1", "1.2.0", "1.10.0"]
    assert made.index == {v("1.2.0-rc.1"): 0, v("1.2.0"): 1, v("1.10.0"): 2}
    assert made.place(v("1.3.0")) == 2
    assert made.place(v("1.2.0")) == 1


def test_definitions_that_differ_in_build_metadata_only_are_a_conflict() -> None:
    with pytest.raises(VersionConflict) as caught:
        catalogue(general("1.0.0+a"), general("1.0.0+b"))
    assert {caught.value.present.text, caught.value.given.text} == {"1.0.0+a", "1.0.0+b"}


def test_a_version_may_be_put_again_only_as_it_was_written() -> None:
    made = catalogue(general("1.0.0+a"))
    made.check_conflict(v("1.0.0+a"))
    made.check_conflict(v("1.0.1"))
    with pytest.raises(VersionConflict):
        made.check_conflict(v("1.0.0"))


def test_edges_lead_from_exact_versions_and_ranges_defined_or_not() -> None:
    made = catalogue(general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "^1.0.0"), general("3.0.0", "1.5.0"))
    assert versions(made.edges_from(v("1.0.0"))) == ["1.1.0", "2.0.0"]
    assert versions(made.edges_from(v("1.0.0+build"))) == ["1.1.0", "2.0.0"]
    assert versions(made.edges_from(v("1.5.0"))) == ["2.0.0", "3.0.0"]
    assert versions(made.edges_from(v("1.0.1-rc.1"))) == []
    assert versions(made.edges_from(v("2.0.0"))) == []


def test_only_the_star_leads_from_an_unknown_version() -> None:
    made = catalogue(general("1.0.0", "*"), general("2.0.0", "x"), general("3.0.0"))
    assert versions(made.edges_from(None)) == ["1.0.0"]
    assert versions(made.edges_from(v("3.0.0-rc.1"))) == ["1.0.0"]


def test_no_edge_leads_from_a_version_to_itself() -> None:
    made = catalogue(general("1.0.0", "*"), general("2.0.0", "*", "2.0.0"))
    assert versions(made.edges_from(v("2.0.0"))) == ["1.0.0"]
    assert versions(made.edges_from(v("2.0.0+other"))) == ["1.0.0"]


def test_many_foreign_versions_do_not_grow_the_memory_without_bound() -> None:
    made = catalogue(general("1.0.0", "<1.0.0"))
    for number in range(5000):
        assert made.successors(v(f"0.{number}.0")) == 1
    assert len(made._foreign) <= 4096


def test_filters_in_use_are_those_that_targeted_software_lists() -> None:
    stale = replace(general("2.0.0"), filters=(use("stale"),))
    made = catalogue(targeted("1.0.0", filters=[use("a"), use("b")]), stale)
    assert made.filters_in_use == {"a", "b"}
    assert made.targeted(frozenset({"a"})) == 1
    assert made.targeted(frozenset({"stale"})) == 0


def test_the_next_date_is_the_first_after_now_that_takes_effect() -> None:
    made = catalogue(
        general("1.0.0", rollout_date=NOW),
        general("1.1.0", rollout_date=NOW + DAY),
        targeted("1.2.0", filters=[use("a", NOW + HOUR), use("b")]),
        replace(suspended("1.3.0"), rollout_date=NOW + HOUR / 2),
        replace(recalled("1.4.0"), rollout_date=NOW + HOUR / 2),
        replace(general("1.5.0"), filters=(use("a", NOW + HOUR / 2),)),
    )
    assert made.next_date_after(NOW - HOUR) == NOW
    assert made.next_date_after(NOW) == NOW + HOUR
    assert made.next_date_after(NOW + HOUR) == NOW + DAY
    assert made.next_date_after(NOW + DAY) is None
    assert made.opening_between(NOW, NOW + HOUR) == {v("1.2.0")}
    assert made.opening_between(NOW - HOUR, NOW) == {v("1.0.0")}


def test_the_policy_of_a_version_that_is_gone_is_the_default() -> None:
    policy = RolloutPolicy(attempts=Attempts(max=1))
    made = catalogue(replace(general("1.0.0"), policy=policy))
    assert made.policy_of(v("1.0.0")) is policy
    assert made.policy_of(v("2.0.0")) is DEFAULT_POLICY


def test_servable_and_general_leave_out_what_is_stopped_or_has_no_specification() -> None:
    made = catalogue(
        general("1.0.0"), general("1.1.0", given=False), suspended("1.2.0"), recalled("1.3.0"), targeted("1.4.0")
    )
    assert versions(made.among(made.servable)) == ["1.0.0", "1.4.0"]
    assert versions(made.among(made.general)) == ["1.0.0"]


def test_an_empty_catalogue_answers_everything() -> None:
    empty = Catalogue.of(())
    assert empty.edges_from(None) == empty.edges_from(v("1.0.0")) == ()
    assert empty.next_date_after(NOW) is None
    assert empty.get(None) is None
    assert empty.filters_in_use == frozenset()


@pytest.mark.parametrize("text", ["1.x", ">=1.0.0-rc.1 <1.1.0", "<1.1.0 || 2.0.0", "*", "1.1.0-rc.1", "^1.1.0-rc.1"])
def test_bisection_finds_what_matching_one_by_one_finds(text: str) -> None:
    names = ["1.0.0-alpha", "1.0.0-rc.1", "1.0.0", "1.1.0-rc.1", "1.1.0", "2.0.0"]
    made = catalogue(*map(general, names), general("9.0.0", text))
    matching = [name for name in names if made.software[-1].upgradable_from[0].matches(v(name))]
    assert [name for name in names if made.software[-1] in made.edges_from(v(name))] == matching


def with_policy(item: Software, policy: RolloutPolicy, rollout: Rollout | None = None) -> Software:
    return replace(item, policy=policy, rollout=rollout or item.rollout)


STAGED = RolloutPolicy(stages=(Stage(percent=1), Stage(filter_id="lab"), Stage(percent=100)))
NOON = Window(cron="0 11 * * *", duration=4 * HOUR)


def test_filters_of_stages_are_in_use_whatever_the_strategy() -> None:
    assert catalogue(with_policy(general("1.0.0"), STAGED)).filters_in_use == {"lab"}


def test_software_whose_stages_do_not_admit_everybody_is_restricted() -> None:
    made = Catalogue.of(
        [
            with_policy(general("1.0.0"), STAGED),
            general("1.1.0"),
            with_policy(general("1.2.0"), STAGED, Rollout(stage=1, members=(frozenset({7}),))),
            with_policy(general("1.3.0"), STAGED, Rollout(stage=2)),
            with_policy(suspended("1.4.0"), STAGED),
            with_policy(general("1.5.0"), STAGED, Rollout(phase=Phase.ABORTED)),
        ],
        application="kettle",
    )
    assert made.restrictions == [
        Restriction(0, shift("kettle", v("1.0.0")), 10_000, frozenset()),
        Restriction(2, shift("kettle", v("1.2.0")), 10_000, frozenset({"lab"}), frozenset({7})),
    ]
    assert made.particular
    assert not catalogue(general("1.0.0")).particular


@pytest.mark.parametrize(
    ("cohort", "filters", "admitted"),
    [(900_005, set(), True), (900_015, set(), False), (900_015, {"lab", "other"}, True), (899_999, {"other"}, False)],
)
def test_a_restriction_admits_low_ranks_and_whom_its_filters_match(
    cohort: int, filters: set[str], admitted: bool
) -> None:
    restriction = Restriction(number=0, turned=100_000, limit=10, filters=frozenset({"lab"}))
    assert restriction.admits(Endpoint(registered_at=NOW, cohort=cohort, filters=frozenset(filters))) is admitted


@pytest.mark.parametrize(("key", "admitted"), [(0, False), (76, False), (77, True), (78, False)])
def test_a_restriction_admits_who_is_taken_in_and_nobody_else(key: int, admitted: bool) -> None:
    restriction = Restriction(0, turned=100_000, limit=10, filters=frozenset(), members=frozenset({77}))
    assert restriction.admits(Endpoint(registered_at=NOW, cohort=900_077, key=key)) is admitted


def test_windows_are_dates_too_and_ends_are() -> None:
    made = catalogue(
        with_policy(general("1.0.0"), RolloutPolicy(window=NOON)),
        with_policy(general("1.1.0"), RolloutPolicy(end=NOW + HOUR)),
        with_policy(suspended("1.2.0"), RolloutPolicy(window=NOON, end=NOW + HOUR / 2)),
    )
    assert made.next_date_after(NOW) == NOW + HOUR
    assert made.next_date_after(NOW + HOUR) == NOW + 3 * HOUR
    assert made.next_date_after(NOW + 3 * HOUR) == NOW + 23 * HOUR
    assert made.opening_between(NOW, NOW + HOUR) == {v("1.1.0")}
    assert made.opening_between(NOW + HOUR, NOW + 3 * HOUR) == {v("1.0.0")}
    assert made.opening_between(NOW + 3 * HOUR, NOW + 22 * HOUR) == frozenset()
    assert made.opening_between(NOW + 3 * HOUR, NOW + 23 * HOUR) == {v("1.0.0")}


def test_zones_matter_where_a_window_is_in_the_endpoints_own() -> None:
    own = replace(NOON, time_zone=None)
    made = catalogue(with_policy(general("1.0.0"), RolloutPolicy(window=own)))
    assert made.zoned
    assert made.particular
    # Somewhere on earth it opens, or closes, every hour.
    assert made.opening_between(NOW, NOW + HOUR) == {v("1.0.0")}
    assert not catalogue(with_policy(general("1.0.0"), RolloutPolicy(window=NOON))).zoned
    assert not catalogue(with_policy(suspended("1.0.0"), RolloutPolicy(window=own))).zoned


@pytest.mark.parametrize(
    ("application", "rollout", "paced"),
    [
        (Limits(), Limits(), False),
        (Limits(per_minute=1), Limits(), True),
        (Limits(), Limits(in_progress=1), True),
    ],
)
def test_offers_are_paced_by_the_limits_of_the_application_and_of_every_rollout(
    application: Limits, rollout: Limits, paced: bool
) -> None:
    software = [with_policy(general("1.0.0"), RolloutPolicy(limits=rollout)), general("1.1.0")]
    assert Catalogue.of(software, limits=application).paced is paced


@pytest.mark.parametrize(
    ("whole", "own", "expected"), [(None, 7, 7), (5, None, 5), (5, 7, 5), (9, 7, 7), (None, None, None)]
)
def test_where_the_application_counts_slots_so_does_every_rollout(
    whole: int | None, own: int | None, expected: int | None
) -> None:
    policy = RolloutPolicy(limits=Limits(in_progress=own, per_minute=3, claim=HOUR))
    made = Catalogue.of([with_policy(general("1.0.0"), policy)], limits=Limits(in_progress=whole))
    assert made.policy_of(v("1.0.0")).limits == Limits(in_progress=expected, per_minute=3, claim=HOUR)


def test_a_rollout_says_itself_whether_it_needs_consent_or_leaves_it_to_the_application() -> None:
    software = [
        general("1.0.0"),
        with_policy(general("1.1.0"), RolloutPolicy(consent=True)),
        with_policy(general("1.2.0"), RolloutPolicy(consent=False)),
    ]
    assert Catalogue.of(software).consenting == 0b010
    assert Catalogue.of(software, consent=True).consenting == 0b011


def test_rollouts_end_one_after_the_other() -> None:
    made = catalogue(
        with_policy(general("1.0.0"), RolloutPolicy(end=NOW + HOUR)),
        general("1.1.0"),
        with_policy(general("1.2.0"), RolloutPolicy(end=NOW)),
    )
    assert [versions(made.among(made.ended(NOW + hours * HOUR))) for hours in (-1, 0, 1)] == [
        [],
        ["1.2.0"],
        ["1.0.0", "1.2.0"],
    ]
    assert made.next_end_after(NOW - HOUR, 0b111) == NOW
    assert made.next_end_after(NOW - HOUR, 0b011) == NOW + HOUR
    assert made.next_end_after(NOW, 0b110) is None


def test_offers_give_slots_back_where_a_rollout_or_its_application_has_them() -> None:
    one, other = with_policy(general("1.0.0"), RolloutPolicy(limits=Limits(in_progress=5))), general("1.1.0")
    assert catalogue(one, other).slotted == {v("1.0.0")}
    assert Catalogue.of([one, other], limits=Limits(in_progress=9)).slotted == {v("1.0.0"), v("1.1.0")}
    assert not catalogue(other).slotted
