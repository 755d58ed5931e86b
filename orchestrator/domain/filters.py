"""Filters: named groups of endpoints, given by an expression.

The language is a subset of CEL: `grammar` reads it, `expressions` says what it means, `predicates` evaluates it.

Rules:
- An endpoint is in the group when the expression is true for it: an error is no match, nor is its negation.
- A stored expression stays valid: the language only grows.

Layer: orchestrator.domain; pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from orchestrator.domain import expressions, grammar, predicates
from orchestrator.domain.pieces import FilterSyntaxError
from orchestrator.domain.predicates import JsonValue, Values

if TYPE_CHECKING:
    from orchestrator.domain.expressions import Expression, Name
    from orchestrator.domain.predicates import Predicate

__all__ = ["Filter", "FilterSyntaxError", "JsonValue", "Values", "parse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A named filter of one application, whose expression is in the language; `parse` it before it is stored."""

    filter_id: str
    expression: str

    def matches(self, values: Values) -> bool:
        """Whether an endpoint with these values is in the group.

        Raises:
            FilterSyntaxError: `expression` is not in the language.
        """
        return _predicate(self.expression)(values) is True

    @property
    def reads(self) -> frozenset[Name | None]:
        """The variables that the expression looks at; None stands for the attributes.

        Raises:
            FilterSyntaxError: `expression` is not in the language.
        """
        return expressions.reads(parse(self.expression))


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Read an expression; repeated ones cost one lookup.

    Raises:
        FilterSyntaxError: it is empty, beyond a limit, or not in the language; it says where and why.
    """
    return grammar.parse(text)


@lru_cache(maxsize=1024)
def _predicate(text: str) -> Predicate:
    return predicates.predicate(parse(text))
