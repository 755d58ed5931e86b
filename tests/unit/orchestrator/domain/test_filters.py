"""Filters: named expressions."""

from __future__ import annotations

import pytest

from orchestrator.domain import filters
from orchestrator.domain.expressions import Name
from orchestrator.domain.filters import Filter, FilterSyntaxError
from tests.unit.orchestrator.domain.builders import values


def test_every_term_must_match_and_a_missing_attribute_does_not() -> None:
    lab = Filter(filter_id="canary", expression="attributes.site == 'lab' && attributes.ring == 1")
    assert lab.matches(values({"site": "lab", "ring": 1}))
    assert not lab.matches(values({"site": "lab", "ring": 2}))
    assert not lab.matches(values({"site": "lab"}))
    assert not lab.matches(values())


def test_an_error_is_no_match_and_neither_is_its_negation() -> None:
    for expression in ("attributes.ring != 1", "!(attributes.ring == 1)", "attributes.ring"):
        assert not Filter(filter_id="canary", expression=expression).matches(values({"ring": "1"}))


def test_a_filter_says_what_it_reads() -> None:
    assert Filter(filter_id="f", expression="attributes.a == 1 || endpointId == 'k'").reads == {None, Name.ENDPOINT_ID}


def test_an_expression_is_read_once() -> None:
    assert filters.parse("attributes.a == 1") is filters.parse("attributes.a == 1")


def test_a_filter_that_is_not_in_the_language_says_where() -> None:
    with pytest.raises(FilterSyntaxError, match="column 14: '=' is no operator"):
        Filter(filter_id="f", expression="attributes.a = 1").matches(values())


@pytest.mark.parametrize(
    "expression",
    [
        "attributes.a=='it\\'s'",
        'attributes.a == "a\\\\b\\n\\t\\r\\""',
        "  attributes . a\n==\ttrue ",
        "attributes.site == 'lab' && attributes._r1 == 1&&attributes.x == -1.5E-3",
        "attributes.in_ == 1 && attributes.has == 2 && attributes.matches == 'x'",
        "attributes." + "a" * 100 + " == 1",
    ],
)
def test_expressions_of_the_first_version_are_in_the_language(expression: str) -> None:
    filters.parse(expression)
