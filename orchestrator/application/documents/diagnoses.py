"""The document of what the doctor found.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.application.diagnoses import Check
    from orchestrator.application.documents.texts import Document


def build(checks: Sequence[Check]) -> Document:
    """Every check, in the order in which they were made."""
    return {
        "checks": [
            {"check": item.check, "status": item.status.value, "detail": item.detail, "advice": item.advice}
            for item in checks
        ]
    }
