"""Consent, an extension beside 7/CMP's resources: an endpoint is asked whether it may be offered a version; it answers.

    …/consent/json/status      the ask, retained: what the version is, for whoever decides; zero bytes when none is open
    …/consent/json[/<id>]      the answer

Rules:
- An answer names its version: one to an older ask is never taken for consent to a newer version.
- An answer promises nothing: the offer comes on its own topic, and only when everything else allows it.
- The software's metadata is delivered as it was given: numbers, order and escapes included.

Layer: protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol import fields, payloads
from protocol.errors import MissingMemberError
from protocol.payloads import DEFAULT_LIMITS

if TYPE_CHECKING:
    from protocol.payloads import JsonValue, Limits
    from protocol.topics import Address

_ANSWER_MEMBERS = frozenset({"configId", "granted", "reasonPhrase"})
_ASK_MEMBERS = frozenset({"configId", "metadata"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAnswer:
    """An endpoint says whether it may be offered a version."""

    address: Address
    config_id: str
    granted: bool
    reason_phrase: str | None
    """At most 500 characters; the rest of a longer one is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAsk:
    """What an endpoint reads: may it be offered this version? `metadata` is JSON text."""

    config_id: str
    metadata: str


def decode(address: Address, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ConsentAnswer:
    """Read an answer; the inverse of `encode`.

    Raises:
        PayloadError: the payload is not such an answer.
    """
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, _ANSWER_MEMBERS)
    return ConsentAnswer(
        address=address,
        config_id=fields.version(members, "configId"),
        granted=fields.required_flag(members, "granted"),
        reason_phrase=fields.phrase(members, "reasonPhrase"),
    )


def encode(*, config_id: str, granted: bool, reason_phrase: str | None = None) -> bytes:
    """An answer; a phrase that is None is left out."""
    members: dict[str, JsonValue] = {"configId": config_id, "granted": granted, "reasonPhrase": reason_phrase}
    return payloads.encode({name: value for name, value in members.items() if value is not None})


def ask(version: str, metadata: str) -> bytes:
    """An ask. `metadata` is valid JSON text and is not touched."""
    return f'{{"configId":{payloads.encode(version).decode()},"metadata":{metadata}}}'.encode()


def decode_ask(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ConsentAsk | None:
    """Read an ask; None for zero bytes, with which Otao clears it. The inverse of `ask`.

    Raises:
        PayloadError: the payload is none.
    """
    if not payload:
        return None
    raw = payloads.members(payload, limits)
    fields.refuse_unknown(raw, _ASK_MEMBERS)
    if "metadata" not in raw:
        raise MissingMemberError("metadata")
    head: dict[str, JsonValue] = {
        name: payloads.decode(text.encode(), limits) for name, text in raw.items() if name == "configId"
    }
    return ConsentAsk(config_id=fields.version(head, "configId"), metadata=raw["metadata"])
