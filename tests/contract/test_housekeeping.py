"""A database stays as large as what is kept, on each kind of database, while a fleet lives on in virtual time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.application.retentions import Retention, Term
from orchestrator.persistence import schema
from orchestrator.virtual import open_engine
from tests import postgres
from tests.contract.storages import url_in

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.virtual import VirtualEngine

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP, MONTH, TERM = timedelta(days=10), timedelta(days=30), timedelta(days=60)
DEVICES, MONTHS = 20, 10
SETTLED = TERM // MONTH + 1
"""The month, from 0, in which everything that is kept has begun to go."""
ENTRIES = 6
"""History entries of one endpoint that are kept: fewer than the term has."""
GROWTH = 1.1
KEPT = Retention(history=TERM, per_endpoint=ENTRIES, audit=Term(span=TERM), dead_letters=Term(span=TERM))
DEFINED = {"version", "software", "counter", "attempt_sum"}
"""Tables that grow with what operators define, and not with time."""


class Fleet:
    """Devices that install whatever they are offered and say what they run."""

    def __init__(self) -> None:
        self.running = dict.fromkeys(range(DEVICES), "1.0.0")

    def deliver(self, topic: str, payload: bytes) -> None:
        if payload and topic.endswith("/config/json/status"):
            self.running[int(topic.split("/")[3][1:])] = json.loads(payload)["configId"]

    def words(self) -> list[tuple[str, bytes]]:
        return [
            (f"kp1/kettle-v1/cmx_ota/e{device}/applied/json", json.dumps({"configId": version}).encode())
            for device, version in self.running.items()
        ]


def catalogue(months: int, step: int) -> dict[str, Any]:
    """A new software for each month, and a filter that an operator writes anew every time."""
    software = [
        {
            "version": f"1.{month}.0",
            "upgradableFrom": [f"1.{month - 1}.0"] if month else [],
            "rolloutStrategy": "general",
            "specification": {"link": f"https://images.example/{month}"},
        }
        for month in range(months + 1)
    ]
    filters = {"today": f"attributes.step == {step}"}
    return {"appVersions": ["kettle-v1"], "registration": "open", "software": software, "filters": filters}


async def address(kind: str, folder: Path) -> str:
    return url_in(folder) if kind == "sqlite" else await postgres.shared().fresh(postgres.name_for(folder))


async def rows(engine: VirtualEngine) -> dict[str, int]:
    """How many rows each table has."""
    counted = {}
    async with engine._storage.reading() as connection:
        for name in schema.metadata.tables:
            found = await connection.exec_driver_sql(f"SELECT count(*) FROM {name}")  # noqa: S608 - names of the schema
            counted[name] = int(found.scalar_one())
    return counted


async def live(engine: VirtualEngine, fleet: Fleet, month: int) -> None:
    """One month: updates, reports, changes by operators, messages that no batch can take."""
    for step in range(MONTH // STEP):
        engine.clock.at += STEP
        await engine.apply("kettle", catalogue(month, step))
        await engine.say(fleet.words())
        await engine.settle()
        async with engine._storage.transaction() as transaction:
            await transaction.bury("kp1/kettle-v1/cmx_ota/e0/applied/json", b"{", "poison", engine.clock.at)
        await engine.keep_house(KEPT)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_database_does_not_grow_any_more_once_the_term_of_what_is_kept_is_over(
    kind: str, tmp_path: Path
) -> None:
    fleet, counted, sizes = Fleet(), [], []
    async with open_engine(BEGIN, fleet.deliver, database=await address(kind, tmp_path)) as engine:
        for month in range(MONTHS):
            await live(engine, fleet, month)
            counted.append(await rows(engine))
            if kind == "sqlite":
                sizes.append((await engine.pages()).size_bytes)
    # It was used: everybody was updated, month by month, and heard every ten days.
    assert set(fleet.running.values()) == {f"1.{MONTHS - 1}.0"}
    settled, last = counted[SETTLED], counted[-1]
    assert settled["history"] == DEVICES * ENTRIES
    assert min(settled[name] for name in ("attempt", "audit", "dead_letter", "push")) > 0
    grown = {name: (settled[name], amount) for name, amount in last.items() if amount > settled[name] * GROWTH}
    assert grown.keys() <= DEFINED, grown
    assert not sizes or sizes[-1] <= sizes[SETTLED] * GROWTH
