"""Between service and broker stands something that refuses, repeats, holds back, swaps and swallows packets."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.proxies import Proxy, Toward, acknowledged, again, disconnect, puback, published
from tests.services import Service, connect, eventually, report, topic, until_retained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.proxies import Delay, Way

TOKENS = ["a", "b", "c"]
REFUSED = [f"r{number}" for number in range(120)]
"""More than are on their way at one time."""
ALLOWED = [f"t{number}" for number in range(30)]
MINUTE = 61.0
MARKER = "otao/v1/partition/main/marker"


def push(token: str) -> str:
    return topic(token, "config/json/status")


def serving(broker: Mosquitto, proxy: Proxy, **settings: str) -> Service:
    """A service behind the proxy that finds out within seconds that nobody is there."""
    service = Service(broker, OTAO_MQTT_URL=proxy.url, OTAO_MQTT_KEEP_ALIVE_SECONDS="5")
    service.environment.update(settings)
    return service


async def running(broker: Mosquitto, versions: dict[str, str]) -> None:
    """Each endpoint says what it runs, in this order."""
    async with connect(broker, "fleet") as client:
        for token, version in versions.items():
            await client.publish(topic(token, "applied/json"), f'{{"configId":"{version}"}}', qos=1)


async def reported(service: Service, token: str) -> list[str | None]:
    return [version for kind, version in await service.history(token) if kind == "reported"]


@dataclass(slots=True)
class Refusing:
    """A broker that takes no message on some topics, and says why."""

    topics: set[str]
    code: int
    most: int | None = None
    """How many it refuses; None: all."""
    tries: int = 0

    def __call__(self, way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        found = published(packet)
        if toward is Toward.BROKER and found is not None and found[0] in self.topics and self.tries != self.most:
            self.tries += 1
            way.send(Toward.CLIENT, puback(found[1], self.code))
            return []
        return [packet]


@pytest.mark.parametrize("code", [0x87, 0x97])
async def test_a_marker_that_the_broker_refuses_is_said_and_sent_again(code: int) -> None:
    refusing = Refusing({MARKER}, code, most=2)
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, refusing) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        assert (refusing.tries, service.log().count("broker.marker-refused")) == (2, 2)


@dataclass(slots=True)
class Losing:
    """A broker that loses our marker on its way back, as one does that is killed before it has delivered it."""

    lost: int = 0

    def __call__(self, _way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        found = published(packet)
        if toward is Toward.CLIENT and found is not None and found[0] == MARKER and not self.lost:
            self.lost += 1
            return []
        return [packet]


async def test_invariant_1_a_broker_that_was_killed_and_wiped_before_our_marker_was_through_gets_every_offer() -> None:
    losing = Losing()
    async with Mosquitto(anonymous=True) as broker, Proxy(broker.port, losing) as proxy:
        service = Service(broker, OTAO_MQTT_URL=proxy.url, OTAO_MQTT_KEEP_ALIVE_SECONDS="5")
        await service.start()

        async def lost() -> bool:
            return losing.lost == 1

        await eventually(lost, "the marker is lost")
        await broker.kill()
        broker.wipe()
        await broker.start()
        await service.ready()
        await service.define()
        await report(broker, "a", "1.0.0")
        await until_retained(broker, {"a": "1.1.0"})
        await service.terminate()


@pytest.mark.parametrize("code", [0x87, 0x97])
async def test_invariant_3_pushes_refused_by_the_hundred_are_parked_explained_retried_slowly_and_stop_no_other(
    code: int, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    refusing = Refusing({push(token) for token in REFUSED}, code)
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, refusing) as proxy,
        serving(broker, proxy, CLOCK_OFFSET_FILE=str(offset)) as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys([*REFUSED, *ALLOWED], "1.0.0"))
        await until_retained(broker, dict.fromkeys(ALLOWED, "1.1.0"))
        assert await service.metric("otao_pushes_parked_total") == len(REFUSED)
        assert f"0x{code:02x}" in str(await service.get("/applications/kettle/endpoints/r7/explain"))
        # Others go on, and nothing is tried again before its time.
        await report(broker, ALLOWED[0], "1.1.0")
        await until_retained(broker, {**dict.fromkeys(ALLOWED, "1.1.0"), ALLOWED[0]: "2.0.0"})
        assert refusing.tries == len(REFUSED)
        offset.write_text(str(MINUTE))

        async def tried_again() -> bool:
            # Parked as well: when each is tried again is reckoned from then.
            return await service.metric("otao_pushes_parked_total") == 2 * len(REFUSED)

        await eventually(tried_again, "each is tried once more")
        assert refusing.tries == 2 * len(REFUSED)
        refusing.topics.clear()
        offset.write_text(str(4 * MINUTE))
        await until_retained(broker, {**dict.fromkeys([*REFUSED, *ALLOWED], "1.1.0"), ALLOWED[0]: "2.0.0"})
        assert refusing.tries == 2 * len(REFUSED)
        assert "0x" not in str(await service.get("/applications/kettle/endpoints/r7/explain"))


@pytest.mark.parametrize(
    ("code", "name"), [(0x8B, "shutting down"), (0x93, "receive maximum"), (0x97, "quota"), (0x98, "administrative")]
)
async def test_a_disconnect_with_a_reason_code_is_named_and_survived_without_loss(code: int, name: str) -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys(TOKENS, "1.0.0"))
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        for way in proxy.ways:
            way.send(Toward.CLIENT, disconnect(code))
        await running(broker, {"a": "1.1.0"})
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})
        assert await reported(service, "a") == ["1.0.0", "1.1.0"]
        assert f'"reason_code": {code}' in service.log(), name


LATE = 0.3


def everything(_toward: Toward, _packet: bytes) -> float:
    return LATE


def what_the_service_hears(toward: Toward, _packet: bytes) -> float:
    return LATE if toward is Toward.CLIENT else 0.0


def what_the_service_says(toward: Toward, _packet: bytes) -> float:
    return LATE if toward is Toward.BROKER else 0.0


@dataclass(slots=True)
class Some:
    """Every seventh packet is late, and those behind it come with it."""

    seen: int = 0

    def __call__(self, _toward: Toward, _packet: bytes) -> float:
        self.seen += 1
        return 0.0 if self.seen % 7 else LATE


@dataclass(slots=True)
class Noting:
    """Passes everything on, and notes the pushes that the broker is sent."""

    pushes: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, _way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        found = published(packet)
        if toward is Toward.BROKER and found is not None and found[0].endswith("/config/json/status"):
            offered = re.search(rb'{"configId":"([^"]*)"', packet)
            self.pushes.setdefault(found[0], []).append(offered[1].decode() if offered else "")
        return [packet]


@pytest.mark.parametrize("delay", [everything, what_the_service_hears, what_the_service_says, Some()])
async def test_packets_that_are_late_are_each_applied_and_published_once_on_the_same_connection(delay: Delay) -> None:
    """Two reports of each endpoint and the offers that answer them, in their order, and the connection holds."""
    fleet = [f"t{number}" for number in range(100)]
    noting = Noting()
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, noting) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        ways = list(proxy.ways)
        proxy.delay = delay
        began = time.monotonic()
        await running(broker, dict.fromkeys(fleet, "1.0.0"))
        await until_retained(broker, dict.fromkeys(fleet, "1.1.0"))
        await running(broker, dict.fromkeys(fleet, "1.1.0"))
        await until_retained(broker, dict.fromkeys(fleet, "2.0.0"))
        assert time.monotonic() - began >= 2 * LATE
        assert noting.pushes == {push(token): ["1.1.0", "2.0.0"] for token in fleet}
        for token in fleet:
            assert await reported(service, token) == ["1.0.0", "1.1.0"]
        assert proxy.ways == ways


def doubled(_way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
    """Everything that is published comes twice, one right behind the other."""
    if published(packet) is None:
        return [packet]
    return [packet, again(packet)] if toward is Toward.CLIENT else [packet, packet]


async def test_invariant_2_messages_that_all_come_twice_on_one_connection_have_their_effect_once() -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, doubled) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        fleet = [f"t{number}" for number in range(100)]
        await running(broker, dict.fromkeys(fleet, "1.0.0"))
        await running(broker, dict.fromkeys(fleet, "1.1.0"))
        await until_retained(broker, dict.fromkeys(fleet, "2.0.0"))
        for token in fleet:
            assert await reported(service, token) == ["1.0.0", "1.1.0"]


@dataclass(slots=True)
class Holding:
    """Keeps the first offer of a version to itself; what comes behind it passes."""

    topic: str
    version: bytes
    held: list[bytes] = field(default_factory=list)

    def __call__(self, _way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        found = published(packet)
        offered = found is not None and found[0] == self.topic and self.version in packet
        if toward is Toward.BROKER and offered and not self.held:
            self.held.append(packet)
            return []
        return [packet]


async def test_invariant_1_kill_while_a_push_is_held_back_and_later_ones_are_acknowledged_publishes_it_again() -> None:
    holding = Holding(push("a"), b'"3.0.0"')
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, holding) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys(TOKENS, "2.0.0"))
        for token in TOKENS:
            await service.until_running(token, "2.0.0")
        # Offers of one page, which leave together.
        await service.software("3.0.0", ["2.0.0"])
        await until_retained(broker, {"b": "3.0.0", "c": "3.0.0"})
        await service.kill()
        assert holding.held
        await service.start()
        await service.ready()
        await until_retained(broker, dict.fromkeys(TOKENS, "3.0.0"))


@dataclass(slots=True)
class Swapping:
    """Acknowledges the first push of an endpoint itself, and lets it reach the broker only behind the second."""

    topic: str
    held: list[bytes] = field(default_factory=list)
    swapped: bool = False

    def __call__(self, way: Way, toward: Toward, packet: bytes) -> Sequence[bytes]:
        if toward is Toward.CLIENT:
            return [] if self.swapped and acknowledged(packet) == self._own else [packet]
        found = published(packet)
        if found is None or found[0] != self.topic or self.swapped:
            return [packet]
        topic_name, packet_id = found
        if not self.held:
            place = packet.index(topic_name.encode()) + len(topic_name.encode())
            self.held.append(packet[:place] + self._own.to_bytes(2) + packet[place + 2 :])
            way.send(Toward.CLIENT, puback(packet_id))
            return []
        self.swapped = True
        return [packet, *self.held]

    @property
    def _own(self) -> int:
        """A packet identifier that the service does not come to."""
        return 65_000


async def test_invariant_1_pushes_that_reach_the_broker_in_the_wrong_order_are_found_and_repaired() -> None:
    swapping = Swapping(push("a"))
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port, swapping) as proxy,
        serving(broker, proxy, OTAO_AUDIT_INTERVAL_SECONDS="1") as service,
    ):
        await service.define()
        await running(broker, {"a": "1.0.0"})
        await service.until_offered("a", "1.1.0")
        await running(broker, {"a": "1.1.0"})

        async def repaired() -> bool:
            return await service.metric("otao_mismatches_total") >= 1

        await eventually(repaired, "it is found that the broker holds 1.1.0")
        await until_retained(broker, {"a": "2.0.0"})
        assert swapping.swapped


async def test_a_connection_that_is_half_open_is_given_up_and_what_came_meanwhile_is_applied_once() -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        Proxy(broker.port) as proxy,
        serving(broker, proxy) as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys(TOKENS, "1.0.0"))
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        assert proxy.strand() == 2
        await running(broker, {"a": "1.1.0"})
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})
        assert await reported(service, "a") == ["1.0.0", "1.1.0"]


async def test_a_broker_stopped_beyond_the_keep_alive_and_a_reconnect_is_caught_up_with_when_it_goes_on() -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        Service(broker, OTAO_MQTT_KEEP_ALIVE_SECONDS="5") as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys(TOKENS, "1.0.0"))
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        broker.pause()
        await service.software("3.0.0", ["1.0.0"])

        async def tried_in_vain() -> bool:
            return "broker.unreachable" in service.log()

        await eventually(tried_in_vain, "the connection is lost, and a new one is not answered", 60)
        async with service.client() as client:
            assert (await client.get("/livez")).status_code == 200
        broker.resume()
        await until_retained(broker, dict.fromkeys(TOKENS, "3.0.0"))
        await running(broker, {"a": "3.0.0"})
        await until_retained(broker, {"b": "3.0.0", "c": "3.0.0"})


async def test_a_service_stopped_beyond_the_keep_alive_takes_up_its_session_again_and_loses_nothing() -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        Service(broker, OTAO_MQTT_KEEP_ALIVE_SECONDS="5") as service,
    ):
        await service.define()
        await running(broker, dict.fromkeys(TOKENS, "1.0.0"))
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        os.kill(service.pid, signal.SIGSTOP)
        await running(broker, {"a": "1.1.0"})

        async def given_up() -> bool:
            return "exceeded timeout" in broker.log()

        await eventually(given_up, "the broker has given the service up", 60)
        await running(broker, {"b": "1.1.0"})
        os.kill(service.pid, signal.SIGCONT)
        await until_retained(broker, {"a": "2.0.0", "b": "2.0.0", "c": "1.1.0"})
        for token in ("a", "b"):
            assert await reported(service, token) == ["1.0.0", "1.1.0"]
