"""Filter expressions as Python predicates with three answers: true, false, or None for an error.

Rules:
- The meaning is that of `expressions`; a property test holds SQL and Google's CEL to it.
- Nothing raises, whatever an endpoint's attributes are.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

from orchestrator.domain import conversions
from orchestrator.domain.expressions import (
    And,
    Attribute,
    Comparison,
    Contained,
    Conversion,
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
    Truth,
    Variable,
)
from orchestrator.domain.versions import Version

if TYPE_CHECKING:
    from orchestrator.domain.expressions import Expression, Operand, Term

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What one endpoint has for each variable."""

    attributes: Mapping[str, JsonValue]
    endpoint_id: str
    app_version: str
    running: Version | None
    """None: nothing was reported."""
    registered_at: datetime
    last_seen_at: datetime | None
    """None: it was never heard."""


Predicate: TypeAlias = Callable[[Values], bool | None]
# Any: an operand's value is looked at by `_kind` before anything is done with it.
_Getter: TypeAlias = Callable[[Values], Any]

_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}
_TEST: Mapping[Method, Callable[[str, str], bool]] = {
    Method.STARTS_WITH: str.startswith,
    Method.ENDS_WITH: str.endswith,
    Method.CONTAINS: operator.contains,
}
_KINDS: Mapping[type, Kind] = {
    str: Kind.TEXT,
    int: Kind.NUMBER,
    float: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    datetime: Kind.INSTANT,
    Version: Kind.VERSION,
}


def predicate(expression: Expression) -> Predicate:
    """Return a function that evaluates an expression for one endpoint; None is an error."""
    match expression:
        case Not(part=part):
            return _not(predicate(part))
        case And(parts=parts):
            return _joined([predicate(part) for part in parts], decisive=False)
        case Or(parts=parts):
            return _joined([predicate(part) for part in parts], decisive=True)
        case _:
            return _term(expression)


def _term(term: Term) -> Predicate:
    match term:
        case Comparison(operator=compare, left=left, right=right):
            return _comparison(_COMPARE[compare], _getter(left), _getter(right))
        case Listed(item=item, choices=choices):
            return _listed(_getter(item), [_getter(choice) for choice in choices])
        case Contained(item=item, attribute=attribute):
            return _contained(_getter(item), _getter(attribute))
        case TextTest(method=method, text=text, part=part):
            return _text_test(_TEST[method], _getter(text), _getter(part))
        case Presence(attribute=attribute):
            return _presence(attribute)
        case Truth(operand=operand):
            return _truth(_getter(operand))
        case _:
            assert_never(term)


def _not(part: Predicate) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        answer = part(values)
        return None if answer is None else not answer

    return evaluate


def _joined(parts: Sequence[Predicate], *, decisive: bool) -> Predicate:
    """`&&`, for which false is decisive, or `||`, for which true is."""

    def evaluate(values: Values) -> bool | None:
        result: bool | None = not decisive
        for part in parts:
            answer = part(values)
            if answer is decisive:
                return decisive
            if answer is None:
                result = None
        return result

    return evaluate


def _comparison(compare: Callable[[Any, Any], bool], left: _Getter, right: _Getter) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        one, other = left(values), right(values)
        kind = _kind(one)
        return compare(one, other) if kind is not None and kind is _kind(other) else None

    return evaluate


def _among(item: Any, choices: Sequence[Any]) -> bool | None:  # noqa: ANN401 - any JSON value
    kind = _kind(item)
    found: bool | None = False
    for choice in choices:
        if kind is None or _kind(choice) is not kind:
            found = None
        elif item == choice:
            return True
    return found


def _listed(item: _Getter, choices: Sequence[_Getter]) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        value = item(values)
        return None if value is None else _among(value, [choice(values) for choice in choices])

    return evaluate


def _contained(item: _Getter, container: _Getter) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        value, items = item(values), container(values)
        if value is None or not isinstance(items, list):
            return None
        return _among(value, [_exact(one) for one in items])

    return evaluate


def _text_test(test: Callable[[str, str], bool], text: _Getter, part: _Getter) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        whole, piece = text(values), part(values)
        return test(whole, piece) if isinstance(whole, str) and isinstance(piece, str) else None

    return evaluate


def _presence(attribute: Attribute) -> Predicate:
    outer, name = attribute.path[:-1], attribute.path[-1]

    def evaluate(values: Values) -> bool | None:
        place = _walk(values.attributes, outer)
        return name in place if isinstance(place, Mapping) else None

    return evaluate


def _truth(operand: _Getter) -> Predicate:
    def evaluate(values: Values) -> bool | None:
        value = operand(values)
        return value if isinstance(value, bool) else None

    return evaluate


def _getter(operand: Operand) -> _Getter:
    match operand:
        case Literal(value=value):
            return lambda _: value
        case Attribute(path=(only,)):
            return lambda values: _exact(values.attributes.get(only))
        case Attribute(path=path):
            return lambda values: _exact(_walk(values.attributes, path))
        case Variable(name=name):
            return _variable(name)
        case Conversion(kind=kind, of=of):
            return _conversion(conversions.version if kind is Kind.VERSION else conversions.instant, of)
        case _:
            assert_never(operand)


def _variable(name: Name) -> _Getter:
    match name:
        case Name.ENDPOINT_ID:
            return lambda values: values.endpoint_id
        case Name.APP_VERSION:
            return lambda values: values.app_version
        case Name.RUNNING_VERSION:
            return lambda values: None if values.running is None else values.running.text
        case Name.REGISTERED_AT:
            return lambda values: conversions.stored(values.registered_at)
        case Name.LAST_SEEN_AT:
            return lambda values: None if values.last_seen_at is None else conversions.stored(values.last_seen_at)
        case _:
            assert_never(name)


def _conversion(convert: Callable[[str], Version | datetime | None], of: Operand) -> _Getter:
    if isinstance(of, Literal):
        constant = convert(str(of.value))
        return lambda _: constant
    text = _getter(of)

    def get(values: Values) -> Version | datetime | None:
        value = text(values)
        return convert(value) if isinstance(value, str) else None

    return get


def _walk(value: JsonValue, path: Sequence[str]) -> JsonValue:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _exact(value: JsonValue) -> JsonValue:
    return conversions.whole(value) if type(value) is int else value


def _kind(value: Any) -> Kind | None:  # noqa: ANN401 - any JSON value, an instant or a version
    # By exact type: a boolean is an `int` to Python, and no number here.
    return _KINDS.get(type(value))
