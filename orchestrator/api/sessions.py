"""Sessions of browsers: who has shown a key, so that the key itself need not be kept by the browser.

Rules:
- A session is 256 bits of chance in a cookie that scripts cannot read and other sites cannot send.
- It ends twelve hours after it began, when its owner signs out, when its key is revoked, and with the service.
- There are at most `MOST` of them; the oldest makes room.
- Replicas that share the work know each other's: there the cookie says when it ends, and is signed with a secret that
  all of them read from the database. None is kept, so these outlive a replica; those that were signed out of are
  remembered until they would have ended, and in the database for those that come to serve later.

Layer: api.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.keys import ApiKey

COOKIE = "otao_session"
SECONDS = 12 * 60 * 60
MOST = 1000
MOST_LEFT = 100_000
"""Shared sessions that were signed out of: 20 MB. To begin so many takes a key."""


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
        self._left: dict[str, float] = {}
        """Of shared sessions those whose owners have signed out, with when they would end."""

    def share(self, secret: str) -> None:
        """Sign sessions from now on, so that whoever has the secret knows them as well."""
        self._secret = secret.encode()

    def learn(self, left: Mapping[str, float]) -> None:
        """Take in which shared sessions were signed out of elsewhere, with when each would end."""
        self._left |= left

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

    def shared(self, name: str, keys: Sequence[ApiKey]) -> tuple[str, float] | None:
        """What is to be remembered of a shared session that ends now, and until when; None: it is none, or ended."""
        if self._secret is None or self._signed(self._secret, name, keys) is None:
            return None
        left = name.rpartition(".")[0]
        return left, _ends_at(left)

    def end(self, name: str, keys: Sequence[ApiKey]) -> None:
        """End a session that one of `keys` began, if there is one."""
        self._sessions.pop(name, None)
        ended = self.shared(name, keys)
        if ended is None:
            return
        now = self._wall()
        self._left = {left: ends_at for left, ends_at in self._left.items() if ends_at > now}
        while len(self._left) >= MOST_LEFT:
            del self._left[next(iter(self._left))]
        self._left |= [ended]

    def _signed(self, secret: bytes, given: str, keys: Sequence[ApiKey]) -> ApiKey | None:
        name, _, signature = given.rpartition(".")
        shown = signature.encode()
        signed = (key for key in keys if hmac.compare_digest(_signature(secret, name, key).encode(), shown))
        found = next(signed, None)
        # What is not signed is not ours, and may be anything.
        return None if found is None or name in self._left or _ends_at(name) <= self._wall() else found


def _ends_at(name: str) -> float:
    return float(name.partition(".")[0])


def _signature(secret: bytes, name: str, key: ApiKey) -> str:
    return hmac.new(secret, f"{name}.{key.sha256}".encode(), "sha256").hexdigest()
