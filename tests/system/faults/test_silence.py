"""Endpoints that are silent for long are retired, and come back when they speak; kill -9 in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.domain.endpoints import HistoryKind
from orchestrator.persistence.rows import HISTORY_CODES
from tests.brokers import Mosquitto
from tests.services import Service, eventually, report, until_retained
from tests.system.kills import count, die_at
from tests.system.rollouts import check_recount

if TYPE_CHECKING:
    from pathlib import Path

RETIREMENT_STEPS = [("retirement-written", 0), ("endpoints-retired", 2)]
"""And how many are retired then."""
RETIRED = f"kind = {HISTORY_CODES[HistoryKind.RETIRED]}"
HUNDRED_DAYS = 100 * 86400


async def _state(service: Service, endpoint_id: str) -> str:
    return str((await service.endpoint(endpoint_id))["tokenState"])


async def test_kill_after_a_retirement_was_stored_clears_its_topic_and_time_without_service_is_no_silence(
    tmp_path: Path,
) -> None:
    offset = tmp_path / "offset"
    offset.write_text(str(-HUNDRED_DAYS))
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset), OTAO_RETIRE_AFTER="never") as service,
    ):
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        assert await service.terminate() == 0
        # A hundred days later everybody could be taken for silent. They could not be heard.
        offset.write_text("0")
        await service.start(OTAO_RETIRE_AFTER="P60D", OTAO_UNSEEN_AFTER="PT1S")
        await service.ready()
        await report(broker, "b", "1.0.0")
        await eventually(lambda: _looked(service), "endpoints were looked at")
        assert [await _state(service, token) for token in ("a", "b")] == ["active", "active"]
        await service.kill()
        for step, retired in RETIREMENT_STEPS:
            await die_at(service, step, OTAO_RETIRE_AFTER="PT1S")
            assert await count(service, "history", RETIRED) == retired
        await service.start(OTAO_RETIRE_AFTER="PT1S")
        await service.ready()

        async def both() -> bool:
            return [await _state(service, token) for token in ("a", "b")] == ["retired", "retired"]

        await eventually(both, "both are retired")
        await until_retained(broker, {})
        await check_recount(service)


async def _looked(service: Service) -> bool:
    return await service.metric("otao_endpoints_unseen") > 0


async def _retired(service: Service) -> bool:
    return await service.metric("otao_endpoints_retired") > 0


async def _gone(service: Service) -> bool:
    return await _state(service, "a") == "retired"


async def test_a_retired_endpoint_has_nothing_retained_until_it_is_heard() -> None:
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, OTAO_RETIRE_AFTER="PT6S", OTAO_UNSEEN_AFTER="PT1S") as service,
    ):
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await eventually(lambda: _gone(service), "retired")
        await until_retained(broker, {})
        await eventually(lambda: _retired(service), "counted")
        listed = await service.get("/applications/kettle/endpoints?tokenState=retired")
        assert [item["endpointId"] for item in listed["items"]] == ["a"]
        explained = await service.get("/applications/kettle/endpoints/a/explain")
        assert explained["outcome"] == "suspended"
        assert "retired" in explained["summary"]
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        kinds = [kind for kind, _ in await service.history("a")]
        assert kinds[:6] == ["reported", "offered", "retired", "withdrawn", "reported", "offered"]
        await check_recount(service)
