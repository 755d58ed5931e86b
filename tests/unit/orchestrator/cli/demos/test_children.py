"""Children: started, heard, missed when they end, and stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.demos.children import running
from orchestrator.cli.demos.errors import ChildFailedError

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 15.0


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


async def test_a_child_is_heard_and_stopped(tmp_path: Path) -> None:
    source = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    async with running("child", python(source), log=tmp_path / "log") as child:
        pid = int(await child.first_line(SECONDS))
        os.kill(pid, 0)
        child.check()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_it_sees_the_environment_that_it_is_given(tmp_path: Path) -> None:
    source = "import os, sys; print(os.environ['WORD'], flush=True); sys.stdin.read()"
    seen = {**os.environ, "WORD": "given"}
    async with running("child", python(source), log=tmp_path / "log", environment=seen) as child:
        assert await child.first_line(SECONDS) == "given"


async def test_one_that_ends_is_missed_and_its_log_is_quoted(tmp_path: Path) -> None:
    source = "import sys; sys.stderr.write('line\\n' * 20 + 'no such port\\n'); sys.exit(5)"
    async with running("broker", python(source), log=tmp_path / "log") as child:
        with pytest.raises(ChildFailedError, match=r"broker ended with exit code 5") as failed:
            await child.first_line(SECONDS)
        assert str(failed.value).endswith("\n  no such port")
        assert str(failed.value).count("line") == 7
        with pytest.raises(ChildFailedError):
            child.check()


async def test_one_that_says_nothing_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    async with running("child", python("import time; time.sleep(60)"), log=tmp_path / "log") as child:
        with pytest.raises(ChildFailedError, match=r"said nothing for 0\.05 s"):
            await child.first_line(0.05)


async def test_it_is_stopped_when_the_block_is_cancelled(tmp_path: Path) -> None:
    pid: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hold() -> None:
        source = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        async with running("child", python(source), log=tmp_path / "log") as child:
            pid.set_result(int(await child.first_line(SECONDS)))
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(hold())
        await asyncio.wait_for(asyncio.shield(pid), SECONDS)
        task.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid.result(), 0)
