"""Filter expressions as values: what `grammar` reads, `predicates` evaluates, and storage compiles.

Rules:
- A tree is checked when it is built: its operands fit each other as far as that can be known without an endpoint.
- A condition is true, false or in error. An error is what a missing attribute, or a type that does not fit, gives.
- `&&` is false when any part is false, `||` true when any part is true, whatever the others are.

Spec: CEL language definition, "Logical Operators", for how errors are absorbed.
Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterator

Scalar: TypeAlias = str | int | float | bool


class Kind(Enum):
    """What an operand is, as far as the expression says."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "a boolean"
    INSTANT = "an instant"
    VERSION = "a version"
    ANY = "an attribute"
    """Whatever the endpoint has there."""


class Name(Enum):
    """The variables beside the attributes."""

    ENDPOINT_ID = "endpointId"
    APP_VERSION = "appVersion"
    RUNNING_VERSION = "runningVersion"
    REGISTERED_AT = "registeredAt"
    LAST_SEEN_AT = "lastSeenAt"


REPORTED = frozenset({Name.APP_VERSION, Name.RUNNING_VERSION, Name.LAST_SEEN_AT})
"""Variables that a message of the endpoint may change."""
INSTANTS = frozenset({Name.REGISTERED_AT, Name.LAST_SEEN_AT})


class Operator(Enum):
    """How two operands are compared."""

    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


class Method(Enum):
    """What a text is asked."""

    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    CONTAINS = "contains"


@dataclass(frozen=True, slots=True, kw_only=True)
class Literal:
    """A text, a number, `true` or `false`."""

    value: Scalar

    @property
    def kind(self) -> Kind:
        """Of its value."""
        if isinstance(self.value, bool):
            return Kind.BOOLEAN
        return Kind.TEXT if isinstance(self.value, str) else Kind.NUMBER


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """`attributes.a.b`."""

    path: tuple[str, ...]
    """Names from the outside in; at least one."""

    @property
    def kind(self) -> Kind:
        """Known at the endpoint only."""
        return Kind.ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One of the variables beside the attributes."""

    name: Name

    @property
    def kind(self) -> Kind:
        """An instant or text."""
        return Kind.INSTANT if self.name in INSTANTS else Kind.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """`semver(…)` or `timestamp(…)`: the version or the instant that a text names; an error when it names none."""

    kind: Kind
    of: Literal | Attribute | Variable


Operand: TypeAlias = Literal | Attribute | Variable | Conversion


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`left operator right`; an error unless both are of one kind. Booleans order as false < true."""

    operator: Operator
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """`item in [a, b]`: the same as `item == a || item == b`; but an item that is in error stays one."""

    item: Operand
    choices: tuple[Operand, ...]
    """Literals and conversions of literals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contained:
    """`item in attributes.list`: the same over the items that the endpoint has there; an error when it is no list."""

    item: Literal | Attribute | Variable
    attribute: Attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTest:
    """`text.startsWith(part)` and the like; an error unless both are texts."""

    method: Method
    text: Literal | Attribute | Variable
    part: Literal | Attribute | Variable


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """`has(attributes.a)`: whether it is there, null included; below the first name, an error where no object is."""

    attribute: Attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """An operand that stands for itself; an error unless it is a boolean."""

    operand: Literal | Attribute


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """`!part`; an error stays one."""

    part: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class And:
    """`a && b && c`."""

    parts: tuple[Expression, ...]
    """At least two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Or:
    """`a || b || c`."""

    parts: tuple[Expression, ...]
    """At least two."""


Term: TypeAlias = Comparison | Listed | Contained | TextTest | Presence | Truth
Expression: TypeAlias = Term | Not | And | Or


def terms(expression: Expression) -> Iterator[Term]:
    """Yield the terms, from left to right."""
    match expression:
        case Not(part=part):
            yield from terms(part)
        case And(parts=parts) | Or(parts=parts):
            for part in parts:
                yield from terms(part)
        case _:
            yield expression


def operands(term: Term) -> tuple[Operand, ...]:
    """Return what a term looks at, literals included."""
    match term:
        case Comparison(left=left, right=right):
            return left, right
        case Listed(item=item, choices=choices):
            return item, *choices
        case Contained(item=item, attribute=attribute):
            return item, attribute
        case TextTest(text=text, part=part):
            return text, part
        case Presence(attribute=attribute):
            return (attribute,)
        case Truth(operand=operand):
            return (operand,)
        case _:
            assert_never(term)


def reads(expression: Expression) -> frozenset[Name | None]:
    """Return the variables that an expression looks at; None stands for the attributes."""
    found: set[Name | None] = set()
    for term in terms(expression):
        for operand in operands(term):
            match operand.of if isinstance(operand, Conversion) else operand:
                case Variable(name=name):
                    found.add(name)
                case Attribute():
                    found.add(None)
                case _:
                    pass
    return frozenset(found)
