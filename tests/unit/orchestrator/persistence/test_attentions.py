"""Which endpoints need attention, found without a look at the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from orchestrator.application.pushes import ParkedPush
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.attentions import TroubleKind
from orchestrator.domain.endpoints import Endpoint, Setback, TokenState
from orchestrator.domain.policies import Limits
from orchestrator.persistence import attentions
from tests.contract.storages import APP, NOW, newcomer, one, store
from tests.unit.orchestrator.domain.builders import DAY, HOUR, general, recalled, v

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from orchestrator.application.records import StoredTrouble
    from tests.contract.storages import SqlShelf

FINE = Endpoint(running=v("1.0.0"), running_since=NOW, last_seen_at=NOW, registered_at=NOW)
OFFERED = Attempt(version=v("1.1.0"), number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW)
INDEXED = frozenset(TroubleKind) - {TroubleKind.RECALLED, TroubleKind.UNSEEN}


def trying(**changes: Any) -> Endpoint:  # noqa: ANN401 - the fields of an attempt
    return replace(FINE, sequence=1, attempt=replace(OFFERED, **changes))


def failing(state: AttemptState, *, exhausted: bool = False) -> Endpoint:
    setback = Setback(
        failures=2, retry_at=None if exhausted else NOW + HOUR, exhausted=exhausted, reason="no room left"
    )
    endpoint = trying(state=state, settled_at=NOW - HOUR, reason="no room left")
    return replace(endpoint, setbacks={v("1.1.0"): setback})


CASES = {
    TroubleKind.EXHAUSTED: failing(AttemptState.FAILED, exhausted=True),
    TroubleKind.RECALLED: replace(FINE, running=v("0.9.0")),
    TroubleKind.REFUSED: FINE,
    TroubleKind.LOOP: trying(reached_at=NOW - DAY / 2, returns=3, returned_at=NOW),
    TroubleKind.REVERTED: failing(AttemptState.REVERTED),
    TroubleKind.EXPIRED: failing(AttemptState.EXPIRED),
    TroubleKind.UNHEALTHY: replace(
        trying(state=AttemptState.SOAKING, soaking_at=NOW - HOUR, healthy=False), running=v("1.1.0")
    ),
    TroubleKind.FAILED: failing(AttemptState.FAILED),
    TroubleKind.STALLED: trying(state=AttemptState.INSTALLING, reached_at=NOW - 2 * HOUR),
    TroubleKind.NOT_TAKEN: trying(reached_at=NOW - 2 * HOUR),
    TroubleKind.UNKNOWN: Endpoint(registered_at=NOW),
    TroubleKind.UNSEEN: replace(trying(offered_at=NOW - 8 * DAY), last_seen_at=NOW - 9 * DAY),
}
HEALTHY = {
    "plain": FINE,
    "offered": trying(),
    "just reached": trying(reached_at=NOW - HOUR / 2),
    "just started": trying(state=AttemptState.INSTALLING, reached_at=NOW - HOUR / 2),
    "confirmed": trying(state=AttemptState.CONFIRMED, reached_at=NOW - 2 * DAY, settled_at=NOW - DAY),
    "soaks, and is well again": trying(state=AttemptState.SOAKING, soaking_at=NOW - HOUR, healthy=True),
    "was not well, and moved on": trying(state=AttemptState.WITHDRAWN, settled_at=NOW - HOUR, healthy=False),
    "came back, and made it": trying(state=AttemptState.CONFIRMED, returns=5, settled_at=NOW),
    "failed, and was retried": replace(failing(AttemptState.FAILED), setbacks={}),
    "failed once, now on its way": replace(failing(AttemptState.FAILED), attempt=replace(OFFERED, number=2)),
    "silent without an offer": replace(FINE, last_seen_at=NOW - 30 * DAY),
    "silent with a new offer": replace(trying(), last_seen_at=NOW - 30 * DAY),
    "suspended": replace(failing(AttemptState.FAILED, exhausted=True), token_state=TokenState.SUSPENDED),
}


@pytest.fixture
async def entry(shelf: SqlShelf) -> Entry:
    return await shelf.define(APP, [recalled("0.9.0"), general("1.0.0"), general("1.1.0", "1.0.0")])


async def park(shelf: SqlShelf, entry: Entry, token: str) -> None:
    key = (await one(shelf, entry, token)).key
    push = ParkedPush(topic=f"kp1/{token}", key=key, reason_code=0x87, parked_at=NOW - HOUR, retry_at=NOW, tries=1)
    async with shelf.storage.transaction() as transaction:
        await transaction.park([push])


async def everything(shelf: SqlShelf, entry: Entry) -> list[StoredTrouble]:
    return await shelf.storage.troubles(entry, None, 500, NOW)


@pytest.mark.parametrize("problem", TroubleKind)
async def test_each_problem_is_found(shelf: SqlShelf, entry: Entry, problem: TroubleKind) -> None:
    await store(shelf, entry, newcomer(entry, "bad", CASES[problem]), newcomer(entry, "good", FINE))
    if problem is TroubleKind.REFUSED:
        await park(shelf, entry, "bad")
    (found,) = await everything(shelf, entry)
    assert (found.trouble.problem, found.trouble.endpoint_id, found.token) == (problem, "bad", "bad")


@pytest.mark.parametrize("case", HEALTHY)
async def test_who_is_on_the_way_or_there_needs_no_attention(shelf: SqlShelf, entry: Entry, case: str) -> None:
    await store(shelf, entry, newcomer(entry, "good", HEALTHY[case]))
    assert await everything(shelf, entry) == []


async def test_who_was_confirmed_and_is_not_well_needs_attention(shelf: SqlShelf, entry: Entry) -> None:
    unwell = trying(state=AttemptState.CONFIRMED, settled_at=NOW - DAY, healthy=False)
    await store(shelf, entry, newcomer(entry, "bad", replace(unwell, running=v("1.1.0"))))
    (found,) = await everything(shelf, entry)
    assert (found.trouble.problem, found.trouble.since) == (TroubleKind.UNHEALTHY, NOW - DAY)


async def test_an_endpoint_is_listed_once_with_its_worst_problem(shelf: SqlShelf, entry: Entry) -> None:
    worst = replace(failing(AttemptState.FAILED, exhausted=True), running=v("0.9.0"))
    await store(shelf, entry, newcomer(entry, "bad", worst), newcomer(entry, "late", CASES[TroubleKind.UNSEEN]))
    await park(shelf, entry, "bad")
    await park(shelf, entry, "late")
    found = [(item.trouble.endpoint_id, item.trouble.problem) for item in await everything(shelf, entry)]
    assert found == [("bad", TroubleKind.EXHAUSTED), ("late", TroubleKind.REFUSED)]


async def test_the_values_are_those_that_the_sentences_name(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, *(newcomer(entry, problem.value, CASES[problem]) for problem in TroubleKind))
    await park(shelf, entry, "push-refused")
    found = {item.trouble.problem: item.trouble for item in await everything(shelf, entry)}
    exhausted, refused, loop = found[TroubleKind.EXHAUSTED], found[TroubleKind.REFUSED], found[TroubleKind.LOOP]
    assert (exhausted.times, exhausted.cause, exhausted.since) == (2, "no room left", NOW - HOUR)
    assert (refused.times, refused.cause, refused.since) == (0x87, "kp1/push-refused", NOW - HOUR)
    assert (loop.times, loop.version, loop.running) == (3, v("1.1.0"), v("1.0.0"))
    assert found[TroubleKind.UNKNOWN].seen_at is None
    assert (found[TroubleKind.UNHEALTHY].since, found[TroubleKind.UNHEALTHY].running) == (NOW - HOUR, v("1.1.0"))
    assert found[TroubleKind.STALLED].since == NOW - 2 * HOUR


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_parts_of_the_list_make_up_the_whole_the_worst_first(shelf: SqlShelf, entry: Entry, size: int) -> None:
    drafts = [newcomer(entry, f"{problem.value}-{n}", CASES[problem]) for n in range(3) for problem in TroubleKind]
    await store(shelf, entry, *drafts)
    for number in range(3):
        await park(shelf, entry, f"push-refused-{number}")
    found: list[StoredTrouble] = []
    while part := await shelf.storage.troubles(entry, found[-1].place if found else None, size, NOW):
        found += part
    assert found == await everything(shelf, entry)
    assert [item.trouble.problem for item in found] == [problem for problem in TroubleKind for _ in range(3)]


async def test_an_application_does_not_show_anothers_troubles(shelf: SqlShelf, entry: Entry) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)))
    await store(shelf, entry, *(newcomer(entry, problem.value, CASES[problem]) for problem in TroubleKind))
    assert await everything(shelf, other) == []


async def test_a_software_with_a_short_deadline_is_looked_at_early(shelf: SqlShelf) -> None:
    quick = general("1.1.0", "1.0.0")
    quick = replace(quick, policy=replace(quick.policy, installing=timedelta(minutes=10)))
    entry = await shelf.define(APP, [general("1.0.0"), quick])
    await store(shelf, entry, newcomer(entry, "bad", trying(reached_at=NOW - timedelta(minutes=6))))
    await store(shelf, entry, newcomer(entry, "good", trying(reached_at=NOW - timedelta(minutes=4))))
    assert [item.token for item in await everything(shelf, entry)] == ["bad"]


async def test_who_holds_a_slot_and_was_not_heard_is_looked_at_like_others(shelf: SqlShelf) -> None:
    """It has a term, and no moment at which it was reached."""
    paced = general("1.1.0", "*")
    paced = replace(paced, policy=replace(paced.policy, limits=Limits(in_progress=5)))
    entry = await shelf.define(APP, [general("1.0.0"), paced])
    offered = replace(CASES[TroubleKind.UNKNOWN], sequence=1, attempt=replace(OFFERED, origin=None))
    await store(shelf, entry, newcomer(entry, "bad", offered))
    assert [item.trouble.problem for item in await everything(shelf, entry)] == [TroubleKind.UNKNOWN]


async def test_rare_problems_are_found_by_their_indexes(shelf: SqlShelf, entry: Entry) -> None:
    await store(shelf, entry, newcomer(entry, "good", FINE))
    dictionary = shelf.storage._dictionary
    async with shelf.storage.reading() as connection:
        lanes = list(attentions._lanes(entry, {}, NOW, dictionary))
        for number, lane in enumerate(lanes):
            higher = [before.condition for before in lanes[:number]]
            statement = attentions._statement(lane, higher, entry, None, 100)
            bound = str(statement.compile(connection.engine.sync_engine, compile_kwargs={"literal_binds": True}))
            plan = [row[3] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {bound}"))]
            first = plan[0]
            indexed = "USING INDEX" in first or first == "SEARCH endpoint_state USING INTEGER PRIMARY KEY (rowid=?)"
            assert indexed == (lane.problem in INDEXED), (lane.problem, plan)
