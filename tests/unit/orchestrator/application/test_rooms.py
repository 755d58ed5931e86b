from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.counters import CounterKey
from orchestrator.application.rooms import NUMBERS, PLENTY, Ledger, Rooms
from orchestrator.domain.policies import UNLIMITED, Exponential, Limits, RolloutPolicy
from orchestrator.persistence.memory import MemoryStorage
from tests.contract.storages import APP, NOW, entry_of
from tests.unit.orchestrator.domain.builders import MINUTE, endpoint, general, recalled, v

if TYPE_CHECKING:
    from datetime import datetime

    from orchestrator.application.directory import Entry
    from orchestrator.domain.software import Software

KETTLE = replace(APP, key=1)
OLD, NEW, OTHER = v("1.0.0"), v("1.1.0"), v("2.0.0")


def limited(version: str, *upgradable_from: str, limits: Limits) -> Software:
    return replace(general(version, *upgradable_from), policy=RolloutPolicy(limits=limits))


def entry(own: Limits = UNLIMITED, whole: Limits = UNLIMITED, *more: Software) -> Entry:
    software = [limited("1.1.0", "1.0.0", limits=own), general("2.0.0", "1.0.0"), *more]
    return entry_of(replace(KETTLE, limits=whole), software)


def held(amount: int, version: str = "1.1.0", origin: str = "1.0.0") -> Counter[CounterKey]:
    return Counter({CounterKey(1, "slots", v(version), v(origin)): amount})


async def enter(rooms: Rooms, of: Entry, numbers: Counter[CounterKey] | None = None, at: datetime = NOW) -> Ledger:
    storage = MemoryStorage()
    storage.state.counters = numbers or Counter()
    async with storage.transaction() as transaction:
        return await rooms.enter(transaction, [of, None], at)


async def test_where_nothing_is_limited_there_is_room_for_all_and_nothing_is_read() -> None:
    class NoTransaction:
        """Nobody is asked."""

    ledger = await Rooms().enter(NoTransaction(), [entry(), None], NOW)  # type: ignore[arg-type]  # it is not touched
    assert ledger.take(entry(), OLD, NEW, 1_000_000) == 1_000_000
    assert ledger.room(entry())(endpoint(), NEW)
    assert ledger.room(None)(endpoint(), NEW)


@pytest.mark.parametrize(
    ("own", "whole", "free"),
    [
        (Limits(in_progress=5), UNLIMITED, 3),
        (UNLIMITED, Limits(in_progress=5), 3),
        (Limits(in_progress=5), Limits(in_progress=3), 1),
        (Limits(in_progress=2), Limits(in_progress=9), 0),
        (Limits(in_progress=1), UNLIMITED, 0),
        (UNLIMITED, UNLIMITED, PLENTY),
    ],
)
async def test_slots_that_are_held_leave_the_rest_free_the_less_of_rollout_and_application(
    own: Limits, whole: Limits, free: int
) -> None:
    of = entry(own, whole)
    assert (await enter(Rooms(), of, held(2))).free(of, OLD, NEW) == free


async def test_what_one_transaction_has_taken_it_does_not_give_again() -> None:
    of = entry(Limits(in_progress=5))
    ledger = await enter(Rooms(), of, held(2))
    room = ledger.room(of)
    assert [room(endpoint(), NEW), ledger.take(of, OLD, NEW, 9), room(endpoint(), NEW)] == [True, 2, False]
    assert not ledger.may_offer(of, NEW)
    # Another rollout has room of its own.
    assert ledger.take(of, OLD, OTHER, 9) == 9


async def test_an_application_s_limit_is_shared_by_its_rollouts() -> None:
    of = entry(UNLIMITED, Limits(in_progress=5))
    ledger = await enter(Rooms(), of, held(1) + held(1, "2.0.0"))
    assert [ledger.take(of, OLD, NEW, 2), ledger.take(of, OLD, OTHER, 9)] == [2, 1]


async def test_a_rate_is_remembered_from_one_transaction_to_the_next_also_where_one_is_rolled_back() -> None:
    rooms, of = Rooms(), entry(Limits(per_minute=60))
    assert (await enter(rooms, of)).take(of, OLD, NEW, 9) == 2
    assert (await enter(rooms, of)).take(of, OLD, NEW, 9) == 0
    assert (await enter(rooms, of, at=NOW + timedelta(seconds=1.1))).take(of, OLD, NEW, 9) == 1
    assert (await enter(rooms, of, at=NOW + MINUTE)).take(of, OLD, NEW, 9) == 2


async def test_a_rate_that_is_taken_away_and_given_back_is_a_fresh_one() -> None:
    rooms, of = Rooms(), entry(Limits(per_minute=60))
    assert (await enter(rooms, of)).take(of, OLD, NEW, 9) == 2
    slots = entry(Limits(in_progress=9))
    assert (await enter(rooms, slots)).take(slots, OLD, NEW, 1) == 1
    assert (await enter(rooms, of)).take(of, OLD, NEW, 9) == 2


async def test_a_growing_rate_looks_at_what_was_done() -> None:
    growth = Exponential(base=60, factor=2, succeeded=10)
    of = entry(Limits(exponential=growth))
    done = CounterKey(1, "attempts", NEW, OLD, "confirmed")
    for confirmed, free in ((0, 2), (9, 2), (10, 3), (20, 5)):
        numbers = Counter({done: confirmed, done._replace(label="failed"): 50, done._replace(application=2): 50})
        assert (await enter(Rooms(), of, numbers)).free(of, OLD, NEW) == free


async def test_a_rescue_is_paced_by_the_limits_of_what_is_recalled() -> None:
    bad = replace(recalled("1.2.0", "1.0.0"), policy=RolloutPolicy(limits=Limits(in_progress=3)))
    of = entry(Limits(in_progress=50), UNLIMITED, bad)
    numbers = held(1, "2.0.0", "1.2.0") + held(7)
    ledger = await enter(Rooms(), of, numbers)
    assert ledger.free(of, v("1.2.0"), OTHER) == ledger.free(of, v("1.2.0"), NEW) == 2
    assert ledger.free(of, OLD, NEW) == 43
    # Whose room is used up depends on what is run: a queue has to be looked at.
    full = await enter(Rooms(), of, held(50))
    assert (full.free(of, OLD, NEW), full.may_offer(of, NEW)) == (0, True)


def test_the_numbers_that_are_looked_at_are_of_attempts_and_slots() -> None:
    assert NUMBERS == ("attempts", "slots")
