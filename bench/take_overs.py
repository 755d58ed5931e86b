"""How long nobody serves when the replica that does is killed, stopped, or cut off, under load.

Run: script/bench take_overs [-- --times N]. Three replicas on one PostgreSQL and one Mosquitto, 150 reports a second,
and releases that are published in stages. Prints for each fault the median and the longest, in seconds: from the fault
to a replica that has the broker in step with the database; from the last word of the old holder to the new one's epoch,
by the database's clock; and how many processes wanted each core meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import postgres
from tests.brokers import Mosquitto
from tests.system.loads import under_load
from tests.system.replicas import begin, crowding, end, holder_of, keep_journal, open_replicas, vacancies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.postgres import Postgres
    from tests.system.loads import Load
    from tests.system.replicas import Replica

FAULTS = ("killed", "stopped", "cut off")
FLEET = [f"e{number}" for number in range(20)]
LONG_SECONDS = 60.0


@dataclass(slots=True)
class Figures:
    """Of one fault, in seconds."""

    served: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    crowds: list[float] = field(default_factory=list)


async def lose(fault: str, replicas: Sequence[Replica], load: Load, found: Figures) -> None:
    """Lose the holder and have it back; note how long nobody served."""
    old = await holder_of(replicas, LONG_SECONDS)
    others = [replica for replica in replicas if replica is not old]
    load.ask = others[0]
    begun_at = time.monotonic()
    await begin(fault, old)
    await holder_of(others, LONG_SECONDS)
    found.served.append(time.monotonic() - begun_at)
    found.crowds.append(crowding())
    await load.more(20)
    await end(fault, old)
    await old.until_standing_by()
    await load.more(20)


async def measure(server: Postgres, fault: str, times: int) -> Figures:
    """Lose a holder so often."""
    database, found = f"take_overs_{os.getpid()}", Figures()
    await server.fresh(database)
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, database, 3) as replicas:
        await keep_journal(server, database)
        holder = await holder_of(replicas, LONG_SECONDS)
        await holder.define()
        async with under_load(broker, holder, {"kettle": FLEET}) as load:
            await load.more(20)
            for _ in range(times):
                await lose(fault, replicas, load, found)
        found.taken += await vacancies(server, database)
    await server.drop(database)
    return found


def shown(seconds: Sequence[float]) -> str:
    """Median and longest."""
    return f"{statistics.median(seconds):.2f} s, at most {max(seconds):.2f} s"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    for fault in FAULTS:
        found = asyncio.run(measure(postgres.shared(), fault, given.times))
        print(
            f"{fault}, {len(found.served)} times: served again after {shown(found.served)}; next epoch "
            f"{shown(found.taken)} ({len(found.taken)} take-overs); {shown(found.crowds).replace(' s', '')} a core",
            flush=True,
        )


if __name__ == "__main__":
    main()
