"""What expressions say of endpoints: true, false, or None for an error."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.domain.grammar import parse
from orchestrator.domain.predicates import predicate
from tests.unit.orchestrator.domain.builders import NOW, values

if TYPE_CHECKING:
    from orchestrator.domain.filters import JsonValue


@pytest.mark.parametrize(
    ("text", "value", "answer"),
    [
        ("attributes.a == '1'", "1", True),
        ("attributes.a == '1'", 1, None),
        ("attributes.a != '1'", 1, None),
        ("!(attributes.a == '1')", 1, None),
        ("attributes.a == 'a'", "A", False),
        ("attributes.a == 1", 1.0, True),
        ("attributes.a == 1.0", 1, True),
        ("attributes.a < 1.5", 1, True),
        ("attributes.a == 1", True, None),
        ("attributes.a == true", True, True),
        ("attributes.a == true", 1, None),
        ("attributes.a < true", False, True),
        ("attributes.a == 1", None, None),
        ("attributes.a == 1", [1], None),
        ("attributes.a == 'a'", {"a": "a"}, None),
        ("attributes.a == 9007199254740993", 9007199254740992.0, False),
        ("attributes.a == 9223372036854775808.0", 2**63, True),
        ("attributes.a > 'B'", "a", True),
        ("attributes.a < '\uffff'", "😀", False),
        ("attributes.a", True, True),
        ("attributes.a", False, False),
        ("attributes.a", 1, None),
        ("attributes.a in [1, 2]", 2.0, True),
        ("attributes.a in [1, 2]", 3, False),
        ("attributes.a in [1, 2]", "1", None),
        ("attributes.a in [1, 'x']", 2, None),
        ("attributes.a in [1, 'x']", "x", True),
        ("attributes.a in [1]", True, None),
        ("attributes.a in []", 1, False),
        ("attributes.a in []", None, None),
        ("'x' in attributes.a", ["w", "x"], True),
        ("'x' in attributes.a", ["w"], False),
        ("'x' in attributes.a", [], False),
        ("'x' in attributes.a", ["w", 1], None),
        ("'x' in attributes.a", [1, "x"], True),
        ("1 in attributes.a", [True], None),
        ("1 in attributes.a", [1.0], True),
        ("'x' in attributes.a", "x", None),
        ("'x' in attributes.a", {"x": 1}, None),
        ("attributes.a.startsWith('la')", "lab", True),
        ("attributes.a.endsWith('')", "lab", True),
        ("attributes.a.contains('%')", "lab", False),
        ("attributes.a.contains('b')", ["b"], None),
        ("has(attributes.a)", None, True),
        ("has(attributes.b)", None, False),
        ("has(attributes.a.b)", {"b": None}, True),
        ("has(attributes.a.b)", {}, False),
        ("has(attributes.a.b)", 1, None),
        ("has(attributes.b.a)", 1, None),
        ("attributes.a.b == 1", {"b": 1}, True),
        ("attributes.a.b == 1", [1], None),
        ("semver(attributes.a) > semver('1.9.0')", "1.10.0", True),
        ("semver(attributes.a) == semver('1.0.0')", "1.0.0+build", True),
        ("semver(attributes.a) < semver('1.0.0')", "1.0.0-rc.1", True),
        ("semver(attributes.a) > semver('1.9.0')", "1.10", None),
        ("semver(attributes.a) > semver('1.9.0')", 2, None),
        ("timestamp(attributes.a) == timestamp('2026-03-01T12:00:00Z')", "2026-03-01T13:00:00+01:00", True),
        ("timestamp(attributes.a) == timestamp('2026-03-01T12:00:00Z')", "noon", None),
        ("timestamp(attributes.a) == timestamp('2026-03-01T12:00:00Z')", 1, None),
    ],
)
def test_a_term_answers_by_type_and_value(text: str, value: JsonValue, answer: bool | None) -> None:
    assert predicate(parse(text))(values({"a": value, "z": 1})) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("attributes.gone == 1", None),
        ("attributes.gone != 1", None),
        ("attributes.gone == 1 || true", True),
        ("true || attributes.gone == 1", True),
        ("attributes.gone == 1 || false", None),
        ("attributes.gone == 1 && false", False),
        ("attributes.gone == 1 && true", None),
        ("!(attributes.gone == 1)", None),
        ("!(attributes.gone == 1 && false)", True),
        ("!has(attributes.gone)", True),
        ("true && true && false", False),
        ("false || false || true", True),
    ],
)
def test_errors_are_absorbed_as_cel_does(text: str, answer: bool | None) -> None:
    assert predicate(parse(text))(values()) is answer


def test_variables_are_those_of_the_endpoint() -> None:
    seen = values(running="1.0.0+b", last_seen_at=NOW + timedelta(microseconds=1500))
    for text in (
        "endpointId == 'kettle-7'",
        "appVersion.endsWith('-v1')",
        "runningVersion == '1.0.0+b'",
        "registeredAt == timestamp('2026-02-28T12:00:00Z')",
        # As it is stored: to the millisecond.
        "lastSeenAt == timestamp('2026-03-01T12:00:00.001Z')",
    ):
        assert predicate(parse(text))(seen) is True, text


def test_what_was_never_reported_is_an_error() -> None:
    for text in ("runningVersion != ''", "semver(runningVersion) != semver('1.0.0')", "lastSeenAt == lastSeenAt"):
        assert predicate(parse(text))(values()) is None, text
