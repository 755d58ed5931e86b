from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.records import EndpointQuery
from orchestrator.domain.attempts import AttemptState, move
from orchestrator.domain.endpoints import Endpoint, HistoryEntry, HistoryKind, Setback
from orchestrator.domain.filters import Filter
from tests.contract.storages import APP, MINUTE, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import offer, v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft
    from tests.contract.storages import SqlShelf

FAILED = Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")


def by(expression: str) -> Filter:
    return Filter(filter_id="any", expression=expression)


def on(version: str | None) -> Endpoint:
    return Endpoint(running=None if version is None else v(version), registered_at=NOW)


def fleet(entry: Entry) -> list[Draft]:
    offered = replace(on("1.0.0"), attempt=offer("1.1.0"), sequence=1)
    failed = replace(on("1.0.0+b"), attempt=move(offer("1.1.0"), AttemptState.FAILED, NOW), sequence=1)
    states = {
        "fresh": on(None),
        "offered": offered,
        "failed": replace(failed, setbacks={v("1.1.0"): FAILED}),
        "newer": on("1.1.0"),
    }
    drafts = [newcomer(entry, token, state) for token, state in states.items()]
    drafts[3].new_attributes = '{"site":"lab"}'
    return drafts


@pytest.mark.parametrize(
    ("query", "tokens"),
    [
        (EndpointQuery(), ["fresh", "offered", "failed", "newer"]),
        (EndpointQuery(limit=2), ["fresh", "offered"]),
        (EndpointQuery(running=(v("1.0.0"),)), ["offered", "failed"]),
        (EndpointQuery(running=(v("9.9.9"),)), []),
        (EndpointQuery(unknown=True), ["fresh"]),
        (EndpointQuery(state=AttemptState.OFFERED), ["offered"]),
        (EndpointQuery(state=AttemptState.FAILED), ["failed"]),
        (EndpointQuery(token="newer"), ["newer"]),
        (EndpointQuery(token="nobody"), []),
        (EndpointQuery(filter=LAB), ["newer"]),
        (EndpointQuery(filter=by("endpointId == 'newer'")), ["newer"]),
        (EndpointQuery(filter=by("'newer' == endpointId && attributes.site == 'hall'")), []),
        (EndpointQuery(filter=by("endpointId in ['newer', 'fresh', 'nobody']")), ["fresh", "newer"]),
        (EndpointQuery(filter=by("endpointId in ['newer', 'fresh']"), limit=1), ["fresh"]),
        (EndpointQuery(filter=by("endpointId.startsWith('f')")), ["fresh", "failed"]),
        (EndpointQuery(filter=by("endpointId.startsWith('f')"), state=AttemptState.FAILED), ["failed"]),
        (EndpointQuery(filter=by("endpointId == 'fresh' || endpointId == 'newer'")), ["fresh", "newer"]),
        (EndpointQuery(filter=LAB, unknown=True), []),
    ],
)
async def test_a_query_answers_the_endpoints_that_match_in_order(
    shelf: SqlShelf, entry: Entry, query: EndpointQuery, tokens: list[str]
) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, other, *fleet(other))
    await store(shelf, entry, *fleet(entry))
    assert [document.record.token for document in await shelf.storage.documents(entry, query)] == tokens


async def test_a_query_goes_on_after_a_key(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *fleet(entry))
    first, second, *_ = await shelf.storage.documents(entry, EndpointQuery())
    (found,) = await shelf.storage.documents(entry, EndpointQuery(after=first.record.key, limit=1))
    assert found == second


async def test_a_document_holds_the_state_whole(shelf: SqlShelf, entry: Entry) -> None:
    drafts = fleet(entry)
    await store(shelf, entry, *drafts)
    document = await shelf.storage.document(entry, "failed")
    assert document is not None
    assert document.record.endpoint == drafts[2].after
    assert (document.endpoint_id, document.attributes, document.revision) == ("failed", "{}", 1)
    assert document.due_at == NOW + MINUTE
    newer = await shelf.storage.document(entry, "newer")
    assert newer is not None
    assert newer.record.endpoint.filters == {"lab"}
    assert await shelf.storage.document(entry, "nobody") is None


async def test_history_is_read_in_pieces_newest_first(shelf: SqlShelf, entry: Entry) -> None:
    draft, other = newcomer(entry, "tok"), newcomer(entry, "other")
    draft.entries = [
        HistoryEntry(at=NOW + number * MINUTE, kind=HistoryKind.REPORTED, version=v(f"1.{number}.0"), status_code=200)
        for number in range(5)
    ]
    other.entries = [HistoryEntry(at=NOW, kind=HistoryKind.RETRIED)]
    await store(shelf, entry, draft, other)
    document = await shelf.storage.document(entry, "tok")
    assert document is not None
    first = await shelf.storage.history(document, None, 2)
    assert [item.entry for item in first] == draft.entries[:2:-1]
    second = await shelf.storage.history(document, first[-1].number, 10)
    assert [item.entry for item in second] == draft.entries[2::-1]
    assert await shelf.storage.history(document, second[-1].number, 10) == []
    # A cursor of another endpoint's leads nowhere.
    foreign = await shelf.storage.document(entry, "other")
    assert foreign is not None
    assert await shelf.storage.history(foreign, first[-1].number, 10) == []


async def test_history_goes_with_its_endpoint_and_no_further(shelf: SqlShelf, entry: Entry) -> None:
    for token in ("tok", "other"):
        draft = newcomer(entry, token)
        draft.entries = [HistoryEntry(at=NOW, kind=HistoryKind.RETRIED)] * 3
        await store(shelf, entry, draft)
    async with shelf.storage.edit() as edit:
        document = await edit.document(entry, "tok")
        assert document is not None
        await edit.delete_endpoint(document, NOW)
    assert len((await shelf.past(entry.application.key)).entries) == 3
    other = await shelf.storage.document(entry, "other")
    assert other is not None
    assert len(await shelf.storage.history(other, None, 10)) == 3
