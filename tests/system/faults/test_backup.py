"""A copy of the database while reports come in, and the broker after a restore."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing
from itertools import cycle
from typing import TYPE_CHECKING

from tests.brokers import ROOT, Mosquitto
from tests.services import Service, report, until_retained

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOKENS = ["a", "b", "c"]


async def otao(service: Service, *words: str) -> tuple[int, str, str]:
    """Run a command on the service's database; return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator.cli", *words),
        cwd=ROOT,
        env=os.environ | {"OTAO_DATABASE_URL": f"sqlite+aiosqlite:///{service.database}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def offered(broker: Mosquitto, service: Service) -> None:
    """Three endpoints run 1.0.0 and hold an offer of 1.1.0."""
    await service.define()
    for token in TOKENS:
        await report(broker, token, "1.0.0")
    await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))


async def test_invariant_1_after_a_restore_every_topic_is_what_the_older_database_says(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with Mosquitto(tokens=[*TOKENS, "d"]) as broker, Service(broker) as service:
        await offered(broker, service)
        await report(broker, "d", "2.0.0")
        code, out, err = await otao(service, "backup", str(copy))
        assert (code, err) == (0, "")
        assert out == f"{copy}: {copy.stat().st_size:,} bytes\n"
        # Since then: one moves on, one arrives, one is offered what the copy does not know.
        await report(broker, "a", "1.1.0")
        await report(broker, "b", "2.0.0")
        await service.put(
            "/applications/kettle/software/3.0.0",
            {"upgradableFrom": ["2.0.0"], "rolloutStrategy": "general", "specification": {"link": "3"}},
        )
        await until_retained(broker, {"a": "2.0.0", "b": "3.0.0", "c": "1.1.0", "d": "3.0.0"})
        assert await otao(service, "restore", str(copy), "--replace") == (
            1,
            "",
            f"otao: the database: {service.database} is served by another process (database-busy)\n",
        )
        await service.terminate()
        code, out, err = await otao(service, "restore", str(copy), "--replace")
        assert (code, err) == (0, "")
        assert out.startswith(f"restored 4 endpoints from {copy}; what was there is now {service.database}.before-")
        await service.start()
        await service.ready()
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
        # What the endpoints say next is believed, as ever.
        await report(broker, "b", "2.0.0")
        await report(broker, "a", "1.1.0")
        await until_retained(broker, {"a": "2.0.0", "c": "1.1.0"})


async def speak(broker: Mosquitto, tokens: Sequence[str], over: asyncio.Event) -> None:
    """Let one endpoint after the other say what it runs, round after round, until it is over."""
    for token in cycle(tokens):
        if over.is_set():
            return
        await report(broker, token, "1.0.0")


async def test_a_backup_while_reports_come_in_is_one_consistent_state(tmp_path: Path) -> None:
    tokens = [f"t{number}" for number in range(40)]
    first, *others, last = tokens
    copies = [tmp_path / f"copy-{number}.db" for number in range(3)]
    async with Mosquitto(tokens=tokens) as broker, Service(broker) as service:
        await service.define()
        await report(broker, first, "1.0.0")
        await service.until_running(first, "1.0.0")
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for place in range(3):
                group.create_task(speak(broker, others[place::3], over))
            for copy in copies:
                assert (await otao(service, "backup", str(copy)))[0] == 0
            over.set()
        # Nobody has heard of the last one while copies were made.
        async with asyncio.TaskGroup() as group:
            for token in (*others, last):
                group.create_task(report(broker, token, "1.0.0"))
        await until_retained(broker, dict.fromkeys(tokens, "1.1.0"))
    heard = []
    for copy in copies:
        with closing(sqlite3.connect(copy)) as database:
            (endpoints,) = database.execute("SELECT count(*) FROM endpoint_state").fetchone()
            (counted,) = database.execute(
                "SELECT coalesce(sum(amount), 0) FROM counter WHERE name = 'running'"
            ).fetchone()
            heard.append(database.execute("SELECT count(*) FROM history").fetchone())
        assert endpoints == counted
        assert 0 < endpoints < len(tokens)
    # Reports came in all the while: each copy holds more of them than the one before.
    assert heard[0] < heard[1] < heard[2]


def damage(database: Path, table: str) -> None:
    """Overwrite the indexes of a table, which nobody reads at the start."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        asked = "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
        pages = [page for (page,) in connection.execute(asked, (table,))]
    with database.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)


async def test_invariant_2_a_page_that_is_damaged_ends_the_service_and_buries_no_report(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await offered(broker, service)
        assert (await otao(service, "backup", str(copy)))[0] == 0
        await service.terminate()
        damage(service.database, "endpoint")
        await service.start()
        await report(broker, "a", "1.1.0")
        assert await service.died() == 1
        assert "the database is damaged (database disk image is malformed)" in service.log()
        assert "`otao restore FILE --replace`" in service.log()
        with closing(sqlite3.connect(service.database)) as database:
            assert database.execute("SELECT count(*) FROM dead_letter").fetchone() == (0,)
        assert (await otao(service, "restore", str(copy), "--replace"))[0] == 0
        await service.start()
        await service.until_running("a", "1.1.0")
        assert await service.metric("otao_dead_letters_total") == 0
        await until_retained(broker, {"a": "2.0.0", "b": "1.1.0", "c": "1.1.0"})


async def test_a_damaged_database_is_refused_by_name_with_the_way_back(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with Mosquitto(tokens=TOKENS) as broker, Service(broker) as service:
        await offered(broker, service)
        assert (await otao(service, "backup", str(copy)))[0] == 0
        await service.terminate()
        damaged = bytearray(service.database.read_bytes())
        damaged[: 16 * 4096] = b"\x00" * (16 * 4096)
        service.database.write_bytes(damaged)
        await service.start()
        assert await service.died() == 1
        assert f"{service.database} is damaged" in service.log()
        assert "`otao restore FILE --replace`" in service.log()
        code, out, _ = await otao(service, "restore", str(copy), "--replace")
        assert (code, out.startswith("restored 3 endpoints")) == (0, True)
        await service.start()
        await service.ready()
        await until_retained(broker, dict.fromkeys(TOKENS, "1.1.0"))
