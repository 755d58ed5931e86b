"""Filter expressions as SQL conditions on `endpoint` and `endpoint_state`, with the meaning of `predicates`.

Rules:
- A condition is true, false, or null for an error: SQL's own logic then absorbs errors as the expression's does.
- What an expression says of versions and application versions alone is worked out here, once for each that is known:
  the database compares numbers.

Layer: persistence; property tests hold this, the domain's meaning and Google's CEL together.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import and_, false, not_, or_, true

from orchestrator.domain import predicates
from orchestrator.domain.expressions import (
    And,
    Comparison,
    Contained,
    Listed,
    Name,
    Not,
    Operator,
    Or,
    Presence,
    TextTest,
    Truth,
    reads,
)
from orchestrator.domain.filters import parse
from orchestrator.domain.predicates import Values
from orchestrator.persistence import elements, operands
from orchestrator.persistence.instants import EPOCH
from orchestrator.persistence.operands import NULL, either
from orchestrator.persistence.schema import endpoint_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import ColumnElement

    from orchestrator.domain.expressions import Expression, Term
    from orchestrator.domain.filters import Filter
    from orchestrator.domain.versions import Version
    from orchestrator.persistence.dictionaries import Names

_COMPARE: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQUAL: operator.eq,
    Operator.UNEQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.GREATER: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


def condition(item: Filter, names: Names) -> ColumnElement[bool]:
    """Whether an endpoint is in the group: true, or else false or null."""
    return _compiled(parse(item.expression), names, positive=True)


def answer(expression: Expression, names: Names) -> ColumnElement[bool]:
    """What an expression says of an endpoint: true, false, or null for an error."""
    return _compiled(expression, names, positive=False)


def _compiled(expression: Expression, names: Names, *, positive: bool) -> ColumnElement[bool]:
    """The same; where it is `positive`, false may stand for null."""
    seen = reads(expression)
    if not seen:
        return _constant(predicates.predicate(expression)(_values(None, "")))
    if seen == {Name.RUNNING_VERSION}:
        return _by_number(expression, endpoint_state.c.running_id, _versions(names))
    if seen == {Name.APP_VERSION}:
        return _by_number(expression, endpoint_state.c.app_version_id, _app_versions(names))
    match expression:
        case Not(part=part):
            return not_(_compiled(part, names, positive=False))
        case And(parts=parts):
            return and_(*(_compiled(part, names, positive=positive) for part in parts))
        case Or(parts=parts):
            return or_(*(_compiled(part, names, positive=positive) for part in parts))
        case _:
            return _term(expression, positive=positive)


def _values(running: Version | None, app_version: str) -> Values:
    return Values(
        attributes={},
        endpoint_id="",
        app_version=app_version,
        running=running,
        registered_at=EPOCH,
        last_seen_at=None,
    )


def _versions(names: Names) -> Mapping[int, Values]:
    return {0: _values(None, ""), **{number: _values(version, "") for number, version in names.versions.items()}}


def _app_versions(names: Names) -> Mapping[int, Values]:
    return {number: _values(None, name) for number, name in names.app_versions.items()}


def _constant(answer: bool | None) -> ColumnElement[bool]:  # noqa: FBT001 - the third answer is None
    if answer is None:
        return NULL
    return true() if answer else false()


def _by_number(expression: Expression, number: ColumnElement[int], known: Mapping[int, Values]) -> ColumnElement[bool]:
    """A condition on a number: the answer for each that is known, and null for all others."""
    evaluate = predicates.predicate(expression)
    answers: dict[bool | None, list[int]] = {True: [], False: [], None: []}
    for value, values in known.items():
        answers[evaluate(values)].append(value)
    return either(
        *((elements.one_of(number, answers[answer]), _constant(answer)) for answer in (True, False) if answers[answer])
    )


def _term(term: Term, *, positive: bool) -> ColumnElement[bool]:
    match term:
        case Comparison(operator=compare, left=left, right=right):
            return operands.alike(operands.side(left), operands.side(right), _COMPARE[compare], positive=positive)
        case Listed(item=item, choices=choices):
            return operands.listed(
                operands.side(item), [operands.side(choice) for choice in choices], positive=positive
            )
        case Contained(item=item, attribute=attribute):
            return operands.contained(operands.side(item), attribute, positive=positive)
        case TextTest(method=method, text=text, part=part):
            return operands.tested(method, operands.side(text), operands.side(part))
        case Presence(attribute=attribute):
            return operands.present(attribute)
        case Truth(operand=operand):
            return operands.truth(operands.side(operand))
        case _:
            assert_never(term)
