"""JSON as it comes in from outside: read strictly, and carried on without loss.

`decode` gives values. `members`, `items` and `compact` keep the text, for what has to be delivered as it was given:
`1.10` stays `1.10`, members keep their order and strings their escapes.

Rules:
- UTF-8 without a byte order mark; no duplicate members, no NaN, no Infinity, no number beyond a double's range.
- Size and depth are checked before anything is parsed, in time linear in the size.
- Only errors of `PayloadError` escape, whatever the bytes.

Spec: RFC 8259; I-JSON (RFC 7493 §2.3, duplicate members).
Layer: protocol.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from protocol.errors import (
    DuplicateMemberError,
    MemberTypeError,
    NotJsonError,
    NotUtf8Error,
    NumberRangeError,
    PayloadTooLargeError,
    SettingError,
    TextError,
    TooDeepError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

_DEEPEST = 200
"""The parser recurses, and so does whoever walks the value."""

# Possessive, so that unterminated strings cost linear time; an open string ends with the text.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_BRACKETS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_GAPS = re.compile(rf"({_STRING})|[ \t\n\r]+", re.DOTALL)
_WHITESPACE = re.compile(r"[ \t\n\r]*")

_STORABLE = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a payload is read.

    Raises:
        SettingError: a limit is below 1, or the depth above 200.
    """

    payload_bytes: int = 65536
    depth: int = 32
    """How many arrays and objects may lie in one another; a bare object has depth 1."""

    def __post_init__(self) -> None:
        """Check the limits once."""
        if self.payload_bytes < 1 or not 1 <= self.depth <= _DEEPEST:
            raise SettingError(f"limits must be at least 1, and the depth at most {_DEEPEST}")


DEFAULT_LIMITS = Limits()


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise DuplicateMemberError(name)
            seen.add(name)
    return found


def _no_constant(constant: str) -> NoReturn:
    raise NotJsonError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NumberRangeError("a number is beyond the range of a double")
    return number


_VALUES = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_TEXTS = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=str, parse_int=str)
"""Numbers stay text: a specification may hold numbers that no Python number equals."""


def decode(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> JsonValue:
    """The value of a JSON text. Strings may hold unpaired surrogates: see `storable`.

    Raises:
        PayloadError: it is too large or too deep, not UTF-8, not JSON, has a duplicate member, or a number that is
            beyond a double's range or longer than 4300 digits.
    """
    text = _text(payload, limits)
    try:
        value: JsonValue = _VALUES.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    except ValueError:
        raise NumberRangeError("an integer has too many digits") from None
    return value


def decode_object(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, JsonValue]:
    """The members of a JSON object, in the order in which they came.

    Raises:
        PayloadError: as `decode`, or the text is not an object.
    """
    value = decode(payload, limits)
    if not isinstance(value, dict):
        raise MemberTypeError("the payload", "an object")
    return value


def encode(value: JsonValue | Mapping[str, JsonValue]) -> bytes:
    """Compact JSON in UTF-8; the inverse of `decode` for storable values."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def members(document: bytes | str, limits: Limits = DEFAULT_LIMITS) -> dict[str, str]:
    """The members of a JSON object, each with the exact text of its value, in the order in which they came.

    The whole document is held to the rules of this module, save that numbers may be of any size.

    Raises:
        PayloadError: as `decode_object`.
    """
    text = _text(document, limits)
    try:
        if not isinstance(_TEXTS.decode(text), dict):
            raise MemberTypeError("the document", "an object")
        return _slices(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None


def items(document: bytes | str, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    """The items of a JSON array, each with its exact text; held to the same rules as `members`.

    Raises:
        PayloadError: as `decode`, or the text is not an array.
    """
    text = _text(document, limits)
    try:
        if not isinstance(_TEXTS.decode(text), list):
            raise MemberTypeError("the document", "an array")
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    found: list[str] = []
    position = _skip(text, 0) + 1
    while text[position := _skip(text, position)] != "]":
        _, end = _TEXTS.raw_decode(text, position)
        found.append(text[position:end])
        position = _skip(text, end)
        position += text[position] == ","
    return found


def _slices(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    position = _skip(text, 0) + 1
    while text[position := _skip(text, position)] != "}":
        name, position = _TEXTS.raw_decode(text, position)
        start = _skip(text, _skip(text, position) + 1)
        _, end = _TEXTS.raw_decode(text, start)
        found[name] = text[start:end]
        position = _skip(text, end)
        position += text[position] == ","
    return found


def _skip(text: str, position: int) -> int:
    gap = _WHITESPACE.match(text, position)
    return gap.end() if gap else position


def compact(raw: str) -> str:
    """The same JSON text without insignificant whitespace; nothing else changes. `raw` must be valid JSON."""
    return _GAPS.sub(r"\1", raw)


def storable(value: JsonValue) -> JsonValue:
    """The value itself, when UTF-8 and databases can hold each text in it.

    Raises:
        TextError: a text, or a member's name, holds U+0000 or an unpaired surrogate.
        NumberRangeError: a whole number needs more than 64 bits.
    """
    match value:
        case int() if value not in _STORABLE:
            raise NumberRangeError("a whole number needs more than 64 bits")
        case str():
            if "\0" in value or (not value.isascii() and _has_surrogate(value)):
                raise TextError
        case list():
            for item in value:
                storable(item)
        case dict():
            for name, item in value.items():
                storable(name)
                storable(item)
        case _:
            pass
    return value


def _has_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _text(document: bytes | str, limits: Limits) -> str:
    try:
        payload = document.encode() if isinstance(document, str) else document
        if len(payload) > limits.payload_bytes:
            raise PayloadTooLargeError(len(payload), limits.payload_bytes)
        text = payload.decode()
    except UnicodeError as error:
        raise NotUtf8Error(error.start if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else 0) from None
    # Counting brackets in strings too is cheap, and enough for almost every payload.
    if payload.count(b"{") + payload.count(b"[") > limits.depth:
        _check_depth(text, limits.depth)
    return text


def _check_depth(text: str, limit: int) -> None:
    depth = 0
    for token in _BRACKETS.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                if depth > limit:
                    raise TooDeepError(limit)
            case "]" | "}":
                depth -= 1
            case _:
                pass


def _not_json(text: str, error: json.JSONDecodeError) -> NotJsonError:
    if not text:
        return NotJsonError("the payload is empty")
    return NotJsonError(f"the payload is not JSON: {error.msg} at character {error.pos}")
