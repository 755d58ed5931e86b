from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol import controls, topics
from protocol.controls import READING, Command, CommandRefusedError, ControlAddress, UnknownCommandError
from protocol.errors import MemberTypeError, SettingError, TopicError
from protocol.links import Inbound
from protocol.payloads import Limits

# A decoded vector.
Json = Any

_LOADED = json.loads((Path(__file__).parents[2] / "vectors" / "controls.json").read_text())["vectors"]
VECTORS: dict[str, Json] = {vector["name"]: vector for vector in _LOADED}


def named(direction: str) -> list[str]:
    return [name for name, vector in VECTORS.items() if vector["direction"] == direction]


def message(vector: Json) -> Inbound:
    return Inbound(
        topic=vector["topic"],
        payload=vector["payload"].encode(),
        qos=1,
        packet_id=7,
        retain=vector.get("retain", False),
    )


@pytest.mark.parametrize("name", named("command"))
def test_golden_commands_mean_what_they_say(name: str) -> None:
    vector = VECTORS[name]
    meaning = vector["meaning"]
    if meaning.get("kind") == "Nothing":
        assert controls.read(message(vector)) is None
    elif "code" in meaning:
        with pytest.raises(CommandRefusedError) as caught:
            controls.read(message(vector))
        assert caught.value.reply is not None
        assert (caught.value.code, caught.value.reply.error_topic) == (meaning["code"], meaning["errorTopic"])
    else:
        request = controls.read(message(vector))
        assert request is not None
        address = request.address
        assert (address.application, address.command.value) == (meaning["application"], meaning["command"])
        assert (address.request_id, request.members) == (meaning["requestId"], meaning["members"])
        assert controls.build(address) == vector["topic"]
        assert request.reply.status_topic == f"{vector['topic']}/status"


@pytest.mark.parametrize("name", named("refusal"))
def test_golden_refusals_are_what_is_written_and_read(name: str) -> None:
    meaning = VECTORS[name]["meaning"]
    payload = controls.error(meaning["statusCode"], meaning["errorCode"], meaning["reasonPhrase"])
    assert payload == VECTORS[name]["payload"].encode()
    read = controls.decode_error(payload)
    assert (read.status_code, read.code, read.reason_phrase) == tuple(
        meaning[member] for member in ("statusCode", "errorCode", "reasonPhrase")
    )


@pytest.mark.parametrize("name", named("presence"))
def test_golden_presence(name: str) -> None:
    vector = VECTORS[name]
    assert controls.presence_topic(vector["meaning"]["replica"]) == vector["topic"]
    assert controls.presence(*vector["meaning"].values()) == vector["payload"].encode()


@pytest.mark.parametrize("command", Command)
@pytest.mark.parametrize("request_id", [None, "0", "00", "12345678901234567890"])
def test_topics_are_built_and_parsed(command: Command, request_id: str | None) -> None:
    address = ControlAddress(application="smart-kettle_2", command=command, request_id=request_id)
    assert controls.parse(controls.build(address)) == address


@pytest.mark.parametrize(
    "topic",
    [
        "otao/v1/kettle/control",
        "otao/v1/kettle/control/",
        "otao/v1/kettle/control//1",
        "otao/v1/kettle/control/freeze/",
        "otao/v1/kettle/control/freeze/x",
        "otao/v1/kettle/control/freeze/1/2",
        "otao/v1/kettle/control/freeze/123456789012345678901",
        "otao/v1/Kettle/control/freeze",
        "otao/v1//control/freeze",
        "otao/v2/kettle/control/freeze",
        "kp1/kettle/control/freeze",
        f"otao/v1/{'k' * 65}/control/freeze",
    ],
)
def test_what_is_no_topic_of_a_command_is_refused(topic: str) -> None:
    with pytest.raises(TopicError):
        controls.parse(topic)


@pytest.mark.parametrize(
    ("topic", "application"),
    [
        ("otao/v1/kettle/control/freeze/1", "kettle"),
        ("otao/v1/kettle/control/burn/x/y", "kettle"),
        ("otao/v1/Kettle/control/freeze", None),
        ("otao/v1/kettle/control/", None),
        ("otao/v1/kettle/summary", None),
    ],
)
def test_a_topic_tells_the_application_whatever_else_is_wrong_with_it(topic: str, application: str | None) -> None:
    assert controls.application_in(topic) == application


@pytest.mark.parametrize(
    ("topic", "payload", "retain", "so"),
    [
        ("freeze", b"{}", False, True),
        ("freeze", b"{}", True, True),
        ("fleet.summary", b"", False, True),
        ("freeze", b"", True, False),
        ("freeze/status", b"{}", False, False),
        ("freeze/1/error", b"{}", False, False),
    ],
)
def test_answers_and_what_is_cleared_are_no_commands(topic: str, payload: bytes, retain: bool, so: bool) -> None:
    inbound = Inbound(topic=f"otao/v1/kettle/control/{topic}", payload=payload, retain=retain)
    assert controls.is_command(inbound) is so


def test_an_unknown_command_is_named_and_an_overlong_topic_is_not_answered() -> None:
    with pytest.raises(UnknownCommandError, match=r"software\.burn"):
        controls.parse("otao/v1/kettle/control/software.burn")
    long = Inbound(topic=f"otao/v1/kettle/control/{'x' * 600}", payload=b"{}")
    with pytest.raises(CommandRefusedError) as caught:
        controls.read(long)
    assert caught.value.reply is None


@pytest.mark.parametrize("command", Command)
def test_only_commands_that_read_may_be_empty(command: Command) -> None:
    inbound = Inbound(topic=f"otao/v1/kettle/control/{command}", payload=b"")
    if command in READING:
        request = controls.read(inbound)
        assert request is not None
        assert request.members == {}
    else:
        with pytest.raises(CommandRefusedError) as caught:
            controls.read(inbound)
        assert caught.value.code == "payload-not-json"


def test_limits_hold_for_commands() -> None:
    inbound = Inbound(topic="otao/v1/kettle/control/freeze", payload=b'{"reason":"1234567890"}')
    with pytest.raises(CommandRefusedError) as caught:
        controls.read(inbound, Limits(payload_bytes=10))
    assert (caught.value.code, caught.value.status_code) == ("payload-too-large", 413)


def test_answers_and_refusals_go_to_the_response_topic_with_the_correlation_data() -> None:
    inbound = Inbound(
        topic="otao/v1/kettle/control/freeze",
        payload=b"{}",
        qos=1,
        response_topic="bob/answers",
        correlation_data=b"\x00x",
    )
    request = controls.read(inbound)
    assert request is not None
    status, error = request.reply.status(b"{}"), request.reply.error(404, "x", "y")
    assert status.topic == error.topic == "bob/answers"
    assert status.correlation_data == error.correlation_data == b"\x00x"
    assert (status.qos, status.retain) == (1, False)


@pytest.mark.parametrize(
    ("topic", "may"),
    [
        ("bob/answers", True),
        ("otao/v1/kettle/replies/bob", True),
        ("otao/v1/kettle/replies/bob/1", True),
        ("otaox/v1", True),
        ("otao/v1/kettle/replies", False),
        ("otao/v1/kettle/control/freeze", False),
        ("otao/v1/kettle/control/freeze/status", False),
        ("otao/v1/kettle/events/software.put", False),
        ("otao/v1/kettle/summary", False),
        ("otao/v1/partition/main/sentinel", False),
        ("otao/v1/service/a", False),
        ("otao/v2/kettle/replies/x", False),
        ("otao/v1//replies/x", False),
        ("otao", False),
        ("kp1/kettle-v1/cmx_ota/tok/config/json/status", False),
        ("kp1", False),
        ("$SYS/x", False),
        ("a/+/b", False),
        ("a/#", False),
        ("", False),
        ("a\x00b", False),
        ("x" * 513, False),
    ],
)
def test_which_response_topics_operators_may_name(topic: str, may: bool) -> None:
    assert controls.may_answer_on(topic) is may
    if not may and topic:
        inbound = Inbound(topic="otao/v1/kettle/control/freeze", payload=b"{}", response_topic=topic)
        with pytest.raises(CommandRefusedError) as caught:
            controls.read(inbound)
        assert caught.value.reply is not None
        assert caught.value.reply.error_topic == "otao/v1/kettle/control/freeze/error"


def test_the_cause_of_a_refusal_is_kept() -> None:
    with pytest.raises(CommandRefusedError) as caught:
        controls.read(Inbound(topic="otao/v1/kettle/control/freeze", payload=b"[]"))
    assert isinstance(caught.value.cause, MemberTypeError)


def test_topics_of_what_is_told() -> None:
    assert controls.event_topic("kettle", "endpoint.failed") == "otao/v1/kettle/events/endpoint.failed"
    assert controls.summary_topic("kettle") == "otao/v1/kettle/summary"
    for application, kind in (("Kettle", "summary"), ("kettle", "a/b"), ("kettle", "+"), ("kettle", "")):
        with pytest.raises(SettingError):
            controls.event_topic(application, kind)
    with pytest.raises(SettingError):
        controls.presence_topic("a/b")


def test_the_probe_reads_as_an_answer_to_a_command_of_no_application() -> None:
    topic = controls.probe_topic("p2")
    assert topic == "otao/v1/otao.doctor/control/p2/status"
    assert topics.is_ours(topic)
    assert not topics.APPLICATION.fullmatch(topic.split("/")[2])
