"""Where a list goes on, as an opaque text.

Rules:
- A cursor belongs to one kind of list; what is no cursor of it is refused.

Layer: api.
"""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable

from orchestrator.application.problems import RequestError

_MOST = 2**63 - 1
_DIGITS = len(str(_MOST))


class CursorError(RequestError):
    """A cursor was not made by this list."""

    code = "cursor-invalid"

    def __init__(self) -> None:
        """Say what a cursor is."""
        super().__init__("the cursor is none that this list gave; start without one")


def build(kind: str, place: str) -> str:
    """A cursor of a kind of list, after the item at `place`; the inverse of `parse`."""
    return urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def parse(kind: str, cursor: str) -> str:
    """The place after which the list goes on.

    Raises:
        CursorError: it is no cursor, or one of another kind of list.
    """
    try:
        text = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (Base64Error, ValueError) as error:
        raise CursorError from error
    prefix, colon, place = text.partition(":")
    if prefix != kind or not colon or build(kind, place) != cursor:
        raise CursorError
    return place


def parse_number(kind: str, cursor: str) -> int:
    """The same for places that are numbers.

    Raises:
        CursorError: it is no cursor, or one of another kind of list.
    """
    return parse_numbers(kind, cursor, 1)[0]


def build_numbers(kind: str, place: Iterable[int]) -> str:
    """A cursor for a place of several numbers, none below 0; the inverse of `parse_numbers`."""
    return build(kind, ".".join(str(number) for number in place))


def parse_numbers(kind: str, cursor: str, amount: int) -> list[int]:
    """The same for places of `amount` numbers.

    Raises:
        CursorError: it is no cursor, or one of another kind of list.
    """
    parts = parse(kind, cursor).split(".")
    if len(parts) != amount or not all(map(_is_number, parts)):
        raise CursorError
    return [int(part) for part in parts]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS and int(text) <= _MOST
