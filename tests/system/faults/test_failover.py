"""A PostgreSQL server is killed under load and its standby takes over: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.brokers import Mosquitto
from tests.contract.cutters import CommitCutter
from tests.pairs import Pair, open_pair
from tests.services import Service, eventually
from tests.system.loads import check_load, check_offers, under_load

TOKENS = [f"e{number}" for number in range(20)]


async def kill_within_a_commit(pair: Pair, way: CommitCutter) -> None:
    """The server has been told to commit: nobody knows how far it came."""
    killed = asyncio.Event()

    def kill() -> None:
        way.away = True
        pair.primary.kill()
        killed.set()

    way.when, way.meanwhile = "within", kill
    await killed.wait()
    await pair.take_over(killed=True)


async def kill_before_the_standby_has_it(pair: Pair, way: CommitCutter) -> None:
    """The server has committed, and the standby does not know of it."""

    async def waits() -> bool:
        waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')"
        return bool(await pair.primary.value(waiting))

    pair.part()
    await eventually(waits, "a commit waits for the standby")
    way.away = True
    await pair.take_over()


async def test_invariant_2_a_standby_that_takes_over_in_a_commit_loses_and_repeats_no_report() -> None:
    async with (
        Mosquitto(anonymous=True) as broker,
        open_pair("otao") as pair,
        CommitCutter(pair.primary.port) as way,
        Service(broker, OTAO_DATABASE_URL=pair.primary.url("otao", port=way.port)) as service,
    ):
        await service.define()
        async with under_load(broker, service, {"kettle": TOKENS}) as load:
            for kill in (kill_within_a_commit, kill_before_the_standby_has_it):
                await load.more(60)
                await kill(pair, way)
                await load.reports(30)
                way.move(pair.primary.port)
                way.away = False
                await service.ready()
                if kill is kill_within_a_commit:
                    await pair.attach()
            await load.more(30)
        await check_load(service, load)
        await check_offers(partial(pair.primary.rows, database="otao"), load)
        # All that was answered is among what was acknowledged, and so in the history.
        assert {endpoint for endpoint, versions in load.answered.items() if versions} == set(load.acknowledged)
        assert await service.metric("otao_dead_letters_total") == 0
        assert await service.terminate() == 0
