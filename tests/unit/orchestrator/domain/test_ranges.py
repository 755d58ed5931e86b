"""npm ranges: expectations are node-semver's own answers (7.x), written down."""

from __future__ import annotations

import pytest

from orchestrator.domain import ranges
from orchestrator.domain.versions import Version


def matches(text: str, version: str) -> bool:
    return ranges.parse(text).contains(Version.parse(version).key)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.2.3", "1.2.3", "1.2.4 1.2.2 1.2.3-rc"),
        ("=1.2.3", "1.2.3", "1.2.4"),
        ("v1.2.3", "1.2.3", "1.2.4"),
        ("=v1.2.3", "1.2.3", "1.2.4"),
        ("1.2.3-beta", "1.2.3-beta", "1.2.3 1.2.3-beta.1 1.2.2"),
        (">1.2.3", "1.2.4 2.0.0", "1.2.3 1.2.4-rc"),
        (">1.2", "1.3.0 2.0.0", "1.2.9 1.3.0-rc"),
        (">1", "2.0.0", "1.9.9 2.0.0-0"),
        (">=1.2", "1.2.0 3.0.0", "1.1.9 1.2.0-rc"),
        ("<1.2.3", "1.2.2 0.0.0", "1.2.3 1.2.3-rc"),
        ("<1.2", "1.1.9", "1.2.0 1.2.0-rc"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0 1.3.0-0"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        (">= 1.2.3 < 2", "1.2.3 1.9.9", "2.0.0 1.2.2"),
        (">=1.2.0 <2.0.0", "1.2.0 1.99.0", "2.0.0 1.1.9 1.3.0-rc 2.0.0-rc"),
        ("1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
        ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
        ("1.X", "1.0.0 1.9.9", "2.0.0 0.9.9"),
        ("1.*.*", "1.0.0 1.9.9", "2.0.0"),
        ("x", "0.0.0 9.9.9", "1.0.0-rc"),
        ("^1.4", "1.4.0 1.99.0", "1.3.9 2.0.0 2.0.0-0"),
        ("^1.2.3", "1.2.3 1.9.0", "1.2.2 2.0.0"),
        ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
        ("^0.0.3", "0.0.3", "0.0.4 0.0.2"),
        ("^0.0", "0.0.0 0.0.9", "0.1.0"),
        ("^0", "0.0.0 0.9.9", "1.0.0"),
        ("^0.x", "0.0.0 0.9.9", "1.0.0"),
        ("^*", "0.0.0 9.9.9", "1.0.0-rc"),
        ("^1.2.3-beta.2", "1.2.3-beta.2 1.2.3-rc 1.2.3 1.9.0", "1.2.3-beta.1 1.2.4-rc 2.0.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
        ("~1.2", "1.2.0 1.2.9", "1.3.0"),
        ("~1", "1.0.0 1.9.9", "2.0.0"),
        ("~>1.2.3", "1.2.9", "1.3.0"),
        ("~1.2.3-beta.2", "1.2.3-beta.2 1.2.3 1.2.9", "1.2.4-beta.2 1.3.0"),
        ("1.2.3 - 2.3.4", "1.2.3 2.3.4", "1.2.2 2.3.5"),
        ("1.2 - 2.3.4", "1.2.0", "1.1.9"),
        ("1.2.3 - 2.3", "2.3.9", "2.4.0"),
        ("1.2.3 - 2", "2.9.9", "3.0.0"),
        ("1.x || >=2.5.0 || 5.0.0 - 7.2.3", "1.9.9 2.5.0 7.0.0", "2.4.9 0.9.9"),
        (">*", "", "0.0.0 1.0.0 1.0.0-rc"),
        ("<*", "", "0.0.0 1.0.0"),
        (">2 <1", "", "0.9.0 1.5.0 3.0.0"),
        ("^1.2.3+build", "1.2.3 1.3.0", "2.0.0"),
    ],
)
def test_a_range_takes_in_what_npm_takes_in(text: str, inside: str, outside: str) -> None:
    assert [version for version in inside.split() if not matches(text, version)] == []
    assert [version for version in outside.split() if matches(text, version)] == []


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        # semantic_version.NpmSpec answers each of these the other way round.
        ("1.2.3-beta", "1.2.3", False),
        (">=1.2.2 <1.2.3-beta", "1.2.1", False),
        (">1.2.3-beta", "1.2.3", True),
    ],
)
def test_prereleases_in_comparators_mean_what_npm_means(text: str, version: str, expected: bool) -> None:
    assert matches(text, version) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty alternative"),
        ("1.x || ", "empty alternative"),
        ("|| 1.x", "empty alternative"),
        ("one", "'one' is no comparator"),
        (">=1.0.0 two", "'two' is no comparator"),
        ("01.0.0", "no comparator"),
        ("1.0.0-01", "no comparator"),
        ("1.2-beta", "no comparator"),
        ("1.2.x-beta", "follows no full version"),
        ("1.2.3 -2.0.0", "no comparator"),
        ("1.٢.0", "no comparator"),
    ],
)
def test_what_is_no_range_is_refused_with_the_place(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ranges.parse(text)


def test_keys_sort_numbers_before_words_and_prereleases_before_the_release() -> None:
    found = [ranges.key(1, 0, 0, text) for text in ("2", "10", "a", "a.1", None)]
    assert found == sorted(found)
