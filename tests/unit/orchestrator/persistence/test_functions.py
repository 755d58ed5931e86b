from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.versions import Version
from orchestrator.persistence import functions
from tests.unit.orchestrator.domain.builders import NOW, v

ORDERED = [
    "0.0.0",
    "1.0.0-0",
    "1.0.0-9",
    "1.0.0-10",
    "1.0.0--",
    "1.0.0-a",
    "1.0.0-a.0",
    "1.0.0-a.a",
    "1.0.0-a-",
    "1.0.0-a0",
    "1.0.0-aa",
    "1.0.0",
    "1.0.1-a",
    "1.0.1",
    "1.9.0",
    "1.10.0",
    "9.0.0",
    "10.0.0",
    f"{10**40}.0.0",
]
identifiers = st.sampled_from(("0", "9", "10", "a", "a-", "aa", "A", "-", "0a", "rc1"))
versions = st.builds(
    lambda numbers, prerelease: ".".join(map(str, numbers)) + ("-" + ".".join(prerelease) if prerelease else ""),
    st.tuples(*[st.sampled_from((0, 1, 9, 10, 100))] * 3),
    st.lists(identifiers, max_size=3),
).map(Version.parse)


def test_keys_sort_as_the_specification_says() -> None:
    for lower, higher in pairwise(ORDERED):
        assert functions.sort_key(v(lower)) < functions.sort_key(v(higher)), (lower, higher)


@given(one=versions, other=versions)
def test_keys_sort_as_versions_do(one: Version, other: Version) -> None:
    keys = functions.sort_key(one), functions.sort_key(other)
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (one < other, one == other)


def test_build_metadata_takes_no_part() -> None:
    assert functions.semver_key("1.0.0+b") == functions.semver_key("1.0.0") == functions.sort_key(v("1.0.0"))


def test_an_instant_is_microseconds() -> None:
    assert functions.instant_us("2026-03-01T13:00:00.000001+01:00") == int(NOW.timestamp()) * 1_000_000 + 1


def test_what_names_nothing_is_null() -> None:
    for value in (None, 1, 1.5, b"1.0.0", "1.0", "[]", ""):
        assert functions.semver_key(value) is None
        assert functions.instant_us(value) is None
