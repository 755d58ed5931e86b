"""The broker of the demonstration: Mosquitto where there is one, else the one that the service brings along.

Rules:
- Loopback only, on a port from the operating system, without passwords: it lives for a minute.
- Mosquitto's limits are raised as in the shipped mosquitto.conf: by default it silently loses messages.

Layer: cli.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orchestrator.cli.demos import children
from orchestrator.cli.demos.errors import ChildFailedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from orchestrator.cli.demos.children import Child

HOST = "127.0.0.1"
_WHERE_DEBIAN_PUTS_IT = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_TRIES = 5
_START_SECONDS = 10.0
_LOOK_SECONDS = 0.02


class Kind(StrEnum):
    """Which broker."""

    MOSQUITTO = "mosquitto"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker that runs, or that the service is going to run."""

    kind: Kind
    port: int
    child: Child | None = None

    @property
    def url(self) -> str:
        """Where devices find it."""
        return f"mqtt://{HOST}:{self.port}"

    def settings(self) -> dict[str, str]:
        """What the service is told of it."""
        if self.kind is Kind.EMBEDDED:
            return {"OTAO_MQTT_URL": "embedded", "OTAO_EMBEDDED_LISTEN": f"{HOST}:{self.port}"}
        return {"OTAO_MQTT_URL": self.url}


def find_mosquitto() -> str | None:
    """Mosquitto's path, from PATH or from where systems keep what only root is to see."""
    found = shutil.which("mosquitto")
    return found or shutil.which("mosquitto", path=os.pathsep.join(_WHERE_DEBIAN_PUTS_IT))


@asynccontextmanager
async def open_broker(folder: Path, kind: Kind | None = None) -> AsyncIterator[Broker]:
    """Run a broker while the context lasts; None takes Mosquitto if it is there.

    Raises:
        ChildFailedError: Mosquitto is asked for and not there, or does not start.
    """
    path = None if kind is Kind.EMBEDDED else find_mosquitto()
    if path is None:
        if kind is Kind.MOSQUITTO:
            raise ChildFailedError("mosquitto", "is not on this machine", "")
        yield Broker(kind=Kind.EMBEDDED, port=free_port())
        return
    async with _mosquitto(path, folder) as broker:
        yield broker


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def configuration(port: int) -> str:
    """Mosquitto's configuration."""
    lines = (
        f"listener {port} {HOST}",
        "allow_anonymous true",
        "persistence false",
        "max_queued_messages 1000000",
        "max_inflight_messages 2000",
        "upgrade_outgoing_qos true",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    )
    return "".join(f"{line}\n" for line in lines)


@asynccontextmanager
async def _mosquitto(path: str, folder: Path) -> AsyncIterator[Broker]:
    file = folder / "mosquitto.conf"
    # Another process may take the port between our look at it and Mosquitto's: then another one is tried.
    for last in (*[False] * (_TRIES - 1), True):
        port = free_port()
        file.write_text(configuration(port))
        async with children.running(Kind.MOSQUITTO, [path, "-c", str(file)], log=folder / "mosquitto.log") as child:
            try:
                await _accepting(child, port)
            except ChildFailedError:
                if last:
                    raise
                continue
            yield Broker(kind=Kind.MOSQUITTO, port=port, child=child)
            return


async def _accepting(child: Child, port: int) -> None:
    deadline = asyncio.get_running_loop().time() + _START_SECONDS
    while True:
        child.check()
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            if asyncio.get_running_loop().time() > deadline:
                raise ChildFailedError(
                    child.name, f"does not listen after {_START_SECONDS:g} s", child.log_end()
                ) from None
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            writer.close()
            return
