from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from orchestrator.application import imports
from orchestrator.application.authors import ANONYMOUS
from orchestrator.application.imports import Imported, Line
from orchestrator.application.problems import NotFoundError
from tests.unit.orchestrator.application.desks import APP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.orchestrator.application.desks import Desk


async def bring(desk: Desk, *documents: object) -> Imported:
    async def lines() -> AsyncIterator[Line]:
        for number, document in enumerate(documents, 1):
            yield Line(number=number, text=json.dumps(document).encode())

    return await desk.imports.run(APP, lines(), by=ANONYMOUS)


async def test_a_page_is_one_transaction_and_wakes_the_publisher(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "PAGE", 2)
    await desk.define("1.1.0", "1.0.0")
    pushed = desk.bells.pushed
    await bring(desk, *({"endpointId": f"e{number}", "runningVersion": "1.0.0"} for number in range(5)))
    assert desk.bells.pushed - pushed == 3
    assert [await desk.offer_of(f"e{number}") for number in range(5)] == ["1.1.0"] * 5


async def test_software_that_an_import_offers_first_is_frozen_from_then_on(desk: Desk) -> None:
    await desk.define("1.1.0", "1.0.0")
    await bring(desk, {"endpointId": "e1", "runningVersion": "1.0.0"})
    [record] = desk.definitions.all(APP)
    assert record.offered_at == desk.clock.at


async def test_what_changes_nothing_is_not_in_the_audit(desk: Desk) -> None:
    await bring(desk, {"endpointId": "e1"})
    before = await desk.storage.audits(APP, None, 100)
    told = await bring(desk, {"endpointId": "e1"})
    assert (told.unchanged, await desk.storage.audits(APP, None, 100)) == (1, before)


async def test_an_application_that_is_not_there_is_named_before_anything_is_read(desk: Desk) -> None:
    async def lines() -> AsyncIterator[Line]:
        raise AssertionError
        yield Line(number=1, text=b"")

    with pytest.raises(NotFoundError):
        await desk.imports.run("other", lines(), by=ANONYMOUS)


async def test_a_line_that_was_too_long_names_its_limit(desk: Desk) -> None:
    async def lines() -> AsyncIterator[Line]:
        yield Line(number=7, text=None)

    told = await desk.imports.run(APP, lines(), by=ANONYMOUS)
    assert [(error.line, error.code) for error in told.errors] == [(7, "payload-too-large")]
    assert "65536" in told.errors[0].detail
