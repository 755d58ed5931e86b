"""Clients as others have written them.

Mosquitto's own are as they are. Kaa's Node client is written again on MQTT.js, and its ESP32 sketch as a state machine
(`device_sim.sketches`), each from what Kaa has published: same topics, same order, same mistakes.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from device_sim.sketches import Sketch
from tests.brokers import ROOT, Mosquitto
from tests.services import SECONDS, Service, connect, eventually, report, topic, until_retained
from tests.system.boards import Board
from tests.system.wires import PUSH, UNASSIGNED, Application, Json, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLIENTS = ROOT / "tests" / "clients"
IMAGES = {f"https://firmware.example/{version}.bin": version for version in ("1.0.0", "1.1.0", "2.0.0")}

in_module = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire(["dev", "dev2"]) as opened:
        yield opened


async def run(*command: str, **environment: str) -> tuple[int, str]:
    """Run a client to its end; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, out.decode()


# --- mosquitto_pub, mosquitto_sub ---


class Mosquittos:
    """Mosquitto's command-line clients, as one endpoint."""

    def __init__(self, app: Application, version: str) -> None:
        self._app = app
        broker = app.wire.broker
        self._connection = ("-h", "127.0.0.1", "-p", str(broker.port), "-u", "dev", "-P", "ved", "-V", version)

    def _topic(self, resource: str) -> str:
        return topic("dev", resource, app_version=self._app.app_version)

    async def publish(self, resource: str, payload: str, qos: str) -> None:
        command = ("mosquitto_pub", *self._connection, "-q", qos, "-t", self._topic(resource), "-m", payload)
        assert await run(*command) == (0, "")

    async def next_retained(self) -> str:
        """Wait for the next retained message that is there, or comes, on the push topic."""
        command = ("mosquitto_sub", *self._connection, "-q", "1", "-t", self._topic(PUSH), "-C", "1", "-W", "15")
        code, out = await run(*command)
        assert code == 0, out
        return str(json.loads(out)["configId"])

    async def watch(self, amount: int) -> asyncio.subprocess.Process:
        """Start to read `amount` messages below the token; it is subscribed when this returns."""
        # Into a pipe it would write only when it ends.
        command = [
            "stdbuf",
            "-oL",
            "mosquitto_sub",
            "-d",
            *self._connection,
            "-q",
            "1",
            "-v",
            "-C",
            str(amount),
            "-W",
            "15",
        ]
        command += ["-t", self._topic("#")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while b"SUBACK" not in await process.stdout.readline():
                pass
        return process


@in_module
@pytest.mark.parametrize(("version", "qos"), [("mqttv5", "1"), ("mqttv311", "0"), ("mqttv31", "1")])
async def test_mosquittos_own_clients_update_in_two_hops(wire: Wire, version: str, qos: str) -> None:
    app = await wire.application()
    await app.chain()
    clients = Mosquittos(app, version)
    await clients.publish("applied/json", '{"configId":"1.0.0"}', qos)
    assert await clients.next_retained() == "1.1.0"
    await clients.publish("applied/json", '{"configId":"1.1.0"}', qos)
    await app.until_retained({"dev": "2.0.0"})
    assert await clients.next_retained() == "2.0.0"
    await clients.publish("applied/json", '{"configId":"2.0.0"}', qos)
    await app.until_retained({})
    kinds = [kind for kind, _ in await app.history()]
    assert kinds == ["reported", "offered", "reported", "confirmed", "offered", "reported", "confirmed"]


@in_module
async def test_mosquitto_sub_sees_answer_then_push_then_acknowledgement_and_clear(wire: Wire) -> None:
    app = await wire.application()
    await app.software("1.1.0", "1.0.0", specification='{"link":"https://x"}')
    clients = Mosquittos(app, "mqttv5")
    watching = await clients.watch(6)
    await clients.publish("config/json/42", '{"configId":"1.0.0"}', "1")
    await app.until_retained({"dev": "1.1.0"})
    await clients.publish("applied/json/43", '{"configId":"1.1.0"}', "1")
    out, _ = await asyncio.wait_for(watching.communicate(), SECONDS)
    base = topic("dev", "", app_version=app.app_version)
    offer = '{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"https://x"}}'
    lines = [line.removeprefix(base).rstrip() for line in out.decode().splitlines() if line.startswith(base)]
    assert lines == [
        'config/json/42 {"configId":"1.0.0"}',
        f"config/json/42/status {offer}",
        f"config/json/status {offer}",
        'applied/json/43 {"configId":"1.1.0"}',
        "applied/json/43/status (null)",
        "config/json/status (null)",
    ]


# --- MQTT.js ---


async def node(app: Application, version: str, target: str) -> list[Json]:
    """Run the Node client from 1.0.0 to its end; return what it read."""
    command = ("node", str(CLIENTS / "kaa_node.js"), app.app_version, "dev", "1.0.0", target)
    url = f"mqtt://127.0.0.1:{app.wire.broker.port}"
    code, out = await run(*command, MQTT_URL=url, MQTT_USER="dev", MQTT_PASSWORD="ved", MQTT_VERSION=version)
    assert code == 0, out
    return [json.loads(line) for line in out.splitlines()]


@in_module
@pytest.mark.parametrize("push", ["retained", "live"])
@pytest.mark.parametrize("version", ["4", "5"])
async def test_mqtt_js_as_kaas_node_client_updates_in_two_hops(wire: Wire, version: str, push: str) -> None:
    app = await wire.application(push=push)
    await app.chain()
    read = await node(app, version, "2.0.0")
    assert {message["resource"] for message in read} == {PUSH}
    assert read[-1]["payload"] in {"", '{"configId":"","config":null}'}
    await wire.settle()
    assert (await app.endpoint())["runningVersion"] == "2.0.0"
    assert [version for kind, version in await app.history() if kind == "confirmed"] == ["1.1.0", "2.0.0"]
    assert await app.retained() == {}


# --- the ESP32 sketch ---


async def test_the_esp32_sketch_flashes_once_though_the_service_is_killed_right_after_the_offer() -> None:
    async with Mosquitto(tokens=["tok"]) as broker, Service(broker) as service:
        await service.define(push="live")
        await service.put("/applications/kettle/software/2.0.0", None, method="DELETE")
        sketch = Sketch(app_version="kettle-v1", token="tok", firmware="1.0.0")
        board = Board(broker, sketch, IMAGES, writing=service.kill)
        await board.run(asyncio.Event(), boots=1)
        board.writing = wait_for_nothing
        async with asyncio.TaskGroup() as group:
            booted = asyncio.Event()
            running = group.create_task(board.run(booted))
            async with asyncio.timeout(SECONDS):
                await booted.wait()
            await service.start()
            await service.ready()
            await service.until_running("tok", "1.1.0")
            await _quiet(broker, service)
            assert board.flashed == ["https://firmware.example/1.1.0.bin"]
            running.cancel()
        assert await service.history("tok") == [
            ("reported", "1.0.0"),
            ("offered", "1.1.0"),
            ("reported", "1.1.0"),
            ("confirmed", "1.1.0"),
        ]


async def wait_for_nothing() -> None:
    """Write an image in no time."""


@pytest.mark.parametrize("batch_size", ["1", "500"])
async def test_an_answer_to_an_overtaken_request_offers_nothing(batch_size: str) -> None:
    async with open_wire(OTAO_BATCH_SIZE=batch_size) as wire:
        app = await wire.application(push="live")
        await app.software("1.1.0", "1.0.0")
        async with app.device(protocol=4) as device:
            await device.report("1.0.0")
            assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
            await wire.service.kill()
            # The board asked before it flashed, and nobody read that.
            for resource, payload in (
                ("config/json/29", '{"observe":true}'),
                ("applied/json", '{"configId":"1.1.0"}'),
                ("config/json/29", '{"observe":true}'),
            ):
                await device.send(resource, payload, qos=0)
            await device.unread()
            await wire.service.start()
            assert [(await device.read("config/json/29/status")).payload for _ in range(2)] == [UNASSIGNED] * 2
            await wire.service.ready()
            await wire.settle()
            assert b"1.1.0" not in b"".join(
                message.payload for message in await device.unread() if message.resource != "applied/json"
            )


async def _quiet(broker: Mosquitto, service: Service) -> None:
    """Return when the broker has passed on all that the service sends for now."""
    async with connect(broker, "otao") as watcher:
        # The sentinel follows the pushes it stands for, at the next tick; and a tick does all that time brings.
        await watcher.subscribe("otao/v1/partition/main/sentinel", qos=1)
        before = await service.metric("otao_pushes_total")
        async with asyncio.timeout(SECONDS):
            for _ in range(2):
                await anext(watcher.messages)
        assert await service.metric("otao_pushes_total") == before


@in_module
async def test_the_esp32_sketch_is_led_through_two_hops_with_live_pushes(wire: Wire) -> None:
    app = await wire.application(push="live")
    await app.chain()
    sketch = Sketch(app_version=app.app_version, token="dev", firmware="1.0.0")
    board = Board(wire.broker, sketch, IMAGES, writing=wire.settle)
    async with asyncio.timeout(SECONDS):
        await board.run(asyncio.Event(), boots=2)
    assert board.flashed == [f"https://firmware.example/{version}.bin" for version in ("1.1.0", "2.0.0")]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(board.run(asyncio.Event()))

        async def confirmed() -> bool:
            return [version for kind, version in await app.history() if kind == "confirmed"] == ["1.1.0", "2.0.0"]

        await eventually(confirmed, "both hops are confirmed")
        await wire.settle()
        running.cancel()
    assert (len(board.flashed), board.sketch.firmware) == (2, "2.0.0")


# --- versions of the protocol, quality of service ---


@in_module
async def test_clients_of_3_1_1_and_5_stand_side_by_side(wire: Wire) -> None:
    app = await wire.application()
    await app.chain()
    async with app.device("dev", protocol=4) as old, app.device("dev2", protocol=5) as new:
        for running, offered in (("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")):
            async with asyncio.TaskGroup() as group:
                group.create_task(old.report(running))
                group.create_task(new.report(running))
            for device in (old, new):
                assert (await device.ask("config/json/1", "{}")).json()["configId"] == offered
            await app.until_retained({"dev": offered, "dev2": offered})
        await old.report("2.0.0")
        await app.until_retained({"dev2": "2.0.0"})


async def test_qos_0_reports_of_the_time_without_service_are_applied_when_it_is_back() -> None:
    async with Mosquitto(tokens=["a", "b"]) as broker, Service(broker) as service:
        await service.define()
        await report(broker, "a", "1.0.0")
        await service.until_offered("a", "1.1.0")
        await service.terminate()
        await report(broker, "a", "1.1.0", qos=0)
        await report(broker, "b", "1.0.0", qos=0)
        await service.start()
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0"})
        assert [kind for kind, _ in await service.history("a")].count("reported") == 2


async def test_the_service_does_its_main_job_over_mqtt_3_1_1() -> None:
    async with open_wire(OTAO_MQTT_PROTOCOL="3.1.1") as wire:
        app = await wire.application()
        await app.chain()
        async with app.device() as device:
            for running, offered in (("1.0.0", "1.1.0"), ("1.1.0", "2.0.0")):
                await device.report(running)
                assert (await device.ask("config/json/1", "{}")).json()["configId"] == offered
                await app.until_retained({"dev": offered})
            await wire.service.kill()
            await device.send("applied/json", '{"configId":"2.0.0"}')
        await wire.service.start()
        await app.until_retained({})
        # Its own pushes, which this protocol hands back to it, are no messages of others.
        assert await wire.service.metric("otao_foreign_pushes_total") == 0
