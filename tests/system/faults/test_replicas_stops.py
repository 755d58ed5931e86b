"""SIGTERM to the replica that serves and to one that stands by, with PostgreSQL there, killed, or silent.

Each ends in time with exit code 0; after the next start no report is missing or there twice.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.services import stop
from tests.system.loads import check_offers, under_load
from tests.system.replicas import holder_of, open_replicas, reported, until_all_running

if TYPE_CHECKING:
    from tests.postgres import Postgres

DATABASE = "otao"
FLEET = [f"e{number}" for number in range(20)]
ALL = {"OTAO_HISTORY_PER_ENDPOINT": "0"}


@pytest.mark.parametrize("database", ["there", "killed", "silent"])
async def test_a_holder_and_one_that_stands_by_end_in_time_under_load_and_nothing_is_missing(
    database: str, server: Postgres
) -> None:
    await server.fresh(DATABASE)
    async with Mosquitto(anonymous=True) as broker, open_replicas(broker, server, DATABASE, 2, **ALL) as replicas:
        holder = await holder_of(replicas)
        await holder.define()
        async with under_load(broker, holder, {"kettle": FLEET}) as load:
            await load.more(50)
            if database == "killed":
                server.crash()
            elif database == "silent":
                for replica in replicas:
                    replica.cut_off(broker=False)
            # Both at once: neither may count on the other one.
            async with asyncio.TaskGroup() as group:
                for replica in replicas:
                    group.create_task(stop(replica))
            if database == "killed":
                await asyncio.to_thread(server.start)
            for replica in replicas:
                replica.join_again()
            await holder.start()
            await load.more(50)
        await until_all_running(holder, {token: versions[-1] for (_, token), versions in load.acknowledged.items()})
        for (_, token), versions in load.acknowledged.items():
            assert await reported(holder, token) == versions
        await check_offers(partial(server.rows, database=DATABASE), load)
