"""What one connection asks the broker to send, and what the broker says to that.

Rules:
- Where the broker has our session, nothing waits for its answer. MQTT 5: subscribed again on every connection, without
  the retained messages. MQTT 3.1.1 cannot leave them out: subscribed again only where the session may have others, or
  lack some.
- Subscriptions that change are asked for, and given up, at once; what the broker has not confirmed to have ended is
  given up again with the next connection.
- One that is refused is a refusal of us, except where subscriptions vary: there it is one of many, and the others are
  as good as before. It is logged, and asked for again now and then.

Spec: MQTT 5.0 §3.8.3.1, §3.9.3; MQTT 3.1.1 §3.8.4.
Layer: adapter.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Protocol

import structlog

from broker_bridge.errors import BrokerRefused
from broker_bridge.topic_filters import matcher
from protocol.links import MQTT_5, REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from broker_bridge.counters import Counters
    from broker_bridge.exchanges import Ending
    from broker_bridge.options import LinkOptions
    from protocol.links import Subscription

_log: FilteringBoundLogger = structlog.get_logger(__name__)


class Wire(Protocol):
    """A connection, as far as it is needed here."""

    ended: asyncio.Future[Ending]

    async def subscribe(self, subscriptions: Sequence[Subscription]) -> list[int]:
        """Subscribe; return one reason code for each."""

    def ask_for(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[int]]:
        """Queue a SUBSCRIBE; the future gets one reason code for each, if the broker answers."""

    def ask_to_end(self, topic_filters: Sequence[str]) -> asyncio.Future[list[int]]:
        """Queue an UNSUBSCRIBE; the future gets an empty list, if the broker answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """What the broker has been asked for."""

    answer: asyncio.Future[list[int]]
    subscriptions: Sequence[Subscription] = ()
    ends: Sequence[str] = ()
    """Topic filters that are given up."""


class Subscriptions:
    """Those of one connection; begin or resume them, then call `tick` about once a second."""

    def __init__(
        self, options: LinkOptions, wire: Wire, counters: Counters, *, left: set[str], clock: Callable[[], float]
    ) -> None:
        """Ask for nothing yet; `left` is what the session may still have, and is kept up to date."""
        self._options = options
        self._wire = wire
        self._left = left
        self._counters = counters
        self._clock = clock
        self._wanted = options.subscriptions
        self._questions: list[_Question] = []
        self._changes: list[asyncio.Future[list[int]]] = []
        """The answers to what has changed since the connection was made."""
        self._refused: dict[Subscription, float] = {}
        """With the time at which they are asked for again; never, while they are being asked for."""
        self.matches = matcher(item.topic_filter for item in self._wanted)
        """Whether a topic is one that was asked for."""

    @property
    def refused(self) -> list[str]:
        """Topic filters that the broker does not accept at present."""
        return sorted(item.topic_filter for item in self._refused)

    @property
    def answered(self) -> bool:
        """Whether nothing waits for the broker's answer."""
        return not self._questions

    @property
    def answers(self) -> list[asyncio.Future[list[int]]]:
        """Those that `tick` will look at."""
        return [question.answer for question in self._questions]

    async def begin(self) -> None:
        """Subscribe in a session that has nothing yet.

        Raises:
            BrokerRefused: the broker does not accept one.
            OSError: the connection ended before it answered.
        """
        self._left.clear()
        if self._wanted:
            self._judge(self._wanted, await self._wire.subscribe(self._wanted))

    def resume(self, level: int) -> None:
        """Ask again in a session that the broker has kept, on MQTT of this protocol level."""
        if self._wanted and (level >= MQTT_5 or self._options.varying or self._options.renewed):
            self._ask(self._wanted)
        # What was unwanted from before may be wanted by now.
        wanted = {item.topic_filter for item in self._wanted}
        unwanted = [item for item in (*self._options.unwanted, *sorted(self._left)) if item not in wanted]
        if unwanted:
            self._ask_to_end(unwanted)

    def cover(self, subscriptions: tuple[Subscription, ...]) -> None:
        """Be subscribed to exactly these from now on."""
        if subscriptions == self._wanted:
            return
        before, now = set(self._wanted), set(subscriptions)
        added = [item for item in subscriptions if item not in before]
        removed = [item.topic_filter for item in self._wanted if item not in now]
        self._wanted = subscriptions
        self.matches = matcher(item.topic_filter for item in subscriptions)
        self._refused = {item: at for item, at in self._refused.items() if item in now}
        self._changes = [answer for answer in self._changes if not answer.done()]
        if added:
            self._changes.append(self._ask(added))
        if removed:
            self._left.update(removed)
            self._changes.append(self._ask_to_end(removed))

    async def covered(self) -> None:
        """Return when the broker has answered everything that has changed, or the connection has ended."""
        for answer in tuple(self._changes):
            await asyncio.wait((answer, self._wire.ended), return_when=asyncio.FIRST_COMPLETED)

    def tick(self) -> None:
        """Look at the answers that have come, and ask again for what was refused when its time has come.

        Raises:
            BrokerRefused: the broker does not accept a subscription.
        """
        answered = [question for question in self._questions if question.answer.done()]
        self._questions = [question for question in self._questions if not question.answer.done()]
        for question in answered:
            self._left.difference_update(question.ends)
            self._judge(question.subscriptions, question.answer.result())
        due = [item for item, at in self._refused.items() if at <= self._clock()]
        if due:
            self._refused.update(dict.fromkeys(due, inf))
            self._ask(due)

    def _ask(self, subscriptions: Sequence[Subscription]) -> asyncio.Future[list[int]]:
        answer = self._wire.ask_for(subscriptions)
        self._questions.append(_Question(subscriptions=subscriptions, answer=answer))
        return answer

    def _ask_to_end(self, topic_filters: Sequence[str]) -> asyncio.Future[list[int]]:
        answer = self._wire.ask_to_end(topic_filters)
        self._questions.append(_Question(ends=topic_filters, answer=answer))
        return answer

    def _judge(self, subscriptions: Sequence[Subscription], codes: Sequence[int]) -> None:
        pause = self._options.resubscribe
        for subscription, code in zip(subscriptions, codes, strict=True):
            if code < REFUSED:
                self._refused.pop(subscription, None)
                continue
            topic_filter = subscription.topic_filter
            if not self._options.varying:
                raise BrokerRefused(f"the subscription to {topic_filter}", code)
            self._counters.refused_subscriptions += 1
            _log.warning(
                "broker.subscription-refused",
                topic_filter=topic_filter,
                reason_code=code,
                retry_seconds=pause.total_seconds(),
            )
            if subscription in self._wanted:
                self._refused[subscription] = self._clock() + pause.total_seconds()
