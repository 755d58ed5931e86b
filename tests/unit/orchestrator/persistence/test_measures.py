"""How large a stage is; the ranks of these endpoints for 1.1.0 ascend as they are listed in `ORDER`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from orchestrator.application.measures import Measured
from orchestrator.domain.attempts import Attempt, AttemptState
from orchestrator.domain.cohorts import COHORTS, cohort
from orchestrator.domain.endpoints import Consent, Endpoint, Setback, TokenState
from orchestrator.domain.gates import Size
from orchestrator.domain.policies import RolloutPolicy, Stage
from orchestrator.domain.rollouts import NOBODY, Rollout, rank, shift
from orchestrator.persistence.schema import KEY_SPAN
from tests.contract.storages import APP, NOW, newcomer, store
from tests.unit.orchestrator.domain.builders import HOUR, general, recalled, suspended, targeted, use, v
from tests.unit.orchestrator.persistence.groups import LAB

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.domain.software import Software
    from tests.contract.storages import SqlShelf

ORDER = ("e4", "e7", "e6", "e2", "e8")
NEXT = v("1.1.0")
OLD = Endpoint(running=v("1.0.0"), registered_at=NOW)
TRIED = Attempt(version=NEXT, number=1, sequence=1, origin=v("1.0.0"), offered_at=NOW, stage=0)
WHOLE = (Stage(percent=100),)


def staged(*stages: Stage, stage: int = 0, members: Iterable[str] = ()) -> Software:
    """1.1.0 over 1.0.0, in one of its stages, which has taken in members: endpoints of `ORDER`."""
    taken = (*(NOBODY for _ in range(stage)), keys(*members))
    return replace(
        general("1.1.0", "1.0.0"), policy=RolloutPolicy(stages=stages), rollout=Rollout(stage=stage, members=taken)
    )


def keys(*names: str) -> frozenset[int]:
    """Those of endpoints in a fleet that is stored in `ORDER`, the first one of the first application."""
    return frozenset(KEY_SPAN + 1 + ORDER.index(name) for name in names)


def tried(state: AttemptState, **changes: object) -> Endpoint:
    attempt = replace(TRIED, state=state, **changes)  # type: ignore[arg-type]  # fields of an attempt
    running = NEXT if state in {AttemptState.SOAKING, AttemptState.CONFIRMED} else OLD.running
    return replace(OLD, running=running, attempt=attempt, sequence=1)


def place(endpoint_id: str) -> int:
    return rank(cohort(APP.name, endpoint_id), shift(APP.name, NEXT))


async def measured(
    shelf: SqlShelf, item: Software, fleet: dict[str, Endpoint], *others: Software, **attributes: str
) -> Measured:
    """Measure the stage of a software in a fleet; `attributes` by endpoint, as JSON text."""
    entry = await shelf.define(replace(APP, consent="none"), [general("1.0.0"), item, *others], [LAB])
    made = [newcomer(entry, name, endpoint) for name, endpoint in fleet.items()]
    for draft in made:
        draft.new_attributes = attributes.get(draft.before.token)
    await store(shelf, entry, *made)
    return await shelf.storage.measure(entry, item, NOW)


def size(endpoints: int, waiting: int | None = None, left: int = 0) -> Measured:
    waits = endpoints if waiting is None else waiting
    return Measured(size=Size(endpoints=endpoints, waiting=waits, left=left), members=None)


def ended(item: Software) -> Software:
    return replace(item, policy=replace(item.policy, end=NOW))


def test_the_ranks_are_as_these_tests_take_them() -> None:
    assert sorted(ORDER, key=place) == list(ORDER)
    percents = [100 * place(name) / COHORTS for name in ORDER]
    assert [round(percent) for percent in percents] == [2, 24, 32, 41, 42]


# Whom a stage admits


@pytest.mark.parametrize(("percent", "endpoints"), [(3, 1), (24, 2), (33, 3), (100, 5)])
async def test_a_percentage_admits_the_lowest_ranks(shelf: SqlShelf, percent: float, endpoints: int) -> None:
    found = await measured(shelf, staged(Stage(percent=percent)), dict.fromkeys(ORDER, OLD))
    assert found == size(endpoints)


async def test_whom_an_earlier_stage_admits_is_not_in_a_later_one(shelf: SqlShelf) -> None:
    stages = Stage(percent=24), Stage(percent=41), *WHOLE
    assert await measured(shelf, staged(*stages, stage=1), dict.fromkeys(ORDER, OLD)) == size(2)


@pytest.mark.parametrize(
    ("item", "endpoints", "waiting"),
    [
        (staged(Stage(percent=24), *WHOLE, stage=1), 3, 3),
        (staged(Stage(filter_id="lab"), *WHOLE, stage=1), 0, 3),
        # Before the last one nobody waits in a stage that has nobody, and after the end nobody at all.
        (staged(Stage(filter_id="lab"), Stage(percent=50), *WHOLE, stage=1), 0, 0),
        (ended(staged(Stage(filter_id="lab"), *WHOLE, stage=1)), 0, 0),
    ],
)
async def test_in_the_last_stage_those_of_earlier_ones_wait_as_well(
    shelf: SqlShelf, item: Software, endpoints: int, waiting: int
) -> None:
    """Here one of each share has had its offer."""
    fleet = {**dict.fromkeys(ORDER, OLD), "e4": tried(AttemptState.CONFIRMED), "e6": tried(AttemptState.OFFERED)}
    lab = dict.fromkeys(ORDER, '{"site":"lab"}')
    assert await measured(shelf, item, fleet, **lab) == size(endpoints, waiting)


async def test_a_number_admits_whom_it_has_taken_in_and_nobody_between_them(shelf: SqlShelf) -> None:
    item = staged(Stage(count=3), members=("e4", "e6", "e8"))
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD)) == size(3)


async def test_a_percentage_that_took_one_in_admits_nobody_else(shelf: SqlShelf) -> None:
    item = staged(Stage(percent=1), members=["e4"])
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD)) == size(1)


@pytest.mark.parametrize(("percent", "wanted"), [(1, "e4"), (3, None)])
async def test_whom_a_percentage_took_in_is_looked_at_again_when_the_fleet_has_grown(
    shelf: SqlShelf, percent: float, wanted: str | None
) -> None:
    """It is the one of the lowest rank, or nobody where the percentage has endpoints of its own."""
    item = staged(Stage(percent=percent), members=["e8"])
    found = await measured(shelf, item, dict.fromkeys(ORDER, OLD))
    assert found.members == keys(*([] if wanted is None else [wanted]))
    assert found.size.endpoints == (1 if wanted else 2)


async def test_a_filter_admits_whom_it_matches_beside_earlier_stages(shelf: SqlShelf) -> None:
    item = staged(Stage(percent=24), Stage(filter_id="lab"), *WHOLE, stage=1)
    lab = '{"site":"lab"}'
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD), e7=lab, e2=lab, e8=lab) == size(2)


async def test_whom_the_filter_of_an_earlier_stage_errs_on_is_in_a_later_one(shelf: SqlShelf) -> None:
    """Without the attribute that it looks at, as most of a fleet."""
    item = staged(Stage(filter_id="lab"), Stage(percent=100), stage=1)
    fleet = dict.fromkeys(ORDER, OLD)
    assert await measured(shelf, item, fleet, e7='{"site":"lab"}', e2='{"site":"field"}', e8='{"ring":1}') == size(
        4, waiting=5
    )


async def test_a_percentage_takes_in_one_that_the_filter_of_an_earlier_stage_errs_on(shelf: SqlShelf) -> None:
    item = staged(Stage(filter_id="lab"), Stage(percent=1), stage=1)
    found = await measured(shelf, item, dict.fromkeys(ORDER, OLD), e4='{"site":"lab"}')
    assert found.members == keys("e7")


async def test_targeted_software_has_only_whom_it_lists(shelf: SqlShelf) -> None:
    item = replace(targeted("1.1.0", "1.0.0", filters=[use("lab")]), policy=RolloutPolicy(stages=WHOLE))
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD), e7='{"site":"lab"}') == size(1)
    # A filter that there is no more matches nobody.
    gone = replace(item, filters=(use("gone"),))
    entry = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)), [general("1.0.0"), gone])
    await store(shelf, entry, newcomer(entry, "e7", OLD))
    assert await shelf.storage.measure(entry, gone, NOW) == size(0)


# How far it has to admit


@pytest.mark.parametrize("count", [1, 3, 5, 9])
async def test_a_number_takes_in_so_many_of_the_lowest_ranks(shelf: SqlShelf, count: int) -> None:
    found = await measured(shelf, staged(Stage(count=count)), dict.fromkeys(ORDER, OLD))
    assert found == Measured(size=Size(endpoints=0, waiting=0), members=keys(*ORDER[:count]))


async def test_a_number_that_has_room_keeps_whom_it_has_and_takes_in_the_lowest_others(shelf: SqlShelf) -> None:
    """Those between the ones that it has came later; one that it has gives no verdict any more, and keeps its place."""
    item = staged(Stage(count=4), members=("e7", "e6", "e8"))
    fleet = {**dict.fromkeys(ORDER, OLD), "e6": replace(OLD, pinned=v("1.0.0"))}
    assert (await measured(shelf, item, fleet)).members == keys("e7", "e6", "e8", "e4")


async def test_whom_a_number_has_tried_is_taken_in_first_also_when_it_is_suspended(shelf: SqlShelf) -> None:
    """Each has had its offer: others in their place would be more than the number."""
    suspended_one = replace(tried(AttemptState.FAILED), token_state=TokenState.SUSPENDED)
    fleet = {**dict.fromkeys(ORDER, OLD), "e2": suspended_one, "e8": tried(AttemptState.OFFERED)}
    assert (await measured(shelf, staged(Stage(count=3)), fleet)).members == keys("e2", "e8", "e4")


async def test_a_later_number_counts_whom_an_earlier_one_has_taken_in(shelf: SqlShelf) -> None:
    item = staged(Stage(count=2), Stage(count=4), *WHOLE)
    item = replace(item, rollout=Rollout(stage=1, members=(keys("e2", "e8"),)))
    found = await measured(shelf, item, dict.fromkeys(ORDER, OLD))
    assert found == Measured(size=Size(endpoints=0, waiting=0), members=keys("e4", "e7"))


async def test_a_number_whose_endpoints_are_all_in_an_earlier_stage_takes_in_nobody(shelf: SqlShelf) -> None:
    item = staged(Stage(percent=41), Stage(count=3), *WHOLE, stage=1)
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD)) == size(0)


async def test_a_number_that_is_filled_up_asks_for_no_more(shelf: SqlShelf) -> None:
    item = staged(Stage(count=3), members=ORDER[:3])
    assert await measured(shelf, item, dict.fromkeys(ORDER, OLD)) == size(3)


async def test_those_that_have_come_still_count(shelf: SqlShelf) -> None:
    item = staged(Stage(count=3), members=ORDER[:3])
    fleet = {**dict.fromkeys(ORDER, OLD), "e7": tried(AttemptState.CONFIRMED), "e6": tried(AttemptState.FAILED)}
    assert await measured(shelf, item, fleet) == size(3, waiting=1)


async def test_a_percentage_that_nobody_falls_into_takes_in_the_lowest_rank(shelf: SqlShelf) -> None:
    found = await measured(shelf, staged(Stage(percent=1)), dict.fromkeys(ORDER, OLD))
    assert found == Measured(size=Size(endpoints=0, waiting=0), members=keys("e4"))


async def test_a_later_percentage_that_adds_nobody_takes_in_the_next_rank(shelf: SqlShelf) -> None:
    item = staged(Stage(percent=3), Stage(percent=4), *WHOLE, stage=1)
    found = await measured(shelf, item, dict.fromkeys(ORDER, OLD))
    assert found == Measured(size=Size(endpoints=0, waiting=0), members=keys("e7"))


@pytest.mark.parametrize("stage", [Stage(percent=1), Stage(count=3)])
async def test_without_endpoints_there_is_nobody_to_take_in(shelf: SqlShelf, stage: Stage) -> None:
    assert await measured(shelf, staged(stage), {}) == size(0)


# After its end


@pytest.mark.parametrize("stage", [Stage(percent=1), Stage(count=3)])
async def test_after_its_end_a_stage_takes_in_nobody(shelf: SqlShelf, stage: Stage) -> None:
    assert await measured(shelf, ended(staged(stage)), dict.fromkeys(ORDER, OLD)) == size(0)


async def test_after_its_end_nobody_waits_and_whoever_has_no_attempt_of_it_is_left(shelf: SqlShelf) -> None:
    """Whoever failed before and was to try again is left as well; who has begun, or has a verdict, is not."""
    again = Setback(failures=1, retry_at=NOW + HOUR, exhausted=False)
    fleet = {
        "e4": OLD,
        "e7": tried(AttemptState.INSTALLING),
        "e6": tried(AttemptState.WITHDRAWN),
        "e2": tried(AttemptState.FAILED),
        "e8": replace(tried(AttemptState.WITHDRAWN), setbacks={NEXT: again}),
    }
    assert await measured(shelf, ended(staged(*WHOLE)), fleet) == size(5, waiting=0, left=3)


async def test_nobody_comes_by_way_of_software_whose_rollout_has_ended(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.5").upgradable_from)
    assert await measured(shelf, item, {"e1": OLD}, ended(general("1.0.5", "1.0.0"))) == size(0)


# Who is in it


@pytest.mark.parametrize(
    ("endpoint", "endpoints", "waiting"),
    [
        (OLD, 1, 1),
        (replace(OLD, running=None), 0, 0),
        (replace(OLD, running=v("0.9.0")), 0, 0),
        (replace(OLD, running=v("1.0.0+built.again")), 1, 1),
        (replace(OLD, running=NEXT), 0, 0),
        (replace(OLD, running=v("1.2.0")), 0, 0),
        (replace(OLD, token_state=TokenState.SUSPENDED), 0, 0),
        (replace(OLD, pinned=v("1.0.0")), 0, 0),
        (tried(AttemptState.OFFERED), 1, 0),
        (tried(AttemptState.OFFERED, version=v("1.1.0+built.again")), 1, 0),
        (tried(AttemptState.SOAKING), 1, 0),
        (tried(AttemptState.CONFIRMED), 1, 0),
        (tried(AttemptState.CONFIRMED, stage=None), 0, 0),
        (tried(AttemptState.WITHDRAWN), 1, 1),
        (tried(AttemptState.CONFIRMED, version=v("0.9.0")), 0, 0),
    ],
)
async def test_who_is_in_a_stage_and_who_waits_in_it(
    shelf: SqlShelf, endpoint: Endpoint, endpoints: int, waiting: int
) -> None:
    assert await measured(shelf, staged(*WHOLE), {"e1": endpoint}) == size(endpoints, waiting)


@pytest.mark.parametrize(
    ("version", "exhausted", "waiting"),
    [("1.1.0", False, 0), ("1.1.0", True, 0), ("1.1.0+built.again", False, 0), ("0.9.0", True, 1)],
)
async def test_a_failure_of_the_version_itself_is_no_waiting(
    shelf: SqlShelf, version: str, exhausted: bool, waiting: int
) -> None:
    setback = Setback(failures=1, retry_at=None if exhausted else NOW + HOUR, exhausted=exhausted)
    endpoint = replace(OLD, setbacks={v(version): setback})
    assert await measured(shelf, staged(*WHOLE), {"e1": endpoint}) == size(1, waiting)


@pytest.mark.parametrize(
    ("asks", "granted", "endpoints"), [(True, True, 1), (True, False, 0), (False, False, 1), (True, None, 1)]
)
async def test_whoever_refuses_is_not_in_a_stage_that_asks(
    shelf: SqlShelf, asks: bool, granted: bool | None, endpoints: int
) -> None:
    item = staged(*WHOLE)
    item = replace(item, policy=replace(item.policy, consent=asks))
    consents = {} if granted is None else {NEXT: Consent(granted=granted, at=NOW)}
    assert await measured(shelf, item, {"e1": replace(OLD, consents=consents)}) == size(endpoints)


async def test_a_refusal_of_another_version_is_none_of_this(shelf: SqlShelf) -> None:
    item = staged(*WHOLE)
    item = replace(item, policy=replace(item.policy, consent=True))
    endpoint = replace(OLD, consents={v("1.0.0"): Consent(granted=False, at=NOW)})
    assert await measured(shelf, item, {"e1": endpoint}) == size(1)


@pytest.mark.parametrize("state", [AttemptState.OFFERED, AttemptState.INSTALLING])
@pytest.mark.parametrize(("version", "waiting"), [("1.2.0", 0), ("1.0.5", 1)])
async def test_whoever_is_under_way_to_a_newer_version_does_not_wait(
    shelf: SqlShelf, state: AttemptState, version: str, waiting: int
) -> None:
    """It will not come to this one; what leads to it is another matter."""
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.0", "1.0.5").upgradable_from)
    others = general("1.0.5", "1.0.0"), general("1.2.0", "1.0.0")
    found = await measured(shelf, item, {"e1": tried(state, version=v(version))}, *others)
    assert found == size(1, waiting)


async def test_whoever_has_failed_at_a_newer_version_waits(shelf: SqlShelf) -> None:
    failed = tried(AttemptState.FAILED, version=v("1.2.0"))
    assert await measured(shelf, staged(*WHOLE), {"e1": failed}, general("1.2.0", "1.0.0")) == size(1)


async def test_whoever_is_asked_for_consent_is_counted_beside_those_that_wait(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), policy=RolloutPolicy(stages=WHOLE, consent=True))
    fleet = {
        "e1": OLD,
        "e2": replace(OLD, asked=NEXT, consulted=True),
        # It was asked and has consented, and waits for its offer; or it has come.
        "e3": replace(OLD, consulted=True, consents={NEXT: Consent(granted=True, at=NOW)}),
        "e4": replace(tried(AttemptState.CONFIRMED), consulted=True),
    }
    assert (await measured(shelf, item, fleet)).size == Size(endpoints=4, waiting=3, asked=1)


async def test_whoever_is_rescued_is_in_no_stage(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.0", "1.0.1", "1.2.0").upgradable_from)
    fleet = {"e1": OLD, "e2": replace(OLD, running=v("1.0.1")), "e3": replace(OLD, running=v("1.2.0"))}
    assert await measured(shelf, item, fleet, recalled("1.0.1"), recalled("1.2.0")) == size(1)


async def test_nobody_comes_down_from_software_that_is_only_suspended(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.0", "1.2.0").upgradable_from)
    fleet = {"e1": OLD, "e2": replace(OLD, running=v("1.2.0"))}
    assert await measured(shelf, item, fleet, suspended("1.2.0")) == size(1)


async def test_whoever_comes_by_way_of_others_is_in_the_stage(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.5").upgradable_from)
    assert await measured(shelf, item, {"e1": OLD}, general("1.0.5", "1.0.0")) == size(1)


async def test_there_is_no_way_by_software_that_is_stopped(shelf: SqlShelf) -> None:
    item = replace(staged(*WHOLE), upgradable_from=general("1.1.0", "1.0.5").upgradable_from)
    assert await measured(shelf, item, {"e1": OLD}, suspended("1.0.5", "1.0.0")) == size(0)


async def test_endpoints_of_other_applications_are_none(shelf: SqlShelf) -> None:
    other = await shelf.define(replace(APP, name="toaster", app_versions=("toaster-v1",)), [general("1.0.0")])
    await store(shelf, other, newcomer(other, "e1", OLD))
    assert await measured(shelf, staged(*WHOLE), {"e2": OLD}) == size(1)
