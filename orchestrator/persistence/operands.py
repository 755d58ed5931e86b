"""What filters look at, as SQL: columns, members of the JSON text, and how they compare.

Rules:
- The database's own comparison is used only where the kinds are alike: it orders texts above all numbers, and booleans
  are numbers to it.
- Where nothing negates an answer, null and false are one: there the cheaper of the two forms is taken.
- A value of any kind is looked at as the kind that it is compared with: `Side.of`. Texts compare by code points.

Layer: persistence.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import (
    BigInteger,
    Boolean,
    Integer,
    Text,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    true,
)

from orchestrator.domain.expressions import Attribute, Conversion, Kind, Literal, Method, Name, Variable
from orchestrator.persistence import functions, schema
from orchestrator.persistence.elements import (
    Elements,
    Member,
    MemberBoolean,
    MemberNumber,
    MemberText,
    MemberType,
    Number,
    Position,
    VersionKey,
    path_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement
    from sqlalchemy.types import TypeEngine

    from orchestrator.domain.expressions import Operand

NULL: ColumnElement[bool] = literal_column("NULL", Boolean)
_MICROSECONDS = 1000
"""In the milliseconds that columns hold."""
_JSON_TYPES = {Kind.TEXT: ("text",), Kind.NUMBER: ("integer", "real"), Kind.BOOLEAN: ("true", "false")}
_MEMBERS = {Kind.TEXT: MemberText, Kind.NUMBER: MemberNumber, Kind.BOOLEAN: MemberBoolean}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One operand; null is an error."""

    kind: Kind
    value: ColumnElement[Any]
    place: tuple[ColumnElement[Any], ...] = ()
    """Where `value` is in the endpoint's row, if `kind` is any: arguments of a `Member`."""

    @property
    def json_type(self) -> ColumnElement[Any] | None:
        """What `value` is, if `kind` is any."""
        return MemberType(*self.place) if self.place else None

    def of(self, kind: Kind) -> ColumnElement[Any]:
        """The value as one of a kind that it is known, or asked, to be."""
        return _MEMBERS[kind](*self.place) if self.place else self.value

    def is_a(self, kind: Kind) -> ColumnElement[bool]:
        """Whether it is of a kind."""
        named = self.json_type
        if named is None:
            return true() if self.kind is kind else false()
        return named.in_(_JSON_TYPES[kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row(Side):
    """One item of a list, whose type is a column of its own."""

    named: ColumnElement[Any]

    @property
    def json_type(self) -> ColumnElement[Any]:
        """See `Side.json_type`."""
        return self.named


def side(operand: Operand) -> Side:
    """An operand's column, parameter, or place in the JSON text."""
    match operand:
        case Literal(value=value, kind=kind):
            return Side(kind=kind, value=_parameter(value))
        case Attribute(path=path):
            place = (schema.endpoint.c.attributes, *path_to(path))
            return Side(kind=Kind.ANY, value=Member(*place), place=place)
        case Variable(name=name, kind=kind):
            return Side(kind=kind, value=_variable(name))
        case Conversion(kind=kind, of=of):
            return Side(kind=kind, value=_converted(kind, of))
        case _:
            assert_never(operand)


def _parameter(value: str | float) -> ColumnElement[Any]:
    kind: TypeEngine[Any]
    match value:
        case bool():
            # As JSON's own values come out of the text.
            return literal(int(value), Integer())
        case str():
            kind = Text()
        case _:
            kind = Number()
    return literal(value, kind)


def _json_type(path: Sequence[str]) -> ColumnElement[Any]:
    return MemberType(schema.endpoint.c.attributes, *path_to(path))


def _variable(name: Name) -> ColumnElement[Any]:
    state, endpoint = schema.endpoint_state.c, schema.endpoint.c
    match name:
        case Name.ENDPOINT_ID:
            return endpoint.endpoint_id
        case Name.APP_VERSION:
            named = select(schema.app_version.c.name).where(schema.app_version.c.id == state.app_version_id)
            return named.correlate(schema.endpoint_state).scalar_subquery()
        case Name.RUNNING_VERSION:
            text = select(schema.version.c.text).where(schema.version.c.id == state.running_id)
            return text.correlate(schema.endpoint_state).scalar_subquery()
        case Name.REGISTERED_AT:
            return endpoint.registered_ms * _MICROSECONDS
        case Name.LAST_SEEN_AT:
            return state.seen_ms * _MICROSECONDS
        case _:
            assert_never(name)


def _converted(kind: Kind, of: Literal | Attribute | Variable) -> ColumnElement[Any]:
    if isinstance(of, Literal):
        convert = functions.semver_key if kind is Kind.VERSION else functions.instant_us
        return literal(convert(of.value), Text() if kind is Kind.VERSION else BigInteger())
    # A list or an object comes out as text: never one that names a version or an instant.
    text = side(of).of(Kind.TEXT)
    return VersionKey(text) if kind is Kind.VERSION else func.otao_instant_us(text, type_=BigInteger())


def either(*branches: tuple[ColumnElement[bool], ColumnElement[bool]]) -> ColumnElement[bool]:
    """The answer of the first branch whose condition is true; null when there is none."""
    return case(*branches) if branches else NULL


def alike(
    left: Side, right: Side, compare: Callable[[Any, Any], Any], *, positive: bool = False
) -> ColumnElement[bool]:
    """Compare two sides where they are of one kind; null elsewhere, or also false when it is `positive`."""
    if Kind.ANY not in {left.kind, right.kind}:
        return compare(left.value, right.value) if left.kind is right.kind else NULL
    if positive and left.kind is not right.kind:
        # Few values pass the comparison: only of these it is asked what they are.
        kind = right.kind if left.kind is Kind.ANY else left.kind
        if kind not in _JSON_TYPES:
            return NULL
        return and_(compare(left.of(kind), right.of(kind)), left.is_a(kind), right.is_a(kind))
    kinds = [kind for kind in _JSON_TYPES if {left.kind, right.kind} <= {kind, Kind.ANY}]
    return either(
        *((and_(left.is_a(kind), right.is_a(kind)), compare(left.of(kind), right.of(kind))) for kind in kinds)
    )


def listed(item: Side, choices: Sequence[Side], *, positive: bool = False) -> ColumnElement[bool]:
    """Whether the item is one of the choices, each a comparison of its own; `positive` as above."""
    if not choices:
        return either((item.value.is_not(None), false()))
    if item.kind is not Kind.ANY:
        return item.value.in_([choice.value for choice in choices])
    branches = []
    for kind in _JSON_TYPES:
        same = [choice.value for choice in choices if choice.kind is kind]
        if same and positive:
            branches.append(and_(item.of(kind).in_(same), item.is_a(kind)))
        elif same:
            found = item.of(kind).in_(same)
            # Beside choices of other kinds, each of them an error, it is only known whether the item was found.
            answer = found if len(same) == len(choices) else either((found, true()))
            branches.append(either((item.is_a(kind), answer)))
    return or_(*branches)


def contained(item: Side, attribute: Attribute, *, positive: bool = False) -> ColumnElement[bool]:
    """Whether the item is in the list that an attribute is; `positive` as above."""
    rows = Elements(schema.endpoint.c.attributes, *path_to(attribute.path)).table_valued("value", "type")
    same = alike(item, _Row(kind=Kind.ANY, value=rows.c.value, place=(rows.c.value,), named=rows.c.type), operator.eq)
    is_list = _json_type(attribute.path) == "array"
    if positive:
        return and_(exists(select(1).select_from(rows).where(same)), is_list)
    equal, strange = (exists(select(1).select_from(rows).where(where)) for where in (same, same.is_(None)))
    answer = case((equal, true()), (strange, null()), else_=false())
    return either((and_(is_list, item.value.is_not(None)), answer))


def tested(method: Method, text: Side, part: Side) -> ColumnElement[bool]:
    """Whether a text starts with, ends with or contains another."""
    whole, piece = text.of(Kind.TEXT), part.of(Kind.TEXT)
    match method:
        case Method.STARTS_WITH:
            found = func.substr(whole, 1, func.length(piece)) == piece
        case Method.ENDS_WITH:
            first = func.length(whole) - func.length(piece)
            found = and_(first >= 0, func.substr(whole, first + 1) == piece)
        case Method.CONTAINS:
            found = Position(whole, piece) > 0
        case _:
            assert_never(method)
    unknown = [given.is_a(Kind.TEXT) for given in (text, part) if given.kind is Kind.ANY]
    return either((and_(*unknown), found)) if unknown else found


def present(attribute: Attribute) -> ColumnElement[bool]:
    """Whether an attribute is there; null where what should hold it is no object."""
    there = _json_type(attribute.path).is_not(None)
    outer = attribute.path[:-1]
    return either((_json_type(outer) == "object", there)) if outer else there


def truth(operand: Side) -> ColumnElement[bool]:
    """What a boolean attribute says."""
    named = operand.json_type
    if named is None:
        return operand.value == 1
    return either((named == "true", true()), (named == "false", false()))
