"""The model checks itself: the fleet is what it says, and the rivals keep to their rules.

    python -m bench.policies.checks

Ends without a word but the number of checks; an assertion names what is wrong.
"""

from __future__ import annotations

from dataclasses import replace

from bench.policies import fleets, peeking, tables
from bench.policies.fleets import DAY, FLAKY, GOOD, HORIZON, HOUR, MINUTE, RELEASES, Ending, Habit, Harm, Release
from bench.policies.outcomes import Ledger
from bench.policies.rivals import RIVALS, AtOnce, AwsJobs, HawkBit

FLEET = fleets.build(7, 20_000)
FAILING = Release(name="30 % fail", harm=Harm.FAILS, share=0.3)
STEADY = fleets.Fleet(seed=7, devices=tuple(device for device in FLEET.devices if device.habit is Habit.STEADY))
"""Devices that are always reachable, whose timing can be foretold."""

OFFLINE = (0.10, 0.30)


def near(found: float, expected: float, allowed: float) -> bool:
    """Whether the two differ by less than a part of the expected."""
    return abs(found - expected) < allowed * expected


def check_a_fleet_is_its_seed() -> None:
    """The same seed gives the same devices, another one others; a smaller fleet is the beginning of a larger."""
    assert fleets.build(7, 500).devices == FLEET.devices[:500]
    assert fleets.build(8, 500).devices != FLEET.devices[:500]


def check_a_fate_does_not_depend_on_what_was_asked_before() -> None:
    """Asked backwards, and by another fleet object, every course is the same."""
    other = fleets.Fleet(seed=7, devices=FLEET.devices)
    for release in RELEASES:
        ahead = [FLEET.course(release, device, 1, 100) for device in FLEET.devices[:300]]
        back = [other.course(release, device, 1, 100) for device in reversed(FLEET.devices[:300])]
        assert ahead == back[::-1]


def check_devices_come_back_when_they_say() -> None:
    """A device is reachable at its next instant, and not a second before."""
    for device in FLEET.devices[:2000]:
        for at in (0, 17, 5 * HOUR, 3 * DAY + 11):
            found = device.next_reachable(at)
            if found is None:
                assert device.habit is Habit.STORED
                assert not device.reachable_at(at)
                continue
            assert device.reachable_at(found)
            assert found == at or not device.reachable_at(found - 1)
            assert found - at <= 6 * DAY


def check_10_to_30_percent_are_offline() -> None:
    """At every hour of a week, sleepers not counted."""
    for at in range(0, 7 * DAY, HOUR):
        offline = sum(
            not device.reachable_at(at) for device in FLEET.devices if device.habit is not Habit.SLEEPING
        ) / len(FLEET.devices)
        assert OFFLINE[0] <= offline <= OFFLINE[1], (at, offline)


def check_releases_concern_as_many_as_they_say() -> None:
    """And the same devices at every attempt."""
    for release in RELEASES:
        share = release.share * (fleets.REVISION_SHARE if release.revision else 1)
        concerned = [device for device in FLEET.devices if FLEET.concerns(release, device)]
        assert near(len(concerned), share * len(FLEET.devices), 0.15) or share == 0 == len(concerned), release.name
        assert all(device.revision for device in concerned) or not release.revision
        for device in concerned[:200]:
            fates = [FLEET.fate(release, device, attempt) for attempt in range(1, 6)]
            assert all(fate.harmed or fate.ending is Ending.FAILS for fate in fates)
            assert any(fate.harmed for fate in fates)


def check_harm_is_done_when_it_says() -> None:
    """Who falls back does so between the ages that the release names, and is found there later."""
    for release in RELEASES:
        for device in FLEET.devices[:3000]:
            course = FLEET.course(release, device, 1, 1000)
            assert course.began_at < course.ended_at <= course.began_at + 45 * MINUTE
            assert (course.reported_at is None) == (course.ending is Ending.SILENCE or not device.awake)
            if course.fell_back_at is not None:
                assert release.after[0] <= course.fell_back_at - course.ended_at <= release.after[1]
                assert course.harmed_at == course.fell_back_at
                assert course.fall_back_seen_at is None or course.fall_back_seen_at >= course.fell_back_at


def check_a_flaky_network_breaks_attempts_and_harms_nobody() -> None:
    """3.6 % of attempts, and mostly other ones the next time."""
    first = {device.number for device in FLEET.devices if FLEET.fate(FLAKY, device, 1).ending is Ending.FAILS}
    second = {device.number for device in FLEET.devices if FLEET.fate(FLAKY, device, 2).ending is Ending.FAILS}
    assert near(len(first), 0.036 * len(FLEET.devices), 0.15)
    assert len(first & second) < 0.2 * len(first)
    assert not any(FLEET.fate(FLAKY, device, 1).harmed for device in FLEET.devices)


def check_a_device_is_harmed_once() -> None:
    """By its earliest harm; and nothing counts after the horizon."""
    ledger = Ledger(policy="any", fleet=FLEET, release=FAILING)
    device = next(device for device in STEADY.devices if FLEET.fate(FAILING, device, 1).harmed)
    course = FLEET.course(FAILING, device, 1, 1000)
    for shifted in (9000, 500, HORIZON + 1):
        ledger.note(device, replace(course, harmed_at=shifted))
    assert ledger.outcome().harmed_at == (500,)


def check_every_policy_repeats_itself() -> None:
    """Same fleet, release and seed: the same outcome; and a good release is harmless and never stopped."""
    for policy in RIVALS:
        outcome = policy.run(FLEET, GOOD, 3)
        assert outcome == policy.run(FLEET, GOOD, 3)
        assert (outcome.harmed, outcome.stopped_at) == (0, None)
        assert outcome.finished_at is not None
        assert outcome.updated <= FLEET.reachable


def check_at_once_harms_everybody_concerned() -> None:
    """All that are reached, and whose connection does not save them."""
    for release in RELEASES:
        outcome = AtOnce().run(STEADY, release, 1)
        assert outcome.harmed == sum(STEADY.fate(release, device, 1).harmed for device in STEADY.devices)


def check_hawkbit_pauses_on_errors_and_lets_its_group_go_on() -> None:
    """More than 10 % errors in the first group: no second one; but all of the first is served."""
    outcome = HawkBit().run(STEADY, FAILING, 1)
    assert outcome.stopped_at is not None
    first = round(len(STEADY.devices) * 0.01)
    assert outcome.harmed + outcome.updated <= first
    assert outcome.harmed_at[-1] > outcome.stopped_at
    assert HawkBit(error=0.5).run(STEADY, FAILING, 1).stopped_at is None


def check_hawkbit_waits_for_its_success_threshold() -> None:
    """Bricks are no errors, and no successes either: the first group never ends, and is never stopped."""
    outcome = HawkBit().run(STEADY, fleets.BRICKING, 1)
    assert outcome.stopped_at is None
    assert outcome.harmed + outcome.updated <= round(len(STEADY.devices) * 0.01)
    assert HawkBit(success=0.5).run(STEADY, fleets.BRICKING, 1).harmed > 0.25 * len(STEADY.devices)


def check_aws_jobs_speeds_up() -> None:
    """50 a minute for the first 1000, 100 for the next, 200, 400, 800, and 1000 from then on."""
    quick = AwsJobs(retries=0)
    outcome = quick.run(STEADY, Release(name="all fail", harm=Harm.FAILS, share=1.0, drops=0.0), 1)
    # stopped at the 100th that ended, when the first minutes' devices had been told
    assert outcome.stopped_at is not None
    assert outcome.stopped_at < 10 * MINUTE
    assert outcome.harmed <= 50 * (outcome.stopped_at // MINUTE + 1)
    every = replace(quick, threshold=2.0).run(STEADY, Release(name="all fail", harm=Harm.FAILS, share=1.0), 1)
    minutes = (20 + 10 + 5 + 3 + 1) * MINUTE + (len(STEADY.devices) - 5000) / 1000 * MINUTE
    assert minutes < every.harmed_at[-1] < minutes + HOUR


def check_aws_jobs_stops_by_time_outs_and_lets_go_on_who_began() -> None:
    """Bricks are seen when their hour is over."""
    outcome = AwsJobs().run(STEADY, fleets.BRICKING, 1)
    assert outcome.stopped_at is not None
    assert outcome.stopped_at > HOUR
    patient = AwsJobs(timeout=8 * DAY).run(STEADY, fleets.BRICKING, 1)
    assert patient.stopped_at is not None
    assert patient.stopped_at > 8 * DAY


def check_aws_jobs_tries_again() -> None:
    """Broken connections are made good by retries."""
    without = AwsJobs(retries=0).run(STEADY, FLAKY, 1)
    assert AwsJobs().run(STEADY, FLAKY, 1).updated > without.updated > 0.9 * len(STEADY.devices)


def check_tables_and_drawings_name_everything() -> None:
    """One row for each release and policy, one panel for each harmful release, a line for each policy in it."""
    outcomes = [policy.run(STEADY, release, 1) for release in RELEASES for policy in RIVALS]
    table = tables.markdown(outcomes)
    assert table.count("\n") == 2 + len(RELEASES) * len(RIVALS)
    drawing = tables.svg([*outcomes, *outcomes])
    harmful = sum(release.harm is not None for release in RELEASES)
    assert drawing.count("<g ") == drawing.count("</g>") == harmful
    assert drawing.count("<polyline ") == harmful * len(RIVALS)
    assert [tables.span(seconds) for seconds in (90 * MINUTE, 5 * HOUR, 3 * DAY)] == ["90 min", "5.0 h", "3.0 d"]


def check_false_stops_are_rare_far_from_the_limit_and_not_at_it() -> None:
    """Nobody is stopped at a fifth of the limit; at the limit itself many are, and more by looking often than once."""
    found = {peeks.rate: peeks for peeks in peeking.measure(10, 20_000, seed=1)}
    assert found[0.01].peeking == found[0.01].settled == 0
    assert found[0.05].settled > found[0.05].once
    assert found[0.05].peeking >= found[0.05].once


def main() -> None:
    """Run every check of this module."""
    checks = [check for name, check in globals().items() if name.startswith("check_")]
    for check in checks:
        check()
    print(f"{len(checks)} checks")


if __name__ == "__main__":
    main()
