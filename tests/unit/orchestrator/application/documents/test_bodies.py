from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from orchestrator.application.documents import bodies, texts
from orchestrator.application.documents.bodies import (
    Body,
    ConstraintText,
    Instant,
    RawText,
    Refusal,
    Span,
    SpanOrZero,
    VersionText,
)
from orchestrator.application.documents.software import SoftwareBody
from orchestrator.application.problems import MemberError, ReadOnlyMemberError
from protocol import payloads
from protocol.errors import NumberRangeError, PayloadError
from tests.unit.orchestrator.application.desks import LIMITS


class Pair(Body):
    """Two members that have to fit together."""

    low: int
    high: int

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low < 0:
            raise Refusal("must not be negative", "low", code="too-low")
        if self.low > self.high:
            raise Refusal("must not be the wrong way round")
        return self


class Sample(Body):
    """One member of each kind."""

    raw: ClassVar[frozenset[str]] = frozenset({"asGiven"})

    as_given: RawText = "null"
    number: int = 0
    version: VersionText | None = None
    constraint: ConstraintText | None = None
    at: Instant | None = None
    span: Span | None = None
    pause: SpanOrZero | None = None
    pairs: list[Pair] = Field(default_factory=list)


def read(text: str) -> Sample:
    return Sample.read(payloads.members(text, LIMITS), LIMITS)


@pytest.mark.parametrize(
    ("text", "at", "place"),
    [
        ('{"number":1E}', "", "number"),
        ('{"pairs":[{"low":0,"high":1},{"low":0,"high":1E}]}', "software", "software.pairs[1].high"),
        ('{"pairs":[[0,1E]]}', "", "pairs[0][1]"),
    ],
)
def test_a_number_of_more_than_64_bits_is_refused_at_its_place(text: str, at: str, place: str) -> None:
    members = payloads.members(text.replace("E", "0" * 20), LIMITS)
    with pytest.raises(NumberRangeError) as caught:
        Sample.read(members, LIMITS, at=at)
    assert str(caught.value) == f"'{place}': a whole number needs more than 64 bits"


def test_members_are_named_in_camel_case() -> None:
    assert read('{"asGiven": {"a": 1.10}}').as_given == '{"a":1.10}'
    with pytest.raises(MemberError, match="'as_given' is unknown here"):
        read('{"as_given":1}')


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ('{"number":"1"}', "member-type", "'number': must be a whole number"),
        ('{"number":true}', "member-type", "'number': must be a whole number"),
        ('{"version":1}', "member-type", "'version': must be a string"),
        ('{"version":"01.0.0"}', "invalid-version", "'version': "),
        ('{"constraint":"{oops}"}', "invalid-constraint", "'constraint': "),
        ('{"at":"now"}', "member-invalid", "'at': must be an RFC 3339"),
        ('{"span":"1h"}', "member-invalid", "'span': must be an ISO 8601"),
        ('{"span":"PT0S"}', "member-invalid", "'span': must be longer than zero"),
        ('{"pause":"-PT1S"}', "member-invalid", "'pause': must not be negative"),
        ('{"pairs":[1]}', "member-type", "'pairs[0]': must be an object"),
        ('{"pairs":[{"low":1,"high":0}]}', "member-invalid", "'pairs[0]': must not be the wrong way round"),
        ('{"pairs":[{"low":0,"high":0},{"low":-1,"high":0}]}', "too-low", "'pairs[1].low': must not be negative"),
    ],
)
def test_an_error_names_the_member_and_says_what_it_must_be(text: str, code: str, sentence: str) -> None:
    with pytest.raises(MemberError) as caught:
        read(text)
    assert caught.value.code == code
    assert str(caught.value).startswith(sentence)


def test_zero_is_read_where_it_may_stand() -> None:
    assert read('{"pause":"PT0S"}').pause == timedelta()


def test_the_path_of_a_refusal_goes_on_from_that_of_the_body() -> None:
    with pytest.raises(MemberError, match=r"'software\[3\]\.pairs\[0\]\.low': must not be negative"):
        Sample.read({"pairs": '[{"low":-1,"high":0}]'}, LIMITS, at="software[3]")


def test_a_member_inside_a_list_is_named_by_its_place() -> None:
    with pytest.raises(MemberError, match=r"filters\[1\]\.filterId"):
        SoftwareBody.read({"rolloutStrategy": '"general"', "filters": '[{"filterId":"a"},{"filterId":""}]'}, LIMITS)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_comes_only_the_foreseen_errors_escape(payload: bytes) -> None:
    try:
        SoftwareBody.read(payloads.members(payload, LIMITS), LIMITS)
    except (MemberError, PayloadError):
        return


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(["rolloutStrategy", "upgradableFrom", "filters", "rollout", "specification", "metadata", "x"])


@given(st.dictionaries(names, values))
def test_values_of_any_type_are_read_or_refused(members: dict[str, payloads.JsonValue]) -> None:
    try:
        SoftwareBody.read(payloads.members(payloads.encode(members), LIMITS), LIMITS)
    except (MemberError, PayloadError, UnicodeEncodeError):
        return


def test_members_that_people_do_not_edit_may_come_back_as_they_were_read() -> None:
    present: texts.Document = {"name": "a", "createdAt": "2026-01-01T00:00:00Z", "size": 1}
    given = {"name": '"\\u0061"', "size": "2"}
    assert bodies.without_read_only(given, frozenset({"name", "createdAt"}), present, LIMITS) == {"size": "2"}


@pytest.mark.parametrize("member", ['{"name":"b"}', '{"name":null}', '{"deletedAt":null}'])
def test_members_that_people_do_not_edit_do_not_change(member: str) -> None:
    read_only = frozenset({"name", "deletedAt"})
    with pytest.raises(ReadOnlyMemberError):
        bodies.without_read_only(payloads.members(member, LIMITS), read_only, {"name": "a"}, LIMITS)


def test_a_patch_changes_what_it_names_and_only_what_people_edit() -> None:
    present: texts.Document = {"name": "a", "size": 1, "note": "x", "metadata": {"a": 1, "b": 2}}
    patch = {"name": '"a"', "note": "null", "metadata": '{"b":null,"c":3}'}
    patched = bodies.patched(present, patch, frozenset({"name"}), LIMITS)
    assert patched == {"size": "1", "metadata": '{"a":1,"c":3}'}
    with pytest.raises(ReadOnlyMemberError):
        bodies.patched(present, {"name": '"b"'}, frozenset({"name"}), LIMITS)
