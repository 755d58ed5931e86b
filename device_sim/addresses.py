"""Where a broker is, as one URL: `mqtt://USER:PASSWORD@HOST:PORT`, or `mqtts://` for TLS.

Rules:
- `{token}` in user name or password stands for the endpoint's token, so that one address serves a whole fleet.
- Whatever prints an address leaves the credentials out.

Layer: device_sim; pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from device_sim.errors import AddressError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_TOKEN = "{token}"  # noqa: S105 - a placeholder


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A broker, and who we say that we are."""

    host: str
    port: int
    encrypted: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"

    @property
    def per_token(self) -> bool:
        """Whether each token has its own credentials."""
        return any(_TOKEN in text for text in (self.username, self.password) if text is not None)

    def credentials(self, token: str) -> tuple[str | None, str | None]:
        """User name and password of one endpoint."""
        username = None if self.username is None else self.username.replace(_TOKEN, token)
        return username, None if self.password is None else self.password.replace(_TOKEN, token)


def parse(url: str) -> Address:
    """Read a broker's address.

    Raises:
        AddressError: the scheme is neither `mqtt` nor `mqtts`, the host is missing, the port is no number from 1 to
            65535, there is a path, or a password without a user name.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"the broker's address is wrong: {error}") from error
    if parts.scheme not in _PORTS:
        raise AddressError(f"the broker's address begins with {parts.scheme!a}, not with mqtt or mqtts")
    if not parts.hostname or port == 0:
        raise AddressError("the broker's address names no host, or port 0")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise AddressError("the broker's address has something after the port")
    if parts.password is not None and not parts.username:
        raise AddressError("the broker's address has a password and no user name")
    return Address(
        host=parts.hostname,
        port=_PORTS[parts.scheme] if port is None else port,
        encrypted=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username else None,
        password=None if parts.password is None else unquote(parts.password),
    )
