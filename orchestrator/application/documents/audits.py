"""The documents of the audit: its entries, and resources as they are kept there.

Rules:
- Specifications may hold credentials, and tokens are credentials: of the one the digest is kept, of the other nothing.

Layer: application; pure.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from orchestrator.application.documents import applications, filters, instants, software, texts
from orchestrator.application.documents.texts import Raw

if TYPE_CHECKING:
    from orchestrator.application.audits import StoredAudit
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import Application, EndpointDocument, FilterRecord, SoftwareRecord
    from orchestrator.domain.freezes import Freeze


def of_application(record: Application | None) -> str | None:
    """An application as the audit keeps it."""
    if record is None:
        return None
    return texts.build({name: node for name, node in applications.build(record).items() if name != "frozen"})


def of_software(record: SoftwareRecord | None) -> str | None:
    """A software as the audit keeps it: the specification as its digest."""
    if record is None:
        return None
    given = record.specification
    digest = None if given is None else {"sha256": sha256(given.encode()).hexdigest()}
    return texts.build({**software.build(record), "specification": digest})


def of_rollout(record: SoftwareRecord) -> str:
    """How far a rollout is, as the audit keeps it."""
    rollout = record.software.rollout
    return texts.build({"state": rollout.phase.value, "stage": rollout.stage, "reason": record.status.reason})


def of_filter(record: FilterRecord | None) -> str | None:
    """A filter as the audit keeps it."""
    return None if record is None else texts.build(filters.build(record))


def of_endpoint(document: EndpointDocument | None) -> str | None:
    """What operators edit of an endpoint, its token aside."""
    if document is None:
        return None
    endpoint = document.record.endpoint
    said = {version.text: consent.granted for version, consent in endpoint.consents.items()}
    return texts.build(
        {
            "endpointId": document.endpoint_id,
            "appVersion": document.record.app_version,
            "attributes": Raw(document.attributes),
            "pinned": None if endpoint.pinned is None else endpoint.pinned.text,
            "tokenState": endpoint.token_state.value,
            **({"consents": said} if said else {}),
        }
    )


def of_freeze(freeze: Freeze | None) -> str | None:
    """A freeze as the audit keeps it."""
    if freeze is None:
        return None
    return texts.build({"since": instants.build(freeze.since), "by": freeze.by, "reason": freeze.reason})


def build(stored: StoredAudit) -> Document:
    """The document of an entry."""
    entry = stored.entry
    return {
        "id": str(stored.number),
        "at": instants.build(entry.at),
        "application": entry.application,
        "actor": entry.author.name,
        "via": entry.author.via.value,
        "action": entry.action.value,
        "resource": entry.resource,
        "reason": entry.author.reason,
        "before": None if entry.before is None else Raw(entry.before),
        "after": None if entry.after is None else Raw(entry.after),
    }
