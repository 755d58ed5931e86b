"""How pages are made: what is escaped, and how numbers and instants are shown."""

from __future__ import annotations

import pytest

from orchestrator.dashboard import renderings
from orchestrator.keys import Role
from tests.unit.orchestrator.api.scopes import request_of
from tests.unit.orchestrator.dashboard.visits import read


def test_a_document_is_as_rest_answers_it() -> None:
    assert renderings.shown({"a": [1, None, "x"], "b": True}) == {"a": [1, None, "x"], "b": True}


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 5, "0 %"),
        (1, 3, "33.3 %"),
        (1, 2, "50 %"),
        (5, 5, "100 %"),
        (1, 10**6, "0.1 %"),
        (10**6 - 1, 10**6, "99.9 %"),
    ],
)
def test_a_share_is_neither_nothing_nor_all_unless_it_is(part: int, whole: int, text: str) -> None:
    assert renderings._percent(part, whole) == text


@pytest.mark.parametrize("text", ["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123Z"])
def test_an_instant_is_for_people(text: str) -> None:
    assert renderings._instant(text) == "2026-03-01 12:00:00 UTC"


def test_parts_of_a_path_may_hold_anything() -> None:
    assert renderings.path_of("applications", "a/b?c", "#ä") == "/applications/a%2Fb%3Fc/%23%C3%A4"


def test_texts_are_escaped() -> None:
    problem = {"title": "<b>", "detail": "a & b", "code": "'", "status": 400}
    response = renderings.page(request_of(), "problem.html", status=400, problem=problem)
    assert response.status_code == 400
    text = bytes(response.body).decode()
    assert "<b>" not in text
    assert "a &amp; b" in text
    assert "a & b" in read(text).text


def test_the_reader_is_named() -> None:
    request = request_of()
    request.state.key_name, request.state.key_role = "wall", Role.VIEWER
    problem = {"title": "a", "detail": "b", "code": "c", "status": 400}
    page = read(bytes(renderings.page(request, "problem.html", problem=problem).body).decode())
    assert "wall, who only reads Sign out" in page.text
