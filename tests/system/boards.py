"""A board with Kaa's ESP32 sketch on a real broker: carries out what `device_sim.sketches` commands.

Rules:
- MQTT 3.1.1, a clean session at each boot, QoS 0 throughout, as the sketch's library has it.
- Flashing drops the connection; the board comes back with the version that its image holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_sim.sketches import Booted, Flash, Flashed, Publish, Received, Sketch, Subscribe, step
from tests.services import connect

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    import aiomqtt

    from tests.brokers import Mosquitto


class Board:
    """One board.

    Args:
        broker: where it connects.
        sketch: what it is at first.
        images: which version the image at a link holds.
        writing: what happens while it writes an image; it hears nothing of that.
    """

    def __init__(
        self, broker: Mosquitto, sketch: Sketch, images: dict[str, str], *, writing: Callable[[], Awaitable[object]]
    ) -> None:
        self.sketch = sketch
        self.flashed: list[str] = []
        """Links of all images that it has written, oldest first."""
        self._broker = broker
        self._images = images
        self.writing = writing

    async def run(self, booted: asyncio.Event, *, boots: int | None = None) -> None:
        """Boot, flash whenever told to, and boot again; return before boot number `boots` + 1, else never.

        `booted` is set each time all that the sketch sends at boot has been sent.
        """
        while boots is None or boots > 0:
            async with connect(self._broker, self.sketch.token, protocol=4) as client:
                self.sketch, commands = step(self.sketch, Booted())
                for command in commands:
                    await self._carry_out(client, command)
                booted.set()
                link = await self._until_flash(client)
                await self.writing()
            self.flashed.append(link)
            self.sketch, _ = step(self.sketch, Flashed(firmware=self._images[link]))
            boots = None if boots is None else boots - 1

    async def _until_flash(self, client: aiomqtt.Client) -> str:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            event = Received(topic=str(message.topic), payload=message.payload)
            self.sketch, commands = step(self.sketch, event)
            for command in commands:
                if isinstance(command, Flash):
                    return command.link
        raise ConnectionError(self.sketch.token)

    async def _carry_out(self, client: aiomqtt.Client, command: Subscribe | Publish | Flash) -> None:
        match command:
            case Subscribe():
                await client.subscribe(command.topic_filter)
            case Publish():
                await client.publish(command.topic, command.payload)
            case Flash():
                raise AssertionError(command)
