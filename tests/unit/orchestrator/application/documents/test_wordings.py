"""What is said of a value that a body does not take."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.application.documents import wordings

PERCENT = "must be 0 to 100: 5 % is 5"
Percent = Annotated[int, Field(ge=0, le=100), wordings.beyond(PERCENT)]


@pytest.mark.parametrize(
    ("kind", "context", "sentence"),
    [
        ("greater_than", {"gt": 0}, "must be above 0"),
        ("greater_than_equal", {"ge": 1}, "must be at least 1"),
        ("less_than_equal", {"le": 9}, "must be at most 9"),
        ("string_too_long", {"max_length": 5}, "must have at most 5 characters"),
        ("too_short", {"min_length": 1, "field_type": "List"}, "must have at least 1 item"),
        ("enum", {"expected": "'a' or 'b'"}, "must be 'a' or 'b'"),
        ("bool_type", {}, "must be true or false"),
        ("value_error", {}, "must not be so"),
        ("something_new", {}, "must not be so"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(kind: str, context: dict[str, object], sentence: str) -> None:
    message = "Value error, must not be so"
    assert wordings.of(kind, context, message) == sentence


@pytest.mark.parametrize("value", [-1, 101])
def test_beyond_its_bounds_the_sentence_of_the_member_is_said(value: int) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Percent).validate_python(value)
    (details,) = caught.value.errors()
    assert wordings.of(details["type"], details["ctx"], details["msg"]) == PERCENT


def test_what_is_no_number_is_said_to_be_none() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Percent).validate_python("five", strict=True)
    (details,) = caught.value.errors()
    assert wordings.of(details["type"], {}, details["msg"]) == "must be a whole number"


def test_what_is_within_its_bounds_is_taken_and_documented_as_before() -> None:
    adapter = TypeAdapter(Percent)
    assert adapter.validate_python(5) == 5
    assert adapter.json_schema() == {"type": "integer", "minimum": 0, "maximum": 100}
