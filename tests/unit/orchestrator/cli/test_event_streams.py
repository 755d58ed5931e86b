"""Server-sent events from bytes, however they were torn apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.cli.event_streams import Event, EventStream

STREAM = (
    'retry: 2500\n\n: alive\n\nid: 7\nevent: endpoint.failed\ndata: {"a":\ndata: 1}\n\n'
    "id: 8\n\nevent: nothing\n\ndata: x\u2028y\u0085z\n\n"
    "id:9\nodd\nevent:summary\ndata\ndata:  two\n\nid: 10\ndata: unfinished\n"
)
EVENTS = [
    Event(kind="endpoint.failed", data='{"a":\n1}'),
    Event(kind="message", data="x\u2028y\u0085z"),
    Event(kind="summary", data="\n two"),
]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@example(cuts=[198, 198])
@given(cuts=st.lists(st.integers(0, 300), max_size=8))
def test_events_are_the_same_wherever_the_stream_is_torn(ending: str, cuts: list[int]) -> None:
    content = STREAM.replace("\n", ending).encode()
    places = [0, *sorted(cuts), len(content)]
    pieces = [content[one:other] for one, other in pairwise(places)]
    stream = EventStream()
    assert list(stream.read(pieces)) == EVENTS
    assert (stream.last_id, stream.retry_seconds) == ("10", 2.5)


def test_an_unfinished_event_is_not_carried_into_the_next_stream() -> None:
    stream = EventStream()
    assert list(stream.read([b"event: a\ndata: 1\n"])) == []
    assert list(stream.read([b"data: 2\n\n"])) == [Event(kind="message", data="2")]


@pytest.mark.parametrize("line", [b"id: a\0b", b"retry: soon", b"retry: -1", b"retry:", b"ID: 3"])
def test_a_field_that_is_none_changes_nothing(line: bytes) -> None:
    stream = EventStream()
    assert list(stream.read([b"id: 1\n", line, b"\n\n"])) == []
    assert (stream.last_id, stream.retry_seconds) == ("1", None)


@given(st.lists(st.binary()))
def test_any_bytes_are_read(pieces: list[bytes]) -> None:
    for event in EventStream().read(pieces):
        assert isinstance(event.document, dict)


def test_data_that_is_no_object_reads_as_none() -> None:
    assert Event(kind="x", data="[1]").document == {}
    assert Event(kind="x", data="{").document == {}
    assert Event(kind="x", data='{"a": 1}').document == {"a": 1}
