"""What specifications link to, looked at before a fleet is sent there.

Rules:
- Only `link`, `size` and `sha256` of a specification are read; a sentence names the version, never the link: links may
  hold credentials.
- All links of one plan share a deadline.

Layer: application.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from protocol import payloads
from protocol.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.domain.versions import Version

SECONDS = 120.0
"""For all links of a plan together."""
_AT_ONCE = 4
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What a specification says of its image."""

    link: str = field(repr=False)
    """http or https; it may hold credentials."""
    size_bytes: int | None
    sha256: str | None
    """In lower-case hexadecimal digits."""


class Downloads(Protocol):
    """The far ends of links."""

    async def fault(self, download: Download) -> str | None:
        """What is wrong with it, as a clause such as "answers 404"; None: nothing. Never raises."""


async def check(downloads: Downloads, specifications: Sequence[tuple[Version, str | None]]) -> list[str]:
    """Look at what these specifications (JSON texts) link to; return a sentence for each that is odd, in order."""
    free = asyncio.Semaphore(_AT_ONCE)
    deadline = asyncio.get_running_loop().time() + SECONDS

    async def checked(version: Version, specification: str | None) -> list[str]:
        try:
            async with asyncio.timeout_at(deadline), free:
                return await _check(downloads, version, specification)
        except TimeoutError:
            return [f"{version}: its link was not checked in time"]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(checked(*item)) for item in specifications]
    return [sentence for task in tasks for sentence in task.result()]


async def _check(downloads: Downloads, version: Version, specification: str | None) -> list[str]:
    if specification is None:
        return []
    download = read(specification)
    if download is None:
        return [f"{version}: its specification has no link of http or https: nothing was checked"]
    fault = await downloads.fault(download)
    found = [] if fault is None else [f"{version}: its link {fault}"]
    if download.sha256 is None:
        found.append(f"{version}: its specification has no sha256 to compare")
    return found


def read(specification: str) -> Download | None:
    """The download that a specification (JSON text) names; None: it names none."""
    try:
        value = payloads.decode(specification.encode(), payloads.Limits(payload_bytes=2**24, depth=200))
    except PayloadError:
        return None
    members = value if isinstance(value, dict) else {}
    link, size, digest = (members.get(name) for name in ("link", "size", "sha256"))
    if not isinstance(link, str) or not link.lower().startswith(_SCHEMES):
        return None
    has_size = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    has_digest = isinstance(digest, str) and _SHA256.fullmatch(digest) is not None
    return Download(
        link=link,
        size_bytes=size if has_size and isinstance(size, int) else None,
        sha256=digest.lower() if has_digest and isinstance(digest, str) else None,
    )
