"""Three replicas under load, and the servers that they share: PostgreSQL is killed, then the broker.

Reports that the broker had not handed over when it was killed are lost with it, as it had never saved them; all others
are in the history once. What was offered and which stages began is as with replicas that are lost.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from tests.brokers import Mosquitto
from tests.services import eventually, stop
from tests.system.loads import check_offers, under_load
from tests.system.replicas import holder_of, open_replicas, reported, until_all_running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.postgres import Postgres
    from tests.system.loads import Load
    from tests.system.replicas import Replica

DATABASE = "otao"
FLEET = [f"e{number}" for number in range(20)]
ALL = {"OTAO_HISTORY_PER_ENDPOINT": "0"}
NEVER = ["autosave_interval 0"]
"""The broker saves its store when it is asked to, and at no other time."""


async def test_invariant_2_a_database_and_then_a_broker_killed_under_three_replicas_lose_and_double_no_report(
    server: Postgres,
) -> None:
    await server.fresh(DATABASE)
    async with (
        Mosquitto(anonymous=True, extra_lines=NEVER) as broker,
        open_replicas(broker, server, DATABASE, 3, **ALL) as replicas,
    ):
        await (await holder_of(replicas)).define()
        # The store that the broker comes back with knows the session, and no report.
        await broker.snapshot_store()
        async with under_load(broker, replicas[0], {"kettle": FLEET}) as load:
            await load.more(100)
            server.crash()
            await eventually(partial(nobody_holds, replicas), "the leases are over")
            await asyncio.to_thread(server.start)
            await load.more(100)
            await broker.kill()
            lost = unanswered(load)
            await broker.start()
            await load.more(100)
        last = {token: versions[-1] for (_, token), versions in load.acknowledged.items()}
        await until_all_running(replicas[0], last)
        for token in FLEET:
            told = await reported(replicas[1], token)
            sent, said = load.sent["kettle", token], set(told)
            assert told == [version for version in sent if version in said]
            assert load.answered["kettle", token] <= said
            assert set(load.acknowledged["kettle", token]) - said <= lost[token]
        await check_offers(partial(server.rows, database=DATABASE), load)
        assert [await replica.metric("otao_dead_letters_total") for replica in replicas] == [0, 0, 0]
        for replica in replicas:
            await stop(replica)


async def nobody_holds(replicas: Sequence[Replica]) -> bool:
    """Whether no replica believes that it may serve."""
    return [await replica.metric("otao_leases_held") for replica in replicas] == [0] * len(replicas)


def unanswered(load: Load) -> dict[str, set[str]]:
    """Token → the versions whose reports were sent, and of which Otao has said nothing."""
    return {token: set(sent) - load.answered[application, token] for (application, token), sent in load.sent.items()}
