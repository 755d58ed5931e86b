"""A forwarder to PostgreSQL that cuts the connection on which something is committed, before it is or after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.contract.forwarders import Forwarder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


def _nothing() -> None:
    """Whoever is cut may come back at once."""


class CommitCutter(Forwarder):
    """Cuts at the next commit, if it was told when; otherwise it passes everything on.

    "within": it calls `meanwhile` when the server has been told to commit, and cuts nothing.
    """

    def __init__(self, target_port: int) -> None:
        super().__init__(target_port)
        self.when: Literal["before", "within", "after"] | None = None
        self.meanwhile: Callable[[], None] = _nothing
        self.away = False
        """Whether whoever connects is turned away."""
        self._answered = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        await super()._serve(reader, writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _passing: asyncio.Event) -> None:
        within = False
        try:
            while chunk := await reader.read(65536):
                if self._answered:
                    # The server has done it, and nobody is told.
                    self.meanwhile()
                    break
                if self.when is not None and b"COMMIT;" in chunk:
                    when, self.when = self.when, None
                    if when == "before":
                        break
                    self._answered = when == "after"
                    within = when == "within"
                writer.write(chunk)
                await writer.drain()
                if within:
                    within = False
                    self.meanwhile()
        except OSError:
            pass
        self._answered = False
        self.cut()
        writer.transport.abort()
