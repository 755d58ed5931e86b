"""The words for a device, and the moves between its states."""

from __future__ import annotations

import itertools
import random

import pytest

from device_sim.devices import MOVES, Device, Model, State, about, moved
from device_sim.errors import IllegalMoveError

MODEL = Model(token="tok", app_version="kettle-v1")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_only_the_moves_of_the_table_are_made(before: State, after: State) -> None:
    if after in MOVES[before]:
        assert moved(before, after) is after
    else:
        with pytest.raises(IllegalMoveError, match=f"from {before} to {after}"):
            moved(before, after)


def test_every_state_but_the_last_leads_somewhere() -> None:
    assert [state for state in State if not MOVES[state]] == [State.GONE]


def test_it_subscribes_to_its_offer_first_and_to_attributes_only_if_it_has_some() -> None:
    assert MODEL.topic_filters == (
        "kp1/kettle-v1/cmx_ota/tok/config/json/status",
        "kp1/kettle-v1/cmx_ota/tok/consent/json/status",
        "kp1/kettle-v1/cmx_ota/tok/+/json/+/+",
    )
    described = Model(token="tok", app_version="kettle-v1", attributes=b"{}")
    assert described.topic_filters[3:] == ("kp1/kettle-v1/epmx/tok/update/keys/+/+",)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 5.0), (0.5, 10.0), (1.0, 15.0)])
def test_times_are_half_of_what_they_say_to_one_and_a_half(drawn: float, seconds: float) -> None:
    class Drawn(random.Random):
        def random(self) -> float:
            return drawn

    assert about(10.0, Drawn()) == seconds


def test_it_is_settled_when_it_rests_and_its_version_is_confirmed() -> None:
    device = Device(model=MODEL, slots=("1.0.0", "1.1.0"), active=1, state=State.IDLE, confirmed="1.1.0")
    assert device.running == "1.1.0"
    assert device.settled
    assert not Device(model=MODEL, slots=("1.0.0", "1.1.0"), state=State.IDLE, confirmed="1.1.0").settled
    assert not Device(model=MODEL, slots=("1.0.0", "1.0.0"), state=State.OFF, confirmed="1.0.0").settled
