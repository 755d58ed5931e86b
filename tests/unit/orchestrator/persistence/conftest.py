"""Fixtures of the tests of single persistence modules; what every storage does is in the contract suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.contract.storages import APP, open_sqlite
from tests.unit.orchestrator.domain.builders import general, targeted, use
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf


@pytest_asyncio.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[SqlShelf]:
    async with open_sqlite(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def entry(shelf: SqlShelf) -> Entry:
    chain = [general("1.0.0"), general("1.1.0", "1.0.0"), general("2.0.0", "1.1.0")]
    return await shelf.define(APP, [*chain, targeted("2.1.0", "2.0.0", filters=[use("lab")])], [LAB])
