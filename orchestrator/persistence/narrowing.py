"""Which endpoints a filter can match at all, found by the index of endpointIds.

Rules:
- The answer may be too wide, never too narrow: the filter's own condition still decides.
- What an index cannot narrow down to a few endpoints is left to the scan in order of key, which then ends soon.

Layer: persistence; reads on the connection that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from orchestrator.domain.expressions import (
    REPORTED,
    And,
    Comparison,
    Listed,
    Literal,
    Method,
    Name,
    Operator,
    TextTest,
    Variable,
)
from orchestrator.domain.filters import parse
from orchestrator.persistence import dialects, schema

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.ext.asyncio import AsyncConnection

    from orchestrator.application.records import EndpointQuery
    from orchestrator.domain.expressions import Expression
    from orchestrator.domain.filters import Filter

FEW = 20_000
"""Keys that are taken from the index: milliseconds."""
_LAST = "\U0010ffff"
_ENDPOINT_ID = Variable(name=Name.ENDPOINT_ID)
_endpoint = schema.endpoint.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What an expression demands of the endpointId: one of `ids`, or a beginning."""

    ids: tuple[str, ...] = ()
    prefix: str | None = None

    def condition(self) -> ColumnElement[bool]:
        """The same for the index."""
        if self.prefix is None:
            return _endpoint.endpoint_id.in_(self.ids)
        return (_endpoint.endpoint_id >= self.prefix) & (_endpoint.endpoint_id < self.prefix + _LAST)


def span(item: Filter) -> Span | None:
    """What the filter demands of the endpointId of whatever it matches; None: nothing that an index serves."""
    expression = parse(item.expression)
    parts = expression.parts if isinstance(expression, And) else (expression,)
    found = [one for one in map(_demanded, parts) if one is not None]
    return min(found, key=lambda one: one.prefix is not None, default=None)


def apart(query: EndpointQuery) -> bool:
    """Whether a query asks for a filter that looks at nothing that reports rewrite, and for nothing else."""
    if query.filter is None or query.filter.reads & REPORTED:
        return False
    if query.token_state is not None or query.silent_since is not None:
        return False
    return query.running is None and query.state is None and query.token is None and not query.unknown


def _demanded(expression: Expression) -> Span | None:
    match expression:
        case Comparison(operator=Operator.EQUAL, left=left, right=right) if _ENDPOINT_ID in {left, right}:
            return _ids((right if left == _ENDPOINT_ID else left,))
        case Listed(item=item, choices=choices) if item == _ENDPOINT_ID:
            return _ids(choices)
        case TextTest(method=Method.STARTS_WITH, text=text, part=Literal(value=str() as prefix)) if prefix:
            return Span(prefix=prefix) if text == _ENDPOINT_ID else None
        case _:
            return None


def _ids(choices: tuple[object, ...]) -> Span | None:
    values = [choice.value for choice in choices if isinstance(choice, Literal)]
    texts = tuple(value for value in values if isinstance(value, str))
    return Span(ids=texts) if len(texts) == len(choices) else None


async def keys(connection: AsyncConnection, application: int, item: Filter, after: int) -> list[int] | None:
    """The keys above `after` of the few endpoints that the filter can match, in order; None: they are not few."""
    demanded = span(item)
    if demanded is None:
        return None
    chosen = select(_endpoint.id).where(_endpoint.application_id == application, demanded.condition())
    found = chosen.limit(FEW + 1).subquery()
    rows = await dialects.fetch(connection, dialects.rows([found.c.id]))
    return None if len(rows) > FEW else sorted(key for (key,) in rows if key > after)
