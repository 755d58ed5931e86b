"""Fixtures of the tests with faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Postgres]:
    """A server of its own, which the test may kill."""
    server = Postgres()
    server.start()
    yield server
    server.remove()
