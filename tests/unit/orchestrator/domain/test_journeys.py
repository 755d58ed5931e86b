"""Journeys of kinds of endpoints: what is open at once, and what time and people open."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.freezes import Freeze
from orchestrator.domain.journeys import Edge, Journey, Traveller
from orchestrator.domain.kinds import Kind
from orchestrator.domain.policies import OnClose, RolloutPolicy, Window
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import DAY, HOUR, NOW, catalogue, general, recalled, v

if TYPE_CHECKING:
    from orchestrator.domain.software import Software

ONE = v("1.0.0")
TWO = frozenset({v("2.0.0")})
FORKED = (general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.0.0", "1.1.0"))
CLOSED = Window(cron="0 13 * * *", duration=HOUR)
"""It opens in an hour."""


def journey(kind: Kind, *software: Software) -> Journey:
    return Traveller(catalogue(*software), NOW).journey(kind)


def edges(*versions: str) -> tuple[Edge, ...]:
    path = [v(text) for text in versions]
    return tuple(Edge(source, target) for source, target in pairwise(path))


def test_an_open_hop_is_taken_before_one_that_opens_later() -> None:
    later = general("2.0.0", "1.0.0", "1.1.0", rollout_date=NOW + HOUR)
    found = journey(Kind(running=ONE), *FORKED[:2], later)
    assert found.hops == edges("1.0.0", "1.1.0", "2.0.0")
    assert found.waits == ((v("2.0.0"), NOW + HOUR),)
    assert found.first == v("1.1.0")


def test_who_backs_off_from_one_hop_takes_another_that_is_open() -> None:
    found = journey(Kind(running=ONE, backing_off=TWO), *FORKED)
    assert found.hops == edges("1.0.0", "1.1.0", "2.0.0")
    assert found.waits == ()


def test_a_started_install_goes_on_first_and_is_no_first_offer() -> None:
    found = journey(Kind(running=ONE, installing=v("1.1.0"), origin=ONE), *FORKED)
    assert found.hops == edges("1.0.0", "1.1.0", "2.0.0")
    assert found.first is None


def test_a_started_install_of_recalled_software_does_not() -> None:
    kind = Kind(running=ONE, installing=v("1.1.0"), origin=ONE)
    assert journey(kind, general("1.0.0"), recalled("1.1.0", "1.0.0")).hops == ()


def test_an_offer_that_is_there_already_is_no_first_offer() -> None:
    assert journey(Kind(running=ONE, offered=v("2.0.0")), *FORKED).first is None
    assert journey(Kind(running=ONE, offered=v("1.1.0")), *FORKED).first == v("2.0.0")


def test_who_soaks_is_offered_nothing_at_once_and_goes_on_later() -> None:
    kind = Kind(running=v("1.1.0"), soaking=v("1.1.0"))
    found = journey(kind, *FORKED)
    assert (found.first, found.hops) == (None, edges("1.1.0", "2.0.0"))
    poisoned = (general("1.0.0"), recalled("1.1.0", "1.0.0"), general("2.0.0", "1.1.0"))
    assert journey(kind, *poisoned).first == v("2.0.0")


def test_whose_token_is_suspended_goes_nowhere() -> None:
    found = journey(Kind(running=ONE, installing=v("1.1.0"), origin=ONE, token_state=TokenState.SUSPENDED), *FORKED)
    assert (found.hops, found.first, found.end.running) == ((), None, ONE)


def test_whom_a_stage_does_not_admit_yet_takes_what_is_open_first() -> None:
    found = journey(Kind(running=ONE, later=TWO), *FORKED)
    assert (found.first, found.hops) == (v("1.1.0"), edges("1.0.0", "1.1.0", "2.0.0"))
    only = (FORKED[0], FORKED[2])
    assert journey(Kind(running=ONE, later=TWO), *only).first is None
    assert journey(Kind(running=ONE, later=TWO), *only).hops == edges("1.0.0", "2.0.0")


def test_whom_no_stage_admits_rests_before_it() -> None:
    found = journey(Kind(running=ONE, never=TWO), *FORKED)
    assert found.hops == edges("1.0.0", "1.1.0")
    assert found.end.held == 0b100


def test_a_pinned_endpoint_and_a_rescued_one_are_held_by_no_stage() -> None:
    pinned = journey(Kind(running=ONE, pinned=v("2.0.0"), never=TWO), *FORKED)
    assert (pinned.first, pinned.staged) == (v("2.0.0"), frozenset())
    back = (recalled("1.0.0"), general("2.0.0", "1.0.0"))
    rescued = journey(Kind(running=ONE, never=TWO), *back)
    assert (rescued.first, rescued.staged) == (v("2.0.0"), frozenset())
    assert journey(Kind(running=ONE), *FORKED).staged == TWO


@pytest.mark.parametrize("phase", [Phase.PAUSED, Phase.WAITING_APPROVAL, Phase.FINISHED])
def test_a_pause_holds_what_would_be_offered_at_once_and_no_move(phase: Phase) -> None:
    two = replace(general("2.0.0", "1.0.0"), rollout=Rollout(phase=phase))
    found = journey(Kind(running=ONE), general("1.0.0"), two)
    assert found.hops == edges("1.0.0", "2.0.0")
    assert found.first == (None if phase is Phase.PAUSED else v("2.0.0"))


def test_an_aborted_rollout_moves_nobody() -> None:
    two = replace(general("2.0.0", "1.0.0"), rollout=Rollout(phase=Phase.ABORTED))
    assert journey(Kind(running=ONE), general("1.0.0"), two).hops == ()


def test_a_freeze_holds_what_would_be_offered_at_once_and_no_move() -> None:
    freeze = Freeze(since=NOW, by="otto", reason=None, everywhere=False)
    found = Traveller(Catalogue.of(FORKED, freeze=freeze), NOW).journey(Kind(running=ONE))
    assert (found.first, found.hops) == (None, edges("1.0.0", "2.0.0"))


def test_consent_is_asked_for_and_then_given_up() -> None:
    asking = Traveller(Catalogue.of(FORKED, consent=True), NOW)
    found = asking.journey(Kind(running=ONE))
    assert (found.first, found.asks, found.hops) == (None, v("2.0.0"), edges("1.0.0", "2.0.0"))
    assert asking.journey(Kind(running=ONE, consented=TWO)).first == v("2.0.0")
    assert asking.journey(Kind(running=ONE, asked=v("2.0.0"))).asks is None
    refused = asking.journey(Kind(running=ONE, refused=TWO))
    assert (refused.asks, refused.hops) == (v("1.1.0"), edges("1.0.0", "2.0.0"))


def test_a_window_is_waited_for() -> None:
    two = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(window=CLOSED))
    found = journey(Kind(running=ONE), general("1.0.0"), two)
    assert (found.first, found.waits) == (None, ((v("2.0.0"), NOW + HOUR),))
    assert found.hops == edges("1.0.0", "2.0.0")


def test_a_window_in_the_endpoints_own_zone_opens_there() -> None:
    own = replace(CLOSED, time_zone=None)
    two = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(window=own))
    software = (general("1.0.0"), two)
    assert journey(Kind(running=ONE, zone="Europe/Berlin"), *software).first == v("2.0.0")
    assert journey(Kind(running=ONE, zone="Asia/Tokyo"), *software).waits == ((v("2.0.0"), NOW + 16 * HOUR),)


def test_an_offer_that_a_closed_window_keeps_may_be_installed_now() -> None:
    kind = Kind(running=ONE, offered=v("2.0.0"))
    for on_close, waits in ((OnClose.KEEP, ()), (OnClose.WITHDRAW, ((v("2.0.0"), NOW + HOUR),))):
        window = replace(CLOSED, on_close=on_close)
        two = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(window=window))
        assert journey(kind, general("1.0.0"), two).waits == waits


def test_a_date_on_which_the_window_is_closed_is_not_the_last_one() -> None:
    two = general("2.0.0", "1.0.0", rollout_date=NOW + 3 * HOUR)
    found = journey(Kind(running=ONE), general("1.0.0"), replace(two, policy=RolloutPolicy(window=CLOSED)))
    assert found.waits == ((v("2.0.0"), NOW + DAY + HOUR),)


def test_what_opens_after_its_end_stays_closed() -> None:
    two = replace(general("2.0.0", "1.0.0"), policy=RolloutPolicy(window=CLOSED, end=NOW + HOUR))
    found = journey(Kind(running=ONE), general("1.0.0"), two)
    assert (found.hops, found.end_at) == ((), NOW)


def test_who_waits_for_what_ends_before_it_opens_goes_on_to_the_next_lower_then() -> None:
    two = replace(general("2.0.0", "1.0.0", rollout_date=NOW + DAY), policy=RolloutPolicy(end=NOW + HOUR))
    found = journey(Kind(running=ONE), general("1.0.0"), general("1.1.0", "1.0.0"), two)
    assert found.hops == edges("1.0.0", "1.1.0")
    assert found.waits == ((v("1.1.0"), NOW + HOUR),)


def test_journeys_are_remembered() -> None:
    traveller = Traveller(catalogue(*FORKED), NOW)
    assert traveller.journey(Kind(running=ONE)) is traveller.journey(Kind(running=ONE))
