"""The service of the demonstration: `otao serve` as a process of its own, on SQLite in the demonstration's folder.

Rules:
- The settings of whoever shows it (`OTAO_*`, otao.toml, keys) do not reach it.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.cli.demos import children
from orchestrator.cli.demos.errors import ChildFailedError
from orchestrator.cli.demos.rests import Rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from orchestrator.cli.demos.brokers import Broker
    from orchestrator.cli.demos.children import Child

_START_SECONDS = 30.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that serves, and a client of it."""

    url: str
    rest: Rest
    child: Child


def environment(broker: Broker, folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """What the service's process sees: `given` without settings of Otao, and our own ones."""
    empty = folder / "otao.toml"
    ours = {
        **broker.settings(),
        "OTAO_CONFIG": str(empty),
        "OTAO_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'otao.db'}",
        "OTAO_API_KEYS_FILE": str(folder / "otao.keys"),
        "OTAO_HTTP_LISTEN": "127.0.0.1:0",
        "OTAO_LOG_LEVEL": "warning",
    }
    return {name: value for name, value in given.items() if not name.upper().startswith("OTAO_")} | ours


@asynccontextmanager
async def open_service(broker: Broker, folder: Path) -> AsyncIterator[Service]:
    """Run the service while the context lasts; it is connected to the broker when the context begins.

    Raises:
        ChildFailedError: it does not start.
    """
    (folder / "otao.toml").touch()
    command = [sys.executable, "-m", "orchestrator.cli", "serve"]
    seen = environment(broker, folder, os.environ)
    async with children.running("otao serve", command, log=folder / "otao.log", environment=seen) as child:
        url = (await child.first_line(_START_SECONDS)).removeprefix("ready ")
        async with Rest(url) as rest:
            await _ready(rest, child)
            yield Service(url=url, rest=rest, child=child)


async def _ready(rest: Rest, child: Child) -> None:
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await rest.is_ready():
                child.check()
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError as error:
        raise ChildFailedError(child.name, f"is not ready after {_START_SECONDS:g} s", child.log_end()) from error
