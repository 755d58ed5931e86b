"""Who serves what: shared evenly, by moves that end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.application import partitions, shares

NAMES = partitions.names(4)
REPLICAS = [f"r{number}" for number in range(6)]
HOLDERS = st.dictionaries(st.sampled_from(partitions.names(8)), st.sampled_from([*REPLICAS, "gone"]))
PRESENT = st.sets(st.sampled_from(REPLICAS), min_size=1)


def amounts(holders: dict[str, str], present: set[str]) -> list[int]:
    return [list(holders.values()).count(name) for name in present]


def test_one_replica_takes_everything() -> None:
    assert shares.takers(NAMES, {}, ["a"]) == dict.fromkeys(NAMES, "a")


def test_what_nobody_holds_goes_to_those_who_have_the_fewest_in_turn() -> None:
    assert shares.takers(NAMES, {"main": "a"}, ["a", "b"]) == {"p2": "b", "p3": "a", "p4": "b"}
    assert shares.takers(NAMES, dict.fromkeys(NAMES, "a"), ["a", "b"]) == {}


def test_whoever_has_two_more_than_another_hands_its_last_one_over() -> None:
    assert shares.handover(NAMES, dict.fromkeys(NAMES, "a"), ["a", "b"]) == ("a", "p4")
    assert shares.handover(NAMES, dict.fromkeys(NAMES, "a") | {"p4": "b", "p3": "b"}, ["a", "b"]) is None
    three = dict.fromkeys(NAMES[:2], "a") | dict.fromkeys(NAMES[2:], "b")
    assert shares.handover(NAMES, three, ["a", "b", "c"]) == ("b", "p4")


def test_nothing_is_handed_over_while_something_is_on_its_way() -> None:
    assert shares.handover(NAMES, dict.fromkeys(NAMES[:3], "a"), ["a", "b"]) is None


def test_what_a_replica_holds_that_is_not_heard_is_left_to_it() -> None:
    assert shares.handover(NAMES, dict.fromkeys(NAMES, "gone"), ["a", "b"]) is None


def test_partitions_that_one_does_not_know_of_count_for_nobody() -> None:
    held = {"main": "b", "p2": "c", "p3": "b", "p4": "a", "p5": "a", "p6": "a"}
    assert shares.handover(partitions.names(3), held, ["a", "b", "c"]) == ("b", "p3")
    assert shares.takers(NAMES, held | {"main": "b"}, ["a", "b", "c"]) == {}


@given(st.integers(1, 8), HOLDERS, PRESENT)
def test_what_is_handed_over_is_known_whatever_others_hold(
    amount: int, holders: dict[str, str], present: set[str]
) -> None:
    names = partitions.names(amount)
    move = shares.handover(names, holders, present)
    assert move is None or (move[1] in names and holders[move[1]] == move[0])


@given(st.integers(1, 8), HOLDERS, PRESENT)
def test_by_taking_and_handing_over_all_come_to_the_same_number_and_then_nothing_moves(
    amount: int, before: dict[str, str], present: set[str]
) -> None:
    names = partitions.names(amount)
    holders = {name: holder for name, holder in before.items() if name in names and holder in present}
    for _ in range(3 * amount):
        holders |= shares.takers(names, holders, present)
        assert len(holders) == amount
        move = shares.handover(names, holders, present)
        if move is None:
            break
        assert holders.pop(move[1]) == move[0]
    assert shares.handover(names, holders, present) is None
    assert max(amounts(holders, present)) - min(amounts(holders, present)) <= 1
