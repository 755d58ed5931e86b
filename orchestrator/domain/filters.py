"""Filters: named groups of endpoints, given by an expression over their attributes.

The expression is a conjunction of `attributes.NAME == literal`, joined by `&&`: a part of CEL, so that every
expression stays valid when the language grows. Literals are strings in single or double quotes, 64-bit integers,
doubles, `true` and `false`.

Rules:
- A missing attribute, or one of another type than the literal, is no match.
- Integers and doubles compare by value; a boolean is never a number.

Spec: CEL language definition, "Values" and "Equality", for the part that is here.
Layer: orchestrator.domain; pure. This module alone knows the language.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from orchestrator.domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
Literal: TypeAlias = str | int | float | bool

MAX_EXPRESSION_CHARS = 4096
_INT64 = range(-(2**63), 2**63)
_RESERVED = frozenset({"false", "in", "null", "true"})
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}

_SPACE = re.compile(r"[ \t\r\n]*")
_NAME = re.compile(r"attributes\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_EQUALS = re.compile(r"==")
_AND = re.compile(r"&&")
_BOOLEAN = re.compile(r"(true|false)(?![A-Za-z0-9_])", re.ASCII)
_DOUBLE = re.compile(r"-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)(?![A-Za-z0-9_.])", re.ASCII)
_INTEGER = re.compile(r"-?[0-9]+(?![A-Za-z0-9_.])", re.ASCII)
_STRING = re.compile(r"""'((?:[^'\\\r\n]|\\.)*)'|"((?:[^"\\\r\n]|\\.)*)\"""")
_ESCAPE = re.compile(r"\\(.)")


class FilterSyntaxError(DomainError):
    """An expression is not in the language; `column` counts characters from 1."""

    code = "filter-syntax"

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One comparison: the attribute `name` equals `literal`."""

    name: str
    literal: Literal

    def matches(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Whether the attribute is there, of the literal's type, and equal."""
        value = attributes.get(self.name)
        if isinstance(value, bool) or isinstance(self.literal, bool):
            # Python takes True for 1; CEL does not.
            return value is self.literal
        if isinstance(value, str | int | float):
            return value == self.literal
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression: all its terms must match."""

    terms: tuple[Term, ...]
    """In the order in which they are written; at least one."""

    def matches(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Whether every term matches."""
        return all(term.matches(attributes) for term in self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A named filter of one application."""

    filter_id: str
    expression: str

    def matches(self, attributes: Mapping[str, JsonValue]) -> bool:
        """Whether an endpoint with these attributes is in the group.

        Raises:
            FilterSyntaxError: `expression` is not in the language; `parse` it before it is stored.
        """
        return parse(self.expression).matches(attributes)


@lru_cache(maxsize=1024)
def parse(expression: str) -> Expression:
    """Parse an expression.

    Raises:
        FilterSyntaxError: it is empty, longer than `MAX_EXPRESSION_CHARS`, or not in the language.
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise FilterSyntaxError(MAX_EXPRESSION_CHARS + 1, f"longer than {MAX_EXPRESSION_CHARS} characters")
    scanner = _Scanner(expression)
    terms = [scanner.term()]
    while not scanner.at_end():
        scanner.expect(_AND, "expected '&&' or the end")
        terms.append(scanner.term())
    return Expression(terms=tuple(terms))


class _Scanner:
    """Reads tokens from left to right, spaces skipped."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def at_end(self) -> bool:
        self._skip()
        return self._position == len(self._text)

    def term(self) -> Term:
        match = self.expect(_NAME, "expected 'attributes.NAME'")
        name = match[1]
        if name in _RESERVED:
            raise FilterSyntaxError(match.start(1) + 1, f"{name!r} is a reserved word")
        self.expect(_EQUALS, "expected '=='")
        return Term(name=name, literal=self._literal())

    def expect(self, pattern: re.Pattern[str], reason: str) -> re.Match[str]:
        match = self._take(pattern)
        if match is None:
            raise FilterSyntaxError(self._position + 1, reason)
        return match

    def _literal(self) -> Literal:
        if match := self._take(_STRING):
            return self._unescape(match)
        if match := self._take(_BOOLEAN):
            return match[1] == "true"
        if match := self._take(_DOUBLE):
            value = float(match[0])
            if not math.isfinite(value):
                raise FilterSyntaxError(match.start() + 1, "the number is out of range")
            return value
        match = self.expect(_INTEGER, "expected a string, a number, true or false")
        if len(match[0]) > len(str(_INT64.start)) or int(match[0]) not in _INT64:
            raise FilterSyntaxError(match.start() + 1, "the number is out of range")
        return int(match[0])

    def _unescape(self, match: re.Match[str]) -> str:
        group = match.lastindex or 1
        for escape in _ESCAPE.finditer(match[group]):
            if escape[1] not in _ESCAPES:
                raise FilterSyntaxError(match.start(group) + escape.start() + 1, f"unknown escape {escape[0]!r}")
        return _ESCAPE.sub(lambda escape: _ESCAPES[escape[1]], match[group])

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip()
        match = pattern.match(self._text, self._position)
        if match is not None:
            self._position = match.end()
        return match

    def _skip(self) -> None:
        match = _SPACE.match(self._text, self._position)
        self._position = self._position if match is None else match.end()
