"""Sessions of browsers: who has shown a key, so that the key itself need not be kept by the browser.

Rules:
- A session is 256 bits of chance in a cookie that scripts cannot read and other sites cannot send.
- It ends twelve hours after it began, when its owner signs out, when its key is revoked, and with the service.
- There are at most `MOST` of them; the oldest makes room.
- Replicas that share the work know each other's: there the cookie says when it ends, and is signed with a secret that
  all of them read from the database. None is kept, so these outlive a replica; whoever signs out is remembered.

Layer: api.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.keys import ApiKey

COOKIE = "otao_session"
SECONDS = 12 * 60 * 60
MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    sha256: str
    """Of the key that began it."""
    ends_at: float


class Sessions:
    """The sessions of one service."""

    def __init__(self, monotonic: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        """Begin without any."""
        self._monotonic = monotonic
        self._wall = wall
        self._sessions: dict[str, _Session] = {}
        self._secret: bytes | None = None
        self._left: dict[str, None] = {}
        """Of shared sessions those whose owners have signed out."""

    def share(self, secret: str) -> None:
        """Sign sessions from now on, so that whoever has the secret knows them as well."""
        self._secret = secret.encode()

    def begin(self, key: ApiKey) -> str:
        """Begin a session for the holder of a key; return what the cookie holds."""
        if self._secret is not None:
            name = f"{int(self._wall()) + SECONDS}.{secrets.token_urlsafe(16)}"
            return f"{name}.{_signature(self._secret, name, key)}"
        now = self._monotonic()
        self._sessions = {name: item for name, item in self._sessions.items() if item.ends_at > now}
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(sha256=key.sha256, ends_at=now + SECONDS)
        return name

    def find(self, name: str, keys: Sequence[ApiKey]) -> ApiKey | None:
        """The key of a session, if it has not ended and the key is still among `keys`."""
        if self._secret is not None:
            return self._signed(self._secret, name, keys)
        session = self._sessions.get(name)
        if session is None or session.ends_at <= self._monotonic():
            return None
        return next((key for key in keys if key.sha256 == session.sha256), None)

    def end(self, name: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(name, None)
        if self._secret is not None:
            while len(self._left) >= MOST:
                del self._left[next(iter(self._left))]
            self._left[name] = None

    def _signed(self, secret: bytes, given: str, keys: Sequence[ApiKey]) -> ApiKey | None:
        name, _, signature = given.rpartition(".")
        ends = name.partition(".")[0]
        if given in self._left or not (ends.isascii() and ends.isdigit()) or int(ends) <= self._wall():
            return None
        shown = signature.encode()
        return next((key for key in keys if hmac.compare_digest(_signature(secret, name, key).encode(), shown)), None)


def _signature(secret: bytes, name: str, key: ApiKey) -> str:
    return hmac.new(secret, f"{name}.{key.sha256}".encode(), "sha256").hexdigest()
