"""The link alone, beside a C client of libmosquitto on the same broker: no database, no decisions.

Run: script/bench link [-- --messages N --repetitions N]. For MQTT 5 and 3.1.1, the two in turns, medians:
- publish: retained, QoS 1, 300 bytes to as many topics, until the last PUBACK; the same in slices of 250, one after
  the other, as the publisher sends them;
- receive: QoS 1, each acknowledged; a C publisher fills the broker as fast as it takes messages.
The ratio is the median of the ratios within each repetition. Processor time is the client's own, for each message: on
a machine that does other work too, it says more than rates do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from _services import Mosquitto, start_yardstick, yardstick

from broker_bridge.links import MqttLink
from broker_bridge.options import LinkOptions
from protocol.links import Outbound, Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WINDOW = 1000
SLICE = 250
TOPIC = "kp1/kettle-v1/cmx_ota/tok-{}/applied/json"
REPORT = '{"configId":"1.1.0"}'
LEVELS = {"5": "5", "3.1.1": "4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one run gave."""

    per_second: float
    processor_us: float
    """For each message."""

    @classmethod
    def said(cls, answer: dict[str, Any]) -> Speed:
        """What the C client says."""
        messages = answer["messages"]
        return cls(per_second=answer["per_second"], processor_us=answer["processor_seconds"] / messages * 1e6)


class Watch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def stop(self, messages: int) -> Speed:
        """The speed of so many messages."""
        processor, seconds = time.process_time() - self._processor, time.perf_counter() - self._clock
        return Speed(per_second=messages / seconds, processor_us=processor / messages * 1e6)


@asynccontextmanager
async def connected(broker: Mosquitto, protocol: str, topic_filter: str | None = None) -> AsyncIterator[MqttLink]:
    """A link that is up."""
    wanted = () if topic_filter is None else (Subscription(topic_filter=topic_filter),)
    options = LinkOptions(
        url=broker.url(),
        client_id=f"bench-{time.monotonic_ns()}",
        subscriptions=wanted,
        protocol="5" if protocol == "5" else "3.1.1",
        receive_maximum=65_535,
        inbox_limit=100_000,
        publish_window=WINDOW,
    )
    link = MqttLink(options)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(link.run())
        await link.receive(1)
        yield link
        running.cancel()


async def link_publishes(broker: Mosquitto, protocol: str, count: int, *, at_once: int) -> Speed:
    """Until the last is acknowledged."""
    body = b"x" * 300
    messages = [Outbound(topic=f"bench/offer/{index}", payload=body, retain=True) for index in range(count)]
    async with connected(broker, protocol) as link:
        watch = Watch()
        for start in range(0, count, at_once):
            codes = await link.publish(messages[start : start + at_once])
            assert max(codes) < 0x80  # noqa: PLR2004 - from there on they are refusals
        return watch.stop(count)


async def c_publishes(broker: Mosquitto, protocol: str, count: int) -> Speed:
    """The same by the C client."""
    said = await yardstick(broker, "publish", count, "bench/offer", 300, WINDOW, level=LEVELS[protocol])
    return Speed.said(said)


async def _feed(broker: Mosquitto, count: int) -> asyncio.subprocess.Process:
    return await start_yardstick(broker, "reports", count, TOPIC, REPORT, WINDOW, 0, count, "ordered", 0)


async def link_receives(broker: Mosquitto, protocol: str, count: int) -> Speed:
    """From the first to the last, each acknowledged."""
    async with connected(broker, protocol, TOPIC.format("+").replace("tok-+", "+")) as link:
        feeding = await _feed(broker, count)
        done, watch = 0, None
        while done < count:
            received = await link.receive(500)
            watch = watch or Watch()
            link.acknowledge(received)
            done += len(received.messages)
        assert watch is not None
        speed = watch.stop(count)
        await feeding.wait()
        return speed


async def c_receives(broker: Mosquitto, protocol: str, count: int) -> Speed:
    """The same by the C client."""
    topic_filter = TOPIC.format("+").replace("tok-+", "+")
    receiving = await start_yardstick(broker, "receive", count, topic_filter, level=LEVELS[protocol])
    assert receiving.stdout is not None
    await receiving.stdout.readline()
    feeding = await _feed(broker, count)
    said: dict[str, Any] = json.loads((await receiving.stdout.read()).decode().splitlines()[-1])
    await feeding.wait()
    await receiving.wait()
    return Speed.said(said)


async def fresh(run: Callable[[Mosquitto], Awaitable[Speed]]) -> Speed:
    """What this gives on a broker of its own."""
    async with Mosquitto(anonymous=True) as broker:
        return await run(broker)


async def measure(protocol: str, count: int, repetitions: int) -> None:
    """Print one protocol's lines."""
    kinds: dict[str, tuple[Callable[[Mosquitto], Awaitable[Speed]], str]] = {
        "C publishes": (lambda broker: c_publishes(broker, protocol, count), ""),
        "link publishes": (lambda broker: link_publishes(broker, protocol, count, at_once=count), "C publishes"),
        f"link publishes by {SLICE}": (
            lambda broker: link_publishes(broker, protocol, count, at_once=SLICE),
            "C publishes",
        ),
        "C receives": (lambda broker: c_receives(broker, protocol, count), ""),
        "link receives": (lambda broker: link_receives(broker, protocol, count), "C receives"),
    }
    speeds: dict[str, list[Speed]] = {name: [] for name in kinds}
    for _ in range(repetitions):
        for name, (run, _against) in kinds.items():
            speeds[name].append(await fresh(run))
    for name, (_run, against) in kinds.items():
        rates = [speed.per_second for speed in speeds[name]]
        yardsticks = [speed.per_second for speed in speeds[against or name]]
        ratio = statistics.median(own / c for own, c in zip(rates, yardsticks, strict=True))
        processor = statistics.median(speed.processor_us for speed in speeds[name])
        spread = f"{min(rates):,.0f}-{max(rates):,.0f}"
        print(
            f"MQTT {protocol:5} {name:21} {statistics.median(rates):8,.0f}/s {spread:>16}  ratio {ratio:.2f}"
            f"  processor {processor:5.1f} µs",
            flush=True,
        )


async def main() -> None:
    """Measure both protocols."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    for protocol in LEVELS:
        await measure(protocol, arguments.messages, arguments.repetitions)


asyncio.run(main())
