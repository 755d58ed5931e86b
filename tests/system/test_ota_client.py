"""The reference client on a real broker and service, and killed in the middle of an install."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from device_sim import state_files
from device_sim.errors import BrokerRefusedError, PlanError
from device_sim.offers import InstallError, Offer
from device_sim.ota_client import OtaClient
from device_sim.owners import Asked
from protocol import consents
from tests.brokers import ROOT, Mosquitto
from tests.services import SECONDS, Service, connect, eventually, report, topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import aiomqtt

IMAGE = b"firmware" * 1000
APPLICATION = "smart-kettle"


@pytest.fixture
async def stage() -> AsyncIterator[tuple[Mosquitto, Service]]:
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Mosquitto(tokens=["tok7", "other"]))
        service = await stack.enter_async_context(Service(broker))
        await service.define(APPLICATION)
        yield broker, service


@asynccontextmanager
async def running(client: OtaClient) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.run())
        yield
        task.cancel()


def client(
    broker: Mosquitto,
    folder: Path,
    install: Callable[[Offer], Awaitable[None]],
    version: str | Callable[[], str] = "1.0.0",
) -> OtaClient:
    return OtaClient(
        broker.url("tok7"), app_version="smart-kettle-v1", token="tok7", running=version, install=install,
        state_file=folder / "ota.json", retry_seconds=0.5,
    )  # fmt: skip


async def until_state(service: Service, state: str) -> None:
    await service.until_running("tok7", "1.0.0", application=APPLICATION)

    async def reached() -> bool:
        kinds = [kind for kind, _ in await service.history("tok7", application=APPLICATION)]
        return state in kinds

    await eventually(reached, f"tok7 has {state}")


async def test_it_installs_hop_by_hop_and_reports(stage: tuple[Mosquitto, Service], tmp_path: Path) -> None:
    broker, service = stage
    seen: list[tuple[str, str | None]] = []

    async def install(offer: Offer) -> None:
        seen.append((offer.version, offer.link))
        await offer.progress("installing", 50)

    device = client(broker, tmp_path, install)
    async with running(device):
        await service.until_running("tok7", "2.0.0", application=APPLICATION)
    assert seen == [(version, f"https://firmware.example/{version}.bin") for version in ("1.1.0", "2.0.0")]
    assert device.running == "2.0.0"
    assert state_files.read(tmp_path / "ota.json") == state_files.Remembered(running="2.0.0")
    kinds = await service.history("tok7", application=APPLICATION)
    assert kinds.count(("confirmed", "1.1.0")) == kinds.count(("confirmed", "2.0.0")) == 1


@pytest.mark.parametrize(
    ("failure", "status_code", "reason"),
    [(InstallError("no room left", status_code=507), 507, "no room left"), (KeyError("x"), 500, "KeyError: 'x'")],
)
async def test_a_failure_is_reported_once_with_its_reason(
    stage: tuple[Mosquitto, Service], tmp_path: Path, failure: Exception, status_code: int, reason: str
) -> None:
    broker, service = stage
    tries: list[str] = []

    async def install(offer: Offer) -> None:
        tries.append(offer.version)
        raise failure

    async with running(client(broker, tmp_path, install)):
        await until_state(service, "failed")

        async def confirmed() -> bool:
            state = state_files.read(tmp_path / "ota.json")
            return state is not None and state.failure is None and state.started is None

        await eventually(confirmed, "the failure is confirmed")
    document = await service.get(f"/applications/{APPLICATION}/endpoints/tok7/history")
    told = {item["kind"]: item for item in document["items"] if item["version"] == "1.1.0"}
    assert (told["failed"]["reason"], told["reported"]["statusCode"]) == (reason, status_code)
    assert tries == ["1.1.0"]


async def test_an_offer_of_what_it_runs_is_reported_and_not_installed(
    stage: tuple[Mosquitto, Service], tmp_path: Path
) -> None:
    broker, service = stage
    installed: list[str] = []

    async def install(offer: Offer) -> None:
        installed.append(offer.version)

    async with connect(broker, "otao") as otao:
        await otao.subscribe(topic("tok7", "applied/json/+", app_version="smart-kettle-v1"))
        async with running(client(broker, tmp_path, install, "2.0.0")):
            await service.until_running("tok7", "2.0.0", application=APPLICATION)
            push = topic("tok7", "config/json/status", app_version="smart-kettle-v1")
            await otao.publish(push, b'{"configId":"2.0.0","statusCode":200,"config":{}}', qos=1)
            await otao.publish(push, b"rubbish", qos=1)
            async with asyncio.timeout(SECONDS):
                for _ in range(2):
                    message = await anext(otao.messages)
                    assert message.payload == b'{"configId":"2.0.0"}'
    assert installed == []


async def test_a_device_that_can_tell_is_believed_over_its_install(
    stage: tuple[Mosquitto, Service], tmp_path: Path
) -> None:
    broker, service = stage

    async def install(offer: Offer) -> None:
        await offer.progress("installing")

    async with running(client(broker, tmp_path, install, lambda: "1.0.0")):
        await until_state(service, "failed")
    history = await service.get(f"/applications/{APPLICATION}/endpoints/tok7/history")
    assert any(item["reason"] == "1.0.0 runs after the install" for item in history["items"])


async def test_it_comes_back_after_the_broker_does(stage: tuple[Mosquitto, Service], tmp_path: Path) -> None:
    broker, service = stage
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def install(offer: Offer) -> None:
        if offer.version == "1.1.0":
            begun.set()
            await go_on.wait()

    async with running(client(broker, tmp_path, install)):
        await asyncio.wait_for(begun.wait(), SECONDS)
        await broker.kill()
        go_on.set()
        await broker.start()
        await service.until_running("tok7", "2.0.0", application=APPLICATION)


async def test_wrong_credentials_do_not_loop(tmp_path: Path) -> None:
    async def install(offer: Offer) -> None:
        raise AssertionError(offer)

    async with Mosquitto(tokens=["tok7"]) as broker:
        url = broker.url("tok7").replace("7kot", "wrong")
        device = OtaClient(
            url, app_version="v", token="tok7", running="1.0.0", install=install, state_file=tmp_path / "s"
        )
        with pytest.raises(BrokerRefusedError):
            await asyncio.wait_for(device.run(), SECONDS)


def test_names_that_cannot_work_are_refused(tmp_path: Path) -> None:
    async def install(offer: Offer) -> None:
        raise AssertionError(offer)

    for token, app_version, version in (("a/b", "v", "1.0.0"), ("tok", "+", "1.0.0"), ("tok", "v", "one")):
        with pytest.raises(PlanError):
            OtaClient(
                "mqtt://h", app_version=app_version, token=token, running=version, install=install,
                state_file=tmp_path / "s",
            )  # fmt: skip


async def test_it_says_how_it_fares_until_that_is_confirmed(stage: tuple[Mosquitto, Service], tmp_path: Path) -> None:
    broker, service = stage
    device = client(broker, tmp_path, refuse_to_install, "2.0.0")
    with pytest.raises(ValueError, match="the metric's name 'the pump' must be"):
        await device.report_health(healthy=True, metrics={"the pump": 1})
    # It waits for a connection.
    await device.report_health(healthy=False, reason="too hot", metrics={"celsius": 93.5})
    async with connect(broker, "otao") as otao:
        await otao.subscribe(topic("tok7", "health/json/#", app_version="smart-kettle-v1"))
        async with running(device), asyncio.timeout(SECONDS):
            said, confirmed = await anext(otao.messages), await anext(otao.messages)
            assert isinstance(said.payload, bytes)
            members = {"healthy": False, "reason": "too hot", "metrics": {"celsius": 93.5}, "configId": "2.0.0"}
            assert json.loads(said.payload) == members
            assert (confirmed.topic.value, confirmed.payload) == (f"{said.topic.value}/status", b"")
            await device.report_health(healthy=True)
            assert (await anext(otao.messages)).payload == b'{"healthy":true,"configId":"2.0.0"}'
    await service.until_running("tok7", "2.0.0", application=APPLICATION)


async def test_it_answers_for_its_owner_until_that_is_confirmed(tmp_path: Path) -> None:
    questions: list[Asked] = []

    async def decide(asked: Asked) -> tuple[bool, str]:
        questions.append(asked)
        return False, "not before tea time"

    async with Mosquitto(tokens=["tok7"]) as broker, connect(broker, "otao") as otao:
        own = topic("tok7", "consent/json", app_version="smart-kettle-v1")
        await otao.subscribe(f"{own}/+")
        await otao.publish(f"{own}/status", consents.ask("1.1.0", '{"description":"quieter"}'), qos=1, retain=True)
        device = OtaClient(
            broker.url("tok7"), app_version="smart-kettle-v1", token="tok7", running="1.0.0", consent=decide,
            install=refuse_to_install, state_file=tmp_path / "ota.json", retry_seconds=0.2,
        )  # fmt: skip
        async with running(device), asyncio.timeout(SECONDS):
            answers = [message async for message in limited(otao, f"{own}/status", 2)]
            # Said again, as nobody has confirmed it.
            assert answers[0].topic.value == answers[1].topic.value
            assert isinstance(answers[0].payload, bytes)
            members = {"configId": "1.1.0", "granted": False, "reasonPhrase": "not before tea time"}
            assert json.loads(answers[0].payload) == members
    assert questions == [Asked(version="1.1.0", metadata={"description": "quieter"})]


async def refuse_to_install(offer: Offer) -> None:
    raise AssertionError(offer)


async def limited(mqtt: aiomqtt.Client, but: str, amount: int) -> AsyncIterator[aiomqtt.Message]:
    """Yield so many messages that are not on one topic."""
    while amount:
        message = await anext(mqtt.messages)
        if message.topic.value != but:
            amount -= 1
            yield message


class Images:
    """A server of one image that sends only half of it the first time."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.half_sent = asyncio.Event()
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield

    def specification(self) -> dict[str, object]:
        link = f"http://127.0.0.1:{self.port}/1.1.0.bin"
        return {"link": link, "size": len(IMAGE), "sha256": hashlib.sha256(IMAGE).hexdigest()}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE[:4000])
        await writer.drain()
        if len(self.asked) == 1:
            self.half_sent.set()
            await reader.read()
        else:
            writer.write(IMAGE[4000:])
        writer.close()


async def test_kill_in_the_middle_of_a_download_installs_once_after_the_restart(
    stage: tuple[Mosquitto, Service], tmp_path: Path
) -> None:
    broker, service = stage
    images = Images()
    async with images.open():
        await service.software("2.0.0", ["1.5.0"], application=APPLICATION)
        await service.software("1.1.0", ["1.0.0"], application=APPLICATION, specification=images.specification())
        first = await kettle(broker, tmp_path)
        await asyncio.wait_for(images.half_sent.wait(), SECONDS)
        first.kill()
        await first.communicate()
        remembered = state_files.read(tmp_path / "ota.json")
        assert remembered == state_files.Remembered(running="1.0.0", started="1.1.0", starts=1)
        second = await kettle(broker, tmp_path)
        try:
            await service.until_running("tok7", "1.1.0", application=APPLICATION)
        finally:
            second.kill()
            out, _ = await second.communicate()
    assert out.decode().splitlines() == ["tok7 runs 1.0.0", "tok7 installed 1.1.0"]
    assert (tmp_path / "firmware.bin").read_bytes() == IMAGE
    assert len(images.asked) == 2
    kinds = await service.history("tok7", application=APPLICATION)
    assert kinds.count(("confirmed", "1.1.0")) == 1


async def kettle(broker: Mosquitto, folder: Path) -> asyncio.subprocess.Process:
    """Start the example of the documentation."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "docs/examples/kettle.py", broker.url("tok7"), "tok7", str(folder),
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_an_install_that_never_ends_is_given_up_after_three_starts(
    stage: tuple[Mosquitto, Service], tmp_path: Path
) -> None:
    broker, service = stage
    begun = asyncio.Event()

    async def install(offer: Offer) -> None:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError(offer)

    for _ in range(3):
        begun.clear()
        async with running(client(broker, tmp_path, install)):
            await asyncio.wait_for(begun.wait(), SECONDS)
    async with running(client(broker, tmp_path, install)):
        await until_state(service, "failed")
    history = await service.get(f"/applications/{APPLICATION}/endpoints/tok7/history")
    assert any(item["reason"] == "the install was interrupted 3 times" for item in history["items"])


async def test_a_stranger_cannot_offer_it_anything(stage: tuple[Mosquitto, Service], tmp_path: Path) -> None:
    broker, service = stage

    async def install(offer: Offer) -> None:
        raise AssertionError(offer)

    await report(broker, "other", "2.0.0")
    async with running(client(broker, tmp_path, install, "2.0.0")):
        await service.until_running("tok7", "2.0.0", application=APPLICATION)
        async with connect(broker, "other") as stranger:
            push = topic("tok7", "config/json/status", app_version="smart-kettle-v1")
            await stranger.publish(push, b'{"configId":"9.0.0","config":{}}', qos=1)
