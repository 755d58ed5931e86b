"""`otao demo` as a command: what is refused, and how it ends; the whole of it is in tests/system/test_demo.py."""

from __future__ import annotations

import asyncio
import os
import signal

import click
import pytest
from click.testing import CliRunner

from device_sim.errors import BrokerUnreachableError
from orchestrator.cli import demo as module
from orchestrator.cli.demo import _ending, _Signals, demo
from orchestrator.cli.endings import FailedError


@pytest.mark.parametrize(
    "words", [["--devices", "0"], ["--devices", "many"], ["--broker", "carrier pigeons"], ["--seconds", "-1"], ["now"]]
)
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    assert CliRunner().invoke(demo, words).exit_code == 2


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (True, 0),
        (False, 3),
        (FailedError("broken"), 1),
        (asyncio.CancelledError(), 1),
        (ExceptionGroup("", [ExceptionGroup("", [FailedError("broken")])]), 1),
        (BrokerUnreachableError("127.0.0.1:1", "refused"), 1),
    ],
)
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, outcome: bool | BaseException, code: int) -> None:
    async def show(_wish: object) -> bool:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(module, "_show", show)
    ended = CliRunner().invoke(demo, [])
    assert ended.exit_code == code
    assert ended.stderr.startswith("otao: ") is (code != 0)


def test_what_is_no_cause_of_its_own_stays_as_it_is() -> None:
    odd = ExceptionGroup("", [KeyError("odd")])
    assert _ending(odd) is odd
    named = _ending(ExceptionGroup("", [BrokerUnreachableError("h:1", "refused")]))
    assert isinstance(named, click.ClickException)
    assert "h:1" in str(named)


async def test_a_signal_ends_the_task_unless_it_waits_for_one() -> None:
    waited: list[str] = []

    async def work() -> None:
        signals = _Signals()
        os.kill(os.getpid(), signal.SIGTERM)
        await signals.received()
        waited.append("for the first")
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(work())
    assert waited == ["for the first"]
    assert task.cancelled()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(number)
