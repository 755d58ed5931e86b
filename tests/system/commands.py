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


async def otao_on_terminal(service: Service | None, *words: str, **environment: str) -> Ended:
    """Run a command on a terminal of 120 columns; what it says on standard error is among what it prints."""
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
    reading = asyncio.to_thread(_read_all, leader)
    out = await asyncio.wait_for(reading, SECONDS)
    exit_code = await asyncio.wait_for(process.wait(), SECONDS)
    return Ended(exit_code=exit_code, out=out.decode().replace("\r\n", "\n"))


def _read_all(leader: int) -> bytes:
    parts: list[bytes] = []
    with os.fdopen(leader, "rb", buffering=0) as screen:
        while True:
            try:
                part = screen.read(65536)
            except OSError:
                # Linux says so when the last process has closed its side.
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts)
