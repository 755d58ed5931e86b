"""Which hops are open, which wait for what, and until when; a property holds this and the named rules together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain import openings
from orchestrator.domain.catalogues import Catalogue
from orchestrator.domain.freezes import Freeze
from orchestrator.domain.policies import OnClose, RolloutPolicy, Window
from orchestrator.domain.rollouts import Phase, Rollout
from tests.unit.orchestrator.domain.builders import DAY, HOUR, NOW, at, catalogue, general, recalled, v

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.domain.openings import Openness
    from orchestrator.domain.software import Software
    from orchestrator.domain.standings import Standing

NEXT = general("1.1.0", "1.0.0")
EVENING = Window(cron="0 20 * * *", duration=4 * HOUR)
"""Opens eight hours from now."""
NOON = Window(cron="0 11 * * *", duration=4 * HOUR)
"""Has been open for an hour."""


def within(window: Window, item: Software = NEXT) -> Software:
    return replace(item, policy=replace(item.policy, window=window))


def found(made: Catalogue, standing: Standing) -> Openness:
    return openings.of(made.successors(standing.running), standing, made, NOW)


def sets(openness: Openness) -> dict[str, int]:
    names = ("open", "kept", "asking", "refused")
    return {name: getattr(openness, name) for name in names if getattr(openness, name)}


def test_what_nothing_keeps_closed_is_open_from_now_on() -> None:
    openness = found(catalogue(NEXT), at("1.0.0"))
    assert (sets(openness), openness.until) == ({"open": 1}, None)


@pytest.mark.parametrize("standing", [at("1.0.0"), at("1.0.0", pinned="1.1.0")])
def test_what_is_paused_is_open_to_nobody(standing: Standing) -> None:
    paused = replace(NEXT, rollout=Rollout(phase=Phase.PAUSED))
    assert found(catalogue(paused), standing) == openings.Openness()


def test_a_freeze_and_a_soak_hold_everything_but_a_rescue_from_the_soak() -> None:
    soaking = replace(at("1.0.0"), soaking=v("1.0.0"))
    freeze = Freeze(since=NOW, by="anna", reason=None, everywhere=False)
    assert found(catalogue(NEXT), soaking) == openings.Openness()
    assert found(Catalogue.of([NEXT], freeze=freeze), at("1.0.0")) == openings.Openness()
    assert found(catalogue(recalled("1.0.0"), NEXT), soaking).open == 0b10
    assert found(Catalogue.of([recalled("1.0.0"), NEXT], freeze=freeze), soaking) == openings.Openness()


def test_stages_hold_who_is_neither_pinned_nor_rescued() -> None:
    made = catalogue(general("1.0.0"), NEXT, general("1.2.0", "1.0.0"))
    held = replace(at("1.0.0"), held=0b010)
    assert found(made, held).open == 0b100
    assert found(made, replace(held, pinned=v("1.1.0"))).open == 0b110
    rescue = catalogue(recalled("1.0.0"), NEXT, general("1.2.0", "1.0.0"))
    assert found(rescue, held).open == 0b110


@pytest.mark.parametrize(
    ("software", "until"),
    [
        ([replace(NEXT, rollout_date=NOW + DAY)], NOW + DAY),
        ([replace(NEXT, rollout_date=NOW + DAY), general("1.2.0", "1.0.0", rollout_date=NOW + HOUR)], NOW + HOUR),
        ([replace(NEXT, rollout_date=NOW + DAY, policy=RolloutPolicy(end=NOW + DAY))], None),
        ([within(EVENING)], NOW + 8 * HOUR),
        # The date comes while the window is open, before it, or after it has closed again.
        ([within(EVENING, replace(NEXT, rollout_date=NOW + 10 * HOUR))], NOW + 10 * HOUR),
        ([within(EVENING, replace(NEXT, rollout_date=NOW + HOUR))], NOW + 8 * HOUR),
        ([within(EVENING, replace(NEXT, rollout_date=NOW + 13 * HOUR))], NOW + 32 * HOUR),
        ([within(NOON, replace(NEXT, rollout_date=NOW + 4 * HOUR))], NOW + 23 * HOUR),
        ([replace(NEXT, policy=RolloutPolicy(window=EVENING, end=NOW + 8 * HOUR))], None),
    ],
)
def test_what_opens_later_says_when(software: list[Software], until: datetime | None) -> None:
    openness = found(catalogue(*software), at("1.0.0"))
    assert (openness.open, openness.until) == (0, until)


def test_a_back_off_is_waited_for_by_pinned_endpoints_too() -> None:
    standing = replace(at("1.0.0", pinned="1.1.0"), retry_at=((v("1.1.0"), NOW + HOUR),))
    openness = found(catalogue(within(EVENING, replace(NEXT, rollout_date=NOW + DAY))), standing)
    assert (openness.open, openness.until) == (0, NOW + HOUR)


def test_a_window_is_set_aside_by_a_pin_and_by_a_rescue_and_a_date_by_a_pin_alone() -> None:
    late = within(EVENING, replace(NEXT, rollout_date=NOW + HOUR))
    assert found(catalogue(late), at("1.0.0", pinned="1.1.0")).open == 1
    rescue = found(catalogue(recalled("1.0.0"), late), at("1.0.0"))
    assert (rescue.open, rescue.until) == (0, NOW + HOUR)
    assert found(catalogue(recalled("1.0.0"), within(EVENING)), at("1.0.0")).open == 0b10


def test_a_window_in_the_endpoints_own_zone_opens_by_that() -> None:
    own = within(replace(EVENING, time_zone=None))
    assert found(catalogue(own), at("1.0.0")).until == NOW + 8 * HOUR
    assert found(catalogue(own), replace(at("1.0.0"), zone="Asia/Tokyo")).open == 1


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        (within(EVENING), 1),
        (within(replace(EVENING, on_close=OnClose.WITHDRAW)), 0),
        (within(EVENING, replace(NEXT, rollout_date=NOW + HOUR)), 0),
        (within(EVENING, replace(NEXT, policy=RolloutPolicy(consent=True))), 0),
    ],
)
def test_what_only_its_window_closes_keeps_its_offers_where_it_says_so(item: Software, kept: int) -> None:
    assert sets(found(catalogue(item), at("1.0.0"))) == ({"kept": 1} if kept else {})


def test_where_only_consent_is_wanting_the_endpoint_is_to_be_asked() -> None:
    asking = Catalogue.of([NEXT, general("1.2.0", "1.0.0", rollout_date=NOW + HOUR)], consent=True)
    openness = found(asking, at("1.0.0"))
    # When what nobody consented to opens, it is not open to this endpoint.
    assert (sets(openness), openness.until) == ({"asking": 0b01}, None)
    consented = replace(at("1.0.0"), consented=frozenset({v("1.1.0"), v("1.2.0")}))
    openness = found(asking, consented)
    assert (sets(openness), openness.until) == ({"open": 0b01}, NOW + HOUR)


def test_what_was_refused_is_not_asked_for_again() -> None:
    refused = replace(at("1.0.0"), refused=frozenset({v("1.1.0"), v("1.2.0")}))
    asking = Catalogue.of([NEXT, replace(general("1.2.0", "1.0.0"), policy=RolloutPolicy(consent=False))], consent=True)
    # Refused where nobody had asked: it needs no consent.
    assert sets(found(asking, refused)) == {"refused": 0b01, "open": 0b10}
    assert found(Catalogue.of([recalled("1.0.0"), NEXT], consent=True), refused).open == 0b10
