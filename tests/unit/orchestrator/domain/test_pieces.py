"""Which pieces may stand where."""

from __future__ import annotations

import pytest

from orchestrator.domain import pieces
from orchestrator.domain.filters import FilterSyntaxError
from orchestrator.domain.grammar import parse


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("endpointId", 1, "a condition has to be here, and this is text"),
        ("true && 5", 9, "a condition has to be here, and this is a number"),
        ("!lastSeenAt", 2, "a condition has to be here, and this is an instant"),
        ("[1]", 1, "a list stands only behind 'in'"),
        ("attributes", 1, "followed by .NAME"),
        ("has(attributes.a) == true", 1, "a condition cannot be compared"),
        ("(1 == 1) in [true]", 2, "a condition cannot be compared"),
        ("attributes.a == 9223372036854775808", 17, "64 bits"),
        ("attributes.a == -9223372036854775809", 17, "64 bits"),
        ("attributes.a == 0x8000000000000000", 17, "64 bits"),
        ("attributes.a == 1e999", 17, "out of range"),
        ("endpointId == 1", 15, "text never equals a number"),
        ("1 == true", 6, "a number never equals a boolean"),
        ("lastSeenAt > '2026-01-01T00:00:00Z'", 14, "such as timestamp('"),
        ("'1.0.0' < semver(runningVersion)", 11, "such as semver('1.2.3')"),
        ("semver(runningVersion) < attributes.a", 26, "a version compares with a version"),
        ("lastSeenAt > semver('1.0.0')", 14, "compares with"),
        ("attributes.a in [endpointId]", 18, "lists hold literals only"),
        ("endpointId in ['a', 1]", 21, "text never equals a number"),
        ("semver(runningVersion) in ['1.0.0']", 28, "such as semver('1.2.3')"),
        ("semver('1.0') < semver('1.0.0')", 8, "this text names no version"),
        ("lastSeenAt < timestamp('yesterday')", 24, "this text names no instant"),
        ("semver(1) == semver('1.0.0')", 8, "text has to be here, and this is a number"),
        ("semver(semver('1.0.0')) == semver('1.0.0')", 8, "text has to be here, and this is a version"),
        ("timestamp(lastSeenAt) > lastSeenAt", 11, "text has to be here, and this is an instant"),
        ("lastSeenAt.contains('x')", 1, "text has to be here, and this is an instant"),
        ("endpointId.contains(1)", 21, "text has to be here, and this is a number"),
        ("endpointId.x == 1", 12, "only attributes have members"),
        ("attributes[''] == 1", 12, "a name has printable characters"),
        ("attributes['a\"b'] == 1", 12, "a name has printable characters"),
        ("attributes['a\\\\b'] == 1", 12, "a name has printable characters"),
    ],
)
def test_a_piece_that_cannot_stand_there_is_refused(text: str, column: int, reason: str) -> None:
    with pytest.raises(FilterSyntaxError) as caught:
        parse(text)
    assert caught.value.column == column
    assert reason in caught.value.reason


def test_the_nearest_name_is_named() -> None:
    assert pieces.nearest("app_version", ["appVersion", "endpointId"]) == "; did you mean appVersion?"
    assert pieces.nearest("zzz", ["one", "two"]) == "; there are one, two"
    assert pieces.nearest("z" * 4000, ["one"]) == "; there are one"
