"""A client of the REST interface.

Rules:
- What is refused is shown as the server says it, with its code: exit code 2 for 4xx; 1 for 5xx, and for an edit that
  somebody else's came before; 4 when no answer came.
- The API key goes to the server that was named and nowhere else: redirects are not followed. It is in no message.
- A proxy of the environment is not asked for what is on this machine.

Spec: RFC 9110 (conditional requests), RFC 9457 (problems).

Layer: cli.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlsplit

from orchestrator.cli.documents import items
from orchestrator.cli.endings import FailedError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from orchestrator.cli.documents import Document

BASE = "/api/v1"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
PAGE = 500
_LOOPBACK = ("localhost", "::1")


class ProblemError(RefusedError):
    """The server refused; `code` and `detail` are its own words."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        """Keep what it said."""
        super().__init__(f"{detail} ({code})")
        self.status = status
        self.code = code
        self.detail = detail


class RacedError(FailedError):
    """Somebody changed the resource between our look at it and our edit."""

    def __init__(self, detail: str) -> None:
        """Say so, and what the server said."""
        super().__init__(
            f"somebody else changed it meanwhile, so nothing was done: look at it and try again ({detail})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of the server that is no refusal."""

    status: int
    text: str
    """The body as it came; empty when there is none."""
    headers: Mapping[str, str]

    @property
    def created(self) -> bool:
        """Whether there was nothing before."""
        return self.status == HTTPStatus.CREATED

    @property
    def withdrawn(self) -> int:
        """How many offers end by what was done."""
        count = self.headers.get("otao-withdrawn", "")
        return int(count) if count.isdecimal() else 0

    @property
    def document(self) -> Document:
        """The body, if it is an object; else an empty one."""
        value = self.value
        return value if isinstance(value, Mapping) else {}

    @property
    def value(self) -> object:
        """The body, decoded."""
        try:
            return json.loads(self.text) if self.text else None
        except ValueError as error:
            raise FailedError("what answers there does not answer as Otao does: its body is no JSON") from error


class Client:
    """Calls of one server; a context manager, which ends its connections.

    Args:
        server: its address, such as `http://127.0.0.1:8080`; a path is put before `/api/v1`.
        key: the API key; None: none is sent.
        reason: why changes are made, for the audit log.

    Raises:
        RefusedError: the address or the reason cannot be used.
    """

    def __init__(self, server: str, *, key: str | None = None, reason: str | None = None) -> None:
        self.server = _checked(server)
        self._headers = {"accept": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        self.reason = reason
        self._http: httpx2.Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._http is not None:
            self._http.close()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> Answer:
        """One call below `/api/v1`; `body` is sent as JSON, `content` as it is; parameters that are None are left out.

        Raises:
            ProblemError: the server refused.
            RacedError: the resource is not as `headers` require.
            UnreachableError: no answer came.
        """
        if body is not None:
            content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        with self._reached(method):
            response = self._opened().request(
                method,
                f"{self.server}{BASE}{path}",
                content=content,
                headers=self._named(method, headers, json_body=body is not None),
                params={name: str(value) for name, value in (parameters or {}).items() if value is not None},
            )
        answer = Answer(status=response.status_code, text=response.text, headers=response.headers)
        check(answer)
        return answer

    @contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str], seconds: float, **parameters: object
    ) -> Iterator[Iterator[bytes]]:
        """An answer that does not end, piece by piece; silence of `seconds` is taken for a lost connection.

        Raises:
            ProblemError: the server refused.
            UnreachableError: no answer came, or the connection was lost.
        """
        import httpx2

        with self._reached("GET"):
            silence = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
            named = self._headers | {"accept": "text/event-stream"} | dict(headers)
            url = f"{self.server}{BASE}{path}"
            given = {name: str(value) for name, value in parameters.items() if value is not None}
            with self._opened().stream("GET", url, headers=named, timeout=silence, params=given) as response:
                if response.status_code != HTTPStatus.OK:
                    response.read()
                    check(Answer(status=response.status_code, text=response.text, headers=response.headers))
                yield response.iter_bytes()

    def get(self, path: str, **parameters: object) -> Answer:
        """Read."""
        return self.call("GET", path, parameters=parameters)

    def pages(self, path: str, limit: int | None = None, **parameters: object) -> Iterator[Answer]:
        """The parts of a list, in its order, until `limit` items; None: until its end."""
        cursor: object = None
        left = limit
        while left is None or left > 0:
            most = PAGE if left is None else min(left, PAGE)
            answer = self.get(path, limit=most, cursor=cursor, **parameters)
            yield answer
            cursor = answer.document.get("next")
            left = None if left is None else left - len(items(answer.document, "items"))
            if cursor is None:
                return

    def put(self, path: str, body: object, *, if_match: str | None = None) -> Answer:
        """Create or replace, if it is still as it was a moment ago, or as `if_match` says."""
        return self.call("PUT", path, body, headers=self._condition(path, if_match))

    def delete(self, path: str, *, if_match: str | None = None) -> Answer:
        """Delete, if it is still as it was a moment ago, or as `if_match` says.

        Raises:
            ProblemError: there is nothing to delete.
        """
        tag = if_match or self.get(path).headers.get("etag", "*")
        return self.call("DELETE", path, headers={"if-match": tag})

    def _condition(self, path: str, if_match: str | None) -> Mapping[str, str]:
        if if_match is not None:
            return {"if-match": if_match}
        try:
            return {"if-match": self.get(path).headers.get("etag", "*")}
        except ProblemError as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            return {"if-none-match": "*"}

    def _named(self, method: str, headers: Mapping[str, str] | None, *, json_body: bool) -> dict[bytes, bytes]:
        named = self._headers | ({"content-type": "application/json"} if json_body else {}) | dict(headers or {})
        if self.reason is not None and method != "GET":
            named["otao-reason"] = self.reason
        return {name.encode(): value.encode() for name, value in named.items()}

    def _opened(self) -> httpx2.Client:
        import httpx2

        if self._http is None:
            host = urlsplit(self.server).hostname or ""
            self._http = httpx2.Client(
                timeout=httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                trust_env=not (host in _LOOPBACK or host.startswith("127.")),
            )
        return self._http

    @contextmanager
    def _reached(self, method: str) -> Iterator[None]:
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise UnreachableError(
                f"{self.server} cannot be reached: {str(error) or 'no answer'}; is `otao serve` running there? "
                "--server or OTAO_SERVER names another"
            ) from error
        except httpx2.TransportError as error:
            doubt = "" if method == "GET" else "; whether it was done is unknown"
            raise UnreachableError(
                f"{self.server} gave no answer: {str(error) or type(error).__name__}{doubt}"
            ) from error
        except (httpx2.InvalidURL, httpx2.DecodingError, UnicodeError) as error:
            raise FailedError(f"{self.server}: {error}") from error


def path(*parts: str) -> str:
    """A path of these levels, each one quoted."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def check(answer: Answer) -> None:
    """Let through what is no refusal.

    Raises:
        ProblemError: it is one.
        RacedError: somebody else's edit came first.
        FailedError: the server failed, or it is not Otao that answers.
    """
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        problem = json.loads(answer.text)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        raise FailedError(f"what answers there does not answer as Otao does: status {answer.status}") from None
    if answer.status in {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.PRECONDITION_REQUIRED}:
        raise RacedError(detail)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise FailedError(f"{detail} ({code})")
    raise ProblemError(answer.status, code, detail)


def _checked(server: str) -> str:
    try:
        parts = urlsplit(server)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        raise RefusedError("the server's address must be http://HOST:PORT or https://HOST:PORT") from None
    if not sound or parts.query or parts.fragment:
        raise RefusedError("the server's address must be http://HOST:PORT or https://HOST:PORT")
    if parts.username is not None:
        raise RefusedError("the server's address must hold no user and password: use --api-key-file or OTAO_API_KEY")
    return server.rstrip("/")
