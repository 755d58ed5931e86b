"""Service and broker are killed -9 at once: what the broker had saved is applied once, and the database wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.services import Service, eventually, report, until_retained, until_sentinel
from tests.system.kills import stored, until_stopped
from tests.system.rollouts import check_recount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TOKENS = ["a", "b", "c"]
STOPPED_AT = [("batch-stored", 3), ("batch-committed", 4)]
"""And how many reports are stored then."""


def _has(service: Service, reports: int) -> Callable[[], Awaitable[bool]]:
    async def has() -> bool:
        return await stored(service) == reports

    return has


@pytest.mark.parametrize(("step", "reports"), STOPPED_AT)
async def test_invariant_2_both_killed_at_once_after_a_save_with_a_report_in_flight_apply_it_once(
    step: str, reports: int
) -> None:
    """The report is in hand, before or after its commit and not acknowledged, when the broker saves its store."""
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await service.define()
        for token in TOKENS:
            await report(broker, token, "1.0.0")
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        assert await service.terminate() == 0
        await service.start(STOP_AT=step)
        await service.ready()
        await report(broker, "a", "1.1.0")
        await until_stopped(service)
        assert await stored(service) == reports
        # Behind it waits another one.
        await report(broker, "b", "1.1.0")
        await broker.snapshot_store()
        await service.kill()
        await broker.kill()
        await broker.start()
        await service.start()
        await service.ready()
        await until_retained(broker, {"a": "2.0.0", "b": "2.0.0", "c": "1.1.0"})
        await eventually(_has(service, 5), "both are stored")
        for token in ("a", "b"):
            kinds = await service.history(token)
            assert kinds.count(("reported", "1.1.0")) == kinds.count(("confirmed", "1.1.0")) == 1, kinds
        await check_recount(service)


async def test_invariant_1_both_killed_at_once_after_a_save_that_is_out_of_date_leave_what_was_acknowledged() -> None:
    """Between the save and the kill one is offered the next version, one nothing more, and one is new."""
    async with Mosquitto(tokens=[*TOKENS, "d"]) as broker, Service(broker) as service:
        await service.define()
        for token in TOKENS:
            await report(broker, token, "1.0.0")
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        await until_sentinel(broker, len(TOKENS))
        await broker.snapshot_store()
        for token, version in (("a", "1.1.0"), ("b", "2.0.0"), ("d", "1.0.0")):
            await report(broker, token, version)
            await service.until_running(token, version)
        expected = {"a": "2.0.0", "c": "1.1.0", "d": "1.1.0"}
        await until_retained(broker, expected)
        await service.kill()
        await broker.kill()
        await broker.start()
        # The broker is back with the offers of before, as long as nobody tells it otherwise.
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        await service.start()
        await service.ready()
        await until_retained(broker, expected)
        assert await stored(service) == 6
        assert (await service.endpoint("b"))["runningVersion"] == "2.0.0"
        await check_recount(service)
