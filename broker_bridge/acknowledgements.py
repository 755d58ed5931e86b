"""Which messages of one connection still wait for their PUBACK, and in which order they get it.

Rules:
- PUBACKs go out in the order of receipt (MQTT 5.0 §4.6).
- A dropped message (an echo of ours) is acknowledged right after the one that came before it, never ahead of it.
- A packet identifier is acknowledged once for each time it was received.

Spec: MQTT 5.0 §4.6 [MQTT-4.6.0-2]; MQTT 3.1.1 §4.6.
Layer: adapter; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Acknowledgements:
    """The unacknowledged messages of one connection."""

    def __init__(self) -> None:
        """Start with none."""
        self._waiting: dict[int, int] = {}
        self._newest: int | None = None
        self._following: dict[int, list[int]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many messages the caller has not acknowledged, dropped ones aside."""
        return self._count

    def received(self, packet_id: int) -> None:
        """Note a message that the caller will acknowledge; `packet_id` is 1 to 65535."""
        self._waiting[packet_id] = self._waiting.get(packet_id, 0) + 1
        self._newest = packet_id
        self._count += 1

    def dropped(self, packet_id: int) -> list[int]:
        """Note a message that nobody will see; return the identifiers to acknowledge at once, at most its own."""
        if self._newest is None:
            return [packet_id]
        self._following.setdefault(self._newest, []).append(packet_id)
        return []

    def release(self, packet_ids: Iterable[int]) -> list[int]:
        """The identifiers to send for these messages, in order, with the dropped ones that followed them.

        Identifiers that are not waiting are left out.
        """
        released: list[int] = []
        for packet_id in packet_ids:
            waiting = self._waiting.get(packet_id, 0)
            if not waiting:
                continue
            self._count -= 1
            released.append(packet_id)
            if waiting > 1:
                self._waiting[packet_id] = waiting - 1
            else:
                del self._waiting[packet_id]
                released.extend(self._following.pop(packet_id, ()))
                if packet_id == self._newest:
                    self._newest = None
        return released
