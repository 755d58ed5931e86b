from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from orchestrator import stops


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_begins_the_stop_and_another_changes_nothing(number: signal.Signals) -> None:
    late = threading.Event()
    with stops.signalled(3600, late=late.set) as stop:
        assert not stop.is_set()
        for _ in range(2):
            os.kill(os.getpid(), number)
            await asyncio.wait_for(stop.wait(), 10)
    assert not late.is_set()


async def test_a_stop_that_is_out_of_time_is_ended_although_the_event_loop_is_held_up() -> None:
    late = threading.Event()
    with stops.signalled(0.01, late=late.set) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 10)
        # Nothing runs in the loop meanwhile.
        assert late.wait(10)


async def test_without_a_signal_time_does_not_run() -> None:
    late = threading.Event()
    with stops.signalled(0.0, late=late.set) as stop:
        await asyncio.sleep(0)
    assert not stop.is_set()
    assert not late.is_set()
