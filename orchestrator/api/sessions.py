"""Sessions of browsers: who has shown a key, so that the key itself need not be kept by the browser.

Rules:
- A session is 256 bits of chance in a cookie that scripts cannot read and other sites cannot send.
- It ends twelve hours after it began, when its owner signs out, when its key is revoked, and with the service.
- There are at most `MOST` of them; the oldest makes room.

Layer: api.
"""

from __future__ import annotations

import secrets
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

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Begin without any."""
        self._monotonic = monotonic
        self._sessions: dict[str, _Session] = {}

    def begin(self, key: ApiKey) -> str:
        """Begin a session for the holder of a key; return what the cookie holds."""
        now = self._monotonic()
        self._sessions = {name: item for name, item in self._sessions.items() if item.ends_at > now}
        while len(self._sessions) >= MOST:
            del self._sessions[next(iter(self._sessions))]
        name = secrets.token_urlsafe(32)
        self._sessions[name] = _Session(sha256=key.sha256, ends_at=now + SECONDS)
        return name

    def find(self, name: str, keys: Sequence[ApiKey]) -> ApiKey | None:
        """The key of a session, if it has not ended and the key is still among `keys`."""
        session = self._sessions.get(name)
        if session is None or session.ends_at <= self._monotonic():
            return None
        return next((key for key in keys if key.sha256 == session.sha256), None)

    def end(self, name: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(name, None)
