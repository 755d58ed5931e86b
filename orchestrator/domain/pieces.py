"""Pieces of a filter expression while it is read: what each is, and whether it may stand where it stands.

Rules:
- Operands that can never fit each other are refused: the endpoint could only be in error.
- A whole number has 64 bits, a double is finite, a text holds neither U+0000 nor half of a surrogate pair.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from orchestrator.domain import conversions
from orchestrator.domain.errors import DomainError
from orchestrator.domain.expressions import Attribute, Conversion, Kind, Literal, Truth, Variable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.domain.expressions import Expression, Operand, Term

MAX_PATH = 32
"""Names of an attribute and what is inside it."""
_LONGEST = 64
_INT64 = range(-(2**63), 2**63)
_EXAMPLES = {Kind.VERSION: "semver('1.2.3')", Kind.INSTANT: "timestamp('2026-12-01T08:00:00Z')"}


class FilterSyntaxError(DomainError):
    """An expression is not in the language; `column` counts characters from 1."""

    code = "filter-syntax"

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(f"column {column}: {reason}")
        self.column = column
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition, and where it stands."""

    column: int
    expression: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An operand, and where it stands."""

    column: int
    operand: Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A literal list, and where it stands."""

    column: int
    items: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """`attributes`, of which nothing is selected yet."""

    column: int


Piece: TypeAlias = Condition | Value | Items | Root


def refuse(column: int, reason: str) -> NoReturn:
    """Refuse the expression.

    Raises:
        FilterSyntaxError: always.
    """
    raise FilterSyntaxError(column, reason)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` when a known name is near, else those that there are."""
    names = list(known)
    lower = {item.lower(): item for item in names}
    found = difflib.get_close_matches(name[:_LONGEST].lower().replace("_", ""), lower, n=1)
    return f"; did you mean {lower[found[0]]}?" if found else f"; there are {', '.join(names)}"


def term(column: int, found: Term) -> Condition:
    """Return one term as a condition."""
    return Condition(column=column, expression=found)


def condition(piece: Piece) -> Condition:
    """Return a condition; an attribute or a boolean literal stands for itself.

    Raises:
        FilterSyntaxError: it is neither.
    """
    match piece:
        case Condition():
            return piece
        case Value(operand=Attribute() | Literal(value=bool()) as operand):
            return term(piece.column, Truth(operand=operand))
        case Value(operand=operand):
            refuse(piece.column, f"a condition has to be here, and this is {operand.kind.value}")
        case _:
            value(piece)
            raise AssertionError(piece)


def value(piece: Piece) -> Value:
    """Return an operand that is in range.

    Raises:
        FilterSyntaxError: it is none.
    """
    match piece:
        case Value(operand=Literal(value=int() as number)) if not isinstance(number, bool) and number not in _INT64:
            refuse(piece.column, "the number is out of range: whole ones have 64 bits")
        case Value(operand=Literal(value=float() as number)) if not math.isfinite(number):
            refuse(piece.column, "the number is out of range")
        case Value():
            return piece
        case Root():
            refuse(piece.column, "attributes has to be followed by .NAME")
        case Items():
            refuse(piece.column, "a list stands only behind 'in'")
        case Condition():
            refuse(piece.column, "a condition cannot be compared; '&&', '||' and '!' join conditions")


def plain(given: Value) -> Literal | Attribute | Variable:
    """Return an operand that is no conversion.

    Raises:
        FilterSyntaxError: it is one.
    """
    if isinstance(given.operand, Conversion):
        refuse(given.column, f"text has to be here, and this is {given.operand.kind.value}")
    return given.operand


def text(given: Value) -> Literal | Attribute | Variable:
    """Return an operand that may be text.

    Raises:
        FilterSyntaxError: it cannot.
    """
    operand = plain(given)
    if operand.kind not in {Kind.TEXT, Kind.ANY}:
        refuse(given.column, f"text has to be here, and this is {operand.kind.value}")
    return operand


def fit(left: Operand, right: Value) -> None:
    """Pass when two operands may be of one kind.

    Raises:
        FilterSyntaxError: they never are.
    """
    one, other = left.kind, right.operand.kind
    if one is other:
        return
    for kind in (one, other):
        if kind in _EXAMPLES:
            refuse(right.column, f"{kind.value} compares with {kind.value}, such as {_EXAMPLES[kind]}")
    if Kind.ANY not in {one, other}:
        refuse(right.column, f"{one.value} never equals {other.value}")


def choices(item: Operand, listed: Items) -> list[Operand]:
    """Return the items of a literal list that `item` may be in.

    Raises:
        FilterSyntaxError: one of them is not literal, or `item` can never be equal to it.
    """
    found = []
    for piece in listed.items:
        choice = value(piece)
        operand = choice.operand
        inner = operand.of if isinstance(operand, Conversion) else operand
        if not isinstance(inner, Literal):
            refuse(choice.column, "lists hold literals only; join comparisons by '||'")
        fit(item, choice)
        found.append(operand)
    return found


def selected(piece: Piece, name: str, column: int) -> Value:
    """Return the member `name` of the attributes, or of one of them.

    Raises:
        FilterSyntaxError: it is no name that an attribute can be found by, or `piece` has no members.
    """
    if not name or not name.isprintable() or '"' in name or "\\" in name:
        refuse(column, "a name has printable characters, and neither '\"' nor '\\'")
    match piece:
        case Root():
            return Value(column=piece.column, operand=Attribute(path=(name,)))
        case Value(operand=Attribute(path=path)) if len(path) >= MAX_PATH:
            refuse(column, f"nested more than {MAX_PATH} deep")
        case Value(operand=Attribute(path=path)):
            return Value(column=piece.column, operand=Attribute(path=(*path, name)))
        case _:
            refuse(column, "only attributes have members")


def converted(kind: Kind, given: Value) -> Conversion:
    """Return the conversion of a text.

    Raises:
        FilterSyntaxError: it is no text, or a literal one that names no version or no instant.
    """
    operand = text(given)
    if isinstance(operand, Literal):
        literal = str(operand.value)
        named = conversions.version(literal) if kind is Kind.VERSION else conversions.instant(literal)
        if named is None:
            refuse(given.column, f"this text names no {kind.name.lower()}; one is {_EXAMPLES[kind]}")
    return Conversion(kind=kind, of=operand)
