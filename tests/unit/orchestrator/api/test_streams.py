from __future__ import annotations

import pytest

from orchestrator.api.streams import Streams, TooManyStreamsError


def test_streams_are_numbered_and_counted_while_they_are_open() -> None:
    streams = Streams()
    with streams.one() as first, streams.one() as second:
        assert (first, second, streams.open) == (1, 2, 2)
    assert (streams.open, streams.opened) == (0, 2)


def test_no_more_than_the_limit_are_opened() -> None:
    streams = Streams(limit=1)
    streams.check()
    with streams.one(), pytest.raises(TooManyStreamsError, match="1 streams"):
        streams.check()
    streams.check()


def test_streams_share_what_there_is_and_each_gets_something() -> None:
    streams = Streams(limit=300)
    assert streams.share == 200
    streams.open = 8
    assert streams.share == 25
    streams.open = 300
    assert streams.share == 1
