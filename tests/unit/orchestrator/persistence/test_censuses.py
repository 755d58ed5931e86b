"""A census is one read, of as little as is needed; the property of plans holds what it counts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.cohorts import COHORTS, cohort
from orchestrator.domain.endpoints import Consent, Endpoint, Setback
from orchestrator.domain.filters import Filter
from orchestrator.domain.kinds import Crowd, Inquiry, Kind
from orchestrator.domain.rollouts import rank
from orchestrator.domain.stagings import MOST_STAGES, Staging, Step
from tests.contract.storages import NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import HOUR, v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from orchestrator.application.directory import Entry
    from tests.contract.storages import SqlShelf

ONE = Endpoint(running=v("1.0.0"), registered_at=NOW)
EVERYTHING = Inquiry(at=NOW)


async def put(shelf: SqlShelf, entry: Entry, *endpoints: Endpoint, attributes: str = "{}") -> None:
    """Store endpoints whose identifiers are tok0, tok1, and so on; the first has attributes."""
    drafts = [newcomer(entry, f"tok{place}", endpoint) for place, endpoint in enumerate(endpoints)]
    drafts[0].new_attributes = attributes
    await store(shelf, entry, *drafts)


def standing(entry: Entry, place: int, filters: frozenset[str] = frozenset()) -> Endpoint:
    """One of those that were put, as far as stages look at it."""
    return replace(ONE, cohort=cohort(entry.application.name, f"tok{place}"), filters=filters)


async def fill(shelf: SqlShelf, entry: Entry) -> None:
    lone = replace(ONE, pinned=v("1.0.0"))
    await put(shelf, entry, ONE, ONE, lone, Endpoint(registered_at=NOW), attributes='{"site":"lab"}')


async def count(shelf: SqlShelf, entry: Entry, inquiry: Inquiry) -> dict[Kind, int]:
    census = await shelf.storage.census(entry.application.key, inquiry)
    return {kind: crowd.endpoints for kind, crowd in census.items()}


def tried(state: AttemptState, version: str = "1.1.0") -> Endpoint:
    attempt = Attempt(version=v(version), number=1, sequence=1, origin=v("1.0.0"), state=state, offered_at=NOW)
    return replace(ONE, attempt=attempt, sequence=1)


def staging(*steps: Step, present: int = 0, counted: bool = True) -> Staging:
    return Staging(version=v("2.0.0"), turned=COHORTS // 2, present=present, steps=steps, counted=counted)


async def test_without_marks_plain_endpoints_come_from_the_numbers(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    assert await count(shelf, entry, EVERYTHING) == {
        Kind(running=v("1.0.0")): 2,
        Kind(running=v("1.0.0"), pinned=v("1.0.0")): 1,
        Kind(running=None): 1,
    }


async def test_what_is_over_is_of_the_plain_kind(shelf: SqlShelf, entry: Entry) -> None:
    over = replace(ONE, setbacks={v("1.1.0"): Setback(failures=1, retry_at=NOW - HOUR)})
    await put(shelf, entry, ONE, over)
    assert await count(shelf, entry, EVERYTHING) == {Kind(running=v("1.0.0")): 2}


async def test_attempts_under_way_are_told_apart(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, *(tried(state) for state in AttemptState))
    one, upper = v("1.0.0"), v("1.1.0")
    assert await count(shelf, entry, EVERYTHING) == {
        Kind(running=one, offered=upper): 1,
        Kind(running=one, installing=upper, origin=one): 1,
        Kind(running=one, soaking=upper): 1,
        Kind(running=one): len(AttemptState) - 3,
    }


async def test_consents_are_counted_where_they_matter(shelf: SqlShelf, entry: Entry) -> None:
    said = {v("1.1.0"): Consent(granted=True, at=NOW), v("2.0.0"): Consent(granted=False, at=NOW)}
    asked = replace(ONE, asked=v("1.1.0"), consulted=True)
    formerly = replace(ONE, consulted=True)
    await put(shelf, entry, ONE, replace(ONE, consents=said), asked, formerly)
    one, yes, no = v("1.0.0"), frozenset({v("1.1.0")}), frozenset({v("2.0.0")})
    assert await count(shelf, entry, EVERYTHING) == {Kind(running=one): 4}
    assert await count(shelf, entry, replace(EVERYTHING, consents=True)) == {
        Kind(running=one): 2,
        Kind(running=one, consented=yes, refused=no): 1,
        Kind(running=one, asked=v("1.1.0")): 1,
    }


async def test_with_filters_everybody_is_counted_by_them(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    many = [Filter(filter_id=f"f{place}", expression="attributes.site == 'lab'") for place in range(70)]
    every = frozenset({"lab", *(item.filter_id for item in many)})
    assert await count(shelf, entry, Inquiry(at=NOW, filters=(*many, LAB))) == {
        Kind(running=v("1.0.0"), filters=every): 1,
        Kind(running=v("1.0.0")): 1,
        Kind(running=v("1.0.0"), pinned=v("1.0.0")): 1,
        Kind(running=None): 1,
    }


async def test_time_zones_are_counted_where_they_matter(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, ONE, ONE, attributes='{"timeZone":"Europe/Berlin"}')
    assert await count(shelf, entry, replace(EVERYTHING, zoned=True)) == {
        Kind(running=v("1.0.0"), zone="Europe/Berlin"): 1,
        Kind(running=v("1.0.0")): 1,
    }


async def test_stages_are_counted_and_tell_apart_only_who_is_held(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, *[ONE] * 200, attributes='{"site":"lab"}')
    # Turned so that the one that the filter matches comes last.
    last = COHORTS - 1 - cohort(entry.application.name, "tok0")
    given = replace(staging(Step(COHORTS // 10), Step(0, "lab"), Step(COHORTS // 2), present=1), turned=last)
    census = await shelf.storage.census(entry.application.key, Inquiry(at=NOW, filters=(LAB,), stagings=(given,)))
    firsts = [
        given.first(standing(entry, place, filters=frozenset({"lab"} if place == 0 else ()))) for place in range(200)
    ]
    sizes = [firsts.count(stage) for stage in range(4)]
    crowds: dict[tuple[bool, bool], Crowd] = {}
    for kind, crowd in census.items():
        place = (bool(kind.later), bool(kind.never))
        crowds[place] = crowds[place].joined(crowd) if place in crowds else crowd
    assert crowds == {
        (False, False): Crowd(sizes[0] + sizes[1], ((sizes[0], sizes[1], 0),)),
        (True, False): Crowd(sizes[2], ((0, 0, sizes[2]),)),
        (False, True): Crowd(sizes[3], ((0, 0, 0),)),
    }
    assert min(sizes) > 0
    assert {kind.later | kind.never for kind in census} == {frozenset(), frozenset({v("2.0.0")})}


async def test_very_many_stages_are_counted(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, *[ONE] * 50)
    steps = tuple(Step((place + 1) * COHORTS // 50) for place in range(50))
    many = tuple(replace(staging(*steps), version=v(f"{place}.0.0")) for place in range(2, 2 + MOST_STAGES // 50))
    census = await shelf.storage.census(entry.application.key, Inquiry(at=NOW, stagings=many))
    places = [many[0].first(standing(entry, place)) for place in range(50)]
    for number in range(len(many)):
        staged = [sum(crowd.staged[number][stage] for crowd in census.values()) for stage in range(50)]
        assert staged == [places.count(stage) for stage in range(50)]


async def test_whom_a_percentage_takes_in_is_counted_alone(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, *[ONE] * 50)
    found = await shelf.storage.places(entry.application.key, EVERYTHING, 0, 0, COHORTS)
    (places,) = map(sorted, found.values())
    ranks, keys = [place.rank for place in places], [frozenset({place.key}) for place in places]
    steps = Step(ranks[1], members=keys[40]), Step(ranks[20], members=keys[30] | keys[40]), Step(COHORTS)
    given = replace(staging(*steps), turned=0)
    census = await shelf.storage.census(entry.application.key, Inquiry(at=NOW, stagings=(given,)))
    assert [sum(crowd.staged[0][stage] for crowd in census.values()) for stage in range(3)] == [2, 20, 28]


async def test_stages_that_are_not_counted_only_hold(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, ONE)
    given = staging(Step(0), Step(COHORTS), counted=False)
    assert await shelf.storage.census(entry.application.key, Inquiry(at=NOW, stagings=(given,))) == {
        Kind(running=v("1.0.0"), later=frozenset({v("2.0.0")})): Crowd(1)
    }


async def test_places_are_found_in_a_range_that_goes_round(shelf: SqlShelf, entry: Entry) -> None:
    await put(shelf, entry, *[ONE] * 30, Endpoint(registered_at=NOW), attributes='{"site":"lab"}')
    places = [cohort(entry.application.name, f"tok{place}") for place in range(31)]
    inquiry = Inquiry(at=NOW, filters=(LAB,))
    for turned, low, high in ((0, 0, COHORTS), (700_000, 0, COHORTS), (700_000, 200_000, 600_000), (1, 0, 1)):
        ranks = [rank(place, turned) for place in places]
        page = await shelf.storage.places(entry.application.key, inquiry, turned, low, high)
        found = {kind: sorted(place.rank for place in inside) for kind, inside in page.items()}
        async with shelf.storage.transaction() as transaction:
            for stood in (place for inside in page.values() for place in inside):
                (record,) = await transaction.find_keys([stood.key], None)
                assert rank(record.endpoint.cohort, turned) == stood.rank
        expected = {
            Kind(running=v("1.0.0"), filters=frozenset({"lab"})): ranks[:1],
            Kind(running=v("1.0.0")): ranks[1:30],
            Kind(running=None): ranks[30:],
        }
        inside = {kind: sorted(place for place in own if low <= place < high) for kind, own in expected.items()}
        assert found == {kind: own for kind, own in inside.items() if own}


async def test_another_application_is_not_counted(shelf: SqlShelf, entry: Entry) -> None:
    await fill(shelf, entry)
    other = entry.application.key + 1
    assert await shelf.storage.census(other, EVERYTHING) == {}
    assert await shelf.storage.census(other, Inquiry(at=NOW, filters=(LAB,))) == {}
    assert await shelf.storage.places(other, EVERYTHING, 0, 0, COHORTS) == {}
