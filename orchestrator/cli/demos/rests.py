"""The calls of the demonstration, over HTTP as any client makes them.

Rules:
- The proxy of the environment is not asked: the service is on this machine.

Layer: cli.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias

import httpx2

from orchestrator.cli.demos.errors import RefusedCallError

if TYPE_CHECKING:
    from collections.abc import Mapping

Document: TypeAlias = "Mapping[str, object]"

_TIMEOUT_SECONDS = 20.0
_SUCCESS = 200
_REFUSED = 400


class Rest:
    """A client of one service; use it as an asynchronous context manager."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def is_ready(self) -> bool:
        """Whether the service is connected and has told the broker all that it is to know."""
        try:
            return (await self._http.get("/readyz")).status_code == _SUCCESS
        except httpx2.HTTPError:
            return False

    async def get(self, path: str) -> Document:
        """A document below `/api/v1`.

        Raises:
            RefusedCallError: there is none, or no answer.
        """
        return await self._call("GET", path)

    async def put(self, path: str, body: Document) -> Document:
        """Create or replace; what is there already is replaced as it is now.

        Raises:
            RefusedCallError: it was refused, or no answer came.
        """
        return await self._call("PUT", path, body)

    async def patch(self, path: str, body: Document) -> Document:
        """Change members of what is there, as it is now.

        Raises:
            RefusedCallError: it was refused, or no answer came.
        """
        present = await self._answer("GET", path)
        return await self._call("PATCH", path, body, {"if-match": present.headers["etag"]})

    async def _call(
        self, method: str, path: str, body: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> Document:
        document = (await self._answer(method, path, body, headers)).json()
        if not isinstance(document, dict):
            raise RefusedCallError(f"{method} {path}", "the answer is no object")
        return document

    async def _answer(
        self, method: str, path: str, body: Document | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        call = f"{method} {path}"
        try:
            response = await self._http.request(method, f"/api/v1{path}", json=body, headers=headers)
        except httpx2.HTTPError as error:
            raise RefusedCallError(call, f"no answer ({type(error).__name__})") from error
        if response.status_code >= _REFUSED:
            raise RefusedCallError(call, f"{response.status_code} {response.text}")
        return response
