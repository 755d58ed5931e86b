"""The style sheet, the script and the icon of the pages, out of the package itself.

Rules:
- There are no others: a name that is not listed is not looked for.
- A browser asks whether it has the present ones; they have the digest of their content as ETag.

Layer: dashboard.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from fastapi import Request, Response

from orchestrator.api.access import STATIC
from orchestrator.application.problems import RequestError
from orchestrator.dashboard import renderings, routes
from protocol.errors import quoted

router = routes.router()

FILES = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class AssetNotFoundError(RequestError):
    """There is no such file."""

    code = "not-found"
    status_code = 404

    def __init__(self, name: str) -> None:
        """Name it."""
        super().__init__(f"there is no file {quoted(name)}")


@router.get(STATIC + "{name}")
async def get_asset(request: Request, name: str) -> Response:
    """Get one file; empty when the browser has it already."""
    media_type = FILES.get(name)
    if media_type is None:
        raise AssetNotFoundError(name)
    content, tag = _read(name)
    headers = {**renderings.SAFE, "Cache-Control": "no-cache", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=media_type)


@cache
def _read(name: str) -> tuple[bytes, str]:
    content = (resources.files("orchestrator.dashboard") / "static" / name).read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
