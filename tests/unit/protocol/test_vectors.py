"""The golden messages mean what they say, are what the codecs write, and are what the documentation shows."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from protocol import configurations, consents, metadata, requests, topics
from protocol.configurations import Offer, Profile, Unassigned, Unchanged
from protocol.consents import ConsentAsk
from protocol.links import Inbound
from protocol.requests import Echo, ForeignPush, RequestRefusedError
from protocol.topics import Instances

if TYPE_CHECKING:
    from protocol.payloads import JsonValue

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "reference" / "mqtt-api.md"
INSTANCES = Instances()

Vector: TypeAlias = "dict[str, JsonValue]"


def _load() -> dict[str, Vector]:
    found: dict[str, Vector] = {}
    for path in sorted((ROOT / "tests" / "vectors").glob("*.json")):
        for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]:
            assert vector["name"] not in found
            found[vector["name"]] = vector
    return found


VECTORS = _load()
INCOMING = [name for name, vector in VECTORS.items() if vector["direction"] == "in"]
OUTGOING = [name for name, vector in VECTORS.items() if vector["direction"] == "out"]


def _text(vector: Vector, name: str) -> str:
    value = vector[name]
    assert isinstance(value, str)
    return value


def _object(vector: Vector, name: str) -> Vector:
    value = vector[name]
    assert isinstance(value, dict)
    return value


def _payload(vector: Vector) -> bytes:
    if "payloadHex" in vector:
        return bytes.fromhex(_text(vector, "payloadHex"))
    payload = _text(vector, "payload")
    if "repeat" in vector:
        repeat = _object(vector, "repeat")
        times = repeat["times"]
        assert isinstance(times, int)
        payload = payload.replace(_text(repeat, "text"), _text(repeat, "text") * times)
    return payload.encode()


def _inbound(vector: Vector) -> Inbound:
    response_topic = vector.get("responseTopic")
    assert response_topic is None or isinstance(response_topic, str)
    return Inbound(
        topic=_text(vector, "topic"),
        payload=_payload(vector),
        retain=vector.get("retain") is True,
        response_topic=response_topic,
    )


def _meaning(inbound: Inbound) -> Vector:
    try:
        request = requests.parse(inbound, INSTANCES)
        if not isinstance(request, Echo | ForeignPush):
            requests.answer_topic(inbound, request.address)
    except RequestRefusedError as error:
        return {
            "kind": "Refused",
            "code": error.code,
            "statusCode": error.status_code,
            "errorTopic": error.error_topic,
        }
    return {"kind": type(request).__name__, **_members(request)}


def _members(request: requests.Request | Echo | ForeignPush) -> Vector:
    """Name what a request holds as its vector does: in camel case, without its address."""
    if isinstance(request, Echo | ForeignPush):
        return {}
    found = {field.name: getattr(request, field.name) for field in fields(request) if field.name != "address"}
    members: Vector = json.loads(json.dumps({_camel(name): value for name, value in found.items()}))
    return members


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _render(meaning: Vector) -> bytes:
    match meaning:
        case {"kind": "Offer", "configId": str(version), "specification": str(raw), "profile": str(profile)}:
            return configurations.offer(version, raw, Profile(profile))
        case {"kind": "ConsentAsk", "configId": str(version), "metadata": str(raw)}:
            return consents.ask(version, raw)
        case {"kind": "Unassigned" | "Unchanged"}:
            asked = _text(meaning, "configId") if "configId" in meaning else None
            return configurations.nothing(asked, asked or "1.0.0")
        case {"kind": "Error", "statusCode": int(status_code), "reasonPhrase": str(reason)}:
            return configurations.error(status_code, reason)
        case {"kind": "Attributes", "attributes": dict(attributes)}:
            return metadata.encode_attributes(attributes)
        case {"kind": "Keys", "keys": list(keys)}:
            return metadata.encode_keys([str(key) for key in keys])
        case {"kind": "Acknowledgement"}:
            return configurations.ACKNOWLEDGEMENT
        case _:
            assert meaning == {"kind": "Cleared"}
            return b""


@pytest.mark.parametrize("name", INCOMING)
def test_incoming_message_means_what_its_vector_says(name: str) -> None:
    vector = VECTORS[name]
    assert _meaning(_inbound(vector)) == vector["meaning"]


@pytest.mark.parametrize("name", OUTGOING)
def test_outgoing_message_is_written_as_its_vector_says(name: str) -> None:
    vector = VECTORS[name]
    assert _render(_object(vector, "meaning")) == _payload(vector)


@pytest.mark.parametrize(
    "name", [name for name in OUTGOING if "answers" in VECTORS[name] and not name.startswith("error-")]
)
def test_answer_goes_where_its_request_expects_it(name: str) -> None:
    vector = VECTORS[name]
    inbound = _inbound(VECTORS[_text(vector, "answers")])
    request = requests.parse(inbound, INSTANCES)
    assert not isinstance(request, Echo)
    assert requests.answer_topic(inbound, request.address) == vector["topic"]


@pytest.mark.parametrize("name", [name for name in OUTGOING if name.startswith("error-")])
def test_error_answer_is_what_its_request_is_refused_with(name: str) -> None:
    vector = VECTORS[name]
    with pytest.raises(RequestRefusedError) as refused:
        requests.parse(_inbound(VECTORS[_text(vector, "answers")]), INSTANCES)
    assert refused.value.error_topic == vector["topic"]
    assert configurations.error(refused.value.status_code, refused.value.reason) == _payload(vector)


@pytest.mark.parametrize("name", [name for name in OUTGOING if VECTORS[name].get("retain")])
def test_push_goes_to_the_push_topic(name: str) -> None:
    topic_of = topics.consent_topic if name.startswith("consent-") else topics.push_topic
    assert VECTORS[name]["topic"] == topic_of(INSTANCES, "smart-kettle-v1", "tok7")


def test_ask_for_consent_is_read_back() -> None:
    meaning = _object(VECTORS["consent-ask"], "meaning")
    expected = ConsentAsk(config_id=_text(meaning, "configId"), metadata=_text(meaning, "metadata"))
    assert consents.decode_ask(_payload(VECTORS["consent-ask"])) == expected
    assert consents.decode_ask(_payload(VECTORS["consent-ask-cleared"])) is None


@pytest.mark.parametrize("name", [name for name in OUTGOING if name.startswith(("config-", "push-"))])
def test_answer_is_read_back(name: str) -> None:
    vector = VECTORS[name]
    meaning = _object(vector, "meaning")
    answer = configurations.decode_answer(_payload(vector))
    match answer:
        case Offer(config_id=config_id, specification=specification):
            assert (config_id, specification) == (meaning["configId"], meaning["specification"])
        case Unassigned():
            assert meaning["kind"] in {"Unassigned", "Cleared"}
        case Unchanged():
            assert meaning["kind"] == "Unchanged"


def test_no_answer_has_status_200_without_a_configuration() -> None:
    for name in OUTGOING:
        if "statusCode" in (text := _payload(VECTORS[name]).decode()):
            body = json.loads(text)
            assert body["statusCode"] != 200 or body["config"] is not None


def _blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```json(.*)\n([\s\S]*?)\n?```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def test_documentation_shows_the_vectors() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    blocks = _blocks()
    assert len(blocks) > 10
    for label, shown in blocks:
        vector = VECTORS[label.removeprefix(" vector=")]
        assert shown.encode() == _payload(vector)
        assert f"`{_text(vector, 'topic')}`" in document


def test_documentation_lists_every_code_of_a_refusal() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    meanings = [_object(vector, "meaning") for vector in VECTORS.values()]
    for code in {str(meaning["code"]) for meaning in meanings if "code" in meaning}:
        assert f"| `{code}` |" in document
