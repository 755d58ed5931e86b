"""The doctor of a real service on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.api import diagnoses
from protocol import access_rules
from protocol.topics import Instances
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
        for resource in ("config/json", "applied/json"):
            assert await retained(broker, app_version="otao-doctor", resource=resource) == {}
        async with service.client() as client:
            metrics = (await client.get("/metrics")).text
        assert "otao_commands_refused_total{" not in metrics
        assert await service.metric("otao_foreign_pushes_total") == 0


@pytest.mark.parametrize(
    ("line", "instead", "check", "said"),
    [
        (
            "topic readwrite kp1/#",
            "topic write kp1/#\ntopic read kp1/+/+/+/config/json/status",
            "broker.access",
            "does not retain reports, or does not let them be read",
        ),
        ("topic readwrite otao/v1/+/control/#", "", "broker.access", "refuses commands (reason code 0x87)"),
        ("topic readwrite otao/v1/service/+", "", "broker.told", "has refused"),
        ("topic readwrite otao/v1/+/summary", "", "broker.told", "has refused"),
    ],
    ids=["requests", "commands", "presence", "summaries"],
)
async def test_a_line_of_the_access_rules_that_is_missing_is_told(
    line: str, instead: str, check: str, said: str
) -> None:
    rules = access_rules.acl_file(access_rules.build(Instances()))
    assert f"{line}\n" in rules
    async with Mosquitto(rules=rules.replace(line, instead, 1)) as broker, Service(broker) as service:
        await service.define()

        async def told() -> bool:
            found = (await examined(service))[check]
            return found["status"] != "ok" and said in found["detail"] and "`otao acl`" in found["advice"]

        await eventually(told, f"the doctor says of {line}: {said}")


async def test_a_broker_that_is_gone_is_told_and_the_rest_looked_at() -> None:
    async with Mosquitto() as broker, Service(broker) as service:
        await broker.kill()

        async def told() -> bool:
            found = (await examined(service))["broker.connection"]
            return bool(found["status"] == "failed" and f"127.0.0.1:{broker.port}: " in found["detail"])

        await eventually(told, "the doctor misses the broker, and says why")
        assert (await examined(service))["pushes.parked"]["status"] == "ok"


async def test_the_doctor_is_asked_over_rest(rest: Rest) -> None:
    checks = (await rest.get("/api/v1/doctor"))["checks"]
    assert [item["check"] for item in checks][:2] == ["broker.connection", "broker.subscriptions"]
    assert await rest.refused("POST", "/api/v1/doctor") == (405, "method-not-allowed")
