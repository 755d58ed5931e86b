"""The messages of 10/EPMP: endpoints read and write their own attributes.

Rules:
- Keys match `^[a-zA-Z0-9_]+$` and have at most 64 characters; a message holds at most 64 of them, none twice.
- Values are of any JSON type whose texts can be stored.
- An endpoint has at most 1,024 attributes, of 64 KiB as JSON: messages cannot make them more, one by one.
- `get/keys` takes no payload and ignores one; `get` takes an empty one for all keys.

Spec: 10/EPMP "Metadata keys", "Request/response".
Layer: protocol.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from protocol import fields, payloads
from protocol.errors import AttributeCountError, AttributeKeyError, AttributesTooLargeError, MemberTypeError
from protocol.payloads import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.payloads import JsonValue, Limits
    from protocol.topics import Address

KEYS_PER_MESSAGE = 64
KEY_CHARACTERS = 64
KEYS_PER_ENDPOINT = 1024
BYTES_PER_ENDPOINT = 64 * 1024
"""Of all attributes as one JSON text."""
_KEY = re.compile(r"[a-zA-Z0-9_]+")
_QUERY_MEMBERS = frozenset({"keys"})

ACKNOWLEDGEMENT = b""
"""Answers an update and a deletion (10/EPMP: "MUST have zero-length payload")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataUpdate:
    """Set these attributes and leave the others (`update/keys`)."""

    address: Address
    attributes: Mapping[str, JsonValue]
    """1-64 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataReplacement:
    """Set these attributes and remove the others (`update`)."""

    address: Address
    attributes: Mapping[str, JsonValue]
    """1-64 of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataQuery:
    """Read attributes (`get`)."""

    address: Address
    keys: tuple[str, ...] | None
    """At most 64, in the order asked, none twice; None for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataKeysQuery:
    """Read the keys that exist (`get/keys`)."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataDeletion:
    """Remove attributes (`delete/keys`)."""

    address: Address
    keys: tuple[str, ...]
    """1-64, none twice."""


MetadataRequest: TypeAlias = MetadataUpdate | MetadataReplacement | MetadataQuery | MetadataKeysQuery | MetadataDeletion


def decode_attributes(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, JsonValue]:
    """Read the attributes of an update; the inverse of `encode_attributes`.

    Raises:
        PayloadError: it is not an object of 1 to 64 legal keys with storable values.
    """
    attributes = payloads.decode_object(payload, limits)
    if not 1 <= len(attributes) <= KEYS_PER_MESSAGE:
        raise AttributeCountError(len(attributes), KEYS_PER_MESSAGE)
    for key, value in attributes.items():
        _check_key(key)
        payloads.storable(value)
    return attributes


def encode_attributes(attributes: Mapping[str, JsonValue]) -> bytes:
    """The attributes of an update, and the answer to `get`."""
    return payloads.encode(attributes)


def check_all(count: int, size_bytes: int) -> None:
    """Pass when one endpoint may have so many attributes, whose JSON has so many bytes.

    Raises:
        AttributesTooLargeError: it may not.
    """
    if count > KEYS_PER_ENDPOINT:
        raise AttributesTooLargeError(count, KEYS_PER_ENDPOINT, "keys")
    if size_bytes > BYTES_PER_ENDPOINT:
        raise AttributesTooLargeError(size_bytes, BYTES_PER_ENDPOINT, "bytes")


def decode_query(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[str, ...] | None:
    """Read the keys that `get` asks for, None for all; the inverse of `encode_query`.

    Raises:
        PayloadError: it is neither empty nor an object whose only member `keys` lists at most 64 legal keys.
    """
    members = payloads.decode_object(payload, limits) if payload else {}
    fields.refuse_unknown(members, _QUERY_MEMBERS)
    return _keys(members["keys"]) if "keys" in members else None


def encode_query(keys: Sequence[str] | None = None) -> bytes:
    """A `get` for these keys, or for all."""
    return payloads.encode({} if keys is None else {"keys": list(keys)})


def decode_keys(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[str, ...]:
    """Read the keys that `delete/keys` names; the inverse of `encode_keys`.

    Raises:
        PayloadError: it is not a list of 1 to 64 legal keys, each once.
    """
    keys = _keys(payloads.decode(payload, limits))
    if not keys:
        raise AttributeCountError(0, KEYS_PER_MESSAGE)
    return keys


def encode_keys(keys: Sequence[str]) -> bytes:
    """The keys of `delete/keys`, and the answer to `get/keys`."""
    return payloads.encode(list(keys))


def _keys(value: JsonValue) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise MemberTypeError("keys", "a list of metadata keys")
    if len(value) > KEYS_PER_MESSAGE:
        raise AttributeCountError(len(value), KEYS_PER_MESSAGE)
    found: dict[str, None] = {}
    for key in value:
        if not isinstance(key, str):
            raise MemberTypeError("each key", "a string")
        _check_key(key)
        if key in found:
            raise AttributeKeyError(key, "is listed twice")
        found[key] = None
    return tuple(found)


def _check_key(key: str) -> None:
    if len(key) > KEY_CHARACTERS:
        raise AttributeKeyError(key, f"has more than {KEY_CHARACTERS} characters")
    if not _KEY.fullmatch(key):
        raise AttributeKeyError(key, "must consist of letters, digits and underscores")
