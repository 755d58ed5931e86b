from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.records import EndpointQuery
from orchestrator.domain.endpoints import TokenState
from orchestrator.domain.filters import Filter
from orchestrator.persistence import narrowing
from orchestrator.persistence.narrowing import Span
from tests.contract.storages import APP, newcomer, store

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


def by(expression: str) -> Filter:
    return Filter(filter_id="any", expression=expression)


@pytest.mark.parametrize(
    ("expression", "demanded"),
    [
        ("endpointId == 'a'", Span(ids=("a",))),
        ("'a' == endpointId && true", Span(ids=("a",))),
        ("endpointId in ['a', 'b']", Span(ids=("a", "b"))),
        ("endpointId in []", Span()),
        ("endpointId.startsWith('a')", Span(prefix="a")),
        ("endpointId.startsWith('a') && endpointId == 'ab'", Span(ids=("ab",))),
        ("endpointId == attributes.a", None),
        ("endpointId != 'a'", None),
        ("!(endpointId == 'a')", None),
        ("endpointId == 'a' || true", None),
        ("endpointId.endsWith('a')", None),
        ("endpointId.startsWith('')", None),
        ("attributes.a.startsWith('a')", None),
        ("attributes.a in ['a']", None),
        ("attributes.a == 'a'", None),
    ],
)
def test_what_an_expression_demands_of_the_endpoint_id(expression: str, demanded: Span | None) -> None:
    assert narrowing.span(by(expression)) == demanded


@pytest.mark.parametrize(
    ("query", "apart"),
    [
        (EndpointQuery(), False),
        (EndpointQuery(filter=by("attributes.a == 1 || registeredAt > timestamp('2026-01-01T00:00:00Z')")), True),
        (EndpointQuery(filter=by("attributes.a == 1"), token="tok"), False),
        (EndpointQuery(filter=by("attributes.a == 1"), unknown=True), False),
        (EndpointQuery(filter=by("attributes.a == 1"), token_state=TokenState.RETIRED), False),
        (EndpointQuery(filter=by("attributes.a == 1"), silent_since=datetime(2026, 1, 1, tzinfo=UTC)), False),
        (EndpointQuery(filter=by("attributes.a == 1 && runningVersion == '1.0.0'")), False),
        (EndpointQuery(filter=by("attributes.a == 1 && appVersion == 'kettle-v1'")), False),
        (EndpointQuery(filter=by("lastSeenAt > timestamp('2026-01-01T00:00:00Z')")), False),
    ],
)
def test_a_filter_over_what_reports_leave_alone_is_asked_apart(query: EndpointQuery, *, apart: bool) -> None:
    assert narrowing.apart(query) is apart


async def keys(shelf: SqlShelf, entry: Entry, expression: str, after: int = 0) -> list[int] | None:
    async with shelf.storage.reading() as connection:
        return await narrowing.keys(connection, entry.application.key, by(expression), after)


async def test_keys_are_those_of_the_application_that_may_match(
    shelf: SqlShelf, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(shelf, entry, *[newcomer(entry, f"k-{number}") for number in range(5)])
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, other, newcomer(other, "k-1"))
    everything = await keys(shelf, entry, "endpointId.startsWith('k-')")
    assert everything is not None
    assert len(everything) == 5
    assert await keys(shelf, entry, "endpointId in ['k-3', 'k-1', 'gone']") == [everything[1], everything[3]]
    assert await keys(shelf, entry, "endpointId.startsWith('k-')", everything[2]) == everything[3:]
    assert await keys(shelf, entry, "endpointId in []") == []
    assert await keys(shelf, entry, "attributes.a == 1") is None
    monkeypatch.setattr(narrowing, "FEW", 4)
    assert await keys(shelf, entry, "endpointId.startsWith('k-')") is None
    query = EndpointQuery(filter=by("endpointId.startsWith('k-')"))
    assert len(await shelf.storage.documents(entry, query)) == 5
