"""One MQTT connection on the event loop: a socket, and the exchange on it.

Rules:
- What was queued in one turn of the loop leaves in one write.
- At most 256 packets are worked off at a time, so that other work gets its turn; meanwhile nothing more is read.
- A connection that its opener gave up on sends no CONNECT: it would take the session from its successor.

Spec: MQTT 5.0 §3.1-3.4, §3.14.
Layer: adapter.
"""

from __future__ import annotations

import asyncio
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from broker_bridge.exchanges import Ending, Exchange
from broker_bridge.options import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from broker_bridge.exchanges import Turn
    from broker_bridge.packets import Connack, Misspelt
    from broker_bridge.profiles import Profile
    from protocol.links import Inbound, Outbound, Subscription

_T = TypeVar("_T")

_PACKETS_AT_A_TIME = 256
_WRITE_BUFFER_BYTES = 1 << 20
"""Above it the broker does not read as fast as we write, and publishes with QoS 0 do not count as sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what a connection brings; called on the event loop, never with nothing."""

    on_messages: Callable[[Sequence[Inbound | Misspelt]], None]
    on_answers: Callable[[Sequence[tuple[int, int]]], None]
    """Publishes are answered (QoS 1) or written (QoS 0): packet identifiers and reason codes."""


class BrokerConnection(asyncio.Protocol):
    """One connection; make it, `await open()`, use it until `ended` is done, `close()` it in any case."""

    def __init__(self, profile: Profile, listener: Listener) -> None:
        """Touch nothing yet.

        Raises:
            AddressError: the URL cannot be used.
        """
        self._address = Address.parse(profile.options.url)
        self._profile = profile
        self._listener = listener
        self._exchange = Exchange(profile)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._abandoned = self._paused = self._clogged = False
        self._flush_due = self._turn_due = False
        self._accepted: asyncio.Future[Connack] = self._loop.create_future()
        self._granted: dict[int, asyncio.Future[list[int]]] = {}
        self.ended: asyncio.Future[Ending] = self._loop.create_future()

    @property
    def reading(self) -> bool:
        """Whether what the broker sends is taken in."""
        return not self._paused and not self.ended.done()

    async def open(self) -> Connack:
        """Connect, and wait for the broker's answer, which may be a refusal.

        Raises:
            AddressError: a TLS file cannot be used.
            OSError: the broker cannot be reached, or the connection ended before it answered.
        """
        if self._abandoned:
            raise ConnectionAbortedError("closed by us")
        tls = self._profile.tls()
        try:
            await self._loop.create_connection(lambda: self, self._address.host, self._address.port, ssl=tls)
        except UnicodeError as error:
            raise ConnectionError("the broker's name is none") from error
        except asyncio.CancelledError:
            self._abandoned = True
            raise
        return await self._or_ended(self._accepted)

    async def subscribe(self, subscriptions: Sequence[Subscription], *, read_retained: bool = False) -> list[int]:
        """Subscribe with QoS 1; return one reason code for each.

        Raises:
            OSError: the connection ended before the broker answered.
        """
        return await self._or_ended(self.ask_for(subscriptions, read_retained=read_retained))

    def ask_for(
        self, subscriptions: Sequence[Subscription], *, read_retained: bool = False
    ) -> asyncio.Future[list[int]]:
        """Queue a SUBSCRIBE with QoS 1; the future gets one reason code for each, if the broker answers."""
        return self._asked(self._exchange.subscribe(subscriptions, read_retained=read_retained))

    def ask_to_end(self, topic_filters: Sequence[str]) -> asyncio.Future[list[int]]:
        """Queue an UNSUBSCRIBE; the future gets an empty list, if the broker answers."""
        return self._asked(self._exchange.unsubscribe(topic_filters))

    def _asked(self, packet_id: int) -> asyncio.Future[list[int]]:
        granted = self._granted[packet_id] = self._loop.create_future()
        self._flush_soon()
        return granted

    def publish(self, message: Outbound) -> int:
        """Queue one message for the next write; return its packet identifier."""
        self._flush_soon()
        return self._exchange.publish(message)

    def acknowledge(self, packet_ids: Iterable[int]) -> None:
        """Queue PUBACKs, in this order, for the next write."""
        self._exchange.acknowledge(packet_ids)
        self._flush_soon()

    def pause(self) -> None:
        """Stop reading; the broker's answers to our own publishes wait as well."""
        self._paused = True
        self._regulate()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        self._turn_soon()

    def tick(self) -> None:
        """Keep the connection alive and find out when it is not; call it about once a second."""
        ending = self._exchange.tick(self._loop.time(), reading=self.reading)
        if ending is not None:
            self.end(ending.reason)
        self._flush_soon()
        if self._paused and self._hung_up():
            self.end("the broker closed the connection while we were not reading")

    def end(self, reason: str, reason_code: int | None = None) -> None:
        """Count the connection as over from now on; the first reason stays."""
        if not self.ended.done():
            self.ended.set_result(Ending(reason=reason, reason_code=reason_code))

    def close(self) -> None:
        """Send what is queued and DISCONNECT, as far as the socket takes it at once, and close; never blocks."""
        self._abandoned = True
        self.end("closed by us")
        self._exchange.disconnect()
        if self._transport is not None:
            self._flush()
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        if self._abandoned:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        self._exchange.connect()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._exchange.feed(data, self._loop.time())
        if not self._turn_due:
            self._turn()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._transport = None
        self.end("the broker closed the connection" if exc is None else str(exc) or type(exc).__name__)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._clogged = True

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._clogged = False
        self._count_written()

    async def _or_ended(self, answer: asyncio.Future[_T]) -> _T:
        await asyncio.wait((answer, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ConnectionResetError(self.ended.result().reason)

    def _turn_soon(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Work off some of what has been read; go on in the loop's next turn when that was not all."""
        self._turn_due = False
        if not self.reading:
            return
        self._tell(self._exchange.advance(_PACKETS_AT_A_TIME))
        if self._exchange.more and not self._paused:
            self._turn_soon()
        self._regulate()

    def _tell(self, turn: Turn) -> None:
        if turn.accepted is not None and not self._accepted.done():
            self._accepted.set_result(turn.accepted)
        for packet_id, codes in turn.granted:
            granted = self._granted.pop(packet_id, None)
            if granted is not None and not granted.done():
                granted.set_result(codes)
        if turn.messages:
            self._listener.on_messages(turn.messages)
        if turn.answers:
            self._listener.on_answers(turn.answers)
        if turn.ending is not None:
            self.end(turn.ending.reason, turn.ending.reason_code)

    def _regulate(self) -> None:
        """Let the socket be read exactly while we keep up with it."""
        if self._transport is None:
            return
        if self._paused or self._turn_due:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._transport is None:
            return
        data = self._exchange.output(self._loop.time())
        if data:
            self._transport.write(data)
        if not self._clogged:
            self._count_written()

    def _count_written(self) -> None:
        written = self._exchange.written()
        if written:
            self._listener.on_answers(written)

    def _hung_up(self) -> bool:
        """Whether the broker has closed the connection; reading tells by itself, so this is for pauses."""
        if self._transport is None:
            return True
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))
