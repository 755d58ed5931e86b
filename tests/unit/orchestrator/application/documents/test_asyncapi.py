from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from orchestrator.application.documents import asyncapi, wires
from protocol import controls, requests, topics
from protocol.controls import Command
from protocol.links import Inbound
from tests.architecture.sources import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# JSON of a foreign shape.
Json = Any

DOCUMENT = asyncapi.build()
COMMITTED = ROOT / "docs" / "reference" / "asyncapi.json"
VECTORS = [
    vector
    for name in ("configurations", "metadata", "progress", "health", "consents", "controls")
    for vector in json.loads((ROOT / "tests" / "vectors" / f"{name}.json").read_text())["vectors"]
]


def references(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for item in node.values():
            yield from references(item)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def schema_of(channel: str) -> Json:
    payload = DOCUMENT["channels"][channel]["messages"]["message"]["payload"]
    return {**payload, "components": DOCUMENT["components"], "$schema": "http://json-schema.org/draft-07/schema#"}


def channel_of(topic: str) -> str | None:
    """The channel whose address a topic fits, placeholders standing for one level each, that of the ID for digits.

    One that fits as it is goes before one that fits without its ID: a push is no answer to a request without.
    """
    levels = topic.split("/")
    addresses = {str(name): channel["address"].split("/") for name, channel in DOCUMENT["channels"].items()}
    shorter = {name: [level for level in address if level != "{requestId}"] for name, address in addresses.items()}
    for name, address in (*addresses.items(), *shorter.items()):
        same = len(address) == len(levels) and all(
            other.isdigit() if one == "{requestId}" else one.startswith("{") or one == other
            for one, other in zip(address, levels, strict=True)
        )
        if same:
            return name
    return None


def test_the_committed_document_is_what_the_code_says() -> None:
    assert json.loads(COMMITTED.read_text()) == DOCUMENT, "run script/asyncapi"


def test_every_reference_leads_somewhere_and_every_placeholder_is_explained() -> None:
    for reference in references(DOCUMENT):
        node: Json = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for channel in DOCUMENT["channels"].values():
        placeholders = {level[1:-1] for level in channel["address"].split("/") if level.startswith("{")}
        assert placeholders == channel["parameters"].keys()


def test_every_command_is_there_but_those_that_this_version_lacks() -> None:
    told = {name.removeprefix("control.") for name in DOCUMENT["operations"] if name.startswith("control.")}
    assert told == {command.value for command in Command}


def test_every_resource_of_endpoints_is_there() -> None:
    assert {resource.resource for resource in wires.RESOURCES} == set(topics.Resource)


@pytest.mark.parametrize("vector", [item for item in VECTORS if "payload" in item], ids=lambda item: item["name"])
def test_golden_messages_fit_their_channel_s_schema(vector: Json) -> None:
    meaning = vector.get("meaning", {})
    if meaning.get("kind") in {"Refused", "Nothing"} or "code" in meaning or "repeat" in vector:
        return
    name = channel_of(vector["topic"])
    assert name is not None, vector["topic"]
    text = vector["payload"]
    if text:
        jsonschema_rs.validator_for(schema_of(name)).validate(json.loads(text))


@pytest.mark.parametrize(
    ("channel", "payload"),
    [
        ("config", {"observe": 1}),
        ("config", {"x": 1}),
        ("applied", {}),
        ("progress", {"configId": "1.0.0", "state": "flying"}),
        ("health", {"healthy": None}),
        ("health", {"healthy": True, "metrics": {"a b": 1}}),
        ("health", {"healthy": True, "metrics": {"a": [1]}}),
        ("health", {"healthy": True, "metrics": {str(number): 1 for number in range(33)}}),
        ("consent", {"configId": "1.0.0"}),
        ("control.software.put", {"rolloutStrategy": "general"}),
        ("control.software.put", {"version": "1.0.0"}),
        ("control.software.list", {"x": 1}),
        ("control.freeze", {"reason": 1}),
        ("events", {"specversion": "1.0"}),
    ],
)
def test_what_the_code_refuses_the_schemas_refuse(channel: str, payload: Json) -> None:
    assert not jsonschema_rs.validator_for(schema_of(channel)).is_valid(payload)


def test_topics_of_the_document_are_read_by_the_code() -> None:
    names = {"{appVersion}": "v1", "{token}": "tok", "{requestId}": "7", "{application}": "kettle"}
    for name, operation in DOCUMENT["operations"].items():
        address = DOCUMENT["channels"][name]["address"]
        for placeholder, given in names.items():
            address = address.replace(placeholder, given)
        if operation["action"] != "receive":
            continue
        if name.startswith("control."):
            assert controls.parse(address).request_id == "7"
        else:
            with pytest.raises(requests.RequestRefusedError) as caught:
                requests.parse(Inbound(topic=address, payload=b"{}", qos=1, retain=True))
            assert caught.value.address is not None


def test_the_document_is_asyncapi_3() -> None:
    schema = json.loads(gzip.decompress((ROOT / "tests" / "schemas" / "asyncapi-3.0.0.json.gz").read_bytes()))
    validator = jsonschema_rs.validator_for(schema)
    assert [error.message for error in validator.iter_errors(DOCUMENT)] == []
    assert not validator.is_valid({**DOCUMENT, "operations": {"x": {"action": "shout"}}})
    assert not validator.is_valid({**DOCUMENT, "channels": {"x": {"topic": "a"}}})
