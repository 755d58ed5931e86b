"""Housekeeping is killed between two steps: what is left is whole, and the numbers are what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.services import Service, eventually, report, until_retained
from tests.system.rollouts import check_recount

if TYPE_CHECKING:
    from pathlib import Path

REMOVAL_STEPS = [("removal-written", "attempts"), ("rows-removed", "attempts"), ("rows-removed:2", "audit")]
"""And what is left to be removed then."""
HALF_A_YEAR_AND_A_BIT = 200 * 86400


async def _removed(service: Service, kind: str) -> bool:
    return await service.metric(f'otao_removed_rows_total{{kind="{kind}"}}') > 0


@pytest.mark.parametrize(("step", "left"), REMOVAL_STEPS)
async def test_invariant_8_kill_between_two_removals_keeps_numbers_offers_and_the_rest_of_history(
    step: str, left: str, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    offset.write_text(str(-HALF_A_YEAR_AND_A_BIT))
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset), OTAO_AUDIT_RETENTION="P180D") as service,
    ):
        await service.define()
        for version in ("1.0.0", "1.1.0"):
            await report(broker, "a", version)
            await service.until_running("a", version)
        await report(broker, "b", "1.0.0")
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        assert await service.terminate() == 0
        offset.write_text("0")
        await service.start(KILL_AT=step)
        assert await service.died() == -9
        await service.start()
        await service.ready()
        await eventually(lambda: _removed(service, left), "what was left is removed after the restart")
        assert await service.history("a") == await service.history("b") == []
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        # The attempts are known although their history is gone, and history goes on.
        await report(broker, "b", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "b": "2.0.0"})
        assert await service.history("b") == [("reported", "1.1.0"), ("confirmed", "1.1.0"), ("offered", "2.0.0")]
        summary = await service.get("/applications/kettle/software/1.1.0/rollout")
        assert summary["stages"][0]["confirmed"] == 2
        await check_recount(service)
