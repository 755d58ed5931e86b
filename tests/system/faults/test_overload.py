"""More reports come than can be stored: memory is bounded, REST answers, and all are stored once, without help."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests import databases
from tests.brokers import Mosquitto
from tests.pipelines import Pipeline, pipelined
from tests.services import Service, eventually, topic, until_retained

OVERLOAD_SECONDS = 15.0
FLEET = [f"t{number}" for number in range(5000)]
BEHIND = 15_000
"""When fewer reports than these wait to be stored, more are sent."""
PADDING = " " * 6000
UNACKNOWLEDGED = (32 << 20) // 6000 + 1000 + 200
"""Reports that were taken and are not acknowledged: `LinkOptions.inbox_bytes`, a batch, and what one read brings.
Mosquitto 2.0 sends more than the receive maximum lets it, and is stopped by a connection that is not read."""
GROWTH_MIB = 110
"""What is taken and not stored is 38 MiB; the rest is for what is used for the first time: 35 MiB were measured. What
waits in the broker meanwhile is 90 MB and more."""
REST_SECONDS = 0.25
"""Of 99 in 100 requests, where processes need not wait for a core."""
CATCH_UP_SECONDS = 120.0
PAUSE_SECONDS = 0.05
ACCEPTED = 'otao_messages_accepted_total{resource="applied/json"}'
AMOUNT = "SELECT count(*) FROM history WHERE kind = 0"
DISTINCT = "SELECT count(*) FROM (SELECT DISTINCT endpoint_id, version_id FROM history WHERE kind = 0) AS reported"


@dataclass(slots=True)
class Fleet:
    """Reports one version after the other, so that too many wait to be stored all the time."""

    service: Service
    pipeline: Pipeline
    number: int = 0
    waiting: list[int] = field(default_factory=list)
    """How many were sent and not stored, whenever it was looked, from the first time that there were too many."""

    async def behind(self) -> int:
        """How many are sent and not stored."""
        return self.pipeline.sent - int(await self.service.metric(ACCEPTED))

    async def report(self) -> None:
        """Every endpoint reports the next version."""
        payload = f'{{"configId":"3.0.{self.number}"{PADDING}}}'.encode()
        await self.pipeline.send([(topic(token, "applied/json"), payload) for token in FLEET])
        self.number += 1

    async def overload(self, until: float) -> None:
        """Report until then."""
        while time.monotonic() < until:
            behind = await self.behind()
            if self.waiting or behind >= BEHIND:
                self.waiting.append(behind)
            if behind < BEHIND + len(FLEET):
                await self.report()
            else:
                await asyncio.sleep(PAUSE_SECONDS)
        await self.pipeline.answered()


@dataclass(slots=True)
class Operator:
    """Reads over REST, changes something once, and notes how long each took, and what the link owes to the broker."""

    service: Service
    spans: list[float] = field(default_factory=list)
    unacknowledged: list[int] = field(default_factory=list)

    async def look(self, until: float) -> None:
        """Go on until then."""
        application = "/api/v1/applications/kettle"
        reads = [f"{application}/endpoints/t7", f"{application}/summary", "/livez", f"{application}/endpoints?limit=20"]
        half = (time.monotonic() + until) / 2
        changed = False
        while time.monotonic() < until:
            if not changed and time.monotonic() > half:
                await self._ask("PUT", f"{application}/filters/lab", {"expression": "true"})
                changed = True
            await self._ask("GET", reads[len(self.spans) % len(reads)])
            self.unacknowledged.append(await self._owed())
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, method: str, path: str, body: object = None) -> None:
        async with self.service.client() as client:
            begun = time.monotonic()
            response = await client.request(method, path, json=body)
            self.spans.append(time.monotonic() - begun)
        assert response.status_code in {200, 201}, response.text

    async def _owed(self) -> int:
        async with self.service.client() as client:
            lines = (await client.get("/metrics")).text.splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("otao_link_events_total{"))
        inbound, acknowledged = (
            found[f'otao_link_events_total{{event="{name}"}}'] for name in ("inbound", "acknowledged")
        )
        return int(float(inbound) - float(acknowledged))

    def p99(self) -> float:
        """Seconds that 99 in 100 requests took at most; of fewer than 100, all but one."""
        return sorted(self.spans)[min(-(-len(self.spans) * 99 // 100), len(self.spans) - 1) - 1]


class Waits:
    """How much processes have been slowed by having to wait for a core since this was made."""

    def __init__(self, *pids: int) -> None:
        self._begun = {pid: self._read(pid) for pid in pids}

    def factor(self) -> float:
        """What the slowest one took, in what it would have taken; at least 1."""
        factors = [1.0]
        for pid, (ran, waited) in self._begun.items():
            now_ran, now_waited = self._read(pid)
            factors.append(1 + (now_waited - waited) / max(1, now_ran - ran))
        return max(factors)

    def _read(self, pid: int) -> tuple[int, int]:
        # Linux, Documentation/scheduler/sched-stats: nanoseconds that the main thread has run, and waited to run.
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return int(ran), int(waited)


async def _check_stored(service: Service, fleet: Fleet) -> None:
    """All are stored, each once, and the service goes on as before."""

    async def caught_up() -> bool:
        return await fleet.behind() == 0

    await eventually(caught_up, "it catches up", CATCH_UP_SECONDS)
    await service.ready()
    for query in (AMOUNT, DISTINCT):
        assert await databases.read(service.database, query) == [(fleet.pipeline.sent,)]
    assert await service.metric("otao_dead_letters_total") == 0


async def test_an_overload_leaves_memory_bounded_and_rest_quick_and_every_report_is_stored_once() -> None:
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service, pipelined(broker.port) as pipeline:
        await service.define()
        memory, fleet, operator = service.memory_mib(), Fleet(service, pipeline), Operator(service)
        await fleet.report()
        await service.until_running("t7", "3.0.0")
        until, waits = time.monotonic() + OVERLOAD_SECONDS, Waits(service.pid, os.getpid())
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.overload(until))
            group.create_task(operator.look(until))
        slowed = waits.factor()
        assert min(fleet.waiting) > UNACKNOWLEDGED
        assert max(operator.unacknowledged) < UNACKNOWLEDGED
        assert await service.metric('otao_link_events_total{event="paused_reads"}') > 0
        assert operator.p99() < REST_SECONDS * slowed
        await _check_stored(service, fleet)
        assert service.memory_mib("VmHWM") - memory < GROWTH_MIB
        await service.software("4.0.0", [f"3.0.{fleet.number - 1}"])
        await until_retained(broker, dict.fromkeys(FLEET, "4.0.0"))
