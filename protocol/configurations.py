"""The messages of 7/CMP: what endpoints ask and report, and what they are answered.

Rules:
- A `configId` is a software version: strict SemVer, at most 128 characters, or the message is refused.
- `statusCode` 200 never stands without a configuration: real clients flash on it.
- A specification is delivered as it was given: numbers, order and escapes included.
- An empty `configId` in a request means "none applied", as 7/CMP's absent configuration has it.

Spec: 7/CMP "Configuration resource", "Applied configuration resource", "Absent configuration";
1/KP "Error response format".
Layer: protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from protocol import fields, payloads
from protocol.errors import EmptyOfferError, MemberRangeError, MissingMemberError
from protocol.payloads import DEFAULT_LIMITS
from protocol.values import quick

if TYPE_CHECKING:
    from protocol.payloads import JsonValue, Limits
    from protocol.topics import Address

OK = 200
_LEAST_STATUS, _MOST_STATUS = 100, 599

_REQUEST_MEMBERS = frozenset({"configId", "observe"})
_APPLIED_MEMBERS = frozenset({"configId", "statusCode", "reasonPhrase"})
_ANSWER_MEMBERS = frozenset({"configId", "statusCode", "reasonPhrase", "config"})
_ERROR_MEMBERS = frozenset({"statusCode", "reasonPhrase"})

_SHORT, _REMEMBERED = 256, 1024
"""Bytes of a payload that is read once only, and how many: whole fleets say the same few things."""

ACKNOWLEDGEMENT = b""
"""Answers a report (7/CMP: "The response payload MUST be empty")."""
_UNCHANGED = b"{}"
_UNASSIGNED = b'{"configId":"","config":null}'


class Profile(StrEnum):
    """How an offer is written for the endpoints of an application."""

    KAA = "kaa"
    """With `statusCode` and `reasonPhrase`, which Kaa's own clients wait for."""
    RFC7 = "rfc7"
    """Exactly `configId` and `config`, as the RFC has it."""


@quick(frozen=True, slots=True, kw_only=True)
class ConfigRequest:
    """An endpoint asks what to install; a `config_id` says what it runs."""

    address: Address
    config_id: str | None
    observe: bool | None
    """Whether pushes shall follow; None: the endpoint did not say."""


@quick(frozen=True, slots=True, kw_only=True)
class AppliedReport:
    """An endpoint's own word on a version: it runs it (2xx), or could not install it (anything else)."""

    address: Address
    config_id: str
    status_code: int
    """100-599."""
    reason_phrase: str | None
    """At most 500 characters; the rest of a longer one is dropped."""

    @property
    def succeeded(self) -> bool:
        """Whether the endpoint says that it runs the version; 1xx and 3xx are failures too."""
        return OK <= self.status_code < 300  # noqa: PLR2004 - the end of 2xx


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an endpoint reads: install this version from this specification (JSON text)."""

    config_id: str
    specification: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unassigned:
    """What an endpoint reads: there is nothing for it to install; also what a cleared push means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """What an endpoint reads: it runs what it should."""


Answer: TypeAlias = Offer | Unassigned | Unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnswer:
    """What an endpoint reads when a request was refused."""

    status_code: int
    reason_phrase: str


def decode_request(address: Address, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ConfigRequest:
    """Read a request for the configuration; an empty payload counts as `{}`. The inverse of `encode_request`.

    Raises:
        PayloadError: the payload is not such a request.
    """
    read = _known_request if len(payload) <= _SHORT else _read_request
    config_id, observe = read(payload, limits)
    return ConfigRequest(address=address, config_id=config_id, observe=observe)


def _read_request(payload: bytes, limits: Limits) -> tuple[str | None, bool | None]:
    members = payloads.decode_object(payload, limits) if payload else {}
    fields.refuse_unknown(members, _REQUEST_MEMBERS)
    config_id = fields.version(members, "configId") if members.get("configId", "") != "" else None
    return config_id, fields.flag(members, "observe")


_known_request = lru_cache(maxsize=_REMEMBERED)(_read_request)


def encode_request(*, config_id: str | None = None, observe: bool | None = None) -> bytes:
    """A request for the configuration; members that are None are left out."""
    members: dict[str, JsonValue] = {"configId": config_id, "observe": observe}
    return payloads.encode({name: value for name, value in members.items() if value is not None})


def decode_applied(address: Address, payload: bytes, limits: Limits = DEFAULT_LIMITS) -> AppliedReport:
    """Read a report; `statusCode` is 200 when absent or null. The inverse of `encode_applied`.

    Raises:
        PayloadError: the payload is not such a report.
    """
    read = _known_applied if len(payload) <= _SHORT else _read_applied
    config_id, status_code, reason_phrase = read(payload, limits)
    return AppliedReport(address=address, config_id=config_id, status_code=status_code, reason_phrase=reason_phrase)


def _read_applied(payload: bytes, limits: Limits) -> tuple[str, int, str | None]:
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, _APPLIED_MEMBERS)
    status_code = fields.whole_number(members, "statusCode", _LEAST_STATUS, _MOST_STATUS)
    config_id = fields.version(members, "configId")
    return config_id, OK if status_code is None else status_code, fields.phrase(members, "reasonPhrase")


_known_applied = lru_cache(maxsize=_REMEMBERED)(_read_applied)


def encode_applied(*, config_id: str, status_code: int | None = None, reason_phrase: str | None = None) -> bytes:
    """A report; members that are None are left out."""
    members: dict[str, JsonValue] = {"configId": config_id, "statusCode": status_code, "reasonPhrase": reason_phrase}
    return payloads.encode({name: value for name, value in members.items() if value is not None})


def offer(version: str, specification_raw: str, profile: Profile) -> bytes:
    """An offer, for an answer and for the push. `specification_raw` is valid JSON text and is not touched.

    Raises:
        EmptyOfferError: the specification is empty or null.
    """
    if specification_raw.strip(" \t\n\r") in {"", "null"}:
        raise EmptyOfferError(version)
    config_id = payloads.encode(version).decode()
    match profile:
        case Profile.KAA:
            text = f'{{"configId":{config_id},"statusCode":200,"reasonPhrase":"OK","config":{specification_raw}}}'
        case Profile.RFC7:
            text = f'{{"configId":{config_id},"config":{specification_raw}}}'
    return text.encode()


def nothing(asked_config_id: str | None, running: str | None) -> bytes:
    """The answer when there is nothing to install.

    `{}` when the endpoint named what it runs (7/CMP: not changed), else the absent configuration.
    """
    return _UNCHANGED if asked_config_id is not None and asked_config_id == running else _UNASSIGNED


def decode_answer(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> Answer:
    """Read an answer or a push, of either profile; zero bytes are a cleared push. The inverse of `offer`, `nothing`.

    Raises:
        PayloadError: the payload is none, or has a `statusCode` that is not 200.
    """
    if not payload:
        return Unassigned()
    raw = payloads.members(payload, limits)
    if not raw:
        return Unchanged()
    fields.refuse_unknown(raw, _ANSWER_MEMBERS)
    if "config" not in raw:
        raise MissingMemberError("config")
    head = payloads.decode_object(_without_config(raw), limits)
    if head.get("statusCode", OK) != OK:
        raise MemberRangeError("statusCode", raw["statusCode"], "200")
    if raw["config"] == "null" and head.get("configId") == "":
        return Unassigned()
    return Offer(config_id=fields.version(head, "configId"), specification=raw["config"])


def _without_config(raw: dict[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{text}' for name, text in raw.items() if name != "config") + "}").encode()


def error(status_code: int, reason_phrase: str) -> bytes:
    """An error answer; the phrase is cut after 500 characters and made printable. The inverse of `decode_error`."""
    return payloads.encode({"statusCode": status_code, "reasonPhrase": fields.printable(reason_phrase)})


def decode_error(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> ErrorAnswer:
    """Read an error answer.

    Raises:
        PayloadError: the payload is none.
    """
    members = payloads.decode_object(payload, limits)
    fields.refuse_unknown(members, _ERROR_MEMBERS)
    status_code = fields.whole_number(members, "statusCode", _LEAST_STATUS, _MOST_STATUS)
    reason_phrase = fields.phrase(members, "reasonPhrase")
    if status_code is None or reason_phrase is None:
        raise MissingMemberError("statusCode" if status_code is None else "reasonPhrase")
    return ErrorAnswer(status_code=status_code, reason_phrase=reason_phrase)
