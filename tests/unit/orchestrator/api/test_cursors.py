"""Cursors: opaque, of one kind of list, and nothing else passes for one."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import cursors
from orchestrator.api.cursors import CursorError

UTF8 = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(place=UTF8)
def test_parse_is_the_inverse_of_build(place: str) -> None:
    assert cursors.parse("filters", cursors.build("filters", place)) == place


@given(number=st.integers(0, 2**63 - 1))
def test_numbers_come_back(number: int) -> None:
    assert cursors.parse_number("endpoints", cursors.build("endpoints", str(number))) == number


@given(cursor=st.text(max_size=80))
def test_any_text_is_a_cursor_or_refused(cursor: str) -> None:
    try:
        place = cursors.parse("filters", cursor)
    except CursorError:
        return
    assert cursors.build("filters", place) == cursor


def test_a_cursor_belongs_to_one_kind_of_list() -> None:
    with pytest.raises(CursorError):
        cursors.parse("filters", cursors.build("applications", "a"))


@pytest.mark.parametrize(
    "cursor",
    ["", "=", "Zg", "zzz\n", "Zmls dGVyczph", urlsafe_b64encode(b"filters:a").decode() + "=", "\ud800", "Zmls\u00e9"],
)
def test_what_was_not_made_here_is_refused(cursor: str) -> None:
    with pytest.raises(CursorError):
        cursors.parse("filters", cursor)


@pytest.mark.parametrize("place", ["", "x", "-1", "1.5", "²", "٣", str(2**63), "9" * 5000])
def test_a_place_that_is_no_number_is_refused(place: str) -> None:
    with pytest.raises(CursorError):
        cursors.parse_number("endpoints", cursors.build("endpoints", place))


@given(place=st.lists(st.integers(0, 2**63 - 1), min_size=3, max_size=3))
def test_several_numbers_come_back(place: list[int]) -> None:
    assert cursors.parse_numbers("attention", cursors.build_numbers("attention", place), 3) == place


@pytest.mark.parametrize("place", ["1.2", "1.2.3.4", "1..3", "1.2.x", "1.2.-3", f"1.2.{2**63}"])
def test_a_place_of_other_numbers_is_refused(place: str) -> None:
    with pytest.raises(CursorError):
        cursors.parse_numbers("attention", cursors.build("attention", place), 3)
