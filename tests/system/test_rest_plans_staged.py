"""Plans of staged rollouts over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api.plans import Plan
from orchestrator.domain.cohorts import COHORTS, cohort
from orchestrator.domain.rollouts import rank, shift
from orchestrator.domain.versions import Version
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from tests.system.rests import Json, Rest

APP = "smart-kettle"
FLEET = [f"kettle-{number}" for number in range(20)]
LAB = {FLEET[0], FLEET[1]}
TURNED = shift(APP, Version.parse("2.0.0"))
RANKS = {name: rank(cohort(APP, name), TURNED) for name in FLEET}
STAGES = [{"count": 3, "soak": "PT1H"}, {"filter": "lab"}, {"percent": 50, "soak": "PT30M"}, {"percent": 100}]


def two(**rollout: object) -> Json:
    specification = {"link": "https://example.org/2"}
    body = {"version": "2.0.0", "upgradableFrom": ["1.0.0"], "rolloutStrategy": "general"}
    return {**body, "specification": specification, "rollout": rollout}


async def plan(rest: Rest, software: Json) -> Json:
    response = await rest.send("POST", f"{KETTLE}/plan", {"software": software})
    assert response.status_code == 200, response.text
    Plan.model_validate_json(response.content)
    return response.json()


async def fill(rest: Rest, **members: object) -> None:
    await add_application(rest, **members)
    await rest.put(f"{KETTLE}/filters/lab", {"expression": "attributes.site == 'lab'"})
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    for name in FLEET:
        await add_endpoint(rest, name, "1.0.0", attributes={"site": "lab" if name in LAB else "field"})


def first_stages() -> list[int]:
    """The sizes of `STAGES`, endpoint by endpoint."""
    lowest = sorted(FLEET, key=lambda name: RANKS[name])[:3]
    half = {name for name in FLEET if RANKS[name] < COHORTS / 2}
    groups = [set(lowest), LAB - {*lowest}, half - LAB - {*lowest}, set(FLEET) - LAB - {*lowest} - half]
    return [len(group) for group in groups]


async def test_every_stage_is_counted_with_the_time_that_they_take(rest: Rest) -> None:
    await fill(rest)
    found = await plan(rest, two(stages=STAGES))
    sizes = first_stages()
    shares: list[dict[str, object]] = [{"count": 3}, {"filter": "lab"}, {"percent": 50}, {"percent": 100}]
    assert found["stages"] == [
        {
            "version": "2.0.0",
            "stages": [
                {"stage": number, **share, "endpoints": size}
                for number, (share, size) in enumerate(zip(shares, sizes, strict=True))
            ],
            "duration": "PT1H30M",
        }
    ]
    assert sum(sizes) == len(FLEET)
    assert found["duration"] == "PT1H30M"
    assert found["firstOffers"] == [{"version": "2.0.0", "endpoints": 3, "asked": 0}]
    assert found["moves"] == [{"from": "1.0.0", "to": "2.0.0", "endpoints": len(FLEET)}]
    small = [text for text in found["warnings"] if text.startswith("2.0.0: stage 1 needs 60 verdicts and has 3")]
    assert len(small) == 1


async def test_a_small_fleet_has_an_endpoint_in_each_stage(rest: Rest) -> None:
    await fill(rest)
    found = await plan(rest, two(stages=[{"percent": 0.0001}, {"percent": 0.0002}, {"percent": 100}]))
    assert [stage["endpoints"] for stage in found["stages"][0]["stages"]] == [1, 1, len(FLEET) - 2]
    assert found["firstOffers"] == [{"version": "2.0.0", "endpoints": 1, "asked": 0}]


async def test_whom_the_stages_leave_out_is_not_reached(rest: Rest) -> None:
    await fill(rest)
    found = await plan(rest, two(stages=[{"percent": 50}]))
    admitted = sum(RANKS[name] < COHORTS / 2 for name in FLEET)
    left = len(FLEET) - admitted
    assert found["stages"][0]["stages"] == [{"stage": 0, "percent": 50, "endpoints": admitted}]
    assert found["unreachable"] == [{"reason": "2.0.0 has no stage that admits it", "endpoints": left}]
    assert f"2.0.0: its stages end with 50 %: {left} endpoints are never offered it" in found["warnings"]


async def test_an_edit_says_how_many_more_would_be_offered_it(rest: Rest) -> None:
    await fill(rest)
    software = two(stages=[{"percent": 30}, {"percent": 100}])
    await add_software(rest, "2.0.0", "1.0.0", rollout=software["rollout"], specification=software["specification"])
    await rest.sweep()
    lower, upper = (sum(RANKS[name] < share * COHORTS for name in FLEET) for share in (0.3, 0.6))
    assert upper > lower > 0
    assert (await plan(rest, software))["firstOffers"] == []
    wider = await plan(rest, two(stages=[{"percent": 60}, {"percent": 100}]))
    assert wider["firstOffers"] == [{"version": "2.0.0", "endpoints": upper - lower, "asked": 0}]
    assert [stage["endpoints"] for stage in wider["stages"][0]["stages"]] == [upper, len(FLEET) - upper]


async def test_limits_windows_and_consent_hold_what_would_be_offered_at_once(rest: Rest) -> None:
    await fill(rest, limits={"perMinute": 2})
    limited = await plan(rest, two(limits={"perMinute": 1}))
    assert (limited["stages"], limited["duration"]) == ([], "PT19M")
    assert limited["firstOffers"] == [{"version": "2.0.0", "endpoints": 1, "asked": 0}]
    few = await plan(rest, two(limits={"inProgress": 7}))
    assert (few["firstOffers"], few["duration"]) == ([{"version": "2.0.0", "endpoints": 1, "asked": 0}], "PT9M30S")
    closed = await plan(rest, two(window={"cron": "0 13 * * *", "duration": "PT1H"}))
    assert (closed["firstOffers"], closed["duration"]) == ([], "PT1H9M30S")
    assert "20 endpoints would wait for 2.0.0 until 2026-03-01T13:00:00Z" in closed["warnings"]
    asking = await plan(rest, two(consent="required"))
    assert asking["firstOffers"] == [{"version": "2.0.0", "endpoints": 0, "asked": len(FLEET)}]


async def test_no_more_would_be_offered_at_once_than_slots_are_free(rest: Rest) -> None:
    await fill(rest)
    software = two(limits={"inProgress": 7})
    assert (await plan(rest, software))["firstOffers"] == [{"version": "2.0.0", "endpoints": 7, "asked": 0}]
    await add_software(rest, "2.0.0", "1.0.0", rollout=software["rollout"], specification=software["specification"])
    await rest.sweep()
    assert (await plan(rest, software))["firstOffers"] == []
    wider = await plan(rest, two(limits={"inProgress": 9}))
    assert wider["firstOffers"] == [{"version": "2.0.0", "endpoints": 2, "asked": 0}]


async def test_a_catalogue_is_planned_for_an_application_that_is_not_there(rest: Rest) -> None:
    found = await plan(rest, two(stages="standard"))
    assert [stage["endpoints"] for stage in found["stages"][0]["stages"]] == [0, 0, 0, 0]
    assert (found["duration"], found["firstOffers"]) == (None, [])
