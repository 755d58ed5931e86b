"""What the rules of the grammar mean: names looked up, trees built from the inside out.

Rules:
- A name that is not known is refused with the nearest one that is; what CEL has and this has not, by its name.
- Only conditions are joined and negated, only operands are compared.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from orchestrator.domain.expressions import (
    And,
    Attribute,
    Comparison,
    Contained,
    Kind,
    Listed,
    Literal,
    Method,
    Name,
    Not,
    Operator,
    Or,
    Presence,
    TextTest,
    Variable,
)
from orchestrator.domain.pieces import (
    Condition,
    FilterSyntaxError,
    Items,
    Piece,
    Root,
    Value,
    choices,
    condition,
    converted,
    fit,
    nearest,
    plain,
    refuse,
    selected,
    term,
    text,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    # A token is a text that knows where it stands; what the parser hands over is told apart by its place.
    from lark import Token

    Part: TypeAlias = Piece | Token | tuple[Piece, ...] | None

_VARIABLES = {name.value: name for name in Name}
_METHODS = {method.value: method for method in Method}
_CONVERSIONS = {"semver": Kind.VERSION, "timestamp": Kind.INSTANT}
_FUNCTIONS = ("has", *_CONVERSIONS)
_CEL = frozenset({"bool", "bytes", "double", "duration", "dyn", "int", "matches", "size", "string", "type", "uint"})
_BASIC = frozenset({Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.ANY})
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)
_ESCAPES = {
    **{character: character for character in "\\'\"`?"},
    **dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)),
}
_MAX_CODE = 0x10FFFF
_SHOWN = 64
"""Characters of an unknown name that an error repeats."""


class Reader:
    """One method for each rule, called by the parser with what the rule's parts have become."""

    def start(self, parts: Sequence[Part]) -> Condition:
        """The whole expression is a condition."""
        return condition(_piece(parts[0]))

    def disjunction(self, parts: Sequence[Part]) -> Condition:
        """Join by `||`."""
        joined = [condition(_piece(part)) for part in parts[::2]]
        return _joined(joined, Or(parts=tuple(part.expression for part in joined)))

    def conjunction(self, parts: Sequence[Part]) -> Condition:
        """Join by `&&`."""
        joined = [condition(_piece(part)) for part in parts[::2]]
        return _joined(joined, And(parts=tuple(part.expression for part in joined)))

    def negation(self, parts: Sequence[Part]) -> Condition:
        """Negate a condition."""
        part = condition(_piece(parts[1]))
        return Condition(column=_column(parts[0]), expression=Not(part=part.expression))

    def group(self, parts: Sequence[Part]) -> Piece:
        """Take what is in brackets."""
        return _piece(parts[1])

    def comparison(self, parts: Sequence[Part]) -> Condition:
        """Compare two operands."""
        left, right = value(_piece(parts[0])), value(_piece(parts[2]))
        fit(left.operand, right)
        return term(left.column, Comparison(operator=Operator(parts[1]), left=left.operand, right=right.operand))

    def membership(self, parts: Sequence[Part]) -> Condition:
        """Look an operand up in a list."""
        item, container = value(_piece(parts[0])), _piece(parts[2])
        if isinstance(container, Items):
            return term(item.column, Listed(item=item.operand, choices=tuple(choices(item.operand, container))))
        attribute = value(container)
        if not isinstance(attribute.operand, Attribute):
            refuse(attribute.column, "'in' looks into a literal list, or an attribute that is a list")
        if item.operand.kind not in _BASIC:
            refuse(item.column, "lists of attributes hold texts, numbers and booleans")
        return term(item.column, Contained(item=plain(item), attribute=attribute.operand))

    def minus(self, parts: Sequence[Part]) -> Value:
        """Negate a literal number; its range is looked at when it is used."""
        column = _column(parts[0])
        match parts[1]:
            case Value(operand=Literal(value=int() | float() as number)) if not isinstance(number, bool):
                return Value(column=column, operand=Literal(value=-number))
            case _:
                raise FilterSyntaxError(
                    column, "'-' stands before literal numbers only: arithmetic is not in this language"
                )

    def selection(self, parts: Sequence[Part]) -> Value:
        """Select a member by `.`."""
        return selected(_piece(parts[0]), str(parts[2]), _column(parts[2]))

    def index(self, parts: Sequence[Part]) -> Value:
        """Select a member by `["…"]`."""
        match parts[2]:
            case Value(operand=Literal(value=str() as name)):
                return selected(_piece(parts[0]), name, _column(parts[2]))
            case part:
                raise FilterSyntaxError(_column(part), "only a literal name stands in attributes[…]")

    def variable(self, parts: Sequence[Part]) -> Value | Root:
        """Look a name up."""
        name, column = str(parts[0]), _column(parts[0])
        if name == "attributes":
            return Root(column=column)
        if name == "null":
            refuse(column, "null is not in this language; has(attributes.NAME) says whether there is an attribute")
        if name not in _VARIABLES:
            refuse(column, f"there is no {name[:_SHOWN]!r}{nearest(name, ('attributes', *_VARIABLES))}")
        return Value(column=column, operand=Variable(name=_VARIABLES[name]))

    def function(self, parts: Sequence[Part]) -> Condition | Value:
        """Call `has`, `semver` or `timestamp`."""
        name, column = str(parts[0]), _column(parts[0])
        if name not in _FUNCTIONS:
            _refuse_call(name, column, _FUNCTIONS)
        argument = value(_only(parts[2], column, name))
        if name in _CONVERSIONS:
            return Value(column=column, operand=converted(_CONVERSIONS[name], argument))
        if not isinstance(argument.operand, Attribute):
            refuse(argument.column, "has() asks for attributes.NAME")
        return term(column, Presence(attribute=argument.operand))

    def method(self, parts: Sequence[Part]) -> Condition:
        """Call `startsWith`, `endsWith` or `contains`."""
        name, column = str(parts[2]), _column(parts[2])
        if name not in _METHODS:
            _refuse_call(name, column, _METHODS)
        whole, part = value(_piece(parts[0])), value(_only(parts[4], column, name))
        return term(whole.column, TextTest(method=_METHODS[name], text=text(whole), part=text(part)))

    def arguments(self, parts: Sequence[Part]) -> tuple[Piece, ...]:
        """Take what stands between the commas."""
        return tuple(part for part in parts if isinstance(part, Piece))

    def listing(self, parts: Sequence[Part]) -> Items:
        """Take a literal list."""
        items = parts[1] if isinstance(parts[1], tuple) else ()
        return Items(column=_column(parts[0]), items=items)

    def text(self, parts: Sequence[Part]) -> Value:
        """Take a text, its escapes replaced."""
        column = _column(parts[0])
        content = _ESCAPE.sub(lambda match: _unescaped(match, column), str(parts[0])[1:-1])
        if "\0" in content or any("\ud800" <= character <= "\udfff" for character in content):
            refuse(column, "a text holds neither U+0000 nor half of a surrogate pair")
        return Value(column=column, operand=Literal(value=content))

    def integer(self, parts: Sequence[Part]) -> Value:
        """Take a whole number."""
        digits = str(parts[0]).lower()
        # 64 bits have at most 19 digits: more are out of range, and costly to convert.
        significant = digits.removeprefix("0x").lstrip("0")
        number = 2**64 if len(significant) > len(str(2**63)) else int(digits, 16 if "x" in digits else 10)
        return Value(column=_column(parts[0]), operand=Literal(value=number))

    def double(self, parts: Sequence[Part]) -> Value:
        """Take a double."""
        return Value(column=_column(parts[0]), operand=Literal(value=float(str(parts[0]))))

    def boolean(self, parts: Sequence[Part]) -> Value:
        """Take `true` or `false`."""
        return Value(column=_column(parts[0]), operand=Literal(value=str(parts[0]) == "true"))


def _column(part: Part) -> int:
    if isinstance(part, Piece):
        return part.column
    at = getattr(part, "start_pos", None)
    return 1 if at is None else int(at) + 1


def _piece(part: Part) -> Piece:
    if not isinstance(part, Piece):
        raise TypeError(type(part))
    return part


def _joined(parts: Sequence[Condition], expression: And | Or) -> Condition:
    return Condition(column=parts[0].column, expression=expression)


def _only(arguments: Part, column: int, name: str) -> Piece:
    if not isinstance(arguments, tuple) or len(arguments) != 1:
        refuse(column, f"{name}() takes one argument")
    argument: Piece = arguments[0]
    return argument


def _refuse_call(name: str, column: int, known: Iterable[str]) -> NoReturn:
    if name == "matches":
        refuse(column, "matches() is a regular expression; these are not in this language")
    if name in _CEL:
        refuse(column, f"{name}() is not in this language")
    refuse(column, f"there is no {name[:_SHOWN]}(){nearest(name, known)}")


def _unescaped(match: re.Match[str], column: int) -> str:
    *digits, octal, character = match.groups()
    code = next((int(text, 16) for text in digits if text), None)
    if octal:
        code = int(octal, 8)
    if code is not None:
        if code > _MAX_CODE:
            refuse(column + 1 + match.start(), f"{match[0]} is no character")
        return chr(code)
    if character not in _ESCAPES:
        refuse(column + 1 + match.start(), f"there is no escape {match[0]}")
    return _ESCAPES[character]
