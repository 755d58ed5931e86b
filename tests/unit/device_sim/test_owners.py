"""Who is asked for consent, how often, and what becomes of the answer."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from device_sim.owners import Asked, Owner
from protocol import consents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE = Asked(version="1.1.0", metadata={"description": "quieter"})
SECONDS = 5.0


def ask(version: str = "1.1.0") -> bytes:
    return consents.ask(version, '{"description":"quieter"}')


class Home:
    """An owner who decides when the test says so."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.decisions: asyncio.Queue[bool | tuple[bool, str] | Exception] = asyncio.Queue()
        self.answers: asyncio.Queue[object] = asyncio.Queue()
        self.taken_back: list[str] = []
        self.owner = Owner(self._decide, self._answer)

    async def _decide(self, asked: Asked) -> bool | tuple[bool, str]:
        self.asked.put_nowait(asked)
        try:
            decided = await self.decisions.get()
        except asyncio.CancelledError:
            self.taken_back.append(asked.version)
            raise
        if isinstance(decided, Exception):
            raise decided
        return decided

    async def _answer(self, payload: bytes) -> None:
        self.answers.put_nowait(json.loads(payload))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            task = group.create_task(self.owner.run())
            yield
            task.cancel()


async def test_the_owner_is_asked_and_the_answer_handed_on() -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        assert await home.asked.get() == ONE
        home.decisions.put_nowait(True)
        assert await home.answers.get() == {"configId": "1.1.0", "granted": True}
        home.owner.hear(ask("1.2.0"))
        await home.asked.get()
        home.decisions.put_nowait((False, "not before tea time"))
        assert await home.answers.get() == {
            "configId": "1.2.0",
            "granted": False,
            "reasonPhrase": "not before tea time",
        }


async def test_the_same_question_is_answered_each_time_and_put_only_once() -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        await home.asked.get()
        # As with a connection that was made again meanwhile.
        home.owner.hear(ask())
        home.decisions.put_nowait(True)
        first = await home.answers.get()
        home.owner.hear(ask())
        assert await home.answers.get() == first
        assert (home.asked.empty(), home.answers.empty(), home.taken_back) == (True, True, [])


async def test_a_question_that_was_taken_back_is_a_new_one_when_it_comes_again() -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        await home.asked.get()
        home.decisions.put_nowait(False)
        await home.answers.get()
        home.owner.hear(b"")
        home.owner.hear(ask())
        assert await home.asked.get() == ONE


@pytest.mark.parametrize("newer", [b"", ask("1.2.0")])
async def test_an_open_question_is_taken_back_when_otao_no_longer_asks_it(newer: bytes) -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        await home.asked.get()
        home.owner.hear(newer)
        home.owner.hear(ask("1.3.0"))
        assert (await home.asked.get()).version == "1.3.0"
        assert home.taken_back == ["1.1.0"]
        home.decisions.put_nowait(True)
        assert await home.answers.get() == {"configId": "1.3.0", "granted": True}


async def test_a_decision_that_fails_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        await home.asked.get()
        home.decisions.put_nowait(RuntimeError("the display is off"))
        # Heard again after the failure, the question is put again.
        while home.asked.empty():
            home.owner.hear(ask())
            await asyncio.sleep(0)
        home.decisions.put_nowait(True)
        assert await home.answers.get() == {"configId": "1.1.0", "granted": True}
    assert "nobody decided on 1.1.0" in caplog.text


@pytest.mark.parametrize("payload", [b"rubbish", b'{"configId":"1.1.0"}', b'{"configId":"1.1.0","metadata":[1e999]}'])
async def test_what_is_no_question_changes_nothing(payload: bytes, caplog: pytest.LogCaptureFixture) -> None:
    home = Home()
    async with home.open():
        home.owner.hear(ask())
        await home.asked.get()
        home.owner.hear(payload)
        home.decisions.put_nowait(True)
        assert await home.answers.get() == {"configId": "1.1.0", "granted": True}
    assert "an ask for consent is none" in caplog.text
