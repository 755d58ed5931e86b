"""`otao demo` as a process: it ends in time with what was promised, and leaves nothing behind, however it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.brokers import ROOT
from tests.system.commands import otao, otao_on_terminal, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COMMAND = (sys.executable, "-m", "orchestrator.cli", "demo")
SECONDS = 60.0
SEARCHED = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin"


def left_behind(folder: Path) -> list[str]:
    """Files in the folder, and processes that were told of it."""
    return [str(path) for path in folder.iterdir()] + processes_of(folder)


def processes_of(folder: Path) -> list[str]:
    """Command lines of running processes whose environment names the folder."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(folder).encode() in (process / "environ").read_bytes() and "Z" not in state(process):
                processes.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return processes


def state(process: Path) -> str:
    """One letter; Z has ended."""
    return (process / "stat").read_text().rpartition(")")[2].split()[0]


async def until_no_process_is_left(folder: Path) -> None:
    deadline = time.monotonic() + 15
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
async def test_a_fleet_updates_within_a_minute_and_nothing_is_left(broker: str, tmp_path: Path) -> None:
    began_at = time.monotonic()
    ended = await otao(None, "demo", "--broker", broker, TMPDIR=str(tmp_path), PATH=SEARCHED)
    assert time.monotonic() - began_at < SECONDS
    assert ended.exit_code == 0, ended
    assert left_behind(tmp_path) == []
    lines = ended.out.splitlines()
    table = lines[lines.index("version\tbefore\tafter the canary\tat the end") + 1 :][:3]
    cells = {row[0]: [int(number) for number in row[1:]] for row in (line.split("\t") for line in table)}
    assert [cells[version][0] for version in ("1.0.0", "1.1.0", "2.0.0")] == [120, 80, 0]
    assert 0 < cells["2.0.0"][1] <= 10
    assert cells["2.0.0"][2] >= 188
    assert [sum(column) for column in zip(*cells.values(), strict=True)] == [200, 200, 200]
    assert "10 run 2.0.0, all of them canaries" in ended.out
    assert "All 188 healthy devices run 2.0.0" in ended.out
    assert "failed to install 2.0.0: no room left" in ended.out
    assert "does not update: " in ended.out
    assert "Traceback" not in ended.err


async def test_as_json_only_the_document_is_on_standard_output(tmp_path: Path) -> None:
    ended = await otao(None, "demo", "--json", "--devices", "40", "--seed", "3", TMPDIR=str(tmp_path), PATH=SEARCHED)
    assert ended.exit_code == 0, ended
    document = json.loads(ended.out)
    assert document["converged"] is True
    assert document["devices"] == sum(document["before"].values()) == sum(document["after"].values()) == 40
    assert document["arrived"] == document["healthy"]
    assert "canaries" in ended.err


async def test_on_a_terminal_bars_move(tmp_path: Path) -> None:
    ended = await otao_on_terminal(None, "demo", "--devices", "20", TMPDIR=str(tmp_path), PATH=SEARCHED)
    assert ended.exit_code == 0, ended.out
    assert "/20" in ended.out
    assert "━" in ended.out
    assert "healthy devices run 2.0.0" in ended.out


async def test_a_fleet_that_has_no_time_to_arrive_ends_with_3(tmp_path: Path) -> None:
    ended = await otao(None, "demo", "--devices", "20", "--seconds", "1", TMPDIR=str(tmp_path), PATH=SEARCHED)
    assert ended.exit_code == 3, ended
    assert "not every healthy device runs the newest version" in ended.err
    assert "healthy devices run 2.0.0" in ended.out
    assert left_behind(tmp_path) == []


async def shown(folder: Path, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        cwd=ROOT,
        env=surroundings(None, TMPDIR=str(folder), PYTHONUNBUFFERED="1", PATH=SEARCHED),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def lines_of(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        async for line in process.stdout:
            yield line.decode().rstrip()


async def test_kept_it_serves_until_ctrl_c_and_ends_well(tmp_path: Path) -> None:
    process = await shown(tmp_path, "--keep", "--devices", "20")
    server = ""
    async for line in lines_of(process):
        server = line.partition("OTAO_SERVER=")[2] or server
        if line.startswith("Ctrl-C"):
            break
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as client:
        summary = (await client.get("/api/v1/applications/smart-kettle/summary")).json()
    assert summary["endpoints"] == 20
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert (process.returncode, err) == (0, b"")
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_stopped_in_the_middle_it_leaves_nothing(tmp_path: Path, number: signal.Signals, broker: str) -> None:
    process = await shown(tmp_path, "--devices", "20", "--broker", broker)
    async for line in lines_of(process):
        if "is published for the filter canary" in line:
            break
    assert left_behind(tmp_path) != []
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 1
    assert err.decode() == "otao: stopped before the end; nothing is left behind\n"
    assert left_behind(tmp_path) == []


async def test_killed_in_the_middle_no_process_survives_it(tmp_path: Path) -> None:
    process = await shown(tmp_path, "--devices", "20", "--broker", "mosquitto")
    async for line in lines_of(process):
        if "is published for the filter canary" in line:
            break
    process.kill()
    await asyncio.wait_for(process.communicate(), SECONDS)
    await until_no_process_is_left(tmp_path)
