"""Who may do what: API keys on every request that needs one.

Rules:
- A key comes as `Authorization: Bearer`, or a browser's session stands for it; a header that is wrong is refused even
  beside a session that is right.
- Without a key only `/livez`, `/readyz`, `/metrics`, and what somebody needs to sign in, is answered.
- A stream ends when its key is revoked, not only when its reader leaves.
- A viewer reads, and may ask what a change would do: plans and dry runs, but for their looks at links, which send
  requests of the service's own. Whoever changes something is named to the use cases by the key's name.
- A wrong key is counted and logged; its text is kept nowhere.

Spec: RFC 6750 §2.1, §3 for the header and its challenge; RFC 9110 §11.6.
Layer: api.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

import structlog
from fastapi import Request, Response

from orchestrator import keys
from orchestrator.api import problems
from orchestrator.api.guards import App, Message, Receive, Scope, Send
from orchestrator.api.keyrings import LOOK_SECONDS, Credentials, Keyring
from orchestrator.api.sessions import COOKIE, Sessions
from orchestrator.application.problems import RequestError
from orchestrator.keys import ApiKey, Role

log = structlog.get_logger(__name__)

LOGIN = "/login"
STATIC = "/static/"
_OPEN = frozenset({"/livez", "/readyz", "/metrics", LOGIN, "/logout"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_API = "/api/"
_PLAN = re.compile(r"/api/v1/applications/[^/]+/plan")
_CATALOGUE = re.compile(r"/api/v1/applications/[^/]+/catalogue")


class UnauthorizedError(RequestError):
    """No key was given, or one that is none."""

    code = "unauthorized"
    status_code = 401

    def __init__(self, *, given: bool) -> None:
        """Say which of the two."""
        super().__init__(
            "this is no API key of the service; `otao keys list` names those that there are"
            if given
            else "an API key is needed: Authorization: Bearer KEY; `otao keys create NAME` makes one"
        )
        self.headers = {"WWW-Authenticate": 'Bearer realm="otao"' + (', error="invalid_token"' if given else "")}


class ForbiddenError(RequestError):
    """A viewer would change something, or have the service send requests."""

    code = "forbidden"
    status_code = 403

    def __init__(self, name: str, limit: str = "it reads and changes nothing") -> None:
        """Name the key, and what it may not do."""
        super().__init__(f"the key {name} is a viewer's: {limit}")


class KeysUnusableError(RequestError):
    """The file of keys is broken, so that nobody is let in."""

    code = "api-keys-unusable"
    status_code = 503

    def __init__(self) -> None:
        """Say where to look."""
        super().__init__("the file of API keys cannot be used, so nobody is let in; the service's log says why")


async def in_memory(_session: str, _ends_at: float) -> None:
    """Nobody comes to serve later who would take it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Keys and sessions of one service."""

    keyring: Keyring
    sessions: Sessions
    refused: Callable[[], None]
    """Counts a key that is none."""
    keep: Callable[[str, float], Awaitable[None]] = in_memory
    """Keeps a shared session that is signed out of, and when it would end, for those that come to serve later."""

    def sign_in(self, given: str) -> str | None:
        """Begin a session for a key; None when it is none.

        Raises:
            KeysUnusableError: the file of keys is broken.
        """
        key = self.find(_usable(self.keyring.credentials()), given)
        return None if key is None else self.sessions.begin(key)

    async def sign_out(self, session: str) -> None:
        """End a session.

        Raises:
            KeysUnusableError: the file of keys is broken.
            StorageError: it is shared, and that it was signed out of cannot be kept.
        """
        known = _usable(self.keyring.credentials()).keys
        shared = self.sessions.shared(session, known)
        if shared is not None:
            await self.keep(*shared)
        self.sessions.end(session, known)

    def find(self, credentials: Credentials, given: str) -> ApiKey | None:
        """The key that was given; one that is none is counted and logged."""
        key = keys.find(credentials.keys, given)
        if key is None:
            self.refused()
            log.warning("api-key-refused")
        return key


class Gatekeeper:
    """An ASGI application around another one, which lets through who may."""

    def __init__(self, app: App, *, access: Access) -> None:
        """Stand around `app`."""
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            request = Request(scope)
            try:
                refusal = self._admit(request)
            except RequestError as error:
                refusal = _answer(request, error)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
            admitted: ApiKey | None = getattr(request.state, "key", None)
            if admitted is not None:
                await _Stay(self._access.keyring, admitted, receive, send).run(self._app, scope)
                return
        await self._app(scope, receive, send)

    def _admit(self, request: Request) -> Response | None:
        """Let a request through, named, or say why not."""
        path = request.url.path
        credentials = self._access.keyring.credentials()
        if path in _OPEN or path.startswith(STATIC) or not credentials.required:
            request.state.key_required = credentials.required
            return None
        key = self._key(request, _usable(credentials))
        if key.role is Role.VIEWER and not _only_reads(request):
            raise ForbiddenError(key.name)
        request.state.key_required = True
        request.state.key = key
        request.state.key_name = key.name
        request.state.key_role = key.role
        return None

    def _key(self, request: Request, credentials: Credentials) -> ApiKey:
        header = request.headers.get("authorization")
        if header is not None:
            scheme, _, given = header.partition(" ")
            key = self._access.find(credentials, given.strip()) if scheme.lower() == "bearer" else None
        else:
            key = self._access.sessions.find(request.cookies.get(COOKIE, ""), credentials.keys)
        if key is None:
            raise UnauthorizedError(given=header is not None)
        return key


class _Stay:
    """One request of a holder of a key: to the application its reader leaves when the key is revoked."""

    def __init__(self, keyring: Keyring, key: ApiKey, receive: Receive, send: Send) -> None:
        self._keyring = keyring
        self._key = key
        self._receive = receive
        self._send = send
        self._answering = False
        self._ended = False

    async def run(self, app: App, scope: Scope) -> None:
        """Have the request answered, and end an answer that was cut short."""
        await app(scope, self.receive, self.send)
        if self._ended and self._answering:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def receive(self) -> Message:
        """What the reader sends next."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    return await self._receive()
            except TimeoutError:
                if self._key not in self._keyring.credentials().keys:
                    self._ended = True
                    return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer."""
        self._answering = message["type"] == "http.response.start" or bool(message.get("more_body"))
        await self._send(message)


def check_may_look(request: Request) -> None:
    """Whether who asks may have the service look at links.

    Raises:
        ForbiddenError: it is a viewer.
    """
    key: ApiKey | None = getattr(request.state, "key", None)
    if key is not None and key.role is Role.VIEWER:
        raise ForbiddenError(key.name, "its plans look at no links")


def _only_reads(request: Request) -> bool:
    """Whether a request changes nothing, whoever makes it."""
    path = request.url.path
    match request.method:
        case "POST":
            return _PLAN.fullmatch(path) is not None
        case "PUT":
            # Exactly so: what is said twice, or in another way, is left to those who may change something.
            dry = request.query_params.getlist("dryRun") == ["true"]
            return dry and _CATALOGUE.fullmatch(path) is not None
        case method:
            return method in _SAFE


def _usable(credentials: Credentials) -> Credentials:
    if credentials.broken:
        raise KeysUnusableError
    return credentials


def _answer(request: Request, error: RequestError) -> Response:
    """A problem for programs; people are asked to sign in."""
    if isinstance(error, UnauthorizedError):
        path = request.url.path
        if request.method == "GET" and not path.startswith(_API) and "authorization" not in request.headers:
            target = quote(f"{path}?{request.url.query}" if request.url.query else path, safe="/")
            headers = {**problems.NO_STORE, "Location": f"{LOGIN}?next={target}"}
            return Response(status_code=303, headers=headers)
        return problems.problem(error.status_code, error.code, str(error), error.headers)
    return problems.of(error)
