"""A message cannot be processed, or the database is taken: nothing acknowledged is lost, nothing else is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests import databases
from tests.brokers import Mosquitto
from tests.services import Service, connect, report, topic, until_retained

if TYPE_CHECKING:
    from pathlib import Path


async def test_invariant_10_a_poison_message_is_found_by_bisection_and_the_others_of_its_batch_are_applied() -> None:
    tokens = [f"t{number}" for number in range(8)]
    async with Mosquitto(tokens=[*tokens, "bad"]) as broker, Service(broker) as service:
        await service.define()
        await service.terminate()
        # They wait in the broker, so that they come in one batch.
        for token in [*tokens[:4], "bad", *tokens[4:]]:
            await report(broker, token, "1.0.0")
        await service.start(POISON="bad")
        await service.ready()
        await until_retained(broker, dict.fromkeys(tokens, "1.1.0"))
        assert await service.metric("otao_dead_letters_total") == 1
        letters = await databases.read(service.database, "SELECT topic, payload, error FROM dead_letter")
        assert letters == [(topic("bad", "applied/json"), b'{"configId": "1.0.0"}', "ZeroDivisionError: poison")]
        # It is acknowledged: the broker does not send it again.
        await service.terminate()
        await service.start()
        await service.ready()
        assert await service.metric("otao_dead_letters_total") == 0
        assert await service.metric("otao_repeats_total") == 0


async def test_a_second_service_on_one_sqlite_file_is_refused(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/otao.db"
    async with Mosquitto(tokens=["a"]) as broker, Service(broker, OTAO_DATABASE_URL=url) as service:
        second = Service(broker, OTAO_DATABASE_URL=url)
        await second.start()
        assert await second.died() == 1
        assert "served by another process" in second.log()
        async with connect(broker, "a"):
            assert (await service.get("/applications"))["items"] == []
