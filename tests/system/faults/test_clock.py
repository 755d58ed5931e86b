"""The clock jumps, deadlines pass, the broker is away meanwhile."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, topic, until_retained

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3600.0


async def _kinds(service: Service, endpoint_id: str) -> list[str]:
    return [kind for kind, _ in await service.history(endpoint_id)]


async def test_a_reached_endpoint_without_a_verdict_expires_at_the_deadline() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await service.software("1.1.0", ["1.0.0"], rollout={"deadline": {"installing": "PT1S"}})
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "progress/json"), '{"configId":"1.1.0","state":"installing"}', qos=1)

        async def expired() -> bool:
            return "expired" in await _kinds(service, "a")

        await eventually(expired, "expired")
        await until_retained(broker, {})
        document = await service.endpoint("a")
        assert document["runningVersion"] == "1.0.0"
        explained = await service.get("/applications/kettle/endpoints/a/explain")
        assert explained["outcome"] == "waiting"


async def test_time_without_a_broker_does_not_count_for_deadlines() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await service.software("1.1.0", ["1.0.0"], rollout={"deadline": {"installing": "PT4S"}})
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "progress/json"), '{"configId":"1.1.0","state":"installing"}', qos=1)

        async def installing() -> bool:
            offer = (await service.endpoint("a"))["offer"]
            return offer is not None and offer["state"] == "installing"

        await eventually(installing, "installing")
        reached = time.monotonic()
        await broker.terminate()

        async def away_long_enough() -> bool:
            return time.monotonic() - reached > 5

        await eventually(away_long_enough, "the deadline has passed without a broker")
        await broker.start()
        await service.ready()
        # Its report had waited in the endpoint; the deadline has not passed for it.
        await report(broker, "a", "1.1.0")
        await service.until_running("a", "1.1.0")
        assert "expired" not in await _kinds(service, "a")


async def test_a_jump_of_the_clock_expires_nobody_and_history_never_goes_back(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset)) as service,
    ):
        await service.define()
        await service.software("1.1.0", ["1.0.0"], rollout={"deadline": {"installing": "PT1H"}})
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "progress/json"), '{"configId":"1.1.0","state":"installing"}', qos=1)
        await eventually(lambda: _progressed(service), "installing")
        offset.write_text(str(2 * HOUR))
        await eventually(lambda: _logged(service, "the clock has jumped"), "the jump is logged")
        before = await service.metric("otao_timers_total")

        async def looked_at() -> bool:
            return await service.metric("otao_timers_total") > before

        await eventually(looked_at, "the passed deadline was looked at")
        assert "expired" not in await _kinds(service, "a")
        offset.write_text(str(-24 * HOUR))
        await report(broker, "b", "1.0.0")
        await service.until_offered("b", "1.1.0")
        items = (await service.get("/applications/kettle/endpoints/a/history"))["items"]
        later = (await service.get("/applications/kettle/endpoints/b/history"))["items"]
        assert min(item["at"] for item in later) > max(item["at"] for item in items)


async def test_a_sleep_of_a_day_expires_no_install_and_confirms_no_soak_before_anybody_could_be_heard(
    tmp_path: Path,
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset)) as service,
    ):
        await service.define()
        stages = [{"percent": 100, "soak": "PT2H", "minAttempted": 2}]
        await service.software("1.1.0", ["1.0.0"], rollout={"stages": stages, "deadline": {"installing": "PT3H"}})
        for token in ("a", "b"):
            await report(broker, token, "1.0.0")
        await until_retained(broker, {"a": "1.1.0", "b": "1.1.0"})
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "progress/json"), '{"configId":"1.1.0","state":"installing"}', qos=1)
        await eventually(lambda: _progressed(service), "installing")
        await report(broker, "b", "1.1.0")
        await service.until_running("b", "1.1.0")
        before = await service.metric("otao_timers_total")
        offset.write_text(str(24 * HOUR))
        await eventually(lambda: _logged(service, "the clock has jumped"), "the jump is logged")

        async def looked_at() -> bool:
            return await service.metric("otao_timers_total") >= before + 2

        await eventually(looked_at, "both terms that are over were looked at")
        assert "expired" not in await _kinds(service, "a")
        assert (await _kinds(service, "b"))[-1] == "soaking"
        # Who fell back while the service slept is heard in time: that is a revert, and not a success.
        await report(broker, "b", "1.0.0")
        await service.until_running("b", "1.0.0")
        assert "reverted" in await _kinds(service, "b")
        assert "confirmed" not in await _kinds(service, "b")


async def test_a_clock_that_was_set_back_over_a_restart_suspends_deadlines_and_history_goes_on(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text(str(24 * HOUR))
    async with (
        Mosquitto(tokens=["a", "b"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset)) as service,
    ):
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        assert await service.terminate() == 0
        offset.write_text("0")
        await service.start()
        await service.ready()
        assert await _logged(service, "the clock has jumped")
        await report(broker, "b", "1.0.0")
        await until_retained(broker, {"a": "1.1.0", "b": "1.1.0"})
        items = (await service.get("/applications/kettle/endpoints/a/history"))["items"]
        later = (await service.get("/applications/kettle/endpoints/b/history"))["items"]
        assert min(item["at"] for item in later) >= max(item["at"] for item in items)
        # And kill -9 in place of the stop makes no difference.
        await service.kill()
        await service.start()
        await service.ready()
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        newest = (await service.get("/applications/kettle/endpoints/a/history"))["items"][0]
        assert newest["at"] >= max(item["at"] for item in later)


async def test_a_jump_forward_lets_no_housekeeping_remove_or_retire_anything(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    async with (
        Mosquitto(tokens=["a"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(offset), OTAO_RETIRE_AFTER="P30D", OTAO_UNSEEN_AFTER="PT2S") as service,
    ):
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        offset.write_text(str(9999 * HOUR))
        await eventually(lambda: _logged(service, "the clock has jumped"), "the jump is logged")

        jumped = time.monotonic()

        async def looked() -> bool:
            silent = await service.metric("otao_endpoints_unseen") > 0
            return silent and time.monotonic() - jumped > 4

        await eventually(looked, "looks were taken at who is silent, one each second")
        assert (await service.endpoint("a"))["tokenState"] == "active"
        await until_retained(broker, {"a": "1.1.0"})


async def _progressed(service: Service) -> bool:
    offer = (await service.endpoint("a"))["offer"]
    return offer is not None and offer["state"] == "installing"


async def _logged(service: Service, text: str) -> bool:
    return text in service.log()


async def test_a_rollout_date_that_passed_while_the_service_was_down_takes_effect_at_its_start() -> None:
    async with Mosquitto(tokens=["a"]) as broker, Service(broker) as service:
        await service.define()
        await service.put("/applications/kettle/filters/all", {"expression": "attributes.site == 'lab'"})
        await service.put(
            "/applications/kettle/endpoints/a",
            {"token": "a", "appVersion": "kettle-v1", "attributes": {"site": "lab"}},
        )
        await report(broker, "a", "2.0.0")
        await service.until_running("a", "2.0.0")
        date = datetime.now(UTC) + timedelta(seconds=4)
        await service.software(
            "3.0.0",
            ["2.0.0"],
            rolloutStrategy="targeted",
            filters=[{"filterId": "all", "rolloutDate": date.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}],
        )
        assert (await service.endpoint("a"))["offer"] is None

        async def noted() -> bool:
            return datetime.now(UTC) < date

        assert await noted()
        await service.terminate()
        await asyncio.sleep(max(0.0, (date - datetime.now(UTC)).total_seconds()))
        await service.start()
        await until_retained(broker, {"a": "3.0.0"})
