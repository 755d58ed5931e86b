"""Runs `otao` as a process, as people and scripts do: in a pipe, or on a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.brokers import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from io import FileIO

    from tests.services import Service

SECONDS = 60.0
_COMMAND = (sys.executable, "-m", "orchestrator.cli")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended, and what it printed."""

    exit_code: int
    out: str
    err: str = ""

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the lines below the header."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]


def surroundings(service: Service | None, **environment: str) -> dict[str, str]:
    """This process's environment without settings of Otao, but for the server's address."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTAO_")}
    server = {} if service is None else {"OTAO_SERVER": service.url}
    return bare | server | environment


async def otao(service: Service | None, *words: str, given: bytes = b"", **environment: str) -> Ended:
    """Run a command in pipes."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *words,
        cwd=ROOT,
        env=surroundings(service, **environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(given), SECONDS)
    assert process.returncode is not None
    return Ended(exit_code=process.returncode, out=out.decode(), err=err.decode())


async def otao_on_terminal(
    service: Service | None,
    *words: str,
    when: str = "",
    then: Callable[[], Awaitable[object]] | None = None,
    **environment: str,
) -> Ended:
    """Run a command on a terminal of 120 columns; what it says on standard error is among what it prints.

    As soon as the terminal shows `when`, `then` is called.
    """
    leader, follower = pty.openpty()
    given = {"COLUMNS": "120", "TERM": "xterm-256color"} | environment
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *words,
        cwd=ROOT,
        env=surroundings(service, **given),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    os.close(follower)
    loop, seen, shown = asyncio.get_running_loop(), asyncio.Event(), bytearray()

    def read_all() -> None:
        with os.fdopen(leader, "rb", buffering=0) as screen:
            while part := _read(screen):
                shown.extend(part)
                if when.encode() in shown:
                    loop.call_soon_threadsafe(seen.set)
        loop.call_soon_threadsafe(seen.set)

    async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(read_all))
        if then is not None:
            await seen.wait()
            await then()
    exit_code = await asyncio.wait_for(process.wait(), SECONDS)
    return Ended(exit_code=exit_code, out=shown.decode().replace("\r\n", "\n"))


def _read(screen: FileIO) -> bytes:
    try:
        return screen.read(65536)
    except OSError:
        # Linux says so when the last process has closed its side.
        return b""
