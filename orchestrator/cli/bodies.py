"""Bodies of resources from options and files.

Layer: cli.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orchestrator.cli.endings import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.cli.documents import Document


def given(**members: object) -> Document:
    """The members that were given: None, and what is empty because an option was not repeated, is left out."""
    return {name: value for name, value in members.items() if value is not None and value != ()}


def value_of(text: str, option: str) -> object:
    """A JSON value that was given with an option.

    Raises:
        RefusedError: it is not JSON.
    """
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise RefusedError(f"{option}: not JSON: {error}") from error
    return value


def pairs(texts: Iterable[str], option: str) -> dict[str, object]:
    """`NAME=VALUE`, each VALUE being JSON, or else a text; the name is whatever stands before the first sign.

    Raises:
        RefusedError: one of them has no sign or no name, or a name comes twice.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise RefusedError(f"{option}: {text} is not NAME=VALUE")
        if name in found:
            raise RefusedError(f"{option}: {name} is given twice")
        found[name] = _value_or_text(value)
    return found


def _value_or_text(text: str) -> object:
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text
    return value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
