"""What forms send, and where they lead back to."""

from __future__ import annotations

import pytest

from orchestrator.api.problems import MediaTypeError
from orchestrator.dashboard import forms
from protocol.errors import PayloadTooLargeError
from tests.unit.orchestrator.api.scopes import request_of

FORM = "application/x-www-form-urlencoded"


async def test_fields_are_decoded_stripped_and_empty_ones_left_out() -> None:
    request = request_of(b"reason=a+%26%20b+&em", b"pty=&again=1&again=2", content_type=f"{FORM}; charset=utf-8")
    assert await forms.fields(request) == {"reason": "a & b", "again": "1"}


async def test_bytes_that_are_no_text_are_replaced() -> None:
    assert await forms.fields(request_of(b"a=%ff\xff", content_type=FORM)) == {"a": "\ufffd\ufffd"}


async def test_an_empty_form_has_no_fields() -> None:
    assert await forms.fields(request_of(content_type=FORM)) == {}


async def test_a_form_is_read_to_its_limit() -> None:
    with pytest.raises(PayloadTooLargeError):
        await forms.fields(request_of(*[b"a" * 1024] * 17, content_type=FORM))


@pytest.mark.parametrize("media_type", ["", "application/json", "multipart/form-data; boundary=x", "text/plain"])
async def test_nothing_else_is_a_form(media_type: str) -> None:
    with pytest.raises(MediaTypeError, match="x-www-form-urlencoded"):
        await forms.fields(request_of(b"a=b", content_type=media_type))


@pytest.mark.parametrize("path", ["/", "/applications/a?b=c", "/a//b", "/ä"])
def test_paths_of_ours_lead_back(path: str) -> None:
    assert forms.way_back(path) == path


@pytest.mark.parametrize(
    "path", [None, "", "a", "//evil", "/\\evil", "\\evil", "https://evil", "/\t/evil", "/\n/evil", "/a\\b", "\t//evil"]
)
def test_nothing_else_does(path: str | None) -> None:
    assert forms.way_back(path) == "/"
