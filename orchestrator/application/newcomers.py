"""Endpoints that are about to be created, as the engine takes them in.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.memberships import Subject
from orchestrator.application.records import EndpointRecord
from orchestrator.domain.cohorts import cohort
from orchestrator.domain.endpoints import Endpoint

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.domain.versions import Version


def newcomer(
    entry: Entry,
    endpoint_id: str,
    token: str,
    app_version: str,
    at: datetime,
    *,
    attributes: str = "{}",
    pinned: Version | None = None,
) -> EndpointRecord:
    """The record, with key 0, of an endpoint that is not there yet; `attributes` are JSON text."""
    subject = Subject(
        attributes=attributes,
        endpoint_id=endpoint_id,
        app_version=app_version,
        running=None,
        registered_at=at,
        last_seen_at=None,
    )
    filters, zone = entry.memberships.belonging(subject)
    place = cohort(entry.application.name, endpoint_id)
    return EndpointRecord(
        key=0,
        application=entry.application.key,
        endpoint_id=endpoint_id,
        app_version=app_version,
        token=token,
        endpoint=Endpoint(registered_at=at, pinned=pinned, filters=filters, cohort=place, zone=zone),
        subject=subject,
    )
