"""What endpoints say and hear, as schemas.

Rules:
- Held to the golden messages by a test: each that is accepted fits its schema.

Spec: 7/CMP, 10/EPMP; JSON Schema draft 7.
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.application.documents import events
from protocol import health, topics
from protocol.progress import ProgressState
from protocol.topics import Address, Instances, Kind

# JSON of a foreign shape: JSON Schema.
Json: TypeAlias = dict[str, Any]

_INSTANCES = Instances()
PUSH = topics.push_topic(_INSTANCES, "{appVersion}", "{token}")
CONSENT = topics.consent_topic(_INSTANCES, "{appVersion}", "{token}")

PARAMETERS: Json = {
    "appVersion": {"description": "The application version: one level of at most 64 characters."},
    "token": {"description": "The endpoint's name in topics: one level of at most 64 characters, without `.`."},
    "requestId": {"description": "1 to 20 digits; it may be left out, with the slash before it."},
    "application": {"description": "The application's name: 1 to 64 of a-z, 0-9, _ and -."},
    "type": {"description": "The event's type.", "enum": sorted(events.KINDS)},
    "replica": {"description": "The installation's name."},
}


def reference(name: str) -> Json:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_VERSION: Json = {"type": "string", "description": "SemVer 2.0.0.", "maxLength": 128}
_TEXT: Json = {"type": ["string", "null"]}
_KEYS: Json = {"type": "array", "items": {"type": "string", "pattern": "^[a-zA-Z0-9_]{1,64}$"}}
_METRICS: Json = {
    "type": ["object", "null"],
    "propertyNames": {"pattern": "^[a-zA-Z0-9_.-]{1,64}$"},
    "additionalProperties": {"type": ["number", "string", "boolean"]},
    "maxProperties": health.METRICS,
}
_ANY: Json = {"description": "Any JSON."}
_EMPTY: Json = {"description": "Zero bytes.", "maxLength": 0, "type": "string"}

SCHEMAS: Json = {
    "ConfigRequest": _object([], configId={"type": "string"}, observe={"type": "boolean"}),
    "Offer": _object(
        ["configId", "config"],
        configId={"type": "string"},
        statusCode={"const": 200},
        reasonPhrase={"type": "string"},
        config=_ANY,
    ),
    "Unchanged": _object([]),
    "Applied": _object(
        ["configId"],
        configId=_VERSION,
        statusCode={"type": ["integer", "null"], "minimum": 100, "maximum": 599},
        reasonPhrase=_TEXT,
    ),
    "Progress": _object(
        ["configId", "state"],
        configId=_VERSION,
        state={"enum": [str(state) for state in ProgressState]},
        percent={"type": ["number", "null"], "minimum": 0, "maximum": 100},
        message=_TEXT,
    ),
    "Health": _object(["healthy"], healthy={"type": "boolean"}, reason=_TEXT, metrics=_METRICS, configId=_VERSION),
    "ConsentAsk": _object(
        ["configId", "metadata"],
        configId=_VERSION,
        metadata={"type": "object", "description": "Of the software, as its author gave it."},
    ),
    "ConsentAnswer": _object(
        ["configId", "granted"], configId=_VERSION, granted={"type": "boolean"}, reasonPhrase=_TEXT
    ),
    "Attributes": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-zA-Z0-9_]{1,64}$"},
        "minProperties": 1,
        "maxProperties": 64,
    },
    "Values": {"type": "object"},
    "AttributeQuery": _object([], keys=_KEYS),
    "AttributeKeys": _KEYS,
    "Nothing": _EMPTY,
    "Error": _object(["statusCode", "reasonPhrase"], statusCode={"type": "integer"}, reasonPhrase={"type": "string"}),
    "ControlError": _object(
        ["statusCode", "reasonPhrase", "code"],
        statusCode={"type": "integer"},
        reasonPhrase={"type": "string"},
        code={"type": "string"},
    ),
    "Presence": _object(
        ["replica", "status", "since", "version"],
        replica={"type": "string"},
        status={"enum": ["online", "offline"]},
        since={"type": ["string", "null"], "format": "date-time"},
        version={"type": "string"},
    ),
    "Summary": {"type": "object", "description": "As `GET …/summary` answers."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One thing that endpoints ask or report."""

    name: str
    summary: str
    kind: Kind
    resource: topics.Resource
    schema: str
    answered: str

    @property
    def topic(self) -> str:
        """Where it is sent, with placeholders."""
        instance = _INSTANCES.software if self.kind is Kind.SOFTWARE else _INSTANCES.metadata
        return topics.build(
            Address(
                app_version="{appVersion}",
                kind=self.kind,
                instance=instance,
                token="{token}",  # noqa: S106 - a placeholder
                resource=self.resource,
                request_id="{requestId}",
            )
        )

    @property
    def payload(self) -> Json:
        """The schema of what is sent."""
        return reference(self.schema)

    @property
    def answer(self) -> Json:
        """The schema of what comes back."""
        if self.answered == "Offer":
            return {"oneOf": [reference("Offer"), reference("Unchanged")]}
        return reference(self.answered)


def _software(name: str, summary: str, resource: topics.Resource, schema: str, answered: str) -> Resource:
    return Resource(name=name, summary=summary, kind=Kind.SOFTWARE, resource=resource, schema=schema, answered=answered)


def _metadata(name: str, summary: str, resource: topics.Resource, schema: str, answered: str) -> Resource:
    return Resource(name=name, summary=summary, kind=Kind.METADATA, resource=resource, schema=schema, answered=answered)


RESOURCES = (
    _software("config", "Ask what to install.", topics.Resource.CONFIG, "ConfigRequest", "Offer"),
    _software("applied", "Report what runs, or what failed.", topics.Resource.APPLIED, "Applied", "Nothing"),
    _software("progress", "Report how far an install is.", topics.Resource.PROGRESS, "Progress", "Nothing"),
    _software("health", "Report how the endpoint fares.", topics.Resource.HEALTH, "Health", "Nothing"),
    _software("consent", "Answer for the owner.", topics.Resource.CONSENT, "ConsentAnswer", "Nothing"),
    _metadata("updateKeys", "Set attributes.", topics.Resource.UPDATE_KEYS, "Attributes", "Nothing"),
    _metadata("update", "Replace all attributes.", topics.Resource.UPDATE, "Attributes", "Nothing"),
    _metadata("get", "Read attributes.", topics.Resource.GET, "AttributeQuery", "Values"),
    _metadata("getKeys", "Read the keys.", topics.Resource.GET_KEYS, "Nothing", "AttributeKeys"),
    _metadata("deleteKeys", "Remove attributes.", topics.Resource.DELETE_KEYS, "AttributeKeys", "Nothing"),
)
