from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from protocol import fields
from protocol.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.payloads import JsonValue


def _code(read: Callable[[], object]) -> str:
    with pytest.raises(PayloadError) as refused:
        read()
    return refused.value.code


@pytest.mark.parametrize(
    "text", ["0.0.0", "1.2.3-alpha.1", "1.2.3+build.007", "1.0.0--", "1.0.0-0a", "1.0.0-x+y-z", "1.0." + "9" * 124]
)
def test_versions_that_are_semver(text: str) -> None:
    assert fields.version({"configId": text}, "configId") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.0",
        "v1.0.0",
        "01.0.0",
        "1.0.0-01",
        "1.0.0-",
        "1.0.0+",
        "1.0.0\n",
        " 1.0.0",
        "1.0.٣",
        "1.0." + "9" * 125,
    ],
)
def test_versions_that_are_not(text: str) -> None:
    assert _code(lambda: fields.version({"configId": text}, "configId")) == "config-id-not-semver"


def test_a_version_is_required_and_a_string() -> None:
    assert _code(lambda: fields.version({}, "configId")) == "member-missing"
    values: list[JsonValue] = [None, 1, True, ["1.0.0"]]
    for value in values:
        assert _code(partial(fields.version, {"configId": value}, "configId")) == "member-type"


@pytest.mark.parametrize(("value", "number"), [(100, 100), (599, 599), (200.0, 200), (None, None)])
def test_whole_numbers(value: JsonValue, number: int | None) -> None:
    assert fields.whole_number({"n": value}, "n", 100, 599) == number


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (True, "member-type"),
        ("200", "member-type"),
        (200.5, "member-type"),
        ([200], "member-type"),
        (99, "member-out-of-range"),
        (600, "member-out-of-range"),
        (-(10**4290), "member-out-of-range"),
        (1e300, "member-out-of-range"),
    ],
)
def test_whole_numbers_refuse(value: JsonValue, code: str) -> None:
    assert _code(lambda: fields.whole_number({"n": value}, "n", 100, 599)) == code


def test_flags_are_booleans_or_absent() -> None:
    assert fields.flag({}, "observe") is None
    assert fields.flag({"observe": False}, "observe") is False
    for value in (None, 0, "true"):
        assert _code(partial(fields.flag, {"observe": value}, "observe")) == "member-type"


def test_a_required_flag_is_a_boolean() -> None:
    assert fields.required_flag({"granted": False}, "granted") is False
    assert _code(lambda: fields.required_flag({}, "granted")) == "member-missing"
    assert _code(lambda: fields.required_flag({"granted": None}, "granted")) == "member-type"


def test_phrases_are_cut_and_made_printable() -> None:
    assert fields.phrase({"p": "x" * 501}, "p") == "x" * 500
    assert fields.phrase({"p": "no\0room\n\ud800\U0001f600"}, "p") == "no\ufffdroom\ufffd\ufffd\U0001f600"
    assert fields.phrase({"p": None}, "p") is fields.phrase({}, "p") is None
    assert _code(lambda: fields.phrase({"p": 7}, "p")) == "member-type"


def test_unknown_members_are_refused() -> None:
    fields.refuse_unknown({"a": 1}, frozenset({"a", "b"}))
    assert _code(lambda: fields.refuse_unknown({"a": 1, "c": 1}, frozenset({"a", "b"}))) == "member-unknown"
