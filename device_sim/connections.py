"""A client's connection that ends when its task is cancelled, whatever else happens at that moment.

`asyncio.wait_for` of Python 3.11, on which aiomqtt waits for the broker, forgets a cancellation that comes in the same
turn as what was waited for (mended in 3.12). The task would then run on, and whoever cancelled it would wait for ever.

Layer: device_sim.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

import aiomqtt


class Connection(aiomqtt.Client):
    """`aiomqtt.Client`, of which what `OtaClient` calls forgets no cancellation of the calling task."""

    async def __aenter__(self) -> Self:
        """Connect; a cancellation that is forgotten when it succeeds is upheld by the next call."""
        try:
            return await super().__aenter__()
        except aiomqtt.MqttError:
            _uphold_cancellation()
            raise

    async def subscribe(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as it is inherited
        """Subscribe; as `aiomqtt.Client` does."""
        try:
            return await super().subscribe(*args, **kwargs)
        finally:
            _uphold_cancellation()

    async def publish(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as it is inherited
        """Publish; as `aiomqtt.Client` does."""
        try:
            await super().publish(*args, **kwargs)
        finally:
            _uphold_cancellation()


def _uphold_cancellation() -> None:
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
