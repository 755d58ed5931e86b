"""The document of an endpoint that needs attention.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.application.documents import instants
from orchestrator.domain import attentions

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.application.records import StoredTrouble


def build(stored: StoredTrouble) -> Document:
    """What is wrong with one endpoint, and what to do."""
    trouble = stored.trouble
    return {
        "endpointId": trouble.endpoint_id,
        "token": stored.token,
        "runningVersion": None if trouble.running is None else trouble.running.text,
        "severity": attentions.severity(trouble.problem),
        "problem": trouble.problem.value,
        "reason": attentions.reason(trouble),
        "advice": attentions.advice(trouble),
        "since": instants.build(trouble.since),
    }
