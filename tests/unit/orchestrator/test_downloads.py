"""Links are followed to public addresses only, on real sockets."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from orchestrator import downloads
from orchestrator.application.downloads import Download
from orchestrator.downloads import Allowances, HttpDownloads, is_public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

IMAGE = b"firmware" * 1000
DIGEST = hashlib.sha256(IMAGE).hexdigest()
LOOPBACK = Allowances.parse(["127.0.0.0/8"])


@dataclass
class Far:
    """A far end that answers by path, and remembers what it was asked."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    serving: list[asyncio.Task[None]] = field(default_factory=list)

    def link(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.append(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            path = head.split()[1].removeprefix("/")
            if path == "silent":
                await reader.read()
            writer.write(self.answer(path))
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def answer(self, path: str) -> bytes:
        match path.split("/"):
            case ["image"]:
                return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE
            case ["untold"]:
                return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + IMAGE
            case ["huge"]:
                return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2**30 + 1)
            case ["again", times]:
                return redirect(f"/again/{int(times) - 1}" if int(times) else "/image")
            case ["to", *rest]:
                return redirect("/".join(rest))
            case ["broken"]:
                return b"nonsense\r\n\r\n"
            case _:
                return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def redirect(location: str) -> bytes:
    return b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location.encode()


@asynccontextmanager
async def far_end() -> AsyncIterator[Far]:
    far = Far()
    server = await asyncio.start_server(far.serve, "127.0.0.1", 0)
    async with server:
        far.port = server.sockets[0].getsockname()[1]
        yield far
    for task in far.serving:
        await asyncio.wait_for(task, 5)


async def fault(link: str, allowances: Allowances = LOOPBACK, **members: object) -> str | None:
    size, digest = members.get("size"), members.get("sha256")
    download = Download(
        link=link,
        size_bytes=size if isinstance(size, int) else None,
        sha256=digest if isinstance(digest, str) else None,
    )
    return await HttpDownloads(allowances).fault(download)


async def test_a_sound_link_has_no_fault() -> None:
    async with far_end() as far:
        for path in ("image", "untold", "again/4"):
            assert await fault(far.link(path)) is None
            assert await fault(far.link(path), size=len(IMAGE), sha256=DIGEST) is None
    assert all("Accept-Encoding: identity" in head for head in far.heads)


async def test_what_is_wrong_is_said() -> None:
    async with far_end() as far:
        assert await fault(far.link("missing")) == "answers 404"
        assert await fault(far.link("image"), size=1) == "leads to 8000 bytes, the specification says 1"
        assert await fault(far.link("untold"), size=1) == "leads to 8000 bytes, the specification says 1"
        other = await fault(far.link("image"), sha256="00" * 32)
        assert other == f"leads to other bytes: their SHA-256 is {DIGEST}"
        assert await fault(far.link("again/5")) == "redirects more than 5 times"
        assert await fault(far.link("to/ftp://127.0.0.1/x")) == "leads to something that is not http or https"
        assert "only 1073741824 are read" in str(await fault(far.link("huge"), sha256=DIGEST))
        assert str(await fault(far.link("broken"))).startswith("does not answer (")
    assert str(await fault(far.link("image"))).startswith("does not answer (")


async def test_a_body_is_read_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", 100)
    async with far_end() as far:
        assert "only 100 are read" in str(await fault(far.link("untold"), sha256=DIGEST))


async def test_a_link_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "SECONDS", 0.2)
    async with far_end() as far:
        found = str(await fault(far.link("silent")))
    assert found.startswith(("was not read", "does not answer"))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with far_end() as far:
        found = str(await fault(far.link("image", host), Allowances()))
    assert "no public address" in found or "does not resolve" in found
    assert far.heads == []


async def test_a_redirect_is_checked_like_the_first_link() -> None:
    async def resolve(host: str, _port: int) -> list[str]:
        return [{"firmware.example": "127.0.0.1", "inside.example": "10.0.0.1"}.get(host, host)]

    async with far_end() as far:
        link = far.link("to/http://inside.example/image", "firmware.example")
        download = Download(link=link, size_bytes=None, sha256=None)
        found = await HttpDownloads(LOOPBACK, resolve=resolve).fault(download)
    assert found == "leads to 10.0.0.1, which is no public address: OTAO_LINK_CHECK_ALLOW allows some"
    assert len(far.heads) == 1


async def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked: list[str] = []

    async def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1" if len(asked) == 1 else "10.0.0.1"]

    async with far_end() as far:
        download = Download(link=far.link("image", "firmware.example"), size_bytes=None, sha256=DIGEST)
        assert await HttpDownloads(LOOPBACK, resolve=rebinding).fault(download) is None
    assert asked == ["firmware.example"]
    assert f"Host: firmware.example:{far.port}" in far.heads[0]


async def test_one_bad_address_among_several_is_enough() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "192.168.0.1"]

    download = Download(link="http://firmware.example/", size_bytes=None, sha256=None)
    assert "192.168.0.1" in str(await HttpDownloads(Allowances(), resolve=resolve).fault(download))


async def test_a_host_may_be_allowed_by_its_name() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with far_end() as far:
        download = Download(link=far.link("image", "Images.Internal"), size_bytes=None, sha256=None)
        allowances = Allowances.parse(["images.internal"])
        assert await HttpDownloads(allowances, resolve=resolve).fault(download) is None


async def test_a_name_that_does_not_resolve_is_said() -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    download = Download(link="http://firmware.example/", size_bytes=None, sha256=None)
    assert await HttpDownloads(Allowances(), resolve=resolve).fault(download) == "names a host that does not resolve"


async def test_a_fault_never_quotes_the_link() -> None:
    for link in ("http://user:secret@127.0.0.1:1/secret", "http://[secret", "http://127.0.0.1:99999/secret"):
        assert "secret" not in str(await fault(link))


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("0.0.0.0", False),
        ("::", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:a00:1::1", False),
    ],
)
def test_which_addresses_are_public(text: str, public: bool) -> None:
    assert is_public(ip_address(text)) is public


def test_an_item_with_a_slash_must_be_a_network() -> None:
    with pytest.raises(ValueError, match="10"):
        Allowances.parse(["10.0.0.0/99"])
