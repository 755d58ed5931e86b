"""What a request brings: bodies to their limit, preconditions."""

from __future__ import annotations

import pytest

from orchestrator.api import requests
from orchestrator.api.problems import MediaTypeError
from orchestrator.application.preconditions import Precondition
from protocol.errors import MemberTypeError, NotJsonError, PayloadTooLargeError
from tests.unit.orchestrator.api.scopes import request_of

LIMIT = 1024 * 1024


async def test_members_keep_the_text_of_their_values() -> None:
    members = await requests.members(request_of(b'{"b": 1.10, "a"', b': {"x" : 1e400}}'))
    assert list(members.items()) == [("b", "1.10"), ("a", '{"x" : 1e400}')]


@pytest.mark.parametrize("chunks", [(), (b"",)])
async def test_an_empty_body_is_none_or_refused(chunks: tuple[bytes, ...]) -> None:
    assert await requests.optional_members(request_of(*chunks)) == {}
    with pytest.raises(NotJsonError):
        await requests.members(request_of(*chunks))


async def test_a_body_is_an_object() -> None:
    with pytest.raises(MemberTypeError):
        await requests.members(request_of(b"[]"))
    with pytest.raises(MemberTypeError):
        await requests.optional_members(request_of(b"null"))


@pytest.mark.parametrize(
    "given", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json", ""]
)
async def test_a_body_says_that_it_is_json_or_nothing(given: str) -> None:
    assert await requests.members(request_of(b"{}", content_type=given)) == {}


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"])
async def test_a_body_that_says_something_else_is_refused(given: str) -> None:
    with pytest.raises(MediaTypeError):
        await requests.members(request_of(b"{}", content_type=given))


async def test_a_body_of_just_the_limit_is_read() -> None:
    assert await requests.members(request_of(b"{", b" " * (LIMIT - 2), b"}")) == {}


async def test_a_body_that_is_too_large_is_not_read_to_its_end() -> None:
    never_reached = [b" " * LIMIT, b" "]
    request = request_of(b"{", *never_reached, b"x" * LIMIT)
    with pytest.raises(PayloadTooLargeError):
        await requests.members(request)
    assert (await request.receive())["body"] == never_reached[1]


async def test_a_body_that_is_said_to_be_too_large_is_not_read_at_all() -> None:
    request = request_of(b"{}", content_length=str(LIMIT + 1))
    with pytest.raises(PayloadTooLargeError):
        await requests.members(request)
    assert (await request.receive())["body"] == b"{}"


@pytest.mark.parametrize(
    ("headers", "required"),
    [
        ({}, Precondition()),
        ({"if_match": '"a"'}, Precondition(tags=frozenset({"a"}))),
        ({"if_match": '"a", "b,c"'}, Precondition(tags=frozenset({"a", "b,c"}))),
        ({"if_match": ['"a"', '"b"']}, Precondition(tags=frozenset({"a", "b"}))),
        ({"if_match": " * "}, Precondition(tags=frozenset({"*"}))),
        ({"if_match": '"*"'}, Precondition(tags=frozenset())),
        ({"if_match": 'W/"a"'}, Precondition(tags=frozenset())),
        ({"if_match": "a"}, Precondition(tags=frozenset())),
        ({"if_none_match": "*"}, Precondition(absent=True)),
    ],
)
def test_preconditions_are_read(headers: dict[str, str | list[str]], required: Precondition) -> None:
    assert requests.precondition(request_of(**headers)) == required


@pytest.mark.parametrize(
    ("header", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False)],
)
def test_what_the_client_has_already_is_known_by_its_tag(header: str, *, same: bool) -> None:
    assert requests.unchanged(request_of(if_none_match=header), "a") is same
    assert not requests.unchanged(request_of(), "a")
