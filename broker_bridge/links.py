"""The link to an MQTT broker: comes back by itself, acknowledges only what it is told to.

Rules:
- Nothing received is dropped, our own echoes on MQTT 3.1.1 aside. When the queue is full, or too much of it is
  unacknowledged, the socket is not read: the broker keeps the rest.
- While it is not read, the answers to our own publishes wait as well. So whoever takes and acknowledges messages must
  never wait for a publish in between.
- With a full queue no new connection is made: there would be no room for what comes with it.
- Every connection has an exchange of its own: nothing is ever sent again behind the caller's back.
- Before every attempt to connect somebody else may be asked, who lets it wait for as long as it must.
- Refused for good on the very first connection ends `run`; later it is a broker being reloaded, and is tried slowly. So
  is a TLS file that cannot be used: certificates are being replaced.

Spec: MQTT 5.0 §3.1.2.11.2 session expiry, §4.4, §4.6; MQTT 3.1.1 §3.1.2.4.
Layer: adapter; implements `protocol.links.Link`.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from broker_bridge import readbacks, reasons
from broker_bridge.counters import Counters
from broker_bridge.errors import AddressError, BrokerRefused
from broker_bridge.inboxes import Inbox
from broker_bridge.options import Address
from broker_bridge.sessions import LinkSession
from protocol.links import LinkLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from broker_bridge.options import LinkOptions
    from protocol.links import Connection, Outbound, Received, Subscription

_log: FilteringBoundLogger = structlog.get_logger(__name__)


_SUSPICIOUS_FAILURES = 3

_random = secrets.SystemRandom().random


async def at_once() -> None:
    """Nobody has to be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How one attempt to be connected went."""

    held: timedelta = timedelta()
    slow: bool = False


class MqttLink:
    """A `Link`; run `run()` in a task group, everything else works while it runs.

    Args:
        options: where the broker is, and the limits.
        is_ours: whether a topic is one that only we publish on; what comes back on it on MQTT 3.1.1 is dropped.
        admitted: returns when we may connect; what it raises ends `run`.
        random: draws 0 to 1 for the back-off.
    """

    def __init__(
        self,
        options: LinkOptions,
        *,
        is_ours: Callable[[str], bool] = lambda _topic: False,
        admitted: Callable[[], Awaitable[None]] = at_once,
        random: Callable[[], float] = _random,
    ) -> None:
        """Make it unconnected.

        Raises:
            AddressError: the URL cannot be used.
        """
        self._address = Address.parse(options.url)
        self._options = options
        self._is_ours = is_ours
        self._admitted = admitted
        self._random = random
        self._inbox = Inbox(options.inbox_limit, options.inbox_bytes)
        self._session: LinkSession | None = None
        self._number = 0
        self._left: set[str] = set()
        """Topic filters that were given up, and that the broker's session may have still."""
        self._reading_back = asyncio.Lock()
        self._trouble: str | None = None
        self.counters = Counters()

    @property
    def connection(self) -> Connection | None:
        """The connection that is up now, or None."""
        return None if self._session is None else self._session.connection

    @property
    def refused(self) -> list[str]:
        """Topic filters that the broker does not accept at present, where subscriptions vary."""
        return [] if self._session is None else self._session.refused

    @property
    def trouble(self) -> str | None:
        """Why there is no connection: how the last attempt, or the last connection, ended. None while there is one."""
        return self._trouble

    async def run(self) -> None:
        """Connect, and connect again whenever the connection ends, until cancelled.

        Raises:
            BrokerRefused: the broker refuses us for good, and has never accepted us.
            AddressError: a TLS file cannot be used, and there was no connection yet.
        """
        failures = 0
        while True:
            await self._inbox.room()
            await self._admitted()
            attempt = await self._attempt()
            failures = self._options.backoff.failures_after(failures, attempt.held)
            if attempt.held and failures >= _SUSPICIOUS_FAILURES:
                # Mosquitto 2.0 ends the older of two connections without a reason code (0x8E).
                _log.warning(
                    "broker.unsteady", client_id=self._options.client_id, hint="does another client use our ID?"
                )
            wait = self._options.backoff.wait(failures, self._random(), slow=attempt.slow)
            await asyncio.sleep(wait.total_seconds())

    def cover(self, subscriptions: Sequence[Subscription]) -> None:
        """Be subscribed to exactly these, on this connection and later ones; `varying` in the options allows it."""
        wanted = {item.topic_filter for item in subscriptions}
        self._left.update(item.topic_filter for item in self._options.subscriptions)
        self._left.difference_update(wanted)
        self._options = replace(self._options, subscriptions=tuple(subscriptions))
        if self._session is not None:
            self._session.cover(self._options.subscriptions)

    async def covered(self) -> None:
        """Return when the broker has answered what `cover` has changed.

        Without a connection it returns at once: the next one begins with it.
        """
        if self._session is not None:
            await self._session.covered()

    async def receive(self, limit: int) -> Received:
        """Wait for a new connection or for 1 to `limit` messages; one caller at a time."""
        received = await self._inbox.take(limit)
        if self._session is not None:
            self._session.relieve()
        return received

    def acknowledge(self, received: Received) -> None:
        """Send the PUBACKs of these messages in order; does nothing when their connection has ended."""
        if self._session is not None and received.connection is self._session.connection:
            self._session.acknowledge(received)

    async def publish(self, messages: Sequence[Outbound]) -> list[int]:
        """Send in order, also among concurrent callers; return one MQTT 5 reason code for each.

        A message that the broker would end the connection for is not sent: 0x90 an illegal topic, 0x95 larger than
        the broker takes, 0x9A retained where the broker cannot. On MQTT 3.1.1 every acknowledged publish is 0.

        Raises:
            LinkLost: there is no connection, or it ended, or the broker did not answer in time.
        """
        if not messages:
            return []
        if self._session is None:
            raise LinkLost("not connected")
        return await self._session.publish(messages)

    async def read_retained(self, topics: Sequence[str]) -> dict[str, bytes]:
        """Read back what the broker retains on these exact topics, on a second, clean connection.

        Raises:
            LinkLost: the second connection could not be made, or did not answer in time.
        """
        async with self._reading_back:
            return await readbacks.read_retained(self._options, topics)

    async def _attempt(self) -> _Attempt:
        session = LinkSession(
            self._options, is_ours=self._is_ours, inbox=self._inbox, counters=self.counters, left=self._left
        )
        try:
            async with asyncio.timeout(self._options.connect_timeout.total_seconds()):
                connection = await session.open(self._number + 1)
            return await self._hold(session, connection)
        except BrokerRefused as refused:
            self.counters.refused_connects += 1
            number = self._number if session.connection is None else session.connection.number - 1
            self._trouble = str(refused)
            if not number:
                raise
            _log.warning("broker.refused", reason=refused.reason, reason_code=refused.reason_code)
            return _Attempt(slow=True)
        except AddressError as error:
            if not self._number:
                raise
            _log.warning("broker.unreachable", host=self._address.host, port=self._address.port, reason=error.reason)
            return _Attempt(slow=True)
        except OSError as error:
            reason = str(error) or type(error).__name__
            self._trouble = f"{self._address.host}:{self._address.port}: {reason}"
            _log.warning("broker.unreachable", host=self._address.host, port=self._address.port, reason=reason)
            return _Attempt()
        finally:
            self._session = None
            session.close()

    async def _hold(self, session: LinkSession, connection: Connection) -> _Attempt:
        loop = asyncio.get_running_loop()
        up_at = loop.time()
        self._number, self._trouble = connection.number, None
        self._session = session
        self.counters.connects += 1
        _log.info("broker.connected", number=connection.number, session_present=connection.session_present)
        # They may have changed while the connection was made.
        session.cover(self._options.subscriptions)
        ending = await session.until_ended()
        if session.answered:
            self._options = replace(self._options, renewed=False)
        self.counters.losses += 1
        self._trouble = f"the connection was lost: {ending.reason}"
        if ending.reason_code == reasons.SESSION_TAKEN_OVER:
            _log.error("broker.session-taken-over", client_id=self._options.client_id, hint="another client has our ID")
        else:
            _log.warning("broker.lost", reason=ending.reason, reason_code=ending.reason_code)
        held = timedelta(seconds=loop.time() - up_at)
        return _Attempt(held=held, slow=reasons.needs_a_person(ending.reason_code))
