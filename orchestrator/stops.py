"""How the service is told to stop, and that it does so in time.

Rules:
- SIGTERM and SIGINT are heard as long as the service runs; the first one begins the stop, others change nothing.
- A stop that a locked database or a dead disk holds up ends the process when its time is over, as a kill would: a
  transaction is in the database or it is not, and what was not acknowledged comes again (invariants 1 and 2).

Layer: beside the service; knows nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from orchestrator.outcomes import DONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = structlog.get_logger(__name__)

STOP_SECONDS = 4.0
"""From the signal to the end at the latest; supervisors kill after ten seconds or more."""


def end() -> None:
    """End the process, whatever its threads wait for."""
    log.warning("the stop is out of time; what is under way is left to the next start", seconds=STOP_SECONDS)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(DONE)


@contextmanager
def signalled(seconds: float = STOP_SECONDS, *, late: Callable[[], None] = end) -> Iterator[asyncio.Event]:
    """Yield what is set at the first signal; when the block has not ended some seconds later, call `late`.

    `late` is called in a thread of its own: what holds the stop up may hold the event loop up as well.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    timer = threading.Timer(seconds, late)
    timer.daemon = True

    def begin() -> None:
        if not stop.is_set():
            stop.set()
            timer.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin)
    try:
        yield stop
    finally:
        timer.cancel()
