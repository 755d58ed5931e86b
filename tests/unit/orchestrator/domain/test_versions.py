"""Strict SemVer, compared by precedence, and the constraints over it."""

from __future__ import annotations

import itertools

import pytest

from orchestrator.domain.versions import Constraint, InvalidConstraint, InvalidVersion, Version
from tests.unit.orchestrator.domain.builders import v

# SemVer 2.0.0 §11.4, with neighbours.
ASCENDING = (
    "0.0.0-0",
    "0.0.0",
    "1.0.0-0",
    "1.0.0-2",
    "1.0.0-11",
    "1.0.0--",
    "1.0.0-Beta",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.0.10",
    "1.2.0",
    "1.10.0",
    "2.0.0",
    "99999999999999999999999.0.0",
)


def test_precedence_is_that_of_the_specification() -> None:
    for lower, upper in itertools.combinations(map(v, ASCENDING), 2):
        assert lower < upper
        assert lower <= upper
        assert upper > lower
        assert upper >= lower
        assert lower != upper
        assert not lower >= upper
        assert not lower > upper


def test_build_metadata_takes_no_part_but_is_kept() -> None:
    plain, built = v("1.0.0"), v("1.0.0+build.7")
    assert plain == built
    assert hash(plain) == hash(built)
    assert not plain < built
    assert plain <= built
    assert len({plain, built}) == 1
    assert not plain.identical(built)
    assert plain.identical(v("1.0.0"))
    assert str(built) == built.text == "1.0.0+build.7"


def test_a_version_is_equal_to_nothing_else() -> None:
    assert v("1.0.0") != "1.0.0"
    assert repr(v("1.0.0-rc.1")) == "<1.0.0-rc.1>"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1",
        "1.0",
        "1.0.0.0",
        "v1.0.0",
        "01.0.0",
        "1.00.0",
        "1.0.0-",
        "1.0.0-01",
        "1.0.0-a..b",
        "1.0.0+",
        "1.0.0+a+b",
        "1.0.0 ",
        " 1.0.0",
        "1.0.0\n",
        "1.0.0-é",
        "1.٢.0",
        "１.0.0",
        "-1.0.0",
        "1.0.0\x00",
        "latest",
    ],
)
def test_what_is_not_strict_semver_is_refused(text: str) -> None:
    with pytest.raises(InvalidVersion) as caught:
        Version.parse(text)
    assert caught.value.text == text


def test_128_characters_are_the_limit() -> None:
    assert v("1.0.0-" + "a" * 122).text
    with pytest.raises(InvalidVersion):
        v("1.0.0-" + "a" * 123)


def test_only_the_star_matches_an_unknown_version() -> None:
    star = Constraint.parse("*")
    assert star.is_any
    assert star.matches(None)
    assert star.matches(v("1.0.0"))
    assert star.matches(v("1.0.0-rc.1"))
    for text in ("x", ">=0.0.0", "1.x || *", "1.0.0"):
        assert not Constraint.parse(text).matches(None)


def test_an_exact_version_ignores_build_metadata_on_both_sides() -> None:
    exact = Constraint.parse("1.2.3+a")
    assert exact.text == "1.2.3+a"
    assert exact.matches(v("1.2.3+b"))
    assert exact.matches(v("1.2.3"))
    assert not exact.matches(v("1.2.3-rc.1"))
    assert not exact.matches(v("1.2.4"))


@pytest.mark.parametrize("text", ["", " ", "\t", "latest", "1.0.0.0", "||", "1.x ||", "=>1", "1.0.0,", ">1.0.0-", "!1"])
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(InvalidConstraint) as caught:
        Constraint.parse(text)
    assert caught.value.reason


def test_512_characters_are_the_limit_of_a_constraint() -> None:
    assert Constraint.parse(" || ".join(["1.0.0"] * 50)).matches(v("1.0.0"))
    with pytest.raises(InvalidConstraint, match="longer than 512"):
        Constraint.parse(" || ".join(["1.0.0"] * 60))


def test_constraints_are_equal_when_they_are_written_the_same() -> None:
    assert Constraint.parse("^1.0.0") == Constraint.parse("^1.0.0")
    assert Constraint.parse("1.x") != Constraint.parse("^1.0.0")
