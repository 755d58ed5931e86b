"""Members of a decoded object, read as what a message needs them to be.

Rules:
- A boolean is never a number; a number with an integral value is an integer, as in JSON Schema.
- Phrases are for people: they are cut and made printable, never a reason to refuse a message.

Layer: protocol.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from protocol.errors import (
    ConfigIdError,
    MemberRangeError,
    MemberTypeError,
    MissingMemberError,
    UnknownMemberError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.payloads import JsonValue

PHRASE_CHARACTERS = 500
"""How much of a phrase is kept."""

VERSION_CHARACTERS = 128

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PART = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PART}(?:\.{_PART})*)?(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
"""SemVer 2.0.0, its own suggested pattern, ASCII digits only; to be used with `fullmatch`."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def refuse_unknown(members: Mapping[str, JsonValue], known: frozenset[str]) -> None:
    """Let only known members pass.

    Raises:
        UnknownMemberError: there is another one; the first in the message's order is named.
    """
    if not members.keys() <= known:
        raise UnknownMemberError(next(name for name in members if name not in known))


def version(members: Mapping[str, JsonValue], name: str) -> str:
    """A required version, as it was written.

    Raises:
        MissingMemberError: it is absent.
        MemberTypeError: it is null or no string.
        ConfigIdError: it is not strict SemVer, or longer than 128 characters.
    """
    value = members.get(name)
    if not isinstance(value, str):
        raise MemberTypeError(name, "a string") if name in members else MissingMemberError(name)
    if len(value) > VERSION_CHARACTERS or not SEMVER.fullmatch(value):
        raise ConfigIdError(value)
    return value


def whole_number(members: Mapping[str, JsonValue], name: str, least: int, most: int) -> int | None:
    """An integer from `least` to `most`; None when it is absent or null.

    Raises:
        MemberTypeError: it is no number, or has a fraction.
        MemberRangeError: it is out of bounds.
    """
    value = members.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise MemberTypeError(name, "an integer")
    if not least <= value <= most:
        # Compared, not printed: an integer of thousands of digits has no decimal form within Python's limit.
        raise MemberRangeError(name, str(value) if abs(value) < 10**18 else "far away", f"{least} to {most}")
    return value


def flag(members: Mapping[str, JsonValue], name: str) -> bool | None:
    """A boolean; None when it is absent.

    Raises:
        MemberTypeError: it is anything else, null included.
    """
    if name not in members:
        return None
    value = members[name]
    if not isinstance(value, bool):
        raise MemberTypeError(name, "a boolean")
    return value


def required_flag(members: Mapping[str, JsonValue], name: str) -> bool:
    """A boolean that has to be there.

    Raises:
        MissingMemberError: it is absent.
        MemberTypeError: it is anything else, null included.
    """
    value = flag(members, name)
    if value is None:
        raise MissingMemberError(name)
    return value


def phrase(members: Mapping[str, JsonValue], name: str) -> str | None:
    """A text for people, made `printable`; None when it is absent or null.

    Raises:
        MemberTypeError: it is no string.
    """
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise MemberTypeError(name, "a string or null")
    return printable(value)


def printable(text: str) -> str:
    """The first 500 characters, with U+FFFD for controls and unpaired surrogates, which logs and databases trip on."""
    return _UNPRINTABLE.sub("\ufffd", text[:PHRASE_CHARACTERS])
