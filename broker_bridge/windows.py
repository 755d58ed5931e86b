"""The publishes of one connection: in order, with a bounded number unacknowledged.

Rules:
- Messages leave in the order in which they were added, whoever added them.
- At most `size` are on their way; a slot is free again with the broker's reason code.
- A refusal is a value, and never stops the window.
- A caller that went away leaves nothing unsent behind; what was sent stays counted until the broker answers.

Spec: MQTT 5.0 §4.6 (order), §4.9 (flow control, receive maximum).
Layer: adapter; knows no packets.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.links import REFUSED, LinkLost

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from broker_bridge.counters import Counters
    from protocol.links import Outbound


@dataclass(slots=True, kw_only=True)
class _Batch:
    messages: Sequence[Outbound]
    done: asyncio.Future[list[int]]
    codes: list[int]
    unanswered: int
    unsent: int = field(default=0)


class Window:
    """Sends batches through `send`, which returns a packet identifier that is not in use.

    Args:
        size: how many messages may be unanswered, at least 1.
        refusal: the reason code with which a message must not even be sent, or 0.
        send: queues one message.
        clock: monotonic seconds.
        counters: where answers are counted.
    """

    def __init__(
        self,
        *,
        size: int,
        refusal: Callable[[Outbound], int],
        send: Callable[[Outbound], int],
        clock: Callable[[], float],
        counters: Counters,
    ) -> None:
        """Start empty."""
        self._size = size
        self._refusal = refusal
        self._send = send
        self._clock = clock
        self._counters = counters
        self._batches: deque[_Batch] = deque()
        self._slots: dict[int, tuple[_Batch, int, float]] = {}

    def __len__(self) -> int:
        """How many messages are unanswered."""
        return len(self._slots)

    def add(self, messages: Sequence[Outbound], done: asyncio.Future[list[int]]) -> None:
        """Queue a batch, not empty, and send what fits; `done` gets one reason code for each message."""
        codes = [0] * len(messages)
        self._batches.append(_Batch(messages=messages, done=done, codes=codes, unanswered=len(messages)))
        self.pump()

    def pump(self) -> None:
        """Send until the window is full or nothing waits."""
        while self._batches and len(self._slots) < self._size:
            batch = self._batches[0]
            if batch.done.done() or batch.unsent == len(batch.messages):
                self._batches.popleft()
                continue
            index = batch.unsent
            batch.unsent += 1
            message = batch.messages[index]
            code = self._refusal(message)
            if code:
                self._answer(batch, index, code)
            else:
                self._slots[self._send(message)] = (batch, index, self._clock())

    def answered(self, packet_id: int, code: int) -> None:
        """Note the broker's reason code; identifiers that are not ours are ignored. Call `pump` afterwards."""
        slot = self._slots.pop(packet_id, None)
        if slot is not None:
            self._answer(slot[0], slot[1], code)

    def waiting_since(self) -> float | None:
        """When the oldest unanswered message was sent, by the clock; None when there is none."""
        oldest = next(iter(self._slots.values()), None)
        return None if oldest is None else oldest[2]

    def fail(self, reason: str) -> None:
        """Let every caller know that the connection has ended; nothing is sent any more."""
        batches = {id(batch): batch for batch, _, _ in self._slots.values()}
        batches.update({id(batch): batch for batch in self._batches})
        self._slots.clear()
        self._batches.clear()
        for batch in batches.values():
            if not batch.done.done():
                batch.done.set_exception(LinkLost(reason))

    def _answer(self, batch: _Batch, index: int, code: int) -> None:
        batch.codes[index] = code
        batch.unanswered -= 1
        self._counters.outbound += 1
        if code >= REFUSED:
            self._counters.refused_publishes[code] += 1
        if not batch.unanswered and not batch.done.done():
            batch.done.set_result(batch.codes)
