"""Asks whoever decides on a device whether an update may come, and hands on the answer.

Rules:
- One question at a time. When Otao asks about another version, or no longer asks, the question is taken back.
- The same question that comes again, as with each connection, gets the same answer; after Otao has taken it back, it is
  a new one.
- A decision that fails is no answer: the question comes again with the next connection.

Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from protocol import consents, payloads
from protocol.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocol.payloads import JsonValue

    Decide: TypeAlias = Callable[["Asked"], Awaitable[bool | tuple[bool, str]]]

_log = logging.getLogger("otao.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A version that may be installed if the owner agrees."""

    version: str
    metadata: JsonValue
    """Of the software, as its author gave it: a description, release notes."""


class Owner:
    """Decides for one device.

    Args:
        decide: asks the owner; is cancelled when the question is taken back.
        answer: sends an answer.
    """

    def __init__(self, decide: Decide, answer: Callable[[bytes], Awaitable[None]]) -> None:
        self._decide = decide
        self._answer = answer
        self._asked: Asked | None = None
        self._given: tuple[Asked, bytes] | None = None
        self._deciding: asyncio.Task[bytes | None] | None = None
        self._arrived = asyncio.Event()

    def hear(self, payload: bytes) -> None:
        """Take what Otao has published about consent."""
        try:
            ask = consents.decode_ask(payload)
            asked = None if ask is None else _asked(ask)
        except PayloadError as error:
            _log.error("an ask for consent is none: %s", error.reason)
            return
        if self._deciding is not None:
            if asked == self._asked:
                return
            self._deciding.cancel()
        self._asked = asked
        if self._given is not None and asked != self._given[0]:
            self._given = None
        self._arrived.set()

    async def run(self) -> None:
        """Ask and answer until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            asked = self._asked
            if asked is None:
                continue
            if self._given is None:
                await self._give(asked)
            if self._given is not None:
                await self._answer(self._given[1])

    async def _give(self, asked: Asked) -> None:
        async with asyncio.TaskGroup() as group:
            self._deciding = task = group.create_task(self._ask(asked), name="ota.consent")
        self._deciding = None
        answer = None if task.cancelled() else task.result()
        if answer is not None and asked == self._asked:
            self._given = asked, answer

    async def _ask(self, asked: Asked) -> bytes | None:
        try:
            decided = await self._decide(asked)
        except Exception:  # noqa: BLE001 - whatever a device's own code raises, it has not answered
            _log.warning("nobody decided on %s", asked.version, exc_info=True)
            return None
        granted, reason = decided if isinstance(decided, tuple) else (decided, None)
        return consents.encode(config_id=asked.version, granted=granted, reason_phrase=reason)


def _asked(ask: consents.ConsentAsk) -> Asked:
    return Asked(version=ask.config_id, metadata=payloads.decode(ask.metadata.encode()))
