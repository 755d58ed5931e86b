"""The document of a freeze.

Layer: application; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from orchestrator.application.documents import instants
from orchestrator.application.documents.bodies import REASON_CHARACTERS, Body

if TYPE_CHECKING:
    from orchestrator.application.documents.texts import Document
    from orchestrator.domain.freezes import Freeze


class FreezeBody(Body):
    """What to do: freeze, or lift a freeze."""

    reason: Annotated[str | None, Field(max_length=REASON_CHARACTERS)] = None
    frozen: bool = True
    """False lifts."""


def build(freeze: Freeze | None) -> Document:
    """Whether there is a freeze, and what is known of it."""
    return {
        "frozen": freeze is not None,
        "since": None if freeze is None else instants.build(freeze.since),
        "by": None if freeze is None else freeze.by,
        "reason": None if freeze is None else freeze.reason,
        "everywhere": freeze is not None and freeze.everywhere,
    }


def build_optional(freeze: Freeze | None) -> Document | None:
    """The same; None when there is none."""
    return None if freeze is None else build(freeze)
