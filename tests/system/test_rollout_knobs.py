"""Limits, windows and edits of a rollout that runs, on a real broker: what is out at one time, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.brokers import Mosquitto
from tests.services import Service, connect, report, topic, until_retained
from tests.system.rollouts import (
    NEW,
    SOFTWARE,
    define,
    documents,
    lookout,
    until,
    until_versions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.system.rollouts import Json

FEW = ["a", "b", "c", "d"]
PER_MINUTE = 600
AT_ONCE = 1 + PER_MINUTE / 60
"""Offers that may leave together: one, and a second's worth."""


async def _report_all(broker: Mosquitto, service: Service, tokens: Sequence[str], version: str = "1.0.0") -> None:
    async with connect(broker, "fleet") as client:
        for token in tokens:
            await client.publish(topic(token, "applied/json"), f'{{"configId":"{version}"}}', qos=1)
    await until_versions(service, {version: len(tokens)})


async def test_offers_under_a_rate_leave_evenly_and_use_it() -> None:
    fleet = [f"t{number}" for number in range(45)]
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service:
        await define(service, None, limits={"perMinute": PER_MINUTE})
        await service.put("/applications/kettle/freeze", {"reason": "not yet"}, method="POST")
        await _report_all(broker, service, fleet)
        await _lift(service)
        await until_retained(broker, dict.fromkeys(fleet, NEW))
        offers = [document["offer"]["offeredAt"] for document in await documents(service)]
    at = sorted(instant(offered) for offered in offers)
    for first, began in enumerate(at):
        for last in range(first, len(at)):
            allowed = AT_ONCE + (at[last] - began) * PER_MINUTE / 60
            # Instants are kept in milliseconds.
            assert last - first + 1 <= allowed + 0.02, (first, last, at)
    # What is left after the first ones comes at the rate, a second's worth at each tick.
    assert at[-1] - at[0] >= (len(fleet) - AT_ONCE) * 60 / PER_MINUTE - 0.02


async def _lift(service: Service) -> None:
    async with service.client() as client:
        assert (await client.delete("/api/v1/applications/kettle/freeze")).is_success


async def test_edits_of_a_running_rollout_take_effect_at_once_and_a_stale_one_none() -> None:
    fleet = [f"t{number}" for number in range(8)]
    narrow, wide = ([{"count": count, "minAttempted": count}, {"percent": 100}] for count in (4, 6))
    async with Mosquitto(anonymous=True) as broker, Service(broker) as service, lookout(broker) as seen:
        await define(service, None)
        await _rewrite(service, "*", rolloutStrategy="suspended")
        await _report_all(broker, service, fleet)
        await _rewrite(service, "*", rollout={"stages": narrow, "limits": {"inProgress": 2}})
        await _until_out(service, 2)
        stale = await _etag(service)
        assert await _rewrite(service, stale, rollout={"stages": narrow, "limits": {"inProgress": 3}}) == 200
        await _until_out(service, 3)
        assert await _rewrite(service, stale, rollout={"stages": narrow}) == 412
        first = set(seen.out)
        assert await _rewrite(service, await _etag(service), rollout={"stages": wide}) == 200
        await _until_out(service, 6)
        await seen.catch_up()
        assert first < seen.out
        # A lower limit takes nothing back, and lets nobody in for one who has settled.
        low, high = ({"stages": [{"percent": 100}], "limits": {"inProgress": slots}} for slots in (1, 6))
        assert await _rewrite(service, await _etag(service), rollout=low) == 200
        await report(broker, seen.offers[0][0], NEW)
        await _until_out(service, 5)
        assert await _rewrite(service, await _etag(service), rollout=high) == 200
        await _until_out(service, 6)
        await seen.catch_up()
        assert (len(seen.tokens), seen.most) == (7, 6)
        # Three definitions before there was anybody, one that let the rollout begin, and the four that changed it.
        assert await _offered_before_edits(service) == [0, 0, 0, 0, 2, 3, 6, 6]


async def _until_out(service: Service, number: int) -> None:
    def out(shown: Json) -> bool:
        return bool(sum(stage["offered"] for stage in shown["stages"]) == number)

    await until(service, out, f"{number} are offered it")


async def _offered_before_edits(service: Service) -> list[int]:
    """How many endpoints had ever been offered something at each edit, as audit and history have it."""
    audit = (await service.get("/applications/kettle/audit"))["items"]
    edits = [instant(entry["at"]) for entry in reversed(audit) if entry["action"] == "software.put"]
    offers = []
    for document in await documents(service):
        path = f"/applications/kettle/endpoints/{document['endpointId']}/history"
        items = (await service.get(path))["items"]
        offers += sorted(instant(item["at"]) for item in items if item["kind"] == "offered")[:1]
    return [sum(offer < edit for offer in offers) for edit in edits]


def instant(text: str) -> float:
    """Seconds of an RFC 3339 date."""
    return datetime.fromisoformat(text).timestamp()


async def _etag(service: Service) -> str:
    async with service.client() as client:
        return str((await client.get(f"/api/v1{SOFTWARE}")).headers["etag"])


async def _rewrite(service: Service, etag: str, **members: object) -> int:
    """Define 1.1.0 anew if it is as `etag` says; return the status code."""
    body = {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": {"link": "https://x"}}
    async with service.client() as client:
        response = await client.put(f"/api/v1{SOFTWARE}", json=body | members, headers={"if-match": etag})
    return response.status_code


class Hands:
    """The clock of a service, set by hand; it only goes forward."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "offset"
        self._midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    def shown(self, hour: int, minute: int) -> str:
        """A time of tomorrow, as RFC 3339 has it."""
        return (self._midnight + timedelta(hours=hour, minutes=minute)).isoformat()

    def set(self, hour: int, minute: int, *, day: int = 0) -> None:
        """Show a time of tomorrow, or of so many days later."""
        shown = self._midnight + timedelta(days=day, hours=hour, minutes=minute)
        # Renamed, so that nobody reads half of it.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(str((shown - datetime.now(UTC)).total_seconds()))
        fresh.rename(self.path)


@pytest.mark.parametrize("on_close", ["withdraw", "keep"])
async def test_outside_its_window_nothing_is_offered_and_what_is_begun_goes_on(on_close: str, tmp_path: Path) -> None:
    hands = Hands(tmp_path)
    hands.set(0, 50)
    async with (
        Mosquitto(tokens=[*FEW, "late"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(hands.path)) as service,
        lookout(broker) as seen,
    ):
        await define(service, None, window={"cron": "0 1 * * *", "duration": "PT2H", "onClose": on_close})
        for token in FEW:
            await report(broker, token, "1.0.0")
        await until_versions(service, {"1.0.0": len(FEW)})
        assert await _waits_for_its_window(service, "a")
        await seen.catch_up()
        assert seen.offers == []
        hands.set(1, 1)
        await until_retained(broker, dict.fromkeys(FEW, NEW))
        async with connect(broker, "b") as client:
            await client.publish(topic("b", "progress/json"), f'{{"configId":"{NEW}","state":"installing"}}', qos=1)
        await until(service, lambda shown: shown["stages"][0]["installing"] == 1, "one has begun")
        hands.set(3, 1)
        await report(broker, "late", "1.0.0")
        await service.until_running("late", "1.0.0")
        assert await _waits_for_its_window(service, "late")
        await until_retained(broker, {"b": NEW} if on_close == "withdraw" else dict.fromkeys(FEW, NEW))
        await report(broker, "b", NEW)
        await service.until_running("b", NEW)
        hands.set(1, 1, day=1)
        await until_retained(broker, dict.fromkeys(["a", "c", "d", "late"], NEW))


async def _waits_for_its_window(service: Service, endpoint_id: str) -> bool:
    """Whether an endpoint is offered nothing, and its window is what it waits for."""
    explained: Json = await service.get(f"/applications/kettle/endpoints/{endpoint_id}/explain")
    rules = next(item["rules"] for item in explained["software"] if item["version"] == NEW)
    failed = [rule["rule"] for rule in rules if not rule["passed"]]
    return (explained["outcome"], explained["hop"], failed) == ("waiting", None, ["window"])


async def test_after_its_end_a_rollout_is_nobodys_goal_and_what_is_begun_goes_on(tmp_path: Path) -> None:
    hands = Hands(tmp_path)
    hands.set(0, 50)
    async with (
        Mosquitto(tokens=[*FEW, "late"]) as broker,
        Service(broker, CLOCK_OFFSET_FILE=str(hands.path)) as service,
    ):
        await define(service, None, end=hands.shown(1, 0))
        below: Json = {"upgradableFrom": ["1.0.0"], "rolloutStrategy": "general", "specification": {}, "rollout": None}
        for token in FEW:
            await report(broker, token, "1.0.0")
        await until_retained(broker, dict.fromkeys(FEW, NEW))
        await report(broker, "a", NEW)
        async with connect(broker, "b") as client:
            await client.publish(topic("b", "progress/json"), f'{{"configId":"{NEW}","state":"installing"}}', qos=1)
        await until(service, lambda shown: shown["stages"][0]["installing"] == 1, "one has begun")
        await service.put("/applications/kettle/software/1.0.5", below)
        hands.set(1, 1)
        await until_retained(broker, {"b": NEW, "c": "1.0.5", "d": "1.0.5"})
        await report(broker, "late", "1.0.0")
        await until_retained(broker, {"b": NEW, "c": "1.0.5", "d": "1.0.5", "late": "1.0.5"})
        explained: Json = await service.get("/applications/kettle/endpoints/late/explain")
        ended = next(item for item in explained["software"] if item["version"] == NEW)
        failed = [rule["rule"] for rule in ended["rules"] if not rule["passed"]]
        assert (explained["goal"], ended["eligible"], failed) == ("1.0.5", False, ["end"])
        at = hands.shown(1, 0).replace("+00:00", "Z")
        shown = await until(service, lambda shown: shown["state"] == "finished", "it has ended")
        assert shown["summary"] == f"ended at {at}: 1 of 5 confirmed, 1 under way"
        await report(broker, "b", NEW)
        await until(
            service, lambda shown: shown["summary"] == f"ended at {at}: 2 of 5 confirmed", "the last one counts"
        )
        history = (await service.get("/applications/kettle/endpoints/c/history"))["items"]
        assert [item["reason"] for item in history if item["kind"] == "withdrawn"] == ["its rollout has ended"]
