"""A PostgreSQL server with a standby that its commits wait for, and which takes over when it is killed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.contract.forwarders import Forwarder
from tests.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Pair:
    """Use `open_pair`."""

    def __init__(self) -> None:
        self.primary = Postgres()
        self.standby: Postgres | None = None
        self._between: Forwarder | None = None

    async def attach(self) -> None:
        """Have the primary be followed by a new standby."""
        self._between = await Forwarder(self.primary.port).__aenter__()
        self.standby = await asyncio.to_thread(Postgres, self._between.port)
        await asyncio.to_thread(self.standby.start)
        await self.primary.follow(self.standby)

    def part(self) -> None:
        """From now on the standby is told nothing, and no commit is answered."""
        assert self._between is not None
        self._between.silence()

    async def take_over(self, *, killed: bool = False) -> None:
        """Kill the primary, unless it was `killed`; its standby is the primary when this returns, and has none."""
        assert self.standby is not None
        if not killed:
            self.primary.kill()
        await self._end_link()
        self.primary.remove()
        self.primary, self.standby = self.standby, None
        await self.primary.promote()

    async def remove(self) -> None:
        """End both."""
        await self._end_link()
        for server in (self.standby, self.primary):
            if server is not None:
                server.remove()

    async def _end_link(self) -> None:
        if self._between is not None:
            # What it has not passed on yet is never passed on.
            self._between.cut()
            await self._between.__aexit__(None, None, None)
            self._between = None


@asynccontextmanager
async def open_pair(database: str) -> AsyncIterator[Pair]:
    """Two servers, and a database with all tables."""
    pair = Pair()
    try:
        pair.primary.start()
        await pair.primary.fresh(database)
        await pair.attach()
        yield pair
    finally:
        await pair.remove()
