"""7/CMP on the wire, to the byte: what endpoints send, what they are answered, and what they are pushed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.brokers import Mosquitto
from tests.services import connect, eventually, topic
from tests.system.wires import PUSH, UNASSIGNED, Application, Wire, open_wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

KAA = b'{"configId":"1.1.0","statusCode":200,"reasonPhrase":"OK","config":{"link":"https://x"}}'
RFC7 = b'{"configId":"1.1.0","config":{"link":"https://x"}}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire() -> AsyncIterator[Wire]:
    async with open_wire(["dev", "dev2"]) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def app(wire: Wire) -> Application:
    application = await wire.application()
    await application.chain()
    return application


# --- what is offered ---


@pytest.mark.parametrize(("profile", "expected"), [("kaa", KAA), ("rfc7", RFC7)])
async def test_each_profile_has_exactly_its_members(wire: Wire, profile: str, expected: bytes) -> None:
    app = await wire.application(profile=profile)
    await app.software("1.1.0", "1.0.0", specification='{"link": "https://x"}')
    async with app.device() as device:
        await device.report("1.0.0")
        assert (await device.read(PUSH)).payload == expected
        assert (await device.ask("config/json/1", "{}")).payload == expected
        assert await app.retained() == {"dev": expected}


@pytest.mark.parametrize(
    "specification",
    [
        '{"ratio":1.10,"huge":1e400,"whole":123456789012345678901234567890,"z":0,"a":-0.0}',
        r'{"escaped":"\ud83d\ude00 \u00e9 \/ \"","plain":"é😀"}',
        '{"nested":[{"b":[[],{}],"a":null}],"b":false,"":""}',
        '["list",1.0,null]',
        '"text"',
        "false",
        "0",
        "{}",
    ],
)
async def test_a_specification_is_delivered_as_it_was_given(wire: Wire, specification: str) -> None:
    app = await wire.application(profile="rfc7")
    await app.software("1.1.0", "1.0.0", specification=specification)
    expected = f'{{"configId":"1.1.0","config":{specification}}}'.encode()
    async with app.device() as device:
        await device.report("1.0.0")
        assert (await device.read(PUSH)).payload == expected
        assert (await device.ask("config/json/1", "{}")).payload == expected


async def test_a_software_without_specification_is_never_offered(wire: Wire) -> None:
    app = await wire.application()
    await app.software("1.1.0", "1.0.0", specification="null")
    async with app.device() as device:
        await device.report("1.0.0")
        assert (await device.ask("config/json/1", "{}")).payload == UNASSIGNED
        await wire.settle()
        assert await app.retained() == {}


# --- pushes ---


async def test_a_push_is_retained_for_whoever_comes_later(app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
    async with app.device() as later:
        push = await later.read(PUSH)
        assert (push.retain, push.json()["configId"]) == (True, "1.1.0")


async def test_a_live_push_reaches_who_is_there_and_is_not_retained(wire: Wire) -> None:
    app = await wire.application(push="live")
    await app.chain()
    async with app.device() as device:
        await device.report("1.0.0")
        push = await device.read(PUSH)
        assert (push.retain, push.json()["configId"]) == (False, "1.1.0")
        # After each accepted message as long as the offer stands, and when it changes.
        await device.report("1.0.0")
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
        await device.report("1.1.0")
        assert (await device.read(PUSH)).json()["configId"] == "2.0.0"
        await wire.settle()
        assert await app.retained() == {}


async def test_a_live_push_follows_a_change_of_software(wire: Wire) -> None:
    app = await wire.application(push="live")
    async with app.device() as device:
        await device.report("1.0.0")
        await app.software("1.1.0", "1.0.0")
        push = await device.read(PUSH)
        assert (push.retain, push.json()["configId"]) == (False, "1.1.0")


async def test_an_application_that_changes_to_live_leaves_nothing_retained(app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await app.until_retained({"dev": "1.1.0"})
        await app.change(push="live")
        await app.until_retained({})
        assert await app.offered() == "1.1.0"
        await app.change(push="retained")
        await app.until_retained({"dev": "1.1.0"})


async def test_a_report_of_the_offered_version_clears_the_push_with_zero_bytes(wire: Wire) -> None:
    app = await wire.application()
    await app.software("1.1.0", "1.0.0")
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
        await device.report("1.1.0")
        assert (await device.read(PUSH)).payload == b""
        await app.until_retained({})


@pytest.mark.parametrize("stop", ["suspend", "delete", "recall", "detach"])
async def test_a_withdrawn_offer_is_cleared(app: Application, stop: str) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
        match stop:
            case "suspend":
                await app.software("1.1.0", "1.0.0", rolloutStrategy="suspended")
            case "delete":
                await app.send("DELETE", "/software/1.1.0")
            case "recall":
                await app.send("POST", "/software/1.1.0/recall")
            case _:
                await app.send("PATCH", "/software/1.1.0", {"upgradableFrom": ["0.9.0"]})
        assert (await device.read(PUSH)).payload == b""
        await app.until_retained({})
        assert await app.offered() is None
        assert (await device.ask("config/json/1", "{}")).payload == UNASSIGNED
        assert (await app.history())[-1] == ("withdrawn", "1.1.0")


async def test_observe_false_stops_pushes_and_answers_go_on(wire: Wire, app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
        answer = await device.ask("config/json/1", '{"observe":false}')
        assert answer.json()["configId"] == "1.1.0"
        assert (await device.read(PUSH)).payload == b""
        await device.report("1.1.0")
        assert (await device.ask("config/json/2", "{}")).json()["configId"] == "2.0.0"
        await wire.settle()
        assert [message for message in await device.unread() if message.resource == PUSH] == []
        assert await app.retained() == {}
        assert (await app.endpoint())["observe"] is False
        assert (await device.ask("config/json/3", '{"observe":true}')).json()["configId"] == "2.0.0"
        assert (await device.read(PUSH)).json()["configId"] == "2.0.0"
        await app.until_retained({"dev": "2.0.0"})


async def test_observe_true_repeats_a_push_that_stands(app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
        await device.ask("config/json/1", '{"observe":true}')
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"


async def test_the_answer_comes_before_the_push(app: Application) -> None:
    async with app.device() as device:
        await device.send("config/json/5", '{"configId":"1.0.0","observe":true}')
        assert (await device.read("config/json/5/status", PUSH)).resource == "config/json/5/status"
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"


async def test_a_forged_push_is_counted_and_overwritten(wire: Wire, app: Application) -> None:
    async with app.device() as device, app.device("dev2") as other:
        await device.report("1.0.0")
        await other.report("2.0.0")
        await app.until_retained({"dev": "1.1.0"})
        honest = await app.retained()
        before = await wire.metric("otao_foreign_pushes_total")
        for forger in (device, other):
            await forger.send(PUSH, KAA.replace(b"https://x", b"https://evil"), retain=True)
        await wire.settle()

        async def restored() -> bool:
            return await app.retained() == honest

        await eventually(restored, "the forged offers are gone")
        assert await wire.metric("otao_foreign_pushes_total") == before + 2
        assert await app.history("dev2") == [("reported", "2.0.0")]


async def test_a_forged_push_that_is_retained_is_cleared_where_nothing_is_retained(wire: Wire) -> None:
    app = await wire.application(push="live")
    await app.chain()
    async with app.device() as device:
        await device.report("2.0.0")
        await wire.settle()
        await device.send(PUSH, KAA.replace(b"https://x", b"https://evil"), retain=True)

        async def cleared() -> bool:
            return await app.retained() == {}

        await eventually(cleared, "the forged offer is gone")


async def test_a_forged_push_on_a_token_that_nobody_has_is_cleared(wire: Wire, app: Application) -> None:
    async with connect(wire.broker, "otao") as forger:
        await forger.publish(f"kp1/{app.app_version}/cmx_ota/nobody/{PUSH}", KAA, qos=1, retain=True)

        async def cleared() -> bool:
            return await app.retained() == {}

        await eventually(cleared, "the forged offer is gone")
    assert await app.endpoints() == []


# --- topics and application versions ---


async def test_another_application_version_moves_the_push_and_clears_the_old_topic(app: Application) -> None:
    async with app.device() as device, app.device(app_version=app.other_app_version) as moved:
        await device.report("1.0.0")
        await app.until_retained({"dev": "1.1.0"})
        await moved.report("1.0.0")
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
        assert (await device.read(PUSH)).payload == b""
        assert (await moved.read(PUSH)).json()["configId"] == "1.1.0"
        await app.until_retained({})
        await app.until_retained({"dev": "1.1.0"}, app_version=app.other_app_version)
        assert (await app.endpoint())["appVersion"] == app.other_app_version
        assert await app.endpoints() == ["dev"]


async def test_a_rotated_token_moves_the_push_and_the_old_one_is_unknown(wire: Wire) -> None:
    app = await wire.application(registration="closed")
    await app.chain()
    await app.put("/endpoints/kettle", {"token": "dev", "appVersion": app.app_version})
    async with app.device("dev") as old, app.device("dev2") as new:
        await old.report("1.0.0")
        await app.until_retained({"dev": "1.1.0"})
        await app.send("POST", "/endpoints/kettle/token", {"token": "dev2"})
        await app.until_retained({"dev2": "1.1.0"})
        assert (await old.ask("applied/json/1", '{"configId":"1.1.0"}')).json()["statusCode"] == 401
        assert (await app.endpoint("kettle"))["runningVersion"] == "1.0.0"
        await new.report("1.1.0")
        await app.until_retained({"dev2": "2.0.0"})


@pytest.mark.parametrize("state", ["suspended", "revoked"])
async def test_a_token_that_is_not_active_is_refused_and_offered_nothing(
    wire: Wire, app: Application, state: str
) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.read(PUSH)
        await app.send("POST", "/endpoints/dev/token", {"state": state})
        assert (await device.read(PUSH)).payload == b""
        before, refused = await app.endpoint(), await wire.refused(f"token-{state}")
        answers = [await device.ask("applied/json/1", '{"configId":"1.1.0"}'), await device.ask("config/json/2", "{}")]
        assert [answer.json()["statusCode"] for answer in answers] == [401, 401]
        assert await wire.refused(f"token-{state}") == refused + 2
        assert (await app.endpoint(), await app.retained()) == (before, {})
        await app.send("POST", "/endpoints/dev/token", {"state": "active"})
        await app.until_retained({"dev": "1.1.0"})


# --- answers ---


async def test_nothing_to_install_is_said_in_two_ways(wire: Wire) -> None:
    app = await wire.application()
    async with app.device() as device:
        assert (await device.ask("config/json/1", "{}")).payload == UNASSIGNED
        assert (await device.ask("config/json/2", '{"configId":"1.0.0"}')).payload == b"{}"
        assert (await device.ask("config/json/3", "{}")).payload == UNASSIGNED
        assert (await device.ask("config/json/4", '{"configId":""}')).payload == UNASSIGNED
        assert (await device.ask("config/json/5")).payload == UNASSIGNED


async def test_a_version_in_a_request_is_a_report(app: Application) -> None:
    async with app.device() as device:
        answer = await device.ask("config/json/1", '{"configId":"1.0.0"}')
        assert answer.json()["configId"] == "1.1.0"
        assert (await device.ask("config/json/2", '{"configId":"1.1.0"}')).json()["configId"] == "2.0.0"
        assert (await device.ask("config/json/3", '{"configId":"2.0.0"}')).payload == b"{}"
        assert (await app.endpoint())["runningVersion"] == "2.0.0"
        await app.until_retained({})


@pytest.mark.parametrize("request_id", ["0", "7", "007", "12345678901234567890"])
async def test_a_request_id_comes_back_as_it_was_written(app: Application, request_id: str) -> None:
    async with app.device() as device:
        assert (await device.ask(f"applied/json/{request_id}", '{"configId":"1.0.0"}')).payload == b""
        answer = await device.ask(f"config/json/{request_id}", "{}")
        assert (answer.resource, answer.json()["configId"]) == (f"config/json/{request_id}/status", "1.1.0")


async def test_a_request_without_id_is_answered_on_the_push_topic_and_a_report_is_not(
    wire: Wire, app: Application
) -> None:
    async with app.device() as device:
        await device.send("applied/json", '{"configId":"3.0.0"}')
        await wire.settle()
        assert await device.unread() == []
        assert (await app.endpoint())["runningVersion"] == "3.0.0"
        answer = await device.ask("config/json", "{}")
        assert (answer.resource, answer.payload, answer.retain) == (PUSH, UNASSIGNED, False)
        refusal = await device.ask("config/json", '{"colour":1}')
        assert (refusal.resource, refusal.json()["statusCode"]) == ("config/json/error", 400)


async def test_a_null_status_code_and_phrase_are_as_absent(app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0", statusCode=None, reasonPhrase=None)
        assert (await app.endpoint())["runningVersion"] == "1.0.0"
        await device.report("1.1.0", statusCode=299, reasonPhrase="fine")
        assert (await app.endpoint())["runningVersion"] == "1.1.0"


@pytest.mark.parametrize("code", [100, 199, 301, 404, 599])
async def test_every_other_status_code_fails_the_offer_and_only_the_offer(app: Application, code: int) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        await device.report("2.0.0", statusCode=code)
        assert await app.offered() == "1.1.0"
        assert (await app.history())[-1] == ("reported", "2.0.0")
        await device.report("1.1.0", statusCode=code, reasonPhrase="no room left")
        document = await app.endpoint()
        assert (document["runningVersion"], document["offer"]) == ("1.0.0", None)
        assert (await app.history())[-2:] == [("reported", "1.1.0"), ("failed", "1.1.0")]
        await app.until_retained({})
        summary = await app.send("GET", "/summary")
        assert summary["failures"] == [{"version": "1.1.0", "reason": "no room left", "endpoints": 1}]


async def test_progress_is_seen_and_moves_no_version(app: Application) -> None:
    async with app.device() as device:
        await device.report("1.0.0")
        progress = '{"configId":"1.1.0","state":"downloading","percent":40,"message":"half way"}'
        assert (await device.ask("progress/json/1", progress)).payload == b""
        document = await app.endpoint()
        assert (document["offer"]["state"], document["offer"]["percent"]) == ("installing", 40)
        assert document["runningVersion"] == "1.0.0"
        await device.send("progress/json", '{"configId":"1.1.0","state":"rebooting"}')
        foreign = '{"configId":"9.9.9","state":"rebooting","percent":99}'
        assert (await device.ask("progress/json/2", foreign)).payload == b""
        offer = (await app.endpoint())["offer"]
        assert (offer["version"], offer["state"], offer["percent"]) == ("1.1.0", "installing", None)
        await device.report("1.1.0")
        assert ("confirmed", "1.1.0") in await app.history()


# --- MQTT 5 ---


async def test_response_topic_and_correlation_data_are_honoured(app: Application) -> None:
    async with app.device() as device:
        asked = topic("dev", "mine/answers", app_version=app.app_version)
        properties: dict[str, str | bytes] = {"ResponseTopic": asked, "CorrelationData": b"\x00\xff7"}
        await device.send("config/json/1", '{"configId":"1.0.0"}', properties=properties)
        answer = await device.read("mine/answers", "config/json/1/status")
        assert (answer.resource, answer.correlation_data) == ("mine/answers", b"\x00\xff7")
        assert answer.json()["configId"] == "1.1.0"
        await device.send("config/json/2", "{}", properties={"CorrelationData": b"8"})
        assert (await device.read("config/json/2/status")).correlation_data == b"8"
        # A report without ID has nowhere to be acknowledged, but for a Response Topic.
        await device.send("applied/json", '{"configId":"1.1.0"}', properties=properties)
        assert (await device.read("mine/answers")).payload == b""


@pytest.mark.parametrize(
    "foreign",
    [
        "kp1/{av}/cmx_ota/dev2/config/json/status",
        "kp1/another-v1/cmx_ota/dev/answers",
        "kp1/{av}/cmx_ota/dev",
        "kp1/{av}/cmx_ota/dev/applied/json/1",
        "kp1/{av}/cmx_ota/dev/config/json",
        "otao/v1/partition/main/sentinel",
        "answers",
    ],
)
async def test_a_foreign_response_topic_is_refused_and_nothing_happens(
    wire: Wire, app: Application, foreign: str
) -> None:
    asked = foreign.format(av=app.app_version)
    async with app.device() as device, connect(wire.broker, "otao") as watcher:
        await watcher.subscribe(asked, options=SubscribeOptions(qos=1, retainHandling=2))
        refused = await wire.refused("response-topic-refused")
        await device.send("applied/json/9", '{"configId":"1.0.0"}', properties={"ResponseTopic": asked})
        answer = await device.read("applied/json/9/error", "applied/json/9/status")
        assert (answer.resource, answer.json()["statusCode"]) == ("applied/json/9/error", 400)
        assert await wire.refused("response-topic-refused") == refused + 1
        assert await app.endpoints() == []
        await wire.settle()
        await watcher.subscribe("kp1/nothing")
        # The sentinel is published every few seconds anyhow.
        assert len(watcher.messages) == 0 or asked.endswith("sentinel")


async def test_responses_have_the_requests_qos_and_requests_need_not_be_reports() -> None:
    # Only a broker that leaves QoS 0 alone shows what a request was sent with.
    broker = Mosquitto(tokens=["dev", "echo"], extra_lines=["upgrade_outgoing_qos false"])
    async with open_wire(broker=broker, OTAO_IMPLICIT_REPORTS="false") as wire:
        app = await wire.application()
        await app.chain()
        async with app.device() as device:
            for qos in (0, 1):
                answer = await device.ask(f"config/json/{qos}", '{"configId":"1.0.0"}', qos=qos)
                assert (answer.qos, answer.payload) == (qos, UNASSIGNED)
                refusal = await device.ask(f"config/json/{qos}", "[]", qos=qos)
                assert (refusal.qos, refusal.resource) == (qos, f"config/json/{qos}/error")
            assert (await app.endpoint())["runningVersion"] is None
            await device.report("1.0.0")
            answer = await device.ask("config/json/3", '{"configId":"1.1.0"}')
            assert answer.json()["configId"] == "1.1.0"


# --- groups and dates ---


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_a_filter_decides_and_a_change_of_attributes_takes_effect_at_once(wire: Wire) -> None:
    app = await wire.application()
    await app.put("/filters/lab", {"expression": "attributes.site == 'lab'"})
    await app.software("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[{"filterId": "lab"}])
    async with app.device() as device:
        await device.report("1.0.0")
        assert await app.offered() is None
        await device.ask("update/keys/1", '{"site":"lab"}', instance="epmx")
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
        await app.send("PATCH", "/endpoints/dev", {"attributes": {"site": "field"}})
        assert (await device.read(PUSH)).payload == b""
        await app.put("/filters/lab", {"expression": "attributes.site == 'field'"})
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"


async def test_a_rollout_date_takes_effect_at_its_moment_without_a_request(wire: Wire) -> None:
    app = await wire.application()
    await app.put("/filters/lab", {"expression": "attributes.site == 'lab'"})
    for endpoint_id, site in (("dev", "lab"), ("dev2", "field")):
        await app.put(f"/endpoints/{endpoint_id}", {"appVersion": app.app_version, "attributes": {"site": site}})
    async with app.device() as device, app.device("dev2") as other:
        await device.report("1.0.0")
        await other.report("1.0.0")
        opens_at = _in(1.5)
        use = {"filterId": "lab", "rolloutDate": opens_at}
        await app.software("1.1.0", "1.0.0", rolloutStrategy="targeted", filters=[use])
        assert (await device.ask("config/json/1", "{}")).payload == UNASSIGNED
        assert (await device.read(PUSH)).json()["configId"] == "1.1.0"
        assert datetime.now(UTC) >= datetime.fromisoformat(opens_at)
        await wire.settle()
        assert await app.retained() == {"dev": (await device.ask("config/json/2", "{}")).payload}
        assert await app.offered("dev2") is None
