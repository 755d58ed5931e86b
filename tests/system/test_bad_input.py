"""Invariant 10: bad input is answered where the protocol allows, counted by reason, and dropped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.services import connect, topic
from tests.system.wires import PUSH, Application, Json, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiomqtt

    from tests.system.wires import Device, Read

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPLIED = "applied/json/1"
CONFIG = "config/json/1"
PROGRESS = "progress/json/1"
GOOD = b'{"configId":"1.1.0"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """An endpoint with an offer, and everything that bad input must leave alone."""

    app: Application
    device: Device
    forger: aiomqtt.Client
    """Of the service's own user: no access rule of the broker holds it back."""

    async def state(self) -> tuple[Json, ...]:
        return (
            await self.app.endpoint(),
            await self.app.history(),
            await self.app.endpoints(),
            await self.app.summary(),
            await self.app.retained(),
        )

    async def unchanged_by(self, code: str, address: str, payload: bytes, *, retain: bool = False) -> list[Read]:
        """Send, and check that nothing changes and that exactly this refusal is counted; return what is answered."""
        wire = self.app.wire
        state, before = await self.state(), await _refusals(wire)
        await self.device.unread()
        await self.forger.publish(address, payload, qos=1, retain=retain)
        await wire.settle()
        assert await _refusals(wire) == before | {code: before.get(code, 0) + 1}
        assert await self.state() == state
        # The endpoint reads all below its token, also what is sent in its name.
        return [message for message in await self.device.unread() if message.resource.endswith(("/status", "/error"))]


async def _refusals(wire: Wire) -> dict[str, float]:
    lines = (await wire.http.get("/metrics")).text.splitlines()
    name = 'otao_messages_refused_total{code="'
    found = [line.removeprefix(name).split('"} ') for line in lines if line.startswith(name)]
    return {code: float(amount) for code, amount in found}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire(["dev", "dev2"]) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def victim(wire: Wire) -> AsyncIterator[Victim]:
    app = await wire.application()
    await app.chain()
    async with app.device() as device, connect(wire.broker, "otao") as forger:
        await device.report("1.0.0")
        await app.until_retained({"dev": "1.1.0"})
        yield Victim(app=app, device=device, forger=forger)


def deep(levels: int) -> bytes:
    return b'{"configId":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("resource", "payload", "code", "status"),
    [
        # JSON
        (APPLIED, b"", "payload-not-json", 400),
        (APPLIED, b"{", "payload-not-json", 400),
        (APPLIED, b'{"configId":"1.1.0"}}', "payload-not-json", 400),
        (APPLIED, b"{'configId':'1.1.0'}", "payload-not-json", 400),
        (APPLIED, b'\xef\xbb\xbf{"configId":"1.1.0"}', "payload-not-json", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":NaN}', "payload-not-json", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":-Infinity}', "payload-not-json", 400),
        (APPLIED, b'{"configId":"1.1.0","reasonPhrase":"\x01"}', "payload-not-json", 400),
        (APPLIED, b'{"configId":"1.1.0","reasonPhrase":"\xff"}', "payload-not-utf8", 400),
        (APPLIED, b"\xc0\x80", "payload-not-utf8", 400),
        (APPLIED, b'{"configId":"1.1.0","configId":"1.0.0"}', "member-duplicate", 400),
        (APPLIED, b'{"configId":"1.1.0","configI\\u0064":"1.0.0"}', "member-duplicate", 400),
        (APPLIED, deep(33), "payload-too-deep", 400),
        (APPLIED, deep(30_000), "payload-too-deep", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":1e400}', "number-out-of-range", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":' + b"9" * 5000 + b"}", "number-out-of-range", 400),
        # size: one byte too many, and much more
        (APPLIED, GOOD + b" " * (65537 - len(GOOD)), "payload-too-large", 413),
        (CONFIG, b"{}" + b" " * 65535, "payload-too-large", 413),
        (APPLIED, b"x" * 900_000, "payload-too-large", 413),
        # types and members
        (APPLIED, b"[]", "member-type", 400),
        (APPLIED, b'"1.1.0"', "member-type", 400),
        (APPLIED, b"null", "member-type", 400),
        (APPLIED, b"{}", "member-missing", 400),
        (APPLIED, b'{"configId":null}', "member-type", 400),
        (APPLIED, b'{"configId":1}', "member-type", 400),
        (APPLIED, deep(32), "member-type", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":"200"}', "member-type", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":true}', "member-type", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":200.5}', "member-type", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":99}', "member-out-of-range", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":600}', "member-out-of-range", 400),
        (APPLIED, b'{"configId":"1.1.0","statusCode":-200}', "member-out-of-range", 400),
        (APPLIED, b'{"configId":"1.1.0","reasonPhrase":7}', "member-type", 400),
        (APPLIED, b'{"configId":"1.1.0","colour":"red"}', "member-unknown", 400),
        (APPLIED, b'{"configid":"1.1.0"}', "member-unknown", 400),
        (CONFIG, b"[]", "member-type", 400),
        (CONFIG, b'{"observe":null}', "member-type", 400),
        (CONFIG, b'{"observe":"true"}', "member-type", 400),
        (CONFIG, b'{"observe":true,"statusCode":200}', "member-unknown", 400),
        (CONFIG, b'{"configId":null}', "member-type", 400),
        (PROGRESS, b'{"configId":"1.1.0"}', "member-missing", 400),
        (PROGRESS, b'{"configId":"1.1.0","state":"sleeping"}', "member-out-of-range", 400),
        (PROGRESS, b'{"configId":"1.1.0","state":"downloading","percent":101}', "member-out-of-range", 400),
        (PROGRESS, b'{"configId":"1.1.0","state":"downloading","percent":"40"}', "member-type", 400),
        # versions: foreign identifiers come from real clients
        (APPLIED, b'{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}', "config-id-not-semver", 400),
        (APPLIED, b'{"configId":""}', "config-id-not-semver", 400),
        (APPLIED, b'{"configId":"1.1"}', "config-id-not-semver", 400),
        (APPLIED, b'{"configId":"v1.1.0"}', "config-id-not-semver", 400),
        (APPLIED, b'{"configId":"01.1.0"}', "config-id-not-semver", 400),
        (APPLIED, b'{"configId":"1.1.0 "}', "config-id-not-semver", 400),
        (APPLIED, '{"configId":"１.1.0"}'.encode(), "config-id-not-semver", 400),
        (APPLIED, b'{"configId":"1.1.0-' + b"a" * 200 + b'"}', "config-id-not-semver", 400),
        (CONFIG, b'{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}', "config-id-not-semver", 400),
        # resources that there are not
        ("config", b"{}", "resource-unknown", 404),
        ("config/json/x", b"{}", "resource-unknown", 404),
        ("config/json/-1", b"{}", "resource-unknown", 404),
        ("config/json/1/2", b"{}", "resource-unknown", 404),
        ("config/json/123456789012345678901", b"{}", "resource-unknown", 404),
        ("applied/yaml/1", b"{}", "resource-unknown", 404),
        ("1", b"{}", "resource-unknown", 404),
    ],
)
async def test_invariant_10_a_bad_request_is_answered_counted_and_changes_nothing(
    victim: Victim, resource: str, payload: bytes, code: str, status: int
) -> None:
    address = topic("dev", resource, app_version=victim.app.app_version)
    (answer,) = await victim.unchanged_by(code, address, payload)
    assert (answer.resource, answer.retain) == (f"{resource}/error", False)
    document = answer.json()
    assert (list(document), document["statusCode"]) == (["statusCode", "reasonPhrase"], status)
    assert 0 < len(document["reasonPhrase"]) <= 500


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("kp1/{av}/cmx_ota/dev/applied/json/", "topic-malformed"),
        ("kp1/{av}/cmx_ota/dev/applied//json", "topic-malformed"),
        ("kp1/{av}/cmx_ota/dev//applied/json", "topic-malformed"),
        ("kp1/{av}/cmx_ota/dev/", "topic-malformed"),
        ("kp1/{av}/cmx_ota/dev", "topic-malformed"),
        ("kp1/{av}/cmx_ota//applied/json", "topic-malformed"),
        ("kp1//cmx_ota/dev/applied/json", "topic-malformed"),
        ("kp1/{av}/cmx_ota/d.v/applied/json", "topic-malformed"),
        ("kp1/{av}/cmx_ota/" + "d" * 65 + "/applied/json", "topic-malformed"),
        ("kp1/{av}/cmx_ota/dev/applied/json/" + "x" * 600, "topic-malformed"),
        ("kp1/{av}/cmx/dev/config/json/1", "configuration-not-served"),
        ("kp1/{av}/cmx/dev/applied/json/1", "configuration-not-served"),
        ("kp1/{av}/cmx/dev/anything", "configuration-not-served"),
    ],
)
async def test_invariant_10_what_cannot_be_answered_is_counted_and_changes_nothing(
    victim: Victim, address: str, code: str
) -> None:
    assert await victim.unchanged_by(code, address.format(av=victim.app.app_version), GOOD) == []


async def test_invariant_10_an_unknown_application_version_is_answered_and_counted(victim: Victim) -> None:
    async with victim.app.device(app_version="nobodys-v1") as device:
        address = topic("dev", APPLIED, app_version="nobodys-v1")
        assert await victim.unchanged_by("app-version-unknown", address, GOOD) == []
        assert (await device.read(f"{APPLIED}/error")).json()["statusCode"] == 404


@pytest.mark.parametrize(("resource", "payload"), [(APPLIED, GOOD), (CONFIG, b"{}"), (APPLIED, b"")])
async def test_invariant_10_a_retained_request_is_refused(victim: Victim, resource: str, payload: bytes) -> None:
    address = topic("dev", resource, app_version=victim.app.app_version)
    answers = await victim.unchanged_by("retained", address, payload, retain=True)
    assert [(answer.resource, answer.json()["statusCode"]) for answer in answers] == [(f"{resource}/error", 400)]
    if payload:
        await victim.unchanged_by("retained", address, b"", retain=True)


@pytest.mark.parametrize("ending", ["config/json/7/status", "applied/json/7/error", "applied/json/status", "x/error"])
async def test_what_looks_like_an_answer_is_ignored(wire: Wire, victim: Victim, ending: str) -> None:
    state, before = await victim.state(), await _refusals(wire)
    await victim.device.unread()
    await victim.forger.publish(topic("dev", ending, app_version=victim.app.app_version), GOOD, qos=1)
    await wire.settle()
    assert (await victim.state(), await _refusals(wire)) == (state, before)
    assert [message.resource for message in await victim.device.unread()] == [ending]


async def test_a_reason_never_holds_the_token_nor_more_than_a_part_of_what_was_sent(victim: Victim) -> None:
    for payload in (b'{"configId":"' + b"z" * 4000 + b'"}', b'{"' + b"z" * 4000 + b'":1}'):
        answer = await victim.device.ask(APPLIED, payload)
        assert (b"z" * 65 in answer.payload, b"dev" in answer.payload) == (False, False)


async def test_after_all_that_the_endpoint_is_served(victim: Victim) -> None:
    await victim.device.report("1.1.0")
    await victim.app.until_retained({"dev": "2.0.0"})
    assert json.loads((await victim.device.ask(CONFIG, "{}")).payload)["configId"] == "2.0.0"
    assert [message.resource for message in await victim.device.unread()] == [PUSH]
