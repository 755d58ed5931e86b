"""The reference of filters says what is so: its examples are asked, its refusals refused."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import orjson
import pytest

from orchestrator.domain import grammar
from orchestrator.domain.filters import Filter, FilterSyntaxError, Values
from orchestrator.domain.versions import Version
from tests.architecture.sources import ROOT

REFERENCE = (ROOT / "docs" / "reference" / "filters.md").read_text()
EXAMPLE = re.compile(r"^\| `(?P<expression>.+?)` \| `(?P<attributes>\{.*\})` \| (?P<matches>yes|no) \|$", re.MULTILINE)
REFUSAL = re.compile(r"^\| `(?P<expression>.+?)` \| (?P<error>column \d+: .+) \|$", re.MULTILINE)
EXAMPLES = [
    (match["expression"].replace(r"\|", "|"), match["attributes"], match["matches"] == "yes")
    for match in EXAMPLE.finditer(REFERENCE)
]
REFUSALS = [(match["expression"], match["error"]) for match in REFUSAL.finditer(REFERENCE)]


def test_the_reference_has_examples() -> None:
    assert len(EXAMPLES) > 20
    assert len(REFUSALS) > 5


@pytest.mark.parametrize(("expression", "attributes", "matches"), EXAMPLES)
def test_an_example_is_as_the_reference_says(expression: str, attributes: str, *, matches: bool) -> None:
    values = Values(
        attributes=orjson.loads(attributes),
        endpoint_id="kettle-7",
        app_version="kettle-v1",
        running=Version.parse("1.10.0"),
        registered_at=datetime(2026, 1, 1, tzinfo=UTC),
        last_seen_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
    assert Filter(filter_id="any", expression=expression).matches(values) == matches


@pytest.mark.parametrize(("expression", "error"), REFUSALS)
def test_a_refusal_is_worded_as_the_reference_says(expression: str, error: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        grammar.parse(expression)
    assert str(caught.value) == error


def test_the_limits_are_those_of_the_grammar() -> None:
    said = (
        f"{grammar.MAX_CHARACTERS:,} characters, {grammar.MAX_TERMS} terms, "
        f"brackets and negations {grammar.MAX_DEPTH} deep, {grammar.MAX_ITEMS} items in a list"
    )
    assert said in REFERENCE
