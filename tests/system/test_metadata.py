"""10/EPMP: endpoints read and write their own attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.system.wires import Application, Device, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACKNOWLEDGED = b""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def app(wire: Wire) -> Application:
    return await wire.application(operatorKeys=["ring"])


async def ask(device: Device, resource: str, payload: str = "") -> bytes:
    answer = await device.ask(resource, payload, instance="epmx")
    assert (answer.instance, answer.resource) == ("epmx", f"{resource}/status"), answer.payload
    return answer.payload


async def refused(device: Device, resource: str, payload: str) -> int:
    answer = await device.ask(resource, payload, instance="epmx")
    assert (answer.instance, answer.resource) == ("epmx", f"{resource}/error")
    return int(answer.json()["statusCode"])


async def test_the_five_resources_do_what_they_say(app: Application) -> None:
    async with app.device() as device:
        assert await ask(device, "update/keys/1", '{"site":"lab","fuel":{"unit":"l","left":1.5},"on":true}') == b""
        assert await ask(device, "update/keys/2", '{"site":"field"}') == ACKNOWLEDGED
        assert await ask(device, "get/3") == b'{"site":"field","fuel":{"unit":"l","left":1.5},"on":true}'
        assert await ask(device, "get/4", '{"keys":["on","site","none"]}') == b'{"on":true,"site":"field"}'
        assert await ask(device, "get/5", "{}") == await ask(device, "get/6")
        assert await ask(device, "get/keys/7") == b'["site","fuel","on"]'
        assert await ask(device, "delete/keys/8", '["fuel","none"]') == ACKNOWLEDGED
        assert await ask(device, "get/keys/9") == b'["site","on"]'
        assert await ask(device, "update/10", '{"colour":"r\u00f6d"}') == ACKNOWLEDGED
        assert await ask(device, "get/11") == '{"colour":"röd"}'.encode()
    assert (await app.endpoint())["attributes"] == {"colour": "röd"}


async def test_queries_without_id_are_answered_and_updates_are_not(wire: Wire, app: Application) -> None:
    async with app.device() as device:
        await device.send("update/keys", '{"a":1}', instance="epmx")
        await device.send("update", '{"b":2,"c":3}', instance="epmx")
        await device.send("delete/keys", '["b"]', instance="epmx")
        await wire.settle()
        assert await device.unread() == []
        assert await ask(device, "get") == b'{"c":3}'
        assert await ask(device, "get/keys") == b'["c"]'


async def test_several_changes_of_one_batch_keep_their_order(app: Application) -> None:
    async with app.device() as device:
        for number in range(20):
            await device.send("update/keys", f'{{"n":{number},"k{number}":0}}', instance="epmx", qos=0)
            await device.send("delete/keys", f'["k{number - 1}"]', instance="epmx", qos=0)
        assert await ask(device, "get/1") == b'{"n":19,"k19":0}'


async def test_operators_keys_are_read_and_not_written(wire: Wire, app: Application) -> None:
    await app.put("/endpoints/dev", {"appVersion": app.app_version, "attributes": {"ring": 3, "site": "lab"}})
    before = await wire.refused("operator-key")
    async with app.device() as device:
        assert await refused(device, "update/keys/1", '{"site":"field","ring":0}') == 403
        assert await refused(device, "update/2", '{"ring":0}') == 403
        assert await refused(device, "delete/keys/3", '["site","ring"]') == 403
        assert await wire.refused("operator-key") == before + 3
        assert await ask(device, "get/4", '{"keys":["ring","site"]}') == b'{"ring":3,"site":"lab"}'
        # A replacement takes the operators' attributes neither over nor away.
        assert await ask(device, "update/5", '{"colour":"red"}') == ACKNOWLEDGED
    assert (await app.endpoint())["attributes"] == {"ring": 3, "colour": "red"}


async def test_what_operators_write_endpoints_read(app: Application) -> None:
    async with app.device() as device:
        assert await ask(device, "update/keys/1", '{"site":"lab"}') == ACKNOWLEDGED
        await app.send("PATCH", "/endpoints/dev", {"attributes": {"ring": 1}})
        assert await ask(device, "get/2") == b'{"site":"lab","ring":1}'


async def test_an_edit_by_the_endpoint_is_no_edit_by_an_operator(wire: Wire, app: Application) -> None:
    async with app.device() as device:
        await ask(device, "update/keys/1", '{"site":"lab"}')
        path = f"/api/v1/applications/{app.name}/endpoints/dev"
        tag = (await wire.http.get(path)).headers["etag"]
        await ask(device, "update/keys/2", '{"site":"field"}')
        assert (await wire.http.get(path)).headers["etag"] == tag


@pytest.mark.parametrize(
    ("resource", "payload", "code"),
    [
        ("update/keys", "{}", "attribute-count"),
        ("update/keys", "", "payload-not-json"),
        ("update/keys", '["a"]', "member-type"),
        ("update/keys", '{"a-b":1}', "attribute-key-invalid"),
        ("update/keys", '{"":1}', "attribute-key-invalid"),
        ("update/keys", '{"k' + "k" * 64 + '":1}', "attribute-key-invalid"),
        ("update/keys", "{" + ",".join(f'"k{n}":1' for n in range(65)) + "}", "attribute-count"),
        ("update/keys", r'{"a":"\u0000"}', "text-not-storable"),
        ("update/keys", r'{"a":["\ud83d"]}', "text-not-storable"),
        ("update/keys", '{"a":1e400}', "number-out-of-range"),
        ("update", "{}", "attribute-count"),
        ("update", '{"a":1,"a":2}', "member-duplicate"),
        ("get", '["a"]', "member-type"),
        ("get", '{"keys":"a"}', "member-type"),
        ("get", '{"keys":["a","a"]}', "attribute-key-invalid"),
        ("get", '{"names":["a"]}', "member-unknown"),
        ("delete/keys", "[]", "attribute-count"),
        ("delete/keys", "[1]", "member-type"),
        ("delete/keys", '{"keys":["a"]}', "member-type"),
    ],
)
async def test_invariant_10_what_is_wrong_is_answered_counted_and_changes_nothing(
    wire: Wire, app: Application, resource: str, payload: str, code: str
) -> None:
    async with app.device() as device:
        await ask(device, "update/keys/1", '{"a":1}')
        document, before = await app.endpoint(), await wire.refused(code)
        assert await refused(device, f"{resource}/2", payload) == 400
        assert await wire.refused(code) == before + 1
        assert await app.endpoint() == document
