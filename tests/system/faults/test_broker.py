"""The broker is killed, wiped, restarted from an old store, or refuses a topic: the database wins."""

from __future__ import annotations

from tests.brokers import Mosquitto
from tests.services import Service, connect, eventually, report, retained, topic, until_retained, until_sentinel

TOKENS = ["a", "b", "c"]


async def _fleet(broker: Mosquitto, service: Service) -> None:
    """Three endpoints on 1.0.0 that are offered 1.1.0."""
    await service.define()
    for token in TOKENS:
        await report(broker, token, "1.0.0")
    await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))


async def test_broker_killed_and_restarted_holds_every_offer_again() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await _fleet(broker, service)
        await broker.kill()
        await broker.start()
        await service.ready()
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})


async def test_invariant_1_a_wiped_broker_gets_every_offer_again() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await _fleet(broker, service)
        await broker.terminate()
        broker.wipe()
        await broker.start()
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))


async def test_invariant_1_a_broker_from_an_old_store_loses_withdrawn_offers_and_gets_new_ones() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await _fleet(broker, service)
        await until_sentinel(broker, len(TOKENS))
        old = await broker.snapshot_store()
        # "a" moves on, "b" settles for good and its endpoint is deleted, "c" stays.
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "2.0.0")
        await until_retained(broker, {"a": "2.0.0", "c": "1.1.0"})
        await service.put("/applications/kettle/endpoints/b", None, method="DELETE")
        await broker.terminate()
        broker.restore_store(old)
        await broker.start()
        await until_retained(broker, {"a": "2.0.0", "c": "1.1.0"})


async def test_a_deleted_endpoints_topic_is_cleared_on_a_broker_from_an_old_store() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await _fleet(broker, service)
        await until_sentinel(broker, len(TOKENS))
        old = await broker.snapshot_store()
        await service.put("/applications/kettle/endpoints/b", None, method="DELETE")
        await until_retained(broker, {"a": "1.1.0", "c": "1.1.0"})
        await broker.terminate()
        broker.restore_store(old)
        await broker.start()
        await until_retained(broker, {"a": "1.1.0", "c": "1.1.0"})


async def test_a_retained_offer_that_was_tampered_with_is_found_and_repaired() -> None:
    # On MQTT 3.1.1 another's push cannot be told from our own echo: only reading back finds it.
    async with (
        Mosquitto(tokens=TOKENS) as broker,
        Service(broker, OTAO_AUDIT_INTERVAL_SECONDS="1", OTAO_MQTT_PROTOCOL="3.1.1") as service,
    ):
        await _fleet(broker, service)
        await until_sentinel(broker, len(TOKENS))
        await service.terminate()
        async with connect(broker, "otao") as client:
            await client.publish(topic("a", "config/json/status"), b"", qos=1, retain=True)
        assert await retained(broker) == {"b": "1.1.0", "c": "1.1.0"}
        await service.start()
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        assert await service.metric("otao_mismatches_total") >= 1


async def test_invariant_3_a_refused_push_is_parked_named_and_stops_no_other() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await service.define()
        rules = broker.folder / "acl"
        allowed = rules.read_text()
        denied = "user otao\ntopic deny kp1/kettle-v1/cmx_ota/a/config/json/status\n"
        rules.write_text(allowed.replace("user otao\n", denied))
        broker.reload()
        for token in TOKENS:
            await report(broker, token, "1.0.0")
        await until_retained(broker, {"b": "1.1.0", "c": "1.1.0"})

        async def parked() -> bool:
            return await service.metric("otao_pushes_parked_total") == 1

        await eventually(parked, "the refused push is parked")
        explained = await service.get("/applications/kettle/endpoints/a/explain")
        assert "0x87" in str(explained)
        # Allowed again: the next change of the topic goes through, and the parked entry is dropped.
        rules.write_text(allowed)
        broker.reload()
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})
        assert "0x87" not in str(await service.get("/applications/kettle/endpoints/a/explain"))


async def test_the_service_starts_without_a_broker_and_catches_up() -> None:
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await _fleet(broker, service)
        await service.terminate()
        await broker.terminate()
        await service.start()
        async with service.client() as client:
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/livez")).status_code == 200
        await broker.start()
        await service.ready()
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})


async def test_endpoints_are_heard_under_new_names_though_the_broker_of_3_1_1_has_the_session_of_before() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker, OTAO_MQTT_PROTOCOL="3.1.1") as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await service.until_running("a", "1.0.0")
        assert await service.terminate() == 0
        await service.start(OTAO_SOFTWARE_INSTANCE="ota2")
        await service.ready()
        async with connect(broker, "a") as client:
            await client.publish(topic("a", "applied/json", instance="ota2"), '{"configId":"1.1.0"}', qos=1)
        await service.until_running("a", "1.1.0")
