"""Progress of an installation, an extension beside 7/CMP's resources: `progress/json[/<id>]`.

Rules:
- Progress never says that a version runs; only reports do.
- `configId` and `state` are required; `percent` is 0-100; `message` is for people.

Layer: protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from protocol import fields, payloads
from protocol.errors import MemberRangeError, MemberTypeError, MissingMemberError
from protocol.payloads import DEFAULT_LIMITS

if TYPE_CHECKING:
    from protocol.payloads import JsonValue, Limits
    from protocol.topics import Address

_MEMBERS = frozenset({"configId", "state", "percent", "message"})


class ProgressState(StrEnum):
    """How far an endpoint is, in the order in which endpoints go; any may be left out or repeated."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"


_STATES = {str(state): state for state in ProgressState}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReport:
    """An endpoint says how far it is with installing a version."""

    address: Address
    config_id: str
    state: ProgressState
    percent: int | None
    """0-100, of the state it is in."""
    message: str | None
    """At most 500 characters; the rest of a longer one is dropped."""


def decode(address: Address, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ProgressReport:
    """Read a progress report; the inverse of `encode`.

    Raises:
        PayloadError: the payload is not such a report.
    """
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, _MEMBERS)
    return ProgressReport(
        address=address,
        config_id=fields.version(members, "configId"),
        state=_state(members),
        percent=fields.whole_number(members, "percent", 0, 100),
        message=fields.phrase(members, "message"),
    )


def encode(*, config_id: str, state: ProgressState, percent: int | None = None, message: str | None = None) -> bytes:
    """A progress report; members that are None are left out."""
    members: dict[str, JsonValue] = {"configId": config_id, "state": state, "percent": percent, "message": message}
    return payloads.encode({name: value for name, value in members.items() if value is not None})


def _state(members: dict[str, JsonValue]) -> ProgressState:
    if "state" not in members:
        raise MissingMemberError("state")
    value = members["state"]
    if not isinstance(value, str):
        raise MemberTypeError("state", "a string")
    state = _STATES.get(value)
    if state is None:
        raise MemberRangeError("state", value, f"one of {', '.join(_STATES)}")
    return state
