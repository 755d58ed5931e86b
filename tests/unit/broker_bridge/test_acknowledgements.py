from __future__ import annotations

from broker_bridge.acknowledgements import Acknowledgements


def owing(*packet_ids: int) -> Acknowledgements:
    owed = Acknowledgements()
    for packet_id in packet_ids:
        owed.received(packet_id)
    return owed


def test_messages_are_acknowledged_in_the_order_given_and_once() -> None:
    owed = owing(1, 2, 3)
    assert owed.release([1, 2]) == [1, 2]
    assert len(owed) == 1
    assert owed.release([1, 2]) == []
    assert owed.release([3]) == [3]
    assert len(owed) == 0


def test_a_dropped_message_with_nothing_before_it_is_due_at_once() -> None:
    assert Acknowledgements().dropped(9) == [9]


def test_dropped_messages_wait_for_the_one_before_them() -> None:
    owed = owing(1, 2)
    assert owed.dropped(3) == []
    assert owed.dropped(4) == []
    owed.received(5)
    assert owed.release([1]) == [1]
    assert owed.release([2, 5]) == [2, 3, 4, 5]
    assert owed.dropped(6) == [6]


def test_an_identifier_received_twice_is_acknowledged_twice() -> None:
    owed = owing(7, 7)
    assert owed.dropped(8) == []
    assert owed.release([7]) == [7]
    assert len(owed) == 1
    assert owed.release([7]) == [7, 8]


def test_what_was_never_received_is_left_out() -> None:
    assert owing(1).release([4]) == []
