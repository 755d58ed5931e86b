"""Who becomes an endpoint by speaking, and who does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.services import connect, topic
from tests.system.wires import PUSH, UNASSIGNED, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ILLEGAL = "tok@7"
"""A token that topics may hold and endpointIds may not."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire(["dev", "dev2", ILLEGAL]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("instance", "resource", "payload"),
    [
        ("cmx_ota", "applied/json/1", '{"configId":"1.0.0"}'),
        ("cmx_ota", "applied/json/1", '{"configId":"1.0.0","statusCode":500}'),
        ("cmx_ota", "config/json/1", "{}"),
        ("cmx_ota", "progress/json/1", '{"configId":"1.0.0","state":"downloading"}'),
        ("epmx", "update/keys/1", '{"site":"lab"}'),
        ("epmx", "get/keys/1", ""),
    ],
)
async def test_where_it_is_open_the_first_accepted_message_registers(
    wire: Wire, instance: str, resource: str, payload: str
) -> None:
    app = await wire.application(registration="open")
    async with app.device() as device:
        assert (await device.ask(resource, payload, instance=instance)).resource == f"{resource}/status"
    document = await app.endpoint()
    assert (document["endpointId"], document["token"], document["appVersion"]) == ("dev", "dev", app.app_version)
    assert await app.endpoints() == ["dev"]


async def test_where_it_is_open_the_first_attributes_are_kept_and_decide(wire: Wire) -> None:
    app = await wire.application(registration="open")
    await app.put("/filters/lab", {"expression": "attributes.site == 'lab'"})
    await app.software("1.1.0", "*", rolloutStrategy="targeted", filters=[{"filterId": "lab"}])
    async with app.device() as device:
        await device.ask("update/keys/1", '{"site":"lab"}', instance="epmx")
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
    assert (await app.endpoint())["attributes"] == {"site": "lab"}


async def test_where_it_is_closed_the_unknown_are_refused_and_the_known_are_served(wire: Wire) -> None:
    app = await wire.application(registration="closed")
    await app.put("/endpoints/kettle", {"token": "dev2", "appVersion": app.app_version})
    before = await wire.refused("token-unknown")
    async with app.device() as unknown, app.device("dev2") as known:
        for resource, payload in (("applied/json/1", '{"configId":"1.0.0"}'), ("config/json/2", "{}")):
            answer = await unknown.ask(resource, payload)
            assert (answer.resource, answer.json()["statusCode"]) == (f"{resource}/error", 401)
        assert await wire.refused("token-unknown") == before + 2
        await known.report("1.0.0")
    assert await app.endpoints() == ["kettle"]
    assert (await app.endpoint("kettle"))["runningVersion"] == "1.0.0"


async def test_an_application_that_says_nothing_is_closed(wire: Wire) -> None:
    created = await wire.http.put("/api/v1/applications/silent", json={"appVersions": ["silent-v1"]})
    assert created.json()["registration"] == "closed"


async def test_a_token_that_cannot_be_an_endpoint_id_is_refused_only_where_it_would_become_one(wire: Wire) -> None:
    app = await wire.application(registration="open")
    before = await wire.refused("endpoint-id-illegal")
    async with app.device(ILLEGAL) as device:
        answer = await device.ask("applied/json/1", '{"configId":"1.0.0"}')
        assert (answer.resource, answer.json()["statusCode"]) == ("applied/json/1/error", 400)
        assert await app.endpoints() == []
        await app.put("/endpoints/kettle", {"token": ILLEGAL, "appVersion": app.app_version})
        await device.report("1.0.0")
    assert await wire.refused("endpoint-id-illegal") == before + 1
    assert (await app.endpoint("kettle"))["runningVersion"] == "1.0.0"


async def test_nobody_registers_under_the_name_of_another_endpoint(wire: Wire) -> None:
    app = await wire.application(registration="open")
    await app.put("/endpoints/dev", {"token": "dev2", "appVersion": app.app_version})
    async with app.device() as device:
        answer = await device.ask("applied/json/1", '{"configId":"1.0.0"}')
        assert answer.json()["statusCode"] == 400
    document = await app.endpoint()
    assert (document["token"], document["runningVersion"]) == ("dev2", None)


async def test_a_token_belongs_to_one_application_only(wire: Wire) -> None:
    first, second = await wire.application(), await wire.application(registration="closed")
    await second.put("/endpoints/kettle", {"token": "dev", "appVersion": second.app_version})
    async with first.device() as one, second.device() as other:
        await one.report("1.0.0")
        assert (await other.ask("config/json/1", "{}")).payload == UNASSIGNED
    assert (await first.endpoint())["runningVersion"] == "1.0.0"
    assert (await second.endpoint("kettle"))["runningVersion"] is None


@pytest.mark.parametrize(
    ("instance", "resource", "payload"),
    [
        ("cmx_ota", "applied/json/1", "{"),
        ("cmx_ota", "applied/json/1", "{}"),
        ("cmx_ota", "applied/json/1", '{"configId":"latest"}'),
        ("cmx_ota", "config/json/1", '{"observe":1}'),
        ("cmx_ota", "config/json/status", '{"configId":"1.0.0","config":{}}'),
        ("cmx_ota", "config/json/7/status", '{"configId":"1.0.0","config":{}}'),
        ("cmx_ota", "progress/json/1", "{}"),
        ("cmx_ota", "applied/json/x", '{"configId":"1.0.0"}'),
        ("cmx", "applied/json/1", '{"configId":"1.0.0"}'),
        ("epmx", "update/keys/1", "{}"),
        ("epmx", "update/keys/1", '{"ring":1}'),
    ],
)
async def test_invariant_10_rubbish_creates_nothing(wire: Wire, instance: str, resource: str, payload: str) -> None:
    app = await wire.application(registration="open", operatorKeys=["ring"])
    # As the service's own user: an endpoint's is refused by the broker on some of these topics.
    async with connect(wire.broker, "otao") as client:
        address = topic("dev", resource, app_version=app.app_version, instance=instance)
        await client.publish(address, payload, qos=1)
    await wire.settle()
    assert await app.endpoints() == []
    assert (await app.send("GET", "/summary"))["endpoints"] == 0
