"""Fixtures of the use cases' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.unit.orchestrator.application.desks import open_desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.orchestrator.application.desks import Desk


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened
