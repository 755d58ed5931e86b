"""The doctor of a real service on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api import diagnoses
from tests.brokers import Mosquitto
from tests.services import Service, eventually, retained

if TYPE_CHECKING:
    from tests.system.rests import Json, Rest


async def examined(service: Service) -> dict[str, Json]:
    document = await service.get("/doctor")
    diagnoses.Diagnosis.model_validate(document)
    return {item["check"]: item for item in document["checks"]}


async def test_the_shipped_configuration_passes_and_the_probes_leave_nothing_behind() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        found = await examined(service)
        # Which Mosquitto there is, is the machine's affair; so is how much room it has.
        assert "mosquitto version" in found["broker.version"]["detail"]
        judged = {name: item["status"] for name, item in found.items()}
        assert {name for name, status in judged.items() if status != "ok"} <= {"broker.version", "database"}
        assert judged["broker.access"] == "ok"
        assert await retained(broker, app_version="otao-doctor") == {}
        assert await service.metric("otao_foreign_pushes_total") == 0


async def test_a_broker_that_is_gone_is_told_and_the_rest_looked_at() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        await broker.kill()

        async def told() -> bool:
            return bool((await examined(service))["broker.connection"]["status"] == "failed")

        await eventually(told, "the doctor misses the broker")
        assert (await examined(service))["pushes.parked"]["status"] == "ok"


async def test_the_doctor_is_asked_over_rest(rest: Rest) -> None:
    checks = (await rest.get("/api/v1/doctor"))["checks"]
    assert [item["check"] for item in checks][:2] == ["broker.connection", "broker.subscriptions"]
    assert await rest.refused("POST", "/api/v1/doctor") == (405, "method-not-allowed")
