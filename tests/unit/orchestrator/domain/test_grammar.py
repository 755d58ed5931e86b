"""What is in the language, and where and why what is not is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain import grammar
from orchestrator.domain.expressions import And, Not, Or, Truth
from orchestrator.domain.filters import FilterSyntaxError


def refusal(text: str) -> FilterSyntaxError:
    with pytest.raises(FilterSyntaxError) as caught:
        grammar.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, "ends where a value"),
        ("   ", 4, "ends where a value"),
        ("attributes.a ==", 16, "ends where a value"),
        ("attributes.a == 1 && ", 22, "ends where a value"),
        ("(attributes.a == 1", 19, "closing bracket"),
        ("attributes.a == 1)", 18, "'\\)' stands where an operator or the end"),
        ("attributes.", 12, "a name"),
        ("attributes.true == 1", 12, "a name"),
        ("attributes.9a == 1", 11, "an operator or the end"),
        ("attributes.a = 1", 14, "'==' compares"),
        ("attributes.a == 1 & attributes.b == 2", 19, "'&&' joins"),
        ("attributes.a == 1 | attributes.b == 2", 19, "'\\|\\|' joins"),
        ("attributes.a == 1 attributes.b == 2", 19, "an operator or the end"),
        ("attributes.a == 'lab", 17, "does not end on its line"),
        ("attributes.a == 'la\nb'", 17, "does not end on its line"),
        ("attributes.a == ٣", 17, "not in this language"),
        ("attributes.a == 1\0", 18, "not in this language"),
        ("attributes.a + 1 == 2", 14, "arithmetic"),
        ("attributes.a - 1 == 2", 14, "arithmetic"),
        ("attributes.a * 2 == 2", 14, "arithmetic"),
        ("attributes.a / 2 == 2", 14, "arithmetic"),
        ("attributes.a % 2 == 1", 14, "arithmetic"),
        ("attributes.a ? true : false", 14, "conditional"),
        ("attributes.a == {}", 17, "maps"),
        ("attributes.a == 1u", 18, "unsigned"),
        ("attributes.a == b'x'", 18, "bytes"),
        ("attributes.a == r'x'", 18, "raw"),
        ("1 < attributes.a < 3", 18, "chained"),
        ("1 in attributes.a in attributes.b", 19, "chained"),
        ("attributes.tags.exists(tag, tag == 'x')", 17, r"exists\(\) is a macro"),
        ("attributes.tags.all(tag, tag == 'x')", 17, r"all\(\) is a macro"),
        ("attributes.tags.map(tag, tag)", 17, r"map\(\) is a macro"),
        ("attributes.tags.filter(tag, true)", 17, r"filter\(\) is a macro"),
        ("attributes.tags.exists_one(tag, true)", 17, r"exists_one\(\) is a macro"),
    ],
)
def test_what_is_not_in_the_language_is_refused_by_name_and_column(text: str, column: int, reason: str) -> None:
    error = refusal(text)
    assert error.column == column
    with pytest.raises(FilterSyntaxError, match=reason):
        raise error


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("x" * 5000, 4097, "longer than 4096 characters"),
        ("(" * 200 + "true" + ")" * 200, 33, "nested more than 32 deep"),
        ("(" * 4096, 33, "nested more than 32 deep"),
        ("!" * 4092 + "true", 33, "nested more than 32 deep"),
        ("-" * 4095 + "1", 33, "nested more than 32 deep"),
        ("!(" * 17 + "true" + ")" * 17, 33, "nested more than 32 deep"),
        ("attributes" + ".a" * 2000 + " == 1", 76, "nested more than 32 deep"),
        ("||".join(["true"] * 201), 1201, "more than 200 terms"),
        ("||".join(["true"] * 680), 1201, "more than 200 terms"),
        (f"1 in [{','.join(['1'] * 501)}]", 1007, "at most 500 items"),
        (f"1 in [{','.join(['1'] * 2000)}]", 1007, "at most 500 items"),
        ("1 == " + "9" * 4000, 6, "out of range"),
        ("1 == " + "9" * 4000 + "e9", 6, "out of range"),
        (")" * 4096, 1, "stands where a value"),
    ],
)
def test_limits_are_kept(text: str, column: int, reason: str) -> None:
    error = refusal(text)
    assert error.column == column
    assert reason in error.reason


@pytest.mark.parametrize(
    "text",
    [
        "(" * 32 + "true" + ")" * 32,
        "!" * 32 + "true",
        "(!" * 16 + "true" + ")" * 16,
        "||".join(["true"] * 200),
        f"1 in [{','.join(['1'] * 500)}]",
        f"1 in [{','.join(['1'] * 500)},]",
        " && ".join(["(((true)))"] * 100),
        "attributes" + ".a" * 32 + " == 1",
        "true".ljust(4096),
    ],
)
def test_what_is_just_within_the_limits_is_read(text: str) -> None:
    grammar.parse(text)


def test_and_binds_tighter_than_or_and_not_tighter_than_both() -> None:
    expression = grammar.parse("!attributes.a || attributes.b && attributes.c || attributes.d")
    assert isinstance(expression, Or)
    assert [type(part) for part in expression.parts] == [Not, And, Truth]
    grouped = grammar.parse("(attributes.a || attributes.b) && attributes.c")
    assert isinstance(grouped, And)
    assert [type(part) for part in grouped.parts] == [Or, Truth]


def test_blanks_and_comments_mean_nothing() -> None:
    spread = grammar.parse("  attributes . a\n==\t1 // the first ring\n&& true ")
    assert spread == grammar.parse("attributes.a==1&&true")


@given(text=st.text(max_size=80) | st.text(st.sampled_from("atribues.=&|!<>()[],in '\"\\ 019e-+x"), max_size=60))
def test_any_text_is_parsed_or_refused_with_a_column_inside_it(text: str) -> None:
    error = None
    try:
        grammar.parse(text)
    except FilterSyntaxError as caught:
        error = caught
    assert error is None or (1 <= error.column <= len(text) + 1 and len(error.reason) < 200)
