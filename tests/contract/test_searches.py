"""What a storage reads is found by indexes, however many endpoints there are (invariant 9).

Whoever counts statements does not see a scan inside of one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from orchestrator.domain.attempts import AttemptState
from orchestrator.domain.endpoints import Consent, Endpoint, HistoryEntry, HistoryKind, Setback
from orchestrator.persistence import schema
from orchestrator.persistence.instants import to_ms
from tests.contract.batches import of_every_kind, process, waiting
from tests.contract.searches import noted, scanned
from tests.contract.storages import APP, MINUTE, NOW, newcomer, one, open_postgresql, open_sqlite, store
from tests.unit.orchestrator.domain.builders import general, offer, targeted, use, v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Table

    from orchestrator.application.directory import Entry
    from orchestrator.application.records import Draft
    from orchestrator.persistence.drivers import Statement
    from tests.contract.storages import SqlShelf

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENERS = {"sqlite": open_sqlite, "postgresql": open_postgresql}
FLEET = 50_000
"""So many that PostgreSQL does not take a scan for the quicker way to a few."""
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i FROM n"
SHORT = {"app_version", "installation", "lease", "software", "version"}
"""Tables that do not grow with the fleet."""


def copies(table: Table, key: str, template: int, **fresh: str) -> str:
    """A statement that writes the row of an endpoint again for each of a fleet; `i` is the number of the copy."""
    columns = [column.name for column in table.columns]
    values = [fresh.get(name, f"old.{name}") for name in columns]
    return (
        f"INSERT INTO {table.name} ({','.join(columns)}) SELECT {','.join(values)} "  # noqa: S608 - names of the schema
        f"FROM {table.name} AS old CROSS JOIN ({NUMBERS}) AS n WHERE old.{key} = {template}"
    )


async def multiply(shelf: SqlShelf, template: int) -> None:
    """Write an endpoint again as a whole fleet, whose timers go off one after the other."""
    of = {"endpoint_id": "old.endpoint_id + 1000 + i"}
    statements = [
        copies(schema.endpoint, "id", template, id="old.id + 1000 + i", endpoint_id="'c' || i", token="'c' || i"),
        copies(schema.endpoint_state, "id", template, id="old.id + 1000 + i", due_ms=f"{to_ms(NOW)} + i"),
        copies(schema.push, "endpoint_id", template, revision="old.revision + 1000 + i", **of),
        copies(schema.history, "endpoint_id", template, id="old.id + 1000 + i", **of),
        copies(schema.attempt, "endpoint_id", template, id="old.id + 1000 + i", **of),
        copies(schema.setback, "endpoint_id", template, **of),
        copies(schema.consent, "endpoint_id", template, **of),
    ]
    async with shelf.storage.transaction() as transaction:
        for statement in statements:
            done = await transaction._connection.exec_driver_sql(statement)
            assert done.rowcount == FLEET, statement
        if transaction._connection.dialect.name == "postgresql":
            await transaction._connection.exec_driver_sql("ANALYZE")


def template(entry: Entry) -> Draft:
    """An endpoint that waits for 1.1.0 and has a row in every table."""
    draft = waiting(entry, 999)
    draft.entries.append(HistoryEntry(at=NOW, kind=HistoryKind.REPORTED, version=v("1.0.0"), status_code=200))
    draft.superseded.append(replace(offer("1.0.0"), state=AttemptState.WITHDRAWN, settled_at=NOW))
    draft.after = replace(
        draft.after,
        setbacks={v("2.0.0"): Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")},
        consents={v("1.1.0"): Consent(granted=True, at=NOW)},
    )
    return draft


@pytest_asyncio.fixture(params=OPENERS, loop_scope="module", scope="module")
async def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[SqlShelf, Entry]]:
    """Many endpoints, and among them a few that tests let say something; made once for each kind of database."""
    async with OPENERS[request.param](tmp_path_factory.mktemp("fleet")) as shelf:
        chain = [general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")]
        entry = await shelf.define(APP, [*chain, targeted("2.1.0", "2.0.0", filters=[use("lab")])], [LAB])
        failed = Setback(failures=1, retry_at=NOW + MINUTE, reason="no room")
        state = Endpoint(running=v("1.0.0"), registered_at=NOW, setbacks={v("1.1.0"): failed})
        apart = [newcomer(entry, f"set-back{number}", state) for number in (0, 8)]
        await store(shelf, entry, template(entry), *apart, *(waiting(entry, number) for number in range(16)))
        # The first batch makes what is made once: the numbers of versions, what is offered for the first time.
        await process(shelf, entry, of_every_kind(0))
        await multiply(shelf, (await one(shelf, entry, "tok999")).key)
        yield shelf, entry


async def check(shelf: SqlShelf, statements: list[Statement], least: int) -> None:
    found = await scanned(shelf, statements)
    assert len(found) >= least, found
    assert {text: names for text, names in found.items() if not set(names) <= SHORT} == {}


async def test_invariant_9_no_statement_of_a_batch_scans_what_grows_with_the_fleet(
    fleet: tuple[SqlShelf, Entry],
) -> None:
    shelf, entry = fleet
    with noted(shelf) as statements:
        await process(shelf, entry, of_every_kind(8))
    await check(shelf, statements, 10)


async def test_invariant_9_what_is_due_is_found_without_a_scan(fleet: tuple[SqlShelf, Entry]) -> None:
    shelf, entry = fleet
    at = NOW + timedelta(milliseconds=FLEET)
    with noted(shelf) as statements:
        assert await shelf.storage.next_due() is not None
        async with shelf.storage.transaction() as transaction:
            due = await transaction.find_due(at, 20, lambda _, subject: entry.memberships.belonging(subject))
    assert len(due) == 20
    await check(shelf, statements, 5)


async def test_invariant_9_pushes_are_read_and_superseded_without_a_scan(fleet: tuple[SqlShelf, Entry]) -> None:
    shelf, _ = fleet
    with noted(shelf) as statements:
        pushes = await shelf.storage.pushes(FLEET // 2, 20)
        await shelf.storage.pushes_of([push.key for push in pushes])
        await shelf.storage.push_sample(pushes[0].key, 20)
        await shelf.storage.residents([push.place for push in pushes])
        await shelf.storage.last_revision()
        stretch = await shelf.storage.superseded(FLEET // 2, FLEET, 20)
        async with shelf.storage.transaction() as transaction:
            await transaction.drop_pushes([push.revision for push in pushes])
    assert len(pushes) == len(stretch.revisions) == 20
    await check(shelf, statements, 8)
