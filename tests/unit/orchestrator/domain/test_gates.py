"""Stages are judged at every edge of the rules, and say why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.gates import Ruling, Size, Tally, Verdict, Z, bounds, judge, percent
from orchestrator.domain.policies import Stage

PASSES, FAILS, WAITS = Verdict.PASSES, Verdict.FAILS, Verdict.WAITS
STAGE = Stage(percent=1)
"""At most 5 % may fail, 60 verdicts are needed."""
LARGE = Size(endpoints=1000, waiting=100)
HEALTH = replace(STAGE, max_unhealthy_rate=0.05)


def full(endpoints: int) -> Size:
    return Size(endpoints=endpoints, waiting=0)


@pytest.mark.parametrize(
    ("failed", "settled", "lower", "upper"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # the mirror images
        (20, 20, 0.8389, 1.0000),
        (28, 29, 0.8282, 0.9939),
        (1, 1, 0.2065, 1.0000),
        (0, 1, 0.0000, 0.7935),
    ],
)
def test_bounds_are_the_published_ones(failed: int, settled: int, lower: float, upper: float) -> None:
    found = bounds(failed, settled)
    assert (round(found[0], 4), round(found[1], 4)) == (lower, upper)


@pytest.mark.parametrize("settled", [1, 3, 7, 60, 1_000_003])
def test_bounds_end_at_0_and_1_exactly(settled: int) -> None:
    assert bounds(0, settled)[0] == 0
    assert bounds(settled, settled)[1] == 1


def test_the_interval_is_one_of_95_percent() -> None:
    assert Z == 1.96


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.02, "2 %"),
        (1 / 34, "2.9 %"),
        (0.125, "12.5 %"),
        (0.5, "50 %"),
        (0.0502, "5 %"),
        (0.001, "0.1 %"),
        (0.000999, "0.1 %"),
        (0.0005, "0.05 %"),
        (0.00004, "0.004 %"),
    ],
)
def test_percentages_have_one_decimal_unless_they_are_whole_or_small(rate: float, text: str) -> None:
    assert percent(rate) == text


def test_a_tally_adds_up() -> None:
    tally = Tally(
        offered=20,
        installing=3,
        unreached=8,
        soaking=5,
        confirmed=40,
        failed=1,
        reverted=2,
        expired=4,
        withdrawn=100,
        unhealthy=6,
    )
    assert (tally.failures, tally.settled, tally.undecided, tally.running) == (7, 47, 20, 45)
    empty = Tally()
    assert (empty.failures, empty.settled, empty.undecided, empty.running) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("confirmed", "failures", "verdict"),
    [
        (0, 0, WAITS),
        (59, 0, WAITS),
        (60, 0, PASSES),
        (57, 3, PASSES),  # exactly at the limit
        (56, 3, WAITS),  # one verdict short
        (56, 4, WAITS),  # over the limit
        (54, 6, WAITS),  # the lower bound is 4.7 %
        (53, 7, FAILS),  # the lower bound is 5.8 %
        (0, 59, WAITS),  # one verdict short, whatever the rate
        (0, 60, FAILS),
    ],
)
@pytest.mark.parametrize("kind", ["failed", "reverted", "expired"])
def test_a_large_stage_is_judged_by_enough_verdicts(confirmed: int, failures: int, verdict: Verdict, kind: str) -> None:
    tally = replace(Tally(confirmed=confirmed), **{kind: failures})
    ruling = judge(STAGE, tally, LARGE)
    assert ruling.verdict is verdict
    assert (ruling.settled, ruling.failures, ruling.needed) == (confirmed + failures, failures, 60)
    assert judge(STAGE, tally, None).verdict is verdict


@pytest.mark.parametrize(
    ("confirmed", "failures", "verdict"),
    [(9, 0, WAITS), (10, 0, PASSES), (9, 1, FAILS), (1_000_000, 1, FAILS)],
)
def test_a_limit_of_zero_stands_no_failure(confirmed: int, failures: int, verdict: Verdict) -> None:
    stage = Stage(percent=1, max_failure_rate=0, min_attempted=10)
    assert judge(stage, Tally(confirmed=confirmed, failed=failures), LARGE).verdict is verdict


def test_a_limit_of_one_stands_any() -> None:
    stage = Stage(percent=1, max_failure_rate=1)
    assert judge(stage, Tally(failed=2), LARGE).verdict is WAITS
    assert judge(stage, Tally(failed=3), LARGE).verdict is PASSES


@pytest.mark.parametrize(
    ("stage", "size", "acknowledged", "needed"),
    [
        (STAGE, None, 0, 60),
        (STAGE, full(61), 0, 60),
        (STAGE, full(59), 0, 59),
        (STAGE, full(59), 2, 57),
        (STAGE, full(62), 2, 60),
        (STAGE, full(2), 2, 1),
        # Those of earlier stages.
        (STAGE, full(0), 0, 3),
        (STAGE, full(0), 2, 1),
        (STAGE, Size(endpoints=0, waiting=7), 0, 10),
        (STAGE, Size(endpoints=0, waiting=70), 0, 60),
        (replace(STAGE, min_attempted=5), None, 2, 5),
    ],
)
def test_no_more_verdicts_are_needed_than_a_stage_can_give(
    stage: Stage, size: Size | None, acknowledged: int, needed: int
) -> None:
    assert judge(stage, Tally(failed=2, offered=1), size, acknowledged=acknowledged).needed == needed


def test_three_failures_out_of_three_fail() -> None:
    three = full(3)
    assert judge(STAGE, Tally(failed=2, offered=1), three).verdict is WAITS
    assert judge(STAGE, Tally(failed=3), three).verdict is FAILS
    # a lower bound of 44 % is below this limit, and no more evidence can come
    assert judge(replace(STAGE, max_failure_rate=0.5), Tally(failed=3), three).verdict is FAILS


@pytest.mark.parametrize("still", ["offered", "installing", "soaking"])
def test_a_rate_over_the_limit_fails_when_nothing_is_open(still: str) -> None:
    settled = Tally(confirmed=9, failed=1)
    assert judge(STAGE, settled, full(11)).verdict is FAILS
    assert judge(STAGE, replace(settled, **{still: 1}), full(11)).verdict is WAITS
    assert judge(STAGE, settled, Size(endpoints=11, waiting=1)).verdict is WAITS
    assert judge(STAGE, settled, None).verdict is WAITS


def test_whoever_is_left_when_a_rollout_ends_is_not_needed_and_not_open() -> None:
    left = Size(endpoints=100, waiting=0, left=90)
    assert judge(STAGE, Tally(confirmed=10, withdrawn=5), left).needed == 10
    assert judge(STAGE, Tally(confirmed=10, withdrawn=5), left).verdict is PASSES
    assert judge(STAGE, Tally(confirmed=9, failed=1), left).verdict is FAILS
    assert judge(STAGE, Tally(confirmed=8, failed=2), left, acknowledged=2).needed == 8


def test_a_rate_at_the_limit_does_not_fail_when_nothing_is_open() -> None:
    assert judge(STAGE, Tally(confirmed=19, failed=1), full(20)).verdict is PASSES
    assert judge(STAGE, Tally(confirmed=19, failed=1, withdrawn=1), full(21)).verdict is WAITS


def test_endpoints_that_were_never_reached_are_no_verdict_and_nothing_to_wait_for() -> None:
    silent = Tally(confirmed=19, offered=81, unreached=81)
    assert judge(STAGE, silent, full(100)).verdict is WAITS
    assert judge(STAGE, replace(silent, confirmed=60), full(141)).verdict is PASSES
    assert judge(STAGE, replace(silent, confirmed=60, failed=4), full(145)).verdict is FAILS
    assert judge(STAGE, replace(silent, confirmed=60, failed=4, unreached=80), full(145)).verdict is WAITS


def test_too_few_verdicts_do_not_fail_a_stage_while_others_were_not_heard_yet() -> None:
    # Devices that say nothing before they are done: the first that says anything has failed.
    first = judge(STAGE, Tally(failed=1, offered=99, unreached=99), full(100))
    assert (first.verdict, first.settled, first.needed) == (WAITS, 1, 60)
    assert first.reason == (
        "1 of 60 needed has settled; failure rate 100 % (20.7-100 %), limit 5 %; "
        "99 were offered it and not heard since: approve to go on without them"
    )
    assert judge(STAGE, Tally(confirmed=3, failed=1, offered=96, unreached=96), full(100)).verdict is WAITS
    # 5 of 100 are not surely over the limit, 11 of 100 are.
    assert judge(STAGE, Tally(confirmed=3, failed=5, offered=92, unreached=92), full(100)).verdict is WAITS
    many = judge(STAGE, Tally(confirmed=3, failed=11, offered=86, unreached=86), full(100))
    assert many.verdict is FAILS
    assert many.reason == (
        "failure rate 78.6 % (52.4-92.4 %) is over the limit 5 %, also if the 86 that were not heard succeed"
    )
    # Nobody is left from whom anything could come.
    assert judge(STAGE, Tally(confirmed=3, failed=1), full(100)).verdict is FAILS


def test_acknowledged_failures_that_try_again_are_needed_again() -> None:
    again = Tally(failed=20, confirmed=1, offered=19, unreached=19)
    found = judge(STAGE, again, full(20), acknowledged=20)
    assert (found.verdict, found.settled, found.needed) == (WAITS, 1, 20)
    assert judge(STAGE, Tally(failed=20, confirmed=20), full(20), acknowledged=20).verdict is PASSES
    # These do not: their attempts are used up.
    assert judge(STAGE, Tally(failed=2, confirmed=8), full(10), acknowledged=2).verdict is PASSES


@pytest.mark.parametrize(
    ("tally", "size", "reason"),
    [
        (Tally(), full(0), "no endpoint is in the stage yet: approve to go on"),
        (Tally(), None, "nobody was reached yet"),
        (Tally(), Size(endpoints=0, waiting=8), "nobody was reached yet; 8 wait for an offer"),
        (Tally(), Size(endpoints=1, waiting=1), "nobody was reached yet; 1 waits for an offer"),
        (Tally(withdrawn=3), full(3), "nobody was reached yet; nothing is open: approve to go on"),
        (
            Tally(offered=3, unreached=3),
            full(3),
            "nobody was reached yet; 3 were offered it and not heard since: approve to go on without them",
        ),
        (
            Tally(offered=1, unreached=1),
            Size(endpoints=8, waiting=7),
            "nobody was reached yet; 7 wait for an offer; 1 was offered it and not heard since",
        ),
        # They were offered it after the stage was measured.
        (Tally(offered=3, unreached=3), full(0), "nobody was reached yet; 3 were offered it and not heard since"),
        (Tally(offered=3, unreached=3), full(2), "nobody was reached yet; 3 were offered it and not heard since"),
    ],
)
def test_a_stage_in_which_nobody_was_reached_waits(tally: Tally, size: Size | None, reason: str) -> None:
    assert judge(STAGE, tally, size) == Ruling(
        verdict=WAITS,
        settled=0,
        failures=0,
        needed=60 if size is None else max(1, size.endpoints, size.waiting),
        rate=None,
        bounds=None,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("tally", "size", "verdict"),
    [
        (Tally(), full(0), PASSES),
        (Tally(withdrawn=1), full(0), PASSES),
        (Tally(), None, WAITS),
        (Tally(), Size(endpoints=1, waiting=1), WAITS),
        # Those of earlier stages that a limit or a window holds.
        (Tally(), Size(endpoints=0, waiting=8), WAITS),
        (Tally(confirmed=1), Size(endpoints=0, waiting=7), WAITS),
        (Tally(failed=1), Size(endpoints=0, waiting=7), WAITS),
        (Tally(confirmed=8), full(0), PASSES),
        # They were offered it after the stage was measured.
        (Tally(offered=1, unreached=1), full(0), WAITS),
        (Tally(soaking=1), full(0), WAITS),
        (Tally(confirmed=1), full(0), PASSES),
        (Tally(failed=1), full(0), FAILS),
    ],
)
def test_a_last_stage_without_endpoints_of_its_own_waits_for_nobody(
    tally: Tally, size: Size | None, verdict: Verdict
) -> None:
    found = judge(STAGE, tally, size, closing=True)
    assert found.verdict is verdict
    assert (found.reason == "every endpoint is in an earlier stage") is (verdict is PASSES and not tally.confirmed)


def test_acknowledged_failures_are_set_aside() -> None:
    tally = Tally(confirmed=57, failed=8, reverted=1, expired=1)
    assert judge(STAGE, tally, LARGE).verdict is FAILS
    found = judge(STAGE, tally, LARGE, acknowledged=7)
    assert (found.verdict, found.settled, found.failures, found.rate) == (PASSES, 60, 3, 0.05)
    assert found.bounds == bounds(3, 60)
    found = judge(STAGE, tally, LARGE, acknowledged=10)
    assert (found.verdict, found.settled, found.failures, found.rate) == (WAITS, 57, 0, 0)


def test_what_is_acknowledged_and_is_no_failure_any_more_takes_nothing_off() -> None:
    found = judge(STAGE, Tally(confirmed=60, failed=1), full(61), acknowledged=5)
    assert (found.verdict, found.settled, found.failures, found.needed) == (PASSES, 60, 0, 60)


def test_where_every_failure_is_acknowledged_a_stage_waits() -> None:
    found = judge(STAGE, Tally(failed=3), full(3), acknowledged=3)
    assert (found.verdict, found.needed, found.rate, found.bounds) == (WAITS, 1, None, None)
    assert found.reason == "no verdict since it was resumed; nothing is open: approve to go on"


@pytest.mark.parametrize(
    ("tally", "verdict"),
    [
        (Tally(soaking=60, unhealthy=7), FAILS),  # before anybody has confirmed
        (Tally(soaking=59, unhealthy=59), WAITS),
        (Tally(soaking=60, unhealthy=6), WAITS),
        (Tally(confirmed=60, unhealthy=3), PASSES),
        (Tally(confirmed=60, unhealthy=4), WAITS),
        (Tally(confirmed=60, unhealthy=7), FAILS),
        (Tally(confirmed=58, reverted=2, unhealthy=7), FAILS),
        (Tally(confirmed=59, failed=1, soaking=21, unhealthy=4), PASSES),
        (Tally(failed=60), FAILS),  # nobody came to run it
    ],
)
def test_health_is_judged_among_those_that_came_to_run_the_version(tally: Tally, verdict: Verdict) -> None:
    assert judge(HEALTH, tally, LARGE).verdict is verdict
    if tally.unhealthy:
        assert judge(STAGE, tally, LARGE).verdict is (PASSES if tally.settled >= 60 else WAITS)


def test_unhealthy_endpoints_fail_a_stage_in_which_nothing_is_open() -> None:
    assert judge(HEALTH, Tally(confirmed=10, unhealthy=1), full(10)).verdict is FAILS
    assert judge(HEALTH, Tally(confirmed=10, soaking=1, unhealthy=1), full(11)).verdict is WAITS
    assert judge(HEALTH, Tally(confirmed=20, unhealthy=1), full(20)).verdict is PASSES


def test_acknowledged_unhealthy_endpoints_are_set_aside() -> None:
    tally = Tally(confirmed=70, unhealthy=10)
    assert judge(HEALTH, tally, LARGE).verdict is FAILS
    assert judge(HEALTH, tally, LARGE, acknowledged_unhealthy=7).verdict is PASSES
    assert judge(HEALTH, tally, LARGE, acknowledged_unhealthy=99).verdict is PASSES


TWO_PERCENT = Stage(percent=1, max_failure_rate=0.02, min_attempted=50)


@pytest.mark.parametrize(
    ("stage", "tally", "size", "reason"),
    [
        (
            TWO_PERCENT,
            Tally(confirmed=33, failed=1, soaking=16),
            LARGE,
            "34 of 50 needed have settled; failure rate 2.9 % (0.5-14.9 %), limit 2 %",
        ),
        (TWO_PERCENT, Tally(offered=4), None, "0 of 50 needed have settled"),
        (
            TWO_PERCENT,
            Tally(confirmed=1),
            None,
            "1 of 50 needed has settled; failure rate 0 % (0-79.3 %), limit 2 %",
        ),
        (
            TWO_PERCENT,
            Tally(confirmed=30),
            Size(endpoints=70, waiting=40),
            "30 of 50 needed have settled; failure rate 0 % (0-11.4 %), limit 2 %; 40 wait for an offer",
        ),
        (
            TWO_PERCENT,
            Tally(confirmed=48, offered=2, unreached=2),
            full(50),
            (
                "48 of 50 needed have settled; failure rate 0 % (0-7.4 %), limit 2 %; "
                "2 were offered it and not heard since: approve to go on without them"
            ),
        ),
        (
            TWO_PERCENT,
            Tally(confirmed=49, offered=1, unreached=1),
            full(50),
            (
                "49 of 50 needed have settled; failure rate 0 % (0-7.3 %), limit 2 %; "
                "1 was offered it and not heard since: approve to go on without it"
            ),
        ),
        (
            STAGE,
            Tally(confirmed=56, failed=4, soaking=12),
            Size(endpoints=112, waiting=40),
            (
                "undecided after 60 verdicts: failure rate 6.7 % (2.6-15.9 %), limit 5 %; 20 more confirmed would do; "
                "12 are open; 40 wait for an offer"
            ),
        ),
        (
            Stage(percent=1, max_failure_rate=0.5, min_attempted=1),
            Tally(failed=1, offered=1),
            full(2),
            (
                "undecided after 1 verdict: failure rate 100 % (20.7-100 %), limit 50 %; 1 more confirmed would do; "
                "1 is open"
            ),
        ),
        (
            HEALTH,
            Tally(confirmed=60, unhealthy=4, soaking=1),
            LARGE,
            (
                "undecided after 60 verdicts: failure rate 0 % (0-6 %), limit 5 %; "
                "unhealthy rate 6.6 % (2.6-15.7 %), limit 5 %; 1 is open; 100 wait for an offer"
            ),
        ),
        (
            HEALTH,
            Tally(soaking=1),
            LARGE,
            "0 of 60 needed have settled; unhealthy rate 0 % (0-79.3 %), limit 5 %",
        ),
        (
            STAGE,
            Tally(confirmed=352, failed=48),
            LARGE,
            "failure rate 12 % (9.2-15.6 %) is over the limit 5 %",
        ),
        (
            HEALTH,
            Tally(soaking=400, unhealthy=48),
            LARGE,
            "unhealthy rate 12 % (9.2-15.6 %) is over the limit 5 %",
        ),
        (
            STAGE,
            Tally(confirmed=9, failed=1),
            full(15),
            "failure rate 10 % (1.8-40.4 %) is over the limit 5 %, and nothing is open",
        ),
        (
            STAGE,
            Tally(confirmed=9, failed=1, offered=5, unreached=5),
            full(15),
            (
                "10 of 15 needed have settled; failure rate 10 % (1.8-40.4 %), limit 5 %; "
                "5 were offered it and not heard since: approve to go on without them"
            ),
        ),
        (
            STAGE,
            Tally(confirmed=9498, failed=502),
            full(10_000),
            "failure rate 5 % (4.6-5.5 %) is just over the limit 5 %, and nothing is open",
        ),
        (
            STAGE,
            Tally(confirmed=59, failed=1),
            LARGE,
            "60 settled, 60 needed; failure rate 1.7 % (0.3-8.9 %), limit 5 %",
        ),
        (
            replace(HEALTH, approval=True),
            Tally(confirmed=60),
            LARGE,
            "60 settled, 60 needed; failure rate 0 % (0-6 %), limit 5 %; unhealthy rate 0 % (0-6 %), limit 5 %",
        ),
    ],
)
def test_the_reason_says_what_is_compared_and_what_is_missing(
    stage: Stage, tally: Tally, size: Size | None, reason: str
) -> None:
    assert judge(stage, tally, size).reason == reason


@pytest.mark.parametrize(("confirmed", "failed", "more"), [(93, 7, 0), (92, 7, 1), (60, 7, 33), (100, 8, 7)])
def test_what_would_do_is_exact(confirmed: int, failed: int, more: int) -> None:
    # 7 / 0.07 is a little more than 100 in floating point
    stage = Stage(percent=1, max_failure_rate=0.07, min_attempted=1)
    tally = Tally(confirmed=confirmed, failed=failed)
    found = judge(stage, tally, LARGE)
    assert (f"; {more} more confirmed would do" in found.reason) == (more > 0)
    assert judge(stage, replace(tally, confirmed=confirmed + more), LARGE).verdict is PASSES
    if more:
        assert judge(stage, replace(tally, confirmed=confirmed + more - 1), LARGE).verdict is WAITS


def test_failures_that_are_known_before_any_soak_is_over_do_not_stop_a_good_release() -> None:
    # 9,000 came to the version, 0.4 % failed at once, and the first 30 have soaked.
    tally = Tally(confirmed=30, failed=36, soaking=8934)
    found = judge(STAGE, tally, LARGE)
    assert found.verdict is WAITS
    assert found.rate == pytest.approx(36 / 66)
    # The same failures among fewer are too many.
    assert judge(STAGE, replace(tally, soaking=300), LARGE).verdict is FAILS


@pytest.mark.parametrize(
    ("tally", "verdict"),
    [
        (Tally(confirmed=60, installing=3), PASSES),
        (Tally(confirmed=60, installing=4), WAITS),  # 4 of 64 would be 6.25 %
        (Tally(confirmed=60, offered=4), WAITS),
        (Tally(confirmed=60, offered=4, unreached=4), PASSES),
        (Tally(confirmed=60, soaking=100), PASSES),
    ],
)
def test_a_stage_does_not_pass_while_silent_endpoints_could_make_it_fail(tally: Tally, verdict: Verdict) -> None:
    found = judge(STAGE, tally, LARGE)
    assert found.verdict is verdict
    assert ("begun and not said how it went" in found.reason) == (verdict is WAITS)
