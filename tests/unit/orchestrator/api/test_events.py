from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from orchestrator.api import events
from orchestrator.api.problems import ParameterError
from orchestrator.application.documents.events import KINDS

if TYPE_CHECKING:
    from orchestrator.api.contexts import ApiContext
    from orchestrator.application.feeds import Reader


def test_types_are_chosen_by_name_and_by_family_and_what_was_missed_is_always_told() -> None:
    assert events._kinds(None) == KINDS
    assert events._kinds("summary") == {"summary", "events.dropped"}
    assert events._kinds("freeze.*,endpoint.failed") == {
        "freeze.set",
        "freeze.lift",
        "endpoint.failed",
        "events.dropped",
    }


@pytest.mark.parametrize("given", ["", "endpoint", "endpoint.", "*", "end*", "nothing.*", "summary,", "Summary"])
def test_what_is_no_type_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="types"):
        events._kinds(given)


def test_a_number_of_an_event_is_read() -> None:
    assert events._number(None) is None
    assert events._number("  ") is None
    assert events._number(" 1763930000000000 ") == 1_763_930_000_000_000


@pytest.mark.parametrize("given", ["x", "-1", "1.0", "9" * 19, "\u0661"])
def test_what_is_no_number_of_an_event_is_refused(given: str) -> None:
    with pytest.raises(ParameterError, match="Last-Event-ID"):
        events._number(given)


class Slow:
    """Numbers that are read from a database, which takes its time."""

    def __init__(self) -> None:
        self.asked, self.free = asyncio.Event(), asyncio.Event()
        self.ended = asyncio.Event()

    async def summary(self, application: str) -> dict[str, str]:
        self.asked.set()
        await self.free.wait()
        self.ended.set()
        return {"name": application}


async def test_a_reader_who_leaves_does_not_cut_short_what_is_read_for_it() -> None:
    slow = Slow()
    context = cast("ApiContext", SimpleNamespace(observations=slow, now=lambda: None))
    stream = events._Stream(context=context, application="kettle", kinds={"summary"}, after=None)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stream._greeting(cast("Reader", None), 1))
        await slow.asked.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        slow.free.set()
        async with asyncio.timeout(5):
            await slow.ended.wait()
