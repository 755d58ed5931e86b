"""A server that answers calls of the REST interface as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from click.testing import CliRunner

from orchestrator.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from click.testing import Result

APP = "/api/v1/applications/kettle"


@dataclass(slots=True, kw_only=True)
class Call:
    """One call as it came."""

    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def document(self) -> object:
        return json.loads(self.body)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(slots=True, kw_only=True)
class Reply:
    """One answer; `body` is sent as it is if it is bytes."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class FakeServer:
    """Answers by `METHOD path`; a list of answers is given one after the other, the last one for ever."""

    url: str
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def on(self, line: str, body: object = None, status: int = 200, **headers: str) -> None:
        """Add an answer to `METHOD path`, the path with its query or without."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.setdefault(line, []).append(Reply(body=body, status=status, headers=named))

    def refuse(self, line: str, status: int, code: str, detail: str) -> None:
        """Add a problem."""
        problem = {"type": f"urn:otao:problem:{code}", "title": "", "status": status, "detail": detail, "code": code}
        self.on(line, {**problem, "message": detail}, status)

    @property
    def lines(self) -> list[str]:
        return [call.line for call in self.calls]

    def changes(self) -> list[Call]:
        """Calls that are no GET."""
        return [call for call in self.calls if call.method != "GET"]

    def find(self, call: Call) -> Reply:
        for line in (call.line, call.line.partition("?")[0]):
            if replies := self.replies.get(line):
                return replies.pop(0) if len(replies) > 1 else replies[0]
        detail = f"there is no {call.line}"
        return Reply(body={"code": "not-found", "detail": detail, "status": 404}, status=404)

    def run(self, *arguments: str, given: str | bytes | None = None, **environment: str) -> Result:
        """Run `otao` against this server."""
        unset = dict.fromkeys(("OTAO_APPLICATION", "OTAO_API_KEY", "OTAO_API_KEY_FILE", "OTAO_SERVER"))
        runner = CliRunner(env={**unset, "OTAO_SERVER": self.url, **environment})
        return runner.invoke(main, arguments, input=given)


@contextmanager
def open_server() -> Iterator[FakeServer]:
    """A server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            call = Call(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=_body(self),
            )
            fake.calls.append(call)
            reply = fake.find(call)
            content = reply.body if isinstance(reply.body, bytes) else _encoded(reply.body)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - the base class looks for these names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeServer(url=f"http://127.0.0.1:{server.server_port}")
    fake.on("GET /api/v1/applications", {"items": [{"name": "kettle"}], "next": None})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _encoded(body: object) -> bytes:
    return b"" if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("transfer-encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("content-length", 0)))
    parts: list[bytes] = []
    while size := int(handler.rfile.readline(), 16):
        parts.append(handler.rfile.read(size))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(parts)
