"""Requests for tests, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.api.guards import Message, Scope


def scope_of(method: str = "GET", path: str = "/", query: str = "", **headers: str | list[str]) -> Scope:
    """An ASGI scope; underscores in header names become hyphens, a list several lines."""
    lines = [
        (name.replace("_", "-").encode(), value.encode("latin-1"))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": lines,
        "server": ("127.0.0.1", 8080),
        "state": {},
    }


def request_of(*chunks: bytes, **scope: str | list[str]) -> Request:
    """A request whose body comes in these chunks; what is in `scope` is as for `scope_of`."""
    messages: Iterable[Message] = iter(
        [
            *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
            {"type": "http.request", "body": b"", "more_body": False},
        ]
    )
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    method, path, query = (
        str(scope.pop(name, default)) for name, default in (("method", "GET"), ("path", "/"), ("query", ""))
    )
    return Request(scope_of(method, path, query, **scope), receive)
