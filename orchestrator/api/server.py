"""The HTTP server, in the event loop of the service.

Rules:
- It takes no signals: the service does, and cancels it.
- When it is cancelled it takes no more requests, and gives those that run two seconds.

Layer: api.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from orchestrator.api.guards import App

GRACE_SECONDS = 2
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 512


class ListenError(Exception):
    """The address cannot be listened on."""

    code = "listen-failed"

    def __init__(self, host: str, port: int, reason: str) -> None:
        """Name the address and why."""
        super().__init__(f"cannot listen on {host}:{port}: {reason}")


async def serve(app: App, host: str, port: int, *, started: Callable[[str], None]) -> None:
    """Serve until cancelled; `started` is called once with the base address, port 0 replaced by the one it got.

    Raises:
        ListenError: the address is taken, not ours, or not allowed.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # Not `server.serve`: that one takes the process's signals.
    await server.startup(sockets=[listener])
    try:
        started(f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}")
        await server.main_loop()
    finally:
        await server.shutdown(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(host, port, error.strerror or str(error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.settimeout(0)
    except OSError as error:
        listener.close()
        raise ListenError(host, port, error.strerror or str(error)) from error
    return listener
