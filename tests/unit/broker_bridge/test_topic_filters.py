"""Topic filters, by the examples of the specification."""

from __future__ import annotations

import pytest

from broker_bridge.topic_filters import matcher


@pytest.mark.parametrize(
    ("topic_filter", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/tennis/player1/#", "sport/tennis/player10", False),
        ("#", "a/b", True),
        ("#", "$SYS/broker", False),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/broker", True),
        ("a.c", "abc", False),
        ("a/+/c", "a/line\nbreak/c", True),
        ("a/#", "a/line\nbreak", True),
        ("a", "a\n", False),
    ],
)
def test_the_specification_s_examples(topic_filter: str, topic: str, matches: bool) -> None:
    assert matcher([topic_filter])(topic) is matches


def test_one_of_several_is_enough_and_none_matches_nothing() -> None:
    assert matcher(["a/#", "b"])("b")
    assert not matcher(["a/#", "b"])("c")
    assert not matcher([])("")
