"""What stands around every request.

Rules:
- An error that nobody foresaw ends one request, with a problem; it is logged and counted, and the service goes on.
- Pages of other sites change nothing: a browser says where a request comes from, and there are no keys that such a
  page would lack.
- A request names the service by an address, as localhost, or by a name that was set up: else a page could have its own
  name resolved to this machine (DNS rebinding) and count as the same site.

Spec: Fetch Metadata Request Headers (W3C) for `Sec-Fetch-Site`; RFC 6454 §7 for `Origin`.
Layer: api.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import structlog
from fastapi import Request

from orchestrator.api import problems

log = structlog.get_logger(__name__)

# ASGI's own types: its messages are mappings of anything.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = frozenset({"same-origin", "none"})


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: App, *, failed: Callable[[], None], hosts: Collection[str]) -> None:
        """Stand around `app`; `failed` counts errors that nobody foresaw, `hosts` are the names that were set up."""
        self._app = app
        self._hosts = {"localhost", *hosts}
        self._failed = failed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if not self._is_known(request.headers.get("host", "")):
            await problems.of(problems.HostError())(scope, receive, send)
            return
        if request.method not in _SAFE and _is_foreign(request):
            await problems.of(problems.CrossSiteError())(scope, receive, send)
            return
        started = False

        async def observed(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, observed)
        except Exception as error:
            log.exception("request-failed", method=request.method, path=request.url.path)
            self._failed()
            if started:
                raise
            await problems.of(error)(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname if _HOST.fullmatch(host) else None
        return name is not None and (name in self._hosts or _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_foreign(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in _OWN
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")
