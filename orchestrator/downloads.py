"""Looks at what a link leads to, over HTTP, without letting it lead into the network that the service stands in.

Rules:
- A name is resolved once per hop, every address is checked, and the connection goes to the very address that was
  checked: what the name resolves to a moment later does not matter (DNS rebinding).
- Private, loopback, link-local, multicast and reserved addresses are refused, embedded IPv4 ones too, unless they, or
  the host's name, are allowed by a setting. Each redirect is checked like the first link.
- No proxy of the environment is used, no cookie kept; a body is counted and hashed, never stored.

Spec: RFC 6890 for addresses of special purpose; RFC 9110 §15.4 for redirects.
Layer: downloads; above application, beside settings. Implements `application.downloads.Downloads`.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias

import httpx2

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from ipaddress import IPv4Network

    from orchestrator.application.downloads import Download

    Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]

Address: TypeAlias = IPv4Address | IPv6Address

SECONDS = 60.0
"""For one link."""
MOST_REDIRECTS = 5
MOST_BYTES = 2**30
_MOST_PORTS = 65535
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")


class _Refused(Exception):
    """A link leads where it must not, or nowhere; the message is a clause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowances:
    """Where links may lead besides the public network."""

    hosts: frozenset[str] = frozenset()
    """In lower case."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @staticmethod
    def parse(items: Iterable[str]) -> Allowances:
        """Read host names, addresses and networks such as `10.0.0.0/8`.

        Raises:
            ValueError: an item with a slash is no network.
        """
        hosts: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for item in items:
            try:
                networks.append(ip_network(item))
            except ValueError:
                if "/" in item:
                    raise
                hosts.add(item.lower())
        return Allowances(hosts=frozenset(hosts), networks=tuple(networks))

    def admit(self, address: Address) -> bool:
        """Whether a link may lead to an address."""
        return is_public(address) or any(address in network for network in self.networks)


def is_public(address: Address) -> bool:
    """Whether an address is one of the public network, or stands for an IPv4 address that is."""
    embedded = _embedded(address) if isinstance(address, IPv6Address) else None
    if embedded is not None:
        return is_public(embedded)
    local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not (local or address.is_multicast or address.is_reserved)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a translator or a tunnel would make of it."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HttpDownloads:
    """Implements `Downloads`."""

    def __init__(self, allowances: Allowances, *, resolve: Resolve = resolve) -> None:
        """Take what is allowed; `resolve` is for tests."""
        self._allowances = allowances
        self._resolve = resolve

    async def fault(self, download: Download) -> str | None:
        """See `Downloads.fault`."""
        try:
            async with asyncio.timeout(SECONDS), _client() as client:
                response = await self._open(client, httpx2.URL(download.link))
                try:
                    return await _judged(response, download)
                finally:
                    await response.aclose()
        except TimeoutError:
            return f"was not read to the end within {SECONDS:.0f} s"
        except _Refused as refused:
            return str(refused)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, OSError) as error:
            # The message of the error may quote the link.
            return f"does not answer ({type(error).__name__})"

    async def _open(self, client: httpx2.AsyncClient, url: httpx2.URL) -> httpx2.Response:
        """Ask for a link, and follow where it leads."""
        for _ in range(MOST_REDIRECTS + 1):
            response = await client.send(await self._request(client, url), stream=True)
            location = response.headers.get("location")
            if not response.is_redirect or location is None:
                return response
            await response.aclose()
            url = url.join(location)
        raise _Refused(f"redirects more than {MOST_REDIRECTS} times")

    async def _request(self, client: httpx2.AsyncClient, url: httpx2.URL) -> httpx2.Request:
        """A request to an address of the host that may be asked."""
        port = url.port or _PORTS.get(url.scheme)
        if url.scheme not in _PORTS or port is None or not url.host:
            raise _Refused("leads to something that is not http or https")
        if not 0 < port <= _MOST_PORTS:
            raise _Refused(f"names port {port}, which cannot be")
        host = url.raw_host.decode("ascii")
        address = await self._address(host, port)
        return client.build_request(
            "GET",
            url.copy_with(host=str(address)),
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"},
            extensions={"sni_hostname": host},
        )

    async def _address(self, host: str, port: int) -> Address:
        try:
            found = [ip_address(text) for text in await self._resolve(host, port)]
        except OSError:
            raise _Refused("names a host that does not resolve") from None
        if not found:
            raise _Refused("names a host that does not resolve")
        if host.lower() not in self._allowances.hosts:
            for address in found:
                if not self._allowances.admit(address):
                    raise _Refused(f"leads to {address}, which is no public address: OTAO_LINK_CHECK_ALLOW allows some")
        return found[0]


def _client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS / 4)


async def _judged(response: httpx2.Response, download: Download) -> str | None:
    if not response.is_success:
        return f"answers {response.status_code}"
    declared = response.headers.get("content-length", "")
    told = int(declared) if declared.isdecimal() else None
    if download.sha256 is None and (download.size_bytes is None or told is not None):
        return _size_fault(told, download)
    if told is not None and told > MOST_BYTES:
        return _too_large(told)
    return await _read_through(response, download)


async def _read_through(response: httpx2.Response, download: Download) -> str | None:
    digest = hashlib.sha256()
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MOST_BYTES:
            return _too_large(size)
        digest.update(chunk)
    fault = _size_fault(size, download)
    if fault is None and download.sha256 not in {None, digest.hexdigest()}:
        return f"leads to other bytes: their SHA-256 is {digest.hexdigest()}"
    return fault


def _size_fault(size: int | None, download: Download) -> str | None:
    if size is None or download.size_bytes is None or size == download.size_bytes:
        return None
    return f"leads to {size} bytes, the specification says {download.size_bytes}"


def _too_large(size: int) -> str:
    return f"leads to {size} bytes or more: only {MOST_BYTES} are read, so the checksum was not compared"
