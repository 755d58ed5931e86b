"""What each rule of the grammar becomes."""

from __future__ import annotations

import pytest

from orchestrator.domain.expressions import (
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
    Presence,
    TextTest,
    Truth,
    Variable,
)
from orchestrator.domain.filters import FilterSyntaxError
from orchestrator.domain.grammar import parse

A = Attribute(path=("a",))
RUNNING = Variable(name=Name.RUNNING_VERSION)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'lab'", "lab"),
        ('"lab"', "lab"),
        ("'it\\'s'", "it's"),
        ('"a\\\\b\\n\\t\\r\\""', 'a\\b\n\t\r"'),
        ("'\\x41\\u00e4\\U0001F600\\101\\`\\?'", "Aä😀A`?"),
        ("''", ""),
        ("'a && b == c // d'", "a && b == c // d"),
        ("7", 7),
        ("007", 7),
        ("-7", -7),
        ("0x1F", 31),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        ("true", True),
        ("false", False),
    ],
)
def test_each_kind_of_literal_is_read(text: str, value: str | float) -> None:
    expression = parse(f"attributes.a == {text}")
    assert expression == Comparison(operator=Operator.EQUAL, left=A, right=Literal(value=value))
    assert isinstance(expression, Comparison)
    assert isinstance(expression.right, Literal)
    assert type(expression.right.value) is type(value)


@pytest.mark.parametrize("operator", Operator)
def test_each_operator_is_read(operator: Operator) -> None:
    assert parse(f"1 {operator.value} attributes.a") == Comparison(operator=operator, left=Literal(value=1), right=A)


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("attributes.a", Truth(operand=A)),
        ("!attributes['a']", Not(part=Truth(operand=A))),
        ('has(attributes.a["in ner"].b)', Presence(attribute=Attribute(path=("a", "in ner", "b")))),
        ("attributes.a in [1, 'x']", Listed(item=A, choices=(Literal(value=1), Literal(value="x")))),
        ("attributes.a in []", Listed(item=A, choices=())),
        ("'x' in attributes.a", Contained(item=Literal(value="x"), attribute=A)),
        ("endpointId in attributes.a", Contained(item=Variable(name=Name.ENDPOINT_ID), attribute=A)),
        (
            "semver(runningVersion) < semver('2.0.0')",
            Comparison(
                operator=Operator.LESS,
                left=Conversion(kind=Kind.VERSION, of=RUNNING),
                right=Conversion(kind=Kind.VERSION, of=Literal(value="2.0.0")),
            ),
        ),
        (
            "lastSeenAt >= timestamp(attributes.a)",
            Comparison(
                operator=Operator.AT_LEAST,
                left=Variable(name=Name.LAST_SEEN_AT),
                right=Conversion(kind=Kind.INSTANT, of=A),
            ),
        ),
        *[
            (
                f"runningVersion.{method.value}(attributes.a)",
                TextTest(method=method, text=RUNNING, part=A),
            )
            for method in Method
        ],
    ],
)
def test_each_term_is_read(text: str, expression: object) -> None:
    assert parse(text) == expression


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("site == 'lab'", 1, "there is no 'site'; there are attributes, endpointId"),
        ("attribute.site == 'lab'", 1, "did you mean attributes?"),
        ("endpointID == 'k'", 1, "did you mean endpointId?"),
        ("running_version == '1.0.0'", 1, "did you mean runningVersion?"),
        ("attributes.a == lab", 17, "there is no 'lab'"),
        ("attributes.a == null", 17, "null is not in this language"),
        ("attributes.a.startswith('x')", 14, "did you mean startsWith?"),
        ("endpointId.matches('^k')", 12, "regular expression"),
        ("size(attributes.a) == 1", 1, "size() is not in this language"),
        ("int(attributes.a) == 1", 1, "int() is not in this language"),
        ("semvr(runningVersion) == semver('1.0.0')", 1, "did you mean semver?"),
        ("semver() == semver('1.0.0')", 1, "semver() takes one argument"),
        ("endpointId.contains('a', 'b')", 12, "contains() takes one argument"),
        ("has(endpointId)", 5, "has() asks for attributes.NAME"),
        ("has(attributes)", 5, "attributes has to be followed by .NAME"),
        ("attributes == 1", 1, "attributes has to be followed by .NAME"),
        ("attributes[0] == 1", 12, "only a literal name"),
        ("attributes[endpointId] == 1", 12, "only a literal name"),
        ("-attributes.a == 1", 1, "literal numbers only"),
        ("attributes.a == '\\q'", 18, "there is no escape"),
        ("attributes.a == '\\U00110000'", 18, "is no character"),
        ("attributes.a == '\\x00'", 17, "U+0000"),
        ("attributes.a == '\\ud800'", 17, "surrogate"),
        ("1 in endpointId", 6, "'in' looks into a literal list"),
        ("lastSeenAt in attributes.a", 1, "lists of attributes hold"),
    ],
)
def test_what_a_rule_does_not_take_is_refused(text: str, column: int, reason: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert caught.value.column == column
    assert reason in caught.value.reason
