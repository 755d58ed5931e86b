"""The decision, case by case of the design; random catalogues are in the property tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.decisions import Decider, Decision, Outcome, Standing, decide
from orchestrator.domain.policies import RolloutPolicy, Stage, Window
from orchestrator.domain.rollouts import Phase, Rollout, shift
from tests.unit.orchestrator.domain.builders import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    at,
    catalogue,
    endpoint,
    general,
    recalled,
    suspended,
    targeted,
    use,
    v,
)

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.software import Software

STEPS = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))


def deciding(standing: Standing, *software: Software) -> Decision:
    return decide(standing, catalogue(*software), NOW)


def told(decision: Decision) -> tuple[str, str | None, str | None]:
    hop, goal = decision.hop, decision.goal
    return (decision.outcome.value, hop.text if hop else None, goal.text if goal else None)


def test_the_way_to_the_goal_goes_one_hop_at_a_time() -> None:
    first = deciding(at("1.0.0"), *STEPS)
    assert told(first) == ("offer", "1.1.0", "2.0.0")
    assert first.path == (v("1.1.0"), v("2.0.0"))
    assert told(deciding(at("1.1.0"), *STEPS)) == ("offer", "2.0.0", "2.0.0")
    assert told(deciding(at("2.0.0"), *STEPS)) == ("up-to-date", None, None)


def test_the_highest_direct_edge_does_not_strand_an_endpoint_at_a_dead_end() -> None:
    decision = deciding(at("1.0.0"), *STEPS, general("1.9.0", "1.0.0"))
    assert told(decision) == ("offer", "1.1.0", "2.0.0")


def test_a_canary_neither_freezes_nor_diverts_the_others() -> None:
    canary = targeted("3.0.0", "1.0.0", filters=[use("canary")])
    assert told(deciding(at("1.0.0"), *STEPS, canary)) == ("offer", "1.1.0", "2.0.0")
    assert told(deciding(at("1.0.0", filters=["canary"]), *STEPS, canary)) == ("offer", "3.0.0", "3.0.0")


def test_later_hops_need_not_be_open() -> None:
    late = general("2.0.0", "1.1.0", rollout_date=NOW + DAY)
    assert told(deciding(at("1.0.0"), *STEPS[:2], late)) == ("offer", "1.1.0", "2.0.0")


def test_a_goal_without_an_open_hop_waits_for_the_first_that_opens() -> None:
    decision = deciding(
        at("1.0.0"),
        general("1.1.0", "1.0.0", rollout_date=NOW + DAY),
        general("1.2.0", "1.0.0", rollout_date=NOW + HOUR),
        general("2.0.0", "1.1.0", "1.2.0"),
    )
    assert told(decision) == ("waiting", None, "2.0.0")
    assert decision.waits_until == NOW + HOUR
    assert decision.path == (v("1.2.0"), v("2.0.0"))


def test_a_back_off_makes_a_detour_or_waits() -> None:
    standing = replace(at("1.0.0"), retry_at=((v("1.2.0"), NOW + 10 * MINUTE),))
    both = (general("1.1.0", "1.0.0"), general("1.2.0", "1.0.0"), general("2.0.0", "1.1.0", "1.2.0"))
    assert told(deciding(standing, *both)) == ("offer", "1.1.0", "2.0.0")
    decision = deciding(standing, general("1.2.0", "1.0.0"))
    assert told(decision) == ("waiting", None, "1.2.0")
    assert decision.waits_until == NOW + 10 * MINUTE


def test_exhausted_when_the_goal_would_be_reachable_but_for_failures() -> None:
    standing = replace(at("1.0.0"), exhausted=frozenset({v("1.1.0")}))
    assert told(deciding(standing, *STEPS)) == ("exhausted", None, None)
    detour = general("1.2.0", "1.0.0")
    assert told(deciding(standing, *STEPS, detour)) == ("offer", "1.2.0", "1.2.0")


@pytest.mark.parametrize(
    "middle",
    [
        suspended("1.1.0", "1.0.0"),
        recalled("1.1.0", "1.0.0"),
        general("1.1.0", "1.0.0", given=False),
        targeted("1.1.0", "1.0.0"),
    ],
)
def test_blocked_when_a_higher_version_is_connected_but_not_eligible_all_the_way(middle: Software) -> None:
    assert told(deciding(at("1.0.0"), middle, general("2.0.0", "1.1.0"))) == ("blocked", None, None)


def test_a_suspended_token_is_offered_nothing() -> None:
    assert told(deciding(replace(at("1.0.0"), active=False), *STEPS)) == ("suspended", None, None)


def test_an_unknown_version_needs_the_star() -> None:
    assert told(deciding(at(None), *STEPS)) == ("unknown-version", None, None)
    assert told(deciding(at(None))) == ("unknown-version", None, None)
    assert told(deciding(at(None), *STEPS, general("0.9.0", "*"))) == ("offer", "0.9.0", "0.9.0")
    assert told(deciding(at(None), suspended("0.9.0", "*"))) == ("blocked", None, None)


def test_a_recalled_version_is_left_even_downwards_for_the_best_that_is_reachable() -> None:
    down = (general("1.0.0", "2.0.0"), general("1.1.0", "2.0.0"), recalled("2.0.0", "1.1.0"))
    assert told(deciding(at("2.0.0"), *down)) == ("offer", "1.1.0", "1.1.0")
    assert told(deciding(at("2.0.0"), *down, general("3.0.0", "2.0.0"))) == ("offer", "3.0.0", "3.0.0")
    assert told(deciding(at("1.1.0"), *down)) == ("blocked", None, None)
    assert told(deciding(at("2.0.0"), recalled("2.0.0"))) == ("blocked", None, None)


def test_versions_are_not_taken_back_without_a_recall() -> None:
    assert told(deciding(at("2.0.0"), general("1.0.0", "2.0.0"), general("2.0.0"))) == ("up-to-date", None, None)


def test_a_rescue_does_not_wait_for_a_soak_and_everything_else_does() -> None:
    soaking = replace(at("1.1.0"), soaking=v("1.1.0"))
    waiting = deciding(soaking, *STEPS)
    assert told(waiting) == ("waiting", None, "2.0.0")
    assert waiting.waits_until is None
    rescue = deciding(soaking, recalled("1.1.0"), general("1.0.0", "1.1.0"))
    assert told(rescue) == ("offer", "1.0.0", "1.0.0")


@pytest.mark.parametrize(
    ("running", "pinned", "expected"),
    [
        ("1.0.0", "1.1.0", ("offer", "1.1.0", "1.1.0")),
        ("1.0.0", "2.0.0", ("offer", "1.1.0", "2.0.0")),
        ("2.0.0", "1.0.0", ("offer", "1.0.0", "1.0.0")),
        ("1.1.0", "1.1.0", ("blocked", None, None)),
        ("2.0.0", "2.0.0", ("up-to-date", None, None)),
        ("2.0.0", "1.5.0", ("blocked", None, None)),
        # Up to 2.0.0 and down again: the only way.
        ("1.1.0", "1.0.0", ("offer", "2.0.0", "1.0.0")),
    ],
)
def test_a_pinned_endpoint_goes_nowhere_but_to_its_pin(
    running: str, pinned: str, expected: tuple[str, str | None, str | None]
) -> None:
    software = (general("1.0.0", "2.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
    assert told(deciding(at(running, pinned=pinned), *software)) == expected


def test_a_pin_to_recalled_or_suspended_software_is_no_way() -> None:
    assert told(deciding(at("1.0.0", pinned="1.1.0"), recalled("1.1.0", "1.0.0"))) == ("blocked", None, None)
    assert told(deciding(at("1.0.0", pinned="1.1.0"), suspended("1.1.0", "1.0.0"))) == ("blocked", None, None)


def test_a_foreign_version_has_edges_too() -> None:
    assert told(deciding(at("1.0.5"), general("1.1.0", "^1.0.0"))) == ("offer", "1.1.0", "1.1.0")


def test_decisions_over_large_catalogues_stay_small() -> None:
    chain = catalogue(general("1.0.0"), *(general(f"1.{i}.0", f"1.{i - 1}.0") for i in range(1, 1000)))
    decision = decide(at("1.0.0"), chain, NOW)
    assert decision.hop == v("1.1.0")
    assert len(decision.path) == 999


def test_a_decider_answers_from_memory_until_a_date_comes() -> None:
    made = catalogue(general("1.1.0", "1.0.0", rollout_date=NOW + HOUR))
    decider = Decider(made)
    first = decider.decide(endpoint("1.0.0"), NOW)
    assert first.outcome is Outcome.WAITING
    assert decider.decide(endpoint("1.0.0"), NOW + HOUR / 2) is first
    assert decider.decide(endpoint("1.0.0"), NOW + HOUR).outcome is Outcome.OFFER
    assert decider.decide(endpoint("1.0.0"), NOW).outcome is Outcome.WAITING


def test_a_decider_forgets_when_there_are_too_many_standings() -> None:
    decider = Decider(catalogue(general("1.0.0", "<1.0.0")))
    for number in range(9000):
        assert decider.decide(endpoint(f"0.{number}.0"), NOW).hop == v("1.0.0")
    assert len(decider._known) <= 8192


def asking(standing: Standing, *software: Software) -> Decision:
    return decide(standing, Catalogue.of(software, consent=True), NOW)


def test_the_hop_for_which_only_consent_is_wanting_is_asked_for() -> None:
    decision = asking(at("1.0.0"), *STEPS)
    assert told(decision) == ("waiting", None, "2.0.0")
    assert (decision.asks, decision.path) == (v("1.1.0"), (v("1.1.0"), v("2.0.0")))
    given = asking(replace(at("1.0.0"), consented=frozenset({v("1.1.0")})), *STEPS)
    assert (told(given), given.asks) == (("offer", "1.1.0", "2.0.0"), None)


def test_nothing_is_asked_while_another_hop_is_open() -> None:
    free = replace(general("1.2.0", "1.0.0"), policy=RolloutPolicy(consent=False))
    decision = asking(at("1.0.0"), *STEPS[:2], free, general("2.0.0", "1.1.0", "1.2.0"))
    assert (told(decision), decision.asks) == (("offer", "1.2.0", "2.0.0"), None)


def test_what_does_not_open_yet_is_not_asked_for_yet() -> None:
    decision = asking(at("1.0.0"), general("1.1.0", "1.0.0", rollout_date=NOW + HOUR))
    assert (told(decision), decision.asks, decision.waits_until) == (("waiting", None, "1.1.0"), None, None)


def test_refused_when_consent_to_every_hop_was_refused() -> None:
    both = (general("1.1.0", "1.0.0"), general("1.2.0", "1.0.0"), general("2.0.0", "1.1.0", "1.2.0"))
    one = replace(at("1.0.0"), refused=frozenset({v("1.2.0")}))
    assert (told(asking(one, *both)), asking(one, *both).asks) == (("waiting", None, "2.0.0"), v("1.1.0"))
    all_of_them = replace(one, refused=frozenset({v("1.1.0"), v("1.2.0")}))
    assert (told(asking(all_of_them, *both)), asking(all_of_them, *both).asks) == (("refused", None, "2.0.0"), None)


def test_a_stage_that_admits_only_some_neither_freezes_nor_diverts_the_others() -> None:
    staged = replace(general("3.0.0", "1.0.0"), policy=RolloutPolicy(stages=(Stage(percent=1), Stage(percent=100))))
    made = catalogue(*STEPS, staged)
    held = replace(at("1.0.0"), held=1 << made.index[v("3.0.0")])
    # It is the goal of all, so that nobody goes where there is no way on.
    assert told(decide(held, made, NOW)) == ("waiting", None, "3.0.0")
    assert told(decide(at("1.0.0"), made, NOW)) == ("offer", "3.0.0", "3.0.0")
    beside = catalogue(*STEPS, replace(staged, upgradable_from=general("9.9.9", "1.0.0", "2.0.0").upgradable_from))
    assert told(decide(held, beside, NOW)) == ("offer", "1.1.0", "3.0.0")


def test_what_its_window_keeps_is_told_apart_from_what_it_withdraws() -> None:
    closed = Window(cron="0 20 * * *", duration=HOUR)
    decision = deciding(at("1.0.0"), replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(window=closed)))
    assert (told(decision), decision.kept) == (("waiting", None, "1.1.0"), frozenset({v("1.1.0")}))
    assert decision.waits_until == NOW + 8 * HOUR


def test_a_decider_forgets_when_a_window_closes_and_when_a_rollout_ends() -> None:
    window = Window(cron="0 11 * * *", duration=4 * HOUR)
    policy = RolloutPolicy(window=window, end=NOW + 30 * HOUR)
    decider = Decider(catalogue(replace(general("1.1.0", "1.0.0"), policy=policy)))
    found = {hours: decider.decide(endpoint("1.0.0"), NOW + hours * HOUR).outcome for hours in (0, 2, 3, 22, 23, 30)}
    assert [hours for hours, outcome in found.items() if outcome is Outcome.OFFER] == [0, 2, 23]


def ending(version: str, *upgradable_from: str, end: datetime, rollout_date: datetime | None = None) -> Software:
    return replace(general(version, *upgradable_from, rollout_date=rollout_date), policy=RolloutPolicy(end=end))


@pytest.mark.parametrize("standing", [at("1.0.0"), at(None)])
def test_what_has_ended_is_the_goal_of_nobody(standing: Standing) -> None:
    software = (general("1.0.0"), ending("2.0.0", "1.0.0", "*", end=NOW + HOUR))
    assert told(decide(standing, catalogue(*software), NOW)) == ("offer", "2.0.0", "2.0.0")
    assert told(decide(standing, catalogue(*software), NOW + HOUR)) == ("blocked", None, None)


def test_a_pin_leads_also_to_and_through_what_has_ended() -> None:
    software = (
        general("1.0.0"),
        ending("1.1.0", "1.0.0", end=NOW),
        ending("1.2.0", "1.1.0", end=NOW, rollout_date=NOW - DAY),
        general("3.0.0", "1.2.0"),
    )
    decision = deciding(at("1.0.0", pinned="1.2.0"), *software)
    assert told(decision) == ("offer", "1.1.0", "1.2.0")
    ends = [rule for verdict in decision.software for rule in verdict.rules if rule.rule == "end"]
    assert [(rule.passed, rule.detail) for rule in ends[1:3]] == [
        (True, "set aside by the pin; over: rollout.end is 2026-03-01T12:00:00Z; now 2026-03-01T12:00:00Z")
    ] * 2
    assert told(deciding(at("1.0.0"), *software)) == ("blocked", None, None)


def test_a_pin_waits_for_a_back_off_that_outlasts_the_end() -> None:
    standing = replace(at("1.0.0", pinned="1.1.0"), retry_at=((v("1.1.0"), NOW + 2 * HOUR),))
    decision = deciding(standing, ending("1.1.0", "1.0.0", end=NOW + HOUR))
    assert (told(decision), decision.waits_until) == (("waiting", None, "1.1.0"), NOW + 2 * HOUR)


def test_where_a_rollout_has_ended_the_highest_below_it_is_the_goal() -> None:
    ended = (ending("3.0.0", "2.0.0", end=NOW), ending("2.5.0", "1.1.0", end=NOW + HOUR))
    software = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "2.5.0"), *ended)
    assert told(deciding(at("1.0.0"), *software)) == ("offer", "1.1.0", "2.5.0")
    # What leads over ended software is out of reach, too.
    assert told(decide(at("1.0.0"), catalogue(*software), NOW + HOUR)) == ("offer", "1.1.0", "1.1.0")
    summary = decide(at("1.1.0"), catalogue(*software), NOW + HOUR).summary
    assert summary.startswith("runs 1.1.0; 2.5.0 is not eligible: end over: rollout.end is 2026-03-01T13:00:00Z")


def test_a_rescue_leads_to_nothing_that_has_ended() -> None:
    software = (general("0.9.0", "1.0.0"), ending("2.0.0", "1.0.0", end=NOW), recalled("1.0.0"))
    assert told(deciding(at("1.0.0"), *software)) == ("offer", "0.9.0", "0.9.0")


@pytest.mark.parametrize(
    ("lower", "until"),
    [
        (general("1.1.0", "1.0.0"), NOW + HOUR),
        (general("1.1.0", "1.0.0", rollout_date=NOW + 90 * MINUTE), NOW + 90 * MINUTE),
        (ending("1.1.0", "1.0.0", end=NOW + HOUR), None),
        (ending("1.1.0", "1.0.0", end=NOW + 2 * HOUR), NOW + HOUR),
        (replace(general("1.1.0", "1.0.0"), rollout=Rollout(phase=Phase.PAUSED)), None),
    ],
)
def test_what_waits_for_software_whose_rollout_ends_is_open_to_a_lower_one_then(
    lower: Software, until: datetime | None
) -> None:
    higher = ending("2.0.0", "1.0.0", end=NOW + HOUR, rollout_date=NOW + DAY)
    decision = deciding(at("1.0.0"), lower, higher)
    assert (told(decision), decision.waits_until) == (("waiting", None, "2.0.0"), until)


def test_what_opens_before_its_rollout_ends_is_waited_for() -> None:
    decision = deciding(at("1.0.0"), ending("2.0.0", "1.0.0", end=NOW + DAY, rollout_date=NOW + HOUR))
    assert decision.waits_until == NOW + HOUR
    assert decide(decision.standing, decision.catalogue, NOW + HOUR).waits_until is None


def test_a_decider_tells_endpoints_apart_by_cohort_and_zone_where_these_matter() -> None:
    staged = replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(stages=(Stage(percent=1), Stage(percent=100))))
    lowest = -shift("", v("1.1.0")) % 1_000_000
    decider = Decider(catalogue(staged))
    assert decider.decide(replace(endpoint("1.0.0"), cohort=lowest), NOW).outcome is Outcome.OFFER
    outside = replace(endpoint("1.0.0"), cohort=(lowest + 500_000) % 1_000_000)
    assert decider.decide(outside, NOW).outcome is Outcome.WAITING
    own = Window(cron="0 20 * * *", duration=4 * HOUR, time_zone=None)
    zoned = Decider(catalogue(replace(general("1.1.0", "1.0.0"), policy=RolloutPolicy(window=own))))
    assert zoned.decide(endpoint("1.0.0"), NOW).outcome is Outcome.WAITING
    assert zoned.decide(replace(endpoint("1.0.0"), zone="Asia/Tokyo"), NOW).outcome is Outcome.OFFER
