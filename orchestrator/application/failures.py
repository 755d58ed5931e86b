"""What an operator is told when a request fails: the same status, code and sentence by REST and over MQTT.

Rules:
- What is no JSON is a 400, JSON that says something wrong a 422.
- An error of ours tells nothing of the inside.

Layer: application.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.application.ports import StorageError
from orchestrator.application.problems import RequestError
from orchestrator.application.records import AppVersionTakenError
from orchestrator.domain.catalogues import VersionConflict
from orchestrator.domain.errors import DomainError
from orchestrator.domain.rollouts import IllegalRolloutMove
from protocol.errors import (
    DuplicateMemberError,
    MessageError,
    NotJsonError,
    NotUtf8Error,
    NumberRangeError,
    PayloadError,
    TooDeepError,
)

_UNREADABLE = (DuplicateMemberError, NotJsonError, NotUtf8Error, NumberRangeError, TooDeepError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a request failed."""

    status_code: int
    """HTTP's, which 1/KP uses too."""
    code: str
    reason: str


def of(error: Exception) -> Failure | None:
    """What to tell of an error; None for one that nobody foresaw."""
    match error:
        case RequestError():
            return Failure(status_code=error.status_code, code=error.code, reason=str(error))
        case PayloadError() if error.status_code == PayloadError.status_code:
            status_code = 400 if isinstance(error, _UNREADABLE) else 422
            return Failure(status_code=status_code, code=error.code, reason=error.reason)
        case MessageError():
            return Failure(status_code=error.status_code, code=error.code, reason=error.reason)
        case VersionConflict() | IllegalRolloutMove() | AppVersionTakenError():
            return Failure(status_code=409, code=error.code, reason=str(error))
        case DomainError():
            return Failure(status_code=422, code=error.code, reason=str(error))
        case StorageError():
            return Failure(status_code=503, code=error.code, reason="the database could not do it; try again")
        case _:
            return None


UNFORESEEN = Failure(status_code=500, code="internal-error", reason="the service failed; its log says how")
