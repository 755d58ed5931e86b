"""Endpoints of a real service on a real broker, and what they read: what the wire's tests share.

Rules:
- One broker and one service for a module of tests, an application of its own for each test.
- That nothing has come is said only when a message that must come later has come.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.brokers import Mosquitto
from tests.services import SECONDS, Service, connect, eventually, topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import aiomqtt
    import httpx2

# A decoded answer, which tests index as they please.
Json = Any

PUSH = "config/json/status"
UNASSIGNED = b'{"configId":"","config":null}'
OTHER_APP_VERSION = "second"
"""Appended to an application's name; the application has it besides its first one."""
DEVICE = "dev"
"""Token of the endpoint that most tests are about."""
_ECHO = "echo"
_properties: Callable[[int], Properties] = Properties
"""Paho leaves its constructor without types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A message as an endpoint got it; `resource` is the topic below the token."""

    instance: str
    resource: str
    payload: bytes
    qos: int
    retain: bool
    correlation_data: bytes | None = None

    def json(self) -> Json:
        return json.loads(self.payload)


class Device:
    """One connection of one endpoint, which reads all that its topics bring, in order."""

    def __init__(self, broker: Mosquitto, app_version: str, token: str, *, protocol: int = 5) -> None:
        self.app_version = app_version
        self.token = token
        self._protocol = protocol
        self._client = connect(broker, token, protocol=protocol)
        self._unread: list[Read] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        try:
            topic_filter = f"kp1/{self.app_version}/+/{self.token}/#"
            if self._protocol == 5:
                await self._client.subscribe(topic_filter, options=SubscribeOptions(qos=1, noLocal=True))
            else:
                await self._client.subscribe(topic_filter, qos=1)
        except BaseException:
            await self._client.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.__aexit__(None, None, None)

    async def send(
        self,
        resource: str,
        payload: bytes | str = b"",
        *,
        instance: str = "cmx_ota",
        qos: int = 1,
        retain: bool = False,
        properties: dict[str, str | bytes] | None = None,
    ) -> None:
        given = None
        if properties is not None:
            given = _properties(PacketTypes.PUBLISH)
            for name, value in properties.items():
                setattr(given, name, value)
        address = topic(self.token, resource, app_version=self.app_version, instance=instance)
        await self._client.publish(address, payload, qos=qos, retain=retain, properties=given)

    async def report(self, version: str, **members: object) -> None:
        """Report, and wait until the report is stored."""
        payload = json.dumps({"configId": version} | members)
        assert (await self.ask("applied/json/77", payload)).payload == b""

    async def ask(self, resource: str, payload: bytes | str = b"", *, instance: str = "cmx_ota", qos: int = 1) -> Read:
        """Send a request; return what comes on its `/status` or `/error`."""
        await self.send(resource, payload, instance=instance, qos=qos)
        return await self.read(f"{resource}/status", f"{resource}/error")

    async def read(self, *resources: str) -> Read:
        """The oldest unread message of one of these resources."""
        async with asyncio.timeout(SECONDS):
            while True:
                for position, message in enumerate(self._unread):
                    if message.resource in resources:
                        return self._unread.pop(position)
                self._unread.append(_read(await anext(self._client.messages)))

    async def unread(self) -> list[Read]:
        """Take everything that the broker has for this connection by now."""
        # The broker answers in order: what it had for us comes before the answer.
        await self._client.subscribe("kp1/nothing")
        while len(self._client.messages):
            self._unread.append(_read(await anext(self._client.messages)))
        taken, self._unread = self._unread, []
        return taken


def _read(message: aiomqtt.Message) -> Read:
    # A subscription to "token/#" matches the token's own level as well.
    _, _, instance, _, resource = f"{message.topic}/".split("/", 4)
    assert isinstance(message.payload, bytes)
    return Read(
        instance=instance,
        resource=resource[:-1],
        payload=message.payload,
        qos=message.qos,
        retain=message.retain,
        correlation_data=getattr(message.properties, "CorrelationData", None),
    )


@dataclass(slots=True, kw_only=True)
class Wire:
    """A broker and a service, and an application whose only endpoint tells how far the service is."""

    broker: Mosquitto
    service: Service
    http: httpx2.AsyncClient
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _echo: Device | None = None

    async def application(self, **members: object) -> Application:
        """A new application, registration open, with two application versions and no software."""
        application = Application(wire=self, name=f"app{next(self._numbers)}")
        await application.change(**members)
        return application

    async def settle(self) -> None:
        """Return when everything that was sent before is stored, answered and pushed."""
        assert self._echo is not None
        # The answer to the first may overtake pushes that wait; the one to the second may not.
        for number in range(2):
            await self._echo.ask(f"get/keys/{number}", instance="epmx")

    async def metric(self, name: str) -> float:
        """A metric by its full name and labels; 0 when it is not there."""
        text = (await self.http.get("/metrics")).text
        found = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    async def refused(self, code: str) -> float:
        return await self.metric(f'otao_messages_refused_total{{code="{code}"}}')

    async def open_echo(self, stack: AsyncExitStack, token: str) -> None:
        application = await self.application()
        self._echo = await stack.enter_async_context(application.device(token))


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application of the service."""

    wire: Wire
    name: str

    @property
    def app_version(self) -> str:
        return f"{self.name}-v1"

    @property
    def other_app_version(self) -> str:
        return f"{self.name}-{OTHER_APP_VERSION}"

    def device(self, token: str = DEVICE, *, app_version: str | None = None, protocol: int = 5) -> Device:
        return Device(self.wire.broker, app_version or self.app_version, token, protocol=protocol)

    async def send(self, method: str, path: str, body: object = None, *, content: bytes | None = None) -> Json:
        """Call REST below the application; what is there already is changed as it is."""
        url = f"/api/v1/applications/{self.name}{path}"
        headers = {"content-type": "application/json"}
        if method in {"PUT", "PATCH", "DELETE"}:
            present = await self.wire.http.get(url)
            if "etag" in present.headers:
                headers["if-match"] = present.headers["etag"]
        sent = json.dumps(body).encode() if content is None and body is not None else content
        response = await self.wire.http.request(method, url, content=sent, headers=headers)
        assert response.is_success, response.text
        return response.json() if response.content else None

    async def change(self, **members: object) -> None:
        """Write the application: these members, and for the others what `Wire.application` says."""
        body = {"appVersions": [self.app_version, self.other_app_version], "registration": "open"}
        await self.put("", body | members)

    async def put(self, path: str, body: object) -> Json:
        return await self.send("PUT", path, body)

    async def software(self, version: str, *sources: str, specification: str = "", **members: object) -> None:
        """A general software; `specification` is JSON text, by default an object with a link."""
        body = {"upgradableFrom": list(sources), "rolloutStrategy": "general"} | members
        text = specification or json.dumps({"link": f"https://firmware.example/{version}.bin"})
        content = f'{json.dumps(body)[:-1]},"specification":{text}}}'.encode()
        await self.send("PUT", f"/software/{version}", content=content)

    async def chain(self) -> None:
        """1.1.0 from 1.0.0, and 2.0.0 from 1.1.0."""
        await self.software("1.1.0", "1.0.0")
        await self.software("2.0.0", "1.1.0")

    async def endpoint(self, endpoint_id: str = DEVICE) -> Json:
        return await self.send("GET", f"/endpoints/{endpoint_id}")

    async def endpoints(self) -> list[str]:
        return [item["endpointId"] for item in (await self.send("GET", "/endpoints"))["items"]]

    async def summary(self) -> Json:
        """The numbers, when also the silent endpoints have been counted, which a service does soon after its start."""
        found: list[Json] = []

        async def counted() -> bool:
            found.append(await self.send("GET", "/summary"))
            return found[-1]["unseen"] is not None

        await eventually(counted, "the silent endpoints are counted")
        return found[-1]

    async def history(self, endpoint_id: str = DEVICE) -> list[tuple[str, str | None]]:
        """Kinds and versions, oldest first."""
        items = (await self.send("GET", f"/endpoints/{endpoint_id}/history?limit=500"))["items"]
        return [(item["kind"], item["version"]) for item in reversed(items)]

    async def offered(self, endpoint_id: str = DEVICE) -> str | None:
        offer = (await self.endpoint(endpoint_id))["offer"]
        return None if offer is None else str(offer["version"])

    async def retained(self, *, app_version: str | None = None) -> dict[str, bytes]:
        """What the broker retains on push topics, by token."""
        found: dict[str, bytes] = {}
        async with connect(self.wire.broker, "otao") as client:
            await client.subscribe(topic("+", PUSH, app_version=app_version or self.app_version), qos=1)
            # Retained messages follow their subscription at once, before the answer to the next one.
            await client.subscribe("kp1/nothing")
            while len(client.messages):
                message = await anext(client.messages)
                assert isinstance(message.payload, bytes)
                if message.retain:
                    found[str(message.topic).split("/")[3]] = message.payload
        return found

    async def until_retained(self, expected: dict[str, str], *, app_version: str | None = None) -> None:
        """Wait until the broker retains offers of exactly these versions, by token."""

        async def same() -> bool:
            found = await self.retained(app_version=app_version)
            return {token: json.loads(payload)["configId"] for token, payload in found.items()} == expected

        await eventually(same, f"the broker retains {expected}")


@asynccontextmanager
async def open_wire(
    tokens: Sequence[str] = (DEVICE,), *, broker: Mosquitto | None = None, **settings: str
) -> AsyncIterator[Wire]:
    """Start a broker with these tokens as users, and a service on it; `broker` has to have the user "echo"."""
    async with AsyncExitStack() as stack:
        started = await stack.enter_async_context(broker or Mosquitto(tokens=[*tokens, _ECHO]))
        service = await stack.enter_async_context(Service(started, template=None, **settings))
        http = await stack.enter_async_context(service.client())
        wire = Wire(broker=started, service=service, http=http)
        await wire.open_echo(stack, _ECHO)
        yield wire
