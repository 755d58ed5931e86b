"""Filter expressions as SQL conditions on `endpoint.attributes`, with the meaning of `Expression.matches`.

Rules: a missing attribute, or one of another type, does not match; a boolean is never a number.
Layer: persistence; a property test holds this and the domain's meaning together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func

from orchestrator.domain.filters import parse
from orchestrator.persistence.schema import endpoint

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from orchestrator.domain.filters import Filter, Term


def condition(item: Filter) -> ColumnElement[bool]:
    """Whether an endpoint's attributes match."""
    return and_(*(_term(term) for term in parse(item.expression).terms))


def _term(term: Term) -> ColumnElement[bool]:
    path = f'$."{term.name}"'
    kind = func.coalesce(func.json_type(endpoint.c.attributes, path), "")
    literal = term.literal
    if isinstance(literal, bool):
        return kind == ("true" if literal else "false")
    value = func.json_extract(endpoint.c.attributes, path)
    if isinstance(literal, str):
        return and_(kind == "text", value == literal)
    return and_(kind.in_(("integer", "real")), value == literal)
