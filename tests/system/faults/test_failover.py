"""A PostgreSQL server is killed under load and its standby takes over: nothing acknowledged is lost or done twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.brokers import Mosquitto
from tests.contract.cutters import CommitCutter
from tests.pairs import Pair, open_pair
from tests.services import Service, connect, eventually
from tests.system.replicas import reported, under_load, until_all_running

if TYPE_CHECKING:
    from tests.system.replicas import Load

TOKENS = [f"e{number}" for number in range(20)]


async def confirmations(broker: Mosquitto, confirmed: dict[str, set[str]], ready: asyncio.Event) -> None:
    """Take down which reports the service itself has confirmed, until cancelled."""
    async with connect(broker, "watch") as client:
        await client.subscribe("kp1/+/cmx_ota/+/applied/json/+/status", qos=1)
        ready.set()
        async for message in client.messages:
            _, _, _, token, _, _, number, _ = str(message.topic).split("/")
            confirmed.setdefault(token, set()).add(number)


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


async def all_there(service: Service, load: Load) -> None:
    """Each report that was acknowledged to its device is in the history, once and in order."""
    await until_all_running(service, {token: versions[-1] for token, versions in load.acknowledged.items()})
    for token, versions in load.acknowledged.items():
        assert await reported(service, token) == versions


async def test_invariant_2_a_standby_that_takes_over_in_a_commit_loses_and_repeats_no_report() -> None:
    confirmed: dict[str, set[str]] = {}
    async with (
        Mosquitto(anonymous=True) as broker,
        open_pair("otao") as pair,
        CommitCutter(pair.primary.port) as way,
        Service(broker, OTAO_DATABASE_URL=pair.primary.url("otao", port=way.port)) as service,
        asyncio.TaskGroup() as group,
    ):
        listening = asyncio.Event()
        listener = group.create_task(confirmations(broker, confirmed, listening))
        await listening.wait()
        await service.define()
        async with under_load(broker, TOKENS, numbered=True) as load:
            for kill in (kill_within_a_commit, kill_before_the_standby_has_it):
                await load.more(60)
                await kill(pair, way)
                await load.more(30)
                way.move(pair.primary.port)
                way.away = False
                await service.ready()
                if kill is kill_within_a_commit:
                    await pair.attach()
            await load.more(30)
        await all_there(service, load)
        for token, versions in load.acknowledged.items():
            assert confirmed[token] == set(map(str, range(len(versions))))
        assert await service.metric("otao_dead_letters_total") == 0
        assert await service.terminate() == 0
        listener.cancel()
