"""The AsyncAPI document: everything that is said over MQTT, for machines.

Rules:
- Topics are those that the code builds, with placeholders in place of names; bodies are those that it reads.
- Devices may leave the request ID out, with the slash before it; the channels are written with it.

Spec: AsyncAPI 3.0.0; JSON Schema draft 7, as AsyncAPI has it.
Layer: application; pure.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from pydantic.json_schema import models_json_schema

from orchestrator.application import products
from orchestrator.application.documents import events, wires
from orchestrator.application.documents.endpoints import RecallBody, RetryBody
from orchestrator.application.documents.freezes import FreezeBody
from orchestrator.application.documents.plans import PlanBody
from orchestrator.application.documents.progress import ApprovalBody
from orchestrator.application.documents.software import SoftwareBody
from protocol import controls, topics
from protocol.controls import Command, ControlAddress

# JSON of a foreign shape: AsyncAPI's own.
Json: TypeAlias = dict[str, Any]

_BODIES = (SoftwareBody, RecallBody, RetryBody, FreezeBody, PlanBody, ApprovalBody)
_TEMPLATE = "#/components/schemas/{model}"
_VERSION: Json = {"version": {"type": "string", "description": "SemVer."}}
_ENDPOINT: Json = {"endpointId": {"type": "string", "pattern": topics.ENDPOINT_ID.pattern}}
_REASON: Json = {"reason": {"type": ["string", "null"], "description": "Why, for the audit."}}
_MATCH: Json = {"ifMatch": {"type": "string", "description": "An `etag`; without it the change is made in any case."}}

_COMMANDS: dict[Command, tuple[str, Json, type | None]] = {
    Command.SOFTWARE_LIST: ("List an application's software.", {}, None),
    Command.SOFTWARE_GET: ("Get one software.", _VERSION, None),
    Command.SOFTWARE_PUT: ("Define a software, or define it anew.", _VERSION | _MATCH | _REASON, SoftwareBody),
    Command.SOFTWARE_DELETE: ("Delete a software.", _VERSION | _MATCH | _REASON, None),
    Command.SOFTWARE_RECALL: ("Have a software run no more, for good.", _VERSION, RecallBody),
    Command.ENDPOINT_GET: ("Get one endpoint.", _ENDPOINT, None),
    Command.ENDPOINT_EXPLAIN: ("Say why an endpoint is offered what it is offered, or nothing.", _ENDPOINT, None),
    Command.ENDPOINT_RETRY: ("Forget an endpoint's failures.", _ENDPOINT | _REASON, RetryBody),
    Command.FLEET_SUMMARY: ("Get an application's numbers.", {}, None),
    Command.PLAN: ("Say what software would do to the fleet.", {}, PlanBody),
    Command.FREEZE: ("Stop every new offer at once.", {}, FreezeBody),
    Command.UNFREEZE: ("Lift the freeze.", _REASON, None),
    Command.ROLLOUT_GET: ("Get how far a rollout is, and why it waits.", _VERSION, None),
    Command.ROLLOUT_PAUSE: ("Pause a rollout: unstarted offers are withdrawn.", _VERSION | _REASON, None),
    Command.ROLLOUT_RESUME: ("Go on with a paused rollout.", _VERSION | _REASON, None),
    Command.ROLLOUT_ABORT: ("Abort a rollout for good.", _VERSION | _REASON, None),
    Command.ROLLOUT_APPROVE: ("Leave the present stage, whatever its gate says.", _VERSION, ApprovalBody),
}
"""What it does, the members besides its body's, and its body."""


def build() -> Json:
    """The document."""
    _, given = models_json_schema([(body, "validation") for body in _BODIES], ref_template=_TEMPLATE)
    schemas: Json = given["$defs"]
    channels = _Channels()
    operations: Json = {}
    for resource in wires.RESOURCES:
        operations |= channels.device(resource)
    operations |= channels.pushes()
    for command, (summary, members, body) in _COMMANDS.items():
        known = {} if body is None else schemas[body.__name__]
        operations |= channels.command(command, summary, _payload(members, known))
    operations |= channels.told()
    parts = {name: schema for name, schema in schemas.items() if name not in {body.__name__ for body in _BODIES}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Otao over MQTT",
            "version": products.version(),
            "description": "What endpoints and operators say to Otao and hear from it. `receive` is what Otao hears.",
        },
        "defaultContentType": "application/json",
        "channels": channels.found,
        "operations": operations,
        "components": {"schemas": parts | wires.SCHEMAS | {"CloudEvent": _cloud_event()}},
    }


def _payload(members: Json, body: Json) -> Json:
    """The payload of a command: its own members and those of REST's body, of which its own are first."""
    paths = [name for name in ("endpointId", "version") if name in members]
    return {
        "type": "object",
        "properties": {**body.get("properties", {}), **members},
        "required": [*paths, *body.get("required", [])],
        "additionalProperties": False,
    }


def _cloud_event() -> Json:
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "time", "datacontenttype", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string"},
            "source": {"type": "string", "description": "`/applications/<application>`."},
            "type": {"enum": sorted(events.KINDS)},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object"},
        },
        "additionalProperties": False,
    }


class _Channels:
    """The channels, collected."""

    def __init__(self) -> None:
        self.found: Json = {}

    def _add(self, name: str, address: str, description: str, payload: Json) -> Json:
        """Add a channel with one message; return the reference to it."""
        self.found[name] = {
            "address": address,
            "description": description,
            "parameters": {given: wires.PARAMETERS[given] for given in wires.PARAMETERS if f"{{{given}}}" in address},
            "messages": {"message": {"payload": payload}},
        }
        return {"$ref": f"#/channels/{name}"}

    def device(self, resource: wires.Resource) -> Json:
        """What an endpoint may ask or report, with its answer and its refusal."""
        topic = resource.topic
        request = self._add(resource.name, topic, resource.summary, resource.payload)
        self._add(f"{resource.name}.error", topics.error_topic(topic), "Refused.", wires.reference("Error"))
        operation: Json = {"action": "receive", "channel": request, "summary": resource.summary}
        status = self._add(f"{resource.name}.status", topics.status_topic(topic), "The answer.", resource.answer)
        operation["reply"] = {"channel": status}
        return {resource.name: operation}

    def pushes(self) -> Json:
        """What an endpoint is told unasked."""
        offer = "The offer, retained with QoS 1; zero bytes when there is none."
        ask = "Whether the endpoint may be offered a version, retained with QoS 1; zero bytes when nothing is asked."
        return self._told("offer", wires.PUSH, offer, wires.reference("Offer"), retain=True) | self._told(
            "consentAsk", wires.CONSENT, ask, wires.reference("ConsentAsk"), retain=True
        )

    def command(self, command: Command, summary: str, payload: Json) -> Json:
        """What an operator may command."""
        address = ControlAddress(application="{application}", command=command, request_id="{requestId}")
        topic = controls.build(address)
        name = f"control.{command}"
        request = self._add(name, topic, summary, payload)
        answer = {"description": "As REST answers, with `etag` where it is one resource."}
        status = self._add(f"{name}.status", topics.status_topic(topic), "The answer.", answer)
        self._add(f"{name}.error", topics.error_topic(topic), "Refused.", wires.reference("ControlError"))
        operation: Json = {"action": "receive", "channel": request, "summary": summary, "reply": {"channel": status}}
        return {name: operation}

    def told(self) -> Json:
        """What operators are told."""
        application = "{application}"
        events_topic = controls.event_topic("application", "type")
        events_topic = events_topic.replace("/application/", f"/{application}/").removesuffix("type") + "{type}"
        told = {
            "events": (events_topic, "What happens.", wires.reference("CloudEvent"), False),
            "summary": (controls.summary_topic(application), "The numbers.", wires.reference("Summary"), True),
            "presence": (
                controls.presence_topic("replica").removesuffix("replica") + "{replica}",
                "Whether the service is there.",
                wires.reference("Presence"),
                True,
            ),
        }
        found: Json = {}
        for name, (topic, description, payload, retain) in told.items():
            found |= self._told(name, topic, description, payload, retain=retain)
        return found

    def _told(self, name: str, topic: str, description: str, payload: Json, *, retain: bool) -> Json:
        channel = self._add(name, topic, description, payload)
        return {name: {"action": "send", "channel": channel, "summary": description, "bindings": _mqtt(retain=retain)}}


def _mqtt(*, retain: bool) -> Json:
    return {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}}
