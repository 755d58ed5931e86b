"""Starts a real PostgreSQL server of its own, and makes databases on it.

Rules:
- Loopback only, on a port from the operating system, which stays the same over restarts.
- Commits are durable, as in production: fsync stays on.
- Only the server started here is ever signalled; it ends with the process that started it.
- Works as root, when the server runs as the user `postgres`, and as anyone else.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from orchestrator.persistence.databases import open_database
from tests.brokers import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

USER, PASSWORD = "otao", "oato"
_BINARIES = Path("/usr/lib/postgresql")
_DEADLINE_SECONDS = 30.0
_TEMPLATE = "otao_template"


def binaries() -> Path:
    """The folder of the newest server's programs."""
    versions = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    assert found, "there is no PostgreSQL server: install the package postgresql"
    return Path(found).resolve().parent


class Postgres:
    """One server.

    Args:
        primary: the port of a server whose standby this is to be; 0: it is a server of its own.
    """

    def __init__(self, primary: int = 0) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="otao-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._data = self.folder / "data"
        self._logged_at_start = 0
        self._template = False
        self._own()
        if primary:
            self._copy(primary)
        else:
            self._make_cluster()

    def _copy(self, primary: int) -> None:
        reached = f"host=127.0.0.1 port={primary} user={USER} password={PASSWORD} application_name=standby"
        options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
        self._run("pg_basebackup", "-D", str(self._data), "-d", reached, *options)

    def _make_cluster(self) -> None:
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            USER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-A",
            "scram-sha-256",
            f"--pwfile={self._password()}",
        )

    def _password(self) -> Path:
        path = self.folder / "password"
        path.write_text(PASSWORD)
        path.chmod(0o644)
        return path

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD, port: int = 0) -> str:
        """The address of a database."""
        return f"postgresql+asyncpg://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def log(self) -> str:
        """What the server has written down."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start on the same port and the same data, and wait until it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            self._logged_at_start = log.tell()
            command = [str(binaries() / "postgres"), "-D", str(self._data), "-p", str(self.port), *self._options()]
            self._process = subprocess.Popen([*self._as_its_user(), *command], stdout=log, stderr=log)
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not self._accepts():
            assert time.monotonic() < deadline, f"it does not accept connections:\n{self.log()}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGQUIT, PostgreSQL's immediate shutdown: no connection is ended properly, nothing is written back."""
        self._stop(signal.SIGQUIT)

    def crash(self) -> None:
        """SIGKILL to each of its processes, as when its machine goes: nothing is ended properly, nothing written."""
        assert self._process is not None
        ours = [self._process.pid, *_children(self._process.pid)]
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(_DEADLINE_SECONDS)
        self._process = None
        # Its shared memory is free for the next start when all are gone.
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while any(_lives(pid) for pid in ours):
            assert time.monotonic() < deadline, "its processes do not end"
            time.sleep(0.01)

    def terminate(self) -> None:
        """SIGINT, its fast shutdown."""
        self._stop(signal.SIGINT)

    def remove(self) -> None:
        """End it, and remove everything that it held."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder)

    async def follow(self, standby: Postgres) -> None:
        """From now on, commits wait for a standby that was made of this server; return when it has caught up."""
        await self.run("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        await self.run("SELECT pg_reload_conf()")
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not await self.value("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')"):
            assert time.monotonic() < deadline, f"the standby does not follow:\n{standby.log()}"
            await asyncio.sleep(0.02)

    async def promote(self) -> None:
        """Have a standby take over."""
        assert await self.value("SELECT pg_promote(true, 60)"), self.log()

    def dump(self, name: str) -> Path:
        """Write a database to a file with `pg_dump`."""
        path = self.folder / f"{name}.dump"
        self._run("pg_dump", "--format=custom", f"--file={path}", f"--dbname={self._address(name)}")
        return path

    def restore(self, path: Path, name: str, *options: str) -> None:
        """Have `pg_restore` put what is in a file into a database."""
        self._run("pg_restore", *options, "--exit-on-error", f"--dbname={self._address(name)}", str(path))

    def _address(self, name: str) -> str:
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    async def fresh(self, name: str) -> str:
        """Make a database with all tables, if there is none of this name; return its address."""
        if not self._template:
            await self.empty(_TEMPLATE)
            async with open_database(self.url(_TEMPLATE)):
                pass
            self._template = True
        await self._make(name, f"TEMPLATE {_TEMPLATE}")
        return self.url(name)

    async def empty(self, name: str) -> str:
        """Make a database without anything in it, if there is none of this name; return its address."""
        await self._make(name, "TEMPLATE template0")
        return self.url(name)

    async def _make(self, name: str, how: str) -> None:
        async def make(connection: asyncpg.Connection) -> None:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                await connection.execute(f'CREATE DATABASE "{name}" {how}')

        await self.ask(make)

    async def copy(self, source: str, name: str) -> None:
        """Make a database that holds what another one does, which nobody is connected to; it counts as no dump."""
        await self._make(name, f'TEMPLATE "{source}"')
        await self.run("UPDATE installation SET site = NULL", name)

    async def drop(self, name: str) -> None:
        """Remove a database, if it is there, whoever is connected to it."""
        await self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def end_sessions(self, name: str) -> None:
        """End everybody's connections to a database."""

        async def end(connection: asyncpg.Connection) -> None:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            await connection.execute(ended, name)

        await self.ask(end)

    async def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement on a connection of its own."""

        async def act(connection: asyncpg.Connection) -> None:
            await connection.execute(statement)

        await self.ask(act, database)

    async def value(self, query: str, database: str = "postgres") -> Any:  # noqa: ANN401 - of whatever type
        """The one value that a query answers."""
        found: list[Any] = []

        async def act(connection: asyncpg.Connection) -> None:
            found.append(await connection.fetchval(query))

        await self.ask(act, database)
        return found[0]

    async def rows(self, query: str, database: str) -> list[tuple[Any, ...]]:
        """The rows of a query on a connection of its own."""
        found: list[tuple[Any, ...]] = []

        async def read(connection: asyncpg.Connection) -> None:
            found.extend(tuple(row) for row in await connection.fetch(query))

        await self.ask(read, database)
        return found

    async def ask(self, act: Callable[[asyncpg.Connection], Awaitable[None]], database: str = "postgres") -> None:
        """Do something with a connection of its own."""
        address = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        connection = await asyncpg.connect(**address, database=database)
        try:
            await act(connection)
        finally:
            await connection.close()

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "60",
            "shared_buffers": "128MB",
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _own(self) -> None:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.folder.chmod(0o755)

    def _as_its_user(self) -> list[str]:
        # The server refuses to run as root. It gets SIGINT when we end, however we end.
        dropped = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        return ["setpriv", *dropped, "--pdeathsig=INT"]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_its_user(), str(binaries() / program), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def _stop(self, number: signal.Signals) -> None:
        process = self._process
        assert process is not None
        process.send_signal(number)
        process.wait(_DEADLINE_SECONDS)
        self._process = None

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"PostgreSQL ended:\n{self.log()}"
        log = self.log()[self._logged_at_start :]
        return any(f"ready to accept {which}connections" in log for which in ("", "read-only "))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@cache
def shared() -> Postgres:
    """The server that all tests of this process share, each with a database of its own."""
    server = Postgres()
    server.start()
    atexit.register(server.remove)
    return server


def name_for(folder: Path) -> str:
    """The name of the database that belongs to a test's folder."""
    return f"otao_{blake2b(str(folder).encode(), digest_size=8).hexdigest()}"
