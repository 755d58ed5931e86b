"""Starts a real Mosquitto from the repository's mosquitto.conf, with only port and paths replaced.

Rules:
- Loopback only, on a port from the operating system, which stays the same over restarts.
- Only the process started here is ever signalled.
- Works as root, when Mosquitto drops to its own user, and as anyone else.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from protocol import access_rules
from protocol.topics import Instances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[1]
SERVICE, OPERATORS = access_rules.SERVICE, access_rules.OPERATORS

_DEADLINE_SECONDS = 15.0
_STORE = "mosquitto.db"


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


class Mosquitto:
    """One broker; use it as an asynchronous context manager.

    Args:
        tokens: endpoints that get a user of their own, beside `otao` and `operators`.
        anonymous: no passwords and no access rules; for tests of something else.
        forgery_denied: not deploy/mosquitto.acl, but the rules that keep `tokens` from forging their own offers.
        stanzas: whether these come with the stanza of each token; without, Mosquitto keeps offers back.
        rules: other access rules, as text.
        tls: certificate and key for a second, encrypted listener.
        extra_lines: appended to the configuration.
    """

    speaks = "5"
    """The newest MQTT that it understands, as Mosquitto's clients name it."""

    def __init__(
        self,
        *,
        tokens: Sequence[str] = (),
        anonymous: bool = False,
        forgery_denied: bool = False,
        stanzas: bool = True,
        rules: str | None = None,
        tls: tuple[Path, Path] | None = None,
        extra_lines: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.tls_port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="otao-broker-"))
        self.specifications: dict[tuple[str, str], Any] = {}
        """What is to be retained of each version of each application, where a service was told."""
        self._tokens = tuple(tokens)
        self._anonymous = anonymous
        self._forgery_denied = forgery_denied
        self._stanzas = stanzas
        self._rules = rules
        self._tls = tls
        self._extra_lines = tuple(extra_lines)
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._write_files()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            await self.kill()
        shutil.rmtree(self.folder)

    def url(self, user: str = SERVICE, *, encrypted: bool = False) -> str:
        """The address for one of the users; every password is the user's name backwards."""
        credentials = "" if self._anonymous else f"{user}:{user[::-1]}@"
        if encrypted:
            return f"mqtts://{credentials}127.0.0.1:{self.tls_port}"
        return f"mqtt://{credentials}127.0.0.1:{self.port}"

    def log(self) -> str:
        """What the broker has written down."""
        return (self.folder / "log").read_text()

    async def start(self) -> None:
        """Start on the same port and the same store, and wait until it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            command = ["mosquitto", "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - returns at once
        await self._until(self._accepts, "it does not accept connections")

    async def kill(self) -> None:
        """SIGKILL: what came since the last save is lost."""
        await self._stop(signal.SIGKILL)

    async def terminate(self) -> None:
        """SIGTERM: the store is saved."""
        await self._stop(signal.SIGTERM)

    async def restart(self) -> None:
        """SIGTERM and start."""
        await self.terminate()
        await self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing moves."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP: read passwords and access rules again."""
        self._signal(signal.SIGHUP)

    def wipe(self) -> None:
        """Remove the store of a stopped broker."""
        assert self._process is None
        (self._store / _STORE).unlink(missing_ok=True)

    async def snapshot_store(self) -> bytes:
        """Save, and return the store; of a stopped broker, as it is."""
        path = self._store / _STORE
        if self._process is not None:
            before = path.stat().st_ino if path.exists() else None
            self._signal(signal.SIGUSR1)
            # A save writes a new file and renames it.
            await self._until(lambda: path.exists() and path.stat().st_ino != before, "it does not save")
        return path.read_bytes()

    def restore_store(self, store: bytes) -> None:
        """Put an older store under a stopped broker."""
        assert self._process is None
        path = self._store / _STORE
        path.write_bytes(store)
        self._own(path)

    def set_password(self, user: str, password: str) -> None:
        """Change what `reload` will read."""
        self._run("mosquitto_passwd", "-b", str(self.folder / "passwd"), user, password)
        self._own(self.folder / "passwd")

    @property
    def _store(self) -> Path:
        return self.folder / "store"

    def _write_files(self) -> None:
        self._store.mkdir()
        (self.folder / "mosquitto.conf").write_text(self._configuration())
        (self.folder / "acl").write_text(self._access_rules())
        users = (SERVICE, OPERATORS, *self._tokens)
        (self.folder / "passwd").write_text("".join(f"{user}:{user[::-1]}\n" for user in users))
        self._run("mosquitto_passwd", "-U", str(self.folder / "passwd"))
        if self._tls is not None:
            for source, name in zip(self._tls, ("certificate", "key"), strict=True):
                shutil.copy(source, self.folder / name)
        for path in (self.folder, *self.folder.iterdir()):
            self._own(path)

    def _configuration(self) -> str:
        text = (ROOT / "mosquitto.conf").read_text()
        replacements = {
            "listener 1883 127.0.0.1": f"listener {self.port} 127.0.0.1",
            "password_file /etc/mosquitto/otao.passwd": f"password_file {self.folder}/passwd",
            "acl_file /etc/mosquitto/otao.acl": f"acl_file {self.folder}/acl",
            "persistence_location /var/lib/mosquitto/": f"persistence_location {self._store}/",
        }
        if self._anonymous:
            replacements["allow_anonymous false"] = "allow_anonymous true"
        lines = text.splitlines()
        for shipped, replaced in replacements.items():
            assert lines.count(shipped) == 1, f"mosquitto.conf has no line {shipped!r}"
            lines[lines.index(shipped)] = replaced
        if self._anonymous:
            lines = [line for line in lines if not line.startswith(("password_file", "acl_file"))]
        if self._tls is not None:
            lines.append(f"listener {self.tls_port} 127.0.0.1")
            lines += [f"certfile {self.folder}/certificate", f"keyfile {self.folder}/key"]
        return "\n".join([*lines, *self._extra_lines, ""])

    def _access_rules(self) -> str:
        if self._rules is not None:
            return self._rules
        if not self._forgery_denied:
            return (ROOT / "deploy" / "mosquitto.acl").read_text()
        rules = access_rules.build(Instances(), tokens=self._tokens)
        return access_rules.acl_file(rules if self._stanzas else replace(rules, named=()))

    def _own(self, path: Path) -> None:
        # Started as root, Mosquitto drops to its own user before it opens the store.
        if os.geteuid() == 0:
            user = pwd.getpwnam("mosquitto")
            os.chown(path, user.pw_uid, user.pw_gid)

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def _stop(self, number: signal.Signals) -> None:
        process = self._process
        assert process is not None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(process.wait, _DEADLINE_SECONDS)
        self._process = None

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Mosquitto ended:\n{self.log()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def _until(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{complaint}:\n{self.log()}"
            await asyncio.sleep(0.01)
