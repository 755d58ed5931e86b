"""Events as documents, for whoever watches.

Rules:
- An event names endpoints by endpointId and software by version; it never holds a token or a specification.
- Its id is the installation's name and its number: unique, also across restarts.

Spec: CloudEvents 1.0.2, JSON Event Format 1.0.2 §3.
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from orchestrator.application.audits import Action
from orchestrator.application.documents import instants, texts
from orchestrator.domain.endpoints import HistoryKind

if TYPE_CHECKING:
    from collections import Counter
    from datetime import datetime

    from orchestrator.application.audits import AuditEntry
    from orchestrator.application.documents.texts import Document
    from orchestrator.domain.endpoints import HistoryEntry
    from orchestrator.domain.versions import Version

MEDIA_TYPE = "application/cloudevents+json"

REGISTERED = "endpoint.registered"
OFFERS = "offers.changed"
SUMMARY = "summary"
PROGRESS = "rollout.progress"
DROPPED = "events.dropped"
KINDS = frozenset(
    {
        REGISTERED,
        *(f"endpoint.{kind.value}" for kind in HistoryKind),
        OFFERS,
        SUMMARY,
        PROGRESS,
        DROPPED,
        *(action.value for action in Action),
    }
)
"""All types of events."""
NUMBERS = frozenset({SUMMARY, PROGRESS})
"""Types that tell what has become of the numbers; telling them changes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in an application."""

    number: int
    application: str
    """Its name."""
    kind: str
    """CloudEvents' `type`."""
    subject: str | None
    """Path of what it is about, below the application; None: the application."""
    at: datetime
    data: Document


def registered(number: int, application: str, endpoint_id: str, at: datetime) -> Event:
    """An endpoint is new."""
    data: Document = {"endpointId": endpoint_id}
    subject = f"endpoints/{endpoint_id}"
    return Event(number=number, application=application, kind=REGISTERED, subject=subject, at=at, data=data)


def of_history(number: int, application: str, endpoint_id: str, entry: HistoryEntry) -> Event:
    """A line of an endpoint's history."""
    data: Document = {
        "endpointId": endpoint_id,
        "version": None if entry.version is None else entry.version.text,
        "statusCode": entry.status_code,
        "reason": entry.reason,
    }
    return Event(
        number=number,
        application=application,
        kind=f"endpoint.{entry.kind.value}",
        subject=f"endpoints/{endpoint_id}",
        at=entry.at,
        data=data,
    )


def of_change(entry: AuditEntry) -> Document:
    """Who changed something and why; what it was before and after is in the audit."""
    kind, _, below = entry.resource.partition("/")
    name = below.partition("/")[0]
    member = {"software": "version", "filters": "filterId", "endpoints": "endpointId"}.get(kind)
    named = {} if member is None else {member: name}
    return {**named, "actor": entry.author.name, "via": entry.author.via.value, "reason": entry.author.reason}


def offers(offered: Counter[Version], withdrawn: Counter[Version]) -> Document:
    """How many offers a page of a sweep has made and withdrawn."""
    return {"offered": _amounts(offered), "withdrawn": _amounts(withdrawn)}


def _amounts(counted: Counter[Version]) -> Document:
    return {version.text: counted[version] for version in sorted(counted)}


def build(event: Event, installation: str, *, name: str | None = None) -> Document:
    """The CloudEvent of an event; `name` tells it apart where its number does not."""
    subject = {} if event.subject is None else {"subject": event.subject}
    return {
        "specversion": "1.0",
        "id": f"{installation}-{name or event.number}",
        "source": f"/applications/{event.application}",
        "type": event.kind,
        **subject,
        "time": instants.build(event.at),
        "datacontenttype": "application/json",
        "data": event.data,
    }


def encode(event: Event, installation: str, *, name: str | None = None) -> str:
    """Its JSON text, on one line."""
    document = build(event, installation, name=name)
    try:
        return orjson.dumps(document).decode()
    except TypeError:
        # A text that holds half of a surrogate pair; written by `texts` it is an escape.
        return texts.build(document)
