"""What a fleet says before it has begun."""

from __future__ import annotations

import resource

import pytest

from device_sim import mixes
from device_sim.errors import AddressError, BrokerUnreachableError, TooManyConnectionsError
from device_sim.fleets import Fleet
from device_sim.plans import FleetPlan
from tests.brokers import free_port

PLAN = FleetPlan(app_version="v", devices=3, versions=mixes.parse("1.0.0"))


async def test_a_broker_that_is_not_there_is_said_on_entering() -> None:
    fleet = Fleet(PLAN, f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnreachableError):
        await fleet.run(seconds=1)


def test_an_address_that_is_none_is_said_at_once() -> None:
    with pytest.raises(AddressError):
        Fleet(PLAN, "broker.example")


async def test_more_connections_than_files_are_refused() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    plan = FleetPlan(app_version="v", devices=min(hard, 1_000_000), versions=mixes.parse("1.0.0"))
    with pytest.raises(TooManyConnectionsError, match=f"{plan.devices} connections need more than the {hard} files"):
        await Fleet(plan, "mqtt://127.0.0.1").run(seconds=1)


def test_before_it_is_entered_there_is_nothing_to_see() -> None:
    fleet = Fleet(PLAN, "mqtt://127.0.0.1")
    with pytest.raises(RuntimeError, match="between entering and leaving"):
        fleet.progress()
    with pytest.raises(RuntimeError):
        fleet.devices()
