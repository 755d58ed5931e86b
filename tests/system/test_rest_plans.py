"""Plans over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.api.plans import Plan
from tests import databases
from tests.system.rests import KETTLE, add_application, add_endpoint, add_software

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.rests import Json, Rest

PLAN = f"{KETTLE}/plan"
TWO = {
    "version": "2.0.0",
    "upgradableFrom": ["1.1.0"],
    "rolloutStrategy": "general",
    "specification": {"link": "https://example.org/2"},
}


async def plan(rest: Rest, body: object) -> Json:
    response = await rest.send("POST", PLAN, body)
    assert response.status_code == 200, response.text
    Plan.model_validate_json(response.content)
    return response.json()


async def fill(rest: Rest) -> None:
    await add_application(rest)
    await rest.put(f"{KETTLE}/filters/lab", {"expression": "attributes.site == 'lab'"})
    await add_software(rest, "1.0.0", rolloutStrategy="suspended")
    await add_software(rest, "1.1.0", "1.0.0")
    for endpoint_id, running in (("a", "1.0.0"), ("b", "1.0.0"), ("c", "1.1.0"), ("d", None), ("e", "0.9.0")):
        await add_endpoint(rest, endpoint_id, running, attributes={"site": "lab" if endpoint_id == "a" else "field"})


async def test_a_plan_says_every_hop_and_who_is_left_behind(rest: Rest) -> None:
    await fill(rest)
    assert await plan(rest, {"software": TWO}) == {
        "endpoints": 5,
        "moves": [
            {"from": "1.0.0", "to": "1.1.0", "endpoints": 2},
            {"from": "1.1.0", "to": "2.0.0", "endpoints": 3},
        ],
        "stages": [],
        # Those on 1.0.0 are offered 1.1.0 already.
        "firstOffers": [{"version": "2.0.0", "endpoints": 1, "asked": 0}],
        "duration": None,
        "unreachable": [
            {"reason": "no edge leads on from 0.9.0", "endpoints": 1},
            {"reason": "no version reported", "endpoints": 1},
        ],
        "warnings": ["0.9.0 is a dead end for 1 endpoint: nothing servable leads on from it to a higher version"],
    }


async def test_a_plan_stores_nothing(rest: Rest, tmp_path: Path) -> None:
    await fill(rest)
    before = await databases.dump(databases.place_in(tmp_path))
    await plan(rest, {"software": TWO})
    await plan(rest, {"catalogue": {"filters": {"all": "attributes.site == 'all'"}, "software": [TWO]}})
    assert await databases.dump(databases.place_in(tmp_path)) == before
    assert await rest.refused("GET", f"{KETTLE}/software/2.0.0") == (404, "software-not-found")


async def test_a_plan_needs_no_application(rest: Rest) -> None:
    assert await plan(rest, {"software": {**TWO, "upgradableFrom": ["*"]}}) == {
        "endpoints": 0,
        "moves": [],
        "stages": [],
        "firstOffers": [],
        "duration": None,
        "unreachable": [],
        "warnings": [],
    }
    assert await rest.refused("GET", KETTLE) == (404, "application-not-found")


async def test_targets_are_counted_by_the_filters_of_the_candidate(rest: Rest) -> None:
    await fill(rest)
    canary = {**TWO, "rolloutStrategy": "targeted", "filters": [{"filterId": "lab"}]}
    found = await plan(rest, {"software": canary})
    assert found["moves"][-1] == {"from": "1.1.0", "to": "2.0.0", "endpoints": 1}
    assert found["unreachable"][0] == {
        "reason": "2.0.0 is targeted, and no filter that it lists matches: lab",
        "endpoints": 2,
    }
    wider = {"filters": {"lab": "attributes.site == 'field'"}, "software": [canary]}
    assert (await plan(rest, {"catalogue": wider}))["moves"][-1]["endpoints"] == 2


async def test_a_large_offer_is_warned_of(rest: Rest) -> None:
    await fill(rest)
    large = {**TWO, "specification": {"notes": "n" * 1000}}
    (warning,) = [text for text in (await plan(rest, {"software": large}))["warnings"] if "bytes" in text]
    assert warning == "an offer of 2.0.0 has 1079 bytes; some devices take no more than 1023 in one packet"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "member-missing", "either"),
        ({"software": TWO, "catalogue": {}}, "member-missing", "not both"),
        ({"software": []}, "member-type", "'software'"),
        ({"catalogue": []}, "member-type", "'catalogue'"),
        ({"software": TWO, "checkLinks": "yes"}, "member-type", "checkLinks"),
        ({"software": TWO, "surplus": 1}, "member-unknown", "'surplus'"),
        ({"software": {**TWO, "version": "2"}}, "invalid-version", "'software.version'"),
        ({"software": {**TWO, "surplus": 1}}, "member-unknown", "'software.surplus'"),
        (
            {"software": {**TWO, "upgradableFrom": ["1.1.0", "one"]}},
            "invalid-constraint",
            "'software.upgradableFrom[1]'",
        ),
        ({"software": {**TWO, "filters": [{"filterId": "x"}]}}, "filter-unknown", "'software.filters[0].filterId'"),
        ({"catalogue": {"software": [TWO, TWO]}}, "member-invalid", "'software[1].version'"),
        ({"catalogue": {"filters": {"x y": "a"}}}, "filter-id-invalid", "'x y'"),
        ({"catalogue": {"filters": {"x": "=="}}}, "filter-syntax", "'filters.x.expression'"),
        ({"catalogue": {"push": "never"}}, "member-invalid", "'push'"),
    ],
)
async def test_what_a_put_would_refuse_a_plan_refuses(rest: Rest, body: object, code: str, said: str) -> None:
    await fill(rest)
    response = await rest.send("POST", PLAN, body)
    assert (response.status_code, response.json()["code"]) == (422, code)
    assert said in response.json()["detail"]


async def test_a_frozen_specification_is_refused_as_by_a_put(rest: Rest) -> None:
    await fill(rest)
    other = {**TWO, "version": "1.1.0", "upgradableFrom": ["1.0.0"]}
    assert await rest.refused("POST", PLAN, {"software": other}) == (409, "specification-frozen")
    await rest.send("DELETE", f"{KETTLE}/software/1.1.0", None, if_match="*")
    assert await rest.refused("POST", PLAN, {"software": other}) == (409, "specification-frozen")


async def test_a_name_that_no_application_can_have_is_refused(rest: Rest) -> None:
    assert await rest.refused("POST", "/api/v1/applications/A/plan", {"software": TWO}) == (
        422,
        "application-name-invalid",
    )
