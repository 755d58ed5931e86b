"""The shipped mosquitto.conf and access rules, on a real Mosquitto, over MQTT 5 and 3.1.1."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import pytest

from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from protocol import topics
from protocol.links import Outbound, Subscription
from tests.brokers import ROOT, Mosquitto
from tests.contract.deadlines import SECONDS, eventually
from tests.contract.links import came_up, running, take, take_acknowledged, up_to_marker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from protocol.links import Link

OWN = "kp1/kettle-v1/cmx_ota/tok7"
OTHER = "kp1/kettle-v1/cmx_ota/tok8"
PUSH = "config/json/status"
ASK = "consent/json/status"
DENIED = 0x87

REQUESTS = [
    f"kp1/kettle-v1/{path}"
    for path in (
        "cmx_ota/tok7/config/json",
        "cmx_ota/tok7/config/json/29",
        "cmx_ota/tok7/applied/json",
        "cmx_ota/tok7/applied/json/0",
        "cmx_ota/tok7/progress/json",
        "cmx_ota/tok7/progress/json/3",
        "cmx_ota/tok7/health/json",
        "cmx_ota/tok7/health/json/4",
        "cmx_ota/tok7/consent/json",
        "cmx_ota/tok7/consent/json/5",
        "cmx/tok7/config/json/1",
        "cmx/tok7/applied/json/1",
        "epmx/tok7/update",
        "epmx/tok7/update/1",
        "epmx/tok7/update/keys",
        "epmx/tok7/update/keys/1",
        "epmx/tok7/get",
        "epmx/tok7/get/1",
        "epmx/tok7/get/keys/1",
        "epmx/tok7/delete/keys",
        "epmx/tok7/delete/keys/1",
    )
]


@pytest.fixture
async def broker() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tokens=["tok7", "tok8"]) as started:
        yield started


@pytest.fixture
async def hardened() -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tokens=["tok7", "tok8"], forgery_denied=True) as started:
        yield started


@asynccontextmanager
async def connected(
    broker: Mosquitto, user: str, *filters: str, protocol: Literal["5", "3.1.1"] = "5"
) -> AsyncIterator[Link]:
    """A client with the rights of `user` that sees all that comes on these filters, its own publishes too."""
    subscriptions = tuple(Subscription(topic_filter=each, echo=True) for each in filters)
    options = LinkOptions(url=broker.url(user), client_id=f"as-{user}", protocol=protocol, subscriptions=subscriptions)
    async with running(MqttLink(options)) as link:
        yield link


async def codes(link: Link, *names: str) -> list[int]:
    """The reason codes of a publish to each topic, 0x10 (nobody is subscribed) counted as 0."""
    return [code & 0xEF for code in await link.publish([Outbound(topic=name, payload=b"x") for name in names])]


async def test_an_endpoint_may_send_every_request_on_its_own_topics(broker: Mosquitto) -> None:
    async with connected(broker, "tok7") as device:
        assert await codes(device, *REQUESTS) == [0] * len(REQUESTS)


async def test_an_endpoint_may_send_nothing_on_another_s_topics(broker: Mosquitto) -> None:
    others = [topic.replace("tok7", "tok8") for topic in REQUESTS]
    async with connected(broker, "tok7") as device:
        pushes = [f"{OTHER}/{PUSH}", f"{OTHER}/{ASK}"]
        assert await codes(device, *others, *pushes) == [DENIED] * (len(others) + len(pushes))


async def test_an_endpoint_may_send_nothing_elsewhere(broker: Mosquitto) -> None:
    elsewhere = ["otao/v1/app/control/rollout.abort", "otao/v1/partition/p/sentinel", "x", f"{OWN}/other", OWN]
    async with connected(broker, "tok7") as device:
        assert await codes(device, *elsewhere) == [DENIED] * len(elsewhere)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_an_endpoint_gets_its_own_offers_and_answers_and_no_others(
    broker: Mosquitto, protocol: Literal["5", "3.1.1"]
) -> None:
    mine = [f"{OWN}/{PUSH}", f"{OWN}/{ASK}", f"{OWN}/applied/json/1/status", f"{OWN}/config/json/1/error"]
    foreign = [f"{OTHER}/{PUSH}", f"{OTHER}/{ASK}", "otao/v1/app/summary"]
    async with connected(broker, "otao") as service, connected(broker, "tok7", "#", protocol=protocol) as device:
        assert await codes(service, *foreign, *mine) == [0] * (len(foreign) + len(mine))
        assert [message.topic for message in await take_acknowledged(device, len(mine))] == mine


async def test_a_retained_offer_reaches_its_endpoint_when_it_comes_and_no_other(broker: Mosquitto) -> None:
    async with connected(broker, "otao") as service:
        await service.publish([Outbound(topic=f"{OWN}/{PUSH}", payload=b"offer", retain=True)])
    assert await asyncio.to_thread(_first_message, broker, "tok7") == f"{OWN}/{PUSH} offer"
    assert await asyncio.to_thread(_first_message, broker, "tok8") == ""


async def test_without_the_deny_an_endpoint_can_forge_only_its_own_offer(broker: Mosquitto) -> None:
    """The price of a deny in Mosquitto is that no offer arrives; see `protocol.access_rules`."""
    async with connected(broker, "tok7") as device:
        assert await codes(device, f"{OWN}/{PUSH}", f"{OTHER}/{PUSH}") == [0, DENIED]
        assert await codes(device, f"{OWN}/{ASK}", f"{OTHER}/{ASK}") == [0, DENIED]


async def test_with_deny_and_stanza_an_endpoint_gets_its_offer_and_cannot_forge_one(hardened: Mosquitto) -> None:
    async with connected(hardened, "otao") as service, connected(hardened, "tok7", f"{OWN}/#") as device:
        pushes = [f"{OWN}/{PUSH}", f"{OWN}/{ASK}"]
        assert await codes(device, *pushes, f"{OTHER}/{PUSH}", f"{OTHER}/{ASK}") == [DENIED] * 4
        assert await codes(device, *REQUESTS) == [0] * len(REQUESTS)
        await service.publish([Outbound(topic=topic, payload=b"told") for topic in pushes])
        own = [topic for topic in REQUESTS if topic.startswith(OWN)]
        messages = await take_acknowledged(device, len(own) + len(pushes))
        assert [(message.topic, message.payload) for message in messages[-2:]] == [(each, b"told") for each in pushes]


async def test_a_deny_without_the_stanza_would_keep_offers_from_their_endpoint() -> None:
    async with Mosquitto(tokens=["tok7"], forgery_denied=True, stanzas=False) as broker:
        async with connected(broker, "otao") as service:
            await service.publish([Outbound(topic=f"{OWN}/{PUSH}", payload=b"offer", retain=True)])
        assert await asyncio.to_thread(_first_message, broker, "tok7") == ""


async def test_the_service_may_do_all_it_needs(broker: Mosquitto) -> None:
    written = [
        f"{OWN}/{PUSH}",
        f"{OWN}/{ASK}",
        f"{OWN}/applied/json/1/status",
        "kp1/kettle-v1/epmx/tok7/get/1/status",
        topics.marker_topic("p"),
        topics.sentinel_topic("p"),
        "otao/v1/service/replica",
        "otao/v1/app/summary",
        "otao/v1/app/events/offered",
        "otao/v1/app/control/plan/1/status",
    ]
    read = ["kp1/+/cmx_ota/+/#", "otao/v1/+/control/#", topics.marker_topic("p")]
    async with connected(broker, "otao", *read) as service, connected(broker, "tok7") as device:
        assert await codes(service, *written) == [0] * len(written)
        await codes(device, f"{OWN}/config/json/1")
        async with connected(broker, "operators") as operator:
            await codes(operator, "otao/v1/app/control/plan/2")
        seen = [message.topic for message in await up_to_marker(service, b"end")]
        assert f"{OWN}/config/json/1" in seen
        assert "otao/v1/app/control/plan/2" in seen


async def test_operators_may_command_and_watch_but_speak_for_nobody(broker: Mosquitto) -> None:
    device_topics = [f"{OWN}/{rest}" for rest in (PUSH, ASK, "applied/json", "health/json", "consent/json/1")]
    forbidden = [*device_topics, "otao/v1/app/summary", "otao/v1/partition/p/sentinel"]
    async with connected(broker, "operators", f"{OWN}/#") as operator, connected(broker, "tok7") as device:
        assert await codes(operator, "otao/v1/app/control/plan/1", *forbidden) == [0, *[DENIED] * len(forbidden)]
        await codes(device, f"{OWN}/applied/json")
        assert [message.topic for message in await take_acknowledged(operator, 1)] == [f"{OWN}/applied/json"]


TOLD = ["otao/v1/app/events/endpoint.failed", "otao/v1/app/summary", "otao/v1/service/a", "otao/v1/app/replies/bob"]


async def test_what_is_told_to_operators_reaches_them_and_no_endpoint(broker: Mosquitto) -> None:
    async with (
        connected(broker, "otao") as service,
        connected(broker, "operators", "otao/v1/#") as operator,
        connected(broker, "tok7", "otao/#", f"{OWN}/#") as device,
    ):
        assert await codes(service, *TOLD) == [0] * len(TOLD)
        assert [message.topic for message in await take_acknowledged(operator, len(TOLD))] == TOLD
        # What the device may read comes after all of that, and is the first that it gets.
        await codes(service, f"{OWN}/{PUSH}")
        assert [message.topic for message in await take_acknowledged(device, 1)] == [f"{OWN}/{PUSH}"]


async def test_an_endpoint_neither_commands_nor_speaks_as_the_service(broker: Mosquitto) -> None:
    forbidden = ["otao/v1/app/control/freeze", "otao/v1/app/control/freeze/1/status", *TOLD]
    async with connected(broker, "otao", "otao/v1/#") as service, connected(broker, "tok7") as device:
        assert await codes(device, *forbidden) == [DENIED] * len(forbidden)
        await codes(service, "otao/v1/app/summary")
        assert [message.topic for message in await take_acknowledged(service, 1)] == ["otao/v1/app/summary"]


@pytest.mark.parametrize("credentials", [[], ["-u", "tok7", "-P", "wrong"], ["-u", "nobody", "-P", "x"]])
async def test_nobody_comes_in_without_the_right_password(broker: Mosquitto, credentials: list[str]) -> None:
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), *credentials, "-t", "x", "-m", "x"]
    assert (await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)).returncode != 0


async def test_more_than_the_default_limits_wait_for_an_absent_session(broker: Mosquitto) -> None:
    """Mosquitto's defaults keep 1,020 of these."""
    async with connected(broker, "otao", f"{OWN}/#"):
        pass
    async with connected(broker, "tok7") as device:
        sent = [Outbound(topic=f"{OWN}/applied/json", payload=str(number).encode()) for number in range(5000)]
        await device.publish(sent)
    async with connected(broker, "otao", f"{OWN}/#") as service:
        received = await take_acknowledged(service, 5000)
        assert [message.payload for message in received] == [message.payload for message in sent]


async def test_the_largest_payload_of_a_request_fits_and_an_absurd_one_does_not(broker: Mosquitto) -> None:
    async with connected(broker, "tok7") as device:
        assert device.connection is not None
        assert device.connection.maximum_packet_bytes == 1_048_576
        large = Outbound(topic=f"{OWN}/config/json", payload=bytes(65_537))
        absurd = Outbound(topic=f"{OWN}/config/json", payload=bytes(1_048_576))
        assert [code & 0xEF for code in await device.publish([large, absurd])] == [0, 0x85]


async def test_an_absurd_packet_of_a_client_that_was_not_told_is_cut_off(broker: Mosquitto) -> None:
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-u", "tok7", "-P", "7kot", "-q", "1"]
    command += ["-V", "mqttv311", "-i", "absurd", "-t", f"{OWN}/config/json", "-s"]
    await asyncio.to_thread(
        subprocess.run, command, input=bytes(1_200_000), capture_output=True, check=False, timeout=SECONDS
    )
    await eventually(lambda: "Client absurd disconnected due to" in broker.log(), "the client to be cut off")


async def test_an_old_store_brings_a_withdrawn_offer_back(broker: Mosquitto) -> None:
    """What the reconciler has to heal; here only that snapshot and restore do what tests of it lean on."""
    push = f"{OWN}/{PUSH}"
    async with connected(broker, "otao") as service:
        await service.publish([Outbound(topic=push, payload=b"old", retain=True)])
        old = await broker.snapshot_store()
        await service.publish([Outbound(topic=push, payload=b"", retain=True)])
        assert await service.read_retained([push]) == {}
        await broker.kill()
        broker.restore_store(old)
        await broker.start()
        await came_up(service)
        assert await service.read_retained([push]) == {push: b"old"}


async def test_sigterm_keeps_what_is_retained_and_what_is_queued(broker: Mosquitto) -> None:
    push = f"{OWN}/{PUSH}"
    async with connected(broker, "otao", f"{OWN}/#") as service:
        await service.publish([Outbound(topic=push, payload=b"offer", retain=True)])
        await broker.restart()
        assert (await came_up(service)).connection.session_present
        assert (await take(service, 1))[0].messages[0].payload == b"offer"
        assert await service.read_retained([push]) == {push: b"offer"}


def test_every_setting_says_why() -> None:
    lines = (ROOT / "mosquitto.conf").read_text().splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            block = number
            while lines[block] and not lines[block].startswith("#"):
                block -= 1
            assert lines[block].startswith("#"), f"{line!r} has no comment above it"


def _first_message(broker: Mosquitto, token: str) -> str:
    """What `mosquitto_sub` gets within a second on its own topics, which is what real devices subscribe to."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-u", token, "-P", token[::-1]]
    command += ["-q", "1", "-v", "-C", "1", "-W", "1", "-t", f"kp1/+/cmx_ota/{token}/#"]
    return subprocess.run(command, capture_output=True, check=False, timeout=SECONDS).stdout.decode().strip()
