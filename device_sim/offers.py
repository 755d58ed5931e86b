"""What a device is offered, as the code that installs it sees it.

Rules:
- A specification is whatever its author wrote; a `sha256` or `size` that makes no sense is an error, not an absent one.
- An image is verified in pieces, so that it may be larger than memory; with nothing to compare, it is not verified.

Layer: device_sim.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from device_sim.errors import SimulatorError
from protocol import payloads
from protocol.payloads import Limits
from protocol.progress import ProgressState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from protocol.payloads import JsonValue

    Teller: TypeAlias = Callable[[ProgressState, int | None, str | None], Awaitable[None]]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIECE_BYTES = 1024 * 1024
_LIMITS = Limits(payload_bytes=1024 * 1024, depth=100)
"""Wider than those of the message that the specification came in."""


class InstallError(SimulatorError):
    """An install did not succeed; Otao is told the status code and the reason.

    Args:
        reason: a sentence for people; 500 characters of it are kept.
        status_code: like HTTP's, and none of 200-299; 507 is "no room left".
    """

    code = "install-failed"

    def __init__(self, reason: str, *, status_code: int = 500) -> None:
        """Refuse a status code that would say that all is well."""
        super().__init__(reason)
        if not 100 <= status_code <= 599 or 200 <= status_code <= 299:  # noqa: PLR2004 - the bounds of 7/CMP
            raise ValueError(f"{status_code} does not say that something failed")
        self.reason = reason
        self.status_code = status_code


class VerificationError(InstallError):
    """An image is not what its specification says, or the specification does not say what it should be."""

    code = "verification-failed"

    def __init__(self, reason: str) -> None:
        """Report it as an unprocessable content."""
        super().__init__(reason, status_code=422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A version to install, and where to find it."""

    version: str
    specification: JsonValue
    """As its author gave it."""
    tell: Teller
    """Sends progress; `progress` is the convenient form of it."""

    @property
    def link(self) -> str | None:
        """Where the image is, if the specification has a text `link`."""
        link = self._member("link")
        return link if isinstance(link, str) else None

    @property
    def sha256(self) -> str | None:
        """The image's checksum in lower case, if the specification has one.

        Raises:
            VerificationError: it has one that is no SHA-256.
        """
        value = self._member("sha256")
        if value is None:
            return None
        if not isinstance(value, str) or not _SHA256.fullmatch(value.lower()):
            raise VerificationError("the specification's sha256 is not 64 hexadecimal digits")
        return value.lower()

    @property
    def size_bytes(self) -> int | None:
        """The image's size, if the specification has one.

        Raises:
            VerificationError: it has one that is no whole number, or below 0.
        """
        value = self._member("size")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise VerificationError("the specification's size is not a number of bytes")
        return value

    async def progress(self, state: str, percent: int | None = None, message: str | None = None) -> None:
        """Say how far the install is; lost without a word when there is no connection.

        Args:
            state: downloading, downloaded, installing or rebooting.
            percent: 0-100 of that state.
            message: for people; 500 characters of it are kept.

        Raises:
            ValueError: there is no such state, or the percentage is out of bounds.
        """
        if percent is not None and not 0 <= percent <= 100:  # noqa: PLR2004 - per cent
            raise ValueError(f"{percent} is no percentage")
        await self.tell(ProgressState(state), percent, message)

    async def verify(self, image: Path) -> None:
        """Compare a downloaded image with the specification's `size` and `sha256`, whichever are there.

        Raises:
            VerificationError: one of them differs or makes no sense, or both are absent.
            OSError: the file cannot be read.
        """
        sha256, size_bytes = self.sha256, self.size_bytes
        if sha256 is None and size_bytes is None:
            raise VerificationError("the specification has neither sha256 nor size to compare the image with")
        found_sha256, found_bytes = await asyncio.to_thread(_measure, image)
        if size_bytes is not None and found_bytes != size_bytes:
            raise VerificationError(f"the image has {found_bytes} bytes, the specification says {size_bytes}")
        if sha256 is not None and found_sha256 != sha256:
            raise VerificationError(f"the image's sha256 is {found_sha256}, the specification says {sha256}")

    def _member(self, name: str) -> JsonValue:
        return self.specification.get(name) if isinstance(self.specification, dict) else None


def read_offer(version: str, specification: str, tell: Teller) -> Offer:
    """An offer whose specification is JSON text.

    Raises:
        PayloadError: the text is no JSON, or far too deep.
    """
    return Offer(version=version, specification=payloads.decode(specification.encode(), _LIMITS), tell=tell)


def _measure(image: Path) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    with image.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size_bytes += len(piece)
    return digest.hexdigest(), size_bytes
