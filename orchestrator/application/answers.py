"""Answers on their way to endpoints: built with the batch, checked once more when they are sent.

Rules: an answer that holds an offer of a software that was stopped in between is replaced by "nothing" (invariant 7).
Layer: application; pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from protocol import configurations
from protocol.values import quick

if TYPE_CHECKING:
    from orchestrator.application.directory import Directory
    from orchestrator.domain.versions import Version
    from protocol.links import Outbound


@quick(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, and the offer that it holds, if it does."""

    message: Outbound
    application: int = 0
    version: Version | None = None
    started: bool = False
    refusal: bool = False
    """Whether it only says that a message was refused."""


def current(answer: Answer, directory: Directory) -> Outbound:
    """What may be sent now."""
    if answer.version is None:
        return answer.message
    entry = directory.by_key(answer.application)
    if entry is not None and entry.offerable(answer.version, started=answer.started):
        return answer.message
    return replace(answer.message, payload=configurations.nothing(None, None))
