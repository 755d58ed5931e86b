from __future__ import annotations

import pytest

from orchestrator.domain import expressions
from orchestrator.domain.expressions import Attribute, Comparison, Contained, Kind, Literal, Name, Truth, Variable
from orchestrator.domain.grammar import parse


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("true", set()),
        ("attributes.a", {None}),
        ("has(attributes.a)", {None}),
        ("endpointId in ['a']", {Name.ENDPOINT_ID}),
        ("'x' in attributes.tags", {None}),
        ("appVersion.startsWith(attributes.a)", {Name.APP_VERSION, None}),
        ("!(semver(runningVersion) > semver('1.0.0')) && 1 < 2", {Name.RUNNING_VERSION}),
        ("registeredAt < lastSeenAt || timestamp(attributes.at) < lastSeenAt", {*expressions.INSTANTS, None}),
    ],
)
def test_an_expression_says_what_it_reads(text: str, names: set[Name | None]) -> None:
    assert expressions.reads(parse(text)) == names


def test_terms_come_from_left_to_right() -> None:
    found = list(expressions.terms(parse("attributes.a && !(attributes.b || 1 in attributes.c) && 1 == 2")))
    assert [type(term) for term in found] == [Truth, Truth, Contained, Comparison]
    assert expressions.operands(found[2]) == (Literal(value=1), Attribute(path=("c",)))


def test_an_operand_knows_its_kind() -> None:
    literals = ("", 1, 1.5, True)
    assert [Literal(value=value).kind for value in literals] == [Kind.TEXT, Kind.NUMBER, Kind.NUMBER, Kind.BOOLEAN]
    assert Attribute(path=("a",)).kind is Kind.ANY
    assert [Variable(name=name).kind for name in Name] == [Kind.TEXT] * 3 + [Kind.INSTANT] * 2
