from __future__ import annotations

import pytest

from broker_bridge import reasons


@pytest.mark.parametrize("code", [0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C])
def test_refusals_for_good(code: int) -> None:
    assert reasons.is_for_good(code)
    assert reasons.needs_a_person(code)


@pytest.mark.parametrize("code", [0x88, 0x89, 0x97, 0x9F])
def test_a_busy_broker_is_worth_another_try(code: int) -> None:
    assert not reasons.is_for_good(code)
    assert not reasons.needs_a_person(code)


def test_a_second_client_with_our_id_takes_its_time_and_is_not_for_good() -> None:
    assert reasons.needs_a_person(reasons.SESSION_TAKEN_OVER)
    assert not reasons.is_for_good(reasons.SESSION_TAKEN_OVER)
    assert not reasons.needs_a_person(None)


def test_codes_have_the_specification_s_names() -> None:
    assert reasons.name(0x8E) == "Session taken over"
    assert reasons.name(0xFE) == "reason code 0xfe"
