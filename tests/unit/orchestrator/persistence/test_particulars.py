from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from orchestrator.domain.endpoints import Consent, Endpoint, Setback
from orchestrator.persistence import particulars, schema
from tests.contract.storages import NOW, newcomer, one, store
from tests.unit.orchestrator.domain.builders import HOUR, v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

SETBACKS = {
    v("1.1.0"): Setback(failures=2, retry_at=NOW + HOUR, reason="no room"),
    v("2.0.0"): Setback(failures=3, exhausted=True),
}
CONSENTS = {
    v("1.1.0"): Consent(granted=True, at=NOW, reason="the owner agreed"),
    v("2.0.0"): Consent(granted=False, at=NOW - HOUR),
}
ASKED = Endpoint(running=v("1.0.0"), registered_at=NOW, setbacks=SETBACKS, consents=CONSENTS)


async def test_what_is_written_is_read_again_and_replaced_as_a_whole(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "asked", ASKED), newcomer(entry, "plain"))
    record = await one(shelf, entry, "asked")
    assert (record.endpoint.setbacks, record.endpoint.consents) == (SETBACKS, CONSENTS)
    document = await shelf.storage.document(entry, "asked")
    assert document is not None
    assert (document.record.endpoint.setbacks, document.record.endpoint.consents) == (SETBACKS, CONSENTS)
    kept = {v("1.1.0"): CONSENTS[v("1.1.0")]}
    draft = newcomer(entry, "asked", replace(record.endpoint, consents=kept, setbacks={}))
    draft.before = record
    await store(shelf, entry, draft)
    changed = (await one(shelf, entry, "asked")).endpoint
    assert (changed.setbacks, changed.consents) == ({}, kept)
    assert (await one(shelf, entry, "plain")).endpoint.consents == {}


async def test_nothing_is_read_for_endpoints_without_flags(shelf: SqlShelf) -> None:
    async with shelf.storage.reading() as connection:
        found = await particulars.load(connection, shelf.storage._dictionary, setbacks=[], consents=[])
    assert found == particulars.Particulars()


async def test_an_endpoint_that_goes_takes_everything_along(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "asked", ASKED))
    async with shelf.storage.edit() as edit:
        document = await edit.document(entry, "asked")
        assert document is not None
        await edit.delete_endpoint(document, NOW)
    async with shelf.storage.reading() as connection:
        for table in (schema.setback, schema.consent):
            assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 0
