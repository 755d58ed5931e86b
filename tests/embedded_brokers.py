"""An embedded broker in the test's own event loop, with the names that tests know from `tests.brokers`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import urlsplit

from broker_bridge.embedded import open_embedded


class Embedded:
    """One broker; use it as an asynchronous context manager."""

    speaks = "mqttv311"

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        url = await self._stack.enter_async_context(open_embedded("127.0.0.1", self.port))
        self.port = urlsplit(url).port or 0
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def url(self) -> str:
        """Its address; nobody needs a password."""
        return f"mqtt://127.0.0.1:{self.port}"
