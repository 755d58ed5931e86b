"""Filters: a conjunction of equalities over attributes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import filters
from orchestrator.domain.filters import Filter, FilterSyntaxError, JsonValue, Literal, Term


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("attributes.a == 'lab'", "lab"),
        ('attributes.a == "lab"', "lab"),
        ("attributes.a=='it\\'s'", "it's"),
        ('attributes.a == "a\\\\b\\n\\t\\r\\""', 'a\\b\n\t\r"'),
        ("attributes.a == ''", ""),
        ("attributes.a == 'a && b == c'", "a && b == c"),
        ("attributes.a == 7", 7),
        ("attributes.a == -7", -7),
        ("attributes.a == 9223372036854775807", 2**63 - 1),
        ("attributes.a == -9223372036854775808", -(2**63)),
        ("attributes.a == 1.5", 1.5),
        ("attributes.a == 1e3", 1000.0),
        ("attributes.a == -1.5E-3", -0.0015),
        ("attributes.a == true", True),
        ("attributes.a == false", False),
        ("  attributes . a\n==\ttrue ", True),
    ],
)
def test_each_kind_of_literal_is_read(expression: str, literal: Literal) -> None:
    (term,) = filters.parse(expression).terms
    assert term == Term(name="a", literal=literal)
    assert type(term.literal) is type(literal)


def test_terms_keep_their_order() -> None:
    expression = filters.parse("attributes.site == 'lab' && attributes._r1 == 1&&attributes.x == true")
    assert [(term.name, term.literal) for term in expression.terms] == [("site", "lab"), ("_r1", 1), ("x", True)]


@pytest.mark.parametrize(
    ("expression", "column"),
    [
        ("", 1),
        ("   ", 4),
        ("site == 'lab'", 1),
        ("attributes == 1", 1),
        ("attributes.9a == 1", 1),
        ("attributes.true == 1", 12),
        ("attributes.a = 1", 14),
        ("attributes.a != 1", 14),
        ("attributes.a ==", 16),
        ("attributes.a == 'lab", 17),
        ("attributes.a == 'la\nb'", 17),
        ("attributes.a == '\\q'", 18),
        ("attributes.a == lab", 17),
        ("attributes.a == null", 17),
        ("attributes.a == truest", 17),
        ("attributes.a == 1.", 17),
        ("attributes.a == 0x10", 17),
        ("attributes.a == 1e999", 17),
        ("attributes.a == 9223372036854775808", 17),
        ("attributes.a == " + "9" * 4000, 17),
        ("attributes.a == ٣", 17),
        ("attributes.a == 1 && ", 22),
        ("attributes.a == 1 & attributes.b == 2", 19),
        ("attributes.a == 1 || attributes.b == 2", 19),
        ("attributes.a == 1 attributes.b == 2", 19),
        ("attributes.a == '" + "x" * 4096 + "'", 4097),
    ],
)
def test_what_is_not_in_the_language_is_refused_with_its_column(expression: str, column: int) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        filters.parse(expression)
    assert caught.value.column == column
    assert caught.value.reason


@pytest.mark.parametrize(
    ("literal", "value", "expected"),
    [
        ("'1'", "1", True),
        ("'1'", 1, False),
        ("'a'", "A", False),
        ("1", 1, True),
        ("1", 1.0, True),
        ("1.0", 1, True),
        ("1", True, False),
        ("0", False, False),
        ("true", True, True),
        ("true", False, False),
        ("true", 1, False),
        ("false", 0, False),
        ("1", None, False),
        ("1", [1], False),
        ("'a'", {"a": "a"}, False),
        ("9007199254740993", 9007199254740992.0, False),
    ],
)
def test_an_attribute_matches_by_type_and_value(literal: str, value: JsonValue, expected: bool) -> None:
    assert filters.parse(f"attributes.a == {literal}").matches({"a": value, "b": 1}) is expected


def test_every_term_must_match_and_a_missing_attribute_does_not() -> None:
    lab = Filter(filter_id="canary", expression="attributes.site == 'lab' && attributes.ring == 1")
    assert lab.matches({"site": "lab", "ring": 1})
    assert not lab.matches({"site": "lab", "ring": 2})
    assert not lab.matches({"site": "lab"})
    assert not lab.matches({})


@given(text=st.text(max_size=80) | st.text(st.sampled_from("atribues.=&'\"\\ 019e-+x"), max_size=60))
def test_any_text_is_parsed_or_refused_with_a_column_inside_it(text: str) -> None:
    assert 1 <= column_of(text) <= len(text) + 1


def column_of(text: str) -> int:
    """Return where the text is refused, or its last place when it is not."""
    try:
        filters.parse(text)
    except FilterSyntaxError as error:
        return error.column
    return len(text) + 1
