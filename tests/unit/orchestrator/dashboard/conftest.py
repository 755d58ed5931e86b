"""Fixtures of the pages' tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.system.rests import open_rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.system.rests import Rest


@pytest_asyncio.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with open_rest(tmp_path) as opened:
        yield opened
